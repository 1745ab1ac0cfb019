//! `inspect --pretty`: nodes, services, secrets and configs as people read them.

use std::fmt::Write as _;

use serde_json::Value;

use crate::{
    commands::{
        inspect::one,
        json::{boolean, float, list, number, pairs, strings, text},
        objects::{Detail, Kind},
        swarm::title,
    },
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format,
    template::{duration_text, time_text},
};

pub(crate) async fn inspect(context: &Context, call: &Invocation) -> CliResult {
    let kind = Kind::parse(call.command.path.split(' ').next().unwrap_or_default()).unwrap_or(Kind::Service);
    if kind == Kind::Service && !call.flags.text("format").is_empty() && call.flags.is_set("pretty") {
        return Err(CliError::new("--format is incompatible with human friendly format"));
    }
    let mut failures = Vec::new();
    let mut output = String::new();
    for name in &call.arguments {
        match one(context, kind, name, &Detail::default()).await {
            Ok(object) => {
                let shown = match kind {
                    Kind::Node => node(&object),
                    Kind::Secret => secret(&object),
                    Kind::Config => config(&object),
                    _ => service(context, &object).await + "\n",
                };
                output.push_str(&shown);
            }
            Err(message) => failures.push(message),
        }
    }
    context.stdout(output).await;
    crate::commands::joined(failures)
}

/// Go's text of a time, as these views have it: in lower case.
fn time(object: &Value, pointer: &str) -> String {
    time_text(&text(object, pointer)).to_lowercase()
}

fn node(node: &Value) -> String {
    let mut output = format!("ID:\t\t\t{}\n", text(node, "/ID"));
    let name = text(node, "/Spec/Name");
    if !name.is_empty() {
        let _ = writeln!(output, "Name:\t\t\t{name}");
    }
    let labels = pairs(node, "/Spec/Labels");
    if !labels.is_empty() {
        output.push_str("Labels:\n");
        for label in labels {
            let _ = writeln!(output, " - {label}");
        }
    }
    let _ = writeln!(output, "Hostname:              \t{}", text(node, "/Description/Hostname"));
    let _ = writeln!(output, "Joined at:             \t{}", time(node, "/CreatedAt"));
    let _ = writeln!(output, "Status:\n State:\t\t\t{}", title(&text(node, "/Status/State")));
    let message = text(node, "/Status/Message");
    if !message.is_empty() {
        let _ = writeln!(output, " Message:              \t{}", title(&message));
    }
    let _ = writeln!(output, " Availability:         \t{}", title(&text(node, "/Spec/Availability")));
    let address = text(node, "/Status/Addr");
    if !address.is_empty() {
        let _ = writeln!(output, " Address:\t\t{address}");
    }
    if node.get("ManagerStatus").is_some_and(|status| !status.is_null()) {
        let leader = if boolean(node, "/ManagerStatus/Leader") { "Yes" } else { "No" };
        let _ = writeln!(
            output,
            "Manager Status:\n Address:\t\t{}\n Raft Status:\t\t{}\n Leader:\t\t{leader}",
            text(node, "/ManagerStatus/Addr"),
            title(&text(node, "/ManagerStatus/Reachability"))
        );
    }
    let _ = writeln!(
        output,
        "Platform:\n Operating System:\t{}\n Architecture:\t\t{}",
        text(node, "/Description/Platform/OS"),
        text(node, "/Description/Platform/Architecture")
    );
    let _ = writeln!(
        output,
        "Resources:\n CPUs:\t\t\t{}\n Memory:\t\t{}",
        number(node, "/Description/Resources/NanoCPUs") / 1_000_000_000,
        format::binary_size(float(node, "/Description/Resources/MemoryBytes"))
    );
    let plugins = list(node, "/Description/Engine/Plugins");
    if !plugins.is_empty() {
        output.push_str("Plugins:\n");
        let mut kinds: Vec<String> = plugins.iter().map(|plugin| text(plugin, "/Type")).collect();
        kinds.sort();
        kinds.dedup();
        for kind in kinds {
            let names: Vec<String> = plugins
                .iter()
                .filter(|plugin| text(plugin, "/Type") == kind)
                .map(|plugin| text(plugin, "/Name"))
                .collect();
            let _ = writeln!(output, " {kind}:\t\t{}", names.join(", "));
        }
    }
    let _ = writeln!(output, "Engine Version:\t\t{}", text(node, "/Description/Engine/EngineVersion"));
    let labels = pairs(node, "/Description/Engine/Labels");
    if !labels.is_empty() {
        output.push_str("Engine Labels:\n");
        for label in labels {
            let _ = writeln!(output, " - {label}");
        }
    }
    let root = text(node, "/Description/TLSInfo/TrustRoot");
    if !root.is_empty() {
        let _ = writeln!(
            output,
            "TLS Info:\n TrustRoot:\n{root}\n Issuer Subject:\t{}\n Issuer Public Key:\t{}",
            text(node, "/Description/TLSInfo/CertIssuerSubject"),
            text(node, "/Description/TLSInfo/CertIssuerPublicKey")
        );
    }
    output
}

