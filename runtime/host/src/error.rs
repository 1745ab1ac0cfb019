use thiserror::Error;

/// The result of every [`crate::Host`] call.
pub type HostResult<T> = Result<T, HostError>;

/// Why the machine could not do what was asked. The engine turns these into Docker's words and HTTP status.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HostError {
    /// The command is not in `$PATH` or has no such file; `docker run` ends with 127.
    #[error("exec: \"{0}\": executable file not found in $PATH")]
    CommandNotFound(String),
    /// A path given as command does not exist; 127.
    #[error("exec: \"{0}\": stat {0}: no such file or directory")]
    CommandPathNotFound(String),
    /// The file is there and may not be executed (mode, a directory, wrong format); 126.
    #[error("exec: \"{command}\": {reason}")]
    CommandNotExecutable { command: String, reason: String },
    /// A user or group that the image's /etc/passwd or /etc/group does not have.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoSuchUser(String),
    /// `path` does not exist.
    #[error("{0}: no such file or directory")]
    NoSuchFile(String),
    /// `path` leads through something that is not a directory.
    #[error("{0}: not a directory")]
    NotADirectory(String),
    /// The host port belongs to another program.
    #[error("listen {protocol} {address}: bind: address already in use")]
    PortInUse { protocol: &'static str, address: String },
    /// No such layer, container, process, network or volume on this machine.
    #[error("no such {kind}: {id}")]
    NotFound { kind: &'static str, id: String },
    /// A stream's content does not have the digest that it was announced with.
    #[error("content digest {actual} does not match {expected}")]
    DigestMismatch { expected: String, actual: String },
    /// A tar stream that is broken or tries to leave its root.
    #[error("invalid tar: {0}")]
    InvalidTar(String),
    #[error("no space left on device")]
    NoSpace,
    /// The peer could not be reached; the text names the operation, as Go's net package words it.
    #[error("{0}")]
    Network(String),
    /// The machine lacks something (a kernel feature, a program, a description in the simulator); the text says what to
    /// do about it.
    #[error("{0}")]
    Unsupported(String),
    /// Anything else: the operation, then the cause.
    #[error("{0}")]
    Other(String),
}

impl HostError {
    /// Names the failed operation, with its cause.
    pub fn other(operation: impl AsRef<str>, cause: impl std::fmt::Display) -> Self {
        Self::Other(format!("{}: {cause}", operation.as_ref()))
    }
    /// An object of this machine is missing.
    pub fn not_found(kind: &'static str, id: impl Into<String>) -> Self {
        Self::NotFound { kind, id: id.into() }
    }
}
