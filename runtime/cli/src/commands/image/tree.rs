//! `docker images --tree`: experimental in Docker, and only its warning and table are drawn here.

use docklab_api::{Filters, ListImages};

use crate::{
    commands::json::{float, number, strings, text, value},
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format,
};

pub(crate) async fn ls(context: &Context, call: &Invocation, filters: Filters) -> CliResult {
    for flag in ["no-trunc", "quiet", "format"] {
        if call.flags.given(flag) {
            let flag = if flag == "format" { "--format" } else { flag };
            return Err(CliError::new(format!("{flag} is not yet supported with --tree")));
        }
    }
    context
        .error_line("WARNING: This is an experimental feature. The output may change and shouldn't be depended on.")
        .await;
    let options = ListImages { all: call.flags.is_set("all"), digests: false, shared_size: false, filters };
    let images: Vec<serde_json::Value> = context.api.list_images(options).await?.iter().map(value).collect();
    let mut lines = Vec::new();
    for image in &images {
        let id = format::short_id(&text(image, "/Id"));
        let size = format::size(float(image, "/Size"));
        let used = if number(image, "/Containers") > 0 { "U" } else { "" };
        let mut names = strings(image, "/RepoTags");
        names.retain(|name| name != "<none>:<none>");
        if names.is_empty() {
            names.push("<untagged>".to_owned());
        }
        for name in names {
            lines.push([name, id.clone(), size.clone(), "0B".to_owned(), used.to_owned()]);
        }
    }
    let mut table = String::from("IMAGE\tID\tDISK USAGE\tCONTENT SIZE\tEXTRA\n");
    for line in lines {
        table.push_str(&format!("{}\n", line.join("\t")));
    }
    context.stdout(format::align(&table, 0, 3)).await;
    Ok(0)
}
