//! Commands that change containers by name: stop, kill, rm and their kin.

use docklab_api::{RemoveContainer, StopContainer, WaitCondition};
use serde_json::json;

use super::stream;
use crate::{
    commands::{joined, json as fields},
    context::{Context, Invocation},
    error::{CliError, CliResult, daemon_message},
};

fn stop_options(call: &Invocation) -> StopContainer {
    let timeout = call.flags.integer("timeout").or_else(|| call.flags.integer("time"));
    StopContainer { signal: call.flags.get("signal").map(ToOwned::to_owned), timeout }
}

pub(crate) async fn stop(context: &Context, call: &Invocation) -> CliResult {
    let options = stop_options(call);
    context
        .each(&call.arguments, |name| {
            let options = options.clone();
            async move {
                context.api.stop_container(&name, options).await?;
                Ok(name)
            }
        })
        .await
}

pub(crate) async fn restart(context: &Context, call: &Invocation) -> CliResult {
    let options = stop_options(call);
    context
        .each(&call.arguments, |name| {
            let options = options.clone();
            async move {
                context.api.restart_container(&name, options).await?;
                Ok(name)
            }
        })
        .await
}

pub(crate) async fn kill(context: &Context, call: &Invocation) -> CliResult {
    let signal = call.flags.get("signal").map(ToOwned::to_owned);
    context
        .each(&call.arguments, |name| {
            let signal = signal.clone();
            async move {
                context.api.kill_container(&name, signal).await?;
                Ok(name)
            }
        })
        .await
}

pub(crate) async fn pause(context: &Context, call: &Invocation) -> CliResult {
    context
        .each(&call.arguments, |name| async move {
            context.api.pause_container(&name).await?;
            Ok(name)
        })
        .await
}

pub(crate) async fn unpause(context: &Context, call: &Invocation) -> CliResult {
    context
        .each(&call.arguments, |name| async move {
            context.api.unpause_container(&name).await?;
            Ok(name)
        })
        .await
}

pub(crate) async fn remove(context: &Context, call: &Invocation) -> CliResult {
    let force = call.flags.is_set("force");
    let options = RemoveContainer { force, volumes: call.flags.is_set("volumes"), link: call.flags.is_set("link") };
    let mut failures = Vec::new();
    for name in &call.arguments {
        let trimmed = name.trim_matches('/');
        match context.api.remove_container(trimmed, options).await {
            Ok(()) => context.line(name).await,
            // With --force a missing container is reported but is no failure.
            Err(error) if force && error.is_not_found() => context.error_line(daemon_message(&error)).await,
            Err(error) => failures.push(daemon_message(&error)),
        }
    }
    joined(failures)
}

pub(crate) async fn rename(context: &Context, call: &Invocation) -> CliResult {
    let (old, new) = (call.argument(0).trim(), call.argument(1).trim());
    if old.is_empty() || new.is_empty() {
        return Err(CliError::new("Error: Neither old nor new names may be empty"));
    }
    if let Err(error) = context.api.rename_container(old, new).await {
        let reason = crate::error::daemon_message(&error);
        return Err(CliError::new(format!("{reason}\nError: failed to rename container named {old}")));
    }
    Ok(0)
}

pub(crate) async fn wait(context: &Context, call: &Invocation) -> CliResult {
    context
        .each(&call.arguments, |name| async move {
            let ended = context.api.wait_container(&name, WaitCondition::NotRunning).await?;
            Ok(ended.await?.status_code.to_string())
        })
        .await
}

