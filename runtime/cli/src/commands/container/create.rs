//! The flags of `run` and `create` as the body of `POST /containers/create`.

use serde_json::{Map, Value, json};

pub(crate) use super::environment::{environment, labels};
use super::{environment, limits, networks, ports};
use crate::{
    commands::mount,
    context::{Context, Invocation},
    error::{CliError, CliResult},
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
    check_modes(call)?;
    let (exposed, bindings) = ports::publish(&flags.list("publish"), &flags.list("expose"))?;
    let (volumes, binds) = volumes(context, call)?;
    let command = call.arguments.get(1..).unwrap_or_default();
    let entrypoint = match flags.get("entrypoint") {
        Some("") => json!([""]),
        Some(entrypoint) => json!([entrypoint]),
        None => Value::Null,
    };
    let (mode, endpoints) = networks::endpoints(call)?;
    let mut body = json!({
        "Hostname": flags.text("hostname"), "Domainname": flags.text("domainname"), "User": flags.text("user"),
        "AttachStdin": stdin, "AttachStdout": stdout, "AttachStderr": stderr,
        "Tty": flags.is_set("tty"), "OpenStdin": interactive, "StdinOnce": interactive && stdin,
        "Env": all_variables(context, call).await?, "Image": call.argument(0), "Volumes": volumes,
        "WorkingDir": flags.text("workdir"), "Entrypoint": entrypoint,
        "Cmd": if command.is_empty() { Value::Null } else { json!(command) },
        "Labels": environment::all_labels(context, call).await?,
    });
    if !exposed.is_empty() {
        set(&mut body, "ExposedPorts", Value::Object(exposed));
    }
    if let Some(signal) = flags.get("stop-signal") {
        set(&mut body, "StopSignal", json!(signal));
    }
    if let Some(seconds) = flags.integer("stop-timeout") {
        set(&mut body, "StopTimeout", json!(seconds));
    }
    if let Some(health) = health(call)? {
        set(&mut body, "Healthcheck", health);
    }
    let mut host = json!({
        "NetworkMode": mode, "PortBindings": bindings, "RestartPolicy": restart(flags.text("restart"))?,
        "AutoRemove": flags.is_set("rm"), "ConsoleSize": console_size(context),
        "PublishAllPorts": flags.is_set("publish-all"), "Privileged": flags.is_set("privileged"),
        "ReadonlyRootfs": flags.is_set("read-only"), "ContainerIDFile": flags.text("cidfile"),
        "LogConfig": {"Type": flags.text("log-driver"), "Config": labels(&flags.list("log-opt"))},
        // Docker's client sends these as empty lists, and inspect shows them as they were sent.
        "Dns": [], "DnsOptions": [], "DnsSearch": [], "Devices": [], "Ulimits": [], "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": [], "BlkioDeviceWriteBps": [], "BlkioDeviceReadIOps": [], "BlkioDeviceWriteIOps": [],
    });
    if !binds.is_empty() {
        set(&mut host, "Binds", json!(binds));
    }
    texts_and_numbers(call, &mut host)?;
    devices(call, &mut host)?;
    security(context, call, &mut host).await?;
    mounts(context, call, &mut host)?;
    set(&mut body, "HostConfig", host);
    set(&mut body, "NetworkingConfig", json!({"EndpointsConfig": endpoints}));
    Ok(body)
}

fn set(target: &mut Value, key: &str, value: Value) {
    if let Some(map) = target.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}

/// Variables of flags and files, and the configuration's proxies where they are not among them.
async fn all_variables(context: &Context, call: &Invocation) -> CliResult<Value> {
    let given = environment(context, call).await?;
    let mut variables: Vec<Value> = given.as_array().cloned().unwrap_or_default();
    for (name, value) in environment::proxies(context) {
        let prefix = format!("{name}=");
        if !variables.iter().any(|known| known.as_str().is_some_and(|known| known.starts_with(&prefix))) {
            variables.push(json!(format!("{name}={value}")));
        }
    }
    Ok(if variables.is_empty() { Value::Null } else { json!(variables) })
}

