//! The cluster, sans-IO: store, orchestrators, scheduler, updater, dispatcher.
//!
//! A [`Manager`] holds the cluster's objects and runs its control loops. It reads no clock and opens no socket: time comes
//! in with every call ([`Manager::step`]), and what other nodes must be told comes out of
//! [`Manager::take_messages`]. The same calls with the same seed give the same cluster.
//!
//! An engine that manages a swarm owns a [`Member`] of the managers' raft group, which holds the store and, while it leads,
//! the manager.

mod allocator;
mod authority;
mod consensus;
mod constraints;
mod control;
mod dispatcher;
mod error;
mod manager;
mod messages;
mod objects;
mod orchestrator;

mod random;
mod reaper;
mod restart;
mod scheduler;
mod store;
#[cfg(test)]
mod tests;
mod time;
mod update;

pub use authority::{Authority, CertificateError, Holder, PrivateKey, certificates, verify, verify_by_digest};
pub use consensus::{CodecError, LostLeadership, Member, Peer, RestoreError, Ticket, Timing, Work, Write};
pub use constraints::{Constraint, ConstraintError};
pub use control::{Call, Joined, NewNetwork, TokenRotation, insert_defaults, token_digest};
pub use error::{ControlError, ControlResult};
pub use manager::Manager;
pub use messages::{
    Assignments, FileContent, FromManager, FromNode, MeshPort, NetworkAssignment, TaskAssignment, TaskReport,
};
pub use objects::{
    Attachment, Cluster, ContainerState, ManagerState, Network, Node, Secret, Service, State, Status, Task,
};
pub use random::{Random, base36};
pub use store::{Change, ChangeAction, ObjectKind, Store};
