//! Tasks of services and nodes: `service ps`, `node ps`, and the creation and change of services.

use docklab_api::{Filters, ListServices, UpdateService};
use serde_json::{Value, json};

use crate::{
    commands::{
        container::create::{labels, mount},
        json::{list, number, text, value},
        service_flags,
        swarm::title,
    },
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format::{self, Listing, Row},
};

const TASKS: &[(&str, &str)] = &[
    ("ID", "ID"),
    ("Name", "NAME"),
    ("Image", "IMAGE"),
    ("Node", "NODE"),
    ("DesiredState", "DESIRED STATE"),
    ("CurrentState", "CURRENT STATE"),
    ("Error", "ERROR"),
    ("Ports", "PORTS"),
];

/// `docker service ps` and `docker node ps`: newest first within a slot, older tasks indented below.
pub(crate) async fn ps(context: &Context, call: &Invocation) -> CliResult {
    let mut filters = call.flags.filters();
    let mut missing = Vec::new();
    let of_services = call.command.path == "service ps";
    for name in &call.arguments {
        if of_services {
            match service_id(context, name).await? {
                Some(id) => filters = filters.with("service", id),
                None => missing.push(format!("no such service: {name}")),
            }
        } else {
            let id =
                if name == "self" { text(&value(&context.api.info().await?), "/Swarm/NodeID") } else { name.clone() };
            filters = filters.with("node", text(&value(&context.api.inspect_node(&id).await?), "/ID"));
        }
    }
    if missing.len() < call.arguments.len() || call.arguments.is_empty() {
        let tasks: Vec<Value> = context.api.list_tasks(filters).await?.iter().map(value).collect();
        print(context, call, tasks).await?;
    }
    crate::commands::joined(missing)
}

async fn service_id(context: &Context, name: &str) -> CliResult<Option<String>> {
    for key in ["id", "name"] {
        let options = ListServices { filters: Filters::new().with(key, name), status: false };
        for service in context.api.list_services(options).await? {
            let service = value(&service);
            let id = text(&service, "/ID");
            if id.starts_with(name) || text(&service, "/Spec/Name") == name {
                return Ok(Some(id));
            }
        }
    }
    Ok(None)
}

async fn print(context: &Context, call: &Invocation, tasks: Vec<Value>) -> CliResult<()> {
    let full = call.flags.is_set("no-trunc");
    let ids = call.flags.is_set("no-resolve");
    let mut named = Vec::new();
    for task in tasks {
        let service = text(&task, "/ServiceID");
        let node = text(&task, "/NodeID");
        let service_name = match context.api.inspect_service(&service, false).await {
            Ok(found) if !ids => text(&value(&found), "/Spec/Name"),
            _ => service,
        };
        let node_name = match context.api.inspect_node(&node).await {
            Ok(found) if !ids && !node.is_empty() => text(&value(&found), "/Description/Hostname"),
            _ => node.clone(),
        };
        let slot = number(&task, "/Slot");
        let name = if slot != 0 { format!("{service_name}.{slot}") } else { format!("{service_name}.{node}") };
        named.push((service_name, slot, name, node_name, task));
    }
    named.sort_by(|left, right| {
        (&left.0, left.1, &left.2)
            .cmp(&(&right.0, right.1, &right.2))
            .then_with(|| text(&right.4, "/CreatedAt").cmp(&text(&left.4, "/CreatedAt")))
    });
    let mut previous = String::new();
    let mut rows: Vec<Row> = Vec::new();
    for (_, _, name, node, task) in named {
        let shown = if name == previous { format!(" \\_ {name}") } else { name.clone() };
        previous = name;
        rows.push(row(context, &task, shown, node, full));
    }
    let columns = vec!["ID", "Name", "Image", "Node", "DesiredState", "CurrentState", "Error", "Ports"];
    let listing = Listing { headers: TASKS, columns, quiet: "ID" };
    context.stdout(listing.render(call.flags.text("format"), call.flags.is_set("quiet"), &rows)?).await;
    Ok(())
}