fn secret(secret: &Value) -> String {
    let mut output =
        format!("ID:              {}\nName:              {}\n", text(secret, "/ID"), text(secret, "/Spec/Name"));
    let labels = pairs(secret, "/Spec/Labels");
    if !labels.is_empty() {
        output.push_str("Labels:\n");
        for label in labels {
            let _ = writeln!(output, " - {label}");
        }
    }
    let _ = writeln!(output, "Driver:            {}", text(secret, "/Spec/Driver/Name"));
    let _ = writeln!(output, "Created at:        {}", time(secret, "/CreatedAt"));
    let _ = writeln!(output, "Updated at:        {}", time(secret, "/UpdatedAt"));
    output
}

fn config(config: &Value) -> String {
    use base64::Engine as _;
    let mut output = format!("ID:\t\t\t{}\nName:\t\t\t{}\n", text(config, "/ID"), text(config, "/Spec/Name"));
    let labels = pairs(config, "/Spec/Labels");
    if !labels.is_empty() {
        output.push_str("Labels:\n");
        for label in labels {
            let _ = writeln!(output, " - {label}");
        }
    }
    let _ = writeln!(output, "Created at:            \t{}", time(config, "/CreatedAt"));
    let _ = writeln!(output, "Updated at:            \t{}", time(config, "/UpdatedAt"));
    let data = base64::engine::general_purpose::STANDARD.decode(text(config, "/Spec/Data")).unwrap_or_default();
    let _ = writeln!(output, "Data:\n{}", String::from_utf8_lossy(&data));
    output
}

async fn service(context: &Context, service: &Value) -> String {
    let mut output = format!("\nID:\t\t{}\nName:\t\t{}\n", text(service, "/ID"), text(service, "/Spec/Name"));
    let labels = pairs(service, "/Spec/Labels");
    if !labels.is_empty() {
        output.push_str("Labels:\n");
        for label in labels {
            let _ = writeln!(output, " {label}");
        }
    }
    mode_and_placement(service, context.console.now().as_second(), &mut output);
    for (title, section, order) in [
        ("UpdateConfig", "/Spec/UpdateConfig", "Update order"),
        ("RollbackConfig", "/Spec/RollbackConfig", "Rollback order"),
    ] {
        if let Some(config) = service.pointer(section).filter(|config| !config.is_null()) {
            policy(title, config, order, &mut output);
        }
    }
    container(service, &mut output);
    resources(service, &mut output);
    let networks = list(service, "/Spec/TaskTemplate/Networks");
    if !networks.is_empty() {
        output.push_str("Networks:");
        for network in networks {
            let id = text(network, "/Target");
            let name =
                context.api.inspect_network(&id, false, Some("swarm")).await.ok().and_then(|network| network.name);
            let _ = write!(output, " {}", name.unwrap_or(id));
        }
        output.push_str(" \n");
    }
    let _ = writeln!(output, "Endpoint Mode:\t{}", text(service, "/Endpoint/Spec/Mode"));
    let ports = list(service, "/Endpoint/Ports");
    if !ports.is_empty() {
        output.push_str("Ports:\n");
        for port in ports {
            let _ = writeln!(
                output,
                " PublishedPort = {}\n  Protocol = {}\n  TargetPort = {}\n  PublishMode = {}",
                number(port, "/PublishedPort"),
                text(port, "/Protocol"),
                number(port, "/TargetPort"),
                text(port, "/PublishMode")
            );
        }
        // The template ends its list on a space.
        output.insert(output.len() - 1, ' ');
    }
    output
}

