//! From a Compose file's services and networks to the API's specifications.

use serde_json::{Map, Value, json};

use super::{NAMESPACE, compose::nanoseconds};
use crate::{
    commands::{
        container::{create::restart, limits},
        json::{list, text},
        service_files,
    },
    context::Context,
    error::{CliError, CliResult},
    grammar::parse_cpus,
};

/// A network's name in the swarm: its own, or the stack's before it.
pub(crate) fn network_name(stack: &str, name: &str, network: &Value) -> String {
    object_name(stack, name, network)
}

/// `NAME` where the file gives one, else `STACK_KEY`.
pub(crate) fn object_name(stack: &str, key: &str, object: &Value) -> String {
    match text(object, "/name") {
        name if name.is_empty() => format!("{stack}_{key}"),
        name => name,
    }
}

fn with_namespace(stack: &str, labels: Option<&Value>) -> Value {
    let mut all: Map<String, Value> = labels.and_then(Value::as_object).cloned().unwrap_or_default();
    for (_, value) in &mut all {
        if value.is_null() {
            *value = json!("");
        }
    }
    all.insert(NAMESPACE.to_owned(), json!(stack));
    Value::Object(all)
}

/// The body that creates a network.
pub(crate) fn network(stack: &str, full: &str, network: &Value) -> Value {
    let driver = match text(network, "/driver") {
        driver if driver.is_empty() => "overlay".to_owned(),
        driver => driver,
    };
    let mut body = json!({
        "Name": full, "Driver": driver, "Labels": with_namespace(stack, network.get("labels")),
        "Internal": network["internal"] == json!(true), "Attachable": network["attachable"] == json!(true),
    });
    if let Some(options) = network.get("driver_opts") {
        body["Options"] = options.clone();
    }
    if let Some(ipam) = network.get("ipam") {
        let pools: Vec<Value> =
            list(ipam, "/config").iter().map(|pool| json!({"Subnet": text(pool, "/subnet")})).collect();
        let driver = text(ipam, "/driver");
        body["IPAM"] =
            json!({"Driver": if driver.is_empty() { "default".to_owned() } else { driver }, "Config": pools});
    }
    body
}

/// The specification of a service.
pub(crate) async fn service(
    context: &Context,
    stack: &str,
    name: &str,
    service: &Value,
    file: &Value,
) -> CliResult<Value> {
    let place = |error: CliError| CliError::new(format!("service {name}: {}", error.message));
    let image = text(service, "/image");
    let mut labels = with_namespace(stack, service.pointer("/deploy/labels"));
    labels["com.docker.stack.image"] = json!(image);
    let mut container = container(stack, service).map_err(place)?;
    container["Image"] = json!(image);
    let mounts: Vec<Value> = list(service, "/volumes").iter().map(|volume| mount(stack, volume, file)).collect();
    if !mounts.is_empty() {
        container["Mounts"] = json!(mounts);
    }
    for (kind, section, key, id_key, name_key) in [
        ("secret", "secrets", "Secrets", "SecretID", "SecretName"),
        ("config", "configs", "Configs", "ConfigID", "ConfigName"),
    ] {
        let mut all = Vec::new();
        for reference in list(service, &format!("/{section}")) {
            let source = text(reference, "/source");
            let Some(object) = file.get(section).and_then(|objects| objects.get(&source)) else {
                return Err(CliError::new(format!("service {name}: undefined {kind} {source:?}")));
            };
            let full = object_name(stack, &source, object);
            let target = match text(reference, "/target") {
                target if target.is_empty() && kind == "config" => format!("/{source}"),
                target if target.is_empty() => source.clone(),
                target => target,
            };
            let or_root = |text: String| if text.is_empty() { "0".to_owned() } else { text };
            let mode = reference.get("mode").and_then(Value::as_i64).unwrap_or(0o444);
            let id = service_files::identify(context, kind, &full).await.map_err(place)?;
            all.push(json!({
                "File": {
                    "Name": target, "UID": or_root(text(reference, "/uid")), "GID": or_root(text(reference, "/gid")),
                    "Mode": mode,
                },
                id_key: id, name_key: full,
            }));
        }
        if !all.is_empty() {
            container[key] = json!(all);
        }
    }
    let mut task = json!({"ContainerSpec": container, "Networks": attachments(stack, name, service, file)});
    policies(service, &mut task).map_err(place)?;
    let mut spec = json!({
        "Name": format!("{stack}_{name}"), "Labels": labels, "TaskTemplate": task, "Mode": mode(name, service)?,
        "EndpointSpec": endpoint(service),
    });
    for (section, key) in [("update_config", "UpdateConfig"), ("rollback_config", "RollbackConfig")] {
        if let Some(config) = service.pointer(&format!("/deploy/{section}")) {
            spec[key] = update(config).map_err(place)?;
        }
    }
    Ok(spec)
}

