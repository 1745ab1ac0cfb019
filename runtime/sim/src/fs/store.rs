//! The layers of a world: content is shared by all nodes, which layers a node *has* is the node's own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use docklab_host::{HostError, HostResult};

use super::{
    tarball::{self, Item},
    tree::{Content, Entry, Map, beneath, parent},
};
use crate::world::lock;

/// A layer on top of its parents.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) chain_id: String,
    pub(crate) diff_id: String,
    /// Bytes of the files it adds.
    pub(crate) size: u64,
    /// The tar itself, so that an export is exact to the byte.
    pub(crate) tar: Bytes,
    /// The view of this layer and all beneath it.
    pub(crate) merged: Arc<Map>,
}

/// Every layer that any node of the world has seen, by chain ID.
#[derive(Default)]
pub(crate) struct LayerStore(Mutex<HashMap<String, Arc<Layer>>>);

/// OCI image spec, "Layer ChainID".
pub(crate) fn chain_id(parent: Option<&str>, diff_id: &str) -> String {
    parent.map_or_else(|| diff_id.to_owned(), |parent| tarball::digest(format!("{parent} {diff_id}").as_bytes()))
}

impl LayerStore {
    pub(crate) fn get(&self, chain_id: &str) -> Option<Arc<Layer>> {
        lock(&self.0).get(chain_id).cloned()
    }
    /// Puts an uncompressed layer tar on top of `parent`.
    pub(crate) fn add(&self, parent: Option<&str>, tar: Bytes) -> HostResult<Arc<Layer>> {
        let lower = match parent {
            None => Arc::new(Map::new()),
            Some(parent) => self.get(parent).ok_or_else(|| HostError::not_found("layer", parent))?.merged.clone(),
        };
        let diff_id = tarball::digest(&tar);
        let chain_id = chain_id(parent, &diff_id);
        if let Some(layer) = self.get(&chain_id) {
            return Ok(layer);
        }
        let items = tarball::read(&tar)?;
        let size = items.iter().map(|(_, item)| if let Item::Entry(entry) = item { entry.size() } else { 0 }).sum();
        let merged = Arc::new(apply(&lower, items)?);
        let layer = Arc::new(Layer { chain_id: chain_id.clone(), diff_id, size, tar, merged });
        lock(&self.0).insert(chain_id, layer.clone());
        Ok(layer)
    }
}

fn clear_beneath(map: &mut Map, path: &str) {
    let gone: Vec<String> = map.range(beneath(path)).map(|(path, _)| path.clone()).collect();
    for path in gone {
        map.remove(&path);
    }
}

/// Whiteouts hide what is below the layer, never what the same layer brings; they are applied first.
fn apply(lower: &Map, items: Vec<(String, Item)>) -> HostResult<Map> {
    let mut map = lower.clone();
    for (path, item) in &items {
        match item {
            Item::Whiteout => {
                clear_beneath(&mut map, path);
                map.remove(path);
            }
            Item::Opaque => clear_beneath(&mut map, path),
            _ => {}
        }
    }
    for (path, item) in items {
        let entry = match item {
            Item::Entry(entry) => entry,
            Item::HardLink(target) => map
                .get(&target)
                .cloned()
                .ok_or_else(|| HostError::InvalidTar(format!("hard link {path} to missing {target}")))?,
            Item::Whiteout | Item::Opaque => continue,
        };
        let mut at = path.as_str();
        while let Some(above) = parent(at).filter(|above| !above.is_empty()) {
            match map.get(above).map(|entry| &entry.content) {
                None => {
                    map.insert(above.to_owned(), Entry::directory(entry.mtime));
                }
                Some(Content::Directory) => break,
                // A layer may go through a link of a lower one (`bin/x` where `bin` links to `usr/bin`); the simulator
                // keeps the entry beside the link's own path and says so rather than dropping it.
                Some(_) => return Err(HostError::InvalidTar(format!("{path}: {above} is not a directory"))),
            }
            at = above;
        }
        if !entry.is_directory() {
            clear_beneath(&mut map, &path);
        }
        map.insert(path, entry);
    }
    Ok(map)
}
