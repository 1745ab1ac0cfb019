use docklab_api::{
    ApiError, ApiResult, Events,
    models::{AuthConfig, EventMessage, EventMessageTypeEnum},
    wire,
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
        (Method::GET, ["system", "df"]) => disk_usage(&context).await,
        (Method::POST, ["auth"]) => respond::json(&api.login(context.json::<AuthConfig>().await?).await?),
        (Method::GET, ["events"]) => {
            check_order(context.query.get("since").as_deref(), context.query.get("until").as_deref())?;
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
        // BuildKit speaks over these connections; there is none.
        (Method::POST, ["session" | "grpc"]) if context.header("upgrade").is_none() => {
            Err(ApiError::invalid("no upgrade proto in request"))
        }
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

/// `GET /system/df`: with `type`, only those kinds of objects; the others are null.
async fn disk_usage(context: &Context) -> ApiResult<Response<Body>> {
    const KINDS: [(&str, &str); 4] =
        [("container", "Containers"), ("image", "Images"), ("volume", "Volumes"), ("build-cache", "BuildCache")];
    let wanted = context.query.all("type");
    if let Some(unknown) = wanted.iter().find(|kind| !KINDS.iter().any(|(known, _)| known == kind)) {
        return Err(ApiError::invalid(format!("unknown object type: {unknown}")));
    }
    let usage = context.api.disk_usage().await?;
    let mut answer =
        serde_json::to_value(&usage).map_err(|error| ApiError::system(format!("encoding the answer: {error}")))?;
    if let (Value::Object(fields), Some(volumes)) = (&mut answer, &usage.volumes) {
        fields.insert("Volumes".to_owned(), volumes.iter().map(wire::volume_json).collect());
    }
    if let (Value::Object(fields), Some(containers)) = (&mut answer, &usage.containers) {
        fields.insert("Containers".to_owned(), containers.iter().map(wire::container_summary_json).collect());
    }
    if !wanted.is_empty() {
        for (_, field) in KINDS.iter().filter(|(kind, _)| !wanted.iter().any(|wanted| wanted == kind)) {
            answer[*field] = Value::Null;
        }
        if !wanted.iter().any(|wanted| wanted == "image") {
            answer["LayersSize"] = 0.into();
        }
    }
    respond::json(&answer)
}

/// A window of events that ends before it begins is refused.
fn check_order(since: Option<&str>, until: Option<&str>) -> ApiResult<()> {
    let seconds = |text: &str| text.split('.').next().and_then(|text| text.parse::<i64>().ok());
    match (since, until) {
        (Some(since), Some(until)) if seconds(since) > seconds(until) && seconds(until).is_some() => {
            Err(ApiError::invalid(format!("`since` time ({since}) cannot be after `until` time ({until})")))
        }
        _ => Ok(()),
    }
}

/// Adds `status`, `id` and `from`, which API versions before 1.52 still carry for containers and images, in front.
fn on_the_wire(event: &EventMessage) -> Value {
    let mut fields = Map::new();
    let has_legacy_fields = matches!(event.typ, Some(EventMessageTypeEnum::CONTAINER | EventMessageTypeEnum::IMAGE));
    if let (true, Some(actor)) = (has_legacy_fields, &event.actor) {
        fields.insert("status".to_owned(), event.action.clone().into());
        if let Some(id) = actor.id.as_ref().filter(|id| !id.is_empty()) {
            fields.insert("id".to_owned(), id.clone().into());
        }
        let image = actor.attributes.as_ref().and_then(|attributes| attributes.get("image"));
        if let (Some(EventMessageTypeEnum::CONTAINER), Some(image)) = (event.typ, image) {
            fields.insert("from".to_owned(), image.clone().into());
        }
    }
    if let Ok(Value::Object(own)) = serde_json::to_value(event) {
        fields.extend(own);
    }
    Value::Object(fields)
}