fn mode(name: &str, service: &Value) -> CliResult<Value> {
    let replicas = service.pointer("/deploy/replicas").and_then(Value::as_u64);
    match text(service, "/deploy/mode").as_str() {
        "global" if replicas.is_some() => Err(CliError::new("replicas can only be used with replicated mode")),
        "global" => Ok(json!({"Global": {}})),
        "" | "replicated" => Ok(match replicas {
            Some(replicas) => json!({"Replicated": {"Replicas": replicas}}),
            None => json!({"Replicated": {}}),
        }),
        "replicated-job" => {
            let total = replicas.unwrap_or(1);
            Ok(json!({"ReplicatedJob": {"MaxConcurrent": total, "TotalCompletions": total}}))
        }
        "global-job" => Ok(json!({"GlobalJob": {}})),
        other => Err(CliError::new(format!("service {name}: Unknown mode: {other}"))),
    }
}

fn endpoint(service: &Value) -> Value {
    let mut endpoint = json!({});
    let mode = text(service, "/deploy/endpoint_mode");
    if !mode.is_empty() {
        endpoint["Mode"] = json!(mode);
    }
    let mut ports: Vec<Value> = list(service, "/ports")
        .iter()
        .map(|port| {
            let or = |key: &str, other: &str| match text(port, key) {
                given if given.is_empty() => other.to_owned(),
                given => given,
            };
            let number = |key: &str| match &port[key] {
                Value::String(text) => text.parse().unwrap_or(0),
                other => other.as_i64().unwrap_or(0),
            };
            let mut shown = json!({
                "Protocol": or("/protocol", "tcp"), "TargetPort": number("target"),
                "PublishMode": or("/mode", "ingress"),
            });
            if number("published") != 0 {
                shown["PublishedPort"] = json!(number("published"));
            }
            shown
        })
        .collect();
    ports.sort_by_key(|port| port["PublishedPort"].as_i64().unwrap_or(0));
    if !ports.is_empty() {
        endpoint["Ports"] = json!(ports);
    }
    endpoint
}

fn attachments(stack: &str, name: &str, service: &Value, file: &Value) -> Vec<Value> {
    let own = service.get("networks").and_then(Value::as_object).filter(|networks| !networks.is_empty());
    let default = Map::from_iter([("default".to_owned(), Value::Null)]);
    let settings = |key: &str| file.get("networks").and_then(|networks| networks.get(key)).cloned().unwrap_or_default();
    let mut all: Vec<Value> = own
        .unwrap_or(&default)
        .iter()
        .map(|(key, given)| {
            let mut aliases: Vec<Value> = list(given, "/aliases").to_vec();
            aliases.push(json!(name));
            json!({"Target": network_name(stack, key, &settings(key)), "Aliases": aliases})
        })
        .collect();
    all.sort_by_key(|network| text(network, "/Target"));
    all
}

