use serde_json::json;

use crate::{
    commands::{
        container::create::labels,
        json::{float, list, pairs, strings, text, value},
    },
    context::{Context, Invocation},
    error::CliResult,
    format::{self, Listing, Row},
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

pub(crate) async fn ls(context: &Context, call: &Invocation) -> CliResult {
    let answer = value(&context.api.list_volumes(call.flags.filters()).await?);
    let mut rows: Vec<Row> = list(&answer, "/Volumes")
        .iter()
        .map(|volume| {
            vec![
                ("Name", text(volume, "/Name")),
                ("Driver", text(volume, "/Driver")),
                ("Scope", text(volume, "/Scope")),
                ("Mountpoint", text(volume, "/Mountpoint")),
                ("Labels", pairs(volume, "/Labels").join(",")),
                ("Links", "N/A".to_owned()),
                ("Size", "N/A".to_owned()),
                ("Availability", "N/A".to_owned()),
                ("Group", "N/A".to_owned()),
                ("Status", "N/A".to_owned()),
            ]
        })
        .collect();
    rows.sort_by(|left, right| left[0].1.cmp(&right[0].1));
    let listing = Listing { headers: HEADERS, columns: vec!["Driver", "Name"], quiet: "Name" };
    context.stdout(listing.render(call.flags.text("format"), call.flags.is_set("quiet"), &rows)?).await;
    Ok(0)
}

pub(crate) async fn create(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
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
    let mut filters = call.flags.filters();
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
