//! `docker search`.

use docklab_api::RawRequest;
use serde_json::Value;

use crate::{
    commands::json::{boolean, list, number, text},
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format::{self, Listing, Row},
};

const HEADERS: &[(&str, &str)] =
    &[("Name", "NAME"), ("Description", "DESCRIPTION"), ("StarCount", "STARS"), ("IsOfficial", "OFFICIAL")];

pub(crate) async fn search(context: &Context, call: &Invocation) -> CliResult {
    let mut request = RawRequest::get("/images/search").query("term", call.argument(0));
    if let Some(limit) = call.flags.integer("limit") {
        request = request.query("limit", limit.to_string());
    }
    let filters = call.flags.filters();
    if !filters.is_empty() {
        request = request.query("filters", filters.to_json());
    }
    request.auth = Some(super::credentials(context, "docker.io").await);
    let Some(answer) = context.raw(request).await else {
        return Err(CliError::new(
            "Error response from daemon: this engine has no search index; pull an image by its name",
        ));
    };
    let full = call.flags.is_set("no-trunc");
    let table = matches!(call.flags.text("format"), "" | "table");
    let answer = answer?;
    let rows: Vec<Row> = list(&answer, "").iter().map(|found| row(found, full, table)).collect();
    let listing = Listing {
        type_name: "*registry.searchContext",
        headers: HEADERS,
        columns: vec!["Name", "Description", "StarCount", "IsOfficial"],
        quiet: "Name",
        raw: "",
    };
    context.stdout(listing.render(call.flags.text("format"), false, &rows)?).await;
    Ok(0)
}

fn row(found: &Value, full: bool, table: bool) -> Row {
    let description = text(found, "/description").replace(['\n', '\r'], " ");
    let official = boolean(found, "/is_official");
    // In a table a mark, in JSON a truth.
    let official = match (table, official) {
        (true, true) => "[OK]".to_owned(),
        (true, false) => String::new(),
        (false, official) => official.to_string(),
    };
    vec![
        ("Name", text(found, "/name")),
        ("Description", if full { description } else { format::truncate(&description, 45) }),
        ("StarCount", number(found, "/star_count").to_string()),
        ("IsOfficial", official),
    ]
}
