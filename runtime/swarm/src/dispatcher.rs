use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use docklab_api::models::{
    EndpointPortConfigProtocolEnum as Protocol, EndpointPortConfigPublishModeEnum as PublishMode, NodeDescription,
    NodeState,
};
use jiff::Timestamp;

use crate::{
    Manager,
    allocator::is_ingress,
    control::node_not_found,
    error::{ControlError, ControlResult},
    messages::{Assignments, FileContent, FromManager, MeshPort, NetworkAssignment, TaskAssignment, TaskReport},
    objects::{Meta, State, Status, Task},
    time::{SECOND, later},
};

/// Heartbeat periods without a beat until a node is down.
const GRACE: i64 = 3;
/// Registrations of one node within [`RATE_WINDOW`] that are served.
const RATE: usize = 3;
const RATE_WINDOW: i64 = 8 * SECOND;

#[derive(Debug)]
struct Session {
    id: String,
    period: i64,
    sent: Option<Assignments>,
    /// Role, managers and roots as the node was last told.
    told: Option<FromManager>,
    /// Number and newest version of the node's tasks when `sent` was made.
    seen: (usize, u64),
}

#[derive(Debug, Default)]
pub(crate) struct Dispatcher {
    sessions: BTreeMap<String, Session>,
    /// When a node that is not heard of is down.
    expires: BTreeMap<String, Timestamp>,
    registrations: BTreeMap<String, Vec<Timestamp>>,
    pub(crate) outbox: Vec<(String, FromManager)>,
    /// The store's version that all sessions have seen.
    sent_version: u64,
    /// What is the same in every node's assignments when they were last made: the mesh, networks, nodes, names.
    routing: Option<RoutingState>,
}

/// Mesh, nodes with their addresses, names by network.
type RoutingState = (Vec<MeshPort>, Vec<(String, String)>, Vec<(String, Vec<(String, Vec<IpAddr>)>)>);

impl Dispatcher {
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.expires.values().min().copied()
    }
}

fn address(text: &str) -> Option<IpAddr> {
    text.split('/').next()?.parse().ok()
}

impl Dispatcher {
    pub(crate) fn clock_was_set(&mut self, jump: i64) {
        for at in self.expires.values_mut().chain(self.registrations.values_mut().flatten()) {
            *at = later(*at, jump);
        }
    }
}

impl Manager {
    /// A new leader knows no sessions: nodes get twice the grace to come back.
    pub(crate) fn expect_nodes(&mut self) {
        let period = self.heartbeat_period();
        let nodes: Vec<String> = self
            .store
            .nodes
            .values()
            .filter(|node| node.state != NodeState::DOWN)
            .map(|node| node.id.clone())
            .collect();
        let now = self.now;
        for node in nodes {
            self.dispatcher.expires.insert(node.clone(), later(now, 2 * GRACE * period));
            self.store.update_node(&node, now, |node| node.state = NodeState::UNKNOWN);
        }
    }

    fn heartbeat_period(&self) -> i64 {
        self.store.cluster.as_ref().map_or(5 * SECOND, crate::objects::Cluster::heartbeat_period)
    }

    /// The period for the next beat: half a second more or less, so that nodes do not beat in step.
    fn draw_period(&mut self) -> i64 {
        let jitter = i64::try_from(self.random.below(1_000_000_001)).unwrap_or(0) - SECOND / 2;
        (self.heartbeat_period() + jitter).max(SECOND / 10)
    }