/// Modes and options that do not go together, or that are no modes.
fn check_modes(call: &Invocation) -> CliResult<()> {
    let flags = &call.flags;
    if let Some(given) = flags.integer("memory-swappiness")
        && given != -1
        && !(0..=100).contains(&given)
    {
        return Err(CliError::new(format!("invalid value: {given}. Valid memory swappiness range is 0-100")));
    }
    let container = |text: &str| text.strip_prefix("container:").is_some_and(|name| !name.is_empty());
    let pid = flags.text("pid");
    if !matches!(pid, "" | "host") && !container(pid) {
        return Err(CliError::new("--pid: invalid PID mode"));
    }
    if !matches!(flags.text("uts"), "" | "host") {
        return Err(CliError::new("--uts: invalid UTS mode"));
    }
    if !matches!(flags.text("userns"), "" | "host") {
        return Err(CliError::new("--userns: invalid USER mode"));
    }
    if !matches!(flags.text("cgroupns"), "" | "host" | "private") {
        return Err(CliError::new("--cgroupns: invalid CGROUP mode"));
    }
    if flags.is_set("rm") && !matches!(flags.text("restart"), "" | "no") {
        return Err(CliError::new("conflicting options: cannot specify both --restart and --rm"));
    }
    if flags.text("log-driver") == "none" && flags.given("log-opt") {
        return Err(CliError::new("invalid logging opts for driver none"));
    }
    if flags.list("storage-opt").iter().any(|option| !option.contains('=')) {
        return Err(CliError::new("invalid storage option"));
    }
    Ok(())
}

type Volumes = (Map<String, Value>, Vec<String>);

/// `-v`: a path alone is an anonymous volume, everything with a colon a bind.
fn volumes(context: &Context, call: &Invocation) -> CliResult<Volumes> {
    let mut volumes = Map::new();
    let mut binds = Vec::new();
    for volume in call.flags.list("volume") {
        if volume.is_empty() {
            return Err(CliError::new("invalid empty volume spec"));
        }
        match volume.split_once(':') {
            None => {
                volumes.insert(volume, json!({}));
            }
            Some((source, rest)) => {
                let source = if source.starts_with('.') {
                    mount::join(&context.console.working_directory(), source)
                } else {
                    source.to_owned()
                };
                let source = if source.len() > 1 { source.trim_end_matches('/') } else { &source };
                binds.push(format!("{source}:{rest}"));
            }
        }
    }
    Ok((volumes, binds))
}

fn texts_and_numbers(call: &Invocation, host: &mut Value) -> CliResult<()> {
    let flags = &call.flags;
    for (flag, key) in [
        ("dns", "Dns"),
        ("dns-search", "DnsSearch"),
        ("group-add", "GroupAdd"),
        ("volumes-from", "VolumesFrom"),
        ("link", "Links"),
        ("device-cgroup-rule", "DeviceCgroupRules"),
    ] {
        if flags.given(flag) {
            set(host, key, json!(flags.list(flag)));
        }
    }
    for (flag, key) in [("cap-add", "CapAdd"), ("cap-drop", "CapDrop")] {
        if flags.given(flag) {
            set(host, key, json!(limits::capabilities(&flags.list(flag))));
        }
    }
    let options: Vec<String> = flags.list("dns-option").into_iter().chain(flags.list("dns-opt")).collect();
    if !options.is_empty() {
        set(host, "DnsOptions", json!(options));
    }
    let hosts: Vec<String> = flags
        .list("add-host")
        .iter()
        .filter_map(|text| crate::grammar::split_host(text).map(|(name, address)| format!("{name}:{address}")))
        .collect();
    if !hosts.is_empty() {
        set(host, "ExtraHosts", json!(hosts));
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
        ("isolation", "Isolation"),
    ] {
        if flags.given(flag) {
            set(host, key, json!(flags.text(flag)));
        }
    }
    for (flag, key) in [("sysctl", "Sysctls"), ("storage-opt", "StorageOpt"), ("annotation", "Annotations")] {
        if flags.given(flag) {
            set(host, key, Value::Object(labels(&flags.list(flag))));
        }
    }
    resources(call, host);
    if flags.given("init") {
        set(host, "Init", json!(flags.is_set("init")));
    }
    if flags.is_set("oom-kill-disable") {
        set(host, "OomKillDisable", json!(true));
    }
    set(host, "MemorySwappiness", json!(flags.integer("memory-swappiness").unwrap_or(-1)));
    if let Some(score) = flags.integer("oom-score-adj") {
        set(host, "OomScoreAdj", json!(score));
    }
    if let Some(bytes) = flags.bytes("shm-size") {
        set(host, "ShmSize", json!(bytes));
    }
    Ok(())
}

