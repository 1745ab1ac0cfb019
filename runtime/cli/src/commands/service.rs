//! `docker service …`: creation, listing, logs, scaling. Changes are in [`super::service_update`].

use std::collections::HashMap;

use docklab_api::{ListServices, Logs, RawRequest, StdStream};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::{
    commands::{
        container::create::{environment, labels},
        converge,
        json::{list, number, strings, text, value},
        mount, objects, service_flags, service_ports, service_update, tasks,
    },
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format::{Listing, Row, natural_order},
};

pub(crate) async fn dispatch(context: &Context, call: &Invocation) -> CliResult {
    match call.command.path {
        "service create" => create(context, call).await,
        "service ls" => ls(context, call).await,
        "service ps" => tasks::ps(context, call).await,
        "service logs" => logs(context, call).await,
        "service scale" => scale(context, call).await,
        "service rollback" => service_update::rollback(context, call).await,
        "service update" => service_update::update(context, call).await,
        _ => {
            context
                .each(&call.arguments, |name| async move {
                    context.api.remove_service(&name).await?;
                    Ok(name)
                })
                .await
        }
    }
}

const SERVICES: &[(&str, &str)] = &[
    ("ID", "ID"),
    ("Name", "NAME"),
    ("Mode", "MODE"),
    ("Replicas", "REPLICAS"),
    ("Image", "IMAGE"),
    ("Ports", "PORTS"),
];

async fn ls(context: &Context, call: &Invocation) -> CliResult {
    let options = ListServices { filters: call.flags.filters(), status: !call.flags.is_set("quiet") };
    let services: Vec<_> = context.api.list_services(options).await?.iter().map(value).collect();
    print(context, call, services).await?;
    Ok(0)
}

/// Prints services as a table, or as `--format` and `--quiet` ask.
pub(crate) async fn print(context: &Context, call: &Invocation, mut services: Vec<Value>) -> CliResult<()> {
    services.sort_by(|one, other| natural_order(&text(one, "/Spec/Name"), &text(other, "/Spec/Name")));
    let rows: Vec<Row> = services.iter().map(row).collect();
    let columns = vec!["ID", "Name", "Mode", "Replicas", "Image", "Ports"];
    let listing = Listing {
        type_name: "*service.serviceContext",
        headers: SERVICES,
        columns,
        quiet: "ID",
        raw: "id: {{.ID}}\nname: {{.Name}}\nmode: {{.Mode}}\nreplicas: {{.Replicas}}\nimage: {{.Image}}\nports: {{.Ports}}\n",
    };
    let format = context.format(call, "servicesFormat");
    context.stdout(listing.render(format, call.flags.is_set("quiet"), &rows)?).await;
    Ok(())
}

fn row(service: &Value) -> Row {
    let has = |mode: &str| service.pointer(&format!("/Spec/Mode/{mode}")).is_some_and(|mode| !mode.is_null());
    let mode = [("Global", "global"), ("ReplicatedJob", "replicated job"), ("GlobalJob", "global job")]
        .into_iter()
        .find(|(key, _)| has(key))
        .map_or("replicated", |(_, name)| name);
    let image = text(service, "/Spec/TaskTemplate/ContainerSpec/Image");
    let status = |key: &str| number(service, &format!("/ServiceStatus/{key}"));
    let most = number(service, "/Spec/TaskTemplate/Placement/MaxReplicas");
    let mut replicas = format!("{}/{}", status("RunningTasks"), status("DesiredTasks"));
    if has("ReplicatedJob") {
        let total = number(service, "/Spec/Mode/ReplicatedJob/TotalCompletions");
        replicas = format!("{replicas} ({}/{total} completed)", status("CompletedTasks"));
    } else if most > 0 && has("Replicated") {
        replicas = format!("{replicas} (max {most} per node)");
    }
    vec![
        ("ID", text(service, "/ID").chars().take(12).collect()),
        ("Name", text(service, "/Spec/Name")),
        ("Mode", mode.to_owned()),
        ("Replicas", replicas),
        ("Image", image.split('@').next().unwrap_or_default().to_owned()),
        ("Ports", ports(list(service, "/Endpoint/Ports"))),
    ]
}

