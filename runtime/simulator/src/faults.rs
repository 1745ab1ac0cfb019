//! What can befall a node: the power goes, it freezes, its cable is pulled.

use std::time::Duration;

use docklab_api::ApiError;
use thiserror::Error;

use crate::{SimulatedNode, Simulator};

/// The most nodes that a session has, as natively.
const MOST_NODES: usize = 7;

/// How a node stands, beside what Docker says of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeCondition {
    /// The power is off.
    pub killed: bool,
    /// It is frozen.
    pub suspended: bool,
    /// No packet reaches it or leaves it.
    pub cut: bool,
    /// Packets to and from it take longer.
    pub slow: bool,
}

/// Why something could not be done to a node.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FaultError {
    #[error("there is no node {0}")]
    NoSuchNode(String),
    #[error("{0} is switched off; start it first")]
    Off(String),
    #[error("{0} runs already")]
    On(String),
    #[error("a node has no link to itself")]
    OneNode,
    #[error("a session has {MOST_NODES} nodes at most")]
    TooMany,
    #[error("the engine of {0} did not start: {1}")]
    Engine(String, ApiError),
}

impl Simulator {
    /// Adds a node with the next free name (`node4`) and returns the name.
    pub async fn add_node(&self) -> Result<String, FaultError> {
        let name = {
            let nodes = self.lock();
            if nodes.len() >= MOST_NODES {
                return Err(FaultError::TooMany);
            }
            let is_free = |name: &String| nodes.iter().all(|node| node.node.name() != name);
            (1..).map(|number| format!("node{number}")).find(is_free).ok_or(FaultError::TooMany)?
        };
        self.add(&name).await.map_err(|error| FaultError::Engine(name.clone(), error))?;
        for other in self.nodes().iter().filter(|other| other.condition.cut) {
            self.world().lan().cut(&name, other.node.name());
        }
        Ok(name)
    }

    /// The power of a node goes: engine, containers and shells end at once. Its disk stays.
    pub fn kill(&self, name: &str) -> Result<(), FaultError> {
        let node = self.find(name)?;
        node.node.kill();
        node.engine.switch_off();
        self.set(name, |condition| (condition.killed, condition.suspended) = (true, false));
        Ok(())
    }

    /// Switches a killed node on again.
    pub async fn start(&self, name: &str) -> Result<(), FaultError> {
        let node = self.find(name)?;
        if !node.condition.killed {
            return Err(FaultError::On(name.to_owned()));
        }
        node.node.start();
        self.set(name, |condition| condition.killed = false);
        if let Err(error) = node.boot().await {
            node.node.kill();
            self.set(name, |condition| condition.killed = true);
            return Err(FaultError::Engine(name.to_owned(), error));
        }
        Ok(())
    }

    /// Freezes a node with everything on it.
    pub fn suspend(&self, name: &str) -> Result<(), FaultError> {
        let node = self.running(name)?;
        node.node.suspend();
        node.engine.suspend();
        self.set(name, |condition| condition.suspended = true);
        Ok(())
    }

    /// Lets a frozen node go on.
    pub fn resume(&self, name: &str) -> Result<(), FaultError> {
        let node = self.running(name)?;
        node.engine.resume();
        node.node.resume();
        self.set(name, |condition| condition.suspended = false);
        Ok(())
    }

    /// Pulls a node's cable: nobody reaches it, and it reaches nobody.
    pub fn cut(&self, name: &str) -> Result<(), FaultError> {
        self.find(name)?;
        self.others(name).iter().for_each(|other| self.world().lan().cut(name, other.node.name()));
        self.set(name, |condition| condition.cut = true);
        Ok(())
    }

    /// Cuts the link between two nodes, both ways; others still reach both.
    pub fn cut_link(&self, name: &str, other: &str) -> Result<(), FaultError> {
        self.find(name)?;
        self.find(other)?;
        if name == other {
            return Err(FaultError::OneNode);
        }
        self.world().lan().cut(name, other);
        Ok(())
    }

    /// Makes everything that goes to or from a node take so much longer, each way.
    pub fn slow(&self, name: &str, delay: Duration) -> Result<(), FaultError> {
        self.running(name)?;
        self.others(name).iter().for_each(|other| self.world().lan().slow(name, other.node.name(), delay));
        self.set(name, |condition| condition.slow = !delay.is_zero());
        Ok(())
    }

    /// Undoes everything that was done to a node: switches it on, lets it go on, plugs it in.
    pub async fn heal(&self, name: &str) -> Result<(), FaultError> {
        let node = self.find(name)?;
        for other in self.others(name).iter().filter(|other| !other.condition.cut) {
            self.world().lan().heal(name, other.node.name());
        }
        self.set(name, |condition| (condition.cut, condition.slow) = (false, false));
        if node.condition.suspended {
            self.resume(name)?;
        }
        if node.condition.killed { self.start(name).await } else { Ok(()) }
    }

    /// Takes a node out of the session for good. A swarm still counts it until `docker node rm`.
    pub fn remove(&self, name: &str) -> Result<(), FaultError> {
        self.kill(name)?;
        self.world().remove_node(name);
        self.lock().retain(|node| node.node.name() != name);
        Ok(())
    }

    fn find(&self, name: &str) -> Result<SimulatedNode, FaultError> {
        self.node(Some(name)).ok_or_else(|| FaultError::NoSuchNode(name.to_owned()))
    }

    fn running(&self, name: &str) -> Result<SimulatedNode, FaultError> {
        let node = self.find(name)?;
        if node.condition.killed { Err(FaultError::Off(name.to_owned())) } else { Ok(node) }
    }

    fn others(&self, name: &str) -> Vec<SimulatedNode> {
        let mut nodes = self.nodes();
        nodes.retain(|node| node.node.name() != name);
        nodes
    }

    fn set(&self, name: &str, change: impl FnOnce(&mut NodeCondition)) {
        if let Some(node) = self.lock().iter_mut().find(|node| node.node.name() == name) {
            change(&mut node.condition);
        }
    }
}
