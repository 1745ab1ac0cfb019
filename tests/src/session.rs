use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use tempfile::TempDir;

use crate::{Output, docklab, leftovers, seed, succeed};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A session of ours, with a home of its own. Dropping it removes it and fails the test if anything is left.
pub struct Session {
    home: TempDir,
    name: String,
}

impl Session {
    /// With nodes node1 to `nodes`, and the course's images on each if asked for.
    pub fn start(nodes: usize, with_images: bool) -> Self {
        let home = tempfile::Builder::new().prefix("dn").rand_bytes(4).tempdir().expect("a temporary directory");
        let name = format!("s{}", COUNTER.fetch_add(1, Ordering::Relaxed));
        let session = Self { home, name };
        let mut command = session.docklab(&["new", "--nodes", &nodes.to_string()]);
        if with_images {
            command.arg("--seed").arg(seed());
        }
        succeed(&mut command);
        session
    }

    fn docklab(&self, words: &[&str]) -> Command {
        let mut command = Command::new(docklab());
        command.args(["session", "--session", &self.name]).args(words);
        command.env("DOCKLAB_HOME", self.home.path()).stdin(Stdio::null());
        command
    }

    /// `docklab session WORDS`; panics unless it succeeds. Returns its stdout.
    pub fn run(&self, words: &[&str]) -> String {
        succeed(&mut self.docklab(words)).trim_end().to_owned()
    }

    /// Runs a program on a node, whatever its exit code.
    pub fn exec(&self, node: &str, program: &[&str]) -> Output {
        let output = self.docklab(&["exec", node, "--"]).args(program).output().expect("starting docklab");
        Output {
            stdout: String::from_utf8_lossy(&output.stdout).trim_end().to_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
            exit: output.status.code().unwrap_or(-1),
        }
    }

    /// Runs a shell's line on a node; panics unless it succeeds. Returns its stdout.
    pub fn on(&self, node: &str, line: &str) -> String {
        let output = self.exec(node, &["sh", "-c", line]);
        assert_eq!(output.exit, 0, "{node}$ {line}\n{}\n{}", output.stdout, output.stderr);
        output.stdout
    }

    /// Makes node1 a manager and all others workers of it.
    pub fn form_swarm(&self, nodes: usize) {
        self.on("node1", "docker swarm init --advertise-addr eth0");
        let token = self.on("node1", "docker swarm join-token --quiet worker");
        for number in 2..=nodes {
            self.on(&format!("node{number}"), &format!("docker swarm join --token {token} node1:2377"));
        }
    }

    /// `node1=Ready node2=Down …`, as node1 sees them.
    pub fn states(&self) -> String {
        let listed = self.on("node1", "docker node ls --format '{{.Hostname}}={{.Status}}'");
        let mut states: Vec<&str> = listed.lines().collect();
        states.sort_unstable();
        states.join(" ")
    }

    /// Everything that the session keeps on disk.
    pub fn directory(&self) -> PathBuf {
        self.home.path().join("sessions").join(&self.name)
    }

    /// What its engines call their cgroups and links.
    fn prefixes(&self) -> Vec<String> {
        let root = self.directory().display().to_string();
        let commands = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
        let commands = commands.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
        let engines = commands.filter(|command| command.contains("\0engine\0") && command.contains(&root));
        let names = engines.filter_map(|command| {
            let mut words = command.split('\0').skip_while(|word| *word != "--name");
            words.nth(1).map(str::to_owned)
        });
        names.collect()
    }

    /// Removes it and returns what is left of it.
    fn remove(&self, prefixes: &[String]) -> Vec<String> {
        succeed(&mut self.docklab(&["rm"]));
        let mut left: Vec<String> = prefixes.iter().flat_map(|prefix| leftovers(prefix, self.home.path())).collect();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let home = self.home.path().display().to_string();
        left.extend(mounts.lines().filter(|line| line.contains(&home)).map(|line| format!("mount: {line}")));
        if self.directory().exists() {
            left.push(format!("directory: {}", self.directory().display()));
        }
        left
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let prefixes = self.prefixes();
        if std::thread::panicking() {
            for node in fs::read_dir(self.directory()).into_iter().flatten().filter_map(Result::ok) {
                let log = fs::read_to_string(node.path().join("engine.log")).unwrap_or_default();
                eprintln!("{}: {log}", node.path().display());
            }
            self.docklab(&["rm"]).status().ok();
            return;
        }
        let left = self.remove(&prefixes);
        assert!(left.is_empty(), "the session left behind: {left:#?}");
    }
}