/// Limits that `update` can change too.
pub(crate) fn resources(call: &Invocation, host: &mut Value) {
    let flags = &call.flags;
    for (flag, key) in [
        ("memory", "Memory"),
        ("memory-reservation", "MemoryReservation"),
        ("memory-swap", "MemorySwap"),
        ("kernel-memory", "KernelMemory"),
    ] {
        if let Some(bytes) = flags.bytes(flag) {
            set(host, key, json!(bytes));
        }
    }
    for (flag, key) in [
        ("pids-limit", "PidsLimit"),
        ("cpu-shares", "CpuShares"),
        ("cpu-period", "CpuPeriod"),
        ("cpu-quota", "CpuQuota"),
        ("cpu-rt-period", "CpuRealtimePeriod"),
        ("cpu-rt-runtime", "CpuRealtimeRuntime"),
        ("blkio-weight", "BlkioWeight"),
    ] {
        if let Some(number) = flags.integer(flag) {
            set(host, key, json!(number));
        }
    }
    if let Some(cpus) = flags.get("cpus").and_then(|cpus| crate::grammar::parse_cpus(cpus).ok()) {
        set(host, "NanoCpus", json!(cpus));
    }
}

/// Devices, their rates, GPUs and ulimits.
fn devices(call: &Invocation, host: &mut Value) -> CliResult<()> {
    let flags = &call.flags;
    let (mut devices, mut requests, mut cdi) = (Vec::new(), Vec::new(), Vec::new());
    for text in flags.list("device") {
        if limits::is_cdi_device(&text) {
            cdi.push(text);
        } else {
            devices.push(limits::device(&text).map_err(CliError::new)?);
        }
    }
    for text in flags.list("gpus") {
        requests.push(limits::gpus(&text).map_err(CliError::new)?);
    }
    if !cdi.is_empty() {
        requests.push(json!({"Driver": "cdi", "DeviceIDs": cdi, "Count": 0, "Capabilities": null, "Options": null}));
    }
    if !devices.is_empty() {
        set(host, "Devices", json!(devices));
    }
    if !requests.is_empty() {
        set(host, "DeviceRequests", json!(requests));
    }
    for (flag, key, bytes) in [
        ("device-read-bps", "BlkioDeviceReadBps", true),
        ("device-write-bps", "BlkioDeviceWriteBps", true),
        ("device-read-iops", "BlkioDeviceReadIOps", false),
        ("device-write-iops", "BlkioDeviceWriteIOps", false),
    ] {
        let rates: Result<Vec<Value>, String> = flags.list(flag).iter().map(|text| limits::rate(text, bytes)).collect();
        let rates = rates.map_err(CliError::new)?;
        if !rates.is_empty() {
            set(host, key, json!(rates));
        }
    }
    let weights: Result<Vec<Value>, String> =
        flags.list("blkio-weight-device").iter().map(|text| limits::weight(text)).collect();
    let weights = weights.map_err(CliError::new)?;
    if !weights.is_empty() {
        set(host, "BlkioWeightDevice", json!(weights));
    }
    let mut ulimits: Vec<Value> = Vec::new();
    for text in flags.list("ulimit") {
        let limit = limits::ulimit(&text).map_err(CliError::new)?;
        ulimits.retain(|known| known["Name"] != limit["Name"]);
        ulimits.push(limit);
    }
    ulimits.sort_by_key(|limit| limit["Name"].as_str().map(ToOwned::to_owned));
    if !ulimits.is_empty() {
        set(host, "Ulimits", json!(ulimits));
    }
    Ok(())
}