fn row(context: &Context, task: &Value, name: String, node: String, full: bool) -> Row {
    let id = text(task, "/ID");
    let image = text(task, "/Spec/ContainerSpec/Image");
    let image = if full { image } else { image.split('@').next().unwrap_or_default().to_owned() };
    let since = text(task, "/Status/Timestamp").parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
    let ago = format::duration(context.console.now().as_second() - since).to_lowercase();
    let error = text(task, "/Status/Err");
    let error = match (error.is_empty(), full) {
        (true, _) => String::new(),
        (false, true) => format!("\"{error}\""),
        (false, false) => format!("\"{}\"", format::truncate(&error, 30)),
    };
    let ports: Vec<String> = list(task, "/Status/PortStatus/Ports")
        .iter()
        .map(|port| {
            let (public, target) = (number(port, "/PublishedPort"), number(port, "/TargetPort"));
            format!("*:{public}->{target}/{}", text(port, "/Protocol"))
        })
        .collect();
    vec![
        ("ID", if full { id } else { id.chars().take(12).collect() }),
        ("Name", name),
        ("Image", image),
        ("Node", node),
        ("DesiredState", title(&text(task, "/DesiredState"))),
        ("CurrentState", format!("{} {ago} ago", title(&text(task, "/Status/State")))),
        ("Error", error),
        ("Ports", ports.join(",")),
    ]
}

/// `docker service create`.
pub(crate) async fn create(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let mode = match flags.get("mode").unwrap_or("replicated") {
        "replicated" => json!({"Replicated": {"Replicas": flags.integer("replicas").unwrap_or(1)}}),
        "global" if flags.given("replicas") => {
            return Err(CliError::new("replicas can only be used with replicated or replicated-job mode"));
        }
        "global" => json!({"Global": {}}),
        other => return Err(CliError::new(format!("Unknown mode: {other}, only replicated and global supported"))),
    };
    let mounts: Vec<Value> = flags.list("mount").iter().map(|text| mount(text)).collect::<CliResult<_>>()?;
    let ports: Vec<Value> = flags.list("publish").iter().map(|text| port(text)).collect::<CliResult<_>>()?;
    let mut networks = Vec::new();
    for name in flags.list("network") {
        let network = value(&context.api.inspect_network(&name, false, Some("swarm")).await?);
        networks.push(json!({"Target": text(&network, "/Id")}));
    }
    let arguments = call.arguments.get(1..).unwrap_or_default();
    let environment = crate::commands::container::create::environment(context, call).await?;
    let mut container = json!({
        "Image": service_flags::image(call.argument(0)), "Init": flags.is_set("init"), "DNSConfig": {},
        "Labels": labels(&flags.list("container-label")),
    });
    for (key, given) in [("Args", json!(arguments)), ("Mounts", json!(mounts)), ("Env", environment)] {
        if given.as_array().is_some_and(|items| !items.is_empty()) {
            container[key] = given;
        }
    }
    let mut spec = json!({
        "Name": flags.text("name"), "Labels": labels(&flags.list("label")), "Mode": mode,
        "TaskTemplate": {"ContainerSpec": container, "Placement": {}, "ForceUpdate": 0, "Resources": {"Limits": {}, "Reservations": {}}},
        "EndpointSpec": {"Mode": flags.get("endpoint-mode").unwrap_or("vip")},
    });
    if !networks.is_empty() {
        spec["TaskTemplate"]["Networks"] = json!(networks);
    }
    if !ports.is_empty() {
        spec["EndpointSpec"]["Ports"] = json!(ports);
    }
    apply_policies(call, &mut spec);
    service_flags::apply(context, call, &mut spec).await?;
    let warning = if flags.is_set("no-resolve-image") { None } else { pin_image(context, &mut spec).await };
    let spec = serde_json::from_value(spec)?;
    let answer = value(&context.api.create_service(spec, None).await?);
    if let Some(warning) = warning {
        context.error_line(&warning).await;
    }
    for warning in crate::commands::json::strings(&answer, "/Warnings") {
        context.error_line(warning).await;
    }
    let id = text(&answer, "/ID");
    context.line(&id).await;
    if flags.is_set("detach") {
        Ok(0)
    } else {
        crate::commands::converge::wait(context, &id, call.flags.is_set("quiet")).await
    }
}

