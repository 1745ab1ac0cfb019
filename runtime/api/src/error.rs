use thiserror::Error;

/// The result of every [`crate::DockerApi`] call.
pub type ApiResult<T> = Result<T, ApiError>;

/// An engine's refusal: Docker's exact words and the HTTP status that carries them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status code (moby `errdefs`): 400, 401, 403, 404, 409, 500, 501, 503.
    pub status: u16,
    /// Docker's text, without the client's `Error response from daemon: ` prefix.
    pub message: String,
}

impl ApiError {
    /// An error with an explicit status.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
    /// 400: the request itself is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }
    /// 401: the registry or swarm did not accept the credentials.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(401, message)
    }
    /// 403: the action is not allowed.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(403, message)
    }
    /// 404: the named object does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, message)
    }
    /// 409: the object's state forbids the action.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, message)
    }
    /// 500: the machine failed.
    pub fn system(message: impl Into<String>) -> Self {
        Self::new(500, message)
    }
    /// 501: this engine does not do that.
    pub fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(501, message)
    }
    /// 503: the engine cannot serve this now (every "not a swarm manager" error).
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, message)
    }
    /// The transport lost the engine (no HTTP status was received).
    pub fn connection(message: impl Into<String>) -> Self {
        Self::new(0, message)
    }
    /// True for a 404.
    pub fn is_not_found(&self) -> bool {
        self.status == 404
    }
    /// True when no engine answered at all.
    pub fn is_connection(&self) -> bool {
        self.status == 0
    }
}
