//! Plugins. There are none: drivers are part of the engine.

use docklab_api::{ApiError, ApiResult};
use hyper::{Method, Response};

use super::{body::Body, page_not_found, request::Context, respond};

pub(super) fn route(context: &Context, segments: &[&str]) -> ApiResult<Response<Body>> {
    let unknown = |name: &[&str]| Err(ApiError::not_found(format!("plugin \"{}\" not found", name.join("/"))));
    match (context.method.clone(), segments) {
        (Method::GET, []) => respond::json(&Vec::<()>::new()),
        (Method::GET, ["privileges"]) | (Method::POST, ["pull" | "create"]) => Err(ApiError::not_implemented(
            "plugins are not supported by docklab: networks and volumes have their drivers built in",
        )),
        (Method::GET, [name @ .., "json"])
        | (Method::POST, [name @ .., "enable" | "disable" | "upgrade" | "push" | "set"])
        | (Method::DELETE, name @ [_, ..])
            if !name.is_empty() =>
        {
            unknown(name)
        }
        _ => Err(page_not_found()),
    }
}
