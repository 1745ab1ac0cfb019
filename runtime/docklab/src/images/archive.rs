//! A seed: one tar that is both an OCI image layout and what `docker image save` writes.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Archive, Builder, EntryType, Header};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A layer that lies on disk under its digest.
#[derive(Debug, Clone)]
pub(super) struct StoredLayer {
    /// Hexadecimal SHA-256 of the tar.
    pub(super) digest: String,
    pub(super) size: u64,
    pub(super) path: PathBuf,
}

#[derive(Debug)]
pub(super) struct StoredImage {
    /// `ubuntu:latest`, without a registry.
    pub(super) tags: Vec<String>,
    /// The image's configuration object as JSON.
    pub(super) config: Vec<u8>,
    pub(super) layers: Vec<StoredLayer>,
}

pub(super) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Writes images as one seed; a file of that name is replaced in one step.
pub(super) fn write(images: &[StoredImage], file: &Path) -> Result<()> {
    let partial = file.with_extension("partial");
    let output = File::create(&partial).with_context(|| format!("creating {}", partial.display()))?;
    let mut builder = Builder::new(BufWriter::new(output));
    let mut blobs: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut layers: BTreeMap<&str, &StoredLayer> = BTreeMap::new();
    let mut index = Vec::new();
    let mut save = Vec::new();
    for image in images {
        layers.extend(image.layers.iter().map(|layer| (layer.digest.as_str(), layer)));
        let config = digest(&image.config);
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config, image.config.len() as u64),
            "layers": image.layers.iter().map(|layer| descriptor(LAYER, &layer.digest, layer.size)).collect::<Vec<_>>(),
        }))?;
        let manifest_digest = digest(&manifest);
        for tag in &image.tags {
            let mut entry = descriptor(MANIFEST, &manifest_digest, manifest.len() as u64);
            entry["annotations"] = json!({
                "io.containerd.image.name": format!("docker.io/library/{tag}"),
                "org.opencontainers.image.ref.name": tag.split_once(':').map_or("latest", |(_, tag)| tag),
            });
            index.push(entry);
        }
        save.push(json!({
            "Config": format!("blobs/sha256/{config}"),
            "RepoTags": image.tags,
            "Layers": image.layers.iter().map(|layer| format!("blobs/sha256/{}", layer.digest)).collect::<Vec<_>>(),
        }));
        blobs.insert(config, image.config.clone());
        blobs.insert(manifest_digest, manifest);
    }
    for directory in ["blobs/", "blobs/sha256/"] {
        let mut header = header(EntryType::Directory, 0o755, 0);
        builder.append_data(&mut header, directory, std::io::empty())?;
    }
    for (digest, bytes) in &blobs {
        append(&mut builder, &format!("blobs/sha256/{digest}"), bytes)?;
    }
    for (digest, layer) in layers {
        let content = File::open(&layer.path).with_context(|| format!("opening {}", layer.path.display()))?;
        let mut header = header(EntryType::Regular, 0o644, layer.size);
        builder.append_data(&mut header, format!("blobs/sha256/{digest}"), content)?;
    }
    let index =
        json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": index });
    append(&mut builder, "index.json", &serde_json::to_vec(&index)?)?;
    append(&mut builder, "manifest.json", &serde_json::to_vec(&save)?)?;
    append(&mut builder, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    builder.into_inner()?.flush().with_context(|| format!("writing {}", partial.display()))?;
    fs::rename(&partial, file).with_context(|| format!("writing {}", file.display()))
}

/// The tags of a seed's images.
pub(super) fn tags(file: &Path) -> Result<Vec<String>> {
    let name = file.display();
    let mut archive = Archive::new(File::open(file).with_context(|| format!("opening the seed {name}"))?);
    for entry in archive.entries_with_seek().with_context(|| format!("reading the seed {name}"))? {
        let entry = entry.with_context(|| format!("reading the seed {name}"))?;
        if entry.path()?.as_ref() == Path::new("manifest.json") {
            let images: Vec<Saved> =
                serde_json::from_reader(entry).with_context(|| format!("reading manifest.json of {name}"))?;
            return Ok(images.into_iter().flat_map(|image| image.tags.unwrap_or_default()).collect());
        }
    }
    bail!("{name} holds no manifest.json: it is not what `docker image save` writes")
}

/// A seed without its layers: enough for an engine whose layer store has them.
pub(super) fn without_layers(file: &Path) -> Result<Vec<u8>> {
    let failed = || format!("reading the seed {}", file.display());
    let mut archive = Archive::new(File::open(file).with_context(failed)?);
    let mut builder = Builder::new(Vec::new());
    for entry in archive.entries_with_seek().with_context(failed)? {
        let mut entry = entry.with_context(failed)?;
        // Configurations and manifests are small. A layer that is, too, does no harm.
        if entry.size() <= LARGEST_DESCRIPTION {
            let (mut header, path) = (entry.header().clone(), entry.path()?.into_owned());
            builder.append_data(&mut header, path, &mut entry).with_context(failed)?;
        }
    }
    builder.into_inner().with_context(failed)
}

/// Bytes.
const LARGEST_DESCRIPTION: u64 = 256 * 1024;

/// An entry of manifest.json.
#[derive(Deserialize)]
struct Saved {
    #[serde(rename = "RepoTags")]
    tags: Option<Vec<String>>,
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size })
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header
}

fn append<W: Write>(builder: &mut Builder<W>, path: &str, bytes: &[u8]) -> Result<()> {
    let mut header = header(EntryType::Regular, 0o644, bytes.len() as u64);
    builder.append_data(&mut header, path, bytes).with_context(|| format!("writing {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_tells_its_tags() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("seed.tar");
        let tags = vec!["nginx:latest".to_owned(), "nginx:1.13".to_owned()];
        write(&[StoredImage { tags: tags.clone(), config: b"{}".to_vec(), layers: Vec::new() }], &file)
            .expect("a seed");
        assert_eq!(super::tags(&file).expect("its tags"), tags);
    }
}
