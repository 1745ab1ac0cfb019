//! `docker stack deploy`: makes what a Compose file describes, and changes what is there already.

use base64::Engine as _;
use docklab_api::{ListServices, RawRequest};
use serde_json::{Map, Value, json};

use super::{compose, convert, of_stack};
use crate::{
    commands::{
        converge,
        json::{boolean, number, strings, text, value},
        objects,
        service::registry_auth,
        service_flags, service_update,
    },
    context::{Context, Invocation},
    error::{CliError, CliResult, daemon_message},
};

pub(crate) async fn deploy(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let stack = call.argument(0);
    super::check_name(stack)?;
    let resolve = flags.get("resolve-image").unwrap_or("always");
    let files = flags.list("compose-file");
    if files.is_empty() {
        return Err(CliError::new("Specify a Compose file (with --compose-file)"));
    }
    let file = compose::load(context, &files).await?;
    if !matches!(resolve, "always" | "changed" | "never") {
        return Err(CliError::new(format!("Invalid option {resolve} for flag --resolve-image")));
    }
    let detached = flags.boolean("detach", true);
    if detached && !flags.given("detach") {
        context
            .error_line(
                "Since --detach=false was not specified, tasks will be created in the background.\n\
                 In a future release, --detach=false will become the default.",
            )
            .await;
    }
    let info = value(&context.api.info().await?);
    if !boolean(&info, "/Swarm/ControlAvailable") {
        return Err(CliError::new(
            "this node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again",
        ));
    }
    if flags.is_set("prune") {
        prune(context, stack, &file).await?;
    }
    networks(context, stack, &file).await?;
    files_of(context, stack, &file, "secrets").await?;
    files_of(context, stack, &file, "configs").await?;
    let deployed = services(context, call, stack, &file, resolve).await?;
    if !detached {
        for id in deployed {
            converge::wait(context, &id, flags.is_set("quiet")).await?;
        }
    }
    Ok(0)
}

fn section<'a>(file: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    file.get(name).and_then(Value::as_object).into_iter().flatten()
}

async fn existing(context: &Context, stack: &str) -> CliResult<Vec<Value>> {
    let options = ListServices { filters: of_stack(stack), status: false };
    Ok(context.api.list_services(options).await?.iter().map(value).collect())
}

/// Removes services that the file no longer has.
async fn prune(context: &Context, stack: &str, file: &Value) -> CliResult<()> {
    let wanted: Vec<String> = section(file, "services").map(|(name, _)| format!("{stack}_{name}")).collect();
    for service in existing(context, stack).await? {
        if !wanted.contains(&text(&service, "/Spec/Name")) {
            super::remove_service(context, &service).await;
        }
    }
    Ok(())
}

/// Networks that services name, and the default one where a service names none.
async fn networks(context: &Context, stack: &str, file: &Value) -> CliResult<()> {
    let mut used: Vec<String> = Vec::new();
    for (_, service) in section(file, "services") {
        match service.get("networks").and_then(Value::as_object).filter(|networks| !networks.is_empty()) {
            Some(networks) => used.extend(networks.keys().cloned()),
            None => used.push("default".to_owned()),
        }
    }
    used.sort();
    used.dedup();
    let settings = |name: &str| file.get("networks").and_then(|networks| networks.get(name)).cloned();
    for name in used.iter().filter(|name| settings(name).is_some_and(|network| network["external"] == json!(true))) {
        let target = settings(name).map(|network| text(&network, "/name")).unwrap_or_default();
        check_external(context, &target).await?;
    }
    let known: Vec<String> = context
        .api
        .list_networks(of_stack(stack))
        .await?
        .iter()
        .map(|network| text(&value(network), "/Name"))
        .collect();
    for name in used {
        let network = match settings(&name) {
            Some(network) if network["external"] == json!(true) => continue,
            Some(network) => network,
            None if name == "default" => json!({}),
            None => {
                return Err(CliError::new(format!("undefined network {name:?}")));
            }
        };
        let full = convert::network_name(stack, &name, &network);
        if known.contains(&full) {
            continue;
        }
        let body = convert::network(stack, &full, &network);
        context.line(format!("Creating network {full}")).await;
        context
            .api
            .create_network(serde_json::from_value(body)?)
            .await
            .map_err(|error| CliError::new(format!("failed to create network {full}: {}", daemon_message(&error))))?;
    }
    Ok(())
}

async fn check_external(context: &Context, name: &str) -> CliResult<()> {
    if matches!(name, "bridge" | "host" | "none") {
        return Ok(());
    }
    let scope = match context.api.inspect_network(name, false, None).await {
        Ok(network) => text(&value(&network), "/Scope"),
        Err(error) if error.is_not_found() => {
            return Err(CliError::new(format!(
                "network {name:?} is declared as external, but could not be found. You need to create a swarm-scoped network before the stack is deployed"
            )));
        }
        Err(error) => return Err(error.into()),
    };
    if scope == "swarm" {
        return Ok(());
    }
    Err(CliError::new(format!(
        "network {name:?} is declared as external, but it is not in the right scope: {scope:?} instead of \"swarm\""
    )))
}

