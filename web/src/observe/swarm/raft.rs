//! How the managers agree: their votes, their log, and how many of them may still fail.

use docklab_api::{RaftRole, RaftStatus};

use super::SwarmView;

/// A manager's role in its raft group, in words.
pub fn raft_role(role: RaftRole) -> &'static str {
    match role {
        RaftRole::Leader => "leader",
        RaftRole::PreCandidate => "asks for votes",
        RaftRole::Candidate => "candidate",
        RaftRole::Follower => "follower",
    }
}

/// The managers' own views of their group, each from the manager itself.
pub type RaftViews = Vec<RaftStatus>;

/// What the manager of that swarm node says of its group.
pub fn raft_of<'a>(views: &'a RaftViews, node: &str) -> Option<&'a RaftStatus> {
    views.iter().find(|status| status.node_id == node)
}

/// Whether the managers can still decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quorum {
    pub managers: usize,
    pub reachable: usize,
}

impl Quorum {
    pub fn of(view: &SwarmView) -> Self {
        let managers = view.nodes.iter().filter(|node| node.is_manager);
        Self { reachable: managers.clone().filter(|node| node.votes()).count(), managers: managers.count() }
    }

    /// More than half of all managers, whether they answer or not.
    pub fn majority(self) -> usize {
        self.managers / 2 + 1
    }

    pub fn is_lost(self) -> bool {
        self.reachable < self.majority()
    }

    /// How many more managers may fail.
    pub fn spare(self) -> usize {
        self.reachable.saturating_sub(self.majority())
    }

    /// What follows from the numbers, as a sentence.
    pub fn sentence(self) -> String {
        let majority = self.majority();
        if self.is_lost() {
            return format!(
                "Quorum lost: {} of {} managers answer and {majority} are needed. Tasks run on; nothing can be changed.",
                self.reachable, self.managers
            );
        }
        let more = if self.reachable < self.managers { "more " } else { "" };
        let spare = match (self.spare(), more) {
            (0, "") => "none may fail".to_owned(),
            (0, _) => "no more may fail".to_owned(),
            (1, more) => format!("one {more}may fail"),
            (many, more) => format!("{many} {more}may fail"),
        };
        match self.managers {
            1 => "One manager: it is its own majority, so it may not fail.".to_owned(),
            managers if self.reachable == managers => {
                format!("{managers} managers, majority {majority}: {spare}.")
            }
            managers => format!("{} of {managers} managers answer, majority {majority}: {spare}.", self.reachable),
        }
    }
}
