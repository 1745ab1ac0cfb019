//! `docklab engine`: one engine of ours on a unix socket, in the foreground.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};
use clap::Args;
use docklab_engine::{Engine, EngineOptions};
use docklab_linux::{LinuxHost, LinuxOptions};
use tokio::{
    net::UnixListener,
    signal::unix::{SignalKind, signal},
};

/// Run an engine of docklab's own on this machine.
#[derive(Debug, Args)]
pub(crate) struct EngineArguments {
    /// Directory for everything that the engine keeps.
    #[arg(long)]
    root: PathBuf,
    /// Unix socket to listen on.
    #[arg(long)]
    socket: PathBuf,
    /// Short name (letters and digits) that begins interface and cgroup names; two engines need two names.
    #[arg(long, default_value = "dl0")]
    name: String,
    /// Directory of layers that several engines share.
    #[arg(long)]
    shared_layers: Option<PathBuf>,
    /// Address of this node on the LAN of a swarm: where overlay networks leave from.
    #[arg(long)]
    node_address: Option<std::net::IpAddr>,
    /// Network namespace (a file) of the machine that this node is on: published ports open on its loopback, too.
    #[arg(long, hide = true)]
    machine_network: Option<PathBuf>,
    /// Answer a registry or repository elsewhere: `docker.io=http://127.0.0.1:5000`. May be given several times.
    #[arg(long, value_parser = mirror)]
    mirror: Vec<(String, String)>,
    /// Wait for the disk at every record. Slower; records then survive a crash of the machine, not only of the engine.
    #[arg(long)]
    durable: bool,
}

pub(crate) async fn run(arguments: EngineArguments) -> Result<()> {
    let mut options = LinuxOptions::beneath(&arguments.root, &arguments.name);
    options.shared_layers = arguments.shared_layers;
    options.durable = arguments.durable;
    options.node_address = arguments.node_address;
    options.machine_network = arguments.machine_network;
    let host = LinuxHost::open(options).await.context("opening this machine as a container host")?;
    let engine = Engine::open(Arc::new(host), EngineOptions { mirrors: arguments.mirror, ..EngineOptions::default() })
        .await
        .context("starting the engine")?;
    let listener = listen(&arguments.socket)?;
    // Whoever started this engine waits for the line.
    println!("listening on unix://{}", arguments.socket.display());
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    docklab_daemon::server::serve_unix(listener, Arc::new(engine), Some(docklab_linux::unread_by_peer), stop).await;
    std::fs::remove_file(&arguments.socket).ok();
    Ok(())
}

/// Reads `NAME=URL`.
fn mirror(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, url)) if url.starts_with("http://") || url.starts_with("https://") => {
            Ok((name.to_owned(), url.to_owned()))
        }
        _ => Err("a mirror is a registry's name, `=`, and a URL: docker.io=http://127.0.0.1:5000".to_owned()),
    }
}

/// Binds the socket, in place of one that a dead engine has left, readable for this user alone.
fn listen(socket: &std::path::Path) -> Result<UnixListener> {
    if let Some(directory) = socket.parent() {
        std::fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    }
    if std::os::unix::net::UnixStream::connect(socket).is_ok() {
        anyhow::bail!("another engine already listens on {}", socket.display());
    }
    std::fs::remove_file(socket).ok();
    let listener = UnixListener::bind(socket).with_context(|| format!("listening on {}", socket.display()))?;
    let only_owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(socket, only_owner).with_context(|| format!("protecting {}", socket.display()))?;
    Ok(listener)
}
