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

/// In the engine's root, while it runs.
const PID_FILE: &str = "engine.pid";

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
    let host = LinuxHost::open(options).await.context("opening this machine as a container host")?;
    let engine = Engine::open(Arc::new(host), EngineOptions { mirrors: arguments.mirror, ..EngineOptions::default() })
        .await
        .context("starting the engine")?;
    let listener = listen(&arguments.socket)?;
    let pid_file = arguments.root.join(PID_FILE);
    std::fs::write(&pid_file, std::process::id().to_string())
        .with_context(|| format!("writing {}", pid_file.display()))?;
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
    docklab_daemon::server::serve_unix(listener, Arc::new(engine), stop).await;
    std::fs::remove_file(&arguments.socket).ok();
    std::fs::remove_file(&pid_file).ok();
    Ok(())
}

/// Ends the engine of `root`, if one runs, and returns when it has ended. Its containers stay.
pub(crate) async fn stop(root: &std::path::Path) -> Result<()> {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    let Ok(text) = std::fs::read_to_string(root.join(PID_FILE)) else { return Ok(()) };
    let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else { return Ok(()) };
    // A number that belongs to another program by now must not be touched.
    let command = std::fs::read_to_string(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    if !command.contains(&*root.to_string_lossy()) {
        return Ok(());
    }
    let Ok(engine) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    pidfd_send_signal(&engine, Signal::TERM).context("ending the engine")?;
    tokio::task::spawn_blocking(move || {
        rustix::event::poll(&mut [rustix::event::PollFd::new(&engine, rustix::event::PollFlags::IN)], None)
    })
    .await
    .context("waiting for the engine to end")?
    .context("waiting for the engine to end")?;
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
