//! Commands that only look: logs, top, port, diff.

use docklab_api::Logs;

use super::stream;
use crate::{
    commands::json::{list, number, strings, text, value},
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format,
};

/// Go's default text of a time in the client's zone.
pub(crate) fn created_at(context: &Context, seconds: i64) -> String {
    crate::format::local_time(seconds, context.console.utc_offset())
}

/// `10m` becomes the time that long ago, a date its Unix time; seconds are passed on.
pub(crate) fn since(context: &Context, given: Option<&str>) -> CliResult<Option<String>> {
    let Some(given) = given.filter(|given| !given.is_empty()) else { return Ok(None) };
    if let Ok(nanoseconds) = crate::grammar::parse_duration(given) {
        let then = context.console.now().as_nanosecond() - i128::from(nanoseconds);
        return Ok(Some((then / 1_000_000_000).to_string()));
    }
    if given.parse::<f64>().is_ok() {
        return Ok(Some(given.to_owned()));
    }
    let unix = |time: jiff::Timestamp| format!("{}.{:09}", time.as_second(), time.subsec_nanosecond());
    if let Ok(time) = given.parse::<jiff::Timestamp>() {
        return Ok(Some(unix(time)));
    }
    // Without a zone: the client's own. Minutes and seconds may be left out.
    let full = match given.split_once('T') {
        None => format!("{given}T00:00:00"),
        Some((_, time)) => match time.split(':').count() {
            1 => format!("{given}:00:00"),
            2 => format!("{given}:00"),
            _ => given.to_owned(),
        },
    };
    if let Ok(time) = full.parse::<jiff::civil::DateTime>()
        && let Ok(offset) = jiff::tz::Offset::from_seconds(context.console.utc_offset())
        && let Ok(time) = offset.to_timestamp(time)
    {
        return Ok(Some(unix(time)));
    }
    Err(CliError::new(format!("failed to parse value as time or duration: {given:?}")))
}

/// The options that `docker logs` and `docker service logs` share.
pub(crate) fn log_options(context: &Context, call: &Invocation) -> CliResult<Logs> {
    let flags = &call.flags;
    let time = |flag: &str| {
        since(context, flags.get(flag)).map_err(|error| {
            let reason = error.message.replacen("failed", "invalid value for \"FLAG\": failed", 1);
            CliError::new(reason.replacen("FLAG", flag, 1))
        })
    };
    Ok(Logs {
        stdout: true,
        stderr: true,
        follow: flags.is_set("follow"),
        timestamps: flags.is_set("timestamps"),
        details: flags.is_set("details"),
        since: time("since")?,
        until: time("until")?,
        tail: Some(flags.get("tail").unwrap_or("all").to_owned()),
    })
}

pub(crate) async fn logs(context: &Context, call: &Invocation) -> CliResult {
    let container = value(&context.api.inspect_container(call.argument(0), false).await?);
    let output = context.api.container_logs(&text(&container, "/Id"), log_options(context, call)?).await?;
    stream::print_output(context, output).await?;
    Ok(0)
}

pub(crate) async fn top(context: &Context, call: &Invocation) -> CliResult {
    let arguments = call.arguments.get(1..).unwrap_or_default().join(" ");
    let answer = value(&context.api.top_container(call.argument(0), &arguments).await?);
    let mut table = format!("{}\n", strings(&answer, "/Titles").join("\t"));
    for process in list(&answer, "/Processes") {
        table.push_str(&format!("{}\n", strings(process, "").join("\t")));
    }
    context.stdout(format::align(&table, 20, 3)).await;
    Ok(0)
}

pub(crate) async fn port(context: &Context, call: &Invocation) -> CliResult {
    let wanted = match call.arguments.get(1) {
        None => None,
        Some(given) => Some(wanted_port(given)?),
    };
    let container = value(&context.api.inspect_container(call.argument(0), false).await?);
    let ports = container.pointer("/NetworkSettings/Ports").and_then(serde_json::Value::as_object).cloned();
    let mut lines = Vec::new();
    for (port, bindings) in ports.unwrap_or_default() {
        if wanted.as_ref().is_some_and(|wanted| *wanted != port) {
            continue;
        }
        for binding in bindings.as_array().map_or(&[][..], Vec::as_slice) {
            let ip = text(binding, "/HostIp");
            let ip = if ip.contains(':') { format!("[{ip}]") } else { ip };
            let address = format!("{ip}:{}", text(binding, "/HostPort"));
            lines.push(if wanted.is_some() { address } else { format!("{port} -> {address}") });
        }
    }
    if wanted.is_some() && lines.is_empty() {
        let given = call.argument(1);
        return Err(CliError::new(format!("Error: No public port '{given}' published for {}", call.argument(0))));
    }
    lines.sort_by(|one, other| format::natural_order(one, other));
    for line in lines {
        context.line(line).await;
    }
    Ok(0)
}

/// `80` or `80/udp` as the engine's key.
fn wanted_port(given: &str) -> CliResult<String> {
    let (port, protocol) = given.split_once('/').unwrap_or((given, "tcp"));
    let protocol = if protocol.is_empty() { "tcp" } else { protocol };
    let wrong = |reason: String| CliError::new(format!("Error: invalid port ({port}): {reason}"));
    let quoted = format::quote(port);
    match port.parse::<u16>() {
        Ok(number) => Ok(format!("{number}/{protocol}")),
        Err(_) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(wrong(format!("strconv.ParseUint: parsing {quoted}: value out of range")))
        }
        Err(_) => Err(wrong(format!("strconv.ParseUint: parsing {quoted}: invalid syntax"))),
    }
}

pub(crate) async fn diff(context: &Context, call: &Invocation) -> CliResult {
    for change in context.api.container_changes(call.argument(0)).await? {
        let change = value(&change);
        let kind = match number(&change, "/Kind") {
            0 => "C",
            1 => "A",
            _ => "D",
        };
        context.line(format!("{kind} {}", text(&change, "/Path"))).await;
    }
    Ok(0)
}
