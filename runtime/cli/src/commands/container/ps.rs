//! `docker ps`.

use docklab_api::ListContainers;
use serde_json::Value as Json;

use super::show::created_at;
use crate::{
    commands::json::{float, label_map, list, number, pairs, strings, text},
    context::{Context, Invocation},
    error::CliResult,
    format::{self, Listing, Row},
    template::Value,
};

const HEADERS: &[(&str, &str)] = &[
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

const RAW: &str = "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\n\
                   state: {{- pad .State 1 0}}\nstatus: {{- pad .Status 1 0}}\nnames: {{.Names}}\n\
                   labels: {{- pad .Labels 1 0}}\nports: {{- pad .Ports 1 0}}\n";
const RAW_WITH_SIZE: &str = "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\n\
                             created_at: {{.CreatedAt}}\nstate: {{- pad .State 1 0}}\nstatus: {{- pad .Status 1 0}}\n\
                             names: {{.Names}}\nlabels: {{- pad .Labels 1 0}}\nports: {{- pad .Ports 1 0}}\n\
                             size: {{.Size}}\n";

/// The listing, with a column for sizes when they were asked for.
pub(crate) fn listing(size: bool) -> Listing {
    let mut columns = vec!["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"];
    if size {
        columns.push("Size");
    }
    Listing {
        type_name: "*formatter.ContainerContext",
        headers: HEADERS,
        columns,
        quiet: "ID",
        raw: if size { RAW_WITH_SIZE } else { RAW },
    }
}

/// Whether a template shows sizes, which the engine works out only when asked.
fn shows_size(format: &str) -> bool {
    let whole = format == "json" || ["{{json .}}", "{{ json . }}"].iter().any(|form| format.contains(form));
    whole || [".Size", "$.Size"].iter().any(|form| format.contains(form))
}

pub(crate) async fn ps(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let count = if flags.is_set("latest") { Some(1) } else { flags.integer("last").filter(|count| *count > 0) };
    let quiet = flags.is_set("quiet");
    let mut format = context.format(call, "psFormat");
    if quiet && flags.given("format") {
        context.error_line("WARNING: Ignoring custom format, because both --format and --quiet are set.").await;
        format = "";
    }
    let listing = listing(flags.is_set("size"));
    listing.check(format, true)?;
    let options = ListContainers {
        all: flags.is_set("all"),
        limit: count,
        size: flags.is_set("size") || (!quiet && shows_size(format)),
        filters: flags.filters(),
    };
    let containers = context.api.list_containers(options).await?;
    let full = flags.is_set("no-trunc");
    let rows: Vec<Row<Value>> =
        containers.iter().map(|container| row(context, &crate::commands::json::value(container), full)).collect();
    context.stdout(listing.render(format, quiet, &rows)?).await;
    Ok(0)
}

/// A container's columns; cut to the usual widths unless `full`.
pub(crate) fn row(context: &Context, container: &Json, full: bool) -> Row<Value> {
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
    let networks = container.pointer("/NetworkSettings/Networks").and_then(Json::as_object);
    let networks: Vec<String> = networks.map(|map| map.keys().cloned().collect()).unwrap_or_default();
    let size = format::size(float(container, "/SizeRw"));
    let root = float(container, "/SizeRootFs");
    let platform = match text(container, "/ImageManifestDescriptor/platform/os") {
        os if os.is_empty() => Value::NilPointer("v1.Platform".to_owned()),
        os => format!("{os}/{}", text(container, "/ImageManifestDescriptor/platform/architecture")).into(),
    };
    let now = context.console.now();
    vec![
        ("ID", if full { id } else { format::short_id(&id) }.into()),
        ("Image", image.into()),
        ("Command", format::quote(&if full { command } else { format::truncate(&command, 20) }).into()),
        ("CreatedAt", created_at(context, created).into()),
        ("RunningFor", format!("{} ago", format::duration(now.as_second() - created)).into()),
        ("Ports", format::ports(list(container, "/Ports")).into()),
        ("State", text(container, "/State").into()),
        ("Status", text(container, "/Status").into()),
        ("Size", if root > 0.0 { format!("{size} (virtual {})", format::size(root)) } else { size }.into()),
        ("Names", names.join(",").into()),
        ("Labels", pairs(container, "/Labels").join(",").into()),
        ("Label", label_map(container, "/Labels")),
        ("Mounts", mounts.join(",").into()),
        ("LocalVolumes", volumes.to_string().into()),
        ("Networks", networks.join(",").into()),
        ("Platform", platform),
    ]
}
