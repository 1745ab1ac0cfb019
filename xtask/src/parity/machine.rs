//! Two machines on one: an engine in namespaces of its own, ours or a real dockerd, that vanishes as a whole.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::{command, progress, setup};

/// How long an engine may take until it answers.
const START: Duration = Duration::from_secs(60);
/// Sets up a dockerd's root, pivots into it and becomes dockerd.
const DOCKER_START: &str = include_str!("dockerd.sh");
/// The only Debian suite with a Docker of the release that the course is written for.
const SUITE: &str = "sid";

/// A docker command line.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
}

impl Client {
    pub(crate) fn real() -> Result<Self> {
        let program =
            setup::find_program("docker").context("the real docker command is missing: apt-get install docker.io")?;
        Ok(Self { name: "the real docker", program })
    }

    pub(crate) fn ours(docklab: &Path) -> Self {
        Self { name: "our docker", program: docklab.to_owned() }
    }
}

/// An engine with its own network, mounts and processes.
#[derive(Debug)]
pub(crate) struct Machine {
    directory: TempDir,
    child: Child,
    /// The first process inside, whose namespaces commands enter.
    pid: u32,
    socket: PathBuf,
    cgroup: String,
}

impl Machine {
    /// Our engine.
    pub(crate) fn docklab(program: &Path) -> Result<Self> {
        let directory = new_directory()?;
        let socket = directory.path().join("docker.sock");
        let name = format!("dp{:04x}", std::process::id() & 0xffff);
        let script = format!(
            "ip link set lo up && exec {} engine --root {} --socket {} --name {name}",
            program.display(),
            directory.path().join("engine").display(),
            socket.display(),
        );
        Self::start(directory, &script, socket, format!("docklab/{name}"))
    }

    /// A real dockerd out of Debian's development suite.
    pub(crate) fn docker() -> Result<Self> {
        let root = docker_root()?;
        let directory = new_directory()?;
        let socket = directory.path().join("share/docker.sock");
        let cgroup = format!("docklab-parity-{}", std::process::id());
        let script =
            format!("LOWER={} STATE={} CGROUP={cgroup}\n{DOCKER_START}", root.display(), directory.path().display());
        Self::start(directory, &script, socket, cgroup)
    }

    fn start(directory: TempDir, script: &str, socket: PathBuf, cgroup: String) -> Result<Self> {
        let log = directory.path().join("log");
        let output = fs::File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        // Killing `unshare` kills the first process inside, and with it everything else there.
        let mut child = Command::new("unshare")
            .args([
                "--net",
                "--mount",
                "--uts",
                "--ipc",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "bash",
                "-c",
            ])
            .arg(script)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("duplicating the log")?)
            .stderr(output)
            .spawn()
            .context("starting `unshare`")?;
        let started = Instant::now();
        let answers = loop {
            if ping(&socket) {
                break true;
            }
            if child.try_wait().context("waiting for the engine")?.is_some() || started.elapsed() > START {
                break false;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let inside = first_child(child.id());
        let (true, Some(pid)) = (answers, inside) else {
            child.kill().ok();
            child.wait().ok();
            bail!("the engine did not start: {}", fs::read_to_string(&log).unwrap_or_default().trim());
        };
        Ok(Self { directory, child, pid, socket, cgroup })
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The engine's first process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// A command in the machine's network.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.pid)).arg("--").arg(program).stdin(Stdio::null());
        command
    }

    /// Loads a seed through the real docker.
    pub(crate) fn load(&self, seed: &Path) -> Result<()> {
        let client = Client::real()?;
        command::output(
            Command::new(client.program)
                .env("DOCKER_HOST", self.host())
                .args(["image", "load", "--quiet", "--input"])
                .arg(seed),
        )
        .map(drop)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        remove_cgroups(&self.cgroup);
    }
}

/// Cgroups outlive the namespaces; empty ones can be removed from the leaves up.
fn remove_cgroups(name: &str) {
    let Ok(hierarchies) = fs::read_dir("/sys/fs/cgroup") else { return };
    let own = Path::new("/sys/fs/cgroup").join(name);
    let roots = hierarchies.filter_map(Result::ok).map(|entry| entry.path().join(name)).chain([own]);
    for root in roots.filter(|root| root.is_dir()) {
        remove_tree(&root);
    }
}

fn remove_tree(directory: &Path) {
    if let Ok(entries) = fs::read_dir(directory) {
        for entry in entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir()) {
            remove_tree(&entry);
        }
    }
    fs::remove_dir(directory).ok();
}

fn new_directory() -> Result<TempDir> {
    let parent = progress::workspace_root().join("target/machines");
    fs::create_dir_all(&parent).with_context(|| format!("creating {}", parent.display()))?;
    // Short, because a unix socket's path has 107 bytes.
    tempfile::Builder::new().prefix("m").rand_bytes(4).tempdir_in(&parent).context("making a directory for an engine")
}

fn first_child(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn ping(socket: &Path) -> bool {
    request(socket, "GET", "/_ping", "").is_ok_and(|(status, _)| status == 200)
}

/// One request over an engine's socket; the status and the body as it came.
pub(crate) fn request(socket: &Path, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
    let mut stream = UnixStream::connect(socket).with_context(|| format!("connecting to {}", socket.display()))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .context("sending a request")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).context("reading an answer")?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").context("the engine did not speak HTTP")?;
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    Ok((status.context("the engine did not speak HTTP")?, body.to_owned()))
}

/// The root file system with dockerd, made once.
fn docker_root() -> Result<PathBuf> {
    let root = progress::workspace_root().join("target/real-docker/root");
    if root.join("usr/sbin/dockerd").exists() {
        return Ok(root);
    }
    if setup::find_program("mmdebstrap").is_none() {
        setup::install(&["mmdebstrap"])?;
    }
    progress::step("docker: making a root file system with a real dockerd (about 20 seconds, once)");
    let tar = root.with_extension("tar");
    fs::create_dir_all(&root).with_context(|| format!("creating {}", root.display()))?;
    command::output(
        Command::new("mmdebstrap")
            .args(["--quiet", "--variant=minbase"])
            .arg("--include=docker.io,docker-cli,iptables,ca-certificates,iproute2,procps")
            // The release file of a frozen mirror may be past its date.
            .arg("--aptopt=Acquire::Check-Valid-Until \"false\"")
            .arg(SUITE)
            .arg(&tar),
    )?;
    command::output(Command::new("tar").arg("-C").arg(&root).arg("--exclude=./dev/*").arg("-xf").arg(&tar))?;
    fs::remove_file(&tar).with_context(|| format!("removing {}", tar.display()))?;
    Ok(root)
}
