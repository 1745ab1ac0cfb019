//! Commands for what no docklab engine has: plugins, checkpoints, manifests, signatures. Those the engine can answer are
//! passed on to it, the others say why they are not here.

use docklab_api::RawRequest;
use serde_json::Value;

use crate::{
    commands::json::{boolean, list, text},
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format::{self, Listing, Row},
};

const PLUGINS: &[(&str, &str)] = &[
    ("ID", "ID"),
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("Enabled", "ENABLED"),
    ("PluginReference", "PLUGIN REFERENCE"),
];

pub(crate) async fn dispatch(context: &Context, call: &Invocation) -> CliResult {
    let path = call.command.path;
    match path {
        "plugin ls" => plugins(context, call).await,
        "plugin inspect" => super::inspect::inspect(context, call).await,
        "system dial-stdio" => Ok(0),
        _ if path.starts_with("plugin ") => Err(CliError::new(format!(
            "docker: '{}' needs managed plugins, which this client does not install or change",
            call.path
        ))),
        _ if path.starts_with("checkpoint ") => Err(CliError::new(format!(
            "{} is only supported on a Docker daemon with experimental features enabled",
            call.path
        ))),
        _ if path.starts_with("manifest ") => Err(CliError::new(format!(
            "docker: '{}' works on a registry's manifest lists, which this client does not edit; build and push one platform",
            call.path
        ))),
        _ if path.starts_with("trust ") => Err(CliError::new(format!(
            "docker: '{}' needs a Notary server to sign with, which this client does not speak to",
            call.path
        ))),
        _ => Err(CliError::new(format!(
            "docker: '{}' is not implemented by this client ({path}); send the request through the API",
            call.path
        ))),
    }
}

async fn plugins(context: &Context, call: &Invocation) -> CliResult {
    let filters = call.flags.filters();
    let mut request = RawRequest::get("/plugins");
    if !filters.is_empty() {
        request = request.query("filters", filters.to_json());
    }
    // An engine in this process has none.
    let answer = match context.raw(request).await {
        Some(Err(error)) if error.is_not_found() => Value::Null,
        Some(answer) => answer?,
        None => Value::Null,
    };
    let full = call.flags.is_set("no-trunc");
    let rows: Vec<Row> = list(&answer, "")
        .iter()
        .map(|plugin| {
            let id = text(plugin, "/Id");
            let description = text(plugin, "/Config/Description").replace(['\n', '\r'], " ");
            vec![
                ("ID", if full { id } else { format::short_id(&id) }),
                ("Name", text(plugin, "/Name")),
                ("Description", if full { description } else { format::truncate(&description, 45) }),
                ("Enabled", boolean(plugin, "/Enabled").to_string()),
                ("PluginReference", text(plugin, "/PluginReference")),
            ]
        })
        .collect();
    let listing = Listing {
        type_name: "*plugin.pluginContext",
        headers: PLUGINS,
        columns: vec!["ID", "Name", "Description", "Enabled"],
        quiet: "ID",
        raw: "plugin_id: {{.ID}}\nname: {{.Name}}\ndescription: {{.Description}}\nenabled: {{.Enabled}}\n",
    };
    let format = context.format(call, "pluginsFormat");
    context.stdout(listing.render(format, call.flags.is_set("quiet"), &rows)?).await;
    Ok(0)
}
