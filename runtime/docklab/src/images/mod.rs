//! `docklab images`: seeds, and honest stand-ins for the course's images where no Docker Hub answers.
//!
//! A stand-in is built from Debian packages, runs the real programs and carries the label
//! `org.docklab.stand-in=true`. A seed is one tar that `docker image load` reads.

mod archive;
mod layer;
mod packages;
mod recipes;
mod stand_in;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use clap::{Args, Subcommand};
use docklab_api::ImageApi as _;
use docklab_daemon::client::{Address, HttpClient};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::io::AsyncWriteExt as _;

const EXAMPLES: &str = "\
Examples:
  docklab images stand-in                         every image of the course, into docklab's directory
  docklab images stand-in nginx -o nginx.tar      one of them, into a file
  docklab images import nginx.tar                 into the engine that DOCKER_HOST names
  docklab images export seed.tar nginx ubuntu     out of it again, for a machine with no network";

/// Make, save and load images for machines that reach no registry.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ImagesArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Build stand-ins from Debian packages. Needs apt-get and dpkg-deb, but no Docker and no root.
    StandIn {
        /// Which (default: all): alpine, busybox, hello-world, mongo, nginx, python, ubuntu.
        names: Vec<String>,
        /// The seed to write.
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// Save images of an engine as a seed.
    Export {
        file: PathBuf,
        /// Which (default: all that have a tag).
        images: Vec<String>,
        /// The engine (default: DOCKER_HOST, else /var/run/docker.sock).
        #[arg(long, short = 'H')]
        host: Option<String>,
    },
    /// Load the images of a seed into an engine.
    Import {
        file: PathBuf,
        /// The engine (default: DOCKER_HOST, else /var/run/docker.sock).
        #[arg(long, short = 'H')]
        host: Option<String>,
    },
}

pub(crate) async fn run(arguments: ImagesArguments) -> Result<()> {
    match arguments.action {
        Action::StandIn { names, output } => {
            let cache = crate::console::home().join("images");
            let seed = tokio::task::spawn_blocking(move || stand_in::build(&names, output.as_deref(), &cache))
                .await
                .context("building stand-ins")??;
            println!("{}", seed.display());
            Ok(())
        }
        Action::Export { file, images, host } => export(&engine(host)?, &file, images).await,
        Action::Import { file, host } => crate::lab::load_images(&engine(host)?, &file).await,
    }
}

/// Loads a seed into the engine of every node that lacks any image of it.
pub(crate) async fn provide_all(nodes: &[crate::session::Node], seed: &Path) -> Result<()> {
    let path = seed.to_owned();
    let tags = tokio::task::spawn_blocking(move || archive::tags(&path)).await.context("reading the seed")??;
    // One after another: the first unpacks the layers, which all share.
    let mut descriptions = None;
    for node in nodes {
        let engine = node.client();
        if has_all(&engine, &tags).await? {
            continue;
        }
        if let Some(descriptions) = &descriptions {
            let load = crate::lab::load_archive(&engine, stream::iter([Ok(Bytes::clone(descriptions))]).boxed());
            match load.await {
                Ok(()) => continue,
                // An image that the first node had before may stand on layers of its own.
                Err(error) => tracing::debug!("loading a seed's descriptions alone: {error:#}"),
            }
        } else {
            eprintln!("  loading images from {}", seed.display());
        }
        crate::lab::load_images(&engine, seed).await?;
        let path = seed.to_owned();
        let small = tokio::task::spawn_blocking(move || archive::without_layers(&path)).await;
        descriptions = Some(Bytes::from(small.context("reading the seed")??));
    }
    Ok(())
}

async fn has_all(engine: &HttpClient, tags: &[String]) -> Result<bool> {
    let present = engine.list_images(docklab_api::ListImages::default()).await?;
    let present: Vec<&String> = present.iter().flat_map(|image| &image.repo_tags).collect();
    Ok(tags.iter().all(|tag| present.contains(&tag)))
}

fn engine(host: Option<String>) -> Result<HttpClient> {
    let host = host
        .or_else(|| std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()))
        .unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    Ok(HttpClient::new(Address::parse(&host)?))
}

async fn export(engine: &HttpClient, file: &Path, mut images: Vec<String>) -> Result<()> {
    if images.is_empty() {
        let all = engine.list_images(docklab_api::ListImages::default()).await?;
        images = all.into_iter().flat_map(|image| image.repo_tags).filter(|tag| tag != "<none>:<none>").collect();
    }
    if images.is_empty() {
        bail!("the engine has no image with a tag, so there is nothing to export");
    }
    let partial = file.with_extension("partial");
    let mut output =
        tokio::fs::File::create(&partial).await.with_context(|| format!("creating {}", partial.display()))?;
    let mut tar = engine.save_images(images).await?;
    while let Some(bytes) = tar.try_next().await? {
        output.write_all(&bytes).await.with_context(|| format!("writing {}", partial.display()))?;
    }
    output.flush().await.with_context(|| format!("writing {}", partial.display()))?;
    std::fs::rename(&partial, file).with_context(|| format!("writing {}", file.display()))
}
