use std::{collections::HashMap, rc::Rc};

use docklab_api::models::{
    EndpointPortConfigPublishModeEnum, Node, NodeSpecAvailabilityEnum, NodeSpecRoleEnum, NodeState, Reachability,
    Service, ServiceUpdateStatusStateEnum, Task, TaskState,
};

use super::RaftViews;

/// What the page knows of a swarm: the API's objects, reduced to what is drawn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SwarmView {
    /// The session's node whose manager was asked.
    pub seen_from: String,
    /// By name, in natural order: node2 before node10.
    pub nodes: Vec<Rc<MemberView>>,
    /// By name.
    pub services: Vec<Rc<ServiceView>>,
    /// By service, slot and age: the newest task of a slot first. Shared with earlier views where nothing changed.
    pub tasks: Vec<Rc<TaskView>>,
    /// Empty where the engines tell nothing of it.
    pub raft: Rc<RaftViews>,
}

/// A node of the swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    pub id: String,
    pub name: String,
    pub is_manager: bool,
    pub availability: NodeSpecAvailabilityEnum,
    pub state: NodeState,
    /// Why it is down, in the manager's words.
    pub message: String,
    pub address: String,
    pub is_leader: bool,
    /// Of managers.
    pub reachability: Option<Reachability>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceMode {
    Replicated,
    Global,
    /// A job, on one node or on all.
    Job,
}

/// A port that a service publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    pub published: u16,
    pub target: u16,
    pub protocol: String,
    /// Every node answers; otherwise only the nodes with a task.
    pub through_mesh: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateView {
    pub state: ServiceUpdateStatusStateEnum,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceView {
    pub id: String,
    pub name: String,
    pub mode: ServiceMode,
    /// Without its digest.
    pub image: String,
    pub desired: u64,
    pub running: u64,
    pub ports: Vec<ServicePort>,
    /// Of the last update that changed its tasks.
    pub update: Option<UpdateView>,
}

/// One task, from its creation to the end of its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskView {
    pub id: String,
    pub service: String,
    /// As `docker service ps` prints it: `web.1`, of a global service `web.<node>`.
    pub name: String,
    /// 0 for tasks of global services.
    pub slot: u64,
    /// Empty until the scheduler has chosen one.
    pub node: String,
    pub image: String,
    pub state: TaskState,
    pub desired: TaskState,
    pub message: String,
    /// Why it failed, was rejected, or still waits.
    pub error: String,
    pub exit_code: i64,
    pub container: String,
    pub created: String,
    /// When it entered its state (RFC 3339).
    pub since: String,
    version: u64,
}

impl MemberView {
    pub fn of(node: &Node) -> Self {
        let spec = node.spec.clone().unwrap_or_default();
        let status = node.status.clone().unwrap_or_default();
        let description = node.description.clone().unwrap_or_default();
        let id = node.id.clone().unwrap_or_default();
        Self {
            name: description.hostname.filter(|name| !name.is_empty()).unwrap_or_else(|| id.clone()),
            is_manager: spec.role == Some(NodeSpecRoleEnum::MANAGER),
            availability: spec.availability.unwrap_or(NodeSpecAvailabilityEnum::ACTIVE),
            state: status.state.unwrap_or(NodeState::UNKNOWN),
            message: status.message.unwrap_or_default(),
            address: status.addr.unwrap_or_default(),
            is_leader: node.manager_status.as_ref().and_then(|status| status.leader).unwrap_or(false),
            reachability: node.manager_status.as_ref().and_then(|status| status.reachability),
            id,
        }
    }

