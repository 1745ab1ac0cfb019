//! `docker pull`.

use std::sync::Arc;

use bytes::Bytes;
use docklab_api::{
    ApiError, ApiResult, CreateImage, Direction, MessageStream, ProgressMessage, Reference, TransferredLayer,
};
use docklab_host::Compression;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::{
    client::{Call, Client, header, text},
    download::download,
    manifest::{self, Descriptor, Manifest, choose, fetch_config, fetch_manifest, short},
    platform::Platform,
    refusal::{Attempt, refusal},
};
use crate::{
    Engine, HostResultExt,
    activity::Job,
    image::{BlobUse, Hold, ImageFile, LayerSource, chain_ids, go_architecture},
    progress::{self, Progress},
};

/// Downloads at a time, as Docker's default.
const PARALLEL: usize = 3;

impl Engine {
    /// `POST /images/create?fromImage=`. Without a tag or digest it is every tag of the repository.
    pub(crate) async fn pull(&self, options: CreateImage) -> ApiResult<MessageStream> {
        let name = options.from_image.clone().unwrap_or_default();
        let typed = match options.tag.as_deref().unwrap_or_default() {
            "" => name,
            tag if tag.contains(':') => format!("{name}@{tag}"),
            tag => format!("{name}:{tag}"),
        };
        let reference = Reference::parse(&typed).map_err(|error| ApiError::invalid(error.to_string()))?;
        let machine = go_architecture(&self.host.info().machine).to_owned();
        let platform = match options.platform.as_deref().filter(|platform| !platform.is_empty()) {
            Some(platform) => Some(Platform::parse(platform, &machine)?),
            None => None,
        };
        let wanted = platform.clone().unwrap_or_else(|| Platform::new("linux", &machine, ""));
        let engine = self.clone();
        progress::run(&self.host, |progress| async move {
            let client =
                Client::connect(&engine.host, &reference, "pull", options.auth.as_ref(), &engine.options.mirrors).await;
            let client = Arc::new(client.map_err(ApiError::from)?);
            let mut pull = Pull { job: engine.activity.begin(), engine, client, wanted, progress };
            if reference.tag.is_some() || reference.digest.is_some() {
                pull.told(&reference, &reference).await?;
            } else {
                pull.all(&reference).await?;
            }
            if platform.is_some() {
                pull.warn_of_other_platform(&reference)?;
            }
            Ok(())
        })
        .await
    }
}

/// One `docker pull`.
struct Pull {
    engine: Engine,
    /// What watchers hear of the image that is being pulled.
    job: Arc<Job>,
    client: Arc<Client>,
    wanted: Platform,
    progress: Progress,
}

impl Pull {
    /// Every tag of a repository (`docker pull --all-tags`).
    async fn all(&mut self, repository: &Reference) -> ApiResult<()> {
        let tags = tags(&self.client, repository).await?;
        for tag in tags {
            let reference = Reference { tag: Some(tag), ..repository.clone() };
            self.told(&reference, repository).await?;
        }
        Ok(())
    }

    /// Pulls one image, and tells watchers how that ended.
    async fn told(&mut self, reference: &Reference, shown: &Reference) -> ApiResult<()> {
        self.job = self.engine.activity.begin();
        let pulled = self.one(reference, shown).await;
        self.job.end(pulled.clone().map(Some).map_err(|error| error.message));
        pulled.map(drop)
    }

