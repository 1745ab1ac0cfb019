//! `docker start` and `docker attach`.

use docklab_api::WaitCondition;

use super::stream;
use crate::{
    commands::json as fields,
    context::{Context, Invocation},
    error::{CliError, CliResult, daemon_message},
};

/// `docker start`, attached with `-a` or `-i`.
pub(crate) async fn start(context: &Context, call: &Invocation) -> CliResult {
    if call.flags.given("checkpoint") || call.flags.given("checkpoint-dir") {
        let flag = if call.flags.given("checkpoint") { "checkpoint" } else { "checkpoint-dir" };
        return Err(CliError::new(format!(
            "\"--{flag}\" is only supported on a Docker daemon with experimental features enabled"
        )));
    }
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
        detach_keys: stream::keys_text(context, call),
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
    let keys = stream::detach_keys(context, call);
    let proxy = call.flags.boolean("sig-proxy", true);
    match stream::copy(context, attached, &target, stream::Input::of(stdin, keys), proxy).await? {
        stream::End::Detached => Ok(0),
        stream::End::Output => Ok(i32::try_from(ended.await?.status_code).unwrap_or(125)),
    }
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
        detach_keys: stream::keys_text(context, call),
    };
    let attached = context.api.attach_container(name, options).await?;
    let target = stream::Target::Container(name.to_owned());
    if attached.tty {
        target.resize(context).await;
    }
    let keys = stream::detach_keys(context, call);
    let proxy = call.flags.boolean("sig-proxy", true);
    let end = stream::copy(context, attached, &target, stream::Input::of(stdin, keys), proxy).await?;
    if end == stream::End::Detached {
        return Err(CliError::new(stream::ESCAPED));
    }
    let container = fields::value(&context.api.inspect_container(name, false).await?);
    if fields::boolean(&container, "/State/Running") {
        // Detached by the keys: the container goes on.
        return Ok(0);
    }
    Ok(i32::try_from(ended.await?.status_code).unwrap_or(125))
}
