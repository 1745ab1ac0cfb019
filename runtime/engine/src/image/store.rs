use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use docklab_api::{ApiError, ApiResult, Reference, ReferenceError};
use docklab_host::Host;
use serde::{Deserialize, Serialize};

use super::{
    ResolvedImage,
    config::{ImageFile, chain_ids, sha256},
    hold::{self, Orphan},
    staged::Staged,
};
use crate::{HostResultExt, records};

const IMAGES: &str = "images";
const REFERENCES: &str = "references";
const SOURCES: &str = "layer-sources";

/// An image of the store.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// `sha256:…` of `bytes`.
    pub(crate) id: String,
    /// The configuration as it was received or made, to the byte.
    pub(crate) bytes: Bytes,
    pub(crate) file: ImageFile,
    /// Chain IDs, bottom first.
    pub(crate) chains: Vec<String>,
    /// Bytes of each layer, bottom first.
    pub(crate) sizes: Vec<u64>,
    pub(crate) parent: Option<String>,
    /// Only these are found by the build cache.
    pub(crate) built_here: bool,
}

impl Image {
    pub(crate) fn size(&self) -> u64 {
        self.sizes.iter().sum()
    }
    pub(crate) fn chain_id(&self) -> Option<&str> {
        self.chains.last().map(String::as_str)
    }
}

#[derive(Serialize, Deserialize)]
struct ImageRecord {
    config: String,
    sizes: Vec<u64>,
    parent: Option<String>,
    built_here: bool,
    tagged_at: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct ReferenceRecord {
    reference: String,
    image: String,
}

/// A blob in a registry that holds a layer: what makes `Layer already exists` and mounts possible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerSource {
    /// Digest of the compressed blob.
    pub(crate) digest: String,
    /// Bytes of it.
    pub(crate) size: u64,
    pub(crate) media_type: String,
    /// `docker.io/library/ubuntu`.
    pub(crate) repository: String,
}

#[derive(Default)]
struct State {
    images: HashMap<String, Arc<Image>>,
    /// By full reference, so that listings are in Docker's order.
    references: BTreeMap<String, String>,
    sources: HashMap<String, Vec<LayerSource>>,
    tagged_at: HashMap<String, String>,
    /// By image ID.
    orphans: HashMap<String, Orphan>,
    /// How many jobs need a chain.
    held: HashMap<String, usize>,
}

/// The images of an engine.
pub struct ImageStore {
    state: Mutex<State>,
    /// Held by everything that adds or removes images, so that no layer goes while an image that needs it comes.
    pub(crate) changing: tokio::sync::Mutex<()>,
    pub(crate) pruning: tokio::sync::Mutex<()>,
    pub(crate) staged: Arc<Staged>,
}

