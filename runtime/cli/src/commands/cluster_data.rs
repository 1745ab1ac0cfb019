//! Secrets and configs of a swarm.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::{
    commands::{
        container::create::labels,
        input,
        json::{pairs, text, value},
    },
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format::{self, Listing, Row},
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
    let data = match call.argument(1) {
        "-" => input::read_all(context.console.as_ref()).await,
        "" => return Err(CliError::new("either secret driver or data is required")),
        path => context.console.read_file(path).await?,
    };
    let spec = json!({
        "Name": call.argument(0), "Labels": labels(&call.flags.list("label")),
        "Data": base64::engine::general_purpose::STANDARD.encode(data),
    });
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
    objects.sort_by_key(|object| text(object, "/Spec/Name"));
    let now = context.console.now().as_second();
    let ago = |object: &Value, pointer: &str| {
        let then = text(object, pointer).parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
        format!("{} ago", format::duration(now - then))
    };
    let rows: Vec<Row> = objects
        .iter()
        .map(|object| {
            vec![
                ("ID", text(object, "/ID")),
                ("Name", text(object, "/Spec/Name")),
                ("Driver", text(object, "/Spec/Driver/Name")),
                ("CreatedAt", ago(object, "/CreatedAt")),
                ("UpdatedAt", ago(object, "/UpdatedAt")),
                ("Labels", pairs(object, "/Spec/Labels").join(",")),
            ]
        })
        .collect();
    let columns = if secret {
        vec!["ID", "Name", "Driver", "CreatedAt", "UpdatedAt"]
    } else {
        vec!["ID", "Name", "CreatedAt", "UpdatedAt"]
    };
    let listing = Listing { headers: HEADERS, columns, quiet: "ID" };
    context.stdout(listing.render(call.flags.text("format"), call.flags.is_set("quiet"), &rows)?).await;
    Ok(0)
}
