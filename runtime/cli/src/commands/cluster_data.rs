//! Secrets and configs of a swarm.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::{
    commands::{
        container::create::labels,
        input,
        json::{label_map, pairs, text, value},
    },
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format::{self, Listing, Row},
    template,
};

const HEADERS: &[(&str, &str)] = &[
    ("ID", "ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("CreatedAt", "CREATED"),
    ("UpdatedAt", "UPDATED"),
    ("Labels", "LABELS"),
];

/// `secret create|ls|rm` and `config create|ls|rm`.
pub(crate) async fn dispatch(context: &Context, call: &Invocation) -> CliResult {
    let (kind, action) = call.command.path.split_once(' ').unwrap_or_default();
    let secret = kind == "secret";
    match action {
        "create" => create(context, call, secret).await,
        "ls" => ls(context, call, secret).await,
        _ => {
            context
                .each(&call.arguments, |name| async move {
                    if secret {
                        context.api.remove_secret(&name).await?;
                    } else {
                        context.api.remove_config(&name).await?;
                    }
                    Ok(name)
                })
                .await
        }
    }
}

async fn create(context: &Context, call: &Invocation, secret: bool) -> CliResult {
    let flags = &call.flags;
    let (path, driver) = (call.argument(1), flags.text("driver"));
    if secret && !driver.is_empty() && !path.is_empty() {
        return Err(CliError::new("When using secret driver secret data must be empty"));
    }
    if secret && driver.is_empty() && path.is_empty() {
        return Err(CliError::new("secret file is required"));
    }
    let data = match path {
        "-" => input::read_all(context.console.as_ref()).await,
        "" => Vec::new(),
        path => context.console.read_file(path).await.map_err(|error| {
            let reason = format!("error reading from {path}: {error}");
            let about = if secret { String::new() } else { format!("Error reading content from {path:?}: ") };
            CliError::new(format!("{about}{reason}"))
        })?,
    };
    let mut spec = json!({
        "Name": call.argument(0), "Labels": labels(&flags.list("label")),
        "Data": base64::engine::general_purpose::STANDARD.encode(data),
    });
    if !driver.is_empty() {
        spec["Driver"] = json!({"Name": driver});
    }
    if let Some(template) = flags.get("template-driver").filter(|driver| !driver.is_empty()) {
        spec["Templating"] = json!({"Name": template});
    }
    let id = if secret {
        context.api.create_secret(serde_json::from_value(spec)?).await?
    } else {
        context.api.create_config(serde_json::from_value(spec)?).await?
    };
    context.line(id).await;
    Ok(0)
}

async fn ls(context: &Context, call: &Invocation, secret: bool) -> CliResult {
    let filters = call.flags.filters();
    let mut objects: Vec<Value> = if secret {
        context.api.list_secrets(filters).await?.iter().map(value).collect()
    } else {
        context.api.list_configs(filters).await?.iter().map(value).collect()
    };
    objects.sort_by(|one, other| format::natural_order(&text(one, "/Spec/Name"), &text(other, "/Spec/Name")));
    let now = context.console.now().as_second();
    let ago = |object: &Value, pointer: &str| {
        let then = text(object, pointer).parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
        format!("{} ago", format::duration(now - then))
    };
    let rows: Vec<Row<template::Value>> = objects
        .iter()
        .map(|object| {
            vec![
                ("ID", text(object, "/ID").into()),
                ("Name", text(object, "/Spec/Name").into()),
                ("CreatedAt", ago(object, "/CreatedAt").into()),
                ("UpdatedAt", ago(object, "/UpdatedAt").into()),
                ("Labels", pairs(object, "/Spec/Labels").join(",").into()),
                ("Label", label_map(object, "/Spec/Labels")),
            ]
        })
        .zip(&objects)
        .map(|(mut row, object): (Row<template::Value>, _)| {
            if secret {
                row.push(("Driver", text(object, "/Spec/Driver/Name").into()));
            }
            row
        })
        .collect();
    let columns = if secret {
        vec!["ID", "Name", "Driver", "CreatedAt", "UpdatedAt"]
    } else {
        vec!["ID", "Name", "CreatedAt", "UpdatedAt"]
    };
    let type_name = if secret { "*secret.secretContext" } else { "*config.configContext" };
    let listing = Listing { type_name, headers: HEADERS, columns, quiet: "ID", raw: "" };
    let setting = if secret { "secretFormat" } else { "configFormat" };
    context.stdout(listing.render(context.format(call, setting), call.flags.is_set("quiet"), &rows)?).await;
    Ok(0)
}
