//! The flags of `run` and `create` as the body of `POST /containers/create`.

use serde_json::{Map, Value, json};

use crate::{
    context::{Context, Invocation},
    error::{CliError, CliResult},
    grammar::parse_duration,
};

/// Builds the request body.
pub(crate) async fn body(context: &Context, call: &Invocation) -> CliResult<Value> {
    let flags = &call.flags;
    let attach = flags.list("attach");
    let detached = flags.is_set("detach");
    let interactive = flags.is_set("interactive");
    let attached = |name: &str| attach.iter().any(|stream| stream.eq_ignore_ascii_case(name));
    let (mut stdout, mut stderr, mut stdin) = (attached("stdout"), attached("stderr"), attached("stdin"));
    if attach.is_empty() && !detached {
        (stdout, stderr, stdin) = (true, true, interactive);
    }
    if flags.is_set("rm") && !matches!(flags.text("restart"), "" | "no") {
        return Err(CliError::new("conflicting options: cannot specify both --restart and --rm"));
    }
    let (exposed, bindings) = publish(&flags.list("publish"), &flags.list("expose"))?;
    let mut volumes = Map::new();
    let mut binds = Vec::new();
    for volume in flags.list("volume") {
        if volume.contains(':') {
            let (source, rest) = volume.split_once(':').unwrap_or((&volume, ""));
            let absolute = if source.starts_with('.') {
                format!(
                    "{}/{}",
                    context.console.working_directory(),
                    source.trim_start_matches("./").trim_end_matches('.')
                )
            } else {
                source.to_owned()
            };
            binds.push(format!(
                "{}:{rest}",
                if absolute.len() > 1 { absolute.trim_end_matches('/') } else { &absolute }
            ));
        } else {
            volumes.insert(volume, json!({}));
        }
    }
    let command = call.arguments.get(1..).unwrap_or_default();
    let entrypoint = match flags.get("entrypoint") {
        Some("") => json!([""]),
        Some(entrypoint) => json!([entrypoint]),
        None => Value::Null,
    };
    let networks = flags.list("network");
    let mode = networks.first().map_or("default".to_owned(), |network| network_name(network));
    let mut body = json!({
        "Hostname": flags.text("hostname"), "Domainname": flags.text("domainname"), "User": flags.text("user"),
        "AttachStdin": stdin, "AttachStdout": stdout, "AttachStderr": stderr,
        "Tty": flags.is_set("tty"), "OpenStdin": interactive, "StdinOnce": interactive && stdin,
        "Env": environment(context, call).await?, "Image": call.argument(0), "Volumes": volumes,
        "WorkingDir": flags.text("workdir"), "Entrypoint": entrypoint,
        "Cmd": if command.is_empty() { Value::Null } else { json!(command) },
        "Labels": labels(&flags.list("label")),
    });
    let mut host = json!({
        "NetworkMode": mode, "PortBindings": bindings, "RestartPolicy": restart(flags.text("restart"))?,
        "AutoRemove": flags.is_set("rm"), "ConsoleSize": console_size(context),
        "PublishAllPorts": flags.is_set("publish-all"), "Privileged": flags.is_set("privileged"),
        "ReadonlyRootfs": flags.is_set("read-only"), "LogConfig": {"Type": flags.text("log-driver"),
        "Config": labels(&flags.list("log-opt"))},
        // Docker's client sends these as empty lists, and inspect shows them as they were sent.
        "Dns": [], "DnsOptions": [], "DnsSearch": [], "Devices": [], "Ulimits": [], "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": [], "BlkioDeviceWriteBps": [], "BlkioDeviceReadIOps": [], "BlkioDeviceWriteIOps": [],
    });
    let set = |object: &mut Value, key: &str, value: Value| {
        if let Some(map) = object.as_object_mut() {
            map.insert(key.to_owned(), value);
        }
    };
    if !exposed.is_empty() {
        set(&mut body, "ExposedPorts", Value::Object(exposed));
    }
    if !binds.is_empty() {
        set(&mut host, "Binds", json!(binds));
    }
    for (flag, key) in [
        ("cap-add", "CapAdd"),
        ("cap-drop", "CapDrop"),
        ("dns", "Dns"),
        ("dns-option", "DnsOptions"),
        ("dns-search", "DnsSearch"),
        ("add-host", "ExtraHosts"),
        ("group-add", "GroupAdd"),
        ("security-opt", "SecurityOpt"),
        ("volumes-from", "VolumesFrom"),
        ("link", "Links"),
    ] {
        if flags.given(flag) {
            set(&mut host, key, json!(flags.list(flag)));
        }
    }
    for (flag, key) in [
        ("pid", "PidMode"),
        ("ipc", "IpcMode"),
        ("uts", "UTSMode"),
        ("userns", "UsernsMode"),
        ("runtime", "Runtime"),
        ("cgroup-parent", "CgroupParent"),
        ("cpuset-cpus", "CpusetCpus"),
        ("cpuset-mems", "CpusetMems"),
        ("cgroupns", "CgroupnsMode"),
        ("volume-driver", "VolumeDriver"),
    ] {
        if flags.given(flag) {
            set(&mut host, key, json!(flags.text(flag)));
        }
    }
    for (flag, key) in [
        ("memory", "Memory"),
        ("memory-reservation", "MemoryReservation"),
        ("memory-swap", "MemorySwap"),
        ("shm-size", "ShmSize"),
    ] {
        if let Some(bytes) = flags.bytes(flag) {
            set(&mut host, key, json!(bytes));
        }
    }
    for (flag, key) in [
        ("pids-limit", "PidsLimit"),
        ("cpu-shares", "CpuShares"),
        ("cpu-period", "CpuPeriod"),
        ("cpu-quota", "CpuQuota"),
        ("oom-score-adj", "OomScoreAdj"),
    ] {
        if let Some(number) = flags.integer(flag) {
            set(&mut host, key, json!(number));
        }
    }
    if let Some(cpus) = flags.get("cpus").and_then(|cpus| cpus.parse::<f64>().ok()) {
        #[allow(clippy::cast_possible_truncation)] // billionths of a CPU
        set(&mut host, "NanoCpus", json!((cpus * 1e9) as i64));
    }
    if flags.is_set("init") {
        set(&mut host, "Init", json!(true));
    }
    if flags.given("mount") {
        let mounts: Vec<Value> = flags.list("mount").iter().map(|text| mount(text)).collect::<CliResult<_>>()?;
        set(&mut host, "Mounts", json!(mounts));
    }
    if flags.given("tmpfs") {
        let tmpfs: Map<String, Value> = flags
            .list("tmpfs")
            .iter()
            .map(|text| {
                let (path, options) = text.split_once(':').unwrap_or((text, ""));
                (path.to_owned(), json!(options))
            })
            .collect();
        set(&mut host, "Tmpfs", Value::Object(tmpfs));
    }
    if let Some(signal) = flags.get("stop-signal") {
        set(&mut body, "StopSignal", json!(signal));
    }
    if let Some(seconds) = flags.integer("stop-timeout") {
        set(&mut body, "StopTimeout", json!(seconds));
    }
    if let Some(health) = health(call) {
        set(&mut body, "Healthcheck", health);
    }
    let mut endpoints = Map::new();
    for network in &networks {
        let mut endpoint = json!({});
        if flags.given("network-alias") {
            set(&mut endpoint, "Aliases", json!(flags.list("network-alias")));
        }
        if flags.given("ip") {
            set(&mut endpoint, "IPAMConfig", json!({"IPv4Address": flags.text("ip")}));
        }
        endpoints.insert(network_name(network), endpoint);
    }
    set(&mut body, "HostConfig", host);
    set(&mut body, "NetworkingConfig", json!({"EndpointsConfig": endpoints}));
    Ok(body)
}

