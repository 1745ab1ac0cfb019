//! Processes: programs as futures, with pids, signals, streams and exit codes.

mod exec;
mod space;
mod state;
mod stream;
mod tty;

pub(crate) use exec::{Executable, find_executable, program_file};
pub use space::Space;
pub(crate) use space::{Identity, SpawnSpec, identity};
pub use state::ProcessState;
pub(crate) use state::signal;
pub(crate) use stream::open_sink;
pub use stream::{Closed, Collect, Null, PipeReader, PipeWriter, Sink, Source, Streams, pipe};
pub use tty::Tty;

use std::sync::Arc;

use crate::fs::{View, join};

/// Environment variables in the order they were set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// From `KEY=value` lines; a later one replaces an earlier one.
    pub fn from_lines<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> Self {
        let mut environment = Self::default();
        for line in lines {
            if let Some((key, value)) = line.as_ref().split_once('=') {
                environment.set(key, value);
            }
        }
        environment
    }
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
    pub fn set(&mut self, key: &str, value: &str) {
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((key.to_owned(), value.to_owned())),
        }
    }
    pub fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key);
    }
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// What a program is given.
pub struct Context {
    pub process: Arc<ProcessState>,
    pub argv: Vec<String>,
    pub env: Environment,
    pub cwd: String,
    pub streams: Streams,
}

impl Context {
    pub fn space(&self) -> &Arc<Space> {
        &self.process.space
    }
    /// The file system it sees.
    pub fn view(&self) -> &View {
        &self.process.space.view
    }
    /// `path` from its working directory.
    pub fn path(&self, path: &str) -> String {
        let joined = join(&self.cwd, path);
        if path.ends_with('/') && joined != "/" { format!("{joined}/") } else { joined }
    }
    pub async fn out(&self, text: impl AsRef<[u8]>) -> Result<(), Closed> {
        self.streams.stdout.write(text.as_ref()).await
    }
    pub async fn err(&self, text: impl AsRef<[u8]>) -> Result<(), Closed> {
        self.streams.stderr.write(text.as_ref()).await
    }
    /// Its name as it was called, without directories.
    pub fn name(&self) -> &str {
        self.argv.first().map_or("", |name| name.rsplit('/').next().unwrap_or(name))
    }
    /// Prints `name: text` on standard error and returns `code`.
    pub async fn fail(&self, code: i32, text: impl std::fmt::Display) -> Result<i32, Closed> {
        self.err(format!("{}: {text}\n", self.name())).await?;
        Ok(code)
    }
    pub async fn sleep(&self, duration: std::time::Duration) {
        self.process.space.world.clock.sleep(duration).await;
    }
}
