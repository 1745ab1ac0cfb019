use serde_json::json;

use super::{create, stream};
use crate::{
    commands::json::{number, value},
    console::Stream,
    context::{Context, Invocation},
    error::{CliError, CliResult},
};

/// `docker exec`: inspect, create, start, copy, then exit with the command's status.
pub(crate) async fn exec(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let container = call.argument(0);
    let (detached, tty, stdin) = (flags.is_set("detach"), flags.is_set("tty"), flags.is_set("interactive"));
    // The engine is asked before the terminal is looked at, so a wrong name is reported first.
    context.api.inspect_container(container, false).await?;
    if !detached && tty && stdin && !context.console.is_terminal(Stream::Stdin) {
        return Err(CliError::new("the input device is not a TTY"));
    }
    let size = context.console.terminal_size().filter(|_| tty).map(|(rows, columns)| json!([rows, columns]));
    let config: docklab_api::models::ExecConfig = serde_json::from_value(json!({
        "User": flags.text("user"), "Privileged": flags.is_set("privileged"), "Tty": tty,
        "ConsoleSize": size, "AttachStdin": stdin && !detached, "AttachStderr": !detached, "AttachStdout": !detached,
        "DetachKeys": stream::keys_text(context, call).unwrap_or_default(), "Env": create::environment(context, call).await?,
        "WorkingDir": flags.text("workdir"), "Cmd": call.arguments.get(1..).unwrap_or_default(),
    }))?;
    let id = context.api.create_exec(container, config).await?;
    let start = serde_json::from_value(json!({"Detach": detached, "Tty": tty, "ConsoleSize": size}))?;
    if let Some(attached) = context.api.start_exec(&id, start).await? {
        let target = stream::Target::Exec(id.clone());
        if tty {
            target.resize(context).await;
        }
        let input = stream::Input::of(stdin, stream::detach_keys(context, call));
        if stream::copy(context, attached, &target, input, false).await? == stream::End::Detached {
            return Err(CliError::new(stream::ESCAPED));
        }
        let state = value(&context.api.inspect_exec(&id).await?);
        return Ok(i32::try_from(number(&state, "/ExitCode")).unwrap_or(1));
    }
    debug_assert!(detached);
    Ok(0)
}
