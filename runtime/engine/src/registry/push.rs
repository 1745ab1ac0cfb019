//! `docker push`.

use bytes::Bytes;
use docklab_api::{
    ApiError, ApiResult, Direction, MessageStream, ProgressMessage, PushImage, Reference, TransferredLayer,
};
use futures::{FutureExt, StreamExt, stream};
use serde::Serialize;

use super::{
    client::{Call, Client, header, refusal, text},
    pull::{Descriptor, sha256, short},
};
use crate::{
    Engine, HostResultExt,
    activity::Job,
    image::{Image, LayerSource},
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

impl Engine {
    pub(crate) async fn push(&self, name: &str, options: PushImage) -> ApiResult<MessageStream> {
        let typed = match options.tag.as_deref() {
            Some(tag) if !tag.is_empty() => format!("{name}:{tag}"),
            _ => name.to_owned(),
        };
        let reference =
            Reference::parse(&typed).map_err(|error| ApiError::invalid(error.to_string()))?.with_default_tag();
        let engine = self.clone();
        progress::run(&self.host, |progress| async move {
            let job = engine.activity.begin();
            let pushed = engine.push_reference(&reference, &options, &progress.watched_by(&job), &job).await;
            job.end(pushed.clone().map(Some).map_err(|error| error.message));
            Ok(pushed.map(|_| ())?)
        })
        .await
    }

    /// Returns the image's ID.
    async fn push_reference(
        &self,
        reference: &Reference,
        options: &PushImage,
        progress: &Progress,
        job: &Job,
    ) -> ApiResult<String> {
        progress.status(format!("The push refers to repository [{}]", reference.name()));
        let image = self.images.target(reference).and_then(|id| self.images.get(&id)).ok_or_else(|| {
            ApiError::not_found(format!("An image does not exist locally with the tag: {}", reference.familiar_name()))
        })?;
        let client =
            Client::connect(&self.host, reference, "pull,push", options.auth.as_ref(), &self.options.mirrors).await?;
        let diff_ids = &image.file.rootfs.diff_ids;
        let named = diff_ids.iter().zip(&image.sizes).map(|(diff_id, size)| {
            let layer = TransferredLayer { diff_id: diff_id.clone(), digest: None, size: *size };
            (short(diff_id).to_owned(), layer)
        });
        job.transfer(Direction::Push, reference.familiar(), named.collect());
        // Newest first, as Docker lists them.
        for diff_id in diff_ids.iter().rev() {
            progress.layer(short(diff_id), "Preparing");
        }
        let mut uploads = Vec::new();
        for (diff_id, chain) in diff_ids.iter().zip(&image.chains) {
            uploads.push(self.push_layer(&client, reference, diff_id, chain, progress).boxed());
        }
        let mut uploaded = Vec::new();
        let mut uploads = stream::iter(uploads).buffered(PARALLEL);
        while let Some(layer) = uploads.next().await {
            uploaded.push(layer?);
        }
        drop(uploads);
        let (digest, size) = push_manifest(&client, reference, &image, uploaded).await?;
        let tag = reference.tag.clone().unwrap_or_default();
        let by_digest = Reference { tag: None, digest: Some(digest.clone()), ..reference.clone() };
        self.images.set_reference(&*self.host, &by_digest, &image.id).await?;
        progress.status(format!("{tag}: digest: {digest} size: {size}"));
        progress.send(ProgressMessage {
            progress_detail: Some(docklab_api::ProgressDetail::default()),
            ..ProgressMessage::aux(serde_json::json!({ "Tag": tag, "Digest": digest, "Size": size }))
        });
        self.image_event("push", &reference.familiar(), &reference.familiar_name());
        Ok(image.id.clone())
    }

    /// Makes sure that the repository has a layer, in the cheapest way that works.
    async fn push_layer(
        &self,
        client: &Client,
        reference: &Reference,
        diff_id: &str,
        chain: &str,
        progress: &Progress,
    ) -> ApiResult<Descriptor> {
        let id = short(diff_id);
        let sources = self.images.sources(diff_id);
        let descriptor = |source: &LayerSource| Descriptor {
            media_type: LAYER.to_owned(),
            size: source.size,
            digest: source.digest.clone(),
            platform: None,
        };
        let here = reference.name();
        for source in sources.iter().filter(|source| source.repository == here) {
            let found = client.send(&Call::new("HEAD", format!("blobs/{}", source.digest))).await?;
            if found.status == 200 {
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
            if mounted.status == 201 {
                let familiar = from.strip_prefix("library/").unwrap_or(from);
                progress.layer(id, &format!("Mounted from {familiar}"));
                self.remember(diff_id, &here, source.digest.clone(), source.size).await?;
                return Ok(descriptor(source));
            }
        }
        let compressed = self.host.gzip(self.host.export_layer(chain).await.api()?);
        let blob = self.host.write_blob(None, compressed).await.api()?;
        let pushed = self.push_blob(client, &blob.digest, blob.size, id, progress).await;
        self.host.remove_blob(&blob.digest).await.api()?;
        progress.layer(id, if pushed? { "Pushed" } else { "Layer already exists" });
        self.remember(diff_id, &here, blob.digest.clone(), blob.size).await?;
        Ok(Descriptor { media_type: LAYER.to_owned(), size: blob.size, digest: blob.digest, platform: None })
    }

    async fn remember(&self, diff_id: &str, repository: &str, digest: String, size: u64) -> ApiResult<()> {
        let source = LayerSource { digest, size, media_type: LAYER.to_owned(), repository: repository.to_owned() };
        self.images.add_source(&*self.host, diff_id, source).await
    }

    /// Uploads a staged blob; false when the repository had it already.
    async fn push_blob(
        &self,
        client: &Client,
        digest: &str,
        size: u64,
        id: &str,
        progress: &Progress,
    ) -> ApiResult<bool> {
        if client.send(&Call::new("HEAD", format!("blobs/{digest}"))).await?.status == 200 {
            return Ok(false);
        }
        let location = start_upload(client).await?;
        let (bars, id) = (progress.clone(), id.to_owned());
        let mut current = 0;
        let content = self.host.read_blob(digest, 0).await.api()?.inspect(move |piece| {
            if let Ok(piece) = piece {
                current += piece.len() as u64;
                bars.bar(&id, "Pushing", current, size);
            }
        });
        let patch = Call::new("PATCH", location).header("Content-Type", "application/octet-stream");
        let sent = client.upload(&patch, size, content.boxed()).await?;
        let location = match (sent.status, header(&sent, "location")) {
            (202, Some(location)) => location.to_owned(),
            _ => return Err(failure(sent).await?),
        };
        finish_upload(client, &location, digest, Bytes::new()).await?;
        Ok(true)
    }
}

async fn failure(response: docklab_host::HttpResponse) -> ApiResult<ApiError> {
    let status = response.status;
    let body = text(response).await?;
    if status == 401 || status == 403 {
        return Ok(ApiError::forbidden("denied: requested access to the resource is denied"));
    }
    Ok(refusal(status, &body, &format!("received unexpected HTTP status: {status}")))
}

async fn start_upload(client: &Client) -> ApiResult<String> {
    let started = client.send(&Call::new("POST", "blobs/uploads/").body(Bytes::new())).await?;
    match (started.status, header(&started, "location")) {
        (202, Some(location)) => Ok(location.to_owned()),
        _ => Err(failure(started).await?),
    }
}

async fn finish_upload(client: &Client, location: &str, digest: &str, content: Bytes) -> ApiResult<()> {
    let joint = if location.contains('?') { '&' } else { '?' };
    let call = Call::new("PUT", format!("{location}{joint}digest={digest}"))
        .header("Content-Type", "application/octet-stream")
        .body(content);
    let finished = client.send(&call).await?;
    if finished.status == 201 { Ok(()) } else { Err(failure(finished).await?) }
}

/// The configuration, then the manifest that names it and the layers; its digest and size.
async fn push_manifest(
    client: &Client,
    reference: &Reference,
    image: &Image,
    layers: Vec<Descriptor>,
) -> ApiResult<(String, usize)> {
    if client.send(&Call::new("HEAD", format!("blobs/{}", image.id))).await?.status != 200 {
        let location = start_upload(client).await?;
        finish_upload(client, &location, &image.id, image.bytes.clone()).await?;
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
    let stored = client.send(&call).await?;
    if stored.status == 201 { Ok((digest, size)) } else { Err(failure(stored).await?) }
}
