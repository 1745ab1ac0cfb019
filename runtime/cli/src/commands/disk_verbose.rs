//! `docker system df --verbose`: every image, container, volume and cache record with its size.

use serde_json::Value as Json;

use super::{container::ps, image::list as images, volume};
use crate::{
    commands::json::{boolean, float, list, number, text},
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format::{self, Listing, Row, escape_html, row_value},
    template::{RowValue, Template, Value},
};

const CACHE: &[(&str, &str)] = &[
    ("ID", "CACHE ID"),
    ("Parent", "PARENT"),
    ("CacheType", "CACHE TYPE"),
    ("Size", "SIZE"),
    ("CreatedSince", "CREATED"),
    ("LastUsedSince", "LAST USED"),
    ("UsageCount", "USAGE"),
    ("Shared", "SHARED"),
];

struct Sections {
    images: Vec<Row>,
    containers: Vec<Row<Value>>,
    volumes: Vec<Row<Value>>,
    cache: Vec<Row>,
}

pub(crate) async fn df(context: &Context, call: &Invocation, usage: &Json) -> CliResult {
    let given = call.flags.text("format");
    match given {
        "" | "table" => {
            let text = tables(&sections(context, usage, false), usage)?;
            context.stdout(text).await;
        }
        given => {
            let source = if given == "json" { "{{json .}}" } else { given };
            let source = source.replace("\\t", "\t").replace("\\n", "\n");
            let wrong = |error: String| CliError::new(format!("template parsing error: {error}"));
            let template = Template::parse(&source).map_err(wrong)?;
            let sections = sections(context, usage, true);
            let all = RowValue {
                type_name: "*formatter.diskUsageContext",
                fields: vec![
                    ("Images", rows("*formatter.imageContext", &sections.images)),
                    ("Containers", rows("*formatter.ContainerContext", &sections.containers)),
                    ("Volumes", rows("*formatter.volumeContext", &sections.volumes)),
                    ("BuildCache", rows("*formatter.buildCacheContext", &sections.cache)),
                ],
                labels: None,
            };
            let text = if given == "json" {
                format!("{}\n", escape_html(&ordered(&all)))
            } else {
                template.execute(&Value::Row(std::sync::Arc::new(all))).map_err(wrong)?
            };
            context.stdout(text).await;
        }
    }
    Ok(0)
}

fn rows<V: Clone + Into<Value>>(type_name: &'static str, rows: &[Row<V>]) -> Value {
    Value::List(Some(rows.iter().map(|row| row_value(type_name, row)).collect()))
}

/// The four lists in their own order; a row's fields are sorted.
fn ordered(all: &RowValue) -> String {
    let fields: Vec<String> =
        all.fields.iter().map(|(name, value)| format!("{}:{}", format::quote(name), value.json())).collect();
    format!("{{{}}}", fields.join(","))
}

fn sections(context: &Context, usage: &Json, full: bool) -> Sections {
    let images = list(usage, "/Images")
        .iter()
        .map(|image| {
            let mut row = images::first_row(context, image, full);
            let shared = float(image, "/SharedSize").max(0.0);
            let unique = float(image, "/Size") - shared;
            set(&mut row, "SharedSize", format::size(shared));
            set(&mut row, "UniqueSize", format::size4(unique));
            set(&mut row, "Digest", String::new());
            set(&mut row, "Containers", number(image, "/Containers").to_string());
            row
        })
        .collect();
    let containers = list(usage, "/Containers")
        .iter()
        .map(|container| {
            let mut row = ps::row(context, container, full);
            // Only what the container wrote itself.
            for (name, value) in &mut row {
                if *name == "Size" {
                    *value = format::size(float(container, "/SizeRw")).into();
                }
            }
            row
        })
        .collect();
    let volumes = list(usage, "/Volumes").iter().map(volume::row).collect();
    let mut records: Vec<&Json> = list(usage, "/BuildCache").iter().collect();
    records.sort_by(|one, other| {
        let used = |record: &Json| text(record, "/LastUsedAt");
        used(one).is_empty().cmp(&used(other).is_empty()).reverse().then_with(|| {
            used(one).cmp(&used(other)).then_with(|| float(one, "/Size").total_cmp(&float(other, "/Size")))
        })
    });
    let cache = records.into_iter().map(|record| cache_row(context, record, full)).collect();
    Sections { images, containers, volumes, cache }
}

fn set(row: &mut Row, field: &str, value: String) {
    if let Some(found) = row.iter_mut().find(|(name, _)| *name == field) {
        found.1 = value;
    }
}

fn cache_row(context: &Context, record: &Json, full: bool) -> Row {
    let ago = |pointer: &str| {
        let time = text(record, pointer).parse::<jiff::Timestamp>().ok();
        time.map(|time| format!("{} ago", format::duration(context.console.now().as_second() - time.as_second())))
            .unwrap_or_default()
    };
    let at = |pointer: &str| match text(record, pointer) {
        time if time.is_empty() => String::new(),
        time => crate::template::time_text(&time),
    };
    let id = text(record, "/ID");
    let id = if full { id } else { format::truncate_plain(&id, 12) };
    let id = if boolean(record, "/InUse") { format!("{id}*") } else { id };
    vec![
        ("ID", id),
        ("Parent", text(record, "/Parent")),
        ("CacheType", text(record, "/Type")),
        ("Description", text(record, "/Description")),
        ("Size", format::size(float(record, "/Size"))),
        ("CreatedAt", at("/CreatedAt")),
        ("CreatedSince", ago("/CreatedAt")),
        ("LastUsedAt", at("/LastUsedAt")),
        ("LastUsedSince", ago("/LastUsedAt")),
        ("UsageCount", number(record, "/UsageCount").to_string()),
        ("InUse", boolean(record, "/InUse").to_string()),
        ("Shared", boolean(record, "/Shared").to_string()),
    ]
}

fn tables(sections: &Sections, usage: &Json) -> CliResult<String> {
    let images = Listing {
        type_name: "*formatter.imageContext",
        headers: images::HEADERS,
        columns: vec!["Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"],
        quiet: "ID",
        raw: "",
    };
    let mut containers = ps::listing(false);
    containers.columns = vec!["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"];
    let volumes = Listing { columns: vec!["Name", "Links", "Size"], ..volume::listing() };
    let cache = Listing {
        type_name: "*formatter.buildCacheContext",
        headers: CACHE,
        columns: vec!["ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "UsageCount", "Shared"],
        quiet: "ID",
        raw: "",
    };
    let total: f64 = list(usage, "/BuildCache")
        .iter()
        .filter(|record| !boolean(record, "/Shared"))
        .map(|record| float(record, "/Size"))
        .sum();
    Ok(format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\nBuild cache usage: {}\n\n{}",
        images.render("", false, &sections.images)?,
        containers.render("", false, &sections.containers)?,
        volumes.render("", false, &sections.volumes)?,
        format::size4(total),
        cache.render("", false, &sections.cache)?
    ))
}
