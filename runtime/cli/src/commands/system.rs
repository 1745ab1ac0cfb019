//! version, events, prune.

use docklab_api::{CLIENT_API_VERSION, Events, Filters};
use futures::StreamExt;
use serde_json::Value;

use crate::{
    CLIENT_VERSION,
    commands::{
        CLIENT_COMMIT,
        container::show::since,
        image,
        json::{float, list, strings, text, value},
    },
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format,
    template::Template,
};

pub(crate) async fn version(context: &Context, call: &Invocation) -> CliResult {
    let server = context.api.version().await;
    let client = serde_json::json!({
        "Version": CLIENT_VERSION, "ApiVersion": CLIENT_API_VERSION, "DefaultAPIVersion": CLIENT_API_VERSION, "GitCommit": CLIENT_COMMIT,
        "GoVersion": "go1.24.3", "Os": "linux", "Arch": "amd64", "BuildTime": "Fri May 30 12:07:14 2025", "Context": "default",
    });
    let shown = server.as_ref().map(value).unwrap_or_default();
    match call.flags.text("format") {
        "" => {
            let mut output = format!(
                "Client:\n Version:           {CLIENT_VERSION}\n API version:       {CLIENT_API_VERSION}\n Go version:        go1.24.3\n Git commit:        {CLIENT_COMMIT}\n Built:             Fri May 30 12:07:14 2025\n OS/Arch:           linux/amd64\n Context:           default\n"
            );
            if server.is_ok() {
                output.push_str(&server_text(&shown));
            }
            context.stdout(output).await;
        }
        format => {
            let source = if format == "json" { "{{json .}}" } else { format };
            let template =
                Template::parse(source).map_err(|error| CliError::new(format!("template parsing error: {error}")))?;
            let data =
                serde_json::json!({"Client": client, "Server": if server.is_ok() { shown } else { Value::Null }});
            context.line(template.execute(&data).map_err(CliError::new)?).await;
        }
    }
    server?;
    Ok(0)
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
                ("Built:", built(&detail("BuildTime"))),
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
    let options = Events {
        since: since(context, flags.get("since")),
        until: since(context, flags.get("until")),
        filters: flags.filters(),
    };
    let template = match flags.text("format") {
        "" => None,
        "json" => Some("{{json .}}"),
        other => Some(other),
    };
    let template = template
        .map(Template::parse)
        .transpose()
        .map_err(|error| CliError::with_status(64, format!("Error parsing format: {error}")))?;
    let mut stream = context.api.events(options).await?;
    let mut signals = context.signals();
    loop {
        let event = match futures::future::select(stream.next(), signals.next()).await {
            futures::future::Either::Left((Some(event), _)) => value(&event?),
            futures::future::Either::Left((None, _)) => return Ok(0),
            futures::future::Either::Right(_) => return Ok(130),
        };
        let line = match &template {
            Some(template) => template.execute(&event).map_err(CliError::new)?,
            None => event_line(&event, context.console.utc_offset()),
        };
        context.line(line).await;
    }
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

fn section(title: &str, names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("{title}:\n{}\n\n", names.join("\n")) }
}

pub(crate) async fn prune_containers(context: &Context, call: &Invocation) -> CliResult {
    let question = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ";
    if !call.flags.is_set("force") && !context.confirm(question).await {
        return Ok(0);
    }
    let answer = value(&context.api.prune_containers(call.flags.filters()).await?);
    context.stdout(section("Deleted Containers", &strings(&answer, "/ContainersDeleted"))).await;
    context.line(format!("Total reclaimed space: {}", format::size4(float(&answer, "/SpaceReclaimed")))).await;
    Ok(0)
}

/// `docker system prune`: containers, networks, volumes if asked for, images, build cache.
pub(crate) async fn prune(context: &Context, call: &Invocation) -> CliResult {
    let (all, volumes) = (call.flags.is_set("all"), call.flags.is_set("volumes"));
    let filters = call.flags.filters();
    if !call.flags.is_set("force") && !context.confirm(&warning(all, volumes, &call.flags.list("filter"))).await {
        return Ok(0);
    }
    let containers = value(&context.api.prune_containers(filters.clone()).await?);
    let mut reclaimed = float(&containers, "/SpaceReclaimed");
    context.stdout(section("Deleted Containers", &strings(&containers, "/ContainersDeleted"))).await;
    let networks = value(&context.api.prune_networks(filters.clone()).await?);
    context.stdout(section("Deleted Networks", &strings(&networks, "/NetworksDeleted"))).await;
    if volumes {
        let removed = value(&context.api.prune_volumes(filters.clone()).await?);
        reclaimed += float(&removed, "/SpaceReclaimed");
        context.stdout(section("Deleted Volumes", &strings(&removed, "/VolumesDeleted"))).await;
    }
    let images = value(&context.api.prune_images(filters.with("dangling", (!all).to_string())).await?);
    let (text, bytes) = image::pruned(&images);
    reclaimed += bytes;
    context.stdout(text).await;
    let cache = value(&context.api.prune_build_cache(all, Filters::new()).await?);
    reclaimed += float(&cache, "/SpaceReclaimed");
    context.stdout(section("Deleted build cache objects", &strings(&cache, "/CachesDeleted"))).await;
    context.line(format!("Total reclaimed space: {}", format::size4(reclaimed))).await;
    Ok(0)
}

fn warning(all: bool, volumes: bool, filters: &[String]) -> String {
    let mut lines = vec!["all stopped containers", "all networks not used by at least one container"];
    if volumes {
        lines.push("all anonymous volumes not used by at least one container");
    }
    if all {
        lines.extend(["all images without at least one container associated to them", "all build cache"]);
    } else {
        lines.extend(["all dangling images", "unused build cache"]);
    }
    let mut text = "WARNING! This will remove:\n".to_owned();
    for line in lines {
        text.push_str(&format!("  - {line}\n"));
    }
    if !filters.is_empty() {
        text.push_str("\n  Items to be pruned will be filtered with:\n");
        for filter in filters {
            text.push_str(&format!("  - {filter}\n"));
        }
    }
    text.push_str("\nAre you sure you want to continue? [y/N] ");
    text
}
