//! `service update` and `service rollback`.

use docklab_api::{RawRequest, UpdateService, models::AuthConfig};
use serde_json::{Value, json};

use crate::{
    commands::{
        converge,
        json::{list, number, strings, text, value},
        objects,
        service::registry_auth,
        service_flags, service_ports,
    },
    context::{Context, Invocation},
    error::{CliError, CliResult},
};

/// How a changed specification is sent.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    /// The engine goes back to the previous specification, whatever is sent.
    pub rollback: bool,
    /// Whose credentials are to be used, as `service update` says it.
    pub auth_from: Option<&'static str>,
    /// Credentials go along, or those of the present specification are kept.
    pub auth: Option<Option<AuthConfig>>,
}

/// Sends a service's changed specification. The engine's own JSON goes back to it, so that no field is lost.
pub(crate) async fn send(context: &Context, service: &Value, spec: Value, sending: &Sending) -> CliResult<()> {
    let id = text(service, "/ID");
    let version = u64::try_from(number(service, "/Version/Index")).unwrap_or(0);
    let mut request =
        RawRequest::post(format!("/services/{id}/update")).query("version", version.to_string()).body(spec.clone());
    if let Some(from) = sending.auth_from {
        request = request.query("registryAuthFrom", from);
    }
    if sending.rollback {
        request = request.query("rollback", "previous");
    }
    request.auth = sending.auth.clone();
    let answer = match context.raw(request).await {
        Some(answer) => answer?,
        None => {
            let options = UpdateService {
                version,
                registry_auth_from: sending.auth_from.map(ToOwned::to_owned),
                rollback: sending.rollback.then(|| "previous".to_owned()),
                auth: sending.auth.clone().flatten(),
            };
            value(&context.api.update_service(&id, options, serde_json::from_value(spec)?).await?)
        }
    };
    for warning in strings(&answer, "/Warnings") {
        context.error_line(warning).await;
    }
    Ok(())
}

/// `docker service rollback`.
pub(crate) async fn rollback(context: &Context, call: &Invocation) -> CliResult {
    let name = call.argument(0);
    let service = objects::service(context, name).await?;
    let spec = service.get("Spec").cloned().unwrap_or_default();
    let sending = Sending { rollback: true, ..Sending::default() };
    send(context, &service, spec, &sending).await?;
    context.line(name).await;
    finish(context, call, name).await
}

async fn finish(context: &Context, call: &Invocation, name: &str) -> CliResult {
    if call.flags.is_set("detach") {
        return Ok(0);
    }
    converge::wait(context, name, call.flags.is_set("quiet")).await
}

/// `docker service update`.
pub(crate) async fn update(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let name = call.argument(0);
    let service = objects::service(context, name).await?;
    let mut spec = service.get("Spec").cloned().unwrap_or_default();
    if flags.is_set("rollback") {
        let others = flags.names().any(|flag| !matches!(flag, "rollback" | "detach" | "quiet" | "host" | "context"));
        if others {
            return Err(CliError::new("other flags may not be combined with --rollback"));
        }
        send(context, &service, spec, &Sending { rollback: true, auth_from: Some("spec"), auth: None }).await?;
        context.line(name).await;
        return finish(context, call, name).await;
    }
    let mut warning = None;
    if let Some(image) = flags.get("image") {
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = json!(service_flags::image(image));
        if !flags.is_set("no-resolve-image") {
            warning = service_flags::pin_image(context, &mut spec).await;
        }
    }
    counts(call, &mut spec)?;
    if flags.is_set("force") {
        spec["TaskTemplate"]["ForceUpdate"] = json!(number(&spec, "/TaskTemplate/ForceUpdate") + 1);
    }
    if flags.given("args") {
        spec["TaskTemplate"]["ContainerSpec"]["Args"] = json!(service_flags::words(flags.text("args"))?);
    }
    if let Some(mode) = flags.get("endpoint-mode") {
        spec["EndpointSpec"]["Mode"] = json!(mode);
    }
    environment(context, call, &mut spec);
    // Removals first: a port that is removed may be added anew.
    service_flags::apply(context, call, &mut spec).await?;
    ports(call, &mut spec)?;
    networks(context, call, &mut spec).await?;
    service_flags::apply_policies(call, &mut spec);
    constraints(call, &mut spec);
    let auth = if flags.is_set("with-registry-auth") { Some(registry_auth(context, &spec).await) } else { None };
    let auth_from = auth.is_none().then_some("spec");
    send(context, &service, spec, &Sending { rollback: false, auth_from, auth }).await?;
    if let Some(warning) = warning {
        context.error_line(&warning).await;
    }
    context.line(name).await;
    finish(context, call, name).await
}