    /// Opens a session of a member; an older one of the same node ends.
    ///
    /// # Errors
    /// An unknown node, a wrong secret, or more than three registrations in eight seconds.
    pub fn register(
        &mut self,
        now: Timestamp,
        node: &str,
        secret: &str,
        description: NodeDescription,
        address: &str,
    ) -> ControlResult<(String, i64)> {
        self.now = self.now.max(now);
        let now = self.now;
        let known =
            self.store.nodes.get(node).filter(|known| known.secret == secret).ok_or_else(|| node_not_found(node))?;
        let known = known.clone();
        let recent = self.dispatcher.registrations.entry(node.to_owned()).or_default();
        recent.retain(|at| later(*at, RATE_WINDOW) > now);
        if recent.len() >= RATE {
            return Err(ControlError::Unknown(format!("node {node} exceeded rate limit count of registrations")));
        }
        recent.push(now);
        let period = self.draw_period();
        let session = self.random.id();
        self.dispatcher
            .sessions
            .insert(node.to_owned(), Session { id: session.clone(), period, sent: None, told: None, seen: (0, 0) });
        self.dispatcher.expires.insert(node.to_owned(), later(now, GRACE * period));
        if known.state != NodeState::READY || known.description != description || known.address != address {
            self.set_node_state(node, NodeState::READY, "");
            self.store.update_node(node, now, |node| {
                node.description = description;
                address.clone_into(&mut node.address);
            });
        }
        // Send to the new session even if nothing has changed.
        self.dispatcher.sent_version = 0;
        Ok((session, period))
    }

    /// A beat; returns the time until the next.
    ///
    /// # Errors
    /// The session is not the node's current one.
    pub fn heartbeat(&mut self, now: Timestamp, node: &str, session: &str) -> ControlResult<i64> {
        self.now = self.now.max(now);
        let period = self.draw_period();
        let current = self.dispatcher.sessions.get_mut(node).filter(|current| current.id == session);
        let current = current.ok_or_else(|| ControlError::InvalidArgument("session invalid".into()))?;
        current.period = period;
        self.dispatcher.expires.insert(node.to_owned(), later(self.now, GRACE * period));
        Ok(period)
    }

    /// What a node tells of its tasks. States that go backwards, and tasks of other nodes, are ignored.
    pub fn report(&mut self, now: Timestamp, node: &str, reports: Vec<TaskReport>) {
        self.now = self.now.max(now);
        let now = self.now;
        for report in reports {
            let fits = self.store.tasks.get(&report.task).is_some_and(|task| {
                task.node == node
                    && task.status.state <= report.state
                    && (task.status.state, &task.status.message, &task.status.error)
                        != (report.state, &report.message, &report.error)
            });
            if fits {
                self.store.update_task(&report.task, now, |task| {
                    task.status = Status {
                        state: report.state,
                        at: report.at,
                        message: report.message,
                        error: report.error,
                        container: report.container.or(task.status.container.take()),
                        ports: report.ports,
                    };
                });
            }
        }
    }

    /// A node says that it goes.
    pub fn node_left(&mut self, now: Timestamp, node: &str) {
        self.now = self.now.max(now);
        self.node_down(node, "node left the swarm");
    }

    /// Nodes that were not heard of in time are down.
    pub(crate) fn expire_nodes(&mut self) {
        let late: Vec<String> =
            self.dispatcher.expires.iter().filter(|(_, due)| **due <= self.now).map(|(node, _)| node.clone()).collect();
        for node in late {
            self.node_down(&node, "heartbeat failure");
        }
    }

    fn node_down(&mut self, node: &str, message: &str) {
        self.dispatcher.expires.remove(node);
        self.dispatcher.sessions.remove(node);
        if self.store.nodes.get(node).is_some_and(|node| node.state != NodeState::DOWN) {
            self.set_node_state(node, NodeState::DOWN, message);
        }
    }

    pub(crate) fn forget_node(&mut self, node: &str) {
        self.dispatcher.expires.remove(node);
        self.dispatcher.sessions.remove(node);
        self.dispatcher.registrations.remove(node);
    }

