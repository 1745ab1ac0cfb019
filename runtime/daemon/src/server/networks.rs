use docklab_api::{ApiResult, wire};
use hyper::{Method, Response};

use super::{body::Body, page_not_found, request::Context, respond};

pub(super) async fn route(mut context: Context, segments: &[&str]) -> ApiResult<Response<Body>> {
    let api = context.api.clone();
    let query = &context.query;
    match (context.method.clone(), segments) {
        (Method::GET, []) => {
            let list = api.list_networks(query.filters()?).await?;
            respond::json(&list.iter().map(wire::network_json).collect::<Vec<_>>())
        }
        (Method::POST, ["create"]) => {
            let body = context.json().await?;
            respond::created(&api.create_network(body).await?)
        }
        (Method::POST, ["prune"]) => respond::json(&api.prune_networks(query.filters()?).await?),
        (Method::POST, [id, "connect"]) => {
            let body = context.json().await?;
            api.connect_network(id, body).await.map(|()| respond::ok())
        }
        (Method::POST, [id, "disconnect"]) => {
            let body = context.json().await?;
            api.disconnect_network(id, body).await.map(|()| respond::ok())
        }
        (Method::GET, [id]) => {
            let network = api.inspect_network(id, query.flag("verbose"), query.get("scope").as_deref()).await?;
            respond::json(&wire::network_json(&network))
        }
        (Method::DELETE, [id]) => api.remove_network(id).await.map(|()| respond::no_content()),
        _ => Err(page_not_found()),
    }
}
