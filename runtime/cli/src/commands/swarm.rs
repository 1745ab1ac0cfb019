//! `docker swarm …`.

use docklab_api::{RawRequest, UpdateSwarm};
use serde_json::{Value, json};

use crate::{
    commands::json::{boolean, number, text, value},
    console::Stream,
    context::{Context, Invocation},
    error::{CliError, CliResult},
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
        "swarm update" => update(context, call).await,
        "swarm ca" => authority(context, call).await,
        "swarm unlock-key" => unlock_key(context, call).await,
        _ => unlock(context).await,
    }
}

/// Go's `strings.Title` of one lower-case word.
pub(crate) fn title(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Sets in a swarm's specification what flags of `init` and `update` name.
fn specify(call: &Invocation, spec: &mut Value) {
    let flags = &call.flags;
    if flags.given("autolock") {
        spec["EncryptionConfig"]["AutoLockManagers"] = json!(flags.is_set("autolock"));
    }
    if let Some(nanoseconds) = flags.duration("cert-expiry") {
        spec["CAConfig"]["NodeCertExpiry"] = json!(nanoseconds);
    }
    if let Some(nanoseconds) = flags.duration("dispatcher-heartbeat") {
        spec["Dispatcher"]["HeartbeatPeriod"] = json!(nanoseconds);
    }
    for (flag, section, key) in [
        ("task-history-limit", "Orchestration", "TaskHistoryRetentionLimit"),
        ("snapshot-interval", "Raft", "SnapshotInterval"),
        ("max-snapshots", "Raft", "KeepOldSnapshots"),
    ] {
        if let Some(number) = flags.integer(flag) {
            spec[section][key] = json!(number);
        }
    }
    let authorities: Vec<Value> = flags
        .list("external-ca")
        .iter()
        .map(|text| {
            let mut authority = json!({});
            for field in text.split(',') {
                let (key, value) = field.split_once('=').unwrap_or((field, ""));
                match key {
                    "protocol" => authority["Protocol"] = json!(value),
                    "url" => authority["URL"] = json!(value),
                    "cacert" => authority["CACert"] = json!(value),
                    key => authority["Options"][key] = json!(value),
                }
            }
            authority
        })
        .collect();
    if !authorities.is_empty() {
        spec["CAConfig"]["ExternalCAs"] = json!(authorities);
    }
}

async fn init(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let mut spec = json!({"EncryptionConfig": {"AutoLockManagers": flags.is_set("autolock")}});
    specify(call, &mut spec);
    let mut body = json!({
        "ListenAddr": listen_address(call), "AdvertiseAddr": flags.text("advertise-addr"),
        "DataPathAddr": flags.text("data-path-addr"), "DataPathPort": flags.integer("data-path-port").unwrap_or(0),
        "ForceNewCluster": flags.is_set("force-new-cluster"), "AutoLockManagers": flags.is_set("autolock"),
        "SubnetSize": flags.integer("default-addr-pool-mask-length").unwrap_or(24), "Spec": spec,
    });
    let pools: Vec<String> = flags.list("default-addr-pool");
    if !pools.is_empty() {
        body["DefaultAddrPool"] = json!(pools);
    }
    if let Some(availability) = availability(call)? {
        body["Availability"] = json!(availability);
    }
    let request = RawRequest::post("/swarm/init").body(body.clone());
    let node = match context.raw(request).await {
        Some(answer) => answer?.as_str().unwrap_or_default().to_owned(),
        None => context.api.init_swarm(serde_json::from_value(body)?).await?,
    };
    context.line(format!("Swarm initialized: current node ({node}) is now a manager.\n")).await;
    print_join_command(context, &node, true).await?;
    context
        .line("To add a manager to this swarm, run 'docker swarm join-token manager' and follow the instructions.")
        .await;
    if flags.is_set("autolock") {
        let key = text(&value(&context.api.swarm_unlock_key().await?), "/UnlockKey");
        context.line(unlock_text(&key)).await;
    }
    Ok(0)
}

/// `--listen-addr` with its port.
fn listen_address(call: &Invocation) -> String {
    match call.flags.text("listen-addr") {
        "" => "0.0.0.0:2377".to_owned(),
        given if given.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']')) => {
            given.to_owned()
        }
        given => format!("{given}:2377"),
    }
}

