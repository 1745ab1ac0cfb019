use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{docklab, seed, succeed, workspace};

/// `docklab serve` on a free port, with a home of its own.
pub struct Server {
    home: TempDir,
    child: Child,
    pub port: u16,
    pub token: String,
    offer: Offer,
}

/// What a server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offer {
    Page,
    Engine,
    EngineWithImages,
}

impl Server {
    /// With our engine and the course's images, or as the page alone.
    pub fn start(has_engine: bool) -> Self {
        Self::start_with(if has_engine { Offer::EngineWithImages } else { Offer::Page })
    }

    /// With our engine, which has no images.
    pub fn start_without_images() -> Self {
        Self::start_with(Offer::Engine)
    }

    fn start_with(offer: Offer) -> Self {
        let home = tempfile::Builder::new().prefix("ds").rand_bytes(4).tempdir().expect("a temporary directory");
        let (child, port, token) = Self::spawn(&home, offer);
        Self { home, child, port, token, offer }
    }

    /// Returns once it listens, with port and token.
    fn spawn(home: &TempDir, offer: Offer) -> (Child, u16, String) {
        let root = workspace();
        let mut command = Command::new(docklab());
        command.args(["serve", "--port", "0"]).env("DOCKLAB_HOME", home.path()).env_remove("DOCKLAB_TOKEN");
        command.arg("--labs").arg(root.join("labs")).arg("--page").arg(root.join("web/dist"));
        command.arg("--book").arg(root.join("book/book"));
        match offer {
            Offer::Page => command.args(["--engine", "sim"]),
            Offer::Engine => &mut command,
            Offer::EngineWithImages => command.arg("--seed").arg(seed()),
        };
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("starting the server");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("its first line");
        let url = line.split_whitespace().last().unwrap_or_default();
        let port = url.split("127.0.0.1:").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
        let token = url.split("token=").nth(1).unwrap_or_default().to_owned();
        (child, port.unwrap_or_else(|| panic!("no port in `{line}`")), token)
    }

    /// Ends it and starts another one over what it leaves.
    pub fn restart(&mut self) {
        self.stop();
        (self.child, self.port, self.token) = Self::spawn(&self.home, self.offer);
    }

    fn stop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
        self.child.wait().ok();
    }

    /// The address that a user opens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/?token={}", self.port, self.token)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        if self.offer == Offer::Page {
            return;
        }
        // Its nodes outlive it.
        let mut remove = Command::new(docklab());
        remove.args(["session", "rm"]).env("DOCKLAB_HOME", self.home.path());
        if std::thread::panicking() {
            remove.status().ok();
        } else {
            succeed(&mut remove);
        }
    }
}