    /// `Ready`, `Down`, …, as `docker node ls` says it.
    pub fn state_text(&self) -> &'static str {
        match self.state {
            NodeState::READY => "Ready",
            NodeState::DOWN => "Down",
            NodeState::DISCONNECTED => "Disconnected",
            NodeState::UNKNOWN => "Unknown",
        }
    }

    pub fn availability_text(&self) -> &'static str {
        match self.availability {
            NodeSpecAvailabilityEnum::DRAIN => "Drain",
            NodeSpecAvailabilityEnum::PAUSE => "Pause",
            NodeSpecAvailabilityEnum::ACTIVE | NodeSpecAvailabilityEnum::EMPTY => "Active",
        }
    }

    /// `Leader`, `Reachable`, `Unreachable` for managers, `Worker` for the others.
    pub fn role_text(&self) -> &'static str {
        match (self.is_manager, self.is_leader, self.reachability) {
            (_, true, _) => "Leader",
            (true, _, Some(Reachability::UNREACHABLE)) => "Manager, unreachable",
            (true, ..) => "Manager",
            (false, ..) => "Worker",
        }
    }

    /// Whether this manager counts towards the majority.
    pub fn votes(&self) -> bool {
        self.is_manager && self.reachability.is_none_or(|reachability| reachability == Reachability::REACHABLE)
    }
}

/// An image reference without its digest.
fn image_name(image: Option<&String>) -> String {
    image.map(|image| image.split('@').next().unwrap_or_default().to_owned()).unwrap_or_default()
}

impl ServiceView {
    pub fn of(service: &Service) -> Self {
        let spec = service.spec.clone().unwrap_or_default();
        let mode = spec.mode.unwrap_or_default();
        let container = spec.task_template.and_then(|template| template.container_spec);
        let status = service.service_status.clone().unwrap_or_default();
        let replicas = mode.replicated.as_ref().and_then(|replicated| replicated.replicas);
        let ports = service.endpoint.clone().and_then(|endpoint| endpoint.ports).unwrap_or_default();
        let number = |port: Option<i64>| port.and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
        Self {
            id: service.id.clone().unwrap_or_default(),
            name: spec.name.unwrap_or_default(),
            mode: match (&mode.replicated, &mode.global) {
                (Some(_), _) => ServiceMode::Replicated,
                (None, Some(_)) => ServiceMode::Global,
                (None, None) => ServiceMode::Job,
            },
            image: image_name(container.and_then(|container| container.image).as_ref()),
            desired: replicas
                .and_then(|replicas| u64::try_from(replicas).ok())
                .or(status.desired_tasks)
                .unwrap_or_default(),
            running: status.running_tasks.unwrap_or_default(),
            ports: ports
                .iter()
                .map(|port| ServicePort {
                    published: number(port.published_port),
                    target: number(port.target_port),
                    protocol: port.protocol.map_or_else(|| "tcp".to_owned(), |protocol| protocol.to_string()),
                    through_mesh: port.publish_mode != Some(EndpointPortConfigPublishModeEnum::HOST),
                })
                .collect(),
            update: service.update_status.as_ref().and_then(|status| {
                let state = status.state.filter(|state| *state != ServiceUpdateStatusStateEnum::EMPTY)?;
                Some(UpdateView { state, message: status.message.clone().unwrap_or_default() })
            }),
        }
    }

    /// The first port that a browser or curl could ask.
    pub fn web_port(&self) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.protocol == "tcp" && port.published > 0)
    }
}

impl UpdateView {
    /// Whether tasks are being exchanged.
    pub fn is_rolling(&self) -> bool {
        matches!(self.state, ServiceUpdateStatusStateEnum::UPDATING | ServiceUpdateStatusStateEnum::ROLLBACK_STARTED)
    }
    pub fn is_paused(&self) -> bool {
        matches!(self.state, ServiceUpdateStatusStateEnum::PAUSED | ServiceUpdateStatusStateEnum::ROLLBACK_PAUSED)
    }
    pub fn text(&self) -> &'static str {
        match self.state {
            ServiceUpdateStatusStateEnum::UPDATING => "Updating",
            ServiceUpdateStatusStateEnum::PAUSED => "Update paused",
            ServiceUpdateStatusStateEnum::COMPLETED => "Update completed",
            ServiceUpdateStatusStateEnum::ROLLBACK_STARTED => "Rolling back",
            ServiceUpdateStatusStateEnum::ROLLBACK_PAUSED => "Rollback paused",
            ServiceUpdateStatusStateEnum::ROLLBACK_COMPLETED => "Rolled back",
            ServiceUpdateStatusStateEnum::EMPTY => "",
        }
    }
}

