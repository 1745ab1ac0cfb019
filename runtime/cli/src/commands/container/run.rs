use docklab_api::{AttachContainer, CreateContainer, CreateImage, Reference, WaitCondition};

use super::{create, stream};
use crate::{
    commands::{image, json},
    console::Stream,
    context::{Context, Invocation},
    error::{CliError, CliResult, daemon_message},
};

/// `docker create`.
pub(crate) async fn create_command(context: &Context, call: &Invocation) -> CliResult {
    let id = create_container(context, call).await.map_err(|error| refused("docker create", &error.message))?;
    context.line(id).await;
    Ok(0)
}

/// The help named is always the short form's, however the command was reached.
fn refused(path: &str, message: &str) -> CliError {
    CliError::with_status(125, format!("docker: {message}\n\nRun '{path} --help' for more information"))
}

/// `docker run`: create (pulling on 404), attach, register the wait, start, copy, exit with the container's status.
pub(crate) async fn run(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let detached = flags.is_set("detach");
    let (tty, interactive) = (flags.is_set("tty"), flags.is_set("interactive"));
    if tty && interactive && !detached && !context.console.is_terminal(Stream::Stdin) {
        return Err(CliError::new("the input device is not a TTY"));
    }
    let id = create_container(context, call).await.map_err(|error| refused("docker run", &error.message))?;
    let attach = flags.list("attach");
    let wants = |name: &str| attach.is_empty() || attach.iter().any(|stream| stream.eq_ignore_ascii_case(name));
    let attached = if detached {
        None
    } else {
        let options = AttachContainer {
            stream: true,
            stdin: interactive && wants("stdin"),
            stdout: wants("stdout"),
            stderr: wants("stderr"),
            logs: false,
            detach_keys: flags.get("detach-keys").map(ToOwned::to_owned),
        };
        Some(context.api.attach_container(&id, options).await?)
    };
    let condition = if flags.is_set("rm") { WaitCondition::Removed } else { WaitCondition::NextExit };
    let ended = context.api.wait_container(&id, condition).await?;
    if let Err(error) = context.api.start_container(&id).await {
        if detached {
            context.line(&id).await;
        }
        if flags.is_set("rm") {
            // The engine removes it; the client waits for that before it reports.
            drop(attached);
            let _ = ended.await;
        }
        let mut failure = refused("docker run", &daemon_message(&error));
        failure.status = start_status(&error.message);
        return Err(failure);
    }
    let Some(attached) = attached else {
        context.line(&id).await;
        return Ok(0);
    };
    let target = stream::Target::Container(id.clone());
    if tty {
        target.resize(context).await;
    }
    let proxy = flags.boolean("sig-proxy", true);
    stream::copy(context, attached, &target, interactive && wants("stdin"), proxy).await?;
    let status = ended.await?;
    Ok(i32::try_from(status.status_code).unwrap_or(125))
}

/// 126 and 127 as a shell would answer, 125 for everything else.
fn start_status(message: &str) -> i32 {
    let has = |text: &str| message.contains(text);
    if has("executable file not found")
        || has("no such file or directory")
        || has("system cannot find the file specified")
    {
        127
    } else if has("permission denied") || has("is a directory") {
        126
    } else {
        125
    }
}

/// Creates, pulling the image when the engine answers 404. Returns the ID.
async fn create_container(context: &Context, call: &Invocation) -> CliResult<String> {
    let flags = &call.flags;
    let image = call.argument(0);
    let reference = Reference::parse(image)?.with_default_tag();
    let body: docklab_api::models::ContainerCreateBody = serde_json::from_value(create::body(context, call).await?)?;
    let options = CreateContainer {
        name: flags.get("name").map(ToOwned::to_owned),
        platform: flags.get("platform").map(ToOwned::to_owned),
    };
    let pull = flags.get("pull").unwrap_or("missing");
    if pull == "always" {
        pull_image(context, &reference, flags.is_set("quiet")).await?;
    }
    let created = match context.api.create_container(options.clone(), body.clone()).await {
        Err(error) if error.is_not_found() && pull == "missing" => {
            context.error_line(format!("Unable to find image '{}' locally", reference.familiar())).await;
            pull_image(context, &reference, flags.is_set("quiet")).await?;
            context.api.create_container(options, body).await?
        }
        other => other?,
    };
    let created = json::value(&created);
    for warning in json::strings(&created, "/Warnings") {
        context.error_line(format!("WARNING: {warning}")).await;
    }
    let id = json::text(&created, "/Id");
    if let Some(path) = flags.get("cidfile") {
        context.console.write_file(path, id.as_bytes(), 0o666).await?;
    }
    Ok(id)
}

async fn pull_image(context: &Context, reference: &Reference, quiet: bool) -> CliResult<()> {
    let options = CreateImage {
        from_image: Some(reference.name()),
        tag: reference.digest.clone().or_else(|| reference.tag.clone()),
        auth: image::credentials(context, &reference.domain).await,
        ..CreateImage::default()
    };
    let messages = context.api.create_image(options, None).await?;
    if quiet {
        return image::drain(messages).await;
    }
    crate::progress::show(context, Stream::Stderr, messages, |_| {}).await
}
