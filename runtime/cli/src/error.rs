use docklab_api::{ApiError, ReferenceError};

use crate::console::ConsoleError;

/// How a command fails: what it prints on stderr (nothing when empty) and its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CliError {
    pub message: String,
    pub status: i32,
}

pub(crate) type CliResult<T = i32> = Result<T, CliError>;

impl CliError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), status: 1 }
    }
    pub(crate) fn with_status(status: i32, message: impl Into<String>) -> Self {
        Self { message: message.into(), status }
    }
}

/// The client's words for an engine's refusal.
pub(crate) fn daemon_message(error: &ApiError) -> String {
    if error.is_connection() { error.message.clone() } else { format!("Error response from daemon: {}", error.message) }
}

impl From<ApiError> for CliError {
    fn from(error: ApiError) -> Self {
        Self::new(daemon_message(&error))
    }
}

impl From<ReferenceError> for CliError {
    fn from(error: ReferenceError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<ConsoleError> for CliError {
    fn from(error: ConsoleError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<serde_json::Error> for CliError {
    fn from(error: serde_json::Error) -> Self {
        Self::new(error.to_string())
    }
}
