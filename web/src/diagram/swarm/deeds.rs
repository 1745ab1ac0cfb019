//! What a student can do to the swarm from the picture: each is one command, shown and carried out.

use std::sync::Arc;

use docklab_api::{
    ApiResult, DockerApi, UpdateService,
    models::{NodeSpecAvailabilityEnum, NodeSpecRoleEnum, SwarmInitRequest, SwarmJoinRequest},
};

use crate::{
    observe::{ServiceMode, ServiceView, SwarmView},
    session::{Fault, SharedSession},
};

/// Where managers listen.
const PORT: u16 = 2377;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Deed {
    Init { node: String },
    Join { node: String, as_manager: bool },
    Leave { node: String },
    Availability { id: String, node: String, to: NodeSpecAvailabilityEnum },
    Promote { id: String, node: String },
    Demote { id: String, node: String },
    RemoveMember { id: String, node: String },
    Scale { id: String, service: String, to: u64 },
    Image { id: String, service: String, image: String },
    Rollback { id: String, service: String },
    RemoveService { id: String, service: String },
    Fault { node: String, fault: Fault },
    AddNode,
}

impl Deed {
    /// What it is for, on its button.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Init { .. } => "Make a swarm here".to_owned(),
            Self::Join { as_manager: false, .. } => "Join as worker".to_owned(),
            Self::Join { as_manager: true, .. } => "Join as manager".to_owned(),
            Self::Leave { .. } => "Leave the swarm".to_owned(),
            Self::Availability { to: NodeSpecAvailabilityEnum::DRAIN, .. } => "Drain".to_owned(),
            Self::Availability { to: NodeSpecAvailabilityEnum::PAUSE, .. } => "Give it no new tasks".to_owned(),
            Self::Availability { .. } => "Activate".to_owned(),
            Self::Promote { .. } => "Make it a manager".to_owned(),
            Self::Demote { .. } => "Make it a worker".to_owned(),
            Self::RemoveMember { .. } => "Remove from the list".to_owned(),
            Self::Scale { to, .. } => format!("Want {to}"),
            Self::Image { .. } => "Update".to_owned(),
            Self::Rollback { .. } => "Roll back".to_owned(),
            Self::RemoveService { .. } => "Remove the service".to_owned(),
            Self::Fault { fault: Fault::Kill, .. } => "Switch it off".to_owned(),
            Self::Fault { fault: Fault::Pause, .. } => "Freeze it".to_owned(),
            Self::Fault { fault: Fault::Resume, .. } => "Let it go on".to_owned(),
            Self::Fault { fault: Fault::Cut { other: None }, .. } => "Cut it off".to_owned(),
            Self::Fault { fault: Fault::Cut { other: Some(other) }, .. } => format!("Cut its link to {other}"),
            Self::Fault { fault: Fault::Slow { .. }, .. } => "Slow it down".to_owned(),
            Self::Fault { fault: Fault::Heal, .. } => "Heal it".to_owned(),
            Self::Fault { fault: Fault::Remove, .. } => "Take the machine away".to_owned(),
            Self::AddNode => "Add a node".to_owned(),
        }
    }

    /// The command that does the same in a terminal.
    pub(super) fn command(&self, view: &SwarmView) -> String {
        match self {
            Self::Init { .. } => "docker swarm init --advertise-addr eth0".to_owned(),
            Self::Join { .. } => format!("docker swarm join --token … {}", manager_address(view).unwrap_or_default()),
            Self::Leave { node } => {
                let is_manager = view.nodes.iter().any(|member| member.name == *node && member.is_manager);
                format!("docker swarm leave{}", if is_manager { " --force" } else { "" })
            }
            Self::Availability { node, to, .. } => format!("docker node update --availability {to} {node}"),
            Self::Promote { node, .. } => format!("docker node promote {node}"),
            Self::Demote { node, .. } => format!("docker node demote {node}"),
            Self::RemoveMember { node, .. } => format!("docker node rm --force {node}"),
            Self::Scale { service, to, .. } => format!("docker service scale {service}={to}"),
            Self::Image { service, image, .. } => format!("docker service update --image {image} {service}"),
            Self::Rollback { service, .. } => format!("docker service rollback {service}"),
            Self::RemoveService { service, .. } => format!("docker service rm {service}"),
            Self::Fault { node, fault } => fault.command(node),
            Self::AddNode => "docklab session add".to_owned(),
        }
    }

    /// Whether the machines change, not only what the swarm says.
    pub(super) fn changes_places(&self) -> bool {
        matches!(self, Self::Fault { .. } | Self::AddNode)
    }

    /// Carries it out; the error is a sentence.
    pub(super) async fn run(&self, session: &SharedSession, view: &SwarmView) -> Result<(), String> {
        match self {
            Self::Fault { node, fault } => {
                session.inflict(node, fault.clone()).await.map_err(|error| error.to_string())
            }
            Self::AddNode => session.add_node().await.map_err(|error| error.to_string()),
            _ => self.ask(session, view).await,
        }
    }

    async fn ask(&self, session: &SharedSession, view: &SwarmView) -> Result<(), String> {
        let engine = |name: &str| engine_of(session, name).ok_or_else(|| format!("{name} is no node of this session"));
        let outcome = match self {
            Self::Init { node } => init(&*engine(node)?).await,
            Self::Join { node, as_manager } => {
                join(&*engine(node)?, &*engine(&view.seen_from)?, view, *as_manager).await
            }
            // A manager is asked whether it means it; whoever presses the button does.
            Self::Leave { node } => engine(node)?.leave_swarm(true).await,
            _ => self.ask_manager(&*engine(&view.seen_from)?).await,
        };
        outcome.map_err(|error| error.to_string())
    }

    async fn ask_manager(&self, manager: &dyn DockerApi) -> ApiResult<()> {
        match self {
            Self::Availability { id, to, .. } => {
                let node = manager.inspect_node(id).await?;
                let mut spec = node.spec.unwrap_or_default();
                spec.availability = Some(*to);
                manager.update_node(id, version(node.version.as_ref()), spec).await
            }
            Self::Promote { id, .. } | Self::Demote { id, .. } => {
                let node = manager.inspect_node(id).await?;
                let mut spec = node.spec.unwrap_or_default();
                let promote = matches!(self, Self::Promote { .. });
                spec.role = Some(if promote { NodeSpecRoleEnum::MANAGER } else { NodeSpecRoleEnum::WORKER });
                manager.update_node(id, version(node.version.as_ref()), spec).await
            }
            Self::RemoveMember { id, .. } => manager.remove_node(id, true).await,
            Self::RemoveService { id, .. } => manager.remove_service(id).await,
            Self::Scale { id, .. } | Self::Image { id, .. } | Self::Rollback { id, .. } => {
                let service = manager.inspect_service(id, false).await?;
                let mut options =
                    UpdateService { version: version(service.version.as_ref()), ..UpdateService::default() };
                let mut spec = service.spec.unwrap_or_default();
                match self {
                    Self::Scale { to, .. } => {
                        if let Some(replicated) = spec.mode.as_mut().and_then(|mode| mode.replicated.as_mut()) {
                            replicated.replicas = i64::try_from(*to).ok();
                        }
                    }
                    Self::Image { image, .. } => {
                        if let Some(container) =
                            spec.task_template.as_mut().and_then(|template| template.container_spec.as_mut())
                        {
                            container.image = Some(image.clone());
                        }
                    }
                    _ => options.rollback = Some("previous".to_owned()),
                }
                manager.update_service(id, options, spec).await.map(drop)
            }
            // The others do not ask a manager.
            Self::Init { .. } | Self::Join { .. } | Self::Leave { .. } | Self::Fault { .. } | Self::AddNode => Ok(()),
        }
    }
}

