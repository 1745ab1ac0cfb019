//! The consensus of a swarm's managers, which Docker's API has no type for.

use serde::{Deserialize, Serialize};

/// What one manager knows of its raft group: its own place in it exactly, the others' as far as it hears of them.
///
/// Served at `GET /docklab/raft`, a path that a stock Docker Engine answers with 404. Every manager tells its own view:
/// two that are cut off from each other may name different leaders, of different terms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RaftStatus {
    /// The manager that answers.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    pub role: RaftRole,
    /// The election period; it only goes up.
    pub term: u64,
    /// Node ID that got this manager's vote in this term; empty where it has not voted.
    pub vote: String,
    /// Node ID of the leader of this term as far as this manager knows; empty without one.
    pub leader: String,
    /// Position of the last entry in this manager's log.
    pub last_index: u64,
    /// Position up to which a majority is known to hold the log.
    pub commit_index: u64,
    /// Position up to which the log has been carried out here.
    pub applied_index: u64,
    /// Position up to which the log is replaced by a snapshot.
    pub snapshot_index: u64,
    /// Milliseconds without a word from a leader after which a manager stands for election, at least and at most.
    pub election_milliseconds: (u64, u64),
    /// Managers that must agree.
    pub quorum: u64,
    /// All managers, this one too, by node ID.
    pub members: Vec<RaftMember>,
}

/// What a manager does in its group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RaftRole {
    Leader,
    /// Asks whether it would be elected, without a new term yet.
    PreCandidate,
    Candidate,
    #[default]
    Follower,
}

/// One manager as another sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RaftMember {
    #[serde(rename = "NodeID")]
    pub node_id: String,
    pub hostname: String,
    /// `host:2377`
    pub address: String,
    /// Its messages arrive.
    pub reachable: bool,
    /// Position up to which its log is known to be the leader's; only a leader knows.
    pub match_index: Option<u64>,
    /// What it answered to this manager's candidacy.
    pub granted: Option<bool>,
}
