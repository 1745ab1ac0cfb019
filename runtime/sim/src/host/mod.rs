//! `Host` for the engine of one simulated node.

mod layers;
mod logs;
mod machine;
mod networks;
mod processes;
mod start;
mod transport;

use std::sync::Arc;

use docklab_host::Host;

pub(crate) use logs::{ContainerLog, OutputHub};
pub use machine::SavedRecord;
pub(crate) use machine::{KERNEL, MEMORY};
pub(crate) use start::Container;

use crate::{node::Node, world::Life};

/// What an engine on a simulated node runs on.
#[derive(Clone)]
pub struct SimHost {
    pub(crate) node: Arc<Node>,
    /// That of the node when the host was made: what an engine does ends with it.
    life: Arc<Life>,
}

impl SimHost {
    pub fn new(node: &Arc<Node>) -> Self {
        Self { node: node.clone(), life: node.life() }
    }
}

impl Node {
    /// This node as a `Host`.
    pub fn host(self: &Arc<Self>) -> Arc<dyn Host> {
        Arc::new(SimHost::new(self))
    }
}
