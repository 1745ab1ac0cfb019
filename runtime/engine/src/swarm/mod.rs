//! The engine as a node of a swarm: membership, the leader that drives the cluster's state machine, the agent that turns
//! tasks into containers, and the API over both.

mod agent;
mod api;
mod container;
mod leader;
mod local_link;
mod logs;
mod membership;
mod networks;
mod routing;
mod task;

use std::sync::{Arc, Mutex, PoisonError};

use docklab_api::{ApiError, ApiResult};
use docklab_swarm::ControlError;

pub(crate) use membership::Membership;

use crate::Engine;

/// The port that managers listen on.
pub(crate) const PORT: u16 = 2377;

/// This engine's place in a swarm, if it has one.
#[derive(Default)]
pub(crate) struct Swarm {
    membership: Mutex<Option<Arc<Membership>>>,
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

fn control_error(error: ControlError) -> ApiError {
    ApiError::new(error.status(), error.to_string())
}

trait ControlResultExt<T> {
    /// A refusal of the cluster with its HTTP status.
    fn api(self) -> ApiResult<T>;
}

impl<T> ControlResultExt<T> for docklab_swarm::ControlResult<T> {
    fn api(self) -> ApiResult<T> {
        self.map_err(control_error)
    }
}