    /// Sends every session what is new in its node's duty.
    pub(crate) fn dispatch(&mut self) {
        self.tell_roles();
        if self.dispatcher.sent_version == self.store.version {
            return;
        }
        let mut tasks: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
        for task in self.store.tasks.values().filter(|task| task.status.state >= State::ASSIGNED) {
            // Ended tasks stay with their node until they are deleted, so that it may keep their containers' logs.
            tasks.entry(&task.node).or_default().push(task);
        }
        let mesh = self.mesh();
        let routing = self.routing_state(&mesh);
        let rerouted = self.dispatcher.routing.as_ref() != Some(&routing);
        let mut news = Vec::new();
        for (node, session) in &self.dispatcher.sessions {
            let own = tasks.get(node.as_str()).map_or(&[][..], Vec::as_slice);
            let seen = (own.len(), own.iter().map(|task| task.meta.version).max().unwrap_or(0));
            if session.sent.is_some() && !rerouted && session.seen == seen {
                continue;
            }
            let assignments = Assignments {
                tasks: own.iter().map(|task| self.assignment(task)).collect(),
                networks: self.network_assignments(node, own, !mesh.is_empty()),
                mesh: mesh.clone(),
            };
            news.push((node.clone(), seen, assignments));
        }
        self.dispatcher.routing = Some(routing);
        for (node, seen, assignments) in news {
            let Some(session) = self.dispatcher.sessions.get_mut(&node) else { continue };
            session.seen = seen;
            if session.sent.as_ref() != Some(&assignments) {
                session.sent = Some(assignments.clone());
                self.dispatcher.outbox.push((node, FromManager::Assignments(assignments)));
            }
        }
        self.dispatcher.sent_version = self.store.version;
    }

    /// A node is a manager as long as it belongs to the group, or shall.
    fn tell_roles(&mut self) {
        let mut managers: Vec<(String, String)> =
            self.managers.iter().map(|(node, manager)| (node.clone(), manager.address.clone())).collect();
        managers.sort();
        let roots = self.store.cluster.as_ref().map(crate::objects::Cluster::roots).unwrap_or_default();
        let nodes = &self.store.nodes;
        for (node, session) in &mut self.dispatcher.sessions {
            let wanted = nodes.get(node).is_some_and(|node| node.is_manager());
            let manager = wanted || self.managers.contains_key(node);
            let news = FromManager::Cluster { manager, managers: managers.clone(), roots: roots.clone() };
            if session.told.as_ref() != Some(&news) {
                session.told = Some(news.clone());
                self.dispatcher.outbox.push((node.clone(), news));
            }
        }
    }

    fn routing_state(&self, mesh: &[MeshPort]) -> RoutingState {
        let networks: Vec<_> = self.store.networks.values().filter(|network| !network.ingress).collect();
        if mesh.is_empty() && networks.is_empty() {
            return RoutingState::default();
        }
        let nodes = self.store.nodes.values().filter(|node| node.state != NodeState::DOWN);
        let nodes = nodes.map(|node| (node.id.clone(), node.address.clone())).collect();
        let names = networks.iter().map(|network| (network.id.clone(), self.names(&network.id))).collect();
        (mesh.to_vec(), nodes, names)
    }

    fn assignment(&self, task: &Task) -> TaskAssignment {
        let labels = self.store.services.get(&task.service).and_then(|service| service.spec.labels.clone());
        TaskAssignment {
            id: task.id.clone(),
            name: task.name(),
            slot: task.slot,
            service: task.service.clone(),
            service_name: task.service_name.clone(),
            service_labels: labels.into_iter().flatten().collect::<BTreeMap<_, _>>().into_iter().collect(),
            node: task.node.clone(),
            desired: task.desired,
            spec: task.spec.clone(),
            networks: task.networks.clone(),
            host_ports: task
                .ports
                .iter()
                .filter(|port| port.publish_mode == Some(PublishMode::HOST))
                .cloned()
                .collect(),
            files: self.files(task),
            ended: task.is_dead(),
        }
    }

    /// Contents of the secrets and configs that a task mounts.
    fn files(&self, task: &Task) -> Vec<FileContent> {
        let Some(container) = &task.spec.container_spec else { return Vec::new() };
        let number = |text: Option<&String>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut files = Vec::new();
        for wanted in container.secrets.iter().flatten() {
            let Some(secret) = wanted.secret_id.as_ref().and_then(|id| self.store.secrets.get(id)) else { continue };
            let Some(file) = &wanted.file else { continue };
            let name = file.name.as_deref().unwrap_or(&secret.name);
            files.push(FileContent {
                target: if name.starts_with('/') { name.to_owned() } else { format!("/run/secrets/{name}") },
                data: secret.data.clone(),
                mode: file.mode.unwrap_or(0o444),
                uid: number(file.uid.as_ref()),
                gid: number(file.gid.as_ref()),
            });
        }
        for wanted in container.configs.iter().flatten() {
            let Some(config) = wanted.config_id.as_ref().and_then(|id| self.store.configs.get(id)) else { continue };
            let Some(file) = &wanted.file else { continue };
            let name = file.name.as_deref().unwrap_or(&config.name);
            files.push(FileContent {
                target: if name.starts_with('/') { name.to_owned() } else { format!("/{name}") },
                data: config.data.clone(),
                mode: file.mode.unwrap_or(0o444),
                uid: number(file.uid.as_ref()),
                gid: number(file.gid.as_ref()),
            });
        }
        files
    }

