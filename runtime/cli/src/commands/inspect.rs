//! `docker inspect` and every group's `inspect`.

use docklab_api::{ApiError, wire};
use serde_json::Value;

use crate::{
    commands::json::{text, value},
    context::{Context, Invocation},
    error::{CliError, CliResult, daemon_message},
    template::Template,
};

/// Kinds in the order in which a bare `docker inspect` tries them.
const ORDER: &[&str] = &["container", "image", "network", "volume", "service", "node", "secret", "config"];

/// Prints the objects found as one indented array, then the errors; exit code 1 when any is missing.
pub(crate) async fn inspect(context: &Context, call: &Invocation) -> CliResult {
    let kind = call.command.path.split(' ').next().unwrap_or_default();
    let kind = if kind == "inspect" { call.flags.text("type") } else { kind };
    let format = match call.flags.text("format") {
        "json" => "{{json .}}",
        other => other,
    };
    let mut found = Vec::new();
    let mut failures = Vec::new();
    for name in &call.arguments {
        let object =
            if kind.is_empty() { any(context, call, name).await } else { one(context, call, kind, name).await };
        match object {
            Ok(object) => found.push(object),
            Err(message) => failures.push(message),
        }
    }
    if format.is_empty() {
        let array = Value::Array(found);
        let text = if array.as_array().is_some_and(Vec::is_empty) { "[]".to_owned() } else { indented(&array) };
        context.line(text).await;
    } else {
        let source = format.replace("\\t", "\t").replace("\\n", "\n");
        let template = Template::parse(&source)
            .map_err(|error| CliError::with_status(64, format!("template parsing error: {error}")))?;
        for object in &found {
            match template.execute(object) {
                Ok(text) => context.line(text).await,
                Err(error) => {
                    context.line("").await;
                    failures.push(format!("template parsing error: {error}"));
                }
            }
        }
        if found.is_empty() {
            context.line("").await;
        }
    }
    crate::commands::joined(failures)
}

async fn any(context: &Context, call: &Invocation, name: &str) -> Result<Value, String> {
    for kind in ORDER {
        match request(context, call, kind, name).await {
            Ok(object) => return Ok(object),
            Err(error) if error.is_connection() => return Err(daemon_message(&error)),
            // Swarm objects cannot be asked for outside a swarm; that is the same as not found here.
            Err(_) => {}
        }
    }
    Err(format!("Error: No such object: {name}"))
}

async fn one(context: &Context, call: &Invocation, kind: &str, name: &str) -> Result<Value, String> {
    let id = if kind == "node" && name == "self" { self_node(context).await? } else { name.to_owned() };
    request(context, call, kind, &id).await.map_err(|error| {
        if kind == "service" && error.is_not_found() {
            format!("Error: no such service: {name}")
        } else {
            daemon_message(&error)
        }
    })
}

async fn self_node(context: &Context) -> Result<String, String> {
    let info = value(&context.api.info().await.map_err(|error| daemon_message(&error))?);
    Ok(text(&info, "/Swarm/NodeID"))
}

async fn request(context: &Context, call: &Invocation, kind: &str, name: &str) -> Result<Value, ApiError> {
    let api = &context.api;
    Ok(match kind {
        "container" => wire::container_inspect_json(&api.inspect_container(name, call.flags.is_set("size")).await?),
        "image" => wire::image_inspect_json(&api.inspect_image(name).await?),
        "network" => wire::network_json(&api.inspect_network(name, call.flags.is_set("verbose"), None).await?),
        "volume" => value(&api.inspect_volume(name).await?),
        "service" => wire::service_json(&api.inspect_service(name, true).await?),
        "node" => wire::node_json(&api.inspect_node(name).await?),
        "secret" => value(&api.inspect_secret(name).await?),
        "config" => value(&api.inspect_config(name).await?),
        other => return Err(ApiError::invalid(format!("\"{other}\" is not a valid value for --type"))),
    })
}

/// Four spaces, and Go's escapes.
fn indented(value: &Value) -> String {
    use serde::Serialize;
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    if value.serialize(&mut serializer).is_err() {
        return value.to_string();
    }
    String::from_utf8_lossy(&bytes).replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}