/// Secrets and configs whose content stands in files of the client.
async fn files_of(context: &Context, stack: &str, file: &Value, kind: &str) -> CliResult<()> {
    let is_secret = kind == "secrets";
    let word = if is_secret { "secret" } else { "config" };
    for (name, object) in section(file, kind) {
        if object["external"] == json!(true) {
            continue;
        }
        let full = convert::object_name(stack, name, object);
        let data = match object.get("file").and_then(Value::as_str) {
            Some(path) => context.console.read_file(path).await?,
            None => Vec::new(),
        };
        let mut all: Map<String, Value> = object.get("labels").and_then(Value::as_object).cloned().unwrap_or_default();
        all.insert(super::NAMESPACE.to_owned(), json!(stack));
        let mut spec = json!({
            "Name": full, "Labels": all, "Data": base64::engine::general_purpose::STANDARD.encode(data),
        });
        if let Some(driver) = object.get("template_driver").and_then(Value::as_str) {
            spec["Templating"] = json!({"Name": driver});
        }
        let kind = if is_secret { objects::Kind::Secret } else { objects::Kind::Config };
        match objects::object(context, kind, &full, &objects::Detail::default()).await {
            Ok(found) => {
                let id = text(&found, "/ID");
                let version = u64::try_from(number(&found, "/Version/Index")).unwrap_or(0);
                let outcome = if is_secret {
                    context.api.update_secret(&id, version, serde_json::from_value(spec)?).await
                } else {
                    context.api.update_config(&id, version, serde_json::from_value(spec)?).await
                };
                outcome.map_err(|error| {
                    CliError::new(format!("failed to update {word} {full}: {}", daemon_message(&error)))
                })?;
            }
            Err(error) if error.is_not_found() => {
                context.line(format!("Creating {word} {full}")).await;
                let outcome = if is_secret {
                    context.api.create_secret(serde_json::from_value(spec)?).await
                } else {
                    context.api.create_config(serde_json::from_value(spec)?).await
                };
                outcome.map_err(|error| {
                    CliError::new(format!("failed to create {word} {full}: {}", daemon_message(&error)))
                })?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Creates and updates services; returns their IDs.
async fn services(
    context: &Context,
    call: &Invocation,
    stack: &str,
    file: &Value,
    resolve: &str,
) -> CliResult<Vec<String>> {
    let mut specs = Vec::new();
    let mut names: Vec<&String> = section(file, "services").map(|(name, _)| name).collect();
    names.sort();
    for name in names {
        specs.push(convert::service(context, stack, name, &file["services"][name], file).await?);
    }
    let known = existing(context, stack).await?;
    let mut ids = Vec::new();
    for mut spec in specs {
        let name = text(&spec, "/Name");
        let image = text(&spec, "/TaskTemplate/ContainerSpec/Image");
        let auth =
            if call.flags.is_set("with-registry-auth") { Some(registry_auth(context, &spec).await) } else { None };
        match known.iter().find(|service| text(service, "/Spec/Name") == name) {
            Some(service) => {
                let id = text(service, "/ID");
                context.line(format!("Updating service {name} (id: {id})")).await;
                let service = objects::service(context, &id).await?;
                let same =
                    service.pointer("/Spec/Labels/com.docker.stack.image").and_then(Value::as_str) == Some(&image);
                if resolve == "always" || (resolve == "changed" && !same) {
                    service_flags::pin_image(context, &mut spec).await;
                } else if same {
                    // The digest that runs is the one to keep.
                    spec["TaskTemplate"]["ContainerSpec"]["Image"] =
                        json!(text(&service, "/Spec/TaskTemplate/ContainerSpec/Image"));
                }
                spec["TaskTemplate"]["ForceUpdate"] = json!(number(&service, "/Spec/TaskTemplate/ForceUpdate"));
                let auth_from = auth.is_none().then_some("spec");
                let sending = service_update::Sending { rollback: false, auth_from, auth };
                service_update::send(context, &service, spec, &sending)
                    .await
                    .map_err(|error| CliError::new(format!("failed to update service {name}: {}", error.message)))?;
                ids.push(id);
            }
            None => {
                context.line(format!("Creating service {name}")).await;
                if resolve != "never" {
                    service_flags::pin_image(context, &mut spec).await;
                }
                let mut request = RawRequest::post("/services/create").body(spec.clone());
                request.auth = auth.clone();
                let answer = match context.raw(request).await {
                    Some(answer) => answer,
                    None => context
                        .api
                        .create_service(serde_json::from_value(spec)?, auth.flatten())
                        .await
                        .map(|answer| value(&answer)),
                };
                let answer = answer.map_err(|error| {
                    CliError::new(format!("failed to create service {name}: {}", daemon_message(&error)))
                })?;
                for warning in strings(&answer, "/Warnings") {
                    context.error_line(warning).await;
                }
                ids.push(text(&answer, "/ID"));
            }
        }
    }
    Ok(ids)
}
