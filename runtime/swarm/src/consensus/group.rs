//! Who belongs to the group: joining, leaving, and which of the others can be reached.

use std::collections::BTreeMap;

use jiff::Timestamp;
use raft::{
    ProgressState, SnapshotStatus, StateRole,
    eraftpb::{ConfChange, ConfChangeType, Entry},
};
use serde::{Deserialize, Serialize};

use super::Member;
use crate::{
    error::{ControlError, ControlResult},
    objects::ManagerState,
    time::later,
};

/// One manager as all know it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Node ID.
    pub node: String,
    /// `host:2377`
    pub address: String,
}

impl Member {
    /// The managers, by raft ID.
    pub fn peers(&self) -> &BTreeMap<u64, Peer> {
        &self.peers
    }

    /// The leader as far as this member knows.
    pub fn leader(&self) -> Option<&Peer> {
        self.peers.get(&self.raft.raft.leader_id)
    }

    /// This member leads, whether or not it has caught up with its own log yet.
    pub fn is_leader(&self) -> bool {
        self.raft.raft.state == StateRole::Leader
    }

    /// For how long (nanoseconds) the group has had no leader that this member knows of.
    pub fn leaderless(&self) -> i64 {
        let nanoseconds = self.now.as_nanosecond() - self.led.as_nanosecond();
        i64::try_from(nanoseconds).unwrap_or(i64::MAX)
    }

    /// Takes a manager into the group. It gets the log first and its vote when it has caught up, so that one which never
    /// comes does not count for the majority.
    ///
    /// # Errors
    /// This member does not lead; the node is unknown or no manager; another change of the group is under way.
    pub fn add(&mut self, now: Timestamp, id: u64, peer: Peer) -> ControlResult<()> {
        let manager = self.manager().ok_or_else(ControlError::no_leader)?;
        let known = manager.store().nodes.get(&peer.node).is_some_and(|node| node.is_manager());
        if id == 0 || !known {
            return Err(ControlError::FailedPrecondition(format!("node {} is not a manager of this swarm", peer.node)));
        }
        if self.peers.get(&id) == Some(&peer) {
            return Ok(());
        }
        // It is heard of by this call, and is not to be unreachable before its first word.
        self.heard.insert(id, now);
        let context = serde_json::to_vec(&peer).unwrap_or_default();
        let kind = if self.peers.contains_key(&id) && self.is_voter(id) {
            ConfChangeType::AddNode
        } else {
            ConfChangeType::AddLearnerNode
        };
        self.propose_membership(kind, id, context)
    }

    fn is_voter(&self, id: u64) -> bool {
        self.configuration.voters.contains(&id)
    }

    fn propose_membership(&mut self, kind: ConfChangeType, id: u64, context: Vec<u8>) -> ControlResult<()> {
        let mut change = ConfChange::default();
        change.set_change_type(kind);
        change.node_id = id;
        let busy = || ControlError::Unknown("raft: a change of the managers is under way".into());
        if self.raft.raft.has_pending_conf() {
            return Err(busy());
        }
        self.raft.propose_conf_change(context, change).map_err(|_| busy())
    }

    pub(super) fn apply_membership(&mut self, entry: &Entry) {
        // Entries that were replaced on their way are empty.
        let Some(change) = read_change(&entry.data) else { return };
        let Ok(configuration) = self.raft.apply_conf_change(&change) else { return };
        self.configuration = configuration;
        match change.get_change_type() {
            ConfChangeType::RemoveNode => {
                self.peers.remove(&change.node_id);
                self.heard.remove(&change.node_id);
                self.failed.remove(&change.node_id);
                self.removed |= change.node_id == self.id();
            }
            ConfChangeType::AddNode | ConfChangeType::AddLearnerNode => {
                if let Ok(peer) = serde_json::from_slice::<Peer>(&entry.context) {
                    self.peers.insert(change.node_id, peer);
                }
                self.heard.entry(change.node_id).or_insert(self.now);
                self.wants_snapshot = true;
            }
        }
    }

