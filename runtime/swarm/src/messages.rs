//! What nodes and managers tell each other.

use std::net::IpAddr;

use docklab_api::{
    Logs,
    models::{EndpointPortConfig, NodeDescription, TaskSpec},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    control::{Call, Joined},
    error::ControlResult,
    objects::{Attachment, ContainerState, Network, State},
};

/// From a node to the manager.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromNode {
    /// Asks to become a member.
    Join {
        token: String,
        description: NodeDescription,
        /// SEC1, standard base64.
        public_key: String,
    },
    /// A member wants a new certificate for this public key.
    Renew {
        public_key: String,
    },
    /// The link will carry raft's messages, each as it is, from another manager. `secret` is the receiver's own, which
    /// only managers know beside it.
    Raft {
        secret: String,
        /// The sender's raft ID, where it listens and its own secret, for a receiver that knows nobody yet.
        id: u64,
        address: String,
        own_secret: String,
    },
    /// Asks a manager on behalf of another one, or of a node that may ask for this.
    Call {
        from: String,
        secret: String,
        call: Box<Call>,
    },
    /// Wants the output of a service's tasks, or of one task, from the leader.
    ReadLogs {
        secret: String,
        service: Option<String>,
        task: Option<String>,
        options: Logs,
    },
    /// Opens a session of a member. The address that tasks are reached by is the link's when empty.
    Register {
        node: String,
        secret: String,
        description: NodeDescription,
        address: String,
    },
    Heartbeat {
        session: String,
    },
    Report(Vec<TaskReport>),
    /// The node goes on purpose.
    Leave,
    /// Output of a task that was asked for; `None` ends it.
    Logs {
        request: u64,
        chunk: Option<(bool, Vec<u8>)>,
    },
}

/// A task's state as its node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    pub task: String,
    pub state: State,
    pub at: Timestamp,
    pub message: String,
    pub error: String,
    pub container: Option<ContainerState>,
    pub ports: Vec<EndpointPortConfig>,
}

/// From the manager to a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromManager {
    /// The answer to `Join`.
    Joined {
        joined: Joined,
        /// Node ID and address of the managers.
        managers: Vec<(String, String)>,
    },
    /// The answer to `Renew`, PEM.
    Certificate {
        certificate: String,
        roots: String,
    },
    /// One of raft's messages has arrived: a link that a cut has made silent is known by the lack of it.
    Received,
    /// The answer to `Call`.
    Answer(ControlResult<serde_json::Value>),
    /// This manager does not lead. Where the leader listens, if it is known.
    NotLeader {
        leader: Option<String>,
    },
    /// The node's role and where the managers listen, whenever one of them changes.
    Cluster {
        manager: bool,
        managers: Vec<(String, String)>,
        /// Root certificates of the swarm, PEM: new ones mean that the node's certificate is to be renewed.
        roots: String,
    },
    /// The answer to the other side's `ReadLogs`; standard error or output. `None` ends it.
    Output(Option<(bool, Vec<u8>)>),
    /// The request cannot be served; Docker's words.
    Refused(String),
    /// The answer to `Register`.
    Session {
        session: String,
        period: i64,
    },
    /// The answer to `Heartbeat`: the next one is due after `period` nanoseconds.
    Heartbeat {
        period: i64,
    },
    /// Everything the node has to do, complete each time.
    Assignments(Assignments),
    /// Wants a task's output; `tail` of `None` is all.
    ReadLogs {
        request: u64,
        task: String,
        follow: bool,
        tail: Option<u64>,
        since: Option<Timestamp>,
        stdout: bool,
        stderr: bool,
    },
    CancelLogs {
        request: u64,
    },
}

/// A node's complete duty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Assignments {
    pub tasks: Vec<TaskAssignment>,
    pub networks: Vec<NetworkAssignment>,
    pub mesh: Vec<MeshPort>,
}

/// A file of a secret or config in a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileContent {
    /// Absolute path in the container.
    pub target: String,
    /// Standard base64.
    pub data: String,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskAssignment {
    pub id: String,
    pub name: String,
    pub slot: u64,
    pub service: String,
    pub service_name: String,
    pub service_labels: Vec<(String, String)>,
    pub node: String,
    pub desired: State,
    pub spec: TaskSpec,
    pub networks: Vec<Attachment>,
    /// Ports to open on the node itself.
    pub host_ports: Vec<EndpointPortConfig>,
    pub files: Vec<FileContent>,
    /// It has run and ended: only its container is kept.
    pub ended: bool,
}

/// A network as one node must have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkAssignment {
    pub network: Network,
    /// Names that containers on it resolve, complete.
    pub names: Vec<(String, Vec<IpAddr>)>,
    /// Addresses of the other nodes.
    pub peers: Vec<IpAddr>,
}

/// A published port of the routing mesh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeshPort {
    pub network: String,
    pub port: u16,
    pub udp: bool,
    pub backends: Vec<(IpAddr, u16)>,
}