/// Published ports, runs of them folded: `*:8080-8082->80-82/tcp`.
fn ports(list: &[Value]) -> String {
    let mut ports: Vec<(String, i64, i64)> = list
        .iter()
        .filter(|port| text(port, "/PublishMode") != "host")
        .map(|port| (text(port, "/Protocol"), number(port, "/PublishedPort"), number(port, "/TargetPort")))
        .collect();
    ports.sort();
    // First and last published and target port of a run.
    let mut runs: Vec<(String, [i64; 4])> = Vec::new();
    for (protocol, public, target) in ports {
        let last = runs.iter_mut().rev().find(|(known, [_, public_end, _, target_end])| {
            *known == protocol && *public_end + 1 == public && *target_end + 1 == target
        });
        match last {
            Some((_, run)) => (run[1], run[3]) = (public, target),
            None => runs.push((protocol, [public, public, target, target])),
        }
    }
    let range = |first: i64, last: i64| if first == last { first.to_string() } else { format!("{first}-{last}") };
    let shown: Vec<String> = runs
        .iter()
        .map(|(protocol, [first, last, target, target_last])| {
            format!("*:{}->{}/{protocol}", range(*first, *last), range(*target, *target_last))
        })
        .collect();
    shown.join(", ")
}

fn mode(call: &Invocation) -> CliResult<Value> {
    let flags = &call.flags;
    let name = flags.get("mode").unwrap_or("replicated");
    if matches!(name, "global" | "global-job") && flags.given("replicas") {
        return Err(CliError::new("replicas can only be used with replicated or replicated-job mode"));
    }
    if name != "replicated-job" && flags.given("max-concurrent") {
        return Err(CliError::new("max-concurrent can only be used with replicated-job mode"));
    }
    if flags.given("replicas-max-per-node") && matches!(name, "global" | "global-job") {
        return Err(CliError::new("replicas-max-per-node can only be used with replicated or replicated-job mode"));
    }
    Ok(match name {
        "replicated" => match flags.integer("replicas") {
            Some(replicas) => json!({"Replicated": {"Replicas": replicas}}),
            None => json!({"Replicated": {}}),
        },
        "global" => json!({"Global": {}}),
        "replicated-job" => {
            let total = flags.integer("replicas").unwrap_or(1);
            let concurrent = flags.integer("max-concurrent").unwrap_or(total);
            json!({"ReplicatedJob": {"MaxConcurrent": concurrent, "TotalCompletions": total}})
        }
        "global-job" => json!({"GlobalJob": {}}),
        other => return Err(CliError::new(format!("Unknown mode: {other}, only replicated and global supported"))),
    })
}

async fn create(context: &Context, call: &Invocation) -> CliResult {
    let spec = specification(context, call).await?;
    send_new(context, call, spec).await
}