impl ImageStore {
    /// Loads the image records.
    pub(crate) async fn open(host: &dyn Host) -> ApiResult<Self> {
        let mut state = State::default();
        for (key, record) in records::load::<ImageRecord>(host, IMAGES).await? {
            let bytes = Bytes::from(record.config);
            let id = sha256(&bytes);
            let Ok(file) = ImageFile::parse(&bytes) else {
                tracing::error!(key, "an image's configuration could not be read; the image is left out");
                continue;
            };
            if let Some(at) = record.tagged_at {
                state.tagged_at.insert(id.clone(), at);
            }
            let image = Image {
                chains: chain_ids(&file.rootfs.diff_ids),
                id: id.clone(),
                bytes,
                file,
                sizes: record.sizes,
                parent: record.parent,
                built_here: record.built_here,
            };
            state.images.insert(id, Arc::new(image));
        }
        for (_, record) in records::load::<ReferenceRecord>(host, REFERENCES).await? {
            if state.images.contains_key(&record.image) {
                state.references.insert(record.reference, record.image);
            }
        }
        state.sources =
            records::load(host, SOURCES).await?.into_iter().map(|(key, list)| (prefixed(key), list)).collect();
        state.orphans =
            hold::load_orphans(host).await?.into_iter().map(|orphan| (orphan.image.clone(), orphan)).collect();
        Ok(Self {
            state: Mutex::new(state),
            changing: tokio::sync::Mutex::default(),
            pruning: tokio::sync::Mutex::default(),
            staged: Arc::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds an image by reference (`latest` is the default tag), ID or unique ID prefix. 404 `No such image: x:latest`.
    pub(crate) fn resolve(&self, name: &str) -> ApiResult<ResolvedImage> {
        let (image, reference) = self.find(name)?;
        let familiar = reference
            .map(|reference| reference.familiar())
            .or_else(|| self.tags(&image.id).first().map(Reference::familiar))
            .unwrap_or_else(|| image.id.clone());
        Ok(ResolvedImage {
            id: image.id.clone(),
            chain_id: image.chain_id().map(ToOwned::to_owned),
            config: image.file.config.clone().unwrap_or_default().to_model()?,
            os: if image.file.os.is_empty() { "linux".to_owned() } else { image.file.os.clone() },
            familiar,
        })
    }

    /// As [`Self::resolve`], with the reference when it was found by one.
    pub(crate) fn find(&self, name: &str) -> ApiResult<(Arc<Image>, Option<Reference>)> {
        let state = self.state();
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        let is_hex = !hex.is_empty() && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_hex && hex.len() == 64 {
            let id = format!("sha256:{hex}");
            let image = state.images.get(&id).ok_or_else(|| ApiError::not_found(format!("No such image: {name}")))?;
            return Ok((Arc::clone(image), None));
        }
        let reference = match Reference::parse(name) {
            Ok(reference) => reference.with_default_tag(),
            Err(ReferenceError::HexName(_)) => return Err(ApiError::not_found(format!("No such image: {name}"))),
            Err(error) => return Err(ApiError::invalid(error.to_string())),
        };
        if let Some(image) = lookup(&state, &reference) {
            return Ok((image, Some(reference)));
        }
        if is_hex {
            let prefix = format!("sha256:{hex}");
            let mut found = state.images.values().filter(|image| image.id.starts_with(&prefix));
            if let (Some(image), None) = (found.next(), found.next()) {
                return Ok((Arc::clone(image), None));
            }
        }
        Err(ApiError::not_found(format!("No such image: {}", reference.familiar())))
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Image>> {
        self.state().images.get(id).map(Arc::clone)
    }

    /// All images, newest first.
    pub(crate) fn all(&self) -> Vec<Arc<Image>> {
        let mut images: Vec<_> = self.state().images.values().map(Arc::clone).collect();
        images.sort_by(|left, right| {
            super::seconds(right.file.created.as_deref())
                .cmp(&super::seconds(left.file.created.as_deref()))
                .then_with(|| right.file.created.cmp(&left.file.created))
                .then_with(|| left.id.cmp(&right.id))
        });
        images
    }

    pub(crate) fn children(&self, id: &str) -> Vec<Arc<Image>> {
        self.state().images.values().filter(|image| image.parent.as_deref() == Some(id)).map(Arc::clone).collect()
    }

    /// References to an image, sorted by their full text.
    pub(crate) fn references(&self, id: &str) -> Vec<Reference> {
        let state = self.state();
        let names = state.references.iter().filter(|(_, image)| *image == id);
        names.filter_map(|(name, _)| Reference::parse(name).ok()).collect()
    }

    /// The references with a tag.
    pub(crate) fn tags(&self, id: &str) -> Vec<Reference> {
        self.references(id).into_iter().filter(|reference| reference.digest.is_none()).collect()
    }

    /// All tags of a repository, sorted.
    pub(crate) fn tags_of_repository(&self, repository: &Reference) -> Vec<Reference> {
        let names = self.state().references.keys().cloned().collect::<Vec<_>>();
        let references = names.iter().filter_map(|name| Reference::parse(name).ok());
        references.filter(|other| other.tag.is_some() && other.name() == repository.name()).collect()
    }

    pub(crate) fn tagged_at(&self, id: &str) -> Option<String> {
        self.state().tagged_at.get(id).cloned()
    }

    /// The image that a full reference means.
    pub(crate) fn target(&self, reference: &Reference) -> Option<String> {
        self.state().references.get(&reference.to_string()).cloned()
    }

    /// What `docker ps` shows for a container made from `image` by the name `typed`: the name while it still means that
    /// image, otherwise the image's ID.
    pub(crate) fn display_name(&self, typed: &str, image: &str) -> String {
        match self.find(typed) {
            Ok((found, _)) if found.id == image => typed.to_owned(),
            _ => image.to_owned(),
        }
    }

    /// The images that `image` was built from, itself first (filter `ancestor`).
    pub(crate) fn ancestors(&self, image: &str) -> Vec<String> {
        let state = self.state();
        let mut line = vec![image.to_owned()];
        let mut current = state.images.get(image);
        while let Some(parent) = current.and_then(|image| image.parent.clone()) {
            if line.contains(&parent) {
                break;
            }
            current = state.images.get(&parent);
            line.push(parent);
        }
        line
    }

    /// Bytes of all layers of an image together (`docker ps -s`).
    pub(crate) fn size(&self, image: &str) -> u64 {
        self.get(image).map_or(0, |image| image.size())
    }

    /// The number of images for `docker info`.
    pub(crate) fn count(&self) -> usize {
        self.state().images.len()
    }

    /// Bytes of all layers, each counted once.
    pub(crate) fn layers_size(&self) -> u64 {
        let state = self.state();
        let mut seen = HashMap::new();
        for image in state.images.values() {
            seen.extend(image.chains.iter().cloned().zip(image.sizes.iter().copied()));
        }
        seen.values().sum()
    }

    /// Bytes of an image's layers that other images have too.
    pub(crate) fn shared_size(&self, image: &Image) -> u64 {
        let state = self.state();
        let others = state.images.values().filter(|other| other.id != image.id);
        let used: HashSet<&String> = others.flat_map(|other| &other.chains).collect();
        image.chains.iter().zip(&image.sizes).filter(|(chain, _)| used.contains(chain)).map(|(_, size)| size).sum()
    }

    /// True when an image, a container of a removed image or work under way has this stack of layers.
    pub(crate) fn uses_chain(&self, chain: &str) -> bool {
        let state = self.state();
        state.held.contains_key(chain)
            || state.images.values().any(|image| image.chains.iter().any(|other| other == chain))
            || state.orphans.values().any(|orphan| orphan.chains.iter().any(|other| other == chain))
    }

    pub(super) fn hold(&self, chains: &[String]) {
        let mut state = self.state();
        for chain in chains {
            *state.held.entry(chain.clone()).or_default() += 1;
        }
    }

    pub(super) fn release_hold(&self, chains: &[String]) {
        let mut state = self.state();
        for chain in chains {
            if let Some(count) = state.held.get_mut(chain) {
                *count -= 1;
                if *count == 0 {
                    state.held.remove(chain);
                }
            }
        }
    }

    pub(super) fn set_orphan(&self, orphan: Orphan) {
        self.state().orphans.insert(orphan.image.clone(), orphan);
    }

    pub(super) fn has_orphan(&self, image: &str) -> bool {
        self.state().orphans.contains_key(image)
    }

    pub(super) fn take_orphan(&self, image: &str) -> Option<Orphan> {
        self.state().orphans.remove(image)
    }

    /// Adds an image whose layers the host has. Adding it again changes nothing but `built_here` and the parent.
    pub(crate) async fn add(
        &self,
        host: &dyn Host,
        bytes: Bytes,
        sizes: Vec<u64>,
        parent: Option<String>,
        built_here: bool,
    ) -> ApiResult<Arc<Image>> {
        let file = ImageFile::parse(&bytes)?;
        let id = sha256(&bytes);
        if let Some(known) = self.get(&id).filter(|known| known.parent == parent && known.built_here == built_here) {
            return Ok(known);
        }
        let chains = chain_ids(&file.rootfs.diff_ids);
        let image = Arc::new(Image { id: id.clone(), bytes, file, chains, sizes, parent, built_here });
        self.write(host, &image, self.tagged_at(&id)).await?;
        self.state().images.insert(id, Arc::clone(&image));
        Ok(image)
    }

    async fn write(&self, host: &dyn Host, image: &Image, tagged_at: Option<String>) -> ApiResult<()> {
        let config = String::from_utf8(image.bytes.to_vec())
            .map_err(|_| ApiError::invalid("invalid image configuration: not UTF-8"))?;
        let record = ImageRecord {
            config,
            sizes: image.sizes.clone(),
            parent: image.parent.clone(),
            built_here: image.built_here,
            tagged_at,
        };
        records::put(host, IMAGES, digits(&image.id), &record).await
    }

    /// Points a full reference (with tag or digest) to an image.
    pub(crate) async fn set_reference(&self, host: &dyn Host, reference: &Reference, id: &str) -> ApiResult<()> {
        let name = reference.to_string();
        let record = ReferenceRecord { reference: name.clone(), image: id.to_owned() };
        records::put(host, REFERENCES, digits(&sha256(name.as_bytes())), &record).await?;
        self.state().references.insert(name, id.to_owned());
        if reference.digest.is_none() {
            let now = host.now().to_string();
            if let Some(image) = self.get(id) {
                self.write(host, &image, Some(now.clone())).await?;
            }
            self.state().tagged_at.insert(id.to_owned(), now);
        }
        Ok(())
    }

    pub(crate) async fn remove_reference(&self, host: &dyn Host, reference: &Reference) -> ApiResult<()> {
        let name = reference.to_string();
        host.delete_record(REFERENCES, digits(&sha256(name.as_bytes()))).await.api()?;
        self.state().references.remove(&name);
        Ok(())
    }

    /// Forgets an image; its layers are the caller's to remove.
    pub(crate) async fn remove(&self, host: &dyn Host, id: &str) -> ApiResult<()> {
        host.delete_record(IMAGES, digits(id)).await.api()?;
        let mut state = self.state();
        state.images.remove(id);
        state.tagged_at.remove(id);
        Ok(())
    }

    /// Blobs that are known to hold a layer, by DiffID.
    pub(crate) fn sources(&self, diff_id: &str) -> Vec<LayerSource> {
        self.state().sources.get(diff_id).cloned().unwrap_or_default()
    }

    /// Remembers a blob that holds a layer; the newest source of a repository stands first.
    pub(crate) async fn add_source(&self, host: &dyn Host, diff_id: &str, source: LayerSource) -> ApiResult<()> {
        let mut list = self.sources(diff_id);
        if list.first() == Some(&source) {
            return Ok(());
        }
        list.retain(|other| other.repository != source.repository || other.digest != source.digest);
        list.insert(0, source);
        // More than a registry would be asked for.
        list.truncate(50);
        records::put(host, SOURCES, digits(diff_id), &list).await?;
        self.state().sources.insert(diff_id.to_owned(), list);
        Ok(())
    }
}

/// A digest finds its image whether or not a tag is written beside it.
fn lookup(state: &State, reference: &Reference) -> Option<Arc<Image>> {
    let mut reference = reference.clone();
    if reference.digest.is_some() {
        reference.tag = None;
    }
    state.references.get(&reference.to_string()).and_then(|id| state.images.get(id)).map(Arc::clone)
}

fn digits(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

fn prefixed(digits: String) -> String {
    format!("sha256:{digits}")
}