/// Pins an image's tag to the digest that the registry has now, so that all nodes run the same; the warning when the
/// registry cannot be asked.
async fn pin_image(context: &Context, spec: &mut Value) -> Option<String> {
    let image = text(spec, "/TaskTemplate/ContainerSpec/Image");
    if image.contains('@') {
        return None;
    }
    let name = docklab_api::Reference::parse(&image).map_or_else(|_| image.clone(), |reference| reference.familiar());
    let found = context.api.inspect_distribution(&image, None).await.ok().map(|found| value(&found));
    match found.map(|found| text(&found, "/Descriptor/digest")).filter(|digest| !digest.is_empty()) {
        Some(digest) => {
            spec["TaskTemplate"]["ContainerSpec"]["Image"] = json!(format!("{name}@{digest}"));
            None
        }
        None => Some(format!(
            "image {name} could not be accessed on a registry to record\nits digest. Each node will access {name} \
             independently,\npossibly leading to different nodes running different\nversions of the image.\n"
        )),
    }
}

/// A section that a flag makes is complete: what no flag sets has Docker's default.
fn complete(spec: &mut Value, section: &str, defaults: Value) {
    if spec[section].is_null() {
        spec[section] = defaults;
    }
}

/// Update, restart and placement flags, which `create` and `update` share.
fn apply_policies(call: &Invocation, spec: &mut Value) {
    let flags = &call.flags;
    for (prefix, section) in [("update", "UpdateConfig"), ("rollback", "RollbackConfig")] {
        let names = ["parallelism", "delay", "monitor", "failure-action", "order", "max-failure-ratio"];
        if names.iter().any(|name| flags.given(&format!("{prefix}-{name}"))) {
            let defaults = json!({
                "Parallelism": 1, "FailureAction": "pause", "Monitor": 5_000_000_000_i64, "MaxFailureRatio": 0,
                "Order": "stop-first",
            });
            complete(spec, section, defaults);
        }
        let ratio = flags.get(&format!("{prefix}-max-failure-ratio")).and_then(|ratio| ratio.parse::<f64>().ok());
        if let Some(ratio) = ratio {
            spec[section]["MaxFailureRatio"] = json!(ratio);
        }
    }
    if ["condition", "delay", "max-attempts", "window"].iter().any(|name| flags.given(&format!("restart-{name}"))) {
        let defaults = json!({"Condition": "any", "Delay": 5_000_000_000_i64, "MaxAttempts": 0});
        complete(&mut spec["TaskTemplate"], "RestartPolicy", defaults);
    }
    if let Some(nanoseconds) = flags.duration("restart-window") {
        spec["TaskTemplate"]["RestartPolicy"]["Window"] = json!(nanoseconds);
    }
    for (flag, section, key) in [
        ("update-parallelism", "UpdateConfig", "Parallelism"),
        ("rollback-parallelism", "RollbackConfig", "Parallelism"),
    ] {
        if let Some(number) = flags.integer(flag) {
            spec[section][key] = json!(number);
        }
    }
    for prefix in ["update", "rollback"] {
        let section = if prefix == "update" { "UpdateConfig" } else { "RollbackConfig" };
        for (flag, key) in [("delay", "Delay"), ("monitor", "Monitor")] {
            if let Some(nanoseconds) = flags.duration(&format!("{prefix}-{flag}")) {
                spec[section][key] = json!(nanoseconds);
            }
        }
        for (flag, key) in [("failure-action", "FailureAction"), ("order", "Order")] {
            if let Some(text) = flags.get(&format!("{prefix}-{flag}")) {
                spec[section][key] = json!(text);
            }
        }
    }
    if let Some(condition) = flags.get("restart-condition") {
        spec["TaskTemplate"]["RestartPolicy"]["Condition"] = json!(condition);
    }
    if let Some(nanoseconds) = flags.duration("restart-delay") {
        spec["TaskTemplate"]["RestartPolicy"]["Delay"] = json!(nanoseconds);
    }
    if let Some(attempts) = flags.integer("restart-max-attempts") {
        spec["TaskTemplate"]["RestartPolicy"]["MaxAttempts"] = json!(attempts);
    }
    if flags.given("constraint") {
        spec["TaskTemplate"]["Placement"]["Constraints"] = json!(flags.list("constraint"));
    }
    if let Some(most) = flags.integer("replicas-max-per-node") {
        spec["TaskTemplate"]["Placement"]["MaxReplicas"] = json!(most);
    }
    if let Some(nanoseconds) = flags.duration("stop-grace-period") {
        spec["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"] = json!(nanoseconds);
    }
}

