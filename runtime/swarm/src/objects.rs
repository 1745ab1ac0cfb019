use std::collections::BTreeMap;

use docklab_api::models::{
    ContainerStatus, EndpointPortConfig, IpamConfig, NodeDescription, NodeSpec, NodeSpecAvailabilityEnum,
    NodeSpecRoleEnum, NodeState, ServiceSpec, ServiceUpdateStatusStateEnum, SwarmSpec, TaskSpec, TaskState,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{authority::Authority, random::base36};

/// A task's state. The order is the state machine's: a task's observed state never decreases.
pub type State = TaskState;

/// What every object has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// The store's version when this object was last changed; updates must name it.
    pub version: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: String,
    pub meta: Meta,
    pub spec: NodeSpec,
    pub description: NodeDescription,
    pub state: NodeState,
    /// Why the node is in this state, e.g. `heartbeat failure`.
    pub message: String,
    /// The address that the manager sees.
    pub address: String,
    /// Digest (hexadecimal) of the root that has issued its certificate.
    pub issuer: String,
    /// Proves that a session comes from the node that joined.
    pub secret: String,
}

impl Node {
    pub fn hostname(&self) -> &str {
        self.description.hostname.as_deref().unwrap_or("")
    }
    pub fn is_manager(&self) -> bool {
        self.spec.role == Some(NodeSpecRoleEnum::MANAGER)
    }
    pub fn availability(&self) -> NodeSpecAvailabilityEnum {
        self.spec.availability.unwrap_or(NodeSpecAvailabilityEnum::ACTIVE)
    }
    pub(crate) fn is_active(&self) -> bool {
        self.availability() == NodeSpecAvailabilityEnum::ACTIVE
    }
    /// Tasks on it must go: drained, or down.
    pub(crate) fn is_unusable(&self) -> bool {
        self.state == NodeState::DOWN || self.availability() == NodeSpecAvailabilityEnum::DRAIN
    }
}

/// A manager's part in the raft group, as the leader sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManagerState {
    /// `host:2377`
    pub address: String,
    pub leader: bool,
    pub reachable: bool,
    /// The others would still be a majority without it.
    pub removable: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateStatus {
    pub state: ServiceUpdateStatusStateEnum,
    pub started: Option<Timestamp>,
    pub completed: Option<Timestamp>,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    pub id: String,
    pub meta: Meta,
    pub spec: ServiceSpec,
    /// Changes with every new specification; tasks carry the one they were made from.
    pub spec_version: u64,
    pub previous: Option<ServiceSpec>,
    pub update: Option<UpdateStatus>,
    /// Published ports as allocated.
    pub ports: Vec<EndpointPortConfig>,
    /// Network ID and address with prefix length.
    pub virtual_ips: Vec<(String, String)>,
    /// Of job services: which run of the job this is.
    pub job_iteration: u64,
    pub job_started: Option<Timestamp>,
}

impl Service {
    pub fn name(&self) -> &str {
        self.spec.name.as_deref().unwrap_or("")
    }
    pub(crate) fn template(&self) -> TaskSpec {
        self.spec.task_template.clone().unwrap_or_default()
    }
    pub fn is_global(&self) -> bool {
        self.spec.mode.as_ref().is_some_and(|mode| mode.global.is_some() || mode.global_job.is_some())
    }
    pub fn is_job(&self) -> bool {
        self.spec.mode.as_ref().is_some_and(|mode| mode.replicated_job.is_some() || mode.global_job.is_some())
    }
    /// Replicas of a replicated service; 1 where the mode says nothing.
    pub fn replicas(&self) -> u64 {
        let wanted = self.spec.mode.as_ref().and_then(|mode| mode.replicated.as_ref()).and_then(|mode| mode.replicas);
        u64::try_from(wanted.unwrap_or(1)).unwrap_or(0)
    }
    /// Networks that its tasks join, in either place of the specification.
    pub fn network_targets(&self) -> Vec<docklab_api::models::NetworkAttachmentConfig> {
        let template = self.spec.task_template.as_ref().and_then(|template| template.networks.clone());
        template.filter(|networks| !networks.is_empty()).or_else(|| self.spec.networks.clone()).unwrap_or_default()
    }
}

/// A task's place on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub network: String,
    /// With prefix length.
    pub address: String,
    pub aliases: Vec<String>,
}

/// The container of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerState {
    pub id: String,
    pub pid: i64,
    pub exit_code: i64,
}

