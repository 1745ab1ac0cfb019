//! Commands that only look: ps, logs, top, port, diff, stats.

use docklab_api::{ListContainers, Logs};
use futures::StreamExt;
use serde_json::Value;

use super::stream;
use crate::{
    commands::json::{float, list, number, pairs, strings, text, value},
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format::{self, Listing, Row},
};

const PS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Names", "NAMES"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
];

pub(crate) async fn ps(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let last = flags.is_set("latest");
    let count = if last { Some(1) } else { flags.integer("last").filter(|count| *count > 0) };
    let size = flags.is_set("size") || flags.text("format").contains(".Size");
    let options =
        ListContainers { all: flags.is_set("all") || count.is_some(), limit: count, size, filters: flags.filters() };
    let containers = context.api.list_containers(options).await?;
    let full = flags.is_set("no-trunc");
    let rows: Vec<Row> = containers.iter().map(|container| row(context, &value(container), full)).collect();
    let mut columns = vec!["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"];
    if flags.is_set("size") {
        columns.push("Size");
    }
    let listing = Listing { headers: PS, columns, quiet: "ID" };
    let quiet = flags.is_set("quiet");
    let mut format = flags.text("format");
    if quiet && !format.is_empty() {
        context.error_line("WARNING: Ignoring custom format, because both --format and --quiet are set.").await;
        format = "";
    }
    context.stdout(listing.render(format, quiet, &rows)?).await;
    Ok(0)
}

fn row(context: &Context, container: &Value, full: bool) -> Row {
    let id = text(container, "/Id");
    let created = number(container, "/Created");
    let image = text(container, "/Image");
    let image = if image.is_empty() {
        "<no image>".to_owned()
    } else if full {
        image
    } else if image.starts_with("sha256:") || image == text(container, "/ImageID") {
        format::short_id(&image)
    } else {
        image.split('@').next().unwrap_or(&image).to_owned()
    };
    let command = text(container, "/Command");
    let names: Vec<String> = strings(container, "/Names")
        .into_iter()
        .map(|name| name.trim_start_matches('/').to_owned())
        .filter(|name| full || !name.contains('/'))
        .collect();
    let mounts: Vec<String> = list(container, "/Mounts")
        .iter()
        .map(|mount| {
            let name = text(mount, "/Name");
            let name = if name.is_empty() { text(mount, "/Source") } else { name };
            if full { name } else { format::truncate(&name, 15) }
        })
        .collect();
    let volumes = list(container, "/Mounts").iter().filter(|mount| text(mount, "/Driver") == "local").count();
    let networks = container.pointer("/NetworkSettings/Networks").and_then(Value::as_object);
    let networks: Vec<String> = networks.map(|map| map.keys().cloned().collect()).unwrap_or_default();
    let size = format::size(float(container, "/SizeRw"));
    let root = float(container, "/SizeRootFs");
    let now = context.console.now();
    vec![
        ("ID", if full { id } else { format::short_id(&id) }),
        ("Image", image),
        ("Command", format::quote(&if full { command } else { format::truncate(&command, 20) })),
        ("CreatedAt", created_at(created)),
        ("RunningFor", format!("{} ago", format::duration(now.as_second() - created))),
        ("Ports", format::ports(list(container, "/Ports"))),
        ("State", text(container, "/State")),
        ("Status", text(container, "/Status")),
        ("Size", if root > 0.0 { format!("{size} (virtual {})", format::size(root)) } else { size }),
        ("Names", names.join(",")),
        ("Labels", pairs(container, "/Labels").join(",")),
        ("Mounts", mounts.join(",")),
        ("LocalVolumes", volumes.to_string()),
        ("Networks", networks.join(",")),
        ("Platform", "null".to_owned()),
    ]
}

/// Go's default text of a time in UTC.
pub(crate) fn created_at(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
}

/// `10m` becomes the time that long ago, everything else is passed on.
pub(crate) fn since(context: &Context, given: Option<&str>) -> Option<String> {
    let given = given?;
    if let Ok(nanoseconds) = crate::grammar::parse_duration(given) {
        let then = context.console.now().as_nanosecond() - i128::from(nanoseconds);
        return Some(format!("{}.{:09}", then / 1_000_000_000, then % 1_000_000_000));
    }
    match given.parse::<jiff::Timestamp>() {
        Ok(time) => Some(format!("{}.{:09}", time.as_second(), time.subsec_nanosecond())),
        Err(_) => Some(given.to_owned()),
    }
}

/// The options that `docker logs` and `docker service logs` share.
pub(crate) fn log_options(context: &Context, call: &Invocation) -> Logs {
    let flags = &call.flags;
    Logs {
        stdout: true,
        stderr: true,
        follow: flags.is_set("follow"),
        timestamps: flags.is_set("timestamps"),
        details: flags.is_set("details"),
        since: since(context, flags.get("since")),
        until: since(context, flags.get("until")),
        tail: Some(flags.get("tail").unwrap_or("all").to_owned()),
    }
}

