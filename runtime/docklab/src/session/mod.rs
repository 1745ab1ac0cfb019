//! Sessions: one student's nodes on this machine. A session is a directory beneath `sessions/`, with a record of what runs; the
//! processes belong to nobody who may end, so that the page's server can be started again over them.
//!
//! ```text
//! sessions/<name>/session.json, lock, hosts, resolv.conf
//!                /layers/        of all nodes
//!                /registry/      what was pushed
//!                /gateway.log
//!                /<node>/        docker.sock, engine.log, workspace/, bin/docker, data/, run/, etc/
//! ```

mod boot;
mod clear;
mod command;
mod faults;
mod gateway;
mod record;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use docklab_daemon::client::{Address, HttpClient};
use docklab_linux::{Attachment, FirstProcess};
use serde::Serialize;

pub(crate) use boot::remove;
pub(crate) use clear::{Held, clear};
pub(crate) use command::{SessionArguments, run};
pub(crate) use faults::Fault;
pub(crate) use gateway::{GatewayArguments, run as run_gateway};
use record::RecordFile;

/// A node of a session.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Everything that belongs to the node.
    pub(crate) directory: PathBuf,
    pub(crate) engine: Address,
    /// `None`: the node is this machine itself.
    pub(crate) place: Option<Place>,
}

/// Where a node of namespaces is.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// `None` while it does not run.
    pub(crate) first_process: Option<FirstProcess>,
    pub(crate) address: Ipv4Addr,
    pub(crate) state: NodeState,
}

/// What the page and `session ls` tell of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NodeState {
    Running,
    /// Every process stands still.
    Paused,
    /// Off the LAN.
    Cut,
    Slow,
    /// Ended; everything that it has stored is still there.
    Killed,
}

impl std::fmt::Display for NodeState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cut => "cut off",
            Self::Slow => "slow",
            Self::Killed => "killed",
        })
    }
}

impl Node {
    /// The student's working directory.
    pub(crate) fn workspace(&self) -> PathBuf {
        self.directory.join("workspace")
    }

    pub(crate) fn client(&self) -> HttpClient {
        HttpClient::new(self.engine.clone())
    }

    /// A program in the node. On a node that is this machine itself it is simply a program.
    pub(crate) fn command(&self, attachment: Attachment, directory: &Path, program: &str) -> Result<Command> {
        let Some(place) = &self.place else {
            let mut command = Command::new(program);
            command.current_dir(directory);
            return Ok(command);
        };
        match place.first_process.filter(FirstProcess::is_alive) {
            Some(first) => Ok(first.command(attachment, directory, program)),
            None => bail!("{0} does not run; `docklab session heal {0}` boots it", self.name),
        }
    }

    /// A TCP socket of the node's.
    pub(crate) fn tcp_socket(&self) -> std::io::Result<tokio::net::TcpSocket> {
        match self.place.as_ref().map(|place| place.first_process) {
            None => tokio::net::TcpSocket::new_v4(),
            Some(Some(first)) => first.in_network(tokio::net::TcpSocket::new_v4),
            Some(None) => Err(std::io::Error::new(std::io::ErrorKind::NotFound, format!("{} does not run", self.name))),
        }
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

    /// Makes the node's directories and its own commands: `docker`, and `poweroff` where there is something to switch off.
    fn prepare(&self) -> Result<()> {
        let bin = self.directory.join("bin");
        for directory in [&bin, &self.workspace(), &self.directory.join("config")] {
            std::fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
        }
        let program = std::env::current_exe().context("finding this program")?;
        let names: &[&str] = if self.place.is_some() { &["docker", "poweroff"] } else { &["docker"] };
        for name in names {
            let link = bin.join(name);
            if std::fs::read_link(&link).ok().as_deref() != Some(program.as_path()) {
                std::fs::remove_file(&link).ok();
                std::os::unix::fs::symlink(&program, &link)
                    .with_context(|| format!("creating the command {}", link.display()))?;
            }
        }
        Ok(())
    }
}

/// One student's nodes.
#[derive(Debug, Clone)]
pub(crate) enum Session {
    /// A stock Docker Engine that is there already, as the only node.
    Around(Node),
    /// Nodes of our own.
    Own { name: String, directory: PathBuf },
}

impl Session {
    /// A session whose only node talks to the engine that is there already (a stock Docker Engine).
    pub(crate) fn around(address: Address, directory: PathBuf) -> Result<Self> {
        let node = Node { name: "node1".to_owned(), directory, engine: address, place: None };
        node.prepare()?;
        Ok(Self::Around(node))
    }