fn version(version: Option<&docklab_api::models::ObjectVersion>) -> u64 {
    version.and_then(|version| version.index).unwrap_or_default()
}

pub(super) fn engine_of(session: &SharedSession, node: &str) -> Option<Arc<dyn DockerApi>> {
    session.nodes().into_iter().find(|(name, _)| name == node).map(|(_, engine)| engine)
}

/// The leader's, or any manager's.
fn manager_address(view: &SwarmView) -> Option<String> {
    let managers = view.nodes.iter().filter(|node| node.is_manager && !node.address.is_empty());
    managers.max_by_key(|node| node.is_leader).map(|node| format!("{}:{PORT}", node.address))
}

/// An engine that has one address needs no advice; where it has several, eth0 is the LAN of a session.
async fn init(engine: &dyn DockerApi) -> ApiResult<()> {
    let listen_addr = Some(format!("0.0.0.0:{PORT}"));
    let advertise = Some("eth0".to_owned());
    let request = SwarmInitRequest { listen_addr, advertise_addr: advertise, ..SwarmInitRequest::default() };
    engine.init_swarm(request).await.map(drop)
}

async fn join(engine: &dyn DockerApi, manager: &dyn DockerApi, view: &SwarmView, as_manager: bool) -> ApiResult<()> {
    let tokens = manager.inspect_swarm().await?.join_tokens.unwrap_or_default();
    let request = SwarmJoinRequest {
        listen_addr: Some(format!("0.0.0.0:{PORT}")),
        remote_addrs: manager_address(view).map(|address| vec![address]),
        join_token: if as_manager { tokens.manager } else { tokens.worker },
        ..SwarmJoinRequest::default()
    };
    engine.join_swarm(request).await
}

