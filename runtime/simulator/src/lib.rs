//! A whole simulated session: nodes of `docklab-sim`, on each an engine of `docklab-engine`, and in its shell `docker` from
//! `docklab-cli`. The page runs one, and so does `docklab test --engine sim`. Nothing here knows a browser.

mod command;
mod console;
mod workspace;

use std::sync::Arc;

use docklab_api::{ApiResult, DockerApi};
use docklab_engine::{Engine, EngineOptions};
use docklab_sim::{Node, World};

use command::DockerCommand;

/// Nodes with engines, in one world. Cheap to clone.
#[derive(Clone)]
pub struct Simulator {
    world: World,
    nodes: Vec<SimulatedNode>,
}

/// One node and its engine.
#[derive(Clone)]
pub struct SimulatedNode {
    pub node: Arc<Node>,
    pub engine: Engine,
}

impl Simulator {
    /// Adds nodes with these names to a world. The world must be pumped meanwhile.
    pub async fn open(world: World, names: &[String]) -> ApiResult<Self> {
        let mut nodes = Vec::new();
        for name in names {
            let node = world.add_node(name);
            let engine = Engine::open(node.host(), EngineOptions::default()).await?;
            node.add_command("docker", Arc::new(DockerCommand::new(world.clone(), Arc::new(engine.clone()))));
            nodes.push(SimulatedNode { node, engine });
        }
        Ok(Self { world, nodes })
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    pub fn nodes(&self) -> &[SimulatedNode] {
        &self.nodes
    }

    /// The node of that name; `None` means the first one.
    pub fn node(&self, name: Option<&str>) -> Option<&SimulatedNode> {
        match name {
            None => self.nodes.first(),
            Some(name) => self.nodes.iter().find(|node| node.node.name() == name),
        }
    }

    /// Every node's engine behind the one seam.
    pub fn engines(&self) -> Vec<(String, Arc<dyn DockerApi>)> {
        self.nodes
            .iter()
            .map(|node| (node.node.name().to_owned(), Arc::new(node.engine.clone()) as Arc<dyn DockerApi>))
            .collect()
    }
}
