//! Sessions: one student's nodes on this machine, and where they are kept.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use docklab_api::{ContainerApi as _, Filters, ListContainers, NetworkApi as _, RemoveContainer, VolumeApi as _};
use docklab_daemon::client::{Address, HttpClient};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::console::home;

/// Show or remove what docklab keeps on this machine.
#[derive(Debug, Args)]
pub(crate) struct SessionArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List sessions with their nodes.
    Ls,
    /// Remove a session with its containers, networks, volumes, images and files.
    Rm {
        #[arg(default_value = "default")]
        name: String,
    },
}

/// A node of a session.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Everything that belongs to the node.
    pub(crate) directory: PathBuf,
    pub(crate) engine: Address,
}

impl Node {
    /// The student's working directory.
    pub(crate) fn workspace(&self) -> PathBuf {
        self.directory.join("workspace")
    }

    pub(crate) fn client(&self) -> HttpClient {
        HttpClient::new(self.engine.clone())
    }

    /// What a shell of this node finds in its environment: `docker` is ours and talks to the node's engine.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let inherited = |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
        let path = inherited("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let mut environment = BTreeMap::from([
            ("PATH".to_owned(), format!("{}:{path}", self.directory.join("bin").display())),
            ("DOCKER_HOST".to_owned(), self.engine.to_string()),
            ("DOCKER_CONFIG".to_owned(), self.directory.join("config").display().to_string()),
            ("HOME".to_owned(), self.workspace().display().to_string()),
            ("TERM".to_owned(), "xterm-256color".to_owned()),
            ("LANG".to_owned(), inherited("LANG", "C.UTF-8")),
            ("SHELL".to_owned(), "/bin/bash".to_owned()),
            ("USER".to_owned(), inherited("USER", "root")),
        ]);
        environment.insert(
            "PS1".to_owned(),
            format!("\\[\\e[1;36m\\]\\u@{}\\[\\e[0m\\]:\\[\\e[1;34m\\]\\w\\[\\e[0m\\]\\$ ", self.name),
        );
        environment
    }

    /// Makes the node's directories and its `docker` command.
    fn prepare(&self) -> Result<()> {
        let bin = self.directory.join("bin");
        for directory in [&bin, &self.workspace(), &self.directory.join("config")] {
            std::fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
        }
        let docker = bin.join("docker");
        let program = std::env::current_exe().context("finding this program")?;
        if std::fs::read_link(&docker).ok().as_deref() != Some(program.as_path()) {
            std::fs::remove_file(&docker).ok();
            std::os::unix::fs::symlink(&program, &docker)
                .with_context(|| format!("creating the docker command {}", docker.display()))?;
        }
        Ok(())
    }
}

/// A session's place on disk.
pub(crate) struct Session {
    pub(crate) nodes: Vec<Node>,
    /// Engines that this process has started.
    engines: Vec<Child>,
    /// The session's own registry, where Docker Hub cannot be reached.
    registry: Option<tokio::task::JoinHandle<()>>,
}

impl Session {
    /// A session whose only node talks to the engine that is there already (a stock Docker Engine).
    pub(crate) fn around(address: Address, directory: PathBuf) -> Result<Self> {
        let node = Node { name: "node1".to_owned(), directory, engine: address };
        node.prepare()?;
        Ok(Self { nodes: vec![node], engines: Vec::new(), registry: None })
    }

    /// Opens a session beneath `root`, starting the engines that do not run yet.
    pub(crate) async fn open(root: &Path, name: &str) -> Result<Self> {
        let directory = root.join("sessions").join(name).join("node1");
        let node = Node { name: "node1".to_owned(), engine: Address::Unix(directory.join("docker.sock")), directory };
        node.prepare()?;
        let mut session = Self { nodes: vec![node.clone()], engines: Vec::new(), registry: None };
        if docklab_api::SystemApi::ping(&node.client()).await.is_err() {
            let mut mirrors = Vec::new();
            if !hub_is_reachable().await {
                let (address, registry) =
                    crate::registry::start(root.join("sessions").join(name).join("registry")).await?;
                session.registry = Some(registry);
                mirrors.push(format!("docker.io=http://{address}"));
            }
            session.engines.push(start_engine(&node, &prefix(&node.directory), &mirrors).await?);
        }
        Ok(session)
    }

    /// Ends the engines that this process has started. Containers stay; the next engine finds them.
    pub(crate) async fn stop_engines(&mut self) {
        for engine in &mut self.engines {
            if let Some(pid) =
                engine.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw)
            {
                rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
            }
            if let Err(error) = engine.wait().await {
                eprintln!("docklab: waiting for an engine to end: {error}");
            }
        }
        self.engines.clear();
        if let Some(registry) = self.registry.take() {
            registry.abort();
        }
    }
}

/// Whether Docker Hub answers. Without it the session's own registry stands in for it, so that pushes have a place to go.
async fn hub_is_reachable() -> bool {
    const PATIENCE: std::time::Duration = std::time::Duration::from_millis(1500);
    let dialled = tokio::net::TcpStream::connect(("registry-1.docker.io", 443));
    matches!(tokio::time::timeout(PATIENCE, dialled).await, Ok(Ok(_)))
}

