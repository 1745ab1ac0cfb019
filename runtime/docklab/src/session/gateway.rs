//! The gateway of a session's LAN: a process of the machine's that listens on the switch. It is the nodes' resolver (which knows
//! their names), their registry, and their way out: TCP connections that leave the LAN end here and go on from the machine's
//! own network, so no firewall of the machine's has to be told anything.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use docklab_linux::{Attachment, FirstProcess, Lan, original_destination};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::record::{GATEWAY, RecordFile, SUBNET};

const REGISTRY_PORT: u16 = 5000;
/// Where redirected connections arrive. Nobody asks for it by number.
const OUTBOUND_PORT: u16 = 6081;
/// In the session's directory; locked as long as the gateway lives.
const LOCK: &str = "gateway.lock";
const DIAL: Duration = Duration::from_secs(15);

/// Be the gateway of a session's LAN; sessions start it themselves.
#[derive(Debug, Args)]
pub(crate) struct GatewayArguments {
    /// The session's directory.
    #[arg(long)]
    session: PathBuf,
}

/// What nodes call the session's registry.
pub(super) fn registry_url() -> String {
    format!("http://{GATEWAY}:{REGISTRY_PORT}")
}

/// Starts the gateway unless it runs, and returns once it listens.
pub(super) async fn ensure(directory: &Path, session: &FirstProcess) -> Result<()> {
    if lock(directory)?.is_none() {
        return Ok(());
    }
    let program = std::env::current_exe().context("finding this program")?;
    let log = directory.join("gateway.log");
    let log_file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
    let mut command = session.command(Attachment::SessionService, Path::new("/"), &program.to_string_lossy());
    command.arg("gateway").arg("--session").arg(directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file);
    let mut child = tokio::process::Command::from(command).spawn().context("starting the gateway")?;
    let stdout = child.stdout.take().context("starting the gateway: no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await.context("waiting for the gateway")?;
    child.wait().await.context("starting the gateway")?;
    if line.is_empty() {
        let reason = std::fs::read_to_string(&log).unwrap_or_default();
        bail!("the session's gateway did not start: {}", reason.trim());
    }
    Ok(())
}

/// The gateway's lock, if nobody has it.
fn lock(directory: &Path) -> Result<Option<File>> {
    let path = directory.join(LOCK);
    let file =
        File::options().create(true).append(true).open(&path).with_context(|| format!("opening {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

pub(crate) async fn run(arguments: GatewayArguments) -> Result<()> {
    let directory = arguments.session;
    // Held until the process ends.
    let Some(_lock) = lock(&directory)? else { return Ok(()) };
    let record = RecordFile::of(&directory).load()?;
    let session = record.first_process.filter(FirstProcess::is_alive).context("the session has not begun")?;
    let lan = Lan::of(&session)?;
    let names = RecordFile::of(&directory);
    let lookup = move |name: &str| {
        // Read each time: nodes come and go.
        let record = names.load().ok()?;
        record.nodes.iter().find(|node| node.name == name).map(|node| node.address.into())
    };
    let _names = lan.serve_names(GATEWAY.into(), lookup).context("answering names")?;
    let listen = |port| lan.listen(SocketAddr::new(GATEWAY.into(), port)).and_then(TcpListener::from_std);
    let registry = listen(REGISTRY_PORT).context("listening for the session's registry")?;
    let registry = crate::registry::start(directory.join("registry"), registry).await?;
    let outbound = listen(OUTBOUND_PORT).context("listening for connections that leave the LAN")?;
    match lan.redirect_outbound(SUBNET, OUTBOUND_PORT) {
        Ok(()) => {}
        Err(error) => tracing::warn!("nodes reach nothing outside of the LAN: {error}"),
    }
    println!("the gateway is ready");
    tokio::select! {
        () = lead_out(outbound) => {}
        ended = registry => ended.context("serving the session's registry")?,
        () = crate::serve::stop_signal() => {}
    }
    Ok(())
}

async fn lead_out(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(tokio::spawn(lead_one(client))),
            Err(error) => {
                tracing::debug!("accept a connection that leaves the LAN: {error}");
                // Out of descriptors: some will be given back.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn lead_one(mut client: TcpStream) {
    let target = match original_destination(&client) {
        Ok(target) if may_be_reached(target) => target,
        Ok(target) => return tracing::debug!("{target} is not outside of the LAN"),
        Err(error) => return tracing::debug!("where a connection wanted to go: {error}"),
    };
    match tokio::time::timeout(DIAL, TcpStream::connect(target)).await {
        Ok(Ok(mut server)) => {
            // Small pieces must not wait for more; where the option is not to be had they only come later.
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            if let Err(error) = copy_bidirectional(&mut client, &mut server).await {
                tracing::trace!("connection to {target}: {error}");
            }
        }
        Ok(Err(error)) => tracing::debug!("dial {target}: {error}"),
        Err(_) => tracing::debug!("dial {target}: timed out"),
    }
    // The node sees the end of a connection that it believes made; a reset tells it best.
    let _ = client.set_zero_linger();
}

/// Not the gateway itself, and not what only listens on this machine's loopback, which a node must not reach by asking for it.
fn may_be_reached(target: SocketAddr) -> bool {
    target.ip() != GATEWAY && !target.ip().is_loopback() && target.ip() != Ipv4Addr::UNSPECIFIED
}

#[cfg(test)]
mod tests {
    use super::may_be_reached;

    #[test]
    fn the_machines_loopback_is_not_outside() {
        assert!(may_be_reached("203.0.113.7:443".parse().unwrap()));
        for target in ["127.0.0.1:22", "127.8.0.1:22", "0.0.0.0:22", "192.168.0.1:6081"] {
            assert!(!may_be_reached(target.parse().unwrap()), "{target}");
        }
    }
}
