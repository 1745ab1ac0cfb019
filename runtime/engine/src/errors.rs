use docklab_api::{ApiError, ApiResult};
use docklab_host::{HostError, HostResult};

/// What a failed host call is to a client: a missing object or file is 404, a wrong stream 400, something that this
/// machine cannot do 501, the rest 500.
pub fn api_error(error: HostError) -> ApiError {
    let message = error.to_string();
    match error {
        HostError::NotFound { .. } | HostError::NoSuchFile(_) => ApiError::not_found(message),
        HostError::NotADirectory(_) | HostError::InvalidTar(_) | HostError::NoSuchUser(_) => ApiError::invalid(message),
        HostError::Unsupported(_) => ApiError::not_implemented(message),
        HostError::CommandNotFound(_)
        | HostError::CommandPathNotFound(_)
        | HostError::CommandNotExecutable { .. }
        | HostError::PortInUse { .. }
        | HostError::DigestMismatch { .. }
        | HostError::NoSpace
        | HostError::Network(_)
        | HostError::Other(_) => ApiError::system(message),
    }
}

/// `host_call().await.api()?`
pub trait HostResultExt<T> {
    fn api(self) -> ApiResult<T>;
}

impl<T> HostResultExt<T> for HostResult<T> {
    fn api(self) -> ApiResult<T> {
        self.map_err(api_error)
    }
}
