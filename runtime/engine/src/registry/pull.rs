//! `docker pull`.

use bytes::Bytes;
use docklab_api::{ApiError, ApiResult, CreateImage, Direction, MessageStream, Reference, TransferredLayer};
use docklab_host::{Compression, HostError};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::client::{Call, Client, MANIFEST_TYPES, header, refusal, text};
use crate::{
    Engine, HostResultExt,
    activity::Job,
    image::{ImageFile, LayerSource, chain_ids, go_architecture},
    progress::{self, Progress},
};

/// Downloads at a time, as Docker's default.
const PARALLEL: usize = 3;
const ATTEMPTS: u32 = 5;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    #[serde(default)]
    pub(super) size: u64,
    pub(super) digest: String,
    #[serde(default, skip_serializing)]
    pub(super) platform: Option<Platform>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Platform {
    pub(super) architecture: String,
    pub(super) os: String,
    #[serde(default)]
    pub(super) variant: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    #[serde(default)]
    pub(super) config: Option<Descriptor>,
    #[serde(default)]
    pub(super) layers: Vec<Descriptor>,
    #[serde(default)]
    pub(super) manifests: Vec<Descriptor>,
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Twelve digits of a digest, as progress lines name layers.
pub(super) fn short(digest: &str) -> &str {
    let digits = digest.split_once(':').map_or(digest, |(_, digits)| digits);
    digits.get(..12).unwrap_or(digits)
}

impl Engine {
    pub(crate) async fn pull(&self, options: CreateImage) -> ApiResult<MessageStream> {
        let name = options.from_image.clone().unwrap_or_default();
        let tag = options.tag.clone().unwrap_or_default();
        let typed = match tag.as_str() {
            "" => name,
            tag if tag.contains(':') => format!("{name}@{tag}"),
            tag => format!("{name}:{tag}"),
        };
        let reference =
            Reference::parse(&typed).map_err(|error| ApiError::invalid(error.to_string()))?.with_default_tag();
        let engine = self.clone();
        progress::run(&self.host, |progress| async move {
            let job = engine.activity.begin();
            let pulled = engine.pull_reference(&reference, &options, &progress.watched_by(&job), &job).await;
            job.end(pulled.clone().map(Some).map_err(|error| error.message));
            Ok(pulled.map(|_| ())?)
        })
        .await
    }

    /// Returns the image's ID.
    async fn pull_reference(
        &self,
        reference: &Reference,
        options: &CreateImage,
        progress: &Progress,
        job: &Job,
    ) -> ApiResult<String> {
        let client =
            Client::connect(&self.host, reference, "pull", options.auth.as_ref(), &self.options.mirrors).await?;
        let wanted = reference.digest.clone().or_else(|| reference.tag.clone()).unwrap_or_default();
        let (top, top_digest) = fetch_manifest(&client, reference, &wanted).await?;
        let manifest = self.choose(&client, reference, top, options.platform.as_deref()).await?;
        let config = manifest.config.ok_or_else(|| ApiError::system("the manifest names no configuration"))?;
        progress.send(docklab_api::ProgressMessage {
            id: Some(wanted),
            ..docklab_api::ProgressMessage::status(format!("Pulling from {}", familiar_path(reference)))
        });
        let bytes = fetch_small(&client, &config).await?;
        let file = ImageFile::parse(&bytes)?;
        if file.rootfs.diff_ids.len() != manifest.layers.len() {
            return Err(ApiError::system("the manifest and the configuration name different numbers of layers"));
        }
        let named = manifest.layers.iter().zip(&file.rootfs.diff_ids).map(|(layer, diff_id)| {
            let (diff_id, digest) = (diff_id.clone(), Some(layer.digest.clone()));
            (short(&layer.digest).to_owned(), TransferredLayer { diff_id, digest, size: layer.size })
        });
        job.transfer(Direction::Pull, reference.familiar(), named.collect());
        let _changing = self.images.changing.lock().await;
        let before = self.images.target(reference);
        let sizes = self.fetch_layers(&client, reference, &manifest.layers, &file.rootfs.diff_ids, progress).await?;
        let image = self.images.add(&*self.host, bytes, sizes, None, false).await?;
        let is_news = before.as_deref() != Some(image.id.as_str());
        self.images.set_reference(&*self.host, reference, &image.id).await?;
        let by_digest = Reference { tag: None, digest: Some(top_digest.clone()), ..reference.clone() };
        self.images.set_reference(&*self.host, &by_digest, &image.id).await?;
        progress.status(format!("Digest: {top_digest}"));
        let familiar = reference.familiar();
        progress.status(if is_news {
            format!("Status: Downloaded newer image for {familiar}")
        } else {
            format!("Status: Image is up to date for {familiar}")
        });
        self.image_event("pull", &familiar, &reference.familiar_name());
        Ok(image.id.clone())
    }

    /// The manifest of this machine's platform, out of an index.
    async fn choose(
        &self,
        client: &Client,
        reference: &Reference,
        manifest: Manifest,
        platform: Option<&str>,
    ) -> ApiResult<Manifest> {
        if manifest.config.is_some() {
            return Ok(manifest);
        }
        let machine = self.host.info().machine;
        let (os, architecture) =
            platform.and_then(|platform| platform.split_once('/')).unwrap_or(("linux", go_architecture(&machine)));
        let architecture = architecture.split('/').next().unwrap_or(architecture);
        let fits = |descriptor: &&Descriptor| {
            descriptor.platform.as_ref().is_some_and(|found| found.os == os && found.architecture == architecture)
        };
        let Some(found) = manifest.manifests.iter().find(fits) else {
            return Err(ApiError::not_found(format!(
                "no matching manifest for {os}/{architecture} in the manifest list entries"
            )));
        };
        Ok(fetch_manifest(client, reference, &found.digest).await?.0)
    }

    /// Brings every layer into the store, bottom first; returns their sizes.
    async fn fetch_layers(
        &self,
        client: &Client,
        reference: &Reference,
        layers: &[Descriptor],
        diff_ids: &[String],
        progress: &Progress,
    ) -> ApiResult<Vec<u64>> {
        let chains = chain_ids(diff_ids);
        let mut sizes = Vec::new();
        // A layer can only be there if all beneath it are.
        for chain in &chains {
            match self.host.layer(chain).await.api()? {
                Some(known) => sizes.push(known.size),
                None => break,
            }
        }
        let present = sizes.len();
        for layer in &layers[..present] {
            progress.layer(short(&layer.digest), "Already exists");
        }
        let missing = &layers[present..];
        for layer in missing {
            progress.layer(short(&layer.digest), "Pulling fs layer");
        }
        let mut downloads = Vec::new();
        for layer in missing {
            downloads.push(self.download_layer(client, layer, progress).boxed());
        }
        let mut downloads = stream::iter(downloads).buffered(PARALLEL);
        let mut index = present;
        let mut outcome = Ok(());
        while let Some(downloaded) = downloads.next().await {
            let layer = &layers[index];
            outcome = match downloaded {
                Ok(()) => {
                    let parent = index.checked_sub(1).map(|below| chains[below].as_str());
                    let unpacked = self.unpack_blob(layer, parent, &diff_ids[index], progress).await;
                    // An image may hold the same layer more than once; the last one to need the blob removes it.
                    if layers[index + 1..].iter().all(|later| later.digest != layer.digest) {
                        self.host.remove_blob(&layer.digest).await.api()?;
                    }
                    unpacked.map(|size| sizes.push(size))
                }
                Err(error) => Err(error),
            };
            if outcome.is_err() {
                break;
            }
            let source = LayerSource {
                digest: layer.digest.clone(),
                size: layer.size,
                media_type: layer.media_type.clone(),
                repository: reference.name(),
            };
            self.images.add_source(&*self.host, &diff_ids[index], source).await?;
            progress.layer(short(&layer.digest), "Pull complete");
            index += 1;
        }
        drop(downloads);
        if outcome.is_err() {
            // Nothing half-made stays: blobs of layers that were not unpacked, and layers that no image names.
            for layer in &layers[index..] {
                self.host.remove_blob(&layer.digest).await.api()?;
            }
            for chain in chains[present..index].iter().rev().filter(|chain| !self.images.uses_chain(chain)) {
                self.host.remove_layer(chain).await.api()?;
            }
        }
        outcome.map(|()| sizes)
    }

    async fn download_layer(&self, client: &Client, layer: &Descriptor, progress: &Progress) -> ApiResult<()> {
        let id = short(&layer.digest);
        let mut attempt = 1;
        loop {
            match self.download_once(client, layer, progress).await {
                Ok(()) => break,
                Err(error) if attempt < ATTEMPTS && error.status >= 500 => {
                    let pause = 5 * attempt;
                    for left in (1..=pause).rev() {
                        progress.layer(id, &format!("Retrying in {left} second{}", if left == 1 { "" } else { "s" }));
                        self.host.sleep(std::time::Duration::from_secs(1)).await;
                    }
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
        progress.layer(id, "Verifying Checksum");
        progress.layer(id, "Download complete");
        Ok(())
    }

    async fn download_once(&self, client: &Client, layer: &Descriptor, progress: &Progress) -> ApiResult<()> {
        let response = client.send(&Call::new("GET", format!("blobs/{}", layer.digest))).await?;
        if response.status != 200 {
            let status = response.status;
            return Err(refusal(status, &text(response).await?, &format!("unexpected status {status} for a layer")));
        }
        let (id, total, progress) = (short(&layer.digest).to_owned(), layer.size, progress.clone());
        let mut current = 0;
        let content = response.body.inspect_ok(move |piece: &Bytes| {
            current += piece.len() as u64;
            progress.bar(&id, "Downloading", current, total);
        });
        let written = self.host.write_blob(Some(&layer.digest), content.boxed()).await;
        written.map(|_| ()).map_err(|error| match error {
            HostError::DigestMismatch { .. } => {
                ApiError::system(format!("filesystem layer verification failed for digest {}", layer.digest))
            }
            error => crate::api_error(error),
        })
    }

    async fn unpack_blob(
        &self,
        layer: &Descriptor,
        parent: Option<&str>,
        diff_id: &str,
        progress: &Progress,
    ) -> ApiResult<u64> {
        let compression = if layer.media_type.ends_with("zstd") {
            Compression::Zstd
        } else if layer.media_type.ends_with("gzip") {
            Compression::Gzip
        } else {
            Compression::None
        };
        let (id, total, bars) = (short(&layer.digest).to_owned(), layer.size, progress.clone());
        let mut current = 0;
        let content = self.host.read_blob(&layer.digest, 0).await.api()?.inspect_ok(move |piece: &Bytes| {
            current += piece.len() as u64;
            bars.bar(&id, "Extracting", current, total);
        });
        let unpacked = self
            .host
            .unpack(parent, compression, content.boxed())
            .await
            .map_err(|error| ApiError::system(format!("failed to register layer: {error}")))?;
        if unpacked.diff_id != diff_id {
            self.host.remove_layer(&unpacked.chain_id).await.api()?;
            return Err(ApiError::system(format!(
                "layers from manifest don't match image configuration: expected {diff_id}, got {}",
                unpacked.diff_id
            )));
        }
        Ok(unpacked.size)
    }
}

/// The path as users know it at its registry.
fn familiar_path(reference: &Reference) -> &str {
    &reference.path
}

/// A manifest and the digest of its bytes.
pub(super) async fn fetch_manifest(
    client: &Client,
    reference: &Reference,
    wanted: &str,
) -> ApiResult<(Manifest, String)> {
    let call = Call::new("GET", format!("manifests/{wanted}")).header("Accept", MANIFEST_TYPES);
    let response = client.send(&call).await?;
    let status = response.status;
    let announced = header(&response, "docker-content-digest").map(ToOwned::to_owned);
    let bytes = text(response).await?;
    match status {
        200 => {}
        401 | 403 => return Err(denied(reference)),
        404 if String::from_utf8_lossy(&bytes).contains("NAME_UNKNOWN") => return Err(denied(reference)),
        404 => {
            return Err(ApiError::not_found(format!(
                "manifest for {} not found: manifest unknown: manifest unknown",
                reference.familiar()
            )));
        }
        429 => {
            let error = refusal(status, &bytes, "toomanyrequests: the registry answers no more requests for now");
            return Err(ApiError::system(error.message));
        }
        _ => return Err(refusal(status, &bytes, &format!("received unexpected HTTP status: {status}"))),
    }
    let digest = sha256(&bytes);
    if wanted.starts_with("sha256:") && wanted != digest || announced.is_some_and(|announced| announced != digest) {
        return Err(ApiError::system(format!("manifest verification failed for digest {wanted}")));
    }
    let manifest = serde_json::from_slice(&bytes)
        .map_err(|error| ApiError::system(format!("the manifest could not be read: {error}")))?;
    Ok((manifest, digest))
}

fn denied(reference: &Reference) -> ApiError {
    ApiError::not_found(format!(
        "pull access denied for {}, repository does not exist or may require 'docker login': denied: requested access to \
         the resource is denied",
        reference.familiar_name()
    ))
}

async fn fetch_small(client: &Client, descriptor: &Descriptor) -> ApiResult<Bytes> {
    let response = client.send(&Call::new("GET", format!("blobs/{}", descriptor.digest))).await?;
    let status = response.status;
    let bytes = text(response).await?;
    if status != 200 {
        return Err(refusal(status, &bytes, &format!("unexpected status {status} for the configuration")));
    }
    if sha256(&bytes) != descriptor.digest {
        return Err(ApiError::system(format!("image config verification failed for digest {}", descriptor.digest)));
    }
    Ok(bytes)
}