/// What the flags of `service create` make.
async fn specification(context: &Context, call: &Invocation) -> CliResult<Value> {
    let flags = &call.flags;
    let mode = mode(call)?;
    let mut mounts = Vec::new();
    for text in flags.list("mount") {
        let mut parsed = mount::parse(&text).map_err(CliError::new)?;
        mount::absolute(&mut parsed, &context.console.working_directory());
        mounts.push(parsed);
    }
    let mut ports: Vec<Value> = Vec::new();
    for text in flags.list("publish") {
        ports.extend(service_ports::parse(&text).map_err(CliError::new)?);
    }
    let networks = service_flags::networks(context, &flags.list("network")).await?;
    let arguments = call.arguments.get(1..).unwrap_or_default();
    let mut environment = environment(context, call).await?;
    service_flags::last_of_each(&mut environment);
    let mut container = json!({
        "Image": service_flags::image(call.argument(0)), "DNSConfig": {},
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
    service_flags::apply_policies(call, &mut spec);
    service_flags::apply(context, call, &mut spec).await?;
    Ok(spec)
}

/// Creates a service and waits until it has converged, unless detached.
async fn send_new(context: &Context, call: &Invocation, mut spec: Value) -> CliResult {
    let flags = &call.flags;
    let warning =
        if flags.is_set("no-resolve-image") { None } else { service_flags::pin_image(context, &mut spec).await };
    let auth = if flags.is_set("with-registry-auth") { registry_auth(context, &spec).await } else { None };
    let mut request = RawRequest::post("/services/create").body(spec.clone());
    if flags.is_set("with-registry-auth") {
        request.auth = Some(auth.clone());
    }
    let answer = match context.raw(request).await {
        Some(answer) => answer?,
        None => value(&context.api.create_service(serde_json::from_value(spec)?, auth).await?),
    };
    if let Some(warning) = warning {
        context.error_line(&warning).await;
    }
    for warning in strings(&answer, "/Warnings") {
        context.error_line(warning).await;
    }
    let id = text(&answer, "/ID");
    context.line(&id).await;
    if flags.is_set("detach") { Ok(0) } else { converge::wait(context, &id, flags.is_set("quiet")).await }
}

/// Credentials of the registry that a service's image comes from.
pub(crate) async fn registry_auth(context: &Context, spec: &Value) -> Option<docklab_api::models::AuthConfig> {
    let image = text(spec, "/TaskTemplate/ContainerSpec/Image");
    let reference = docklab_api::Reference::parse(&image).ok()?;
    crate::commands::image::credentials(context, &reference.domain).await
}

/// `docker service scale a=2 b=3`.
async fn scale(context: &Context, call: &Invocation) -> CliResult {
    for argument in &call.arguments {
        if !argument.contains('=') {
            return Err(CliError::new(format!(
                "invalid scale specifier '{argument}'.\nSee 'docker service scale --help'.\n\nUsage:  docker service scale SERVICE=REPLICAS [SERVICE=REPLICAS...]\n\nScale one or multiple replicated services"
            )));
        }
    }
    let mut failures = Vec::new();
    let mut scaled = Vec::new();
    for argument in &call.arguments {
        let (name, count) = argument.split_once('=').unwrap_or((argument, ""));
        match scale_one(context, name, count).await {
            Ok(id) => {
                context.line(format!("{name} scaled to {count}")).await;
                scaled.push(id);
            }
            Err(error) => failures.push(format!("{name}: {}", error.message)),
        }
    }
    if !call.flags.is_set("detach") {
        for id in scaled {
            if let Err(error) = converge::wait(context, &id, false).await {
                failures.push(format!("{id}: {}", error.message));
            }
        }
    }
    crate::commands::joined(failures)
}

async fn scale_one(context: &Context, name: &str, count: &str) -> CliResult<String> {
    let replicas = count.parse::<u64>().map_err(|error| {
        let reason = match error.kind() {
            std::num::IntErrorKind::PosOverflow => "value out of range",
            _ => "invalid syntax",
        };
        CliError::new(format!("invalid replicas value {count}: strconv.ParseUint: parsing {count:?}: {reason}"))
    })?;
    let service = objects::service(context, name).await?;
    let mut spec = service.get("Spec").cloned().unwrap_or_default();
    if spec.pointer("/Mode/Replicated").is_some_and(|mode| !mode.is_null()) {
        spec["Mode"]["Replicated"]["Replicas"] = json!(replicas);
    } else if spec.pointer("/Mode/ReplicatedJob").is_some_and(|mode| !mode.is_null()) {
        spec["Mode"]["ReplicatedJob"]["TotalCompletions"] = json!(replicas);
    } else {
        return Err(CliError::new("scale can only be used with replicated or replicated-job mode"));
    }
    service_update::send(context, &service, spec, &service_update::Sending::default()).await?;
    Ok(text(&service, "/ID"))
}

/// How the lines of a service's log are marked.
struct Marks<'a> {
    context: &'a Context,
    call: &'a Invocation,
    known: HashMap<String, String>,
    /// Width that prefixes are padded to.
    width: usize,
}

impl Marks<'_> {
    /// `web.1.t1s6i8hm2z3x@node1`, with what flags leave out of it.
    async fn prefix(&mut self, task: &str, node: &str) -> CliResult<String> {
        if let Some(known) = self.known.get(task) {
            return Ok(known.clone());
        }
        let flags = &self.call.flags;
        let resolve = !flags.is_set("no-resolve");
        let found = value(&self.context.api.inspect_task(task).await?);
        let service = text(&found, "/ServiceID");
        let service = if resolve {
            self.context
                .api
                .inspect_service(&service, false)
                .await
                .map_or(service, |found| text(&value(&found), "/Spec/Name"))
        } else {
            service
        };
        let host = if resolve {
            let node = self.context.api.inspect_node(node).await;
            node.map_or_else(|_| String::new(), |node| text(&value(&node), "/Description/Hostname"))
        } else {
            String::new()
        };
        let host = if host.is_empty() { node.to_owned() } else { host };
        let mut name = match number(&found, "/Slot") {
            0 => format!("{service}.{}", text(&found, "/NodeID")),
            slot => format!("{service}.{slot}"),
        };
        if !flags.is_set("no-task-ids") {
            let id = if flags.is_set("no-trunc") { task.to_owned() } else { task.chars().take(12).collect() };
            name = format!("{name}.{id}");
        }
        let prefix = format!("{name}@{host}");
        self.known.insert(task.to_owned(), prefix.clone());
        Ok(prefix)
    }
}

