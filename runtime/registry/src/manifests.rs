use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::{
    ByteStream, ErrorCode, Head, RecordKind, Registry, Request, Response, digest,
    error::{Failure, Outcome},
    names::{is_digest, is_tag},
};

/// Bytes; the specification asks for at least 4 MiB.
const MANIFEST_LIMIT: usize = 4 << 20;

struct Stored {
    digest: String,
    media_type: String,
    content: Bytes,
}

impl Registry {
    async fn stored(&self, repository: &str, reference: &str) -> Result<Stored, Failure> {
        let unknown = || ErrorCode::ManifestUnknown.about(reference);
        let digest = if is_digest(reference) {
            reference.to_owned()
        } else if is_tag(reference) {
            match self.storage.record(repository, RecordKind::Tag, reference).await? {
                Some(digest) => String::from_utf8_lossy(&digest).into_owned(),
                None if self.storage.records(repository, RecordKind::Manifest).await?.is_empty() => {
                    let code = if self.deny_unknown { ErrorCode::Denied } else { ErrorCode::NameUnknown };
                    return Err(code.about(repository));
                }
                None => return Err(unknown()),
            }
        } else {
            return Err(ErrorCode::TagInvalid.about(reference));
        };
        let record = self.storage.record(repository, RecordKind::Manifest, &digest).await?.ok_or_else(unknown)?;
        let split = record.iter().position(|byte| *byte == b'\n').ok_or_else(unknown)?;
        Ok(Stored {
            digest,
            media_type: String::from_utf8_lossy(&record[..split]).into_owned(),
            content: record.slice(split + 1..),
        })
    }

    pub(crate) async fn get_manifest(&self, repository: &str, reference: &str, request: &Head) -> Outcome {
        let stored = self.stored(repository, reference).await?;
        let tag = format!("\"{}\"", stored.digest);
        if request.get_header("if-none-match").is_some_and(|known| known == tag) {
            return Ok(Response::new(304).with("Etag", tag).with("Docker-Content-Digest", stored.digest));
        }
        Ok(Response::new(200)
            .with("Docker-Content-Digest", stored.digest)
            .with("Etag", tag)
            .content(&stored.media_type, stored.content))
    }

    pub(crate) async fn put_manifest(&self, repository: &str, reference: &str, request: Request) -> Outcome {
        if !is_digest(reference) && !is_tag(reference) {
            return Err(ErrorCode::TagInvalid.about(reference));
        }
        let content_type = request
            .get_header("content-type")
            .map(|kind| kind.split(';').next().unwrap_or(kind).trim().to_owned())
            .filter(|kind| !kind.is_empty());
        let content = limited(request.body).await?;
        let digest = digest::of_bytes(&content, reference);
        if is_digest(reference) && digest != reference {
            return Err(ErrorCode::DigestInvalid.about(format!("the content is {digest}")));
        }
        let manifest: Value =
            serde_json::from_slice(&content).map_err(|error| ErrorCode::ManifestInvalid.about(error.to_string()))?;
        let declared = manifest.get("mediaType").and_then(Value::as_str);
        let media_type = match (content_type, declared) {
            (Some(sent), Some(declared)) if sent != declared => {
                let detail = format!("Content-Type is {sent}, mediaType is {declared}");
                return Err(ErrorCode::ManifestInvalid.about(detail));
            }
            (Some(sent), _) => sent,
            (None, Some(declared)) => declared.to_owned(),
            (None, None) => return Err(ErrorCode::ManifestInvalid.about("neither Content-Type nor mediaType is given")),
        };
        if !manifest.is_object() || media_type.contains('\n') {
            return Err(ErrorCode::ManifestInvalid.into());
        }
        self.check_blobs(repository, &manifest).await?;

        let mut record = BytesMut::from(media_type.as_bytes());
        record.extend_from_slice(b"\n");
        record.extend_from_slice(&content);
        self.storage.put_record(repository, RecordKind::Manifest, &digest, record.freeze()).await?;
        if !is_digest(reference) {
            let value = Bytes::from(digest.clone());
            self.storage.put_record(repository, RecordKind::Tag, reference, value).await?;
        }
        let mut response = Response::new(201)
            .with("Location", format!("/v2/{repository}/manifests/{digest}"))
            .with("Docker-Content-Digest", &digest)
            .empty();
        if let Some(subject) = subject(&manifest) {
            let descriptor = descriptor(&manifest, &media_type, &digest, content.len());
            let key = format!("{subject}@{digest}");
            let value = Bytes::from(descriptor.to_string());
            self.storage.put_record(repository, RecordKind::Referrer, &key, value).await?;
            response = response.with("OCI-Subject", subject);
        }
        Ok(response)
    }

