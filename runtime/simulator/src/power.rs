use std::sync::{Mutex, Weak};

use async_trait::async_trait;
use docklab_sim::{Closed, Context, ExternalCommand, World};

use crate::{SimulatedNode, Simulator};

/// `poweroff` in a node's shell: the node ends as when its power fails.
pub(crate) struct PowerOff {
    world: World,
    /// The session owns the node, and the node this command.
    nodes: Weak<Mutex<Vec<SimulatedNode>>>,
    name: String,
}

impl PowerOff {
    pub(crate) fn new(session: &Simulator, name: &str) -> Self {
        Self { world: session.world.clone(), nodes: std::sync::Arc::downgrade(&session.nodes), name: name.to_owned() }
    }
}

#[async_trait]
impl ExternalCommand for PowerOff {
    async fn run(&self, context: Context) -> Result<i32, Closed> {
        let Some(nodes) = self.nodes.upgrade() else { return Ok(1) };
        let session = Simulator { world: self.world.clone(), nodes };
        match session.kill(&self.name) {
            Ok(()) => Ok(0),
            Err(error) => context.fail(1, error.to_string()).await,
        }
    }
}
