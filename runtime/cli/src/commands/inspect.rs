//! `docker inspect` and every group's `inspect`.

use serde_json::Value;

use crate::{
    commands::{
        json::{boolean, text, value},
        objects::{Detail, Kind, object},
    },
    context::{Context, Invocation},
    error::{CliError, CliResult, daemon_message},
    format::escape_html,
    template::Template,
};

/// How found objects are printed.
pub(crate) enum Inspector {
    /// An indented array.
    Indented,
    /// An array on one line.
    Compact,
    Template(Template),
}

impl Inspector {
    /// From `--format`. Fails before anything is asked for.
    pub(crate) fn new(format: &str) -> CliResult<Self> {
        match format {
            "" => Ok(Self::Indented),
            "json" => Ok(Self::Compact),
            source => {
                let source = source.replace("\\t", "\t").replace("\\n", "\n");
                let template = Template::parse(&source)
                    .map_err(|error| CliError::with_status(64, format!("template parsing error: {error}")))?;
                Ok(Self::Template(template))
            }
        }
    }
}

/// Prints the objects found, then the errors; exit code 1 when any is missing.
///
/// `typed_only` kinds come to the printer without their raw JSON, as in Docker: typed order, HTML escapes.
pub(crate) async fn print(
    context: &Context,
    inspector: &Inspector,
    found: &[(Kind, Value)],
    typed_only: bool,
    mut failures: Vec<String>,
) -> CliResult {
    let shown = |kind: Kind, object: &Value| if typed_only { kind.typed(object).json() } else { object.clone() };
    let array = || Value::Array(found.iter().map(|(kind, object)| shown(*kind, object)).collect());
    let escaped = |text: String| if typed_only { escape_html(&text) } else { text };
    match inspector {
        Inspector::Indented if found.is_empty() => context.line("[]").await,
        Inspector::Indented => context.line(escaped(indented(&array()))).await,
        Inspector::Compact => context.line(escaped(array().to_string())).await,
        Inspector::Template(template) => {
            let mut output = String::new();
            for (kind, object) in found {
                // What the type does not have may still be in the engine's own JSON.
                let text = match template.execute(&kind.typed(object)) {
                    Err(_) if !typed_only => template.execute_untyped(object),
                    outcome => outcome,
                };
                match text {
                    Ok(text) => {
                        output.push_str(&text);
                        output.push('\n');
                    }
                    Err(error) => failures.push(format!("template parsing error: {error}")),
                }
            }
            if output.is_empty() {
                output.push('\n');
            }
            context.stdout(output).await;
        }
    }
    crate::commands::joined(failures)
}

/// Every `inspect`.
pub(crate) async fn inspect(context: &Context, call: &Invocation) -> CliResult {
    let group = call.command.path.split(' ').next().unwrap_or_default();
    let wanted = if group == "inspect" { call.flags.text("type") } else { group };
    let kind = match wanted {
        "" if call.flags.given("type") => {
            return Err(CliError::new("type is empty: must be one of \"config\", \"container\", \"image\", \"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\""));
        }
        "" => None,
        name => Some(Kind::parse(name).ok_or_else(|| {
            CliError::new(format!(
                "unknown type: {name:?}: must be one of \"config\", \"container\", \"image\", \"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\""
            ))
        })?),
    };
    if call.flags.is_set("pretty")
        || (kind == Some(Kind::Service) && context.config.text("serviceInspectFormat") == "pretty")
    {
        return super::pretty::inspect(context, call).await;
    }
    let inspector = Inspector::new(call.flags.text("format"))?;
    let platform = call.flags.get("platform").map(super::platform_json).transpose()?;
    let detail = Detail { size: call.flags.is_set("size"), verbose: call.flags.is_set("verbose"), platform };
    let mut found = Vec::new();
    let mut failures = Vec::new();
    for name in &call.arguments {
        let outcome = match kind {
            Some(kind) => one(context, kind, name, &detail).await.map(|object| (kind, object)),
            None => any(context, name, &detail).await,
        };
        match outcome {
            Ok(found_one) => found.push(found_one),
            Err(message) => failures.push(message),
        }
    }
    let typed_only = matches!(call.command.path, "service inspect");
    print(context, &inspector, &found, typed_only, failures).await
}

async fn any(context: &Context, name: &str, detail: &Detail) -> Result<(Kind, Value), String> {
    let mut manager = None;
    for kind in Kind::ALL {
        if kind.needs_manager() {
            if manager.is_none() {
                let info = context.api.info().await.map_err(|error| daemon_message(&error))?;
                manager = Some(boolean(&value(&info), "/Swarm/ControlAvailable"));
            }
            if manager == Some(false) {
                continue;
            }
        }
        match object(context, kind, name, detail).await {
            Ok(object) => return Ok((kind, object)),
            Err(error) if error.is_connection() => return Err(daemon_message(&error)),
            // Plugins, secrets and configs may be refused for other reasons; that is the same as not found here.
            Err(_) => {}
        }
    }
    Err(format!("Error: No such object: {name}"))
}

pub(crate) async fn one(context: &Context, kind: Kind, name: &str, detail: &Detail) -> Result<Value, String> {
    let id = if kind == Kind::Node && name == "self" { self_node(context).await? } else { name.to_owned() };
    object(context, kind, &id, detail).await.map_err(|error| {
        if kind == Kind::Service && error.is_not_found() {
            format!("Error: no such service: {name}")
        } else {
            daemon_message(&error)
        }
    })
}

async fn self_node(context: &Context) -> Result<String, String> {
    let info = value(&context.api.info().await.map_err(|error| daemon_message(&error))?);
    let id = text(&info, "/Swarm/NodeID");
    if id.is_empty() {
        // A node that is no manager cannot be asked; the engine's refusal says so.
        return match context.api.list_nodes(docklab_api::Filters::new()).await {
            Err(error) => Err(daemon_message(&error)),
            Ok(_) => Err("node ID not found in /info".to_owned()),
        };
    }
    Ok(id)
}

/// Four spaces a level.
pub(crate) fn indented(value: &Value) -> String {
    use serde::Serialize;
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    if value.serialize(&mut serializer).is_err() {
        return value.to_string();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
