//! `docker context`: named engines, kept beside the configuration file.

use serde_json::{Map, Value, json};

use crate::{
    commands::json::text,
    context::{Context, Invocation},
    endpoint::{DEFAULT_HOST, metadata_path, parse_host},
    error::{CliError, CliResult},
    format::{Listing, Row, natural_order},
};

const HEADERS: &[(&str, &str)] =
    &[("Name", "NAME"), ("Description", "DESCRIPTION"), ("DockerEndpoint", "DOCKER ENDPOINT"), ("Error", "ERROR")];

pub(crate) async fn dispatch(context: &Context, call: &Invocation) -> CliResult {
    match call.command.path {
        "context ls" => ls(context, call).await,
        "context show" => {
            context.line(&context.context_name).await;
            Ok(0)
        }
        "context create" => create(context, call).await,
        "context update" => update(context, call).await,
        "context use" => use_context(context, call).await,
        "context inspect" => inspect(context, call).await,
        "context rm" => remove(context, call).await,
        _ => Err(CliError::new(format!(
            "docker: '{}' writes an archive of certificates, which this client does not; copy {}/contexts instead",
            call.path, context.config.directory
        ))),
    }
}

/// The host that the default context stands for.
fn default_host(context: &Context) -> String {
    context.console.variable("DOCKER_HOST").filter(|host| !host.is_empty()).unwrap_or_else(|| DEFAULT_HOST.to_owned())
}

fn is_valid(name: &str) -> CliResult<()> {
    if name.is_empty() {
        return Err(CliError::new("context name cannot be empty"));
    }
    if name == "default" {
        return Err(CliError::new("\"default\" is a reserved context name"));
    }
    let word = |letter: char| letter.is_ascii_alphanumeric() || "_.+-".contains(letter);
    let good =
        name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.len() > 1 && name.chars().all(word);
    if good {
        return Ok(());
    }
    Err(CliError::new(format!(
        "context name {name:?} is invalid, names are validated against regexp \"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\""
    )))
}

/// A context's description, or Docker's error for one that is not there.
async fn read(context: &Context, name: &str) -> CliResult<Value> {
    if name == "default" {
        return Ok(json!({
            "Name": "default", "Metadata": {},
            "Endpoints": {"docker": {"Host": default_host(context), "SkipTLSVerify": false}},
        }));
    }
    let path = metadata_path(&context.config, name);
    let bytes = context
        .console
        .read_file(&path)
        .await
        .map_err(|error| CliError::new(format!("context {name:?}: context not found: {error}")))?;
    Ok(serde_json::from_slice(&bytes)?)
}

async fn write(context: &Context, name: &str, metadata: &Value) -> CliResult<()> {
    let path = metadata_path(&context.config, name);
    let folder = path.trim_end_matches("/meta.json").to_owned();
    context.console.create_directory(&folder, 0o755).await?;
    context.console.write_file(&path, metadata.to_string().as_bytes(), 0o644).await?;
    Ok(())
}

/// Every context, in natural order.
async fn all(context: &Context) -> Vec<Value> {
    let folder = format!("{}/contexts/meta", context.config.directory);
    let mut found = vec![read(context, "default").await.unwrap_or_default()];
    for entry in context.console.read_directory(&folder).await.unwrap_or_default() {
        if let Ok(bytes) = context.console.read_file(&format!("{folder}/{entry}/meta.json")).await
            && let Ok(metadata) = serde_json::from_slice::<Value>(&bytes)
        {
            found.push(metadata);
        }
    }
    found.sort_by(|one, other| natural_order(&text(one, "/Name"), &text(other, "/Name")));
    found
}

