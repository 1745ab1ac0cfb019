use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The result of a control call.
pub type ControlResult<T> = Result<T, ControlError>;

/// A refusal of the control API. The texts are Docker's; those of gRPC codes carry the prefix that its clients show.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum ControlError {
    /// `service web not found`
    #[error("{kind} {name} not found")]
    NotFound { kind: String, name: String },
    #[error("rpc error: code = InvalidArgument desc = {0}")]
    InvalidArgument(String),
    #[error("rpc error: code = AlreadyExists desc = {0}")]
    AlreadyExists(String),
    #[error("rpc error: code = FailedPrecondition desc = {0}")]
    FailedPrecondition(String),
    #[error("rpc error: code = Unknown desc = {0}")]
    Unknown(String),
    #[error("rpc error: code = Unimplemented desc = {0}")]
    Unimplemented(String),
    #[error("rpc error: code = DeadlineExceeded desc = context deadline exceeded")]
    DeadlineExceeded,
    /// Refused by the engine before the cluster is asked.
    #[error("{0}")]
    Invalid(String),
}

impl ControlError {
    /// Nobody leads, and by now somebody should.
    pub fn no_leader() -> Self {
        Self::Unknown(
            "The swarm does not have a leader. It's possible that too few managers are online. Make sure more than half of \
             the managers are online."
                .into(),
        )
    }
    pub(crate) fn not_found(kind: &str, name: impl Into<String>) -> Self {
        Self::NotFound { kind: kind.to_owned(), name: name.into() }
    }

    /// The HTTP status that Docker answers with.
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound { .. } => 404,
            Self::InvalidArgument(_) | Self::FailedPrecondition(_) | Self::Invalid(_) => 400,
            Self::AlreadyExists(_) => 409,
            Self::Unknown(_) | Self::DeadlineExceeded => 500,
            Self::Unimplemented(_) => 501,
        }
    }
}