    /// What the leader does for the group at every tick: votes for those who have caught up, and managers that are no
    /// managers any more out of it.
    pub(super) fn tend(&mut self) {
        let Some(leading) = &self.leading else { return };
        if self.raft.raft.has_pending_conf() || self.raft.raft.lead_transferee.is_some() {
            return;
        }
        let nodes = &leading.manager.store().nodes;
        let unwanted = |peer: &Peer| nodes.get(&peer.node).is_none_or(|node| !node.is_manager());
        // A node that came back with a new log is another member; the old one will not be heard of again.
        let replaced = |id: u64, peer: &Peer| {
            self.peers.iter().any(|(other, known)| {
                *other != id && known.node == peer.node && self.heard.get(other) > self.heard.get(&id)
            })
        };
        let own = self.id();
        let leaving = self
            .peers
            .iter()
            .filter(|(id, _)| **id != own)
            .find(|(id, peer)| (unwanted(peer) || replaced(**id, peer)) && self.can_remove(**id))
            .map(|(id, _)| *id);
        if let Some(id) = leaving {
            // Tried again at the next tick.
            let _ = self.propose_membership(ConfChangeType::RemoveNode, id, Vec::new());
            return;
        }
        if self.peers.get(&own).is_some_and(unwanted) {
            if let Some(next) = self.best_successor() {
                self.raft.transfer_leader(next);
            }
            return;
        }
        let caught_up = self.configuration.learners.iter().copied().find(|id| {
            let progress = self.raft.raft.prs().get(*id);
            progress.is_some_and(|progress| progress.matched >= self.applied) && self.is_reachable(*id)
        });
        if let Some(id) = caught_up {
            let context = self.peers.get(&id).and_then(|peer| serde_json::to_vec(peer).ok()).unwrap_or_default();
            let _ = self.propose_membership(ConfChangeType::AddNode, id, context);
        }
    }

    /// Raft waits for ever for the answer of a member that was sent the store whole; a link may have lost it.
    pub(super) fn send_whole_again(&mut self) {
        let waiting: Vec<u64> = match &self.leading {
            Some(_) => {
                let members = self.raft.raft.prs().iter();
                members.filter(|(_, one)| one.state == ProgressState::Snapshot).map(|(id, _)| *id).collect()
            }
            None => Vec::new(),
        };
        self.sent_whole.retain(|id, _| waiting.contains(id));
        for id in waiting {
            let ticks = self.sent_whole.entry(id).or_default();
            *ticks += 1;
            if *ticks > self.timing.election_ticks {
                self.sent_whole.remove(&id);
                self.raft.report_snapshot(id, SnapshotStatus::Failure);
            }
        }
    }

    /// The voter that has most of the log.
    fn best_successor(&self) -> Option<u64> {
        let others = self.configuration.voters.iter().copied().filter(|id| *id != self.id() && self.is_reachable(*id));
        others.max_by_key(|id| (self.raft.raft.prs().get(*id).map_or(0, |progress| progress.matched), *id))
    }

    /// Hands leadership over, e.g. before this member leaves. Returns whether there is somebody to take it.
    pub fn hand_over(&mut self) -> bool {
        let next = if self.is_leader() { self.best_successor() } else { None };
        if let Some(next) = next {
            self.raft.transfer_leader(next);
        }
        next.is_some()
    }

    /// Whether the leader hears of a member: the last answer is not older than two ticks and a half.
    pub(super) fn is_reachable(&self, id: u64) -> bool {
        if id == self.id() {
            return true;
        }
        let beat = i64::try_from(self.timing.heartbeat_ticks).unwrap_or(1).saturating_mul(self.timing.tick);
        let heard = self.heard.get(&id).is_some_and(|at| later(*at, beat * 5 / 2) >= self.now);
        heard && !self.failed.contains(&id)
    }

    /// Whether the members that would be left and can be reached are a majority.
    pub(super) fn can_remove(&self, id: u64) -> bool {
        if !self.is_voter(id) {
            return true;
        }
        let left: Vec<u64> = self.configuration.voters.iter().copied().filter(|voter| *voter != id).collect();
        let reachable = left.iter().filter(|voter| self.is_reachable(**voter)).count();
        !left.is_empty() && reachable > left.len() / 2
    }

    /// What the control API shows of the managers.
    pub(super) fn tell_manager(&mut self) {
        if self.leading.is_none() {
            return;
        }
        let own = self.id();
        let states: BTreeMap<String, ManagerState> = self
            .peers
            .iter()
            .map(|(id, peer)| {
                let state = ManagerState {
                    address: peer.address.clone(),
                    leader: *id == own,
                    reachable: self.is_reachable(*id),
                    removable: self.can_remove(*id),
                };
                (peer.node.clone(), state)
            })
            .collect();
        if let Some(leading) = &mut self.leading {
            leading.manager.managers = states;
        }
    }
}

/// The library writes this one message with protobuf into an entry: two numbers and no nesting, so they are read here.
fn read_change(data: &[u8]) -> Option<ConfChange> {
    let mut change = ConfChange::default();
    let mut rest = data;
    while let Some((&key, tail)) = rest.split_first() {
        rest = tail;
        let mut value = 0_u64;
        for shift in (0..).step_by(7) {
            let (&byte, tail) = rest.split_first()?;
            rest = tail;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                break;
            }
        }
        match key {
            0x08 => change.id = value,
            0x10 => {
                change.set_change_type(match value {
                    0 => ConfChangeType::AddNode,
                    1 => ConfChangeType::RemoveNode,
                    2 => ConfChangeType::AddLearnerNode,
                    _ => return None,
                });
            }
            0x18 => change.node_id = value,
            _ => return None,
        }
    }
    (change.node_id != 0).then_some(change)
}