    /// A session that exists.
    pub(crate) fn existing(root: &Path, name: &str) -> Result<Self> {
        if !names(root)?.iter().any(|known| known == name) {
            bail!("there is no session `{name}`; `docklab session ls` lists them");
        }
        Ok(Self::Own { name: name.to_owned(), directory: directory(root, name) })
    }

    /// The nodes as they are now.
    pub(crate) fn nodes(&self) -> Result<Vec<Node>> {
        let directory = match self {
            Self::Around(node) => return Ok(vec![node.clone()]),
            Self::Own { directory, .. } => directory,
        };
        let record = RecordFile::of(directory).load()?;
        Ok(record.nodes.iter().map(|node| Node::of(directory, node)).collect())
    }

    /// One node as it is now; `None` means the first.
    pub(crate) fn node(&self, name: Option<&str>) -> Result<Node> {
        let nodes = self.nodes()?;
        let known: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        let found = match name {
            None => nodes.first(),
            Some(name) => nodes.iter().find(|node| node.name == name),
        };
        match found {
            Some(node) => Ok(node.clone()),
            None => bail!("there is no node `{}`; this session has {}", name.unwrap_or("node1"), known.join(", ")),
        }
    }

    /// Nodes of namespaces can be added, killed and cut off; a Docker Engine that is there already cannot.
    fn directory(&self) -> Result<&Path> {
        match self {
            Self::Own { directory, .. } => Ok(directory),
            Self::Around(_) => bail!(
                "this session is a Docker Engine that was there before; only nodes of docklab's own can be changed"
            ),
        }
    }
}

impl Node {
    fn of(session: &Path, record: &record::NodeRecord) -> Self {
        let directory = session.join(&record.name);
        let is_running = record.is_running();
        let state = match record {
            _ if !is_running => NodeState::Killed,
            node if node.is_paused => NodeState::Paused,
            node if node.is_cut => NodeState::Cut,
            node if node.delay > 0 => NodeState::Slow,
            _ => NodeState::Running,
        };
        Self {
            name: record.name.clone(),
            engine: Address::Unix(directory.join("docker.sock")),
            directory,
            place: Some(Place {
                first_process: record.first_process.filter(|_| is_running),
                address: record.address,
                state,
            }),
        }
    }
}

/// Connects from a node, as a program there would: `localhost` is the node's own, and nodes know each other's names.
pub(crate) async fn connect(nodes: &[Node], from: &Node, host: &str, port: u16) -> Result<tokio::net::TcpStream> {
    let named = nodes.iter().find(|node| node.name == host).and_then(|node| node.place.as_ref());
    let host = host.trim_matches(['[', ']']);
    let address: IpAddr = match (host, named) {
        (_, Some(place)) => place.address.into(),
        ("localhost", None) => Ipv4Addr::LOCALHOST.into(),
        (host, None) => host.parse().with_context(|| format!("`{host}` is no node of this session"))?,
    };
    if address.is_ipv6() {
        bail!("nodes are asked over IPv4");
    }
    let socket = from.tcp_socket().with_context(|| format!("opening a socket on {}", from.name))?;
    let address = SocketAddr::new(address, port);
    socket.connect(address).await.with_context(|| format!("nothing accepts connections on port {port}"))
}

fn directory(root: &Path, name: &str) -> PathBuf {
    root.join("sessions").join(name)
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