fn container(stack: &str, service: &Value) -> CliResult<Value> {
    let mut container = json!({"Labels": with_namespace(stack, service.get("labels"))});
    for (key, field) in [
        ("command", "Args"),
        ("entrypoint", "Command"),
        ("hostname", "Hostname"),
        ("user", "User"),
        ("working_dir", "Dir"),
        ("stop_signal", "StopSignal"),
        ("tty", "TTY"),
        ("stdin_open", "OpenStdin"),
        ("read_only", "ReadOnly"),
        ("init", "Init"),
        ("isolation", "Isolation"),
        ("oom_score_adj", "OomScoreAdj"),
    ] {
        if let Some(given) = service.get(key).filter(|given| !given.is_null()) {
            container[field] = given.clone();
        }
    }
    let mut environment: Vec<String> = service
        .get("environment")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| value.as_str().map_or_else(|| key.clone(), |value| format!("{key}={value}")))
        .collect();
    environment.sort();
    if !environment.is_empty() {
        container["Env"] = json!(environment);
    }
    let hosts: Vec<String> = list(service, "/extra_hosts")
        .iter()
        .filter_map(Value::as_str)
        .filter_map(|host| host.split_once(['=', ':']).map(|(name, address)| format!("{address} {name}")))
        .collect();
    if !hosts.is_empty() {
        container["Hosts"] = json!(hosts);
    }
    if service.get("dns").is_some() || service.get("dns_search").is_some() {
        container["DNSConfig"] = json!({"Nameservers": list(service, "/dns"), "Search": list(service, "/dns_search")});
    }
    if let Some(period) = service.get("stop_grace_period") {
        container["StopGracePeriod"] = json!(nanoseconds(period)?);
    }
    for (key, field) in [("cap_add", "CapabilityAdd"), ("cap_drop", "CapabilityDrop")] {
        let names: Vec<String> =
            list(service, &format!("/{key}")).iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect();
        if !names.is_empty() {
            container[field] = json!(limits::capabilities(&names));
        }
    }
    if let Some(sysctls) = service.get("sysctls") {
        container["Sysctls"] = sysctls.clone();
    }
    let ulimits: Vec<Value> = service
        .get("ulimits")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, limit)| match limit.as_i64() {
            Some(both) => json!({"Name": name, "Soft": both, "Hard": both}),
            None => json!({"Name": name, "Soft": limit["soft"], "Hard": limit["hard"]}),
        })
        .collect();
    if !ulimits.is_empty() {
        container["Ulimits"] = json!(ulimits);
    }
    if let Some(check) = service.get("healthcheck") {
        container["Healthcheck"] = health(check)?;
    }
    Ok(container)
}

fn health(check: &Value) -> CliResult<Value> {
    if check["disable"] == json!(true) {
        if check.get("test").is_some() {
            return Err(CliError::new("test and disable can't be set at the same time"));
        }
        return Ok(json!({"Test": ["NONE"]}));
    }
    let mut health = json!({});
    if let Some(test) = check.get("test") {
        health["Test"] = test.clone();
    }
    for (key, field) in [
        ("interval", "Interval"),
        ("timeout", "Timeout"),
        ("start_period", "StartPeriod"),
        ("start_interval", "StartInterval"),
    ] {
        if let Some(given) = check.get(key) {
            health[field] = json!(nanoseconds(given)?);
        }
    }
    if let Some(retries) = check.get("retries") {
        health["Retries"] = retries.clone();
    }
    Ok(health)
}

