//! `docker stack …`: services, networks, secrets and configs that a Compose file describes together.

mod compose;
mod convert;
mod deploy;
mod yaml;

use std::collections::BTreeMap;

use docklab_api::{Filters, ListServices};
use serde_json::Value;

use crate::{
    commands::{
        json::{text, value},
        service, tasks,
    },
    context::{Context, Invocation},
    error::{CliError, CliResult, daemon_message},
    format::{Listing, Row, natural_order},
};

/// The label that says which stack an object belongs to.
pub(crate) const NAMESPACE: &str = "com.docker.stack.namespace";

pub(crate) async fn dispatch(context: &Context, call: &Invocation) -> CliResult {
    match call.command.path {
        "stack ls" => ls(context, call).await,
        "stack services" => services(context, call).await,
        "stack ps" => ps(context, call).await,
        "stack rm" => remove(context, call).await,
        "stack config" => {
            let file = compose::load(context, &call.flags.list("compose-file")).await?;
            context.stdout(yaml::write(&compose::ordered(&file))).await;
            Ok(0)
        }
        _ => deploy::deploy(context, call).await,
    }
}

/// The filter for a stack's objects.
fn of_stack(name: &str) -> Filters {
    Filters::new().with("label", format!("{NAMESPACE}={name}"))
}

fn check_name(name: &str) -> CliResult<()> {
    if name.trim().is_empty() {
        return Err(CliError::new(format!("invalid stack name: {name:?}")));
    }
    Ok(())
}

async fn ls(context: &Context, call: &Invocation) -> CliResult {
    let options = ListServices { filters: Filters::new().with("label", NAMESPACE), status: false };
    let mut stacks: BTreeMap<String, usize> = BTreeMap::new();
    for service in context.api.list_services(options).await? {
        let service = value(&service);
        let labels = service.pointer("/Spec/Labels").and_then(|labels| labels.get(NAMESPACE)).and_then(Value::as_str);
        let Some(name) = labels else {
            return Err(CliError::new(format!("cannot get label {NAMESPACE} for service {}", text(&service, "/ID"))));
        };
        *stacks.entry(name.to_owned()).or_default() += 1;
    }
    let mut rows: Vec<Row> =
        stacks.into_iter().map(|(name, count)| vec![("Name", name), ("Services", count.to_string())]).collect();
    rows.sort_by(|one, other| natural_order(&one[0].1, &other[0].1));
    let listing = Listing {
        type_name: "*formatter.stackContext",
        headers: &[("Name", "NAME"), ("Services", "SERVICES")],
        columns: vec!["Name", "Services"],
        quiet: "Name",
        raw: "",
    };
    context.stdout(listing.render(call.flags.text("format"), false, &rows)?).await;
    Ok(0)
}

async fn services(context: &Context, call: &Invocation) -> CliResult {
    let name = call.argument(0);
    check_name(name)?;
    let filters = call.flags.filters().with("label", format!("{NAMESPACE}={name}"));
    let options = ListServices { filters, status: !call.flags.is_set("quiet") };
    let found: Vec<Value> = context.api.list_services(options).await?.iter().map(value).collect();
    if found.is_empty() {
        context.error_line(format!("Nothing found in stack: {name}")).await;
        return Ok(0);
    }
    service::print(context, call, found).await?;
    Ok(0)
}

async fn ps(context: &Context, call: &Invocation) -> CliResult {
    let name = call.argument(0);
    check_name(name)?;
    let filters = call.flags.filters().with("label", format!("{NAMESPACE}={name}"));
    let found: Vec<Value> = context.api.list_tasks(filters).await?.iter().map(value).collect();
    if found.is_empty() {
        return Err(CliError::new(format!("nothing found in stack: {name}")));
    }
    tasks::print(context, call, found).await?;
    Ok(0)
}

/// Removes everything of the stacks named; what fails is reported, and the rest goes on.
async fn remove(context: &Context, call: &Invocation) -> CliResult {
    let mut failures = Vec::new();
    for name in &call.arguments {
        check_name(name)?;
        if !remove_one(context, name).await? {
            failures.push(format!("failed to remove some resources from stack: {name}"));
        }
    }
    crate::commands::joined(failures)
}

/// False when something could not be removed.
async fn remove_one(context: &Context, name: &str) -> CliResult<bool> {
    let options = ListServices { filters: of_stack(name), status: false };
    let mut services: Vec<Value> = context.api.list_services(options).await?.iter().map(value).collect();
    let networks: Vec<Value> = context.api.list_networks(of_stack(name)).await?.iter().map(value).collect();
    let secrets: Vec<Value> = context.api.list_secrets(of_stack(name)).await?.iter().map(value).collect();
    let configs: Vec<Value> = context.api.list_configs(of_stack(name)).await?.iter().map(value).collect();
    if services.is_empty() && networks.is_empty() && secrets.is_empty() && configs.is_empty() {
        context.error_line(format!("Nothing found in stack: {name}")).await;
        return Ok(true);
    }
    services.sort_by_key(|service| text(service, "/Spec/Name"));
    let mut complete = true;
    for service in &services {
        complete &= remove_service(context, service).await;
    }
    for secret in &secrets {
        context.line(format!("Removing secret {}", text(secret, "/Spec/Name"))).await;
        let outcome = context.api.remove_secret(&text(secret, "/ID")).await;
        complete &= report(context, "secret", &text(secret, "/ID"), outcome).await;
    }
    for config in &configs {
        context.line(format!("Removing config {}", text(config, "/Spec/Name"))).await;
        let outcome = context.api.remove_config(&text(config, "/ID")).await;
        complete &= report(context, "config", &text(config, "/ID"), outcome).await;
    }
    for network in &networks {
        context.line(format!("Removing network {}", text(network, "/Name"))).await;
        let outcome = context.api.remove_network(&text(network, "/Id")).await;
        complete &= report(context, "network", &text(network, "/Id"), outcome).await;
    }
    Ok(complete)
}

/// Removes one service of a stack; false when the engine refuses.
async fn remove_service(context: &Context, service: &Value) -> bool {
    context.line(format!("Removing service {}", text(service, "/Spec/Name"))).await;
    let id = text(service, "/ID");
    let outcome = context.api.remove_service(&id).await;
    report(context, "service", &id, outcome).await
}

async fn report(context: &Context, kind: &str, id: &str, outcome: docklab_api::ApiResult<()>) -> bool {
    match outcome {
        Ok(()) => true,
        Err(error) => {
            // Docker ends no line here.
            context.stderr(format!("Failed to remove {kind} {id}: {}", daemon_message(&error))).await;
            false
        }
    }
}
