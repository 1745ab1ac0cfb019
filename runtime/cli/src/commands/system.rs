//! `docker version` and `docker system events`.

use docklab_api::{CLIENT_API_VERSION, Events, RawRequest};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::{
    CLIENT_VERSION,
    commands::{
        CLIENT_COMMIT,
        container::show::since,
        json::{list, text, value},
    },
    context::{Context, Invocation},
    error::{CliError, CliResult},
    template::{Template, typed},
};

const BUILT: &str = "Fri May 30 12:07:14 2025";
const GO_VERSION: &str = "go1.24.3";

/// The newest API version that both sides speak.
async fn negotiated(context: &Context) -> String {
    if let Some(version) = context.console.variable("DOCKER_API_VERSION").filter(|version| !version.is_empty()) {
        return version.trim_start_matches('v').to_owned();
    }
    let minor =
        |version: &str| version.split_once('.').and_then(|(_, minor)| minor.parse::<u16>().ok()).unwrap_or(u16::MAX);
    match context.api.ping().await {
        Ok(ping) if !ping.api_version.is_empty() && minor(&ping.api_version) < minor(CLIENT_API_VERSION) => {
            ping.api_version
        }
        _ => CLIENT_API_VERSION.to_owned(),
    }
}

/// What `docker version` and `docker info` tell of this client.
pub(crate) async fn client(context: &Context) -> Value {
    json!({
        "Version": CLIENT_VERSION, "ApiVersion": negotiated(context).await, "DefaultAPIVersion": CLIENT_API_VERSION,
        "GitCommit": CLIENT_COMMIT, "GoVersion": GO_VERSION, "Os": "linux", "Arch": "amd64", "BuildTime": BUILT,
        "Context": context.context_name,
    })
}

pub(crate) async fn version(context: &Context, call: &Invocation) -> CliResult {
    let format = if call.flags.text("format") == "json" { "{{json .}}" } else { call.flags.text("format") };
    let template = match format {
        "" => None,
        source => Some(
            Template::named("version", source)
                .map_err(|error| CliError::with_status(64, format!("template parsing error: {error}")))?,
        ),
    };
    let client = client(context).await;
    let server = match context.raw(RawRequest::get("/version")).await {
        Some(answer) => answer,
        None => context.api.version().await.map(|version| value(&version)),
    };
    let mut shown = server.clone().unwrap_or_default();
    dates(&mut shown);
    match template {
        None => {
            let api = text(&client, "/ApiVersion");
            let api =
                if api == CLIENT_API_VERSION { api } else { format!("{api} (downgraded from {CLIENT_API_VERSION})") };
            let mut output = String::from("Client:\n");
            for (label, shown) in [
                ("Version:", CLIENT_VERSION),
                ("API version:", &api),
                ("Go version:", GO_VERSION),
                ("Git commit:", CLIENT_COMMIT),
                ("Built:", BUILT),
                ("OS/Arch:", "linux/amd64"),
                ("Context:", &context.context_name),
            ] {
                output.push_str(&format!(" {label:<18} {shown}\n"));
            }
            if server.is_ok() {
                output.push_str(&server_text(&shown));
            }
            context.stdout(output).await;
        }
        Some(template) => {
            let data = json!({"Client": client, "Server": if server.is_ok() { shown } else { Value::Null }});
            let outcome = template.execute(&typed("system.versionInfo", &data));
            context.line(outcome.as_deref().unwrap_or_default()).await;
            if server.is_ok() {
                outcome.map_err(CliError::new)?;
            }
        }
    }
    server?;
    Ok(0)
}

/// Build dates of components, as C's `ctime` would write them.
fn dates(server: &mut Value) {
    for component in server.get_mut("Components").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(date) = component.pointer_mut("/Details/BuildTime") {
            *date = Value::from(built(date.as_str().unwrap_or_default()));
        }
    }
}