/// Lines of all tasks of a service, or of one task, each behind its task and node.
async fn logs(context: &Context, call: &Invocation) -> CliResult {
    let name = call.argument(0);
    let mut options: Logs = super::container::show::log_options(context, call)?;
    // The engine's details say which task a line is of.
    options.details = true;
    let (output, tty, most) = match context.api.inspect_service(name, false).await.map(|service| value(&service)) {
        Ok(service) => {
            let tty = service.pointer("/Spec/TaskTemplate/ContainerSpec/TTY") == Some(&Value::Bool(true));
            let replicas = match number(&service, "/Spec/Mode/Replicated/Replicas") {
                0 => 1,
                replicas => replicas,
            };
            (context.api.service_logs(name, options).await?, tty, replicas)
        }
        Err(error) if error.is_not_found() => {
            let task = match context.api.inspect_task(name).await {
                Err(error) if error.is_not_found() => {
                    return Err(CliError::new(format!("no such task or service: {name}")));
                }
                other => value(&other?),
            };
            let tty = task.pointer("/Spec/ContainerSpec/TTY") == Some(&Value::Bool(true));
            (context.api.task_logs(name, options).await?, tty, number(&task, "/Slot").max(1))
        }
        Err(error) => return Err(error.into()),
    };
    if tty && !call.flags.is_set("raw") {
        return Err(CliError::new("tty service logs only supported with --raw"));
    }
    let width = most.to_string().len();
    let mut marks = Marks { context, call, known: HashMap::new(), width };
    let mut output = output;
    while let Some(chunk) = output.next().await {
        let chunk = chunk?;
        for line in String::from_utf8_lossy(&chunk.bytes).split_inclusive('\n') {
            let text = if call.flags.is_set("raw") { plain(call, line) } else { marked(&mut marks, line).await? };
            match chunk.stream {
                StdStream::Stderr => context.stderr(text).await,
                _ => context.stdout(text).await,
            }
        }
    }
    Ok(0)
}

/// A line's time (empty when not asked for), details and message.
fn split<'a>(call: &Invocation, line: &'a str) -> (&'a str, &'a str, &'a str) {
    let (time, rest) =
        if call.flags.is_set("timestamps") { line.split_once(' ').unwrap_or(("", line)) } else { ("", line) };
    let (details, message) = rest.split_once(' ').unwrap_or((rest, ""));
    (time, details, message)
}

fn is_context(pair: &str) -> bool {
    ["node.id=", "service.id=", "task.id="]
        .iter()
        .any(|key| pair.strip_prefix("com.docker.swarm.").is_some_and(|rest| rest.starts_with(key)))
}

fn plain(call: &Invocation, line: &str) -> String {
    let (time, details, message) = split(call, line);
    let time = if time.is_empty() { String::new() } else { format!("{time} ") };
    let details = if call.flags.is_set("details") { format!("{details} ") } else { String::new() };
    format!("{time}{details}{message}")
}

async fn marked(marks: &mut Marks<'_>, line: &str) -> CliResult<String> {
    let call = marks.call;
    let (time, details, message) = split(call, line);
    let detail = |key: &str| {
        let prefix = format!("com.docker.swarm.{key}=");
        details.split(',').find_map(|pair| pair.strip_prefix(&prefix).map(ToOwned::to_owned))
    };
    let (Some(node), Some(task)) = (detail("node.id"), detail("task.id")) else {
        return Err(CliError::new("missing node id in details"));
    };
    let prefix = marks.prefix(&task, &node).await?;
    // Room for the largest slot number, so that the bars stand in one column.
    let padding = marks.width + 3;
    let time = if time.is_empty() { String::new() } else { format!("{time} ") };
    let others: Vec<&str> = details.split(',').filter(|pair| !is_context(pair)).collect();
    let details = if call.flags.is_set("details") { format!("{} ", others.join(",")) } else { String::new() };
    Ok(format!("{time}{prefix}{}| {details}{message}", " ".repeat(padding)))
}