/// Resources, restarts, placement and logging of a task.
fn policies(service: &Value, task: &mut Value) -> CliResult<()> {
    for (section, field) in [("limits", "Limits"), ("reservations", "Reservations")] {
        let Some(given) = service.pointer(&format!("/deploy/resources/{section}")) else { continue };
        let mut resources = json!({});
        if let Some(cpus) = given.get("cpus") {
            let text = cpus.as_str().map_or_else(|| cpus.to_string(), ToOwned::to_owned);
            resources["NanoCPUs"] = json!(parse_cpus(&text).map_err(CliError::new)?);
        }
        if let Some(bytes) = given.get("memory").and_then(Value::as_str).and_then(|text| text.parse::<i64>().ok()) {
            resources["MemoryBytes"] = json!(bytes);
        }
        if let Some(pids) = given.get("pids") {
            resources["Pids"] = pids.clone();
        }
        task["Resources"][field] = resources;
    }
    if let Some(policy) = service.pointer("/deploy/restart_policy") {
        let mut shown = json!({});
        let condition = text(policy, "/condition");
        if !condition.is_empty() {
            shown["Condition"] = json!(condition);
        }
        for (key, field) in [("delay", "Delay"), ("window", "Window")] {
            if let Some(given) = policy.get(key) {
                shown[field] = json!(nanoseconds(given)?);
            }
        }
        if let Some(most) = policy.get("max_attempts") {
            shown["MaxAttempts"] = most.clone();
        }
        task["RestartPolicy"] = shown;
    } else if let Some(old) = service.get("restart").and_then(Value::as_str) {
        let policy = restart(old)?;
        match text(&policy, "/Name").as_str() {
            "always" | "unless-stopped" => task["RestartPolicy"] = json!({"Condition": "any"}),
            "on-failure" => {
                task["RestartPolicy"] =
                    json!({"Condition": "on-failure", "MaxAttempts": policy["MaximumRetryCount"].clone()});
            }
            _ => {}
        }
    }
    if let Some(placement) = service.pointer("/deploy/placement") {
        let preferences: Vec<Value> = list(placement, "/preferences")
            .iter()
            .map(|preference| json!({"Spread": {"SpreadDescriptor": text(preference, "/spread")}}))
            .collect();
        task["Placement"] = json!({"Constraints": list(placement, "/constraints"), "Preferences": preferences});
        if let Some(most) = placement.get("max_replicas_per_node") {
            task["Placement"]["MaxReplicas"] = most.clone();
        }
    }
    if let Some(logging) = service.get("logging") {
        task["LogDriver"] = json!({"Name": text(logging, "/driver"), "Options": logging.get("options").cloned().unwrap_or_else(|| json!({}))});
    }
    Ok(())
}

fn update(config: &Value) -> CliResult<Value> {
    let mut shown = json!({"Parallelism": config.get("parallelism").cloned().unwrap_or_else(|| json!(1))});
    for (key, field) in [("delay", "Delay"), ("monitor", "Monitor")] {
        if let Some(given) = config.get(key) {
            shown[field] = json!(nanoseconds(given)?);
        }
    }
    for (key, field) in
        [("failure_action", "FailureAction"), ("max_failure_ratio", "MaxFailureRatio"), ("order", "Order")]
    {
        if let Some(given) = config.get(key) {
            shown[field] = given.clone();
        }
    }
    Ok(shown)
}

/// A service's mount; a named volume of the file brings its driver and labels.
fn mount(stack: &str, volume: &Value, file: &Value) -> Value {
    let kind = text(volume, "/type");
    let mut mount = json!({"Type": kind, "Target": text(volume, "/target")});
    if volume["read_only"] == json!(true) {
        mount["ReadOnly"] = json!(true);
    }
    let source = text(volume, "/source");
    match kind.as_str() {
        "volume" if source.is_empty() => {}
        "volume" => {
            let known = file.get("volumes").and_then(|volumes| volumes.get(&source)).cloned().unwrap_or_default();
            mount["Source"] = json!(object_name(stack, &source, &known));
            let mut options = json!({});
            if volume.pointer("/volume/nocopy") == Some(&json!(true)) {
                options["NoCopy"] = json!(true);
            }
            if known["external"] != json!(true) {
                options["Labels"] = with_namespace(stack, known.get("labels"));
                let driver = text(&known, "/driver");
                if !driver.is_empty() || known.get("driver_opts").is_some() {
                    options["DriverConfig"] = json!({"Name": driver});
                    if let Some(given) = known.get("driver_opts") {
                        options["DriverConfig"]["Options"] = given.clone();
                    }
                }
            }
            if options != json!({}) {
                mount["VolumeOptions"] = options;
            }
        }
        "tmpfs" => {
            if let Some(size) = volume.pointer("/tmpfs/size").and_then(Value::as_i64) {
                mount["TmpfsOptions"] = json!({"SizeBytes": size});
            }
        }
        _ => {
            mount["Source"] = json!(source);
            let propagation = text(volume, "/bind/propagation");
            if !propagation.is_empty() {
                mount["BindOptions"] = json!({"Propagation": propagation});
            }
        }
    }
    mount
}
