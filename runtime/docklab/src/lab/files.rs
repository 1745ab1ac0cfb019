use std::path::Path;

use anyhow::{Context as _, Result, bail};
use docklab_api::{ApiError, ImageApi as _};
use docklab_daemon::client::HttpClient;
use docklab_scenario::{Expanded, Scenario};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::io::AsyncReadExt as _;

use super::lint::report_faults;

/// Reads a lab and refuses one with errors, after naming them all.
///
/// `replacements` are values for the lab's variables.
pub(crate) fn load(file: &Path, replacements: &[(String, String)]) -> Result<Scenario> {
    let expanded = expanded(file)?;
    let text = docklab_scenario::with_variables(&expanded.text, replacements)?;
    let mut parsed = docklab_scenario::parse(&file.display().to_string(), &text);
    expanded.locate(&mut parsed.diagnostics);
    if parsed.diagnostics.has_errors() {
        report_faults(&parsed.diagnostics);
        bail!("{} has errors; `docklab lint` lists all that it finds", file.display());
    }
    Ok(parsed.scenario)
}

/// A lab with what it includes.
pub(crate) fn expanded(file: &Path) -> Result<Expanded> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let directory = file.parent().unwrap_or(Path::new("."));
    let read = |path: &str| std::fs::read_to_string(directory.join(path)).ok();
    Ok(docklab_scenario::expand(&file.display().to_string(), &text, &read)?)
}

/// `NAME=VALUE` of the command line.
pub(crate) fn replacement(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Loads a seed of images into an engine.
pub(crate) async fn load_images(engine: &HttpClient, seed: &Path) -> Result<()> {
    let file = tokio::fs::File::open(seed).await.with_context(|| format!("opening the seed {}", seed.display()))?;
    let tar = stream::try_unfold(file, |mut file| async move {
        let mut buffer = vec![0; 256 * 1024];
        let count =
            file.read(&mut buffer).await.map_err(|error| ApiError::system(format!("reading the seed: {error}")))?;
        buffer.truncate(count);
        Ok((count > 0).then_some((buffer.into(), file)))
    });
    load_archive(engine, tar.boxed()).await.with_context(|| format!("loading the seed {}", seed.display()))
}

/// Loads what `docker image save` writes.
pub(crate) async fn load_archive(engine: &HttpClient, tar: docklab_api::ByteStream) -> Result<()> {
    let mut messages = engine.load_images(true, tar).await?;
    while let Some(message) = messages.try_next().await? {
        if let Some(error) = message.error {
            bail!("{error}");
        }
    }
    Ok(())
}
