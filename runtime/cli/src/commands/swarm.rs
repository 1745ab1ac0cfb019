//! The commands of a swarm: init, join, nodes. See also [`super::tasks`].

use serde_json::json;

use crate::{
    commands::{
        json::{boolean, number, text, value},
        tasks,
    },
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format::{Listing, Row},
};

pub(crate) async fn dispatch(context: &Context, call: &Invocation) -> CliResult {
    match call.command.path {
        "swarm init" => init(context, call).await,
        "swarm join" => join(context, call).await,
        "swarm join-token" => join_token(context, call).await,
        "swarm leave" => {
            context.api.leave_swarm(call.flags.is_set("force")).await?;
            context.line("Node left the swarm.").await;
            Ok(0)
        }
        "swarm unlock-key" => {
            let key = text(&value(&context.api.swarm_unlock_key().await?), "/UnlockKey");
            if call.flags.is_set("quiet") {
                context.line(key).await;
                return Ok(0);
            }
            if key.is_empty() {
                return Err(CliError::new("no unlock key is set"));
            }
            context
                .line(format!(
                    "To unlock a swarm manager after it restarts, run the `docker swarm unlock`\ncommand and provide the following key:\n\n    {key}\n\nRemember to store this key in a password manager, since without it you\nwill not be able to restart the manager."
                ))
                .await;
            Ok(0)
        }
        "swarm unlock" => {
            context.stdout("Enter unlock key: ").await;
            let key = crate::commands::input::read_line(context.console.as_ref()).await;
            context.api.unlock_swarm(key).await?;
            Ok(0)
        }
        "service logs" => {
            let options = super::container::show::log_options(context, call);
            service_logs(context, call, options).await
        }
        "node ls" => node_ls(context, call).await,
        "node rm" => {
            let force = call.flags.is_set("force");
            context
                .each(&call.arguments, |name| async move {
                    context.api.remove_node(&name, force).await?;
                    Ok(name)
                })
                .await
        }
        "node update" | "node promote" | "node demote" => node_update(context, call).await,
        "service create" => tasks::create(context, call).await,
        "service update" | "service rollback" => tasks::update(context, call).await,
        "service scale" => tasks::scale(context, call).await,
        "service ps" | "node ps" => tasks::ps(context, call).await,
        "service ls" => service_ls(context, call).await,
        "service rm" => {
            context
                .each(&call.arguments, |name| async move {
                    context.api.remove_service(&name).await?;
                    Ok(name)
                })
                .await
        }
        path => Err(CliError::new(format!("docker: '{}' is not implemented by this client yet ({path})", call.path))),
    }
}

async fn init(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let body = serde_json::from_value(json!({
        "ListenAddr": flags.get("listen-addr").unwrap_or("0.0.0.0:2377"), "AdvertiseAddr": flags.text("advertise-addr"),
        "DataPathAddr": flags.text("data-path-addr"), "DataPathPort": flags.integer("data-path-port").unwrap_or(0),
        "ForceNewCluster": flags.is_set("force-new-cluster"), "SubnetSize": 24,
        "Spec": {"EncryptionConfig": {"AutoLockManagers": flags.is_set("autolock")}},
    }))?;
    let node = context.api.init_swarm(body).await?;
    context.line(format!("Swarm initialized: current node ({node}) is now a manager.\n")).await;
    print_join_command(context, &node, true).await?;
    context
        .line("To add a manager to this swarm, run 'docker swarm join-token manager' and follow the instructions.")
        .await;
    Ok(0)
}

async fn print_join_command(context: &Context, node: &str, worker: bool) -> CliResult<()> {
    let node = value(&context.api.inspect_node(node).await?);
    let swarm = value(&context.api.inspect_swarm().await?);
    let address = text(&node, "/ManagerStatus/Addr");
    let (role, token) = if worker {
        ("worker", text(&swarm, "/JoinTokens/Worker"))
    } else {
        ("manager", text(&swarm, "/JoinTokens/Manager"))
    };
    context
        .line(format!(
            "To add a {role} to this swarm, run the following command:\n\n    docker swarm join --token {token} {address}\n"
        ))
        .await;
    Ok(())
}

async fn join(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let body = serde_json::from_value(json!({
        "ListenAddr": flags.get("listen-addr").unwrap_or("0.0.0.0:2377"), "AdvertiseAddr": flags.text("advertise-addr"),
        "DataPathAddr": flags.text("data-path-addr"), "RemoteAddrs": [call.argument(0)], "JoinToken": flags.text("token"),
    }))?;
    context.api.join_swarm(body).await?;
    let info = value(&context.api.info().await?);
    let role = if boolean(&info, "/Swarm/ControlAvailable") { "manager" } else { "worker" };
    context.line(format!("This node joined a swarm as a {role}.")).await;
    Ok(0)
}

