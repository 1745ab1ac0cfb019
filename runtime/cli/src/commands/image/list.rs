use docklab_api::{Filters, ListImages, RawRequest, Reference};
use serde_json::Value;

use crate::{
    commands::{
        container::show::created_at,
        json::{float, list, number, strings, text, value},
    },
    context::{Context, Invocation},
    error::CliResult,
    format::{self, Listing, Row},
};

pub(crate) const HEADERS: &[(&str, &str)] = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];

const RAW: &str = "repository: {{.Repository}}\ntag: {{.Tag}}\nimage_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n";
const RAW_WITH_DIGEST: &str = "repository: {{.Repository}}\ntag: {{.Tag}}\ndigest: {{.Digest}}\nimage_id: {{.ID}}\n\
                               created_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n";

pub(crate) async fn ls(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let mut filters: Filters = flags.filters();
    if let Some(pattern) = call.arguments.first() {
        filters = filters.with("reference", pattern.clone());
    }
    if flags.is_set("tree") {
        return super::tree::ls(context, call, filters).await;
    }
    let options = ListImages { all: flags.is_set("all"), digests: false, shared_size: false, filters };
    let images = context.api.list_images(options).await?;
    let format = context.format(call, "imagesFormat");
    let digests = flags.is_set("digests") || format.contains(".Digest");
    let full = flags.is_set("no-trunc");
    let rows: Vec<Row> =
        images.iter().flat_map(|image| rows(context, &value(image), full, digests, flags.is_set("digests"))).collect();
    let mut columns = vec!["Repository", "Tag", "ID", "CreatedSince", "Size"];
    if flags.is_set("digests") {
        columns.insert(2, "Digest");
    }
    let raw = if flags.is_set("digests") { RAW_WITH_DIGEST } else { RAW };
    let listing = Listing { type_name: "*formatter.imageContext", headers: HEADERS, columns, quiet: "ID", raw };
    context.stdout(listing.render(format, flags.is_set("quiet"), &rows)?).await;
    Ok(0)
}

/// The first name of an image, for listings that show an image once.
pub(crate) fn first_row(context: &Context, image: &Value, full: bool) -> Row {
    rows(context, image, full, false, false).into_iter().next().unwrap_or_default()
}

/// One row for every tag; a repository known by digest only has a row with the tag `<none>`.
fn rows(context: &Context, image: &Value, full: bool, digests: bool, lone: bool) -> Vec<Row> {
    let mut names: Vec<(String, String, String)> = Vec::new();
    let parse = |name: &String| Reference::parse(name).ok();
    let digest_of: Vec<Reference> = strings(image, "/RepoDigests").iter().filter_map(parse).collect();
    let tags: Vec<Reference> =
        strings(image, "/RepoTags").iter().filter(|name| *name != "<none>:<none>").filter_map(parse).collect();
    for tag in &tags {
        let repository = tag.familiar_name();
        let digest = digest_of.iter().find(|known| digests && known.familiar_name() == repository);
        let digest = digest.and_then(|known| known.digest.clone()).unwrap_or_else(|| "<none>".to_owned());
        names.push((repository, tag.tag.clone().unwrap_or_else(|| "<none>".to_owned()), digest));
    }
    for known in &digest_of {
        let repository = known.familiar_name();
        if !names.iter().any(|(name, ..)| *name == repository) {
            let digest = if lone { known.digest.clone().unwrap_or_default() } else { String::new() };
            names.push((repository, "<none>".to_owned(), digest));
        }
    }
    if names.is_empty() {
        names.push(("<none>".to_owned(), "<none>".to_owned(), "<none>".to_owned()));
    }
    let id = text(image, "/Id");
    let created = number(image, "/Created");
    let size = format::size(float(image, "/Size"));
    names
        .into_iter()
        .map(|(repository, tag, digest)| {
            vec![
                ("ID", if full { id.clone() } else { format::short_id(&id) }),
                ("Repository", repository),
                ("Tag", tag),
                ("Digest", digest),
                ("CreatedSince", format!("{} ago", format::duration(context.console.now().as_second() - created))),
                ("CreatedAt", created_at(context, created)),
                ("Size", size.clone()),
                ("Containers", "N/A".to_owned()),
                ("VirtualSize", format::size4(float(image, "/Size"))),
                ("SharedSize", "N/A".to_owned()),
                ("UniqueSize", "N/A".to_owned()),
            ]
        })
        .collect()
}

const HISTORY: &[(&str, &str)] = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

/// Without `--human` a layer's age is its date, and the column says so.
const PLAIN_HISTORY: &[(&str, &str)] = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED AT"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

fn history_headers(human: bool) -> &'static [(&'static str, &'static str)] {
    if human { HISTORY } else { PLAIN_HISTORY }
}

pub(crate) async fn history(context: &Context, call: &Invocation) -> CliResult {
    let full = call.flags.is_set("no-trunc");
    let human = call.flags.boolean("human", true);
    let mut request = RawRequest::get(format!("/images/{}/history", call.argument(0)));
    if let Some(platform) = call.flags.get("platform") {
        request = request.query("platform", crate::commands::platform_json(platform)?);
    }
    let entries = match context.raw(request).await {
        Some(answer) => answer?,
        None => context.api.image_history(call.argument(0)).await?.iter().map(value).collect(),
    };
    let rows: Vec<Row> = list(&entries, "")
        .iter()
        .map(|entry| {
            let id = text(entry, "/Id");
            let created = number(entry, "/Created");
            let by = text(entry, "/CreatedBy").replace('\t', " ");
            vec![
                ("ID", if full { id } else { format::short_id(&id) }),
                (
                    "CreatedSince",
                    if human {
                        format!("{} ago", format::duration(context.console.now().as_second() - created))
                    } else {
                        jiff::Timestamp::from_second(created).map(|time| time.to_string()).unwrap_or_default()
                    },
                ),
                ("CreatedAt", jiff::Timestamp::from_second(created).map(|time| time.to_string()).unwrap_or_default()),
                ("CreatedBy", if full { by } else { format::truncate(&by, 45) }),
                ("Size", if human { format::size(float(entry, "/Size")) } else { number(entry, "/Size").to_string() }),
                ("Comment", text(entry, "/Comment")),
            ]
        })
        .collect();
    let columns = vec!["ID", "CreatedSince", "CreatedBy", "Size", "Comment"];
    let listing = Listing {
        type_name: "*formatter.historyContext",
        headers: history_headers(human),
        columns,
        quiet: "ID",
        raw: "",
    };
    context.stdout(listing.render(call.flags.text("format"), call.flags.is_set("quiet"), &rows)?).await;
    Ok(0)
}
