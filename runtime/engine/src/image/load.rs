//! `docker load`: archives of `docker save` (the layout of 28 and the older one) and OCI image layouts.

use docklab_api::{ApiError, ApiResult, ByteStream, MessageStream, Reference};
use docklab_host::{Compression, Host};
use futures::StreamExt;
use serde::Deserialize;

use super::{
    archive_index::ArchiveIndex,
    config::{ImageFile, chain_ids},
    hold::Hold,
};
use crate::{Engine, HostResultExt, progress};

/// An element of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    /// Of a nested index.
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

impl Engine {
    pub(super) async fn load_archive(&self, tar: ByteStream) -> ApiResult<MessageStream> {
        let archive = ArchiveIndex::stage(self, tar).await;
        let engine = self.clone();
        let started =
            progress::run(&self.host, |progress| async move { Ok(engine.load_all(&archive?, &progress).await?) });
        // As in Docker the answer has begun by the time that the archive turns out to be bad.
        match started.await {
            Err(error) => {
                let failure = docklab_api::ProgressMessage::failure(0, error.message);
                Ok(futures::stream::once(futures::future::ok(failure)).boxed())
            }
            started => started,
        }
    }

    async fn load_all(&self, archive: &ArchiveIndex, progress: &progress::Progress) -> ApiResult<()> {
        for image in images_of(&*self.host, archive).await? {
            let id = self.load_one(archive, &image).await?;
            let tags = image.repo_tags.unwrap_or_default();
            for tag in &tags {
                let reference = Reference::parse(tag)
                    .map_err(|error| ApiError::invalid(format!("{error}: {tag}")))?
                    .with_default_tag();
                let before = self.images.target(&reference).filter(|before| *before != id);
                if let Some(before) = before {
                    progress.text(format!(
                        "The image {} already exists, renaming the old one with ID {before} to empty string\n",
                        reference.familiar()
                    ));
                }
                self.images.set_reference(&*self.host, &reference, &id).await?;
                progress.text(format!("Loaded image: {}\n", reference.familiar()));
            }
            if tags.is_empty() {
                progress.text(format!("Loaded image ID: {id}\n"));
            }
            self.image_event("load", &id, &id);
        }
        Ok(())
    }

    async fn load_one(&self, archive: &ArchiveIndex, image: &SavedImage) -> ApiResult<String> {
        let bytes = archive.read(&*self.host, &image.config).await?;
        let file = ImageFile::parse(&bytes)?;
        let wanted = &file.rootfs.diff_ids;
        if wanted.len() != image.layers.len() {
            return Err(ApiError::invalid(format!(
                "invalid manifest, layers length mismatch: expected {}, got {}",
                wanted.len(),
                image.layers.len()
            )));
        }
        let hold = Hold::new(self, chain_ids(wanted));
        match self.load_layers(archive, image, wanted).await {
            Ok(sizes) => {
                let _changing = self.images.changing.lock().await;
                let added = self.images.add(&*self.host, bytes, sizes, None, false).await?;
                hold.keep();
                Ok(added.id.clone())
            }
            Err(error) => {
                hold.give_up().await?;
                Err(error)
            }
        }
    }

    /// The layers that are not here yet; the sizes of all.
    async fn load_layers(&self, archive: &ArchiveIndex, image: &SavedImage, wanted: &[String]) -> ApiResult<Vec<u64>> {
        let (mut sizes, mut parent) = (Vec::new(), None::<String>);
        for ((path, diff_id), chain) in image.layers.iter().zip(wanted).zip(chain_ids(wanted)) {
            if let Some(known) = self.host.layer(&chain).await.api()? {
                sizes.push(known.size);
                parent = Some(chain);
                continue;
            }
            let start = archive.read_start(&*self.host, path).await?;
            let compression = Compression::of(&start);
            let tar = archive.open(&*self.host, path).await?;
            let layer = self.host.unpack(parent.as_deref(), compression, tar).await.api()?;
            if layer.diff_id != *diff_id {
                self.host.remove_layer(&layer.chain_id).await.api()?;
                return Err(ApiError::invalid(format!(
                    "invalid diffID for layer {}: expected \"{diff_id}\", got \"{}\"",
                    sizes.len(),
                    layer.diff_id
                )));
            }
            sizes.push(layer.size);
            parent = Some(layer.chain_id);
        }
        Ok(sizes)
    }
}

/// What the archive says it holds.
async fn images_of(host: &dyn Host, archive: &ArchiveIndex) -> ApiResult<Vec<SavedImage>> {
    fn parsed<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> ApiResult<T> {
        serde_json::from_slice(bytes).map_err(|error| ApiError::invalid(format!("invalid {name}: {error}")))
    }
    if archive.contains("manifest.json") {
        return parsed("manifest.json", &archive.read(host, "manifest.json").await?);
    }
    if !archive.contains("index.json") {
        return Err(ApiError::invalid("unrecognized image format"));
    }
    let index: Index = parsed("index.json", &archive.read(host, "index.json").await?)?;
    let blob = |digest: &str| format!("blobs/{}", digest.replace(':', "/"));
    let mut images = Vec::new();
    let mut waiting = index.manifests;
    while let Some(descriptor) = waiting.pop() {
        let path = blob(&descriptor.digest);
        // An index may name platforms that the archive does not hold.
        if !archive.contains(&path) {
            continue;
        }
        let manifest: Manifest = parsed("manifest", &archive.read(host, &path).await?)?;
        waiting.extend(manifest.manifests);
        let Some(config) = manifest.config else { continue };
        let name = ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
            .iter()
            .find_map(|key| descriptor.annotations.get(*key))
            .cloned();
        images.push(SavedImage {
            config: blob(&config.digest),
            repo_tags: name.map(|name| vec![name]),
            layers: manifest.layers.iter().map(|layer| blob(&layer.digest)).collect(),
        });
    }
    Ok(images)
}
