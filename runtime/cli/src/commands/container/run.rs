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
    let id = create_container(context, call).await.map_err(|error| match error {
        Failed::Request(error) => error,
        Failed::Flags(error) => refused("docker create", &error.message),
    })?;
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
    if detached && flags.given("attach") {
        return Err(CliError::new("conflicting options: cannot specify both --attach and --detach"));
    }
    if tty && interactive && !detached && !context.console.is_terminal(Stream::Stdin) {
        return Err(CliError::new("the input device is not a TTY"));
    }
    let id = create_container(context, call).await.map_err(|error| match error {
        Failed::Flags(error) => refused("docker run", &error.message),
        Failed::Request(error) => {
            let mut failure = refused("docker run", &error.message);
            failure.status = start_status(&error.message);
            failure
        }
    })?;
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
            detach_keys: stream::keys_text(context, call),
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
    let input = stream::Input::of(interactive && wants("stdin"), stream::detach_keys(context, call));
    if stream::copy(context, attached, &target, input, proxy).await? == stream::End::Detached {
        return Ok(0);
    }
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

/// What creation failed of, which decides how it is reported.
enum Failed {
    /// The client's own reading of its flags.
    Flags(CliError),
    Request(CliError),
}

/// Creates, pulling the image when the engine answers 404. Returns the ID.
async fn create_container(context: &Context, call: &Invocation) -> Result<String, Failed> {
    let flags = &call.flags;
    let body = create::body(context, call).await.map_err(Failed::Flags)?;
    let refused = |message: String| Failed::Flags(CliError::new(message));
    let image = call.argument(0);
    let reference = Reference::parse(image)
        .map_err(|error| {
            if image.starts_with("sha256:") { Failed::Request(error.into()) } else { Failed::Flags(error.into()) }
        })?
        .with_default_tag();
    let body: docklab_api::models::ContainerCreateBody =
        serde_json::from_value(body).map_err(|error| refused(error.to_string()))?;
    let pull = flags.get("pull").unwrap_or("missing");
    if !matches!(pull, "always" | "missing" | "never") {
        return Err(refused(format!(
            "invalid pull option: '{pull}': must be one of \"always\", \"missing\" or \"never\""
        )));
    }
    if let Some(platform) = flags.get("platform").filter(|platform| !platform.is_empty()) {
        crate::commands::platform_json(platform).map_err(|_| {
            refused(format!(
                "error parsing specified platform: {platform:?}: cannot parse platform specifier: invalid argument"
            ))
        })?;
    }
    let file = reserve_id_file(context, flags.text("cidfile")).await.map_err(Failed::Request)?;
    let created = request(context, call, &reference, pull, body).await.map_err(Failed::Request)?;
    let created = json::value(&created);
    for warning in json::strings(&created, "/Warnings") {
        context.error_line(format!("WARNING: {warning}")).await;
    }
    let id = json::text(&created, "/Id");
    if let Some(path) = file {
        let written = context.console.write_file(path, id.as_bytes(), 0o666).await;
        written.map_err(|error| Failed::Request(error.into()))?;
    }
    Ok(id)
}

/// The file for the ID must not exist: it would be another container's.
async fn reserve_id_file<'a>(context: &Context, path: &'a str) -> CliResult<Option<&'a str>> {
    if path.is_empty() {
        return Ok(None);
    }
    if context.console.metadata(path).await.is_ok() {
        return Err(CliError::new(format!(
            "container ID file found, make sure the other container isn't running or delete {path}"
        )));
    }
    let folder = path.rsplit_once('/').map_or(".", |(folder, _)| if folder.is_empty() { "/" } else { folder });
    if let Err(error) = context.console.metadata(folder).await {
        return Err(CliError::new(format!("failed to create the container ID file: open {path}: {}", error.reason)));
    }
    Ok(Some(path))
}

async fn request(
    context: &Context,
    call: &Invocation,
    reference: &Reference,
    pull: &str,
    body: docklab_api::models::ContainerCreateBody,
) -> CliResult<docklab_api::models::ContainerCreateResponse> {
    let flags = &call.flags;
    let options = CreateContainer {
        name: flags.get("name").map(ToOwned::to_owned),
        platform: flags.get("platform").map(ToOwned::to_owned),
    };
    let quiet = flags.is_set("quiet");
    if pull == "always" {
        pull_image(context, call, reference, quiet).await?;
    }
    match context.api.create_container(options.clone(), body.clone()).await {
        Err(error) if error.is_not_found() && pull == "missing" => {
            if !quiet {
                context.error_line(format!("Unable to find image '{}' locally", reference.familiar())).await;
            }
            pull_image(context, call, reference, quiet).await?;
            Ok(context.api.create_container(options, body).await?)
        }
        other => Ok(other?),
    }
}

async fn pull_image(context: &Context, call: &Invocation, reference: &Reference, quiet: bool) -> CliResult<()> {
    let options = CreateImage {
        from_image: Some(reference.name()),
        tag: reference.digest.clone().or_else(|| reference.tag.clone()),
        platform: call.flags.get("platform").map(ToOwned::to_owned),
        auth: image::credentials(context, &reference.domain).await,
        ..CreateImage::default()
    };
    let messages = context.api.create_image(options, None).await?;
    if quiet {
        return image::drain(messages).await;
    }
    crate::progress::show(context, Stream::Stderr, messages, |_| {}).await
}