fn mode_and_placement(service: &Value, now: i64, output: &mut String) {
    let has = |mode: &str| service.pointer(&format!("/Spec/Mode/{mode}")).is_some_and(|mode| !mode.is_null());
    if has("Global") {
        output.push_str("Service Mode:\tGlobal\n");
    } else if has("ReplicatedJob") {
        let job = |key: &str| number(service, &format!("/Spec/Mode/ReplicatedJob/{key}"));
        let _ = writeln!(
            output,
            "Service Mode:\tReplicatedJob\n Max Concurrent:\t{}\n Total Completions:\t{}",
            job("MaxConcurrent"),
            job("TotalCompletions")
        );
    } else if has("GlobalJob") {
        output.push_str("Service Mode:\tGlobalJob\n");
    } else {
        let replicas = number(service, "/Spec/Mode/Replicated/Replicas");
        let _ = writeln!(output, "Service Mode:\tReplicated\n Replicas:\t{replicas}");
    }
    let state = text(service, "/UpdateStatus/State");
    if !state.is_empty() {
        let _ = writeln!(output, "UpdateStatus:\n State:\t\t{state}");
        for (label, key, padding) in [("Started", "StartedAt", "\t"), ("Completed", "CompletedAt", "\t")] {
            let moment = text(service, &format!("/UpdateStatus/{key}"));
            if !moment.is_empty() {
                let _ = writeln!(output, " {label}:{padding}{} ago", since(&moment, now));
            }
        }
        let _ = writeln!(output, " Message:\t{}", text(service, "/UpdateStatus/Message"));
    }
    output.push_str("Placement:\n");
    let constraints = strings(service, "/Spec/TaskTemplate/Placement/Constraints");
    if !constraints.is_empty() {
        let _ = writeln!(output, " Constraints:\t[{}]", constraints.join(" "));
    }
    let preferences: Vec<String> = list(service, "/Spec/TaskTemplate/Placement/Preferences")
        .iter()
        .map(|preference| format!("spread={}", text(preference, "/Spread/SpreadDescriptor")))
        .collect();
    if !preferences.is_empty() {
        let _ = writeln!(output, " Preferences:\t[{}]", preferences.join(" "));
    }
    let most = number(service, "/Spec/TaskTemplate/Placement/MaxReplicas");
    if most > 0 {
        let _ = writeln!(output, " Max Replicas Per Node:   {most}");
    }
}

/// How long ago a moment was, by this machine's clock.
fn since(moment: &str, now: i64) -> String {
    let then = moment.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
    format::duration(now - then).to_lowercase()
}

fn policy(title: &str, config: &Value, order: &str, output: &mut String) {
    let _ = writeln!(output, "{title}:\n Parallelism:\t{}", number(config, "/Parallelism"));
    let delay = number(config, "/Delay");
    if delay != 0 {
        let _ = writeln!(output, " Delay:\t\t{}", duration_text(delay));
    }
    let _ = writeln!(output, " On failure:\t{}", text(config, "/FailureAction"));
    let monitor = number(config, "/Monitor");
    if monitor != 0 {
        let _ = writeln!(output, " Monitoring Period: {}", duration_text(monitor));
    }
    let _ = writeln!(output, " Max failure ratio: {}", float(config, "/MaxFailureRatio"));
    let padding = if order == "Update order" { "      " } else { "    " };
    let _ = writeln!(output, " {order}:{padding}{}", text(config, "/Order"));
}

