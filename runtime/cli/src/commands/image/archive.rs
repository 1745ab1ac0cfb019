//! save, load, import and export: images and file systems as tar archives.

use bytes::Bytes;
use docklab_api::{ByteStream, CreateImage, Reference};
use futures::StreamExt;

use crate::{
    console::Stream,
    context::{Context, Invocation},
    error::{CliError, CliResult},
};

/// The folder of `--output` must be there before anything is asked for.
async fn check_output(context: &Context, call: &Invocation, what: &str) -> CliResult<()> {
    let Some(path) = call.flags.get("output").filter(|path| !path.is_empty()) else { return Ok(()) };
    let folder = path.rsplit_once('/').map_or(".", |(folder, _)| if folder.is_empty() { "/" } else { folder });
    match context.console.metadata(folder).await {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(CliError::new(format!("failed to {what}: invalid output path: stat {folder}: {}", error.reason)))
        }
    }
}

/// `--platform` of a save or load, as the API has it.
fn platforms(call: &Invocation) -> CliResult<Vec<String>> {
    call.flags
        .list("platform")
        .iter()
        .map(|text| {
            crate::commands::platform_json(text)
                .map_err(|error| CliError::new(format!("invalid platform: {}", error.message)))
        })
        .collect()
}

async fn deliver(context: &Context, call: &Invocation, mut archive: ByteStream) -> CliResult {
    match call.flags.get("output") {
        Some(path) => {
            let mut all = Vec::new();
            while let Some(bytes) = archive.next().await {
                all.extend_from_slice(&bytes?);
            }
            context.console.write_file(path, &all, 0o600).await?;
        }
        None => {
            while let Some(bytes) = archive.next().await {
                context.stdout(bytes?).await;
            }
        }
    }
    Ok(0)
}

fn refuse_terminal(context: &Context, call: &Invocation) -> CliResult<()> {
    if !call.flags.given("output") && context.console.is_terminal(Stream::Stdout) {
        return Err(CliError::new("cowardly refusing to save to a terminal. Use the -o flag or redirect"));
    }
    Ok(())
}

pub(crate) async fn save(context: &Context, call: &Invocation) -> CliResult {
    let platforms = platforms(call)?;
    check_output(context, call, "save image").await?;
    refuse_terminal(context, call)?;
    let archive = context.api.save_images_of(call.arguments.clone(), &platforms).await?;
    deliver(context, call, archive).await
}

pub(crate) async fn export(context: &Context, call: &Invocation) -> CliResult {
    check_output(context, call, "export container").await?;
    refuse_terminal(context, call)?;
    let archive = context.api.export_container(call.argument(0)).await?;
    deliver(context, call, archive).await
}

fn body(bytes: Vec<u8>) -> ByteStream {
    futures::stream::iter([Ok(Bytes::from(bytes))]).boxed()
}

pub(crate) async fn load(context: &Context, call: &Invocation) -> CliResult {
    if !platforms(call)?.is_empty() {
        return Err(CliError::new("this client loads archives whole; load it without --platform"));
    }
    let archive = match call.flags.get("input") {
        Some(path) => context.console.read_file(path).await?,
        None if context.console.is_terminal(Stream::Stdin) => {
            return Err(CliError::new("requested load from stdin, but stdin is empty"));
        }
        None => crate::commands::input::read_all(context.console.as_ref()).await,
    };
    let quiet = call.flags.is_set("quiet") || !context.console.is_terminal(Stream::Stdout);
    let messages = context.api.load_images(quiet, body(archive)).await?;
    crate::progress::show(context, Stream::Stdout, messages, |_| {}).await?;
    Ok(0)
}

pub(crate) async fn import(context: &Context, call: &Invocation) -> CliResult {
    let source = call.argument(0);
    let is_address = source.starts_with("http://") || source.starts_with("https://");
    let archive = match source {
        "-" => Some(crate::commands::input::read_all(context.console.as_ref()).await),
        // The engine fetches it.
        _ if is_address => None,
        path => Some(context.console.read_file(path).await?),
    };
    if let Some(name) = call.arguments.get(1) {
        Reference::parse(name)?;
    }
    let options = CreateImage {
        from_src: Some(if is_address { source.to_owned() } else { "-".to_owned() }),
        repo: call.arguments.get(1).cloned(),
        tag: None,
        message: call.flags.get("message").map(ToOwned::to_owned),
        changes: call.flags.list("change"),
        platform: call.flags.get("platform").map(ToOwned::to_owned),
        ..CreateImage::default()
    };
    let messages = context.api.create_image(options, archive.map(body)).await?;
    crate::progress::show(context, Stream::Stdout, messages, |_| {}).await?;
    Ok(0)
}
