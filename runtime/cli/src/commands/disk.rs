//! `docker system df`.

use serde_json::Value;

use crate::{
    commands::json::{boolean, float, list, number, text, value},
    context::{Context, Invocation},
    error::CliResult,
    format::{self, Listing, Row},
};

const HEADERS: &[(&str, &str)] = &[
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];

fn row(kind: &str, total: usize, active: usize, size: f64, reclaimable: f64) -> Row {
    let percent = if size > 0.0 { format!(" ({:.0}%)", (reclaimable / size * 100.0).trunc()) } else { String::new() };
    vec![
        ("Type", kind.to_owned()),
        ("TotalCount", total.to_string()),
        ("Active", active.to_string()),
        ("Size", format::size4(size)),
        ("Reclaimable", format!("{}{percent}", format::size4(reclaimable))),
    ]
}

/// Totals by kind, or with `--verbose` every object.
pub(crate) async fn df(context: &Context, call: &Invocation) -> CliResult {
    let usage = value(&context.api.disk_usage().await?);
    if call.flags.is_set("verbose") {
        return super::disk_verbose::df(context, call, &usage).await;
    }
    let sum = |items: &[&Value], pointer: &str| items.iter().map(|item| float(item, pointer).max(0.0)).sum::<f64>();
    let images: Vec<&Value> = list(&usage, "/Images").iter().collect();
    let unused: Vec<&Value> = images.iter().copied().filter(|image| number(image, "/Containers") == 0).collect();
    let layers = float(&usage, "/LayersSize");
    let used: f64 = images
        .iter()
        .filter(|image| number(image, "/Containers") > 0)
        .map(|image| float(image, "/Size") - float(image, "/SharedSize").max(0.0))
        .sum();
    let containers: Vec<&Value> = list(&usage, "/Containers").iter().collect();
    let is_active =
        |container: &Value| matches!(text(container, "/State").as_str(), "running" | "paused" | "restarting");
    let stopped: Vec<&Value> = containers.iter().copied().filter(|container| !is_active(container)).collect();
    let volumes: Vec<&Value> = list(&usage, "/Volumes").iter().collect();
    let free: Vec<&Value> =
        volumes.iter().copied().filter(|volume| number(volume, "/UsageData/RefCount") == 0).collect();
    let cache: Vec<&Value> = list(&usage, "/BuildCache").iter().filter(|record| !boolean(record, "/Shared")).collect();
    let idle: Vec<&Value> = cache.iter().copied().filter(|record| !boolean(record, "/InUse")).collect();
    let rows = [
        row("Images", images.len(), images.len() - unused.len(), layers, (layers - used).max(0.0)),
        row(
            "Containers",
            containers.len(),
            containers.len() - stopped.len(),
            sum(&containers, "/SizeRw"),
            sum(&stopped, "/SizeRw"),
        ),
        row(
            "Local Volumes",
            volumes.len(),
            volumes.len() - free.len(),
            sum(&volumes, "/UsageData/Size"),
            sum(&free, "/UsageData/Size"),
        ),
        vec![
            ("Type", "Build Cache".to_owned()),
            ("TotalCount", list(&usage, "/BuildCache").len().to_string()),
            (
                "Active",
                list(&usage, "/BuildCache").iter().filter(|record| boolean(record, "/InUse")).count().to_string(),
            ),
            ("Size", format::size4(sum(&cache, "/Size"))),
            ("Reclaimable", format::size4(sum(&idle, "/Size"))),
        ],
    ];
    let columns = vec!["Type", "TotalCount", "Active", "Size", "Reclaimable"];
    let listing =
        Listing { type_name: "*formatter.diskUsageImagesContext", headers: HEADERS, columns, quiet: "Type", raw: "" };
    context.stdout(listing.render(call.flags.text("format"), false, &rows)?).await;
    Ok(0)
}
