//! `docker save`: one tar that is both an OCI image layout and what `docker load` has always read.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use docklab_api::{ApiError, ApiResult, ByteStream, Reference};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::{BlobUse, config::sha256, store::Image};
use crate::{Engine, HostResultExt, api_error};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const BLOCK: usize = 512;

/// A file of the archive.
enum Part {
    Directory(&'static str),
    Bytes(String, Bytes),
    Blob(String, BlobUse),
}

fn encoded(value: &serde_json::Value) -> Bytes {
    value.to_string().into()
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn tar_header(path: &str, size: u64) -> ApiResult<Bytes> {
    let failed = |error: std::io::Error| ApiError::system(format!("writing the archive: {error}"));
    let mut header = tar::Header::new_gnu();
    header.set_path(path).map_err(failed)?;
    header.set_size(size);
    let is_directory = path.ends_with('/');
    header.set_entry_type(if is_directory { tar::EntryType::Directory } else { tar::EntryType::Regular });
    header.set_mode(if is_directory { 0o755 } else { 0o644 });
    header.set_cksum();
    Ok(Bytes::copy_from_slice(header.as_bytes()))
}

fn padding(size: u64) -> Bytes {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    Bytes::from(vec![0; if over == 0 { 0 } else { BLOCK - over }])
}

impl Engine {
    pub(super) async fn save_archive(&self, names: &[String]) -> ApiResult<ByteStream> {
        let mut wanted: Vec<(std::sync::Arc<Image>, Vec<Reference>)> = Vec::new();
        for name in names {
            let (image, reference) = self.images.find(name).map_err(|error| match error.status {
                404 => ApiError::not_found(format!("No such image: {name}")),
                _ => error,
            })?;
            // A repository without a tag means all its tags; an ID none.
            let tags = match reference {
                Some(reference) if name.contains(':') || reference.digest.is_some() => vec![reference],
                Some(reference) => {
                    self.images.tags(&image.id).into_iter().filter(|tag| tag.name() == reference.name()).collect()
                }
                None => Vec::new(),
            };
            match wanted.iter_mut().find(|(known, _)| known.id == image.id) {
                Some((_, known)) => known.extend(tags),
                None => wanted.push((image, tags)),
            }
        }
        let mut parts = vec![Part::Directory("blobs/"), Part::Directory("blobs/sha256/")];
        let mut seen = BTreeSet::new();
        let (mut manifests, mut saved, mut repositories) =
            (Vec::new(), Vec::new(), BTreeMap::<String, BTreeMap<String, String>>::new());
        for (image, tags) in &wanted {
            let mut layers = Vec::new();
            for (diff_id, chain) in image.file.rootfs.diff_ids.iter().zip(&image.chains) {
                let tar = self.host.export_layer(chain).await.api()?;
                let blob = self.images.staged.write(&self.host, tar).await.api()?;
                layers.push(json!({ "mediaType": OCI_LAYER, "digest": diff_id, "size": blob.size() }));
                if seen.insert(blob.digest().to_owned()) {
                    parts.push(Part::Blob(blob_path(diff_id), blob));
                }
            }
            let config = json!({ "mediaType": OCI_CONFIG, "digest": image.id, "size": image.bytes.len() });
            let manifest =
                encoded(&json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers }));
            let digest = sha256(&manifest);
            let size = manifest.len();
            for (path, content) in [(blob_path(&image.id), image.bytes.clone()), (blob_path(&digest), manifest)] {
                if seen.insert(path.clone()) {
                    parts.push(Part::Bytes(path, content));
                }
            }
            let plain = json!({ "mediaType": OCI_MANIFEST, "digest": digest, "size": size });
            if tags.is_empty() {
                manifests.push(plain.clone());
            }
            for tag in tags {
                let mut named = plain.clone();
                named["annotations"] = json!({
                    "io.containerd.image.name": tag.to_string(),
                    "org.opencontainers.image.ref.name": tag.tag.clone().unwrap_or_default(),
                });
                manifests.push(named);
                if let (Some(tag_name), Some(top)) = (&tag.tag, image.file.rootfs.diff_ids.last()) {
                    let top = top.trim_start_matches("sha256:").to_owned();
                    repositories.entry(tag.familiar_name()).or_default().insert(tag_name.clone(), top);
                }
            }
            let sources: BTreeMap<&String, &serde_json::Value> =
                image.file.rootfs.diff_ids.iter().zip(&layers).collect();
            saved.push(json!({
                "Config": blob_path(&image.id),
                "RepoTags": tags.iter().map(Reference::familiar).collect::<Vec<_>>(),
                "Layers": image.file.rootfs.diff_ids.iter().map(|diff_id| blob_path(diff_id)).collect::<Vec<_>>(),
                "LayerSources": sources,
            }));
        }
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
        parts.push(Part::Bytes("index.json".to_owned(), encoded(&index)));
        parts.push(Part::Bytes("manifest.json".to_owned(), encoded(&json!(saved))));
        parts.push(Part::Bytes("oci-layout".to_owned(), Bytes::from_static(br#"{"imageLayoutVersion": "1.0.0"}"#)));
        if !repositories.is_empty() {
            parts.push(Part::Bytes("repositories".to_owned(), encoded(&json!(repositories))));
        }
        for (image, _) in &wanted {
            self.image_event("save", &image.id, &image.id);
        }
        Ok(self.archive_of(parts))
    }

    /// The tar, read as it is sent; every staged blob goes once it has been sent.
    fn archive_of(&self, parts: Vec<Part>) -> ByteStream {
        let host = std::sync::Arc::clone(&self.host);
        let files = stream::iter(parts).then(move |part| {
            let host = std::sync::Arc::clone(&host);
            async move {
                let file: ApiResult<ByteStream> = match part {
                    Part::Directory(path) => Ok(stream::iter([tar_header(path, 0)]).boxed()),
                    Part::Bytes(path, content) => {
                        let size = content.len() as u64;
                        Ok(stream::iter([tar_header(&path, size), Ok(content), Ok(padding(size))]).boxed())
                    }
                    Part::Blob(path, blob) => {
                        let size = blob.size();
                        let content = host.read_blob(blob.digest(), 0).await.api()?.map_err(api_error).boxed();
                        let end = stream::once(async move {
                            drop(blob);
                            Ok(padding(size))
                        });
                        Ok(stream::once(async move { tar_header(&path, size) }).chain(content).chain(end).boxed())
                    }
                };
                file
            }
        });
        let end = stream::once(async { Ok(Bytes::from_static(&[0; 2 * BLOCK])) });
        files.try_flatten().chain(end).boxed()
    }
}