async fn join_token(context: &Context, call: &Invocation) -> CliResult {
    let worker = match call.argument(0) {
        "worker" => true,
        "manager" => false,
        other => return Err(CliError::new(format!("unknown role {other}"))),
    };
    let swarm = context.api.inspect_swarm().await?;
    let quiet = call.flags.is_set("quiet");
    if call.flags.is_set("rotate") {
        let swarm = value(&swarm);
        let options = docklab_api::UpdateSwarm {
            version: u64::try_from(number(&swarm, "/Version/Index")).unwrap_or(0),
            rotate_worker_token: worker,
            rotate_manager_token: !worker,
            rotate_manager_unlock_key: false,
        };
        let spec = serde_json::from_value(swarm.get("Spec").cloned().unwrap_or_else(|| json!({})))?;
        context.api.update_swarm(options, spec).await?;
        if !quiet {
            context.line(format!("Successfully rotated {} join token.\n", call.argument(0))).await;
        }
    }
    if quiet {
        let swarm = value(&context.api.inspect_swarm().await?);
        context.line(text(&swarm, if worker { "/JoinTokens/Worker" } else { "/JoinTokens/Manager" })).await;
        return Ok(0);
    }
    let info = value(&context.api.info().await?);
    print_join_command(context, &text(&info, "/Swarm/NodeID"), worker).await?;
    Ok(0)
}

const NODES: &[(&str, &str)] = &[
    ("ID", "ID"),
    ("Self", ""),
    ("Hostname", "HOSTNAME"),
    ("Status", "STATUS"),
    ("Availability", "AVAILABILITY"),
    ("ManagerStatus", "MANAGER STATUS"),
    ("EngineVersion", "ENGINE VERSION"),
    ("TLSStatus", "TLS STATUS"),
    ("Row", "ID"),
];