    /// `shown` is what the last line speaks of. Returns the image's ID.
    async fn one(&self, reference: &Reference, shown: &Reference) -> ApiResult<String> {
        let (engine, progress) = (&self.engine, &self.progress);
        // What the tag means now, so that the manifest can be asked for by its digest.
        let wanted = match (&reference.digest, &reference.tag) {
            (Some(digest), _) => digest.clone(),
            (None, tag) => {
                let tag = tag.clone().unwrap_or_default();
                manifest::digest_of(&self.client, reference, &tag).await?.unwrap_or(tag)
            }
        };
        let (top, top_digest) = fetch_manifest(&self.client, reference, &wanted).await?;
        let manifest = choose(&self.client, reference, top, &self.wanted).await?;
        let config = manifest.config.clone().ok_or_else(|| ApiError::system("the manifest names no configuration"))?;
        let heading = match &reference.digest {
            Some(_) => reference.to_string(),
            None => reference.tag.clone().unwrap_or_default(),
        };
        progress.send(ProgressMessage {
            id: Some(heading),
            ..ProgressMessage::status(format!("Pulling from {}", reference.path))
        });
        let before = engine.images.target(reference);
        let id = match engine.images.get(&config.digest) {
            // The image is here. Its layers need no word to the client; watchers draw them.
            Some(image) => {
                self.tell_layers(reference, &manifest, &image.file.rootfs.diff_ids);
                for layer in &manifest.layers {
                    self.job.observe(&ProgressMessage::layer(short(&layer.digest), "Already exists"));
                }
                image.id.clone()
            }
            None => self.image(reference, &manifest, &config).await?,
        };
        let by_digest = Reference { tag: None, digest: Some(top_digest.clone()), ..reference.clone() };
        let _changing = engine.images.changing.lock().await;
        if engine.images.get(&id).is_none() {
            return Err(ApiError::conflict(format!("{} was removed while it was pulled", reference.familiar())));
        }
        engine.images.set_reference(&*engine.host, reference, &id).await?;
        engine.images.set_reference(&*engine.host, &by_digest, &id).await?;
        progress.status(format!("Digest: {top_digest}"));
        let is_news = before.as_deref() != Some(id.as_str());
        let subject =
            if shown.tag.is_none() && shown.digest.is_none() { shown.familiar_name() } else { shown.familiar() };
        progress.status(if is_news {
            format!("Status: Downloaded newer image for {subject}")
        } else {
            format!("Status: Image is up to date for {subject}")
        });
        engine.image_event("pull", &reference.familiar(), &reference.familiar_name());
        Ok(id)
    }

    fn tell_layers(&self, reference: &Reference, manifest: &Manifest, diff_ids: &[String]) {
        let named = manifest.layers.iter().zip(diff_ids).map(|(layer, diff_id)| {
            let (diff_id, digest) = (diff_id.clone(), Some(layer.digest.clone()));
            (short(&layer.digest).to_owned(), TransferredLayer { diff_id, digest, size: layer.size })
        });
        self.job.transfer(Direction::Pull, reference.familiar(), named.collect());
    }

    /// Brings an image that is not here; its ID.
    async fn image(&self, reference: &Reference, manifest: &Manifest, config: &Descriptor) -> ApiResult<String> {
        let engine = &self.engine;
        let (bytes, file): (Bytes, ImageFile) = fetch_config(&self.client, reference, config).await?;
        let diff_ids = &file.rootfs.diff_ids;
        if diff_ids.len() != manifest.layers.len() {
            return Err(ApiError::system("the manifest and the configuration name different numbers of layers"));
        }
        self.tell_layers(reference, manifest, diff_ids);
        // Nothing else may remove what is here of it while the rest comes; removing other images need not wait.
        let hold = Hold::new(engine, chain_ids(diff_ids));
        match self.layers(reference, &manifest.layers, diff_ids).await {
            Ok(sizes) => {
                let _changing = engine.images.changing.lock().await;
                let image = engine.images.add(&*engine.host, bytes, sizes, None, false).await?;
                hold.keep();
                Ok(image.id.clone())
            }
            Err(error) => {
                // The failure itself is what the user has to know of.
                if let Err(left) = hold.give_up().await {
                    tracing::warn!(error = %left, "layers of a pull that failed stay");
                }
                Err(error)
            }
        }
    }

