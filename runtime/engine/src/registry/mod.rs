//! The registry client.

mod client;
mod pull;
mod push;

use docklab_api::{ApiError, ApiResult, models};

use crate::Engine;

/// Checks credentials against their registry (`POST /auth`).
pub(crate) async fn login(_engine: &Engine, _auth: models::AuthConfig) -> ApiResult<models::SystemAuthResponse> {
    Err(ApiError::not_implemented("login is not implemented yet"))
}