/// `8080:80/udp` or `published=8080,target=80,protocol=tcp,mode=host`.
fn port(given: &str) -> CliResult<Value> {
    let invalid =
        || CliError::with_status(125, format!("invalid argument \"{given}\" for \"-p, --publish\" flag: invalid port"));
    let mut port = json!({"Protocol": "tcp", "PublishMode": "ingress"});
    if given.contains('=') {
        for field in given.split(',') {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            match key {
                "target" => port["TargetPort"] = json!(value.parse::<u16>().map_err(|_| invalid())?),
                "published" => port["PublishedPort"] = json!(value.parse::<u16>().map_err(|_| invalid())?),
                "protocol" => port["Protocol"] = json!(value),
                "mode" => port["PublishMode"] = json!(value),
                _ => return Err(invalid()),
            }
        }
        return Ok(port);
    }
    let (address, protocol) = given.split_once('/').unwrap_or((given, "tcp"));
    let (public, target) = match address.rsplit_once(':') {
        Some((public, target)) => (Some(public.parse::<u16>().map_err(|_| invalid())?), target),
        None => (None, address),
    };
    port["Protocol"] = json!(protocol);
    port["TargetPort"] = json!(target.parse::<u16>().map_err(|_| invalid())?);
    if let Some(public) = public {
        port["PublishedPort"] = json!(public);
    }
    Ok(port)
}

async fn send(context: &Context, service: &Value, spec: Value, rollback: bool) -> CliResult<()> {
    let options = UpdateService {
        version: u64::try_from(number(service, "/Version/Index")).unwrap_or(0),
        registry_auth_from: Some("spec".to_owned()),
        rollback: rollback.then(|| "previous".to_owned()),
        auth: None,
    };
    let answer =
        value(&context.api.update_service(&text(service, "/ID"), options, serde_json::from_value(spec)?).await?);
    for warning in crate::commands::json::strings(&answer, "/Warnings") {
        context.error_line(warning).await;
    }
    Ok(())
}

