//! How a session comes to life, and how it goes.

use std::{
    fs::File,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use docklab_daemon::client::Address;
use docklab_linux::{Attachment, FirstProcess, Lan, LinuxHost, LinuxOptions, MACHINE_NETWORK, NodeAddress, NodeSpec};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{
    Node, Session, directory, gateway, names,
    record::{self, GATEWAY, NodeRecord, PREFIX_LENGTH, Record, RecordFile},
};

impl Session {
    /// Opens a session beneath `root`, making what is missing of these nodes and starting what does not run. A node that
    /// somebody has killed stays so.
    pub(crate) async fn open(root: &Path, name: &str, nodes: &[String]) -> Result<Self> {
        if name.is_empty()
            || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
            || name.starts_with('.')
        {
            bail!("`{name}` cannot be a session's name: use letters, digits, dashes and underscores");
        }
        if !rustix::process::geteuid().is_root() {
            bail!("docklab's own nodes need root; `--engine sim` and `--engine docker` do not");
        }
        let directory = directory(root, name);
        std::fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
        // The nodes see it under its real name.
        let directory = directory.canonicalize().with_context(|| format!("finding {}", directory.display()))?;
        let session = Self::Own { name: name.to_owned(), directory: directory.clone() };
        let _lock = record::lock(&directory).await?;
        let file = RecordFile::of(&directory);
        let mut record = file.load()?;
        for node in nodes {
            if !record.nodes.iter().any(|known| known.name == *node) {
                record.add(node)?;
            }
        }
        let outcome = start(&directory, &mut record).await;
        // Also after a failure: what has begun must be found again, to be ended.
        file.store(&record)?;
        outcome?;
        Ok(session)
    }
}

/// Starts everything of the session that does not run, and is not meant not to.
pub(super) async fn start(directory: &Path, record: &mut Record) -> Result<()> {
    let resolv_conf = directory.join("resolv.conf");
    std::fs::write(&resolv_conf, format!("nameserver {GATEWAY}\n"))
        .with_context(|| format!("writing {}", resolv_conf.display()))?;
    let session = match record.first_process.filter(FirstProcess::is_alive) {
        Some(session) => session,
        None => begin(directory, record).await?,
    };
    let file = RecordFile::of(directory);
    // Nodes find each other's names from the start.
    file.store(record)?;
    gateway::ensure(directory, &session).await?;
    let starts = record.nodes.iter().enumerate().filter(|(_, node)| !node.is_killed()).map(|(index, node)| {
        let is_first = index == 0;
        let (node, hub) = (node.clone(), record.stands_in_for_hub);
        async move { boot_node(directory, session, node, hub, is_first).await }
    });
    let mut first_error = None;
    for outcome in futures::future::join_all(starts).await {
        match outcome {
            Ok(booted) => {
                if let Ok(node) = record.node(&booted.name) {
                    *node = booted;
                }
            }
            Err(error) => drop(first_error.get_or_insert(error)),
        }
    }
    first_error.map_or(Ok(()), Err)
}

/// After a new start of the machine, too: then every node boots, and every link is whole.
async fn begin(directory: &Path, record: &mut Record) -> Result<FirstProcess> {
    let label = directory.to_path_buf();
    let (session, hub) = tokio::join!(
        tokio::task::spawn_blocking(move || {
            let session = FirstProcess::begin_session(&label)?;
            Lan::of(&session)?.create(GATEWAY.into(), PREFIX_LENGTH)?;
            Ok::<_, docklab_host::HostError>(session)
        }),
        hub_is_reachable()
    );
    let session = session?.context("beginning the session")?;
    record.first_process = Some(session);
    record.stands_in_for_hub = !hub;
    record.cuts.clear();
    for node in &mut record.nodes {
        *node = NodeRecord::new(node.name.clone(), node.address);
    }
    Ok(session)
}

/// Boots a node if it does not run, and starts its engine if that does not.
pub(super) async fn boot_node(
    directory: &Path,
    session: FirstProcess,
    mut record: NodeRecord,
    stands_in_for_hub: bool,
    is_first: bool,
) -> Result<NodeRecord> {
    let node = Node::of(directory, &record);
    node.prepare()?;
    let first = match record.first_process.filter(FirstProcess::is_alive) {
        Some(first) => first,
        None => {
            // What is there belongs to a life that has ended, as after a new start of a machine.
            remove_if_there(&node.directory.join("run"))?;
            let spec = NodeSpec {
                hostname: record.name.clone(),
                directory: node.directory.clone(),
                hosts: directory.join("hosts"),
                resolv_conf: directory.join("resolv.conf"),
                socket: node.directory.join("docker.sock"),
            };
            let (port, place) = (record.name.clone(), place(&record));
            let booted = tokio::task::spawn_blocking(move || {
                let first = session.boot_node(&spec)?;
                Lan::of(&session)?.plug(&first, &port, place)?;
                Ok::<_, docklab_host::HostError>(first)
            });
            booted.await?.with_context(|| format!("booting {}", record.name))?
        }
    };
    record.first_process = Some(first);
    // Not one that stands still: it would not answer.
    if !record.is_paused && docklab_api::SystemApi::ping(&node.client()).await.is_err() {
        start_engine(directory, &node, &first, &record, stands_in_for_hub, is_first).await?;
    }
    Ok(record)
}

pub(super) fn place(record: &NodeRecord) -> NodeAddress {
    NodeAddress { address: record.address.into(), prefix_length: PREFIX_LENGTH, gateway: GATEWAY.into() }
}

/// Starts an engine in a node and returns once it listens.
async fn start_engine(
    session: &Path,
    node: &Node,
    first: &FirstProcess,
    record: &NodeRecord,
    stands_in_for_hub: bool,
    is_first: bool,
) -> Result<()> {
    let Address::Unix(socket) = &node.engine else { bail!("{} is not an engine of this machine", node.engine) };
    let program = std::env::current_exe().context("finding this program")?;
    let log = node.directory.join("engine.log");
    let log_file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
    let mut command = first.command(Attachment::Background, Path::new("/"), &program.to_string_lossy());
    command
        .arg("engine")
        .arg("--root")
        .arg(&node.directory)
        .arg("--socket")
        .arg(socket)
        .args(["--name", &prefix(&node.directory)])
        .arg("--shared-layers")
        .arg(session.join("layers"))
        .args(["--node-address", &record.address.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log_file);
    if stands_in_for_hub {
        command.arg(format!("--mirror=docker.io={}", gateway::registry_url()));
    }
    if is_first {
        command.args(["--machine-network", MACHINE_NETWORK]);
    }
    let mut child = tokio::process::Command::from(command).spawn().context("starting the engine")?;
    let stdout = child.stdout.take().context("starting the engine: no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await.context("waiting for the engine")?;
    // The process that brought it into the node has done its work.
    child.wait().await.context("starting the engine")?;
    if line.is_empty() {
        let reason = std::fs::read_to_string(&log).unwrap_or_default();
        bail!("the engine of {} did not start: {}", node.name, reason.trim());
    }
    Ok(())
}

/// Whether Docker Hub answers. Without it the session's own registry stands in for it, so that pushes have a place to go.
async fn hub_is_reachable() -> bool {
    const PATIENCE: Duration = Duration::from_millis(800);
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

fn remove_if_there(directory: &Path) -> Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// Removes what a node that does not run has left: its cgroups, then its files. Goes on after an error and reports the first.
pub(super) async fn remove_node(directory: &Path) -> Result<()> {
    let options = LinuxOptions::beneath(directory, &prefix(directory));
    let cgroups = remove_cgroups(&options).await;
    let files = remove_if_there(directory);
    cgroups.and(files)
}

/// The kernel may take a moment to let go of a cgroup whose last process has ended.
async fn remove_cgroups(options: &LinuxOptions) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let started = Instant::now();
    loop {
        match LinuxHost::remove_cgroups(options) {
            Err(_) if started.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(10)).await,
            outcome => return outcome.context("removing a node's cgroups"),
        }
    }
}

/// Ends every process of a session and removes all that it has: with its first process go namespaces, mounts and links.
pub(crate) async fn remove(root: &Path, name: &str) -> Result<()> {
    if !names(root)?.iter().any(|known| known == name) {
        bail!("there is no session `{name}`; `docklab session ls` lists them");
    }
    let directory = directory(root, name);
    let directory = directory.canonicalize().with_context(|| format!("finding {}", directory.display()))?;
    let _lock = record::lock(&directory).await?;
    let record = RecordFile::of(&directory).load()?;
    if let Some(session) = record.first_process {
        tokio::task::spawn_blocking(move || session.kill()).await?.context("ending the session")?;
    }
    let mut first_error = None;
    for node in &record.nodes {
        if let Err(error) = remove_node(&directory.join(&node.name)).await {
            first_error.get_or_insert(error);
        }
    }
    if let Err(error) = remove_if_there(&directory) {
        first_error.get_or_insert(error);
    }
    first_error.map_or(Ok(()), Err)
}