fn network_name(text: &str) -> String {
    text.split(',').find_map(|part| part.strip_prefix("name=")).unwrap_or(text).to_owned()
}

fn console_size(context: &Context) -> Value {
    context.console.terminal_size().map_or(json!([0, 0]), |(rows, columns)| json!([rows, columns]))
}

/// `k=v` texts as a map; a key alone has an empty value.
pub(crate) fn labels(texts: &[String]) -> Map<String, Value> {
    texts
        .iter()
        .map(|text| {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            (key.to_owned(), json!(value))
        })
        .collect()
}

/// `--env-file` first, then `--env`; a bare name takes the client's own value.
pub(crate) async fn environment(context: &Context, call: &Invocation) -> CliResult<Value> {
    let mut texts = Vec::new();
    for path in call.flags.list("env-file") {
        let bytes = context.console.read_file(&path).await?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        texts.extend(
            text.lines()
                .map(str::trim_start)
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(ToOwned::to_owned),
        );
    }
    texts.extend(call.flags.list("env"));
    let variables: Vec<String> = texts
        .into_iter()
        .filter_map(|text| {
            if text.contains('=') {
                Some(text)
            } else {
                context.console.variable(&text).map(|value| format!("{text}={value}"))
            }
        })
        .collect();
    Ok(if variables.is_empty() { Value::Null } else { json!(variables) })
}