fn server_text(server: &Value) -> String {
    let platform = text(server, "/Platform/Name");
    let mut output = format!("\nServer:{}\n", if platform.is_empty() { String::new() } else { format!(" {platform}") });
    for component in list(server, "/Components") {
        let version = text(component, "/Version");
        let detail = |key: &str| text(component, &format!("/Details/{key}"));
        let name = text(component, "/Name");
        output.push_str(&format!(" {name}:\n  {:<17} {version}\n", "Version:"));
        if name == "Engine" {
            let api = format!("{} (minimum version {})", detail("ApiVersion"), detail("MinAPIVersion"));
            let place = format!("{}/{}", detail("Os"), detail("Arch"));
            for (label, shown) in [
                ("API version:", api),
                ("Go version:", detail("GoVersion")),
                ("Git commit:", detail("GitCommit")),
                ("Built:", detail("BuildTime")),
                ("OS/Arch:", place),
                ("Experimental:", detail("Experimental")),
            ] {
                output.push_str(&format!("  {label:<17} {shown}\n"));
            }
        } else {
            output.push_str(&format!("  {:<17} {}\n", "GitCommit:", detail("GitCommit")));
        }
    }
    output
}

/// A build date as C's `ctime` would write it.
fn built(date: &str) -> String {
    date.parse::<jiff::Timestamp>()
        .map_or_else(|_| date.to_owned(), |time| time.strftime("%a %b %e %H:%M:%S %Y").to_string())
}

pub(crate) async fn events(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let source = if flags.text("format") == "json" { "{{json .}}" } else { flags.text("format") };
    let wrong = |error: String| CliError::with_status(64, format!("Error parsing format: {error}"));
    let template = match source {
        "" => None,
        source => Some(Template::parse(source).map_err(wrong)?),
    };
    if let Some(template) = &template {
        // A template that no event can satisfy is refused before any is asked for.
        template.execute(&typed("events.Message", &json!({}))).map_err(wrong)?;
    }
    let options = Events {
        since: since(context, flags.get("since"))?,
        until: since(context, flags.get("until"))?,
        filters: flags.filters(),
    };
    let mut stream = context.api.events(options).await?;
    let mut signals = context.signals();
    loop {
        let event = match futures::future::select(stream.next(), signals.next()).await {
            futures::future::Either::Left((Some(event), _)) => value(&event?),
            futures::future::Either::Left((None, _)) => return Ok(0),
            futures::future::Either::Right(_) => return Ok(130),
        };
        let line = match &template {
            Some(template) => {
                template.execute(&typed("events.Message", &with_old_fields(event))).map_err(CliError::new)?
            }
            None => event_line(&event, context.console.utc_offset()),
        };
        context.line(line).await;
    }
}

/// `status`, `id` and `from`, which events of containers and images have beside their newer form.
fn with_old_fields(mut event: Value) -> Value {
    let kind = text(&event, "/Type");
    if matches!(kind.as_str(), "container" | "image") && event.get("status").is_none() {
        event["status"] = json!(text(&event, "/Action"));
        event["id"] = json!(text(&event, "/Actor/ID"));
        if kind == "container" {
            event["from"] = json!(text(&event, "/Actor/Attributes/image"));
        }
    }
    event
}

fn event_line(event: &Value, offset: i32) -> String {
    let nanoseconds = event.get("timeNano").and_then(Value::as_i64).unwrap_or(0);
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds) + i128::from(offset) * 1_000_000_000)
        .unwrap_or_default();
    let zone = if offset == 0 {
        "Z".to_owned()
    } else {
        format!("{}{:02}:{:02}", if offset < 0 { '-' } else { '+' }, offset.abs() / 3600, offset.abs() % 3600 / 60)
    };
    let attributes = crate::commands::json::pairs(event, "/Actor/Attributes");
    let attributes = if attributes.is_empty() { String::new() } else { format!(" ({})", attributes.join(", ")) };
    format!(
        "{}{zone} {} {} {}{attributes}",
        time.strftime("%Y-%m-%dT%H:%M:%S.%9f"),
        text(event, "/Type"),
        text(event, "/Action"),
        text(event, "/Actor/ID"),
    )
}
