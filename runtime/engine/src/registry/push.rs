//! `docker push`.

use bytes::Bytes;
use docklab_api::{
    ApiError, ApiResult, Direction, MessageStream, ProgressMessage, PushImage, Reference, TransferredLayer,
};
use futures::{FutureExt, StreamExt, stream};
use serde::Serialize;

use super::{
    client::{Call, Client, NO_CREDENTIALS, header},
    download::{ATTEMPTS, back_off},
    manifest::{Descriptor, sha256, short},
    refusal::{Attempt, refusal},
};
use crate::{
    Engine, HostResultExt,
    image::{Hold, Image, LayerSource},
    progress::{self, Progress},
};

/// Uploads at a time, as Docker's default.
const PARALLEL: usize = 5;
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewManifest {
    schema_version: u8,
    media_type: &'static str,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// One `docker push`.
struct Push<'a> {
    engine: &'a Engine,
    client: &'a Client,
    progress: Progress,
}

/// A layer to push.
#[derive(Clone, Copy)]
struct Layer<'a> {
    diff_id: &'a str,
    chain: &'a str,
}

impl Engine {
    /// `POST /images/{name}/push`. Without a tag it is every tag of the repository.
    pub(crate) async fn push(&self, name: &str, options: PushImage) -> ApiResult<MessageStream> {
        let typed = match options.tag.as_deref() {
            Some(tag) if !tag.is_empty() => format!("{name}:{tag}"),
            _ => name.to_owned(),
        };
        let reference = Reference::parse(&typed).map_err(|error| ApiError::invalid(error.to_string()))?;
        let engine = self.clone();
        progress::run(&self.host, |progress| async move {
            progress.status(format!("The push refers to repository [{}]", reference.name()));
            let references = match &reference.tag {
                Some(_) => vec![reference.clone()],
                None => engine.images.tags_of_repository(&reference),
            };
            let missing = || {
                let name = reference.familiar_name();
                ApiError::not_found(format!("An image does not exist locally with the tag: {name}"))
            };
            if references.is_empty() || references.iter().any(|reference| engine.images.target(reference).is_none()) {
                return Err(missing().into());
            }
            let mirrors = &engine.options.mirrors;
            let client = Client::connect(&engine.host, &reference, "push,pull", options.auth.as_ref(), mirrors).await;
            let client = client.map_err(ApiError::from)?;
            for reference in references {
                let image =
                    engine.images.target(&reference).and_then(|id| engine.images.get(&id)).ok_or_else(missing)?;
                let job = engine.activity.begin();
                let named = image.file.rootfs.diff_ids.iter().zip(&image.sizes).map(|(diff_id, size)| {
                    let layer = TransferredLayer { diff_id: diff_id.clone(), digest: None, size: *size };
                    (short(diff_id).to_owned(), layer)
                });
                job.transfer(Direction::Push, reference.familiar(), named.collect());
                let push = Push { client: &client, engine: &engine, progress: progress.watched_by(&job) };
                let pushed = push.image(&reference, &image).await;
                job.end(pushed.clone().map(|()| Some(image.id.clone())).map_err(|error| error.message));
                pushed?;
            }
            Ok(())
        })
        .await
    }
}