fn restart(text: &str) -> CliResult<Value> {
    let (name, count) = text.split_once(':').unwrap_or((text, "0"));
    let count: i64 = count
        .parse()
        .map_err(|_| CliError::new("invalid restart policy format: maximum retry count must be an integer"))?;
    let name = if name.is_empty() { "no" } else { name };
    // The engine's own refusal: a typed request cannot carry an unknown name to it.
    if !matches!(name, "no" | "always" | "on-failure" | "unless-stopped") {
        return Err(CliError::new(format!(
            "Error response from daemon: invalid restart policy: unknown policy '{name}'; \
             use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )));
    }
    Ok(json!({"Name": name, "MaximumRetryCount": count}))
}

pub(crate) fn health(call: &Invocation) -> Option<Value> {
    let flags = &call.flags;
    if flags.is_set("no-healthcheck") {
        return Some(json!({"Test": ["NONE"]}));
    }
    if !flags.given("health-cmd") && !flags.given("health-interval") && !flags.given("health-retries") {
        return None;
    }
    let nanoseconds = |flag: &str| flags.get(flag).and_then(|text| parse_duration(text).ok()).unwrap_or(0);
    Some(json!({
        "Test": flags.get("health-cmd").map(|command| json!(["CMD-SHELL", command])),
        "Interval": nanoseconds("health-interval"), "Timeout": nanoseconds("health-timeout"),
        "StartPeriod": nanoseconds("health-start-period"), "StartInterval": nanoseconds("health-start-interval"),
        "Retries": flags.integer("health-retries").unwrap_or(0),
    }))
}

/// `type=bind,src=/a,dst=/b,readonly`.
pub(crate) fn mount(text: &str) -> CliResult<Value> {
    let mut mount = Map::new();
    mount.insert("Type".to_owned(), json!("volume"));
    for field in text.split(',') {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        let (key, value) = match key.to_lowercase().as_str() {
            "type" => ("Type", json!(value.to_lowercase())),
            "source" | "src" => ("Source", json!(value)),
            "target" | "dst" | "destination" => ("Target", json!(value)),
            "readonly" | "ro" => ("ReadOnly", json!(!matches!(value, "false" | "0"))),
            "volume-nocopy" => ("VolumeOptions", json!({"NoCopy": value != "false"})),
            "bind-propagation" => ("BindOptions", json!({"Propagation": value})),
            "tmpfs-size" => ("TmpfsOptions", json!({"SizeBytes": crate::grammar::parse_bytes(value).unwrap_or(0)})),
            _ => {
                return Err(CliError::with_status(
                    125,
                    format!("invalid argument \"{text}\" for \"--mount\" flag: unexpected key '{key}' in '{field}'"),
                ));
            }
        };
        mount.insert(key.to_owned(), value);
    }
    if !mount.contains_key("Target") {
        return Err(CliError::with_status(
            125,
            format!("invalid argument \"{text}\" for \"--mount\" flag: target is required"),
        ));
    }
    Ok(Value::Object(mount))
}

type Ports = (Map<String, Value>, Map<String, Value>);

/// `ip:host:container/proto` with ranges of equal length.
fn publish(published: &[String], exposed: &[String]) -> CliResult<Ports> {
    let mut ports = Map::new();
    let mut bindings = Map::new();
    for text in published {
        let (address, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
        let mut parts = address.rsplitn(3, ':');
        let container = parts.next().unwrap_or_default();
        let host = parts.next().unwrap_or_default();
        let ip = parts.next().unwrap_or_default().trim_matches(['[', ']']);
        if !ip.is_empty() && ip.parse::<std::net::IpAddr>().is_err() {
            return Err(CliError::with_status(125, format!("invalid IP address: {ip}")));
        }
        let (first, last) =
            range(container).ok_or_else(|| CliError::new(format!("invalid containerPort: {container}")))?;
        let host_range = if host.is_empty() {
            None
        } else {
            Some(range(host).ok_or_else(|| CliError::new(format!("invalid hostPort: {host}")))?)
        };
        if let Some((host_first, host_last)) = host_range
            && host_last - host_first != last - first
            && last != first
        {
            return Err(CliError::new(format!(
                "invalid ranges specified for container and host Ports: {container} and {host}"
            )));
        }
        for offset in 0..=(last - first) {
            let key = format!("{}/{protocol}", first + offset);
            let host_port = match host_range {
                None => String::new(),
                Some((low, high)) if first == last && low != high => format!("{low}-{high}"),
                Some((low, _)) => (low + offset).to_string(),
            };
            ports.insert(key.clone(), json!({}));
            let binding = json!({"HostIp": ip, "HostPort": host_port});
            if let Some(list) = bindings.entry(key).or_insert_with(|| json!([])).as_array_mut() {
                list.push(binding);
            }
        }
    }
    for text in exposed {
        let (container, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) =
            range(container).ok_or_else(|| CliError::new(format!("invalid range format for --expose: {text}")))?;
        for port in first..=last {
            ports.insert(format!("{port}/{protocol}"), json!({}));
        }
    }
    Ok((ports, bindings))
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}
