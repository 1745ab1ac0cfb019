use docklab_api::{ApiError, ApiResult, Filters};

use super::{Network, table::is_predefined};
use crate::containers::pattern;

/// `docker network ls -f`.
pub(crate) fn matches(network: &Network, filters: &Filters, in_use: bool) -> ApiResult<bool> {
    let record = &network.record;
    for kind in filters.get("type") {
        if kind != "builtin" && kind != "custom" {
            return Err(ApiError::system(format!("invalid filter: 'type'='{kind}'")));
        }
    }
    let dangling = filters.boolean("dangling").map_err(|_| {
        ApiError::invalid("invalid value for filter 'dangling', must be \"true\" (or \"1\"), or \"false\" (or \"0\")")
    })?;
    Ok(filters.any("driver", |driver| record.driver == driver)
        && filters.any("name", |name| pattern(name, &record.name))
        && filters.any("id", |id| pattern(id, &record.id))
        && filters.any("scope", |scope| record.scope == scope)
        && filters.labels(|key| record.labels.get(key).map(String::as_str))
        && dangling.is_none_or(|wanted| wanted == (!in_use && network.is_user_defined()))
        && filters.any("type", |kind| is_predefined(&record.name) == (kind == "builtin")))
}
