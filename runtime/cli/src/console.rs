use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use thiserror::Error;

/// One of the three standard streams of the client's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    Stdin,
    Stdout,
    Stderr,
}

/// What a path names; links are not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    File,
    Directory,
    Link,
    /// Sockets, pipes and devices: a build context leaves sockets out.
    Other,
}

/// What `lstat` says of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMetadata {
    pub kind: FileKind,
    pub size: u64,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Seconds since the epoch.
    pub modified: i64,
    /// Where a link points, as written in it.
    pub link_target: Option<String>,
}

/// Why a file of the client's machine could not be used, in the words of Go's `os.PathError`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{operation} {path}: {reason}")]
pub struct ConsoleError {
    /// `open`, `lstat`, `write`, `readdirent`.
    pub operation: String,
    pub path: String,
    /// `no such file or directory`, `permission denied`, `is a directory`.
    pub reason: String,
}

impl ConsoleError {
    pub fn new(operation: &str, path: &str, reason: &str) -> Self {
        Self { operation: operation.to_owned(), path: path.to_owned(), reason: reason.to_owned() }
    }
    /// The path does not exist.
    pub fn missing(operation: &str, path: &str) -> Self {
        Self::new(operation, path, "no such file or directory")
    }
    /// True when the path does not exist.
    pub fn is_missing(&self) -> bool {
        self.reason == "no such file or directory"
    }
}

/// What the client needs of the machine it runs on: a terminal, a clock and some files.
///
/// Paths may be relative to [`Console::working_directory`]; implementations resolve them.
#[async_trait]
pub trait Console: Send + Sync {
    /// Writes all bytes to stdout or stderr. A closed stream is not an error here: the client goes on quietly.
    async fn write(&self, stream: Stream, bytes: &[u8]);
    /// Standard input from where the last reader stopped. Ends at end of file.
    fn stdin(&self) -> BoxStream<'static, Bytes>;
    fn is_terminal(&self, stream: Stream) -> bool;
    /// Rows and columns of the terminal, when there is one.
    fn terminal_size(&self) -> Option<(u16, u16)>;
    /// One item after every change of the terminal's size.
    fn resizes(&self) -> BoxStream<'static, ()>;
    /// Raw mode on or off; off restores what was before. Must be harmless without a terminal.
    fn set_raw_mode(&self, raw: bool);
    /// Signals delivered to the client, by name without `SIG`: `INT`, `TERM`, `HUP`. They do nothing else while the
    /// stream is kept.
    fn signals(&self) -> BoxStream<'static, String>;
    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<String>;
    /// The wall clock.
    fn now(&self) -> jiff::Timestamp;
    /// Offset of the local time zone from UTC, in seconds.
    fn utc_offset(&self) -> i32 {
        0
    }
    async fn sleep(&self, duration: Duration);
    fn working_directory(&self) -> String;
    async fn read_file(&self, path: &str) -> Result<Vec<u8>, ConsoleError>;
    /// Creates or replaces a file with the given permission bits.
    async fn write_file(&self, path: &str, bytes: &[u8], mode: u32) -> Result<(), ConsoleError>;
    /// Adds to the end of a file that may not exist yet.
    async fn append_file(&self, path: &str, bytes: &[u8]) -> Result<(), ConsoleError>;
    /// `lstat`.
    async fn metadata(&self, path: &str) -> Result<FileMetadata, ConsoleError>;
    /// Names in a directory, in any order, without `.` and `..`.
    async fn read_directory(&self, path: &str) -> Result<Vec<String>, ConsoleError>;
    /// Creates a directory and its parents; an existing one is fine.
    async fn create_directory(&self, path: &str, mode: u32) -> Result<(), ConsoleError>;
    async fn create_link(&self, target: &str, path: &str) -> Result<(), ConsoleError>;
    /// Removes a file; a missing one is fine.
    async fn remove_file(&self, path: &str) -> Result<(), ConsoleError>;
    /// Runs a program with this input; its exit code and what it printed. Where no programs can be run, none is found.
    async fn run_program(
        &self,
        name: &str,
        _arguments: &[&str],
        _input: &[u8],
    ) -> Result<(i32, Vec<u8>), ConsoleError> {
        Err(ConsoleError::new("exec", name, "executable file not found in $PATH"))
    }
}