/// Go's `strings.Title` of one lower-case word.
pub(crate) fn title(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

async fn node_ls(context: &Context, call: &Invocation) -> CliResult {
    let mut nodes: Vec<_> = context.api.list_nodes(call.flags.filters()).await?.iter().map(value).collect();
    let own = text(&value(&context.api.info().await?), "/Swarm/NodeID");
    nodes.sort_by_key(|node| text(node, "/Description/Hostname"));
    let plain = call.flags.given("format") || call.flags.is_set("quiet");
    let rows: Vec<Row> = nodes
        .iter()
        .map(|node| {
            let id = text(node, "/ID");
            let current = id == own;
            let manager = if boolean(node, "/ManagerStatus/Leader") {
                "Leader".to_owned()
            } else {
                title(&text(node, "/ManagerStatus/Reachability"))
            };
            vec![
                ("Row", format!("{id} {}", if current { "*" } else { " " })),
                ("ID", id),
                ("Self", current.to_string()),
                ("Hostname", text(node, "/Description/Hostname")),
                ("Status", title(&text(node, "/Status/State"))),
                ("Availability", title(&text(node, "/Spec/Availability"))),
                ("ManagerStatus", manager),
                ("EngineVersion", text(node, "/Description/Engine/EngineVersion")),
                ("TLSStatus", "Ready".to_owned()),
            ]
        })
        .collect();
    let first = if plain { "ID" } else { "Row" };
    let columns = vec![first, "Hostname", "Status", "Availability", "ManagerStatus", "EngineVersion"];
    let listing = Listing { headers: NODES, columns, quiet: "ID" };
    context.stdout(listing.render(call.flags.text("format"), call.flags.is_set("quiet"), &rows)?).await;
    Ok(0)
}

async fn node_update(context: &Context, call: &Invocation) -> CliResult {
    let role = match call.command.path {
        "node promote" => Some("manager"),
        "node demote" => Some("worker"),
        _ => call.flags.get("role"),
    };
    for name in &call.arguments {
        let node = value(&context.api.inspect_node(name).await?);
        let id = text(&node, "/ID");
        let mut spec = node.get("Spec").cloned().unwrap_or_else(|| json!({}));
        if call.command.path != "node update" && role == Some(text(&spec, "/Role").as_str()) {
            context.line(format!("Node {name} is already a {}.", role.unwrap_or_default())).await;
            continue;
        }
        if let Some(role) = role {
            spec["Role"] = json!(role);
        }
        if let Some(availability) = call.flags.get("availability") {
            spec["Availability"] = json!(availability);
        }
        if !spec["Labels"].is_object() {
            spec["Labels"] = json!({});
        }
        for label in call.flags.list("label-add") {
            let (key, text) = label.split_once('=').unwrap_or((&label, ""));
            spec["Labels"][key] = json!(text);
        }
        for key in call.flags.list("label-rm") {
            let removed = spec["Labels"].as_object_mut().and_then(|labels| labels.remove(&key));
            if removed.is_none() {
                return Err(CliError::new(format!("key {key} doesn't exist in node's labels")));
            }
        }
        let version = u64::try_from(number(&node, "/Version/Index")).unwrap_or(0);
        context.api.update_node(&id, version, serde_json::from_value(spec)?).await?;
        match call.command.path {
            "node promote" => context.line(format!("Node {name} promoted to a manager in the swarm.")).await,
            "node demote" => context.line(format!("Manager {name} demoted in the swarm.")).await,
            _ => context.line(name).await,
        }
    }
    Ok(0)
}

const SERVICES: &[(&str, &str)] = &[
    ("ID", "ID"),
    ("Name", "NAME"),
    ("Mode", "MODE"),
    ("Replicas", "REPLICAS"),
    ("Image", "IMAGE"),
    ("Ports", "PORTS"),
];

async fn service_ls(context: &Context, call: &Invocation) -> CliResult {
    let options = docklab_api::ListServices { filters: call.flags.filters(), status: true };
    let mut services: Vec<_> = context.api.list_services(options).await?.iter().map(value).collect();
    services.sort_by_key(|service| text(service, "/Spec/Name"));
    let rows: Vec<Row> = services
        .iter()
        .map(|service| {
            let mode = if service.pointer("/Spec/Mode/Global").is_some() { "global" } else { "replicated" };
            let ports: Vec<String> = crate::commands::json::list(service, "/Endpoint/Ports")
                .iter()
                .filter(|port| text(port, "/PublishMode") != "host")
                .map(|port| {
                    let (public, target) = (number(port, "/PublishedPort"), number(port, "/TargetPort"));
                    format!("*:{public}->{target}/{}", text(port, "/Protocol"))
                })
                .collect();
            let image = text(service, "/Spec/TaskTemplate/ContainerSpec/Image");
            let (running, desired) =
                (number(service, "/ServiceStatus/RunningTasks"), number(service, "/ServiceStatus/DesiredTasks"));
            let most = number(service, "/Spec/TaskTemplate/Placement/MaxReplicas");
            let replicas = format!("{running}/{desired}");
            vec![
                ("ID", text(service, "/ID").chars().take(12).collect()),
                ("Name", text(service, "/Spec/Name")),
                ("Mode", mode.to_owned()),
                ("Replicas", if most > 0 { format!("{replicas} (max {most} per node)") } else { replicas }),
                ("Image", image.split('@').next().unwrap_or_default().to_owned()),
                ("Ports", ports.join(", ")),
            ]
        })
        .collect();
    let columns = vec!["ID", "Name", "Mode", "Replicas", "Image", "Ports"];
    let listing = Listing { headers: SERVICES, columns, quiet: "ID" };
    context.stdout(listing.render(call.flags.text("format"), call.flags.is_set("quiet"), &rows)?).await;
    Ok(0)
}

/// Lines of all tasks, each behind its task and node: `web.1.t1s6i8hm2z3x@n1    | line`.
async fn service_logs(context: &Context, call: &Invocation, mut options: docklab_api::Logs) -> CliResult {
    use futures::StreamExt;
    let name = call.argument(0);
    let service = match context.api.inspect_service(name, false).await {
        Err(error) if error.is_not_found() => return Err(CliError::new(format!("no such task or service: {name}"))),
        other => value(&other?),
    };
    let service = text(&service, "/Spec/Name");
    options.details = true;
    let mut output = context.api.service_logs(name, options).await?;
    let mut names = std::collections::HashMap::new();
    while let Some(chunk) = output.next().await {
        let chunk = chunk?;
        for line in String::from_utf8_lossy(&chunk.bytes).split_inclusive('\n') {
            let (time, rest) =
                if call.flags.is_set("timestamps") { line.split_once(' ').unwrap_or(("", line)) } else { ("", line) };
            let (details, message) = rest.split_once(' ').unwrap_or((rest, ""));
            let detail = |key: &str| {
                let prefix = format!("com.docker.swarm.{key}=");
                details.split(',').find_map(|pair| pair.strip_prefix(&prefix).map(ToOwned::to_owned))
            };
            let (Some(node), Some(task)) = (detail("node.id"), detail("task.id")) else {
                return Err(CliError::new("missing node id in details"));
            };
            if !names.contains_key(&task) {
                let slot = context.api.inspect_task(&task).await.map_or(0, |task| number(&value(&task), "/Slot"));
                let host =
                    context.api.inspect_node(&node).await.map(|node| text(&value(&node), "/Description/Hostname"));
                let short: String = task.chars().take(12).collect();
                names.insert(task.clone(), format!("{service}.{slot}.{short}@{}", host.unwrap_or(node)));
            }
            let prefix = names.get(&task).cloned().unwrap_or_default();
            let time = if time.is_empty() { String::new() } else { format!("{time} ") };
            let text = if call.flags.is_set("raw") {
                format!("{time}{message}")
            } else {
                format!("{time}{prefix}    | {message}")
            };
            match chunk.stream {
                docklab_api::StdStream::Stderr => context.stderr(text).await,
                _ => context.stdout(text).await,
            }
        }
    }
    Ok(0)
}
