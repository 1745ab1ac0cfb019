use docklab_api::{
    ApiResult, Events,
    models::{AuthConfig, EventMessage, EventMessageTypeEnum},
};
use futures::StreamExt as _;
use hyper::{Method, Response, StatusCode, header::HeaderValue};
use serde_json::{Map, Value};

use super::{
    body::{self, Body},
    page_not_found,
    request::Context,
    respond,
};

pub(super) async fn route(mut context: Context, segments: &[&str]) -> ApiResult<Response<Body>> {
    let api = context.api.clone();
    match (context.method.clone(), segments) {
        (Method::GET | Method::HEAD, ["_ping"]) => ping(&context).await,
        (Method::GET, ["version"]) => respond::json(&api.version().await?),
        (Method::GET, ["info"]) => respond::json(&api.info().await?),
        (Method::GET, ["system", "df"]) => respond::json(&api.disk_usage().await?),
        (Method::POST, ["auth"]) => respond::json(&api.login(context.json::<AuthConfig>().await?).await?),
        (Method::GET, ["events"]) => {
            let options = Events {
                since: context.query.get("since"),
                until: context.query.get("until"),
                filters: context.query.filters()?,
            };
            let events = api.events(options).await?.map(|event| event.map(|event| on_the_wire(&event))).boxed();
            Ok(respond::json_lines(events, "\n"))
        }
        (Method::GET, ["docklab", "swarm", "changes"]) => Ok(respond::json_lines(api.swarm_changes().await?, "\n")),
        (Method::GET, ["docklab", "activity"]) => Ok(respond::json_lines(api.activity().await?, "\n")),
        (Method::GET, ["docklab", "raft"]) => respond::json(&api.raft_status().await?),
        // BuildKit's session; clients that try it fall back to the classic builder.
        _ => Err(page_not_found()),
    }
}

async fn ping(context: &Context) -> ApiResult<Response<Body>> {
    let ping = context.api.ping().await?;
    let text = if context.method == Method::HEAD { body::empty() } else { body::full("OK") };
    let mut response = respond::with_type(StatusCode::OK, "text/plain; charset=utf-8", text);
    let headers = response.headers_mut();
    headers.insert("Cache-Control", HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert("Pragma", HeaderValue::from_static("no-cache"));
    for (name, value) in [("Builder-Version", &ping.builder_version), ("Swarm", &ping.swarm)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

/// Adds `status`, `id` and `from`, which API versions before 1.52 still carry for containers and images, in front.
fn on_the_wire(event: &EventMessage) -> Value {
    let mut wire = Map::new();
    let has_legacy_fields = matches!(event.typ, Some(EventMessageTypeEnum::CONTAINER | EventMessageTypeEnum::IMAGE));
    if let (true, Some(actor)) = (has_legacy_fields, &event.actor) {
        wire.insert("status".to_owned(), event.action.clone().into());
        wire.insert("id".to_owned(), actor.id.clone().into());
        let image = actor.attributes.as_ref().and_then(|attributes| attributes.get("image"));
        if let (Some(EventMessageTypeEnum::CONTAINER), Some(image)) = (event.typ, image) {
            wire.insert("from".to_owned(), image.clone().into());
        }
    }
    if let Ok(Value::Object(fields)) = serde_json::to_value(event) {
        wire.extend(fields);
    }
    Value::Object(wire)
}
