use std::sync::{Arc, PoisonError};

use docklab_api::{SwarmApi, models::SwarmInfo};

use crate::Engine;

/// The cluster that an engine may be a node of. Whoever runs `docklab-swarm` on this node attaches one with
/// [`Engine::set_cluster`].
pub trait Cluster: SwarmApi {
    /// The `Swarm` part of `docker info`.
    fn info(&self) -> SwarmInfo;
    /// The `Swarm` header of `/_ping`: `inactive`, `pending`, `locked`, `error`, `active/worker`, `active/manager`.
    fn ping(&self) -> String;
}

impl Engine {
    /// Attaches the cluster whose state `docker info` and `/_ping` show.
    pub fn set_cluster(&self, cluster: Arc<dyn Cluster>) {
        *self.cluster.write().unwrap_or_else(PoisonError::into_inner) = Some(cluster);
    }

    pub(crate) fn attached_cluster(&self) -> Option<Arc<dyn Cluster>> {
        self.cluster.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An engine by itself is in no swarm: the trait's own answers.
impl SwarmApi for Engine {}