    /// Config and layers must be in the repository; foreign layers (`urls`) and the manifests of an index need not, so
    /// that an index can be kept with some of its platforms.
    async fn check_blobs(&self, repository: &str, manifest: &Value) -> Result<(), Failure> {
        let layers = manifest.get("layers").and_then(Value::as_array).into_iter().flatten();
        for descriptor in manifest.get("config").into_iter().chain(layers) {
            let Some(digest) = descriptor.get("digest").and_then(Value::as_str).filter(|digest| is_digest(digest))
            else {
                return Err(ErrorCode::ManifestInvalid.about("a descriptor has no valid digest"));
            };
            let foreign = descriptor.get("urls").and_then(Value::as_array).is_some_and(|urls| !urls.is_empty());
            if !foreign && self.linked_blob(repository, digest).await?.is_none() {
                return Err(ErrorCode::ManifestBlobUnknown.about(digest));
            }
        }
        Ok(())
    }

    pub(crate) async fn delete_manifest(&self, repository: &str, reference: &str) -> Outcome {
        if is_tag(reference) && !is_digest(reference) {
            if self.storage.record(repository, RecordKind::Tag, reference).await?.is_none() {
                return Err(ErrorCode::ManifestUnknown.about(reference));
            }
            self.storage.delete_record(repository, RecordKind::Tag, reference).await?;
            return Ok(Response::new(202).empty());
        }
        let stored = self.stored(repository, reference).await?;
        for tag in self.storage.records(repository, RecordKind::Tag).await? {
            let digest = self.storage.record(repository, RecordKind::Tag, &tag).await?;
            if digest.is_some_and(|digest| digest == stored.digest.as_bytes()) {
                self.storage.delete_record(repository, RecordKind::Tag, &tag).await?;
            }
        }
        let manifest: Option<Value> = serde_json::from_slice(&stored.content).ok();
        if let Some(subject) = manifest.as_ref().and_then(subject) {
            let key = format!("{subject}@{}", stored.digest);
            self.storage.delete_record(repository, RecordKind::Referrer, &key).await?;
        }
        self.storage.delete_record(repository, RecordKind::Manifest, &stored.digest).await?;
        Ok(Response::new(202).empty())
    }
}

fn subject(manifest: &Value) -> Option<&str> {
    manifest.get("subject")?.get("digest")?.as_str().filter(|digest| is_digest(digest))
}

/// What the referrers list says of a manifest. The artifact type of an image without one is its config's media type.
fn descriptor(manifest: &Value, media_type: &str, digest: &str, size: usize) -> Value {
    let mut descriptor = json!({ "mediaType": media_type, "digest": digest, "size": size });
    let own = manifest.get("artifactType").and_then(Value::as_str).filter(|kind| !kind.is_empty());
    let config = || manifest.get("config")?.get("mediaType")?.as_str();
    if let Some(kind) = own.or_else(config) {
        descriptor["artifactType"] = kind.into();
    }
    if let Some(annotations) = manifest.get("annotations").filter(|annotations| annotations.is_object()) {
        descriptor["annotations"] = annotations.clone();
    }
    descriptor
}

async fn limited(mut body: ByteStream) -> Result<Bytes, Failure> {
    let mut content = BytesMut::new();
    while let Some(piece) = body.next().await {
        content.extend_from_slice(&piece?);
        if content.len() > MANIFEST_LIMIT {
            return Err(ErrorCode::SizeInvalid.about("a manifest may have 4 MiB"));
        }
    }
    Ok(content.freeze())
}
