//! The engine as a node of a swarm: membership, the manager with its part of the raft group, the agent that turns tasks
//! into containers, and the API over both.

mod agent;
mod api;
mod container;
mod control;
mod drive;
mod identity;
mod joining;
mod local_link;
mod logs;
mod manager;
mod membership;
mod networks;
mod role;
mod routing;
mod serve;
mod task;

use std::sync::{Arc, Mutex, PoisonError};

use docklab_api::ApiError;
use docklab_swarm::ControlError;

pub(crate) use membership::Membership;

use crate::Engine;

/// The port that managers listen on.
pub(crate) const PORT: u16 = 2377;

/// This engine's place in a swarm, if it has one.
#[derive(Default)]
pub(crate) struct Swarm {
    membership: Mutex<Option<Arc<Membership>>>,
    joining: Mutex<Option<joining::Joining>>,
    /// One init, join or leave at a time.
    changing: tokio::sync::Mutex<()>,
}

impl Engine {
    pub(crate) fn membership(&self) -> Option<Arc<Membership>> {
        self.swarm.membership.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_membership(&self, membership: Option<Arc<Membership>>) {
        *self.swarm.membership.lock().unwrap_or_else(PoisonError::into_inner) = membership;
    }
}

fn no_swarm() -> ApiError {
    ApiError::unavailable(
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm \
         and try again.",
    )
}

fn control_error(error: ControlError) -> ApiError {
    ApiError::new(error.status(), error.to_string())
}