impl TaskView {
    fn of(task: &Task, service: &str, node: &str) -> Self {
        let status = task.status.as_ref();
        let container = status.and_then(|status| status.container_status.as_ref());
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        let slot = task.slot.and_then(|slot| u64::try_from(slot).ok()).unwrap_or_default();
        let spec = task.spec.as_ref().and_then(|spec| spec.container_spec.as_ref());
        Self {
            id: task.id.clone().unwrap_or_default(),
            service: task.service_id.clone().unwrap_or_default(),
            name: if slot == 0 { format!("{service}.{node}") } else { format!("{service}.{slot}") },
            slot,
            node: task.node_id.clone().unwrap_or_default(),
            image: image_name(spec.and_then(|spec| spec.image.as_ref())),
            state: status.and_then(|status| status.state).unwrap_or(TaskState::NEW),
            desired: task.desired_state.unwrap_or(TaskState::RUNNING),
            message: text(status.and_then(|status| status.message.as_ref())),
            error: text(status.and_then(|status| status.err.as_ref())),
            exit_code: container.and_then(|container| container.exit_code).unwrap_or_default(),
            container: text(container.and_then(|container| container.container_id.as_ref())),
            created: task.created_at.clone().unwrap_or_default(),
            since: text(status.and_then(|status| status.timestamp.as_ref())),
            version: task.version.as_ref().and_then(|version| version.index).unwrap_or_default(),
        }
    }

    /// The word that Docker uses, also the value of `data-state` in the page's styles.
    pub fn state_word(&self) -> &'static str {
        state_word(self.state)
    }

    /// Whether it still is, or may become, what its service wants.
    pub fn is_current(&self) -> bool {
        self.desired <= TaskState::RUNNING && self.state <= TaskState::RUNNING
    }

    /// Whether it is being ended but is not there yet. On a node that is down it stays so.
    pub fn is_stopping(&self) -> bool {
        self.desired > TaskState::RUNNING && self.state <= TaskState::RUNNING && self.state >= TaskState::ASSIGNED
    }

    /// Whether it ended in a way that nobody wanted.
    pub fn has_failed(&self) -> bool {
        matches!(self.state, TaskState::FAILED | TaskState::REJECTED | TaskState::ORPHANED)
    }

    /// Of the nine states up to running, how many it has reached; 0 for one that has ended.
    pub fn progress(&self) -> u8 {
        progress(self.state)
    }

    /// Where it stands in its service: tasks with the same key succeed one another.
    pub fn place(&self) -> (&str, u64, &str) {
        (&self.service, self.slot, if self.slot == 0 { &self.node } else { "" })
    }
}

/// Of the nine states up to running, which one; 0 for what comes behind.
fn progress(state: TaskState) -> u8 {
    match state {
        TaskState::NEW => 1,
        TaskState::ALLOCATED => 2,
        TaskState::PENDING => 3,
        TaskState::ASSIGNED => 4,
        TaskState::ACCEPTED => 5,
        TaskState::PREPARING => 6,
        TaskState::READY => 7,
        TaskState::STARTING => 8,
        TaskState::RUNNING => 9,
        _ => 0,
    }
}

/// As `docker service ps` names it, in lower case.
pub fn state_word(state: TaskState) -> &'static str {
    match state {
        TaskState::NEW => "new",
        TaskState::ALLOCATED => "allocated",
        TaskState::PENDING => "pending",
        TaskState::ASSIGNED => "assigned",
        TaskState::ACCEPTED => "accepted",
        TaskState::PREPARING => "preparing",
        TaskState::READY => "ready",
        TaskState::STARTING => "starting",
        TaskState::RUNNING => "running",
        TaskState::COMPLETE => "complete",
        TaskState::SHUTDOWN => "shutdown",
        TaskState::FAILED => "failed",
        TaskState::REJECTED => "rejected",
        TaskState::REMOVE => "remove",
        TaskState::ORPHANED => "orphaned",
    }
}

/// Pads the numbers of a name, so that names sort as people count.
fn natural(name: &str) -> String {
    let mut key = String::new();
    let mut digits = String::new();
    for character in name.chars().chain(['\0']) {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        if !digits.is_empty() {
            key.push_str(&format!("{digits:0>12}"));
            digits.clear();
        }
        key.push(character);
    }
    key
}

