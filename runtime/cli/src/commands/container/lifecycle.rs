//! Commands that change containers by name: stop, kill, rm and their kin.

use docklab_api::{RemoveContainer, StopContainer, WaitCondition};
use futures::{StreamExt as _, stream::FuturesOrdered};
use serde_json::json;

use super::create;
use crate::{
    commands::{joined, json as fields},
    context::{Context, Invocation},
    error::{CliError, CliResult, daemon_message},
};

async fn stop_options(context: &Context, call: &Invocation) -> CliResult<StopContainer> {
    let flags = &call.flags;
    if flags.given("time") {
        context.line("Flag --time has been deprecated, use --timeout instead").await;
        if flags.given("timeout") {
            return Err(CliError::new("conflicting options: cannot specify both --timeout and --time"));
        }
    }
    let timeout = flags.integer("timeout").or_else(|| flags.integer("time"));
    Ok(StopContainer { signal: flags.get("signal").map(ToOwned::to_owned), timeout })
}

pub(crate) async fn stop(context: &Context, call: &Invocation) -> CliResult {
    let options = stop_options(context, call).await?;
    context
        .each_at_once(&call.arguments, |name| {
            let options = options.clone();
            async move {
                context.api.stop_container(&name, options).await?;
                Ok(name)
            }
        })
        .await
}

pub(crate) async fn restart(context: &Context, call: &Invocation) -> CliResult {
    let options = stop_options(context, call).await?;
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
        .each_at_once(&call.arguments, |name| {
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
        .each_at_once(&call.arguments, |name| async move {
            context.api.pause_container(&name).await?;
            Ok(name)
        })
        .await
}

pub(crate) async fn unpause(context: &Context, call: &Invocation) -> CliResult {
    context
        .each_at_once(&call.arguments, |name| async move {
            context.api.unpause_container(&name).await?;
            Ok(name)
        })
        .await
}

pub(crate) async fn remove(context: &Context, call: &Invocation) -> CliResult {
    let force = call.flags.is_set("force");
    let options = RemoveContainer { force, volumes: call.flags.is_set("volumes"), link: call.flags.is_set("link") };
    let mut outcomes: FuturesOrdered<_> =
        call.arguments.iter().map(|name| remove_one(context, name, options)).collect();
    let mut failures = Vec::new();
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            Ok(Some(name)) => context.line(name).await,
            Ok(None) => {}
            Err(error) => failures.push(error.message),
        }
    }
    joined(failures)
}

/// The name to print, if any.
async fn remove_one<'a>(context: &Context, name: &'a str, options: RemoveContainer) -> CliResult<Option<&'a str>> {
    let trimmed = name.trim_matches('/');
    if trimmed.is_empty() {
        return Err(CliError::new("container name cannot be empty"));
    }
    match context.api.remove_container(trimmed, options).await {
        Ok(()) => Ok(Some(name)),
        // With --force a missing container is reported but is no failure.
        Err(error) if options.force && error.is_not_found() => {
            context.error_line(daemon_message(&error)).await;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
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
    let mut body = json!({});
    create::resources(call, &mut body);
    for (flag, key) in [("cpuset-cpus", "CpusetCpus"), ("cpuset-mems", "CpusetMems")] {
        if let Some(text) = flags.get(flag) {
            body[key] = json!(text);
        }
    }
    if let Some(policy) = flags.get("restart").filter(|policy| !policy.is_empty()) {
        body["RestartPolicy"] = create::restart(policy)?;
    }
    if body == json!({}) {
        return Err(CliError::new("you must provide one or more flags when using this command"));
    }
    let body: docklab_api::models::ContainerUpdateBody = serde_json::from_value(body)?;
    let (mut warnings, mut failures) = (Vec::new(), Vec::new());
    for name in &call.arguments {
        match context.api.update_container(name, body.clone()).await {
            Ok(answer) => {
                context.line(name).await;
                warnings.extend(fields::strings(&fields::value(&answer), "/Warnings"));
            }
            Err(error) => failures.push(daemon_message(&error)),
        }
    }
    if !warnings.is_empty() {
        context.line(warnings.join("\n")).await;
    }
    joined(failures)
}