/// What can be done to a service.
pub(super) fn of_service(service: &ServiceView) -> Vec<Deed> {
    let (id, name) = (service.id.clone(), service.name.clone());
    let mut deeds = Vec::new();
    if service.mode == ServiceMode::Replicated {
        if service.desired > 0 {
            deeds.push(Deed::Scale { id: id.clone(), service: name.clone(), to: service.desired - 1 });
        }
        deeds.push(Deed::Scale { id: id.clone(), service: name.clone(), to: service.desired + 1 });
    }
    if service.update.is_some() {
        deeds.push(Deed::Rollback { id: id.clone(), service: name.clone() });
    }
    deeds.push(Deed::RemoveService { id, service: name });
    deeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_deed_shows_the_command_that_does_it() {
        let view = SwarmView::default();
        let (id, node, service) = ("1".to_owned(), "node2".to_owned(), "web".to_owned());
        let deeds = [
            Deed::Init { node: node.clone() },
            Deed::Leave { node: node.clone() },
            Deed::Availability { id: id.clone(), node: node.clone(), to: NodeSpecAvailabilityEnum::DRAIN },
            Deed::Availability { id: id.clone(), node: node.clone(), to: NodeSpecAvailabilityEnum::ACTIVE },
            Deed::Promote { id: id.clone(), node: node.clone() },
            Deed::RemoveMember { id: id.clone(), node: node.clone() },
            Deed::Scale { id: id.clone(), service: service.clone(), to: 6 },
            Deed::Image { id: id.clone(), service: service.clone(), image: "nginx:1.13".into() },
            Deed::Rollback { id, service },
            Deed::Fault { node: node.clone(), fault: Fault::Kill },
            Deed::Fault { node, fault: Fault::Cut { other: None } },
            Deed::AddNode,
        ];
        let commands: Vec<String> =
            deeds.iter().map(|deed| format!("{}: {}", deed.label(), deed.command(&view))).collect();
        insta::assert_snapshot!(commands.join("\n"), @r"
        Make a swarm here: docker swarm init --advertise-addr eth0
        Leave the swarm: docker swarm leave
        Drain: docker node update --availability drain node2
        Activate: docker node update --availability active node2
        Make it a manager: docker node promote node2
        Remove from the list: docker node rm --force node2
        Want 6: docker service scale web=6
        Update: docker service update --image nginx:1.13 web
        Roll back: docker service rollback web
        Switch it off: docklab session kill node2
        Cut it off: docklab session cut node2
        Add a node: docklab session add
        ");
    }
}