fn availability(call: &Invocation) -> CliResult<Option<String>> {
    match call.flags.get("availability").map(str::to_lowercase) {
        None => Ok(None),
        Some(given) if matches!(given.as_str(), "active" | "pause" | "drain") => Ok(Some(given)),
        Some(given) => Err(CliError::new(format!(
            "invalid availability {}, only active, pause and drain are supported",
            crate::format::quote(&given)
        ))),
    }
}

fn unlock_text(key: &str) -> String {
    format!(
        "To unlock a swarm manager after it restarts, run the `docker swarm unlock`\ncommand and provide the following key:\n\n    {key}\n\nRemember to store this key in a password manager, since without it you\nwill not be able to restart the manager."
    )
}

/// The swarm's specification changed by `change`, and its version.
async fn change(context: &Context, options: UpdateSwarm, spec: &Value) -> CliResult<()> {
    let mut request = RawRequest::post("/swarm/update").query("version", options.version.to_string());
    for (key, rotate) in [
        ("rotateManagerToken", options.rotate_manager_token),
        ("rotateManagerUnlockKey", options.rotate_manager_unlock_key),
        ("rotateWorkerToken", options.rotate_worker_token),
    ] {
        request = request.query(key, rotate.to_string());
    }
    match context.raw(request.body(spec.clone())).await {
        Some(answer) => answer.map(|_| ())?,
        None => context.api.update_swarm(options, serde_json::from_value(spec.clone())?).await?,
    }
    Ok(())
}

/// The swarm as its engine wrote it.
async fn swarm(context: &Context) -> CliResult<Value> {
    Ok(match context.raw(RawRequest::get("/swarm")).await {
        Some(answer) => answer?,
        None => value(&context.api.inspect_swarm().await?),
    })
}

fn version(swarm: &Value) -> u64 {
    u64::try_from(number(swarm, "/Version/Index")).unwrap_or(0)
}

async fn update(context: &Context, call: &Invocation) -> CliResult {
    let known = [
        "autolock",
        "cert-expiry",
        "dispatcher-heartbeat",
        "external-ca",
        "max-snapshots",
        "snapshot-interval",
        "task-history-limit",
    ];
    if !known.iter().any(|flag| call.flags.given(flag)) {
        let text = crate::grammar::help(call.command, &call.path, 80, context.console.as_ref());
        context.stdout(text).await;
        return Ok(0);
    }
    let before = swarm(context).await?;
    let mut spec = before.get("Spec").cloned().unwrap_or_else(|| json!({}));
    let was_locked = boolean(&spec, "/EncryptionConfig/AutoLockManagers");
    specify(call, &mut spec);
    change(context, UpdateSwarm { version: version(&before), ..UpdateSwarm::default() }, &spec).await?;
    context.line("Swarm updated.").await;
    if boolean(&spec, "/EncryptionConfig/AutoLockManagers") && !was_locked {
        let key = text(&value(&context.api.swarm_unlock_key().await?), "/UnlockKey");
        context.line(unlock_text(&key)).await;
    }
    Ok(0)
}

async fn unlock_key(context: &Context, call: &Invocation) -> CliResult {
    let quiet = call.flags.is_set("quiet");
    if call.flags.is_set("rotate") {
        let before = swarm(context).await?;
        let spec = before.get("Spec").cloned().unwrap_or_else(|| json!({}));
        if !boolean(&spec, "/EncryptionConfig/AutoLockManagers") {
            return Err(CliError::new("cannot rotate because autolock is not turned on"));
        }
        let options =
            UpdateSwarm { version: version(&before), rotate_manager_unlock_key: true, ..UpdateSwarm::default() };
        change(context, options, &spec).await?;
        if !quiet {
            context.line("Successfully rotated manager unlock key.\n").await;
        }
    }
    let key = text(&value(&context.api.swarm_unlock_key().await?), "/UnlockKey");
    if key.is_empty() {
        return Err(CliError::new("no unlock key is set"));
    }
    context.line(if quiet { key } else { unlock_text(&key) }).await;
    Ok(0)
}

