use std::fmt::Write as _;

use docklab_api::RawRequest;
use serde_json::Value;

use crate::{
    CLIENT_VERSION,
    commands::json::{boolean, float, list, number, strings, text, value},
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format,
    template::{Template, typed},
};

/// `docker info`.
pub(crate) async fn info(context: &Context, call: &Invocation) -> CliResult {
    let format = if call.flags.text("format") == "json" { "{{json .}}" } else { call.flags.text("format") };
    let template = match format {
        "" => None,
        source => Some(
            Template::parse(source)
                .map_err(|error| CliError::with_status(64, format!("template parsing error: {error}")))?,
        ),
    };
    let answer = match context.raw(RawRequest::get("/info")).await {
        Some(answer) => answer,
        None => context.api.info().await.map(|info| value(&info)),
    };
    let mut shown = answer.clone().unwrap_or_default();
    let Some(template) = template else {
        let mut output = format!(
            "Client:\n Version:    {CLIENT_VERSION}\n Context:    {}\n Debug Mode: {}\n\nServer:\n",
            context.context_name, context.debug
        );
        if answer.is_ok() {
            output.push_str(&server(&shown));
        }
        context.stdout(output).await;
        if let Err(error) = answer {
            return Err(error.into());
        }
        for warning in strings(&shown, "/Warnings") {
            context.error_line(warning).await;
        }
        return Ok(0);
    };
    let mut client = crate::commands::system::client(context).await;
    if let Some(client) = client.as_object_mut() {
        client.remove("ApiVersion");
    }
    client["Debug"] = context.debug.into();
    client["Plugins"] = Value::Array(Vec::new());
    shown["ClientInfo"] = client;
    if let Err(error) = &answer {
        shown["ServerErrors"] = vec![crate::error::daemon_message(error)].into();
    }
    let outcome = template.execute(&typed("system.dockerInfo", &shown));
    context.line(outcome.as_deref().unwrap_or_default()).await;
    outcome.map_err(CliError::new)?;
    Ok(0)
}

fn server(info: &Value) -> String {
    let mut output = String::new();
    for (label, pointer) in [
        (" Containers", "/Containers"),
        ("  Running", "/ContainersRunning"),
        ("  Paused", "/ContainersPaused"),
        ("  Stopped", "/ContainersStopped"),
        (" Images", "/Images"),
    ] {
        let _ = writeln!(output, "{label}: {}", number(info, pointer));
    }
    let _ = writeln!(output, " Server Version: {}", text(info, "/ServerVersion"));
    let _ = writeln!(output, " Storage Driver: {}", text(info, "/Driver"));
    for status in list(info, "/DriverStatus") {
        let _ = writeln!(output, "  {}: {}", text(status, "/0"), text(status, "/1"));
    }
    for (label, pointer) in
        [("Logging Driver", "/LoggingDriver"), ("Cgroup Driver", "/CgroupDriver"), ("Cgroup Version", "/CgroupVersion")]
    {
        let _ = writeln!(output, " {label}: {}", text(info, pointer));
    }
    output.push_str(" Plugins:\n");
    for kind in ["Volume", "Network", "Log"] {
        let _ = writeln!(output, "  {kind}: {}", strings(info, &format!("/Plugins/{kind}")).join(" "));
    }
    let cdi = strings(info, "/CDISpecDirs");
    if !cdi.is_empty() {
        let _ = writeln!(output, " CDI spec directories:\n  {}", cdi.join("\n  "));
    }
    swarm(info, &mut output);
    let mut runtimes: Vec<String> = info
        .pointer("/Runtimes")
        .and_then(Value::as_object)
        .map(|map| map.keys().cloned().collect())
        .unwrap_or_default();
    runtimes.sort();
    let _ = writeln!(output, " Runtimes: {}", runtimes.join(" "));
    let _ = writeln!(output, " Default Runtime: {}", text(info, "/DefaultRuntime"));
    let _ = writeln!(output, " Init Binary: {}", text(info, "/InitBinary"));
    for (label, pointer) in
        [("containerd", "/ContainerdCommit/ID"), ("runc", "/RuncCommit/ID"), ("init", "/InitCommit/ID")]
    {
        let _ = writeln!(output, " {label} version: {}", text(info, pointer));
    }
    let security = strings(info, "/SecurityOptions");
    if !security.is_empty() {
        output.push_str(" Security Options:\n");
    }
    for option in security {
        for (index, field) in option.split(',').enumerate() {
            let (key, value) = field.split_once('=').unwrap_or(("", field));
            let _ = match index {
                0 => writeln!(output, "  {value}"),
                _ => writeln!(output, "   {}: {value}", super::swarm::title(key)),
            };
        }
    }
    for (label, pointer) in [
        ("Kernel Version", "/KernelVersion"),
        ("Operating System", "/OperatingSystem"),
        ("OSType", "/OSType"),
        ("Architecture", "/Architecture"),
    ] {
        let _ = writeln!(output, " {label}: {}", text(info, pointer));
    }
    let _ = writeln!(output, " CPUs: {}", number(info, "/NCPU"));
    let _ = writeln!(output, " Total Memory: {}", format::binary_size(float(info, "/MemTotal")));
    for (label, pointer) in [("Name", "/Name"), ("ID", "/ID"), ("Docker Root Dir", "/DockerRootDir")] {
        let _ = writeln!(output, " {label}: {}", text(info, pointer));
    }
    let _ = writeln!(output, " Debug Mode: {}", boolean(info, "/Debug"));
    for (label, pointer) in [("HTTP Proxy", "/HttpProxy"), ("HTTPS Proxy", "/HttpsProxy"), ("No Proxy", "/NoProxy")] {
        let proxy = text(info, pointer);
        if !proxy.is_empty() {
            let _ = writeln!(output, " {label}: {proxy}");
        }
    }
    let labels = strings(info, "/Labels");
    if !labels.is_empty() {
        let _ = writeln!(output, " Labels:\n  {}", labels.join("\n  "));
    }
    let _ = writeln!(output, " Experimental: {}", boolean(info, "/ExperimentalBuild"));
    let registries = info.pointer("/RegistryConfig/IndexConfigs").and_then(Value::as_object);
    let mut insecure: Vec<String> = registries
        .into_iter()
        .flatten()
        .filter(|(_, registry)| registry.get("Secure").and_then(Value::as_bool) == Some(false))
        .map(|(name, _)| name.clone())
        .collect();
    insecure.extend(strings(info, "/RegistryConfig/InsecureRegistryCIDRs"));
    if !insecure.is_empty() {
        output.push_str(" Insecure Registries:\n");
        for network in insecure {
            let _ = writeln!(output, "  {network}");
        }
    }
    let mirrors = strings(info, "/RegistryConfig/Mirrors");
    if !mirrors.is_empty() {
        let _ = writeln!(output, " Registry Mirrors:\n  {}", mirrors.join("\n  "));
    }
    let _ = writeln!(output, " Live Restore Enabled: {}\n", boolean(info, "/LiveRestoreEnabled"));
    output
}