async fn ls(context: &Context, call: &Invocation) -> CliResult {
    let template = call.flags.text("format");
    let quiet = call.flags.is_set("quiet");
    let marks = !quiet && matches!(template, "" | "table");
    let mut rows: Vec<Row> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for metadata in all(context).await {
        let name = text(&metadata, "/Name");
        let current = name == context.context_name;
        let description = match name.as_str() {
            "default" => "Current DOCKER_HOST based configuration".to_owned(),
            _ => text(&metadata, "/Metadata/Description"),
        };
        let mut row: Row = vec![
            ("Name", if marks && current { format!("{name} *") } else { name.clone() }),
            ("Description", description),
            ("DockerEndpoint", text(&metadata, "/Endpoints/docker/Host")),
            ("Error", String::new()),
        ];
        if !marks {
            row.push(("Current", current.to_string()));
        }
        rows.push(row);
        names.push(name);
    }
    if !names.contains(&context.context_name) {
        // One that is chosen but not there.
        let error = read(context, &context.context_name).await.err().map(|error| error.message).unwrap_or_default();
        let name = &context.context_name;
        let mut row: Row = vec![
            ("Name", if marks { format!("{name} *") } else { name.clone() }),
            ("Description", String::new()),
            ("DockerEndpoint", String::new()),
            ("Error", if marks { crate::format::truncate(&error, 45) } else { error }),
        ];
        if !marks {
            row.push(("Current", "true".to_owned()));
        }
        rows.push(row);
    }
    let json = template == "json" || template.contains("json .");
    let rows: Vec<Row<crate::template::Value>> = rows
        .into_iter()
        .map(|row| {
            row.into_iter()
                .map(|(key, text)| match key {
                    "Current" => (key, crate::template::Value::Bool(text == "true")),
                    key => (key, text.into()),
                })
                .chain(json.then_some(("ContextType", "moby".into())))
                .collect()
        })
        .collect();
    let columns = vec!["Name", "Description", "DockerEndpoint", "Error"];
    let listing =
        Listing { type_name: "*formatter.clientContextContext", headers: HEADERS, columns, quiet: "Name", raw: "" };
    context.stdout(listing.render(template, quiet, &rows)?).await;
    if context.console.variable("DOCKER_HOST").is_some_and(|host| !host.is_empty()) && !call.flags.given("context") {
        context
            .error_line(
                "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set \
                 the global --context flag, or unset DOCKER_HOST environment variable.",
            )
            .await;
    }
    Ok(0)
}

/// `host=…,ca=…,cert=…,key=…,skip-tls-verify=…`, or `from=CONTEXT`.
async fn endpoint(context: &Context, call: &Invocation) -> CliResult<Value> {
    let failed = |reason: String| CliError::new(format!("unable to create docker endpoint config: {reason}"));
    let mut settings: Map<String, Value> = Map::new();
    for text in call.flags.list("docker") {
        for field in crate::csv::fields(&text).map_err(CliError::new)? {
            let (key, value) = field.split_once('=').ok_or_else(|| {
                CliError::new(format!(
                    "invalid argument {text:?} for \"--docker\" flag: {field} must be formatted as key=value"
                ))
            })?;
            if !matches!(key, "host" | "from" | "ca" | "cert" | "key" | "skip-tls-verify") {
                return Err(failed(format!("unrecognized config key: {key}")));
            }
            settings.insert(key.to_owned(), json!(value));
        }
    }
    let setting = |key: &str| settings.get(key).and_then(Value::as_str).unwrap_or_default();
    if !setting("from").is_empty() {
        return Ok(read(context, setting("from")).await?["Endpoints"]["docker"].clone());
    }
    let host = setting("host");
    if !host.is_empty() {
        parse_host(host, !setting("ca").is_empty()).map_err(failed)?;
    }
    let skip = setting("skip-tls-verify");
    let skip = crate::grammar::parse_boolean(if skip.is_empty() { "false" } else { skip })
        .map_err(|_| failed(format!("skip-tls-verify: {skip} is not a boolean")))?;
    let mut endpoint = json!({"SkipTLSVerify": skip});
    if !host.is_empty() {
        endpoint["Host"] = json!(host);
    }
    Ok(endpoint)
}

async fn create(context: &Context, call: &Invocation) -> CliResult {
    let name = call.argument(0);
    is_valid(name)?;
    if read(context, name).await.is_ok() {
        return Err(CliError::new(format!("context {name:?} already exists")));
    }
    let source = call.flags.text("from");
    if !source.is_empty() && call.flags.given("docker") {
        return Err(CliError::new("cannot use --docker or --description flag when creating from another context"));
    }
    let mut metadata = json!({"Name": name, "Metadata": {}});
    if !call.flags.text("description").is_empty() {
        metadata["Metadata"]["Description"] = json!(call.flags.text("description"));
    }
    let docker = if call.flags.given("docker") {
        endpoint(context, call).await?
    } else if source.is_empty() {
        return_current(context).await?
    } else {
        let from = read(context, source).await?;
        if metadata["Metadata"] == json!({}) {
            metadata["Metadata"] = from["Metadata"].clone();
        }
        from["Endpoints"]["docker"].clone()
    };
    metadata["Endpoints"] = json!({"docker": docker});
    write(context, name, &metadata).await?;
    context.line(name).await;
    context.error_line(format!("Successfully created context {name:?}")).await;
    Ok(0)
}

