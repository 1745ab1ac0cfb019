//! Where a lab runs: in this page, or on a connected backend. Both are a [`Session`]; nothing else in the page knows which.

mod backend;
mod engine_client;
mod places;
mod simulated;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_scenario::{Workspace, WorkspaceError};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender};

pub use backend::{Backend, LabEntry, probe, token};
pub use engine_client::EngineClient;
pub use places::{Fault, NodePlace, NodeState, SessionTime};
use simulated::Simulated;

use crate::browser;

/// The switch in the top bar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The engine runs over a simulated host inside the page.
    #[default]
    Browser,
    /// The engine runs on the server that the page came from.
    Backend,
}

/// What kind of engine answers; some notes of a lab are for one kind only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    Simulator,
    Docklab,
    Docker,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Simulator => "simulator",
            Self::Docklab => "docklab",
            Self::Docker => "Docker Engine",
        })
    }
}

/// What goes into a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TerminalInput {
    Bytes(Bytes),
    Resize { columns: u16, rows: u16 },
}

/// A shell on a node. The output ends when the shell does, or the connection.
pub struct TerminalLink {
    pub input: UnboundedSender<TerminalInput>,
    pub output: UnboundedReceiver<Bytes>,
}

/// The nodes of one lab with everything the page does to them.
#[async_trait]
pub trait Session: Workspace {
    fn engine(&self) -> EngineKind;
    /// Opens a new shell. `Err` says why there is none.
    fn open_terminal(&self, node: &str, columns: u16, rows: u16) -> Result<TerminalLink, WorkspaceError>;
    /// Puts a file into the student's working directory on a node.
    async fn save_file(&self, node: &str, path: &str, content: &str) -> Result<(), WorkspaceError>;
    /// The session's machines as they stand now, in the order of [`Workspace::nodes`].
    fn places(&self) -> Vec<NodePlace>;
    /// Whether [`Session::inflict`] and [`Session::add_node`] can do anything here; `Err` says why not.
    fn allows_faults(&self) -> Result<(), String> {
        Ok(())
    }
    /// Does something to a node. Its place and the list of nodes are up to date when this returns.
    async fn inflict(&self, node: &str, fault: Fault) -> Result<(), WorkspaceError>;
    /// Makes those of these nodes that are missing. Where nodes cannot be made, nothing happens.
    async fn ensure_nodes(&self, _names: &[String]) -> Result<(), WorkspaceError> {
        Ok(())
    }
    /// Adds a node under the next free name.
    async fn add_node(&self) -> Result<(), WorkspaceError>;
    /// Time as it can be controlled; `None` where it passes by itself.
    fn time(&self) -> Option<&dyn SessionTime> {
        None
    }
}

/// A session as components pass it around: equal when it is the same one.
#[derive(Clone)]
pub struct SharedSession(pub Arc<dyn Session>);

impl PartialEq for SharedSession {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::ops::Deref for SharedSession {
    type Target = dyn Session;
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

/// A session inside this page.
pub fn simulator(scenario: &docklab_scenario::Scenario) -> Result<SharedSession, String> {
    let milliseconds = browser::now();
    let now = jiff::Timestamp::from_millisecond(milliseconds as i64)
        .map_err(|error| format!("The browser's clock cannot be used ({error})."))?;
    let (session, pump) = Simulated::start(&scenario.meta.nodes, &scenario.images, now, milliseconds.to_bits())?;
    browser::spawn(pump.run());
    Ok(SharedSession(Arc::new(session)))
}
