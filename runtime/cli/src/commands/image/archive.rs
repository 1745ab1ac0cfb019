//! save, load, import and export: images and file systems as tar archives.

use bytes::Bytes;
use docklab_api::{ByteStream, CreateImage, Reference};
use futures::StreamExt;

use crate::{
    console::Stream,
    context::{Context, Invocation},
    error::{CliError, CliResult},
};

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
    refuse_terminal(context, call)?;
    let archive = context.api.save_images(call.arguments.clone()).await?;
    deliver(context, call, archive).await
}

pub(crate) async fn export(context: &Context, call: &Invocation) -> CliResult {
    refuse_terminal(context, call)?;
    let archive = context.api.export_container(call.argument(0)).await?;
    deliver(context, call, archive).await
}

fn body(bytes: Vec<u8>) -> ByteStream {
    futures::stream::iter([Ok(Bytes::from(bytes))]).boxed()
}

pub(crate) async fn load(context: &Context, call: &Invocation) -> CliResult {
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
    let archive = if source == "-" {
        crate::commands::input::read_all(context.console.as_ref()).await
    } else if source.contains("://") {
        return Err(CliError::new(
            "import from a URL is not supported by this client; download the file and import it",
        ));
    } else {
        context.console.read_file(source).await?
    };
    let reference = call.arguments.get(1).map(|name| Reference::parse(name)).transpose()?;
    let options = CreateImage {
        from_src: Some("-".to_owned()),
        repo: reference.as_ref().map(Reference::familiar_name),
        tag: reference.and_then(|reference| reference.tag),
        message: call.flags.get("message").map(ToOwned::to_owned),
        changes: call.flags.list("change"),
        platform: call.flags.get("platform").map(ToOwned::to_owned),
        ..CreateImage::default()
    };
    let messages = context.api.create_image(options, Some(body(archive))).await?;
    crate::progress::show(context, Stream::Stdout, messages, |_| {}).await?;
    Ok(0)
}
