//! A whole simulated session: nodes of `docklab-sim`, on each an engine of `docklab-engine`, and in its shell `docker` from
//! `docklab-cli`. The page runs one, and so does `docklab test --engine sim`. Nothing here knows a browser.

mod command;
mod console;
mod engine;
mod faults;
mod power;
mod workspace;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use docklab_api::{ApiResult, DockerApi};
use docklab_engine::{Engine, EngineOptions};
use docklab_sim::{Node, World};

use command::DockerCommand;
pub use engine::NodeEngine;
pub use faults::{FaultError, NodeCondition};
use power::PowerOff;

/// Nodes with engines, in one world. Cheap to clone; all clones are the same session.
#[derive(Clone)]
pub struct Simulator {
    world: World,
    nodes: Arc<Mutex<Vec<SimulatedNode>>>,
}

/// One node and its engine.
#[derive(Clone)]
pub struct SimulatedNode {
    pub node: Arc<Node>,
    pub engine: NodeEngine,
    /// The same engine behind the one seam.
    api: Arc<dyn DockerApi>,
    condition: NodeCondition,
}

impl Simulator {
    /// Adds nodes with these names to a world. The world must be pumped meanwhile.
    pub async fn open(world: World, names: &[String]) -> ApiResult<Self> {
        let simulator = Self { world, nodes: Arc::default() };
        for name in names {
            simulator.add(name).await?;
        }
        Ok(simulator)
    }

    /// Switches on one more node.
    async fn add(&self, name: &str) -> ApiResult<()> {
        let node = self.world.add_node(name);
        let engine = NodeEngine::new(name);
        let api: Arc<dyn DockerApi> = Arc::new(engine.clone());
        node.add_command("poweroff", Arc::new(PowerOff::new(self, name)));
        node.add_command("docker", Arc::new(DockerCommand::new(self.world.clone(), api.clone())));
        let added = SimulatedNode { node, engine, api, condition: NodeCondition::default() };
        added.boot().await?;
        self.lock().push(added);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SimulatedNode>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    /// The nodes as they are now, in the order in which they were added.
    pub fn nodes(&self) -> Vec<SimulatedNode> {
        self.lock().clone()
    }

    /// The node of that name; `None` means the first one.
    pub fn node(&self, name: Option<&str>) -> Option<SimulatedNode> {
        let nodes = self.lock();
        match name {
            None => nodes.first(),
            Some(name) => nodes.iter().find(|node| node.node.name() == name),
        }
        .cloned()
    }

    /// Every node's engine behind the one seam.
    pub fn engines(&self) -> Vec<(String, Arc<dyn DockerApi>)> {
        self.lock().iter().map(|node| (node.node.name().to_owned(), node.api.clone())).collect()
    }
}

impl SimulatedNode {
    /// Opens the engine that the node's records speak of.
    async fn boot(&self) -> ApiResult<()> {
        let engine = Engine::open(self.node.host(), EngineOptions::default()).await?;
        self.engine.switch_on(engine);
        Ok(())
    }

    /// What was done to the node from outside.
    pub fn condition(&self) -> NodeCondition {
        self.condition
    }
}