pub(crate) async fn update(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let mut body = serde_json::Map::new();
    for (flag, key) in
        [("memory", "Memory"), ("memory-reservation", "MemoryReservation"), ("memory-swap", "MemorySwap")]
    {
        if let Some(bytes) = flags.bytes(flag) {
            body.insert(key.to_owned(), json!(bytes));
        }
    }
    for (flag, key) in [
        ("cpu-shares", "CpuShares"),
        ("cpu-period", "CpuPeriod"),
        ("cpu-quota", "CpuQuota"),
        ("pids-limit", "PidsLimit"),
    ] {
        if let Some(number) = flags.integer(flag) {
            body.insert(key.to_owned(), json!(number));
        }
    }
    if let Some(cpus) = flags.get("cpus").and_then(|cpus| cpus.parse::<f64>().ok()) {
        #[allow(clippy::cast_possible_truncation)] // billionths of a CPU
        body.insert("NanoCpus".to_owned(), json!((cpus * 1e9) as i64));
    }
    if let Some(policy) = flags.get("restart") {
        let (name, count) = policy.split_once(':').unwrap_or((policy, "0"));
        let count: i64 = count.parse().unwrap_or(0);
        body.insert("RestartPolicy".to_owned(), json!({"Name": name, "MaximumRetryCount": count}));
    }
    if body.is_empty() {
        return Err(CliError::new("you must provide one or more flags when using this command"));
    }
    let body: docklab_api::models::ContainerUpdateBody = serde_json::from_value(serde_json::Value::Object(body))?;
    context
        .each(&call.arguments, |name| {
            let body = body.clone();
            async move {
                let answer = fields::value(&context.api.update_container(&name, body).await?);
                for warning in fields::strings(&answer, "/Warnings") {
                    context.error_line(warning).await;
                }
                Ok(name)
            }
        })
        .await
}

/// `docker start`, attached with `-a` or `-i`.
pub(crate) async fn start(context: &Context, call: &Invocation) -> CliResult {
    let interactive = call.flags.is_set("interactive");
    if !call.flags.is_set("attach") && !interactive {
        let mut names = Vec::new();
        for name in &call.arguments {
            match context.api.start_container(name).await {
                Ok(_) => context.line(name).await,
                Err(error) => {
                    context.error_line(daemon_message(&error)).await;
                    names.push(name.clone());
                }
            }
        }
        if names.is_empty() {
            return Ok(0);
        }
        return Err(CliError::new(format!("Error: failed to start containers: {}", names.join(", "))));
    }
    if call.arguments.len() > 1 {
        return Err(CliError::new("you cannot start and attach multiple containers at once"));
    }
    let container = fields::value(&context.api.inspect_container(call.argument(0), false).await?);
    let id = fields::text(&container, "/Id");
    let options = docklab_api::AttachContainer {
        stream: true,
        stdin: interactive && fields::boolean(&container, "/Config/OpenStdin"),
        stdout: true,
        stderr: true,
        logs: false,
        detach_keys: call.flags.get("detach-keys").map(ToOwned::to_owned),
    };
    let stdin = options.stdin;
    let attached = context.api.attach_container(&id, options).await?;
    let condition = if fields::boolean(&container, "/HostConfig/AutoRemove") {
        WaitCondition::Removed
    } else {
        WaitCondition::NextExit
    };
    let ended = context.api.wait_container(&id, condition).await?;
    context.api.start_container(&id).await?;
    let target = stream::Target::Container(id);
    if attached.tty {
        target.resize(context).await;
    }
    stream::copy(context, attached, &target, stdin, call.flags.boolean("sig-proxy", true)).await?;
    Ok(i32::try_from(ended.await?.status_code).unwrap_or(125))
}

pub(crate) async fn attach(context: &Context, call: &Invocation) -> CliResult {
    let name = call.argument(0);
    let ended = context.api.wait_container(name, WaitCondition::NotRunning).await?;
    let container = fields::value(&context.api.inspect_container(name, false).await?);
    if !fields::boolean(&container, "/State/Running") {
        return Err(CliError::new("You cannot attach to a stopped container, start it first"));
    }
    if fields::boolean(&container, "/State/Paused") {
        return Err(CliError::new("You cannot attach to a paused container, unpause it first"));
    }
    let stdin = !call.flags.is_set("no-stdin") && fields::boolean(&container, "/Config/OpenStdin");
    let options = docklab_api::AttachContainer {
        stream: true,
        stdin,
        stdout: true,
        stderr: true,
        logs: false,
        detach_keys: call.flags.get("detach-keys").map(ToOwned::to_owned),
    };
    let attached = context.api.attach_container(name, options).await?;
    let target = stream::Target::Container(name.to_owned());
    if attached.tty {
        target.resize(context).await;
    }
    stream::copy(context, attached, &target, stdin, call.flags.boolean("sig-proxy", true)).await?;
    let container = fields::value(&context.api.inspect_container(name, false).await?);
    if fields::boolean(&container, "/State/Running") {
        // Detached by the keys: the container goes on.
        return Ok(0);
    }
    Ok(i32::try_from(ended.await?.status_code).unwrap_or(125))
}
