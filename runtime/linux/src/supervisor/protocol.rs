//! What engine and supervisor say to each other over a unix socket: frames of a kind, a length and a payload.

use std::{io, path::PathBuf};

use docklab_host::{ContainerSpec, ExecSpec, Exit, HostError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{cgroup::Cgroup, mounts::Overlay, namespaces::Membership};

/// Everything a supervisor must know to start its container. The descriptor of the network namespace travels beside it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Launch {
    pub(crate) spec: ContainerSpec,
    pub(crate) overlay: Overlay,
    /// The directory of each volume, in the order of the specification's mounts; `None` for other mounts.
    pub(crate) volumes: Vec<Option<PathBuf>>,
    /// Holds hosts, hostname and resolv.conf, and the log.
    pub(crate) directory: PathBuf,
    pub(crate) log: Option<PathBuf>,
    pub(crate) cgroup: Cgroup,
    pub(crate) pid: Membership,
    pub(crate) ipc: Membership,
    pub(crate) uts: Membership,
}

/// The first frame on every connection.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Only on the connection that the supervisor is born with.
    Launch(Box<Launch>),
    /// From now on, the first process's output.
    Attach,
    Exec(ExecSpec),
    /// To the first process, or to an exec by its ID.
    Signal {
        exec: Option<String>,
        signal: i32,
    },
    Resize {
        exec: Option<String>,
        rows: u16,
        columns: u16,
    },
}

/// First byte of a frame; four bytes of length (little-endian) follow, then the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Request = 1,
    Stdin,
    CloseStdin,
    /// The process runs; its PID as JSON.
    Started,
    /// A [`Failure`]: nothing runs.
    Failed,
    Stdout,
    Stderr,
    /// An [`Exit`] as JSON; the last frame.
    Exited,
    /// A signal or a resize was done.
    Done,
}

pub(crate) const HEADER: usize = 5;
/// No frame is longer (a specification with large secrets is the longest).
pub(crate) const LONGEST: usize = 64 << 20;

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Request,
            Self::Stdin,
            Self::CloseStdin,
            Self::Started,
            Self::Failed,
            Self::Stdout,
            Self::Stderr,
            Self::Exited,
            Self::Done,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

/// The beginning of a frame.
pub(crate) fn header(kind: Kind, length: usize) -> [u8; HEADER] {
    let [a, b, c, d] = (length as u32).to_le_bytes();
    [kind as u8, a, b, c, d]
}

pub(crate) fn parse_header(header: [u8; HEADER]) -> io::Result<(Kind, usize)> {
    let [kind, length @ ..] = header;
    let length = u32::from_le_bytes(length) as usize;
    match Kind::from_byte(kind) {
        Some(kind) if length <= LONGEST => Ok((kind, length)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "not a frame of ours")),
    }
}

pub(crate) fn json_frame(kind: Kind, value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, value)?;
    let length = frame.len() - HEADER;
    frame[..HEADER].copy_from_slice(&header(kind, length));
    Ok(frame)
}

/// Takes one whole frame off the front of a buffer.
pub(crate) fn take_frame(buffer: &mut Vec<u8>) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let Some(head) = buffer.first_chunk::<HEADER>() else { return Ok(None) };
    let (kind, length) = parse_header(*head)?;
    if buffer.len() < HEADER + length {
        return Ok(None);
    }
    let payload = buffer[HEADER..HEADER + length].to_vec();
    buffer.drain(..HEADER + length);
    Ok(Some((kind, payload)))
}

pub(crate) fn decode<T: DeserializeOwned>(payload: &[u8]) -> io::Result<T> {
    serde_json::from_slice(payload).map_err(io::Error::from)
}

/// A [`HostError`] on its way between processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Failure {
    CommandNotFound(String),
    CommandPathNotFound(String),
    CommandNotExecutable { command: String, reason: String },
    NoSuchUser(String),
    NoSuchFile(String),
    NotADirectory(String),
    NoSuchExec(String),
    Unsupported(String),
    Other(String),
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        match error {
            HostError::CommandNotFound(command) => Self::CommandNotFound(command),
            HostError::CommandPathNotFound(command) => Self::CommandPathNotFound(command),
            HostError::CommandNotExecutable { command, reason } => Self::CommandNotExecutable { command, reason },
            HostError::NoSuchUser(user) => Self::NoSuchUser(user),
            HostError::NoSuchFile(text) => Self::NoSuchFile(text),
            HostError::NotADirectory(text) => Self::NotADirectory(text),
            HostError::NotFound { kind: "exec", id } => Self::NoSuchExec(id),
            HostError::Unsupported(text) => Self::Unsupported(text),
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<Failure> for HostError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::CommandNotFound(command) => Self::CommandNotFound(command),
            Failure::CommandPathNotFound(command) => Self::CommandPathNotFound(command),
            Failure::CommandNotExecutable { command, reason } => Self::CommandNotExecutable { command, reason },
            Failure::NoSuchUser(user) => Self::NoSuchUser(user),
            Failure::NoSuchFile(text) => Self::NoSuchFile(text),
            Failure::NotADirectory(text) => Self::NotADirectory(text),
            Failure::NoSuchExec(id) => Self::not_found("exec", id),
            Failure::Unsupported(text) => Self::Unsupported(text),
            Failure::Other(text) => Self::Other(text),
        }
    }
}

/// The name of the file in the run directory that holds the exit code.
pub(crate) const EXIT_FILE: &str = "exit.json";
/// The supervisor's socket in the run directory.
pub(crate) const SOCKET: &str = "control";

pub(crate) fn exit_frame(exit: &Exit) -> Vec<u8> {
    // Three plain values cannot fail to become JSON.
    json_frame(Kind::Exited, exit).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_off_a_buffer_whole_or_not_at_all() {
        let mut buffer = json_frame(Kind::Started, &7).expect("encodes");
        let rest = buffer.split_off(4);
        assert_eq!(take_frame(&mut buffer).expect("no error"), None);
        buffer.extend_from_slice(&rest);
        buffer.extend_from_slice(&header(Kind::CloseStdin, 0));
        assert_eq!(take_frame(&mut buffer).expect("frame"), Some((Kind::Started, b"7".to_vec())));
        assert_eq!(take_frame(&mut buffer).expect("frame"), Some((Kind::CloseStdin, vec![])));
        assert!(take_frame(&mut vec![99, 0, 0, 0, 0]).is_err());
    }
}
