use std::{sync::Arc, time::Duration};

use anyhow::Result;
use async_trait::async_trait;
use docklab_api::{ApiResult, Events, SystemApi as _, models::EventMessage};
use docklab_scenario::{Commands, Mode, PlayError, Played, Player, Workspace};
use futures::{StreamExt as _, stream, stream::BoxStream};

use super::{shell::Shell, workspace::NativeWorkspace};
use crate::session::{Held, Node, clear};

/// How long after a command something may still change a check.
const PATIENCE: Duration = Duration::from_secs(8);

/// Plays a lab in real shells on this machine.
pub(super) struct NativePlayer {
    engine: String,
    nodes: Vec<Node>,
    /// What was there before and must stay: on a Docker Engine of the student's, all that is not the lab's.
    held: Vec<Held>,
    shells: Vec<(String, Shell)>,
    events: BoxStream<'static, ApiResult<EventMessage>>,
    deadline: tokio::time::Instant,
    /// Tell on standard error what is being played.
    is_verbose: bool,
}

fn failed(operation: &str, error: impl std::fmt::Display) -> PlayError {
    PlayError { operation: operation.to_owned(), reason: error.to_string() }
}

impl NativePlayer {
    pub(super) async fn new(engine: &str, nodes: Vec<Node>, is_verbose: bool) -> Result<Self> {
        let mut held = Vec::new();
        let mut events = Vec::new();
        for node in &nodes {
            held.push(Held::by(&node.client()).await?);
            events.push(node.client().events(Events::default()).await?);
        }
        Ok(Self {
            engine: engine.to_owned(),
            nodes,
            held,
            shells: Vec::new(),
            events: stream::select_all(events).boxed(),
            deadline: tokio::time::Instant::now(),
            is_verbose,
        })
    }

    /// Removes what the lab has made.
    pub(super) async fn clear(&mut self) -> Result<()> {
        self.shells.clear();
        for (node, held) in self.nodes.iter().zip(&self.held) {
            clear(&node.client(), held).await?;
            let workspace = node.workspace();
            tokio::fs::remove_dir_all(&workspace).await?;
            tokio::fs::create_dir_all(&workspace).await?;
        }
        Ok(())
    }

    fn node(&self, name: Option<&str>) -> Result<Node, PlayError> {
        let found = match name {
            None => self.nodes.first(),
            Some(name) => self.nodes.iter().find(|node| node.name == name),
        };
        found.cloned().ok_or_else(|| failed("choose a node", format!("there is no node `{}`", name.unwrap_or("node1"))))
    }

    /// A terminal of the node in which nothing runs.
    async fn free_shell(&mut self, node: &Node) -> Result<&mut Shell, PlayError> {
        let free = self.shells.iter().position(|(name, shell)| *name == node.name && !shell.is_busy);
        let index = match free {
            Some(index) => index,
            None => {
                let shell = Shell::open(node).await.map_err(|error| failed("open a terminal", error))?;
                self.shells.push((node.name.clone(), shell));
                self.shells.len() - 1
            }
        };
        Ok(&mut self.shells[index].1)
    }
}

#[async_trait]
impl Player for NativePlayer {
    fn engine(&self) -> &str {
        &self.engine
    }

    fn workspace(&self) -> Arc<dyn Workspace> {
        Arc::new(NativeWorkspace::new(self.nodes.clone(), None))
    }

    async fn reset(&mut self) -> Result<(), PlayError> {
        if self.is_verbose {
            eprintln!("(a fresh session)");
        }
        self.clear().await.map_err(|error| failed("clear the session", error))
    }

    async fn run(&mut self, commands: &Commands) -> Result<Played, PlayError> {
        let node = self.node(commands.node.as_deref())?;
        let is_verbose = self.is_verbose;
        let started = tokio::time::Instant::now();
        if is_verbose {
            eprint!("{}$ {}", node.name, commands.text.lines().collect::<Vec<_>>().join("; "));
        }
        let shell = self.free_shell(&node).await?;
        let played = match commands.mode {
            Mode::Wait => shell.run(&commands.text).await.map(|(output, status)| (output, Some(status))),
            Mode::Keep => shell.keep(&commands.text).await,
            Mode::Interrupt => match shell.keep(&commands.text).await {
                Ok((output, None)) => shell.interrupt().await.map(|(rest, status)| (output + &rest, Some(status))),
                ended => ended,
            },
            Mode::Interactive => shell.interact(&commands.text).await.map(|(output, status)| (output, Some(status))),
        };
        if is_verbose {
            eprintln!("  ({:.1} s)", started.elapsed().as_secs_f64());
        }
        let (output, exit) = played.map_err(|error| failed("play the commands", error))?;
        self.deadline = tokio::time::Instant::now() + PATIENCE;
        Ok(Played { output, exit })
    }

    async fn save(&mut self, node: Option<&str>, path: &str, content: &str) -> Result<(), PlayError> {
        let file = self.node(node)?.workspace().join(path);
        if let Some(directory) = file.parent() {
            tokio::fs::create_dir_all(directory).await.map_err(|error| failed("save the file", error))?;
        }
        tokio::fs::write(file, content).await.map_err(|error| failed("save the file", error))
    }

    async fn wait_for_change(&mut self) -> bool {
        // A server that has just started may answer a little later without any event: look again after a while anyway.
        let next = tokio::time::Instant::now() + Duration::from_millis(500);
        tokio::select! {
            event = self.events.next() => event.is_some() && tokio::time::Instant::now() < self.deadline,
            () = tokio::time::sleep_until(next.min(self.deadline)) => tokio::time::Instant::now() < self.deadline,
        }
    }
}
