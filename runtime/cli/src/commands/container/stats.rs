//! `docker stats`.

use docklab_api::ListContainers;
use futures::StreamExt;
use serde_json::Value;

use crate::{
    commands::json::{float, list, number, text, value},
    context::{Context, Invocation},
    error::{CliResult, daemon_message},
    format::{self, Listing, Row},
};

const HEADERS: &[(&str, &str)] = &[
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

/// One table with `--no-stream`, else a table twice a second until all containers are gone or the client is
/// interrupted.
pub(crate) async fn stats(context: &Context, call: &Invocation) -> CliResult {
    let once = call.flags.is_set("no-stream");
    let listing = Listing {
        type_name: "*container.statsContext",
        headers: HEADERS,
        columns: vec!["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"],
        quiet: "ID",
        raw: "",
    };
    let format = context.format(call, "statsFormat");
    let mut signals = context.signals();
    loop {
        let names = if call.arguments.is_empty() { everyone(context, call).await? } else { call.arguments.clone() };
        let samples = futures::future::join_all(names.iter().map(|name| sample(context, name, once)));
        let samples = match futures::future::select(std::pin::pin!(samples), signals.next()).await {
            futures::future::Either::Left((samples, _)) => samples,
            futures::future::Either::Right(_) => return Ok(0),
        };
        let mut rows = Vec::new();
        let mut failures = Vec::new();
        for (name, sample) in names.iter().zip(samples) {
            match sample {
                Ok(sample) => rows.push(row(name, &sample, call.flags.is_set("no-trunc"))),
                Err(error) if call.arguments.is_empty() && error.is_not_found() => {}
                Err(error) => failures.push(daemon_message(&error)),
            }
        }
        if !failures.is_empty() {
            return crate::commands::joined(failures);
        }
        let table = listing.render(format, false, &rows)?;
        if once {
            context.stdout(table).await;
            return Ok(0);
        }
        // Home, each line cleared to its end, then what is left below.
        let lines: String = table.lines().map(|line| format!("{line}\x1b[K\n")).collect();
        context.stdout(format!("\x1b[H{lines}\x1b[J")).await;
        let pause = context.console.sleep(std::time::Duration::from_millis(500));
        if let futures::future::Either::Right(_) = futures::future::select(pause, signals.next()).await {
            return Ok(0);
        }
    }
}

async fn everyone(context: &Context, call: &Invocation) -> CliResult<Vec<String>> {
    let options = ListContainers { all: call.flags.is_set("all"), ..ListContainers::default() };
    let list = context.api.list_containers(options).await?;
    Ok(list.iter().map(|found| format::short_id(&text(&value(found), "/Id"))).collect())
}

async fn sample(context: &Context, name: &str, once: bool) -> docklab_api::ApiResult<Value> {
    let mut samples = context.api.container_stats(name, !once, false).await?;
    match samples.next().await {
        Some(sample) => Ok(value(&sample?)),
        None => Ok(Value::Null),
    }
}

fn row(name: &str, sample: &Value, full: bool) -> Row {
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
