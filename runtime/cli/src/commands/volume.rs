use serde_json::{Value, json};

use crate::{
    commands::{
        container::create::labels,
        json::{float, label_map, list, number, pairs, strings, text, value},
        objects,
    },
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format::{self, Listing, Row},
    template,
};

const HEADERS: &[(&str, &str)] = &[
    ("Name", "VOLUME NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
    ("Availability", "AVAILABILITY"),
    ("Group", "GROUP"),
    ("Status", "STATUS"),
];

/// The default listing.
pub(crate) fn listing() -> Listing {
    Listing {
        type_name: "*formatter.volumeContext",
        headers: HEADERS,
        columns: vec!["Driver", "Name"],
        quiet: "Name",
        raw: "name: {{.Name}}\ndriver: {{.Driver}}\n",
    }
}

pub(crate) fn row(volume: &Value) -> Row<template::Value> {
    let usage = volume.get("UsageData").filter(|usage| !usage.is_null());
    let links = usage.map_or("N/A".to_owned(), |usage| number(usage, "/RefCount").to_string());
    let size = usage.map_or("N/A".to_owned(), |usage| format::size4(float(usage, "/Size")));
    vec![
        ("Name", text(volume, "/Name").into()),
        ("Driver", text(volume, "/Driver").into()),
        ("Scope", text(volume, "/Scope").into()),
        ("Mountpoint", text(volume, "/Mountpoint").into()),
        ("Labels", pairs(volume, "/Labels").join(",").into()),
        ("Label", label_map(volume, "/Labels")),
        ("Links", links.into()),
        ("Size", size.into()),
        ("Availability", "N/A".into()),
        ("Group", "N/A".into()),
        ("Status", "N/A".into()),
    ]
}

pub(crate) async fn ls(context: &Context, call: &Invocation) -> CliResult {
    let cluster = call.flags.is_set("cluster");
    let answer = value(&context.api.list_volumes(call.flags.filters()).await?);
    let mut volumes: Vec<&Value> = list(&answer, "/Volumes")
        .iter()
        // Cluster volumes belong to storage plugins.
        .filter(|volume| !cluster || volume.get("ClusterVolume").is_some_and(|cluster| !cluster.is_null()))
        .collect();
    volumes.sort_by(|one, other| format::natural_order(&text(one, "/Name"), &text(other, "/Name")));
    let rows: Vec<Row<template::Value>> = volumes.into_iter().map(row).collect();
    let mut listing = listing();
    if cluster {
        listing.columns = vec!["Name", "Group", "Driver", "Availability", "Status"];
    }
    let format = context.format(call, "volumesFormat");
    context.stdout(listing.render(format, call.flags.is_set("quiet"), &rows)?).await;
    Ok(0)
}

/// `docker volume update`, which is for cluster volumes alone.
pub(crate) async fn update(context: &Context, call: &Invocation) -> CliResult {
    let volume = objects::object(context, objects::Kind::Volume, call.argument(0), &objects::Detail::default()).await?;
    if volume.get("ClusterVolume").is_none_or(Value::is_null) {
        return Err(CliError::new("can only update cluster volumes"));
    }
    Err(CliError::new("cluster volumes need a storage plugin; this client does not change them"))
}

pub(crate) async fn create(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    if flags.given("name") && !call.arguments.is_empty() {
        return Err(CliError::new(
            "conflicting options: cannot specify a volume-name through both --name and as a positional arg",
        ));
    }
    let name = call.arguments.first().map_or(flags.text("name"), String::as_str);
    let mut body = json!({"Driver": flags.get("driver").unwrap_or("local"), "DriverOpts": labels(&flags.list("opt")), "Labels": labels(&flags.list("label"))});
    if !name.is_empty() {
        body["Name"] = json!(name);
    }
    let volume = context.api.create_volume(serde_json::from_value(body)?).await?;
    context.line(text(&value(&volume), "/Name")).await;
    Ok(0)
}

pub(crate) async fn remove(context: &Context, call: &Invocation) -> CliResult {
    let force = call.flags.is_set("force");
    context
        .each(&call.arguments, |name| async move {
            context.api.remove_volume(&name, force).await?;
            Ok(name)
        })
        .await
}

pub(crate) async fn prune(context: &Context, call: &Invocation) -> CliResult {
    let all = call.flags.is_set("all");
    if all && !call.flags.filters().get("all").is_empty() {
        return Err(CliError::new("conflicting options: cannot specify both --all and --filter all=1"));
    }
    let warning = if all {
        "WARNING! This will remove all local volumes not used by at least one container."
    } else {
        "WARNING! This will remove anonymous local volumes not used by at least one container."
    };
    if !call.flags.is_set("force")
        && !context.confirm(&format!("{warning}\nAre you sure you want to continue? [y/N] ")).await
    {
        return Ok(0);
    }
    let mut filters = context.prune_filters(call);
    if all {
        filters = filters.with("all", "true");
    }
    let answer = value(&context.api.prune_volumes(filters).await?);
    let names = strings(&answer, "/VolumesDeleted");
    if !names.is_empty() {
        context.line(format!("Deleted Volumes:\n{}\n", names.join("\n"))).await;
    }
    context.line(format!("Total reclaimed space: {}", format::size4(float(&answer, "/SpaceReclaimed")))).await;
    Ok(0)
}