    /// Brings every layer into the store, bottom first; their sizes.
    async fn layers(&self, reference: &Reference, layers: &[Descriptor], diff_ids: &[String]) -> ApiResult<Vec<u64>> {
        let (engine, progress) = (&self.engine, self.progress.watched_by(&self.job));
        let chains = chain_ids(diff_ids);
        let mut sizes = Vec::new();
        // A layer can only be there if all beneath it are.
        for chain in &chains {
            match engine.host.layer(chain).await.api()? {
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
        for layer in missing.iter().skip(PARALLEL) {
            progress.layer(short(&layer.digest), "Waiting");
        }
        let mut downloads = Vec::new();
        for layer in missing {
            let blob = engine.images.staged.join(&engine.host, &layer.digest);
            downloads.push(self.fetch(layer, blob, &progress).boxed());
        }
        let mut downloads = stream::iter(downloads).buffered(PARALLEL);
        let mut index = present;
        let mut outcome = Ok(());
        while let Some((blob, downloaded)) = downloads.next().await {
            if outcome.is_ok() {
                outcome = match downloaded {
                    Ok(()) => {
                        let parent = index.checked_sub(1).map(|below| chains[below].as_str());
                        self.unpack(&layers[index], parent, &diff_ids[index], &progress).await
                    }
                    Err(trouble) => Err(trouble.error),
                }
                .map(|size| sizes.push(size));
            }
            drop(blob);
            if outcome.is_err() {
                // The others need not be finished; what they have leaves with them.
                break;
            }
            let layer = &layers[index];
            let source = LayerSource {
                digest: layer.digest.clone(),
                size: layer.size,
                media_type: layer.media_type.clone(),
                repository: reference.name(),
            };
            engine.images.add_source(&*engine.host, &diff_ids[index], source).await?;
            progress.layer(short(&layer.digest), "Pull complete");
            index += 1;
        }
        outcome.map(|()| sizes)
    }

    async fn fetch(&self, layer: &Descriptor, blob: BlobUse, progress: &Progress) -> (BlobUse, Attempt<()>) {
        let download = download(&self.engine.host, &self.client, layer, progress);
        let outcome = blob.ensure(download).await;
        if let Ok(false) = outcome {
            progress.layer(short(&layer.digest), "Download complete");
        }
        (blob, outcome.map(drop))
    }

    async fn unpack(
        &self,
        layer: &Descriptor,
        parent: Option<&str>,
        diff_id: &str,
        progress: &Progress,
    ) -> ApiResult<u64> {
        let host = &self.engine.host;
        // The first bytes tell more truly than the media type what the blob is.
        let mut content = host.read_blob(&layer.digest, 0).await.api()?;
        let start = content.try_next().await.api()?.unwrap_or_default();
        let compression = Compression::of(&start);
        let (id, total, bars) = (short(&layer.digest).to_owned(), layer.size, progress.clone());
        let mut current = 0;
        let content = stream::once(async move { Ok(start) }).chain(content).inspect_ok(move |piece: &Bytes| {
            current += piece.len() as u64;
            bars.bar(&id, "Extracting", current, total);
        });
        let unpacked = host
            .unpack(parent, compression, content.boxed())
            .await
            .map_err(|error| ApiError::system(format!("failed to register layer: {error}")))?;
        if unpacked.diff_id != diff_id {
            // No hold names it, as the configuration lied about it.
            if !self.engine.images.uses_chain(&unpacked.chain_id) {
                host.remove_layer(&unpacked.chain_id).await.api()?;
            }
            return Err(ApiError::system(format!(
                "layers from manifest don't match image configuration: expected {diff_id}, got {}",
                unpacked.diff_id
            )));
        }
        Ok(unpacked.size)
    }

    /// An image of one platform is pulled whatever was asked for; Docker then says so.
    fn warn_of_other_platform(&self, reference: &Reference) -> ApiResult<()> {
        let Some(image) = self.engine.images.target(reference).and_then(|id| self.engine.images.get(&id)) else {
            return Ok(());
        };
        let found = Platform::new(&image.file.os, &image.file.architecture, &image.file.variant);
        if !self.wanted.takes(&found) {
            self.progress.status(format!(
                "WARNING: image with reference {} was found but its platform ({found}) does not match the specified platform \
                 ({})",
                reference.familiar(),
                self.wanted
            ));
        }
        Ok(())
    }
}

/// All tags of a repository, page by page (distribution specification, "Listing Tags").
async fn tags(client: &Client, repository: &Reference) -> ApiResult<Vec<String>> {
    const PAGES: usize = 1000;
    #[derive(serde::Deserialize)]
    struct List {
        #[serde(default)]
        tags: Option<Vec<String>>,
    }
    let mut tags = Vec::new();
    let mut target = "tags/list".to_owned();
    for _ in 0..PAGES {
        let response = client.send(&Call::new("GET", target)).await.map_err(ApiError::from)?;
        if response.status != 200 {
            return Err(manifest::explained(refusal(response).await, repository).error);
        }
        let next = header(&response, "link").and_then(|link| {
            let (target, relation) = link.strip_prefix('<')?.split_once('>')?;
            relation.contains("rel=\"next\"").then(|| target.to_owned())
        });
        let list: List = serde_json::from_slice(&text(response).await.map_err(ApiError::from)?)
            .map_err(|error| ApiError::system(format!("the registry's list of tags could not be read: {error}")))?;
        tags.extend(list.tags.unwrap_or_default());
        match next {
            Some(next) => target = next,
            None => return Ok(tags),
        }
    }
    Err(ApiError::system("the registry's list of tags has no end"))
}