impl Push<'_> {
    async fn image(&self, reference: &Reference, image: &Image) -> ApiResult<()> {
        let progress = &self.progress;
        // The layers stay while they travel, even if the image is removed meanwhile.
        let hold = Hold::new(self.engine, image.chains.clone());
        let outcome = self.layers_and_manifest(reference, image).await;
        hold.give_up().await?;
        let (digest, size) = outcome.map_err(|trouble| match trouble.error.message.ends_with(NO_CREDENTIALS) {
            // A push says it without the request; a pull does not.
            true => ApiError::system(NO_CREDENTIALS),
            false => trouble.error,
        })?;
        let by_digest = Reference { tag: None, digest: Some(digest.clone()), ..reference.clone() };
        if self.engine.images.get(&image.id).is_some() {
            self.engine.images.set_reference(&*self.engine.host, &by_digest, &image.id).await?;
        }
        let tag = reference.tag.clone().unwrap_or_default();
        progress.status(format!("{tag}: digest: {digest} size: {size}"));
        progress.send(ProgressMessage {
            progress_detail: Some(docklab_api::ProgressDetail::default()),
            ..ProgressMessage::aux(serde_json::json!({ "Tag": tag, "Digest": digest, "Size": size }))
        });
        self.engine.image_event("push", &reference.familiar(), &reference.familiar_name());
        Ok(())
    }

    async fn layers_and_manifest(&self, reference: &Reference, image: &Image) -> Attempt<(String, usize)> {
        let diff_ids = &image.file.rootfs.diff_ids;
        // Newest first, as Docker lists them.
        for diff_id in diff_ids.iter().rev() {
            self.progress.layer(short(diff_id), "Preparing");
        }
        // Those that do not travel at once are the ones at the top.
        for diff_id in diff_ids.iter().skip(PARALLEL) {
            self.progress.layer(short(diff_id), "Waiting");
        }
        let mut uploads = Vec::new();
        for (diff_id, chain) in diff_ids.iter().zip(&image.chains) {
            uploads.push(self.layer(reference, Layer { diff_id, chain }).boxed());
        }
        let mut uploads = stream::iter(uploads).buffered(PARALLEL);
        let mut uploaded = Vec::new();
        while let Some(layer) = uploads.next().await {
            uploaded.push(layer?);
        }
        self.manifest(reference, image, uploaded).await
    }

    /// Makes sure that the repository has a layer; tries again where that may help.
    async fn layer(&self, reference: &Reference, layer: Layer<'_>) -> Attempt<Descriptor> {
        let mut failed = 0;
        loop {
            let trouble = match self.layer_once(reference, layer).await {
                Ok(descriptor) => return Ok(descriptor),
                Err(trouble) => trouble,
            };
            failed += 1;
            if !trouble.again || failed >= ATTEMPTS {
                return Err(trouble);
            }
            back_off(&*self.engine.host, &self.progress, short(layer.diff_id), failed, trouble.after).await;
        }
    }

    /// The cheapest way that works: it is there, another repository of the registry lends it, or it is sent.
    async fn layer_once(&self, reference: &Reference, layer: Layer<'_>) -> Attempt<Descriptor> {
        let (engine, client, progress) = (self.engine, self.client, &self.progress);
        let id = short(layer.diff_id);
        // A blob of another compression could not be named by the manifest that is made here.
        let mut sources = engine.images.sources(layer.diff_id);
        sources.retain(|source| source.media_type.ends_with("gzip"));
        let descriptor = |source: &LayerSource| Descriptor {
            media_type: LAYER.to_owned(),
            size: source.size,
            digest: source.digest.clone(),
            platform: None,
        };
        let here = reference.name();
        for source in sources.iter().filter(|source| source.repository == here) {
            if self.has_blob(&source.digest).await? {
                progress.layer(id, "Layer already exists");
                return Ok(descriptor(source));
            }
        }
        let domain = format!("{}/", reference.domain);
        let elsewhere = sources.iter().find_map(|source| {
            (source.repository != here).then(|| Some((source, source.repository.strip_prefix(&domain)?)))?
        });
        if let Some((source, from)) = elsewhere {
            let call =
                Call::new("POST", format!("blobs/uploads/?mount={}&from={from}", source.digest)).body(Bytes::new());
            let mounted = client.send(&call).await?;
            match mounted.status {
                201 => {
                    let familiar = from.strip_prefix("library/").filter(|_| domain == "docker.io/").unwrap_or(from);
                    progress.layer(id, &format!("Mounted from {familiar}"));
                    self.remember(layer, &here, source.digest.clone(), source.size).await?;
                    return Ok(descriptor(source));
                }
                // An upload was begun instead; it is not needed, as the blob's bytes are not at hand yet.
                202 => self.cancel(header(&mounted, "location")).await,
                _ => {}
            }
        }
        let host = &engine.host;
        let compressed = host.gzip(host.export_layer(layer.chain).await.api()?);
        let blob = engine.images.staged.write(host, compressed).await.api()?;
        let (digest, size) = (blob.digest().to_owned(), blob.size());
        let pushed = self.blob(&digest, size, id).await?;
        self.remember(layer, &here, digest.clone(), size).await?;
        progress.layer(id, if pushed { "Pushed" } else { "Layer already exists" });
        Ok(Descriptor { media_type: LAYER.to_owned(), size, digest, platform: None })
    }

    async fn has_blob(&self, digest: &str) -> Attempt<bool> {
        let response = self.client.send(&Call::new("HEAD", format!("blobs/{digest}"))).await?;
        match response.status {
            200 => Ok(true),
            404 => Ok(false),
            _ => Err(refusal(response).await),
        }
    }

    async fn remember(&self, layer: Layer<'_>, repository: &str, digest: String, size: u64) -> ApiResult<()> {
        let source = LayerSource { digest, size, media_type: LAYER.to_owned(), repository: repository.to_owned() };
        self.engine.images.add_source(&*self.engine.host, layer.diff_id, source).await
    }

    /// Uploads a staged blob; false when the repository had it already.
    async fn blob(&self, digest: &str, size: u64, id: &str) -> Attempt<bool> {
        if self.has_blob(digest).await? {
            return Ok(false);
        }
        let location = self.start_upload().await?;
        let (bars, id) = (self.progress.clone(), id.to_owned());
        let mut current = 0;
        let content = self.engine.host.read_blob(digest, 0).await.api()?.inspect(move |piece| {
            if let Ok(piece) = piece {
                current += piece.len() as u64;
                bars.bar(&id, "Pushing", current, size);
            }
        });
        let patch = Call::new("PATCH", &location).header("Content-Type", "application/octet-stream");
        let finished = match self.client.upload(&patch, size, content.boxed()).await {
            Ok(sent) => match (sent.status, header(&sent, "location").map(ToOwned::to_owned)) {
                (202, Some(next)) => self.finish_upload(&next, digest, Bytes::new()).await,
                _ => Err(refusal(sent).await),
            },
            Err(trouble) => Err(trouble),
        };
        if finished.is_err() {
            self.cancel(Some(&location)).await;
        }
        finished.map(|()| true)
    }

    /// Tells the registry to forget an upload; whether it does is its own affair.
    async fn cancel(&self, location: Option<&str>) {
        if let Some(location) = location
            && let Err(trouble) = self.client.send(&Call::new("DELETE", location)).await
        {
            tracing::debug!(error = %trouble.error, "an upload could not be cancelled");
        }
    }

    async fn start_upload(&self) -> Attempt<String> {
        let started = self.client.send(&Call::new("POST", "blobs/uploads/").body(Bytes::new())).await?;
        match (started.status, header(&started, "location")) {
            (202, Some(location)) => Ok(location.to_owned()),
            _ => Err(refusal(started).await),
        }
    }

    async fn finish_upload(&self, location: &str, digest: &str, content: Bytes) -> Attempt<()> {
        let joint = if location.contains('?') { '&' } else { '?' };
        let call = Call::new("PUT", format!("{location}{joint}digest={digest}"))
            .header("Content-Type", "application/octet-stream")
            .body(content);
        let finished = self.client.send(&call).await?;
        if finished.status == 201 { Ok(()) } else { Err(refusal(finished).await) }
    }

    /// The configuration, then the manifest that names it and the layers; its digest and size.
    async fn manifest(
        &self,
        reference: &Reference,
        image: &Image,
        layers: Vec<Descriptor>,
    ) -> Attempt<(String, usize)> {
        if !self.has_blob(&image.id).await? {
            let location = self.start_upload().await?;
            self.finish_upload(&location, &image.id, image.bytes.clone()).await?;
        }
        let config = Descriptor {
            media_type: CONFIG.to_owned(),
            size: image.bytes.len() as u64,
            digest: image.id.clone(),
            platform: None,
        };
        let manifest = NewManifest { schema_version: 2, media_type: MANIFEST, config, layers };
        let mut bytes = Vec::new();
        // Docker indents by three spaces; the digest is of these very bytes.
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"   ");
        manifest
            .serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
            .map_err(|error| ApiError::system(format!("encoding the manifest: {error}")))?;
        let digest = sha256(&bytes);
        let size = bytes.len();
        let tag = reference.tag.as_deref().unwrap_or(&digest);
        let call = Call::new("PUT", format!("manifests/{tag}")).header("Content-Type", MANIFEST).body(bytes.into());
        let stored = self.client.send(&call).await?;
        if stored.status == 201 { Ok((digest, size)) } else { Err(refusal(stored).await) }
    }
}