/// `docker service update` and `docker service rollback`.
pub(crate) async fn update(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let name = call.argument(0);
    let service = value(&context.api.inspect_service(name, false).await?);
    let mut spec = service.get("Spec").cloned().unwrap_or_default();
    let rollback = flags.is_set("rollback") || call.command.path == "service rollback";
    let mut warning = None;
    if let Some(image) = flags.get("image") {
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = json!(service_flags::image(image));
        if !flags.is_set("no-resolve-image") {
            warning = pin_image(context, &mut spec).await;
        }
    }
    if let Some(replicas) = flags.integer("replicas") {
        if spec.pointer("/Mode/Replicated").is_none() {
            return Err(CliError::new("replicas can only be used with replicated or replicated-job mode"));
        }
        spec["Mode"]["Replicated"]["Replicas"] = json!(replicas);
    }
    if flags.is_set("force") {
        spec["TaskTemplate"]["ForceUpdate"] = json!(number(&spec, "/TaskTemplate/ForceUpdate") + 1);
    }
    if flags.given("args") {
        let words: Vec<&str> = flags.text("args").split_whitespace().collect();
        spec["TaskTemplate"]["ContainerSpec"]["Args"] = json!(words);
    }
    let mut environment = crate::commands::json::strings(&spec, "/TaskTemplate/ContainerSpec/Env");
    let key = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
    for added in flags.list("env-add") {
        environment.retain(|known| key(known) != key(&added));
        environment.push(added);
    }
    environment.retain(|known| !flags.list("env-rm").contains(&key(known)));
    if flags.given("env-add") || flags.given("env-rm") {
        spec["TaskTemplate"]["ContainerSpec"]["Env"] = json!(environment);
    }
    // Removals first: a port that is removed may be added anew.
    service_flags::apply(context, call, &mut spec).await?;
    for given in flags.list("publish-add") {
        let mut ports = list(&spec, "/EndpointSpec/Ports").to_vec();
        ports.push(port(&given)?);
        spec["EndpointSpec"]["Ports"] = json!(ports);
    }
    apply_policies(call, &mut spec);
    let constraints = flags.list("constraint-add");
    if !constraints.is_empty() || flags.given("constraint-rm") {
        let mut all = crate::commands::json::strings(&spec, "/TaskTemplate/Placement/Constraints");
        all.retain(|known| !flags.list("constraint-rm").contains(known));
        all.extend(constraints);
        spec["TaskTemplate"]["Placement"]["Constraints"] = json!(all);
    }
    send(context, &service, spec, rollback).await?;
    if let Some(warning) = warning {
        context.error_line(&warning).await;
    }
    context.line(name).await;
    if flags.is_set("detach") {
        return Ok(0);
    }
    crate::commands::converge::wait(context, &text(&service, "/ID"), flags.is_set("quiet")).await
}

/// `docker service scale a=2 b=3`.
pub(crate) async fn scale(context: &Context, call: &Invocation) -> CliResult {
    let mut failures = Vec::new();
    let mut scaled = Vec::new();
    for argument in &call.arguments {
        let Some((name, count)) = argument.split_once('=') else {
            return Err(CliError::new(format!(
                "invalid scale specifier '{argument}'.\nSee 'docker service scale --help'.\n\nUsage:  docker service scale SERVICE=REPLICAS [SERVICE=REPLICAS...]\n\nScale one or multiple replicated services"
            )));
        };
        let Ok(replicas) = count.parse::<u64>() else {
            failures.push(format!(
                "{name}: invalid replicas value {count}: strconv.ParseUint: parsing {count:?}: invalid syntax"
            ));
            continue;
        };
        let service = match context.api.inspect_service(name, false).await {
            Ok(service) => value(&service),
            Err(error) => {
                failures.push(format!("{name}: {}", crate::error::daemon_message(&error)));
                continue;
            }
        };
        let mut spec = service.get("Spec").cloned().unwrap_or_default();
        if spec.pointer("/Mode/Replicated").is_none() {
            failures.push(format!("{name}: scale can only be used with replicated or replicated-job mode"));
            continue;
        }
        spec["Mode"]["Replicated"]["Replicas"] = json!(replicas);
        send(context, &service, spec, false).await?;
        context.line(format!("{name} scaled to {replicas}")).await;
        scaled.push(text(&service, "/ID"));
    }
    if !call.flags.is_set("detach") {
        for id in scaled {
            crate::commands::converge::wait(context, &id, false).await?;
        }
    }
    crate::commands::joined(failures)
}
