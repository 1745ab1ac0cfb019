use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};

use crate::console::{Console, ConsoleError, FileKind, FileMetadata, Stream};

#[derive(Debug, Default)]
struct State {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    stdin: VecDeque<Bytes>,
    files: BTreeMap<String, (Vec<u8>, u32)>,
    variables: BTreeMap<String, String>,
    terminals: Vec<Stream>,
    now: i64,
}

/// A console in memory: what was printed can be read back, files are a map, time passes only in [`Console::sleep`].
#[derive(Debug, Clone, Default)]
pub struct TestConsole(Arc<Mutex<State>>);

impl TestConsole {
    /// No terminal, no input, no files, at `now` seconds after the epoch.
    pub fn new(now: i64) -> Self {
        let console = Self::default();
        console.state().now = now;
        console
    }
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Makes these streams terminals of 24 rows and 200 columns.
    #[must_use]
    pub fn with_terminals(self, streams: &[Stream]) -> Self {
        self.state().terminals = streams.to_vec();
        self
    }
    #[must_use]
    pub fn with_stdin(self, bytes: impl Into<Bytes>) -> Self {
        self.state().stdin.push_back(bytes.into());
        self
    }
    #[must_use]
    pub fn with_variable(self, name: &str, value: &str) -> Self {
        self.state().variables.insert(name.to_owned(), value.to_owned());
        self
    }
    /// Adds a file with mode 0644; its directories exist with it.
    #[must_use]
    pub fn with_file(self, path: &str, content: &str) -> Self {
        let path = self.absolute(path);
        self.state().files.insert(path, (content.as_bytes().to_vec(), 0o644));
        self
    }
    /// Everything written to stdout so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.state().stdout).into_owned()
    }
    /// Everything written to stderr so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.state().stderr).into_owned()
    }
    fn absolute(&self, path: &str) -> String {
        let joined =
            if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.working_directory()) };
        let mut parts: Vec<&str> = Vec::new();
        for part in joined.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        format!("/{}", parts.join("/"))
    }
}

#[async_trait]
impl Console for TestConsole {
    async fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut state = self.state();
        match stream {
            Stream::Stderr => state.stderr.extend_from_slice(bytes),
            _ => state.stdout.extend_from_slice(bytes),
        }
    }
    fn stdin(&self) -> BoxStream<'static, Bytes> {
        let shared = self.clone();
        futures::stream::iter(std::iter::from_fn(move || shared.state().stdin.pop_front())).boxed()
    }
    fn is_terminal(&self, stream: Stream) -> bool {
        self.state().terminals.contains(&stream)
    }
    fn terminal_size(&self) -> Option<(u16, u16)> {
        (!self.state().terminals.is_empty()).then_some((24, 200))
    }
    fn resizes(&self) -> BoxStream<'static, ()> {
        futures::stream::pending().boxed()
    }
    fn set_raw_mode(&self, _raw: bool) {}
    fn signals(&self) -> BoxStream<'static, String> {
        futures::stream::pending().boxed()
    }
    fn variable(&self, name: &str) -> Option<String> {
        self.state().variables.get(name).cloned()
    }
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_second(self.state().now).unwrap_or_default()
    }
    async fn sleep(&self, duration: Duration) {
        let mut state = self.state();
        state.now = state.now.saturating_add(i64::try_from(duration.as_secs()).unwrap_or(0).max(1));
    }
    fn working_directory(&self) -> String {
        "/root".to_owned()
    }
    async fn read_file(&self, path: &str) -> Result<Vec<u8>, ConsoleError> {
        let absolute = self.absolute(path);
        self.state().files.get(&absolute).map(|file| file.0.clone()).ok_or_else(|| ConsoleError::missing("open", path))
    }
    async fn write_file(&self, path: &str, bytes: &[u8], mode: u32) -> Result<(), ConsoleError> {
        let absolute = self.absolute(path);
        self.state().files.insert(absolute, (bytes.to_vec(), mode));
        Ok(())
    }
    async fn append_file(&self, path: &str, bytes: &[u8]) -> Result<(), ConsoleError> {
        let absolute = self.absolute(path);
        let mut state = self.state();
        state.files.entry(absolute).or_insert_with(|| (Vec::new(), 0o600)).0.extend_from_slice(bytes);
        Ok(())
    }
    async fn metadata(&self, path: &str) -> Result<FileMetadata, ConsoleError> {
        let absolute = self.absolute(path);
        let state = self.state();
        if let Some((content, mode)) = state.files.get(&absolute) {
            let size = content.len() as u64;
            return Ok(FileMetadata { kind: FileKind::File, size, mode: *mode, modified: 0, link_target: None });
        }
        let inside = format!("{}/", absolute.trim_end_matches('/'));
        if absolute == "/root" || state.files.keys().any(|file| file.starts_with(&inside)) {
            return Ok(FileMetadata {
                kind: FileKind::Directory,
                size: 0,
                mode: 0o755,
                modified: 0,
                link_target: None,
            });
        }
        Err(ConsoleError::missing("lstat", &absolute))
    }
    async fn read_directory(&self, path: &str) -> Result<Vec<String>, ConsoleError> {
        let inside = format!("{}/", self.absolute(path).trim_end_matches('/'));
        let state = self.state();
        let mut names: Vec<String> = state
            .files
            .keys()
            .filter_map(|file| file.strip_prefix(&inside))
            .filter_map(|rest| rest.split('/').next().map(ToOwned::to_owned))
            .collect();
        names.dedup();
        Ok(names)
    }
    async fn create_directory(&self, _path: &str, _mode: u32) -> Result<(), ConsoleError> {
        Ok(())
    }
    async fn create_link(&self, _target: &str, path: &str) -> Result<(), ConsoleError> {
        Err(ConsoleError::new("symlink", path, "not supported by a console in memory"))
    }
    async fn remove_file(&self, path: &str) -> Result<(), ConsoleError> {
        let absolute = self.absolute(path);
        self.state().files.remove(&absolute);
        Ok(())
    }
}
