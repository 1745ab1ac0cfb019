use docklab_api::{ApiError, ApiResult, Filters};

use super::{Network, table::is_predefined};

/// `docker network ls -f`.
pub(crate) fn matches(network: &Network, filters: &Filters, in_use: bool) -> ApiResult<bool> {
    let record = &network.record;
    for kind in filters.get("type") {
        if kind != "builtin" && kind != "custom" {
            return Err(ApiError::invalid(format!("invalid filter: 'type'='{kind}'")));
        }
    }
    Ok(filters.any("driver", |driver| record.driver == driver)
        && filters.any("name", |name| record.name.contains(name))
        && filters.any("id", |id| record.id.starts_with(id))
        && filters.any("scope", |scope| record.scope == scope)
        && filters.labels(|key| record.labels.get(key).map(String::as_str))
        && filters.any("dangling", |value| matches!(value, "true" | "1") == (!in_use && network.is_user_defined()))
        && filters.any("type", |kind| is_predefined(&record.name) == (kind == "builtin")))
}