/// The former object where nothing changed, so that views share what is equal.
fn share<T: PartialEq>(value: T, former: Option<&Rc<T>>) -> Rc<T> {
    match former {
        Some(former) if **former == value => former.clone(),
        _ => Rc::new(value),
    }
}

impl SwarmView {
    /// Reduces the lists that a manager answered. `former` lends what has not changed.
    pub fn of(
        seen_from: &str,
        nodes: &[Node],
        services: &[Service],
        tasks: &[Task],
        raft: RaftViews,
        former: &Self,
    ) -> Self {
        let mut members: Vec<Rc<MemberView>> = nodes
            .iter()
            .map(|node| {
                let view = MemberView::of(node);
                let known = former.nodes.iter().find(|known| known.id == view.id);
                share(view, known)
            })
            .collect();
        members.sort_by_cached_key(|node| (natural(&node.name), node.id.clone()));
        let mut service_views: Vec<Rc<ServiceView>> = services
            .iter()
            .map(|service| {
                let view = ServiceView::of(service);
                let known = former.services.iter().find(|known| known.id == view.id);
                share(view, known)
            })
            .collect();
        service_views.sort_by(|one, other| one.name.cmp(&other.name));
        let service_names: HashMap<&str, &str> =
            service_views.iter().map(|service| (service.id.as_str(), service.name.as_str())).collect();
        let node_names: HashMap<&str, &str> =
            members.iter().map(|node| (node.id.as_str(), node.name.as_str())).collect();
        let known: HashMap<&str, &Rc<TaskView>> = former.tasks.iter().map(|task| (task.id.as_str(), task)).collect();
        let mut task_views: Vec<Rc<TaskView>> = tasks
            .iter()
            .map(|task| {
                let name_of = |names: &HashMap<&str, &str>, id: Option<&String>| {
                    let id = id.map(String::as_str).unwrap_or_default();
                    names.get(id).copied().unwrap_or(id).to_owned()
                };
                let service = name_of(&service_names, task.service_id.as_ref());
                let node = name_of(&node_names, task.node_id.as_ref());
                let view = TaskView::of(task, &service, &node);
                let former = known.get(view.id.as_str()).copied();
                share(view, former)
            })
            .collect();
        task_views.sort_by(|one, other| {
            // The newest first: times of one engine compare as text.
            (one.place().cmp(&other.place()))
                .then_with(|| other.created.cmp(&one.created))
                .then_with(|| one.id.cmp(&other.id))
        });
        let raft = share(raft, Some(&former.raft));
        Self { seen_from: seen_from.to_owned(), nodes: members, services: service_views, tasks: task_views, raft }
    }

    pub fn service(&self, id: &str) -> Option<&Rc<ServiceView>> {
        self.services.iter().find(|service| service.id == id)
    }
    pub fn node(&self, id: &str) -> Option<&Rc<MemberView>> {
        self.nodes.iter().find(|node| node.id == id)
    }
    pub fn task(&self, id: &str) -> Option<&Rc<TaskView>> {
        self.tasks.iter().find(|task| task.id == id)
    }

    /// What the picture shows: tasks that run or will, and those that are being ended.
    pub fn shown_tasks(&self) -> impl Iterator<Item = &Rc<TaskView>> {
        self.tasks.iter().filter(|task| task.is_current() || task.is_stopping())
    }

    /// The tasks that stood in the same place before this one and after it, newest first.
    pub fn history_of<'a>(&'a self, task: &'a TaskView) -> impl Iterator<Item = &'a Rc<TaskView>> {
        self.tasks.iter().filter(move |other| other.place() == task.place())
    }

    /// Tasks that no node has been found for.
    pub fn waiting(&self) -> impl Iterator<Item = &Rc<TaskView>> {
        self.tasks.iter().filter(|task| task.node.is_empty() && task.is_current())
    }

    /// Of a rolling update: tasks that run the new image, and how many there are in all.
    pub fn updated(&self, service: &ServiceView) -> (usize, usize) {
        let tasks = || self.tasks.iter().filter(|task| task.service == service.id && task.is_current());
        let new = tasks().filter(|task| task.image == service.image && task.state == TaskState::RUNNING).count();
        (new, tasks().count())
    }
}