/// `--security-opt`: a seccomp profile is sent as text, and `systempaths=unconfined` unmasks paths.
async fn security(context: &Context, call: &Invocation, host: &mut Value) -> CliResult<()> {
    let mut options = Vec::new();
    for option in call.flags.list("security-opt") {
        let (key, value) = match option.split_once('=').or_else(|| option.split_once(':')) {
            Some(pair) => pair,
            None if option == "no-new-privileges" => {
                options.push(option);
                continue;
            }
            None => return Err(CliError::new(format!("Invalid --security-opt: {option:?}"))),
        };
        match (key, value) {
            ("systempaths", "unconfined") => {
                set(host, "MaskedPaths", json!([]));
                set(host, "ReadonlyPaths", json!([]));
            }
            ("seccomp", path) if !matches!(path, "unconfined" | "builtin") => {
                let bytes = context
                    .console
                    .read_file(path)
                    .await
                    .map_err(|error| CliError::new(format!("opening seccomp profile ({path}) failed: {error}")))?;
                let profile: Value = serde_json::from_slice(&bytes).map_err(|error| {
                    CliError::new(format!("compacting json for seccomp profile ({path}) failed: {error}"))
                })?;
                options.push(format!("seccomp={profile}"));
            }
            _ => options.push(option.clone()),
        }
    }
    if !options.is_empty() {
        set(host, "SecurityOpt", json!(options));
    }
    Ok(())
}

fn mounts(context: &Context, call: &Invocation, host: &mut Value) -> CliResult<()> {
    let flags = &call.flags;
    let mut mounts = Vec::new();
    for text in flags.list("mount") {
        let mut parsed = mount::parse(&text).map_err(CliError::new)?;
        mount::absolute(&mut parsed, &context.console.working_directory());
        mounts.push(parsed);
    }
    if !mounts.is_empty() {
        set(host, "Mounts", json!(mounts));
    }
    let tmpfs: Map<String, Value> = flags
        .list("tmpfs")
        .iter()
        .map(|text| {
            let (path, options) = text.split_once(':').unwrap_or((text, ""));
            (path.to_owned(), json!(options))
        })
        .collect();
    if !tmpfs.is_empty() {
        set(host, "Tmpfs", Value::Object(tmpfs));
    }
    Ok(())
}

fn console_size(context: &Context) -> Value {
    context.console.terminal_size().map_or(json!([0, 0]), |(rows, columns)| json!([rows, columns]))
}

/// `on-failure:3`.
pub(crate) fn restart(text: &str) -> CliResult<Value> {
    let invalid = |reason: &str| CliError::new(format!("invalid restart policy format: {reason}"));
    let (name, count) = match text.split_once(':') {
        Some(("", _)) => return Err(invalid("no policy provided before colon")),
        Some((name, count)) => (name, count),
        None => (text, "0"),
    };
    let count: i64 = count.parse().map_err(|_| invalid("maximum retry count must be an integer"))?;
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

/// `--health-*` and `--no-healthcheck`; none when no such flag is given.
pub(crate) fn health(call: &Invocation) -> CliResult<Option<Value>> {
    let flags = &call.flags;
    let names = ["cmd", "interval", "timeout", "start-period", "start-interval", "retries"];
    let given = |name: &str| flags.given(&format!("health-{name}"));
    let any = names.iter().any(|name| given(name));
    if flags.is_set("no-healthcheck") {
        if any {
            return Err(CliError::new("--no-healthcheck conflicts with --health-* options"));
        }
        return Ok(Some(json!({"Test": ["NONE"]})));
    }
    if !any {
        return Ok(None);
    }
    let mut health = json!({});
    match flags.get("health-cmd") {
        None | Some("") => {}
        Some(command) => health["Test"] = json!(["CMD-SHELL", command]),
    }
    for (name, key) in [
        ("interval", "Interval"),
        ("timeout", "Timeout"),
        ("start-period", "StartPeriod"),
        ("start-interval", "StartInterval"),
    ] {
        let nanoseconds = flags.duration(&format!("health-{name}")).unwrap_or(0);
        if nanoseconds < 0 {
            return Err(CliError::new(format!("--health-{name} cannot be negative")));
        }
        if nanoseconds > 0 {
            health[key] = json!(nanoseconds);
        }
    }
    let retries = flags.integer("health-retries").unwrap_or(0);
    if retries < 0 {
        return Err(CliError::new("--health-retries cannot be negative"));
    }
    if retries > 0 {
        health["Retries"] = json!(retries);
    }
    if health == json!({}) {
        return Ok(None);
    }
    Ok(Some(health))
}
