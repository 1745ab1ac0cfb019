use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use docklab_linux::{LinuxHost, LinuxOptions};
use tempfile::TempDir;

use crate::{docklab, leftovers, seed};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// An engine of ours in a process of its own, with the course's images. Dropping it removes its containers, ends it and
/// fails the test if anything is left.
pub struct Engine {
    directory: TempDir,
    name: String,
    /// Network namespace (of `ip netns`) that stands for a machine, and the engine's address there.
    machine: Option<(String, String)>,
    child: Child,
}

/// What a command line answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    pub exit: i32,
}

/// A docker command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Docker's own.
    Real,
    /// `docklab docker`.
    Ours,
}

impl Engine {
    pub fn start() -> Self {
        Self::start_on(None)
    }

    /// In a network namespace of `ip netns`, as on a machine of its own with that address.
    pub fn start_in(machine: &str, address: &str) -> Self {
        Self::start_on(Some((machine.to_owned(), address.to_owned())))
    }

    fn start_on(machine: Option<(String, String)>) -> Self {
        let directory = tempfile::Builder::new().prefix("dt").rand_bytes(4).tempdir().expect("a temporary directory");
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{:x}{number:x}", std::process::id() & 0xffff);
        let child = Self::spawn(&directory, &name, machine.as_ref());
        let engine = Self { directory, name, machine, child };
        let seed = seed().display().to_string();
        engine.docker(&["image", "load", "--quiet", "--input", &seed]);
        engine
    }

    /// Returns once the engine listens.
    fn spawn(directory: &TempDir, name: &str, machine: Option<&(String, String)>) -> Child {
        let log = fs::OpenOptions::new().append(true).create(true).open(directory.path().join("log"));
        let mut command = match machine {
            None => Command::new(docklab()),
            Some((machine, _)) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/run/netns/{machine}")).arg(docklab());
                command
            }
        };
        command.arg("engine");
        if let Some((_, address)) = machine {
            command.args(["--node-address", address]);
        }
        let mut child = command
            .arg("--root")
            .arg(directory.path().join("root"))
            .arg("--socket")
            .arg(directory.path().join("docker.sock"))
            .args(["--name", name])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.expect("the engine's log"))
            .spawn()
            .expect("starting the engine");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("the engine's output");
        BufReader::new(stdout).read_line(&mut line).expect("the engine's first line");
        let log = fs::read_to_string(directory.path().join("log")).unwrap_or_default();
        assert!(line.starts_with("listening"), "the engine did not start: {line}{log}");
        child
    }

    /// `DOCKER_HOST` for this engine.
    pub fn host(&self) -> String {
        format!("unix://{}", self.directory.path().join("docker.sock").display())
    }

    /// The prefix of everything it makes on this machine.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends the engine as a crash does, and starts the next one over what it left.
    pub fn crash_and_restart(&mut self) {
        self.child.kill().expect("killing the engine");
        self.child.wait().expect("waiting for the engine");
        self.child = Self::spawn(&self.directory, &self.name, self.machine.as_ref());
    }

    /// A docker command that has not been started.
    pub fn command(&self, client: Client, words: &[&str]) -> Command {
        let mut command = match client {
            Client::Real => Command::new("docker"),
            Client::Ours => {
                let mut command = Command::new(docklab());
                command.arg("docker");
                command
            }
        };
        command
            .args(words)
            .env("DOCKER_HOST", self.host())
            .env("DOCKER_CONFIG", self.directory.path().join("config"))
            .env("DOCKER_CLI_HINTS", "false")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command line to its end, whatever its exit code.
    pub fn run(&self, client: Client, words: &[&str]) -> Output {
        let output = self.command(client, words).output().expect("starting docker");
        Output {
            stdout: String::from_utf8_lossy(&output.stdout).trim_end().to_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
            exit: output.status.code().unwrap_or(-1),
        }
    }

    /// Our command line; panics unless it succeeds. Returns its stdout.
    pub fn docker(&self, words: &[&str]) -> String {
        let output = self.run(Client::Ours, words);
        assert_eq!(output.exit, 0, "docker {}: {}", words.join(" "), output.stderr);
        output.stdout
    }

    fn directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let all = self.run(Client::Ours, &["container", "ls", "--all", "--quiet"]).stdout;
        for id in all.lines() {
            self.run(Client::Ours, &["container", "rm", "--force", "--volumes", id]);
        }
        self.run(Client::Ours, &["network", "prune", "--force"]);
        if let Ok(pid) = i32::try_from(self.child.id())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
        self.child.wait().ok();
        // An engine keeps its bridges and rules for the next one over the same directory; there will be none.
        let purged = LinuxHost::purge(&LinuxOptions::beneath(self.directory().join("root"), &self.name));
        if std::thread::panicking() {
            eprintln!("the engine's log: {}", fs::read_to_string(self.directory().join("log")).unwrap_or_default());
            return;
        }
        purged.expect("removing the engine's bridges, rules and cgroups");
        let left = leftovers(&self.name, &self.directory());
        assert!(left.is_empty(), "the engine left behind: {left:#?}");
    }
}
