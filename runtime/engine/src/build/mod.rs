//! The classic builder.

mod glob;

pub(crate) use glob::path_match;

use docklab_api::{ApiError, ApiResult, models::ContainerConfig};

/// Applies `docker commit --change` instructions to a configuration.
pub(crate) fn apply_changes(_config: &mut ContainerConfig, changes: &[String]) -> ApiResult<()> {
    match changes.first() {
        None => Ok(()),
        Some(change) => Err(ApiError::not_implemented(format!("--change \"{change}\" is not supported yet"))),
    }
}