fn counts(call: &Invocation, spec: &mut Value) -> CliResult<()> {
    let has = |spec: &Value, mode: &str| spec.pointer(&format!("/Mode/{mode}")).is_some_and(|mode| !mode.is_null());
    if let Some(replicas) = call.flags.integer("replicas") {
        if has(spec, "Replicated") {
            spec["Mode"]["Replicated"]["Replicas"] = json!(replicas);
        } else if has(spec, "ReplicatedJob") {
            spec["Mode"]["ReplicatedJob"]["TotalCompletions"] = json!(replicas);
        } else {
            return Err(CliError::new("replicas can only be used with replicated mode"));
        }
    }
    if let Some(most) = call.flags.integer("max-concurrent") {
        // Docker leaves other modes as they are.
        if has(spec, "ReplicatedJob") {
            spec["Mode"]["ReplicatedJob"]["MaxConcurrent"] = json!(most);
        }
    }
    Ok(())
}

fn environment(context: &Context, call: &Invocation, spec: &mut Value) {
    let flags = &call.flags;
    if !flags.given("env-add") && !flags.given("env-rm") {
        return;
    }
    let mut environment = strings(spec, "/TaskTemplate/ContainerSpec/Env");
    let key = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
    for added in flags.list("env-add") {
        let added = match added.contains('=') {
            true => added,
            false => match context.console.variable(&added) {
                Some(value) => format!("{added}={value}"),
                None => continue,
            },
        };
        environment.retain(|known| key(known) != key(&added));
        environment.push(added);
    }
    environment.retain(|known| !flags.list("env-rm").contains(&key(known)));
    spec["TaskTemplate"]["ContainerSpec"]["Env"] = json!(environment);
}

/// Ports are known by what they are published as; a new one takes the place of an old one's.
fn ports(call: &Invocation, spec: &mut Value) -> CliResult<()> {
    let flags = &call.flags;
    let (added, removed) = (flags.list("publish-add"), flags.list("publish-rm"));
    if added.is_empty() && removed.is_empty() {
        return Ok(());
    }
    let mut ports = list(spec, "/EndpointSpec/Ports").to_vec();
    for text in removed {
        let wrong = || CliError::new(format!("invalid port format for --publish-rm: {text}"));
        let gone = service_ports::parse(&text).map_err(|_| wrong())?;
        ports.retain(|port| {
            !gone.iter().any(|gone| {
                gone["TargetPort"] == port["TargetPort"]
                    && gone["Protocol"] == port["Protocol"]
                    && (gone.get("PublishedPort").is_none() || gone["PublishedPort"] == port["PublishedPort"])
            })
        });
    }
    let mut new = Vec::new();
    for text in added {
        new.extend(service_ports::parse(&text).map_err(CliError::new)?);
    }
    for port in &new {
        let same = |known: &Value| {
            ["Protocol", "TargetPort", "PublishedPort", "PublishMode"].iter().all(|key| known[*key] == port[*key])
        };
        if !ports.iter().any(same) {
            ports.push(port.clone());
        }
    }
    for (index, port) in ports.iter().enumerate() {
        let published = number(port, "/PublishedPort");
        let clash = ports[..index].iter().any(|known| {
            published != 0
                && number(known, "/PublishedPort") == published
                && known["Protocol"] == port["Protocol"]
                && known["PublishMode"] == port["PublishMode"]
        });
        if clash {
            let target = number(port, "/TargetPort");
            let protocol = text(port, "/Protocol");
            return Err(CliError::new(format!(
                "conflicting port mapping between {published}:{target}/{protocol} and an existing one"
            )));
        }
    }
    ports.sort_by_key(|port| number(port, "/PublishedPort"));
    spec["EndpointSpec"]["Ports"] = json!(ports);
    Ok(())
}

async fn networks(context: &Context, call: &Invocation, spec: &mut Value) -> CliResult<()> {
    let (added, removed) = (call.flags.list("network-add"), call.flags.list("network-rm"));
    if added.is_empty() && removed.is_empty() {
        return Ok(());
    }
    let mut all = list(spec, "/TaskTemplate/Networks").to_vec();
    if all.is_empty() {
        all = list(spec, "/Networks").to_vec();
    }
    let gone = service_flags::networks(context, &removed).await?;
    all.retain(|known| !gone.iter().any(|gone| gone["Target"] == known["Target"]));
    for network in service_flags::networks(context, &added).await? {
        if all.iter().any(|known| known["Target"] == network["Target"]) {
            return Err(CliError::new("service is already attached to network"));
        }
        all.push(network);
    }
    all.sort_by_key(|network| text(network, "/Target"));
    spec["TaskTemplate"]["Networks"] = json!(all);
    Ok(())
}

fn constraints(call: &Invocation, spec: &mut Value) {
    let added = call.flags.list("constraint-add");
    if added.is_empty() && !call.flags.given("constraint-rm") {
        return;
    }
    let mut all = strings(spec, "/TaskTemplate/Placement/Constraints");
    all.retain(|known| !call.flags.list("constraint-rm").contains(known));
    for constraint in added {
        if !all.contains(&constraint) {
            all.push(constraint);
        }
    }
    all.sort();
    spec["TaskTemplate"]["Placement"]["Constraints"] = json!(all);
}
