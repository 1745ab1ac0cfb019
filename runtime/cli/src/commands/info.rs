use std::fmt::Write as _;

use serde_json::Value;

use crate::{
    CLIENT_VERSION,
    commands::json::{boolean, float, list, number, strings, text, value},
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format,
    template::Template,
};

/// `docker info`.
pub(crate) async fn info(context: &Context, call: &Invocation) -> CliResult {
    let answer = context.api.info().await;
    let shown = answer.as_ref().map(value).unwrap_or_default();
    match call.flags.text("format") {
        "" => {
            let mut output = format!(
                "Client:\n Version:    {CLIENT_VERSION}\n Context:    default\n Debug Mode: false\n\nServer:\n"
            );
            if answer.is_ok() {
                output.push_str(&server(&shown));
            }
            context.stdout(output).await;
        }
        given => {
            let source = if given == "json" { "{{json .}}" } else { given };
            let template =
                Template::parse(source).map_err(|error| CliError::new(format!("template parsing error: {error}")))?;
            context.line(template.execute(&shown).map_err(CliError::new)?).await;
        }
    }
    answer?;
    for warning in strings(&shown, "/Warnings").iter().filter(|_| !call.flags.given("format")) {
        context.error_line(warning).await;
    }
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
    let _ = writeln!(output, " Experimental: {}", boolean(info, "/ExperimentalBuild"));
    let insecure = strings(info, "/RegistryConfig/InsecureRegistryCIDRs");
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