pub(crate) async fn logs(context: &Context, call: &Invocation) -> CliResult {
    let container = value(&context.api.inspect_container(call.argument(0), false).await?);
    let output = context.api.container_logs(&text(&container, "/Id"), log_options(context, call)).await?;
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
    let container = value(&context.api.inspect_container(call.argument(0), false).await?);
    let wanted =
        call.arguments.get(1).map(|port| if port.contains('/') { port.clone() } else { format!("{port}/tcp") });
    let ports = container.pointer("/NetworkSettings/Ports").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut lines = Vec::new();
    for (port, bindings) in &ports {
        for binding in bindings.as_array().map_or(&[][..], Vec::as_slice) {
            let ip = text(binding, "/HostIp");
            let ip = if ip.contains(':') { format!("[{ip}]") } else { ip };
            let address = format!("{ip}:{}", text(binding, "/HostPort"));
            match &wanted {
                Some(wanted) if wanted == port => lines.push(address),
                Some(_) => {}
                None => lines.push(format!("{port} -> {address}")),
            }
        }
    }
    if wanted.is_some() && lines.is_empty() {
        return Err(CliError::new(format!(
            "Error: No public port '{}' published for {}",
            call.argument(1),
            call.argument(0)
        )));
    }
    for line in lines {
        context.line(line).await;
    }
    Ok(0)
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

const STATS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Container", "CONTAINER"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];

/// One table with `--no-stream`, else a table a second until the first container ends or the client is interrupted.
pub(crate) async fn stats(context: &Context, call: &Invocation) -> CliResult {
    let once = call.flags.is_set("no-stream");
    let listing = Listing {
        headers: STATS,
        columns: vec!["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"],
        quiet: "ID",
    };
    loop {
        let mut names = call.arguments.clone();
        if names.is_empty() {
            let options = ListContainers { all: call.flags.is_set("all"), ..ListContainers::default() };
            names =
                context.api.list_containers(options).await?.iter().map(|found| text(&value(found), "/Id")).collect();
        }
        let mut rows = Vec::new();
        for name in &names {
            let mut samples = context.api.container_stats(name, false, false).await?;
            if let Some(sample) = samples.next().await {
                rows.push(stats_row(name, &value(&sample?), call.flags.is_set("no-trunc")));
            }
        }
        if !once {
            context.stdout("\x1b[H\x1b[J").await;
        }
        context.stdout(listing.render(call.flags.text("format"), false, &rows)?).await;
        if once {
            return Ok(0);
        }
        let pause = context.console.sleep(std::time::Duration::from_millis(500));
        let mut signals = context.signals();
        if let futures::future::Either::Right(_) = futures::future::select(pause, signals.next()).await {
            return Ok(0);
        }
    }
}

fn stats_row(name: &str, sample: &Value, full: bool) -> Row {
    let cpu = float(sample, "/cpu_stats/cpu_usage/total_usage") - float(sample, "/precpu_stats/cpu_usage/total_usage");
    let system = float(sample, "/cpu_stats/system_cpu_usage") - float(sample, "/precpu_stats/system_cpu_usage");
    let cpus = float(sample, "/cpu_stats/online_cpus").max(1.0);
    let percent = if cpu > 0.0 && system > 0.0 { cpu / system * cpus * 100.0 } else { 0.0 };
    let cache = sample
        .pointer("/memory_stats/stats/total_inactive_file")
        .or_else(|| sample.pointer("/memory_stats/stats/inactive_file"))
        .and_then(Value::as_f64)
        .unwrap_or(0.0);
    let used = (float(sample, "/memory_stats/usage") - cache).max(0.0);
    let limit = float(sample, "/memory_stats/limit");
    let memory = if limit > 0.0 { used / limit * 100.0 } else { 0.0 };
    let networks: Vec<&Value> =
        sample.get("networks").and_then(Value::as_object).map(|map| map.values().collect()).unwrap_or_default();
    let sum = |field: &str| networks.iter().map(|network| float(network, field)).sum::<f64>();
    let block = |operation: &str| {
        list(sample, "/blkio_stats/io_service_bytes_recursive")
            .iter()
            .filter(|entry| text(entry, "/op").eq_ignore_ascii_case(operation))
            .map(|entry| float(entry, "/value"))
            .sum::<f64>()
    };
    let id = text(sample, "/id");
    vec![
        ("ID", if full { id } else { format::short_id(&id) }),
        ("Container", name.to_owned()),
        ("Name", text(sample, "/name").trim_start_matches('/').to_owned()),
        ("CPUPerc", format!("{percent:.2}%")),
        ("MemUsage", format!("{} / {}", format::binary_size(used), format::binary_size(limit))),
        ("MemPerc", format!("{memory:.2}%")),
        ("NetIO", format!("{} / {}", format::size(sum("/rx_bytes")), format::size(sum("/tx_bytes")))),
        ("BlockIO", format!("{} / {}", format::size(block("read")), format::size(block("write")))),
        ("PIDs", number(sample, "/pids_stats/current").to_string()),
    ]
}