fn container(service: &Value, output: &mut String) {
    let at = |key: &str| format!("/Spec/TaskTemplate/ContainerSpec/{key}");
    let _ = writeln!(output, "ContainerSpec:\n Image:\t\t{}", text(service, &at("Image")));
    let args = strings(service, &at("Args"));
    if !args.is_empty() {
        let _ = writeln!(output, " Args:\t\t{} ", args.join(" "));
    }
    let env = strings(service, &at("Env"));
    if !env.is_empty() {
        let _ = writeln!(output, " Env:\t\t{} ", env.join(" "));
    }
    for (label, key) in [("Dir", "Dir"), ("User", "User")] {
        let given = text(service, &at(key));
        if !given.is_empty() {
            let _ = writeln!(output, " {label}:\t\t{given}");
        }
    }
    if let Some(init) = service.pointer(&at("Init")).and_then(Value::as_bool) {
        let _ = writeln!(output, " Init:\t\t{init}");
    }
    let mounts = list(service, &at("Mounts"));
    if !mounts.is_empty() {
        output.push_str("Mounts:\n");
        for mount in mounts {
            let _ = writeln!(
                output,
                " Target:\t{}\n  Source:\t{}\n  ReadOnly:\t{}\n  Type:\t\t{}",
                text(mount, "/Target"),
                text(mount, "/Source"),
                boolean(mount, "/ReadOnly"),
                text(mount, "/Type")
            );
        }
    }
    for (label, key, name) in [("Configs", "Configs", "ConfigName"), ("Secrets", "Secrets", "SecretName")] {
        let files = list(service, &at(key));
        if !files.is_empty() {
            let _ = writeln!(output, "{label}:");
            for file in files {
                let _ = writeln!(
                    output,
                    " Target:\t{}\n  Source:\t{}",
                    text(file, "/File/Name"),
                    text(file, &format!("/{name}"))
                );
            }
        }
    }
    let driver = text(service, "/Spec/TaskTemplate/LogDriver/Name");
    if !driver.is_empty() {
        let _ = writeln!(output, "Log Driver:\n Name:\t\t{driver}");
        let options = pairs(service, "/Spec/TaskTemplate/LogDriver/Options");
        if !options.is_empty() {
            output.push_str(" LogOpts:\n");
            for option in options {
                let (key, value) = option.split_once('=').unwrap_or((&option, ""));
                let _ = writeln!(output, "  {key}:\t{value}");
            }
        }
    }
}

fn resources(service: &Value, output: &mut String) {
    output.push_str("Resources:\n");
    for (label, section) in [("Reservations", "Reservations"), ("Limits", "Limits")] {
        let at = |key: &str| format!("/Spec/TaskTemplate/Resources/{section}/{key}");
        let (cpus, bytes) = (number(service, &at("NanoCPUs")), number(service, &at("MemoryBytes")));
        let pids = number(service, &at("Pids"));
        if cpus == 0 && bytes == 0 && pids == 0 {
            continue;
        }
        let _ = writeln!(output, " {label}:");
        if cpus != 0 {
            #[allow(clippy::cast_precision_loss)] // a number of CPUs to show
            let _ = writeln!(output, "  CPU:\t\t{}", format::significant(cpus as f64 / 1e9, 6));
        }
        if bytes != 0 {
            #[allow(clippy::cast_precision_loss)] // a size to show
            let _ = writeln!(output, "  Memory:\t{}", format::binary_size(bytes as f64));
        }
        if pids != 0 {
            let _ = writeln!(output, "  PIDs:\t\t{pids}");
        }
    }
}