/// Without `--docker` a new context is the current one's copy.
async fn return_current(context: &Context) -> CliResult<Value> {
    Ok(read(context, &context.context_name).await?["Endpoints"]["docker"].clone())
}

async fn update(context: &Context, call: &Invocation) -> CliResult {
    let name = call.argument(0);
    is_valid(name)?;
    let mut metadata = read(context, name).await?;
    if call.flags.given("description") {
        metadata["Metadata"]["Description"] = json!(call.flags.text("description"));
    }
    if call.flags.given("docker") {
        metadata["Endpoints"]["docker"] = endpoint(context, call).await?;
    }
    write(context, name, &metadata).await?;
    context.line(name).await;
    context.error_line(format!("Successfully updated context {name:?}")).await;
    Ok(0)
}

async fn use_context(context: &Context, call: &Invocation) -> CliResult {
    let name = call.argument(0);
    if name != "default" {
        is_valid(name)?;
        read(context, name).await?;
    }
    let mut config = (*context.config).clone();
    if config.text("currentContext") != if name == "default" { "" } else { name } {
        config
            .change(context.console.as_ref(), |content| {
                if name == "default" {
                    content.remove("currentContext");
                } else {
                    content.insert("currentContext".to_owned(), json!(name));
                }
            })
            .await?;
    }
    context.line(name).await;
    context.error_line(format!("Current context is now {name:?}")).await;
    if name != "default" && context.console.variable("DOCKER_HOST").is_some_and(|host| !host.is_empty()) {
        context
            .error_line(format!(
                "Warning: DOCKER_HOST environment variable overrides the active context. To use {name:?}, either set \
                 the global --context flag, or unset DOCKER_HOST environment variable."
            ))
            .await;
    }
    Ok(0)
}

async fn inspect(context: &Context, call: &Invocation) -> CliResult {
    let inspector = super::inspect::Inspector::new(call.flags.text("format"))?;
    let names = if call.arguments.is_empty() { vec![context.context_name.clone()] } else { call.arguments.clone() };
    let mut found = Vec::new();
    let mut failures = Vec::new();
    for name in names {
        match read(context, &name).await {
            Ok(mut metadata) => {
                let path = metadata_path(&context.config, &name);
                let folder = path.trim_end_matches("/meta.json").to_owned();
                let (data, tls) = if name == "default" {
                    ("<IN MEMORY>".to_owned(), "<IN MEMORY>".to_owned())
                } else {
                    (folder.clone(), folder.replace("/contexts/meta/", "/contexts/tls/"))
                };
                metadata["TLSMaterial"] = json!({});
                metadata["Storage"] = json!({"MetadataPath": data, "TLSPath": tls});
                found.push((super::objects::Kind::Plugin, metadata));
            }
            Err(error) => failures.push(error.message),
        }
    }
    super::inspect::print(context, &inspector, &found, false, failures).await
}

async fn remove(context: &Context, call: &Invocation) -> CliResult {
    let force = call.flags.is_set("force");
    let mut failures = Vec::new();
    for name in &call.arguments {
        let outcome = if name == "default" {
            Err(CliError::new("context \"default\" cannot be removed"))
        } else if let Err(error) = read(context, name).await {
            if force { Ok(()) } else { Err(error) }
        } else if *name == context.context_name && !force {
            Err(CliError::new(format!("context {name:?} is in use, set -f flag to force remove")))
        } else {
            forget(context, name).await
        };
        match outcome {
            Ok(()) => context.line(name).await,
            Err(error) => failures.push(error.message),
        }
    }
    crate::commands::joined(failures)
}

async fn forget(context: &Context, name: &str) -> CliResult<()> {
    if context.config.text("currentContext") == name {
        let mut config = (*context.config).clone();
        config
            .change(context.console.as_ref(), |content| {
                content.remove("currentContext");
            })
            .await?;
    }
    context.console.remove_file(&metadata_path(&context.config, name)).await?;
    Ok(())
}