fn swarm(info: &Value, output: &mut String) {
    let state = text(info, "/Swarm/LocalNodeState");
    let _ = writeln!(output, " Swarm: {state}");
    if state == "inactive" || state.is_empty() || state == "locked" {
        return;
    }
    let manager = boolean(info, "/Swarm/ControlAvailable");
    let _ = writeln!(output, "  NodeID: {}\n  Is Manager: {manager}", text(info, "/Swarm/NodeID"));
    if manager {
        let cluster = |pointer: &str| number(info, &format!("/Swarm/Cluster{pointer}"));
        let _ = writeln!(output, "  ClusterID: {}", text(info, "/Swarm/Cluster/ID"));
        let _ = writeln!(
            output,
            "  Managers: {}\n  Nodes: {}",
            number(info, "/Swarm/Managers"),
            number(info, "/Swarm/Nodes")
        );
        let pools = strings(info, "/Swarm/Cluster/DefaultAddrPool");
        if !pools.is_empty() {
            let _ = writeln!(output, "  Default Address Pool: {}  ", pools.join("  "));
            let _ = writeln!(output, "  SubnetSize: {}", cluster("/SubnetSize"));
        }
        let _ = writeln!(output, "  Data Path Port: {}", cluster("/DataPathPort"));
        let retention = cluster("/Spec/Orchestration/TaskHistoryRetentionLimit");
        let _ = writeln!(output, "  Orchestration:\n   Task History Retention Limit: {retention}\n  Raft:");
        for (label, key) in [
            ("Snapshot Interval", "SnapshotInterval"),
            ("Number of Old Snapshots to Retain", "KeepOldSnapshots"),
            ("Heartbeat Tick", "HeartbeatTick"),
            ("Election Tick", "ElectionTick"),
        ] {
            let _ = writeln!(output, "   {label}: {}", cluster(&format!("/Spec/Raft/{key}")));
        }
        let heartbeat = format::duration(cluster("/Spec/Dispatcher/HeartbeatPeriod") / 1_000_000_000);
        let expiry = format::duration(cluster("/Spec/CAConfig/NodeCertExpiry") / 1_000_000_000);
        let _ = writeln!(
            output,
            "  Dispatcher:\n   Heartbeat Period: {heartbeat}\n  CA Configuration:\n   Expiry Duration: {expiry}"
        );
        let _ = writeln!(output, "   Force Rotate: {}", cluster("/Spec/CAConfig/ForceRotate"));
        let locked = boolean(info, "/Swarm/Cluster/Spec/EncryptionConfig/AutoLockManagers");
        let rotating = boolean(info, "/Swarm/Cluster/RootRotationInProgress");
        let _ = writeln!(output, "  Autolock Managers: {locked}\n  Root Rotation In Progress: {rotating}");
    }
    let _ = writeln!(output, "  Node Address: {}", text(info, "/Swarm/NodeAddr"));
    let mut managers: Vec<String> =
        list(info, "/Swarm/RemoteManagers").iter().map(|manager| text(manager, "/Addr")).collect();
    managers.sort();
    if !managers.is_empty() {
        let _ = writeln!(output, "  Manager Addresses:\n   {}", managers.join("\n   "));
    }
}
