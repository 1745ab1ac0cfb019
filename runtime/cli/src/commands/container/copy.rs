//! `docker cp`.

use std::io::Read as _;

use bytes::Bytes;
use futures::StreamExt;

use crate::{
    console::{Console, FileKind},
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format,
};

/// `CONTAINER:PATH`, unless the text is plainly a local path.
fn split(text: &str) -> Option<(&str, &str)> {
    if text.starts_with(['/', '.']) { None } else { text.split_once(':') }
}

fn last(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

async fn is_directory(console: &dyn Console, path: &str) -> bool {
    console.metadata(path).await.is_ok_and(|metadata| metadata.kind == FileKind::Directory)
}

pub(crate) async fn copy(context: &Context, call: &Invocation) -> CliResult {
    let (source, target) = (call.argument(0), call.argument(1));
    match (split(source), split(target)) {
        (Some((container, path)), None) => download(context, call, container, path, target).await,
        (None, Some((container, path))) => upload(context, call, source, container, path).await,
        (Some(_), Some(_)) => Err(CliError::new("copying between containers is not supported")),
        (None, None) => Err(CliError::new("must specify at least one container source")),
    }
}

async fn download(context: &Context, call: &Invocation, container: &str, path: &str, target: &str) -> CliResult {
    let (_, mut archive) = context.api.download_from_container(container, path).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = archive.next().await {
        let piece = piece?;
        if target == "-" {
            context.stdout(piece).await;
        } else {
            bytes.extend_from_slice(&piece);
        }
    }
    if target == "-" {
        return Ok(0);
    }
    let console = context.console.as_ref();
    let root = last(path).to_owned();
    let base = if is_directory(console, target).await && !path.ends_with("/.") {
        format!("{}/{root}", target.trim_end_matches('/'))
    } else {
        target.trim_end_matches('/').to_owned()
    };
    // Entries are read first: they borrow the archive, which must not live across an await.
    let mut entries = Vec::new();
    let unpacking = |error: std::io::Error| CliError::new(format!("reading the archive of {path}: {error}"));
    for entry in tar::Archive::new(bytes.as_slice()).entries().map_err(unpacking)? {
        let mut entry = entry.map_err(unpacking)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let link = entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(unpacking)?;
        entries.push((name, entry.header().entry_type(), entry.header().mode().unwrap_or(0o644), link, content));
    }
    let mut total = 0;
    for (name, kind, mode, link, content) in entries {
        let name = name.trim_end_matches('/');
        if name.split('/').any(|part| part == "..") {
            return Err(CliError::new(format!("refusing to write outside of {target}: {name}")));
        }
        let below = name.split_once('/').map_or("", |(_, below)| below);
        let place = if below.is_empty() { base.clone() } else { format!("{base}/{below}") };
        match (kind, link) {
            (tar::EntryType::Directory, _) => console.create_directory(&place, mode).await?,
            (tar::EntryType::Symlink, Some(link)) => console.create_link(&link, &place).await?,
            _ => {
                total += content.len();
                console.write_file(&place, &content, mode).await?;
            }
        }
    }
    if !call.flags.is_set("quiet") {
        report(context, total, target).await;
    }
    Ok(0)
}

async fn upload(context: &Context, call: &Invocation, source: &str, container: &str, path: &str) -> CliResult {
    let console = context.console.as_ref();
    if source == "-" {
        let bytes = Bytes::from(crate::commands::input::read_all(console).await);
        context.api.upload_to_container(container, path, false, futures::stream::iter([Ok(bytes)]).boxed()).await?;
        return Ok(0);
    }
    let metadata = console.metadata(source).await?;
    const DIRECTORY: u32 = 1 << 31;
    let into = context.api.container_path_stat(container, path).await.is_ok_and(|stat| stat.mode & DIRECTORY != 0);
    let (folder, name) = if into || path.ends_with('/') {
        (path.to_owned(), last(source).to_owned())
    } else {
        let trimmed = path.trim_end_matches('/');
        let parent = trimmed.rsplit_once('/').map_or("/", |(parent, _)| if parent.is_empty() { "/" } else { parent });
        (parent.to_owned(), last(trimmed).to_owned())
    };
    let archive = if metadata.kind == FileKind::Directory {
        let name = if source.ends_with("/.") { "" } else { &name };
        crate::commands::image::context::pack_below(console, source.trim_end_matches("/."), name).await?
    } else {
        crate::commands::image::context::pack_file(console, source, &name).await?
    };
    let total = archive.len();
    let body = futures::stream::iter([Ok(Bytes::from(archive))]).boxed();
    context.api.upload_to_container(container, &folder, false, body).await?;
    if !call.flags.is_set("quiet") {
        report(context, total, &format!("{container}:{path}")).await;
    }
    Ok(0)
}

async fn report(context: &Context, total: usize, target: &str) {
    #[allow(clippy::cast_precision_loss)] // a size to show
    let size = format::size(total as f64);
    if context.console.is_terminal(crate::console::Stream::Stderr) {
        context.error_line(format!("Successfully copied {size} to {target}")).await;
    }
}
