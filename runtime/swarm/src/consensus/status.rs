use docklab_api::{RaftMember, RaftRole, RaftStatus};
use raft::StateRole;

use super::Member;

impl Member {
    /// This member's view of the group.
    pub fn status(&self) -> RaftStatus {
        let raft = &self.raft.raft;
        let name = |id: u64| self.peers.get(&id).map_or_else(String::new, |peer| peer.node.clone());
        let milliseconds = |ticks: usize| {
            let ticks = i64::try_from(ticks).unwrap_or(i64::MAX);
            u64::try_from(ticks.saturating_mul(self.timing.tick) / 1_000_000).unwrap_or(0)
        };
        let ticks = self.timing.election_ticks;
        let leads = raft.state == StateRole::Leader;
        let stands = matches!(raft.state, StateRole::Candidate | StateRole::PreCandidate);
        let own = self.id();
        let mut members: Vec<RaftMember> = self
            .peers
            .iter()
            .map(|(id, peer)| RaftMember {
                node_id: peer.node.clone(),
                hostname: self.store.nodes.get(&peer.node).map_or("", |node| node.hostname()).to_owned(),
                address: peer.address.clone(),
                // Followers hear of nobody but the leader.
                reachable: if leads || stands { self.is_reachable(*id) } else { *id == own || *id == raft.leader_id },
                match_index: leads.then(|| raft.prs().get(*id).map_or(0, |progress| progress.matched)),
                granted: if stands { self.votes.get(id).copied() } else { None },
            })
            .collect();
        members.sort_by(|one, other| one.node_id.cmp(&other.node_id));
        RaftStatus {
            node_id: self.node.clone(),
            role: match raft.state {
                StateRole::Leader => RaftRole::Leader,
                StateRole::PreCandidate => RaftRole::PreCandidate,
                StateRole::Candidate => RaftRole::Candidate,
                StateRole::Follower => RaftRole::Follower,
            },
            term: raft.term,
            vote: name(raft.vote),
            leader: name(raft.leader_id),
            last_index: raft.raft_log.last_index(),
            commit_index: raft.raft_log.committed,
            applied_index: self.applied,
            snapshot_index: self.raft.store().snapshot_index(),
            election_milliseconds: (milliseconds(ticks), milliseconds(2 * ticks)),
            quorum: self.configuration.voters.len() as u64 / 2 + 1,
            members,
        }
    }
}
