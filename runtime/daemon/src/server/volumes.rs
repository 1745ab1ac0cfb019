use docklab_api::{ApiResult, wire};
use hyper::{Method, Response};

use super::{body::Body, page_not_found, request::Context, respond};

pub(super) async fn route(mut context: Context, segments: &[&str]) -> ApiResult<Response<Body>> {
    let api = context.api.clone();
    let query = &context.query;
    match (context.method.clone(), segments) {
        (Method::GET, []) => {
            let list = api.list_volumes(query.filters()?).await?;
            let volumes: Vec<_> = list.volumes.iter().flatten().map(wire::volume_json).collect();
            respond::json(&serde_json::json!({ "Volumes": volumes, "Warnings": list.warnings }))
        }
        (Method::POST, ["create"]) => {
            let body = context.json_or_default().await?;
            respond::created(&wire::volume_json(&api.create_volume(body).await?))
        }
        (Method::POST, ["prune"]) => respond::json(&api.prune_volumes(query.filters()?).await?),
        (Method::GET, [name]) => respond::json(&wire::volume_json(&api.inspect_volume(name).await?)),
        (Method::DELETE, [name]) => api.remove_volume(name, query.flag("force")).await.map(|()| respond::no_content()),
        _ => Err(page_not_found()),
    }
}