/// What is known of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub state: State,
    pub at: Timestamp,
    pub message: String,
    pub error: String,
    pub container: Option<ContainerState>,
    /// Ports that the node opened for host-mode publishing.
    pub ports: Vec<EndpointPortConfig>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub id: String,
    pub meta: Meta,
    pub service: String,
    pub service_name: String,
    /// From 1; 0 for the tasks of global services.
    pub slot: u64,
    /// Empty until a node is chosen.
    pub node: String,
    pub spec: TaskSpec,
    pub spec_version: u64,
    pub ports: Vec<EndpointPortConfig>,
    pub status: Status,
    pub desired: State,
    pub networks: Vec<Attachment>,
    pub job_iteration: Option<u64>,
}

impl Task {
    /// `web.1`, or `web.<node>` for global services.
    pub fn name(&self) -> String {
        if self.slot == 0 {
            format!("{}.{}", self.service_name, self.node)
        } else {
            format!("{}.{}", self.service_name, self.slot)
        }
    }
    pub(crate) fn place(&self) -> Place {
        if self.slot == 0 { Place::Node(self.node.clone()) } else { Place::Slot(self.slot) }
    }
    /// Somebody still wants it to run (or to complete).
    pub fn is_wanted(&self) -> bool {
        self.desired <= State::COMPLETE
    }
    /// It does not run and never will again.
    pub fn is_dead(&self) -> bool {
        self.status.state > State::RUNNING
    }
    pub(crate) fn container_status(&self) -> Option<ContainerStatus> {
        self.status.container.as_ref().map(|container| ContainerStatus {
            container_id: Some(container.id.clone()),
            pid: Some(container.pid),
            exit_code: Some(container.exit_code),
        })
    }
}

/// What one task after the other fills: a replicated service's slot, or a global service's node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Place {
    Slot(u64),
    Node(String),
}

/// A secret or a config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Secret {
    pub id: String,
    pub meta: Meta,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// Standard base64, as the API carries it.
    pub data: String,
}

/// A network of the whole swarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    pub id: String,
    pub meta: Meta,
    pub name: String,
    pub ipam: IpamConfig,
    pub vni: u32,
    pub ingress: bool,
    pub internal: bool,
    pub attachable: bool,
    pub labels: BTreeMap<String, String>,
    pub options: BTreeMap<String, String>,
    /// The last address given away: the next search begins behind it.
    pub(crate) cursor: u32,
}

/// The swarm itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    pub id: String,
    pub meta: Meta,
    pub spec: SwarmSpec,
    /// Its root certificate identifies the swarm in join tokens.
    pub authority: Authority,
    /// Root certificates (PEM) that are being replaced: nodes that have none of the new one are still known by them.
    pub old_roots: String,
    pub worker_secret: [u8; 16],
    pub manager_secret: [u8; 16],
    pub address_pools: Vec<String>,
    pub subnet_size: u32,
    pub data_path_port: u32,
}

impl Cluster {
    /// `SWMTKN-1-<root>-<secret>`.
    pub fn token(&self, manager: bool) -> String {
        let secret = if manager { &self.manager_secret } else { &self.worker_secret };
        format!("SWMTKN-1-{}-{}", base36(&self.authority.digest(), 50), base36(secret, 25))
    }
    /// All root certificates that nodes may be known by, the current one first.
    pub fn roots(&self) -> String {
        format!("{}{}", self.authority.certificate, self.old_roots)
    }
    /// Nanoseconds that a node's certificate is valid.
    pub(crate) fn certificate_lifetime(&self) -> i64 {
        let wanted = self.spec.ca_config.as_ref().and_then(|part| part.node_cert_expiry);
        wanted.filter(|expiry| *expiry > 0).unwrap_or(90 * 86_400 * crate::time::SECOND)
    }
    /// Nanoseconds between two heartbeats.
    pub(crate) fn heartbeat_period(&self) -> i64 {
        let wanted = self.spec.dispatcher.as_ref().and_then(|dispatcher| dispatcher.heartbeat_period);
        wanted.filter(|period| *period > 0).unwrap_or(5 * crate::time::SECOND)
    }
    /// Tasks kept a slot; negative keeps all.
    pub(crate) fn history_limit(&self) -> i64 {
        let wanted = self.spec.orchestration.as_ref().and_then(|part| part.task_history_retention_limit);
        wanted.unwrap_or(5)
    }
}