/// A name prefix that differs between data roots, so that sessions of one machine never meet.
fn prefix(directory: &Path) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    directory.hash(&mut hasher);
    format!("d{:05x}", hasher.finish() & 0xf_ffff)
}

/// Starts an engine and returns once it listens.
async fn start_engine(node: &Node, prefix: &str, mirrors: &[String]) -> Result<Child> {
    let Address::Unix(socket) = &node.engine else { bail!("{} is not an engine of this machine", node.engine) };
    let program = std::env::current_exe().context("finding this program")?;
    let log = node.directory.join("engine.log");
    let log_file = std::fs::File::create(&log).with_context(|| format!("creating {}", log.display()))?;
    let mut child = Command::new(program)
        .arg("engine")
        .arg("--root")
        .arg(&node.directory)
        .arg("--socket")
        .arg(socket)
        .args(["--name", prefix])
        .args(mirrors.iter().map(|mirror| format!("--mirror={mirror}")))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log_file)
        // Ctrl-C in the terminal is for the program in front; it ends its engines itself.
        .process_group(0)
        .spawn()
        .context("starting the engine")?;
    let stdout = child.stdout.take().context("starting the engine: no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await.context("waiting for the engine")?;
    if line.is_empty() {
        let reason = std::fs::read_to_string(&log).unwrap_or_default();
        bail!("the engine of {} did not start: {}", node.name, reason.trim());
    }
    Ok(child)
}

pub(crate) async fn run(arguments: &SessionArguments) -> Result<()> {
    let root = home();
    match &arguments.action {
        Action::Ls => {
            for name in names(&root)? {
                println!("{name}\tnode1");
            }
            Ok(())
        }
        Action::Rm { name } => remove(&root, name).await,
    }
}

fn names(root: &Path) -> Result<Vec<String>> {
    let directory = root.join("sessions");
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("reading {}", directory.display()))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Removes all that the session's engines hold, then the files.
pub(crate) async fn remove(root: &Path, name: &str) -> Result<()> {
    if !names(root)?.iter().any(|known| known == name) {
        bail!("there is no session `{name}`; `docklab session ls` lists them");
    }
    let mut session = Session::open(root, name).await?;
    for node in &session.nodes {
        clear(&node.client(), &Held::default()).await?;
    }
    session.stop_engines().await;
    for node in &session.nodes {
        // Another `docklab` may have started it.
        crate::engine::stop(&node.directory).await?;
        docklab_linux::LinuxHost::purge(&docklab_linux::LinuxOptions::beneath(
            &node.directory,
            &prefix(&node.directory),
        ))
        .with_context(|| format!("clearing up after {}", node.name))?;
    }
    let directory = root.join("sessions").join(name);
    std::fs::remove_dir_all(&directory).with_context(|| format!("removing {}", directory.display()))
}

/// Objects that an engine held at some moment.
#[derive(Debug, Default)]
pub(crate) struct Held {
    containers: Vec<String>,
    networks: Vec<String>,
    volumes: Vec<String>,
}

impl Held {
    pub(crate) async fn by(engine: &HttpClient) -> Result<Self> {
        let containers = engine.list_containers(ListContainers { all: true, ..ListContainers::default() }).await?;
        let networks = engine.list_networks(Filters::new()).await?;
        let volumes = engine.list_volumes(Filters::new()).await?;
        Ok(Self {
            containers: containers.into_iter().filter_map(|container| container.id).collect(),
            networks: networks.into_iter().filter_map(|network| network.id).collect(),
            volumes: volumes.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect(),
        })
    }
}

/// Removes every container, network and volume that is not in `keep`. Images stay: pulling them again takes time.
/// Goes on after an error and reports the first.
pub(crate) async fn clear(engine: &HttpClient, keep: &Held) -> Result<()> {
    let now = Held::by(engine).await?;
    let mut first_error = None;
    let mut note = |outcome: docklab_api::ApiResult<()>| {
        if let Err(error) = outcome
            && !error.is_not_found()
        {
            first_error.get_or_insert(error);
        }
    };
    let options = RemoveContainer { force: true, volumes: true, link: false };
    for id in now.containers.iter().filter(|id| !keep.containers.contains(id)) {
        note(engine.remove_container(id, options).await);
    }
    for id in now.networks.iter().filter(|id| !keep.networks.contains(id)) {
        let is_predefined = engine.inspect_network(id, false, None).await.is_ok_and(|network| {
            matches!(network.name.as_deref(), Some("bridge" | "host" | "none" | "ingress" | "docker_gwbridge"))
        });
        if !is_predefined {
            note(engine.remove_network(id).await);
        }
    }
    for name in now.volumes.iter().filter(|name| !keep.volumes.contains(name)) {
        note(engine.remove_volume(name, true).await);
    }
    first_error.map_or(Ok(()), |error| Err(error.into()))
}