async fn unlock(context: &Context) -> CliResult {
    let info = value(&context.api.info().await?);
    match text(&info, "/Swarm/LocalNodeState").as_str() {
        "inactive" => return Err(CliError::new("Error: This node is not part of a swarm")),
        "locked" => {}
        _ => return Err(CliError::new("Error: swarm is not locked")),
    }
    if context.console.is_terminal(Stream::Stdin) {
        context.stdout("Enter unlock key: ").await;
    }
    let key = crate::commands::input::read_line(context.console.as_ref()).await;
    context.api.unlock_swarm(key.trim().to_owned()).await?;
    Ok(0)
}

/// `docker swarm ca`: shows the root certificate, or has a new one made.
async fn authority(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let before = swarm(context).await?;
    let root = |swarm: &Value| text(swarm, "/TLSInfo/TrustRoot");
    if !flags.is_set("rotate") {
        for flag in ["ca-cert", "ca-key", "cert-expiry", "external-ca"] {
            if flags.given(flag) {
                return Err(CliError::new(format!("`--{flag}` flag requires the `--rotate` flag to update the CA")));
            }
        }
        let root = root(&before);
        if root.is_empty() {
            context.line("No CA information available").await;
        } else {
            context.line(root.trim()).await;
        }
        return Ok(0);
    }
    if flags.given("external-ca") && !flags.given("ca-cert") {
        return Err(CliError::new(
            "rotating to an external CA requires the `--ca-cert` flag to specify the external CA's cert - to add an external CA with the current root CA certificate, use the `update` command instead",
        ));
    }
    if flags.given("ca-cert") && !flags.given("external-ca") && !flags.given("ca-key") {
        return Err(CliError::new(
            "the --ca-cert flag requires that a --ca-key flag and/or --external-ca flag be provided as well",
        ));
    }
    let mut spec = before.get("Spec").cloned().unwrap_or_else(|| json!({}));
    specify(call, &mut spec);
    spec["CAConfig"]["ForceRotate"] = json!(number(&spec, "/CAConfig/ForceRotate") + 1);
    for (flag, key) in [("ca-cert", "SigningCACert"), ("ca-key", "SigningCAKey")] {
        spec["CAConfig"][key] = match flags.get(flag) {
            Some(path) => json!(String::from_utf8_lossy(&context.console.read_file(path).await?)),
            None => json!(""),
        };
    }
    change(context, UpdateSwarm { version: version(&before), ..UpdateSwarm::default() }, &spec).await?;
    if flags.is_set("detach") {
        return Ok(0);
    }
    let mut signals = context.signals();
    loop {
        let now = swarm(context).await?;
        if !boolean(&now, "/RootRotationInProgress") {
            context.line(root(&now).trim()).await;
            return Ok(0);
        }
        let pause = context.console.sleep(std::time::Duration::from_millis(200));
        let outcome = futures::future::select(pause, futures::StreamExt::next(&mut signals)).await;
        if matches!(outcome, futures::future::Either::Right(_)) {
            context.line("Operation continuing in background.").await;
            return Ok(0);
        }
    }
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
    let mut body = json!({
        "ListenAddr": listen_address(call), "AdvertiseAddr": flags.text("advertise-addr"),
        "DataPathAddr": flags.text("data-path-addr"), "RemoteAddrs": [call.argument(0)], "JoinToken": flags.text("token"),
    });
    if let Some(availability) = availability(call)? {
        body["Availability"] = json!(availability);
    }
    match context.raw(RawRequest::post("/swarm/join").body(body.clone())).await {
        Some(answer) => answer.map(|_| ())?,
        None => context.api.join_swarm(serde_json::from_value(body)?).await?,
    }
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
    let quiet = call.flags.is_set("quiet");
    if call.flags.is_set("rotate") {
        let before = swarm(context).await?;
        let options = UpdateSwarm {
            version: version(&before),
            rotate_worker_token: worker,
            rotate_manager_token: !worker,
            rotate_manager_unlock_key: false,
        };
        change(context, options, &before.get("Spec").cloned().unwrap_or_else(|| json!({}))).await?;
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