    /// Running tasks that take requests of a published port.
    fn mesh(&self) -> Vec<MeshPort> {
        let Some(ingress) = self.store.networks.values().find(|network| network.ingress) else { return Vec::new() };
        let mut mesh = Vec::new();
        for service in self.store.services.values() {
            if !service.ports.iter().any(is_ingress) {
                continue;
            }
            let backends: Vec<IpAddr> = self.endpoints(&service.id, &ingress.id);
            for port in service.ports.iter().filter(|port| is_ingress(port)) {
                let number = |port: Option<i64>| port.and_then(|port| u16::try_from(port).ok());
                let (Some(published), Some(target)) = (number(port.published_port), number(port.target_port)) else {
                    continue;
                };
                mesh.push(MeshPort {
                    network: ingress.id.clone(),
                    port: published,
                    udp: port.protocol == Some(Protocol::UDP),
                    backends: backends.iter().map(|address| (*address, target)).collect(),
                });
            }
        }
        mesh
    }

    /// Addresses of a service's running tasks on a network, oldest task first.
    fn endpoints(&self, service: &str, network: &str) -> Vec<IpAddr> {
        let mut tasks: Vec<&Task> = self
            .store
            .tasks_of(service)
            .filter(|task| task.status.state == State::RUNNING && task.is_wanted())
            .filter(|task| self.store.nodes.get(&task.node).is_some_and(|node| node.state != NodeState::DOWN))
            .collect();
        tasks.sort_by_key(|task| task.slot);
        let attachments = tasks.iter().flat_map(|task| &task.networks);
        attachments.filter(|attachment| attachment.network == network).filter_map(|one| address(&one.address)).collect()
    }

    fn network_assignments(&self, node: &str, tasks: &[&Task], ingress: bool) -> Vec<NetworkAssignment> {
        let mut wanted: BTreeSet<&str> = tasks
            .iter()
            .filter(|task| !task.is_dead())
            .flat_map(|task| &task.networks)
            .map(|attachment| attachment.network.as_str())
            .collect();
        if ingress {
            wanted.extend(
                self.store.networks.values().filter(|network| network.ingress).map(|network| network.id.as_str()),
            );
        }
        let peers: Vec<IpAddr> = self
            .store
            .nodes
            .values()
            .filter(|other| other.id != node && other.state != NodeState::DOWN)
            .filter_map(|other| address(&other.address))
            .collect();
        wanted
            .into_iter()
            .filter_map(|id| self.store.networks.get(id))
            .map(|network| NetworkAssignment {
                names: if network.ingress { Vec::new() } else { self.names(&network.id) },
                peers: peers.clone(),
                network: network.clone(),
            })
            .collect()
    }

    /// `web` and `tasks.web`: the addresses of the running tasks. The hosts have no balancer for virtual addresses, so a
    /// service's name leads to its tasks in both endpoint modes.
    fn names(&self, network: &str) -> Vec<(String, Vec<IpAddr>)> {
        let mut names = Vec::new();
        for service in self.store.services.values() {
            let Some((_, aliases)) = self.wanted_networks(service).into_iter().find(|(id, _)| id == network) else {
                continue;
            };
            let addresses = self.endpoints(&service.id, network);
            for name in aliases.into_iter().chain([service.name().to_owned(), format!("tasks.{}", service.name())]) {
                names.push((name, addresses.clone()));
            }
        }
        names
    }

    /// When an object was made and changed, as the API shows it.
    pub(crate) fn dates(meta: &Meta) -> (Option<String>, Option<String>) {
        (Some(crate::time::rfc3339(meta.created)), Some(crate::time::rfc3339(meta.updated)))
    }
}
