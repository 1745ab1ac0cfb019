use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::Result;
use async_trait::async_trait;
use docklab_api::{ApiResult, Events, ImageApi as _, ListImages, RemoveImage, SystemApi as _, models::EventMessage};
use docklab_daemon::client::HttpClient;
use docklab_scenario::{Commands, Mode, PlayError, Played, Player, Workspace};
use futures::{StreamExt as _, stream, stream::BoxStream};

use super::{shell::Shell, workspace::NativeWorkspace};
use crate::session::{Held, Node, Session, clear};

/// How long after a command something may still change a check.
const PATIENCE: Duration = Duration::from_secs(8);

/// Plays a lab in real shells on this machine.
pub(crate) struct NativePlayer {
    engine: String,
    session: Session,
    nodes: Vec<Node>,
    /// What was there before and must stay: on a Docker Engine of the student's, all that is not the lab's.
    held: Vec<Held>,
    /// Of each node, the tags that were there before, and the IDs of images without one.
    held_images: Vec<BTreeSet<String>>,
    /// Images that the lab pulls: they stay between two routes, so that they are fetched once.
    pulled: Vec<String>,
    shells: Vec<(String, Shell)>,
    events: BoxStream<'static, ApiResult<EventMessage>>,
    deadline: tokio::time::Instant,
    /// Tell on standard error what is being played.
    is_verbose: bool,
    /// What is played stays when this player goes.
    leaves_running: bool,
}

fn failed(operation: &str, error: impl std::fmt::Display) -> PlayError {
    PlayError { operation: operation.to_owned(), reason: error.to_string() }
}

impl NativePlayer {
    pub(crate) async fn new(engine: &str, session: Session, images: &[String], is_verbose: bool) -> Result<Self> {
        let nodes = session.nodes()?;
        let mut held = Vec::new();
        let mut held_images = Vec::new();
        let mut events = Vec::new();
        for node in &nodes {
            held.push(Held::by(&node.client()).await?);
            held_images.push(images_of(&node.client()).await?.into_iter().collect());
            events.push(node.client().events(Events::default()).await?);
        }
        Ok(Self {
            engine: engine.to_owned(),
            session,
            nodes,
            held,
            held_images,
            pulled: images.iter().map(|image| tagged(image)).collect(),
            shells: Vec::new(),
            events: stream::select_all(events).boxed(),
            deadline: tokio::time::Instant::now(),
            is_verbose,
            leaves_running: false,
        })
    }

    /// What stays in the foreground is put into the background, where no terminal of this player's takes it along.
    pub(crate) fn leave_running(&mut self) {
        self.leaves_running = true;
    }

    /// Removes what the lab has made.
    pub(super) async fn clear(&mut self) -> Result<()> {
        self.shells.clear();
        // A lab may have killed a node, or cut it off.
        self.session.heal_all().await?;
        self.nodes = self.session.nodes()?;
        for ((node, held), held_images) in self.nodes.iter().zip(&self.held).zip(&self.held_images) {
            let client = node.client();
            clear(&client, held).await?;
            for image in images_of(&client).await? {
                if held_images.contains(&image) || self.pulled.contains(&image) {
                    continue;
                }
                // One may have gone with another, and one that others stand on goes with the last of them.
                match client.remove_image(&image, RemoveImage::default()).await {
                    Err(error) if !error.is_not_found() && error.status != 409 => return Err(error.into()),
                    _ => {}
                }
            }
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

/// The same without a terminal: a container is detached, another program left to itself.
fn in_background(commands: &Commands) -> Commands {
    let text = commands.text.trim_end();
    let detached = ["docker container run ", "docker run "]
        .into_iter()
        .find(|run| text.contains(run))
        .map(|run| text.replacen(run, &format!("{run}--detach "), 1));
    let text = detached.unwrap_or_else(|| format!("nohup {text} > /dev/null 2>&1 < /dev/null &"));
    Commands { text: text + "\n", mode: Mode::Wait, ..commands.clone() }
}

/// With the tag that Docker assumes.
fn tagged(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

/// Every tag of an engine's images, and the IDs of those that have none.
async fn images_of(engine: &HttpClient) -> ApiResult<Vec<String>> {
    let mut names = Vec::new();
    for image in engine.list_images(ListImages::default()).await? {
        let tags: Vec<String> = image.repo_tags.into_iter().filter(|tag| tag != "<none>:<none>").collect();
        if tags.is_empty() {
            names.push(image.id);
        } else {
            names.extend(tags);
        }
    }
    Ok(names)
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
        let detached = self.leaves_running && commands.mode == Mode::Keep;
        let commands = &if detached { in_background(commands) } else { commands.clone() };
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
        let (output, exit) = match played {
            // `exit` was typed into the outermost shell, because a command before it has failed. The shell stays
            // marked as busy, so that nobody uses it again; the checks tell the rest.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => (error.to_string(), None),
            other => other.map_err(|error| failed("play the commands", error))?,
        };
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
