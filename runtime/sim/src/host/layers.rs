use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use docklab_host::{
    Blob, ByteStream, Change, ChangeKind, Compression, FileKind, FileStat, HostError, HostResult, Layers, Root,
    UnpackedLayer,
};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::SimHost;
use crate::{
    fs::{
        Content, Entry, FileError, Item, Layer, Tree, View, decompressed, digest, gzip, join, parent, read_tar,
        write_tar,
    },
    node::Rootfs,
    world::lock,
};

pub(super) async fn collect(content: ByteStream) -> HostResult<Bytes> {
    let all = content
        .try_fold(BytesMut::new(), |mut all, piece| async move {
            all.extend_from_slice(&piece);
            Ok(all)
        })
        .await?;
    Ok(all.freeze())
}

pub(super) fn body(bytes: Bytes) -> ByteStream {
    // Pieces, so that progress can be shown.
    let pieces: Vec<_> =
        (0..bytes.len()).step_by(32 * 1024).map(|at| Ok(bytes.slice(at..bytes.len().min(at + 32 * 1024)))).collect();
    stream::iter(pieces).boxed()
}

pub(super) fn file_error(path: &str, error: FileError) -> HostError {
    match error {
        FileError::NotFound => HostError::NoSuchFile(path.to_owned()),
        FileError::NotADirectory => HostError::NotADirectory(path.to_owned()),
        error => HostError::Other(format!("{path}: {}", error.to_string().to_lowercase())),
    }
}

fn unpacked(layer: &Layer) -> UnpackedLayer {
    UnpackedLayer { chain_id: layer.chain_id.clone(), diff_id: layer.diff_id.clone(), size: layer.size }
}

/// The upper map with the directories that lead to each change, which overlayfs copies up.
fn changed_paths(tree: &Tree) -> BTreeMap<String, Option<Entry>> {
    let mut changed = BTreeMap::new();
    for (path, entry) in &tree.upper {
        let mut above = parent(path);
        while let Some(directory) = above.filter(|above| !above.is_empty()) {
            if let Some(entry) = tree.get(directory) {
                changed.entry(directory.to_owned()).or_insert_with(|| Some(entry.clone()));
            }
            above = parent(directory);
        }
        let parent_gone = parent(path).is_some_and(|above| matches!(tree.upper.get(above), Some(None)));
        if !(entry.is_none() && parent_gone) {
            changed.insert(path.clone(), entry.clone());
        }
    }
    changed.remove("");
    changed
}

impl SimHost {
    pub(super) fn rootfs(&self, container: &str) -> HostResult<Rootfs> {
        lock(&self.node.rootfs).get(container).cloned().ok_or_else(|| HostError::not_found("container", container))
    }
    fn known(&self, chain_id: &str) -> HostResult<Arc<Layer>> {
        let known = lock(&self.node.layers).contains(chain_id);
        known
            .then(|| self.node.world().layers.get(chain_id))
            .flatten()
            .ok_or_else(|| HostError::not_found("layer", chain_id))
    }
    fn root_view(&self, root: &Root) -> HostResult<View> {
        let clock = self.node.world().clock.clone();
        match root {
            Root::Layers(chain_id) => {
                let tree = match chain_id {
                    None => Tree::default(),
                    Some(chain_id) => Tree::over(self.known(chain_id)?.merged.clone()),
                };
                Ok(View::new(Arc::new(Mutex::new(tree)), Vec::new(), true, clock))
            }
            Root::Volume { name, .. } => {
                let volume = lock(&self.node.volumes).get(name).cloned();
                let volume = volume.ok_or_else(|| HostError::not_found("volume", name))?;
                Ok(View::new(volume, Vec::new(), false, clock))
            }
            Root::Directory { path, .. } => {
                Err(HostError::Unsupported(format!("a simulated node has no directory {path} of its own to look into")))
            }
            Root::Container(id) => {
                let rootfs = self.rootfs(id)?;
                let running = lock(&self.node.containers).get(id).map(|container| container.space.view.clone());
                Ok(running.unwrap_or_else(|| View::new(rootfs.tree, Vec::new(), false, clock)))
            }
        }
    }
}

#[async_trait]
impl Layers for SimHost {
    async fn unpack(
        &self,
        parent: Option<&str>,
        compression: Compression,
        tar: ByteStream,
    ) -> HostResult<UnpackedLayer> {
        let bytes = collect(tar).await?;
        let bytes = match compression {
            Compression::None => bytes,
            compression => decompressed(compression, &bytes)?,
        };
        if let Some(parent) = parent {
            self.known(parent)?;
        }
        let layer = self.node.world().layers.add(parent, bytes)?;
        lock(&self.node.layers).insert(layer.chain_id.clone());
        Ok(unpacked(&layer))
    }
    async fn layer(&self, chain_id: &str) -> HostResult<Option<UnpackedLayer>> {
        Ok(self.known(chain_id).ok().map(|layer| unpacked(&layer)))
    }
    async fn export_layer(&self, chain_id: &str) -> HostResult<ByteStream> {
        Ok(body(self.known(chain_id)?.tar.clone()))
    }
    async fn remove_layer(&self, chain_id: &str) -> HostResult<()> {
        lock(&self.node.layers).remove(chain_id);
        Ok(())
    }

    async fn write_blob(&self, expected: Option<&str>, content: ByteStream) -> HostResult<Blob> {
        let bytes = collect(content).await?;
        let actual = digest(&bytes);
        if let Some(expected) = expected
            && expected != actual
        {
            return Err(HostError::DigestMismatch { expected: expected.to_owned(), actual });
        }
        let size = bytes.len() as u64;
        lock(&self.node.blobs).insert(actual.clone(), bytes);
        Ok(Blob { digest: actual, size })
    }
    async fn read_blob(&self, digest: &str, offset: u64) -> HostResult<ByteStream> {
        let bytes = lock(&self.node.blobs).get(digest).cloned();
        let bytes = bytes.ok_or_else(|| HostError::not_found("blob", digest))?;
        Ok(body(bytes.slice((offset as usize).min(bytes.len())..)))
    }
    async fn remove_blob(&self, digest: &str) -> HostResult<()> {
        lock(&self.node.blobs).remove(digest);
        Ok(())
    }
    fn gzip(&self, content: ByteStream) -> ByteStream {
        async move { collect(content).await.and_then(|bytes| gzip(&bytes)).map(Bytes::from) }.into_stream().boxed()
    }

    async fn create_rootfs(&self, container: &str, chain_id: Option<&str>) -> HostResult<()> {
        let tree = match chain_id {
            None => Tree::default(),
            Some(chain_id) => Tree::over(self.known(chain_id)?.merged.clone()),
        };
        let rootfs = Rootfs { tree: Arc::new(Mutex::new(tree)), chain_id: chain_id.map(str::to_owned) };
        lock(&self.node.rootfs).insert(container.to_owned(), rootfs);
        Ok(())
    }
    async fn remove_rootfs(&self, container: &str) -> HostResult<()> {
        lock(&self.node.rootfs).remove(container);
        Ok(())
    }
    async fn rootfs_size(&self, container: &str) -> HostResult<u64> {
        let rootfs = self.rootfs(container)?;
        let size = lock(&rootfs.tree).changed_bytes();
        Ok(size)
    }
    async fn changes(&self, container: &str) -> HostResult<Vec<Change>> {
        let rootfs = self.rootfs(container)?;
        let tree = lock(&rootfs.tree);
        Ok(changed_paths(&tree)
            .into_iter()
            .map(|(path, entry)| Change {
                kind: match &entry {
                    None => ChangeKind::Deleted,
                    Some(_) if tree.lower.contains_key(&path) => ChangeKind::Modified,
                    Some(_) => ChangeKind::Added,
                },
                size: entry.as_ref().map_or(0, Entry::size),
                path: format!("/{path}"),
            })
            .collect())
    }
    async fn commit(&self, container: &str) -> HostResult<Option<UnpackedLayer>> {
        let rootfs = self.rootfs(container)?;
        let tar = {
            let tree = lock(&rootfs.tree);
            let changed = changed_paths(&tree);
            if changed.is_empty() {
                return Ok(None);
            }
            write_tar(changed.iter().map(|(path, entry)| (path.clone(), entry.as_ref())))?
        };
        let layer = self.node.world().layers.add(rootfs.chain_id.as_deref(), tar.into())?;
        lock(&self.node.layers).insert(layer.chain_id.clone());
        Ok(Some(unpacked(&layer)))
    }

    async fn stat(&self, root: &Root, path: &str) -> HostResult<Option<FileStat>> {
        let view = self.root_view(root)?;
        match view.lstat(&join("/", path)) {
            Err(FileError::NotFound | FileError::NotADirectory) => Ok(None),
            Err(error) => Err(file_error(path, error)),
            Ok((path, entry)) => Ok(Some(FileStat {
                path,
                kind: match &entry.content {
                    Content::File(_) => FileKind::Regular,
                    Content::Directory => FileKind::Directory,
                    Content::Symlink(_) => FileKind::Symlink,
                    Content::CharDevice(..) => FileKind::CharDevice,
                    Content::BlockDevice(..) => FileKind::BlockDevice,
                    Content::Fifo => FileKind::Fifo,
                },
                mode: entry.mode,
                uid: entry.uid,
                gid: entry.gid,
                size: entry.size(),
                mtime: entry.mtime,
                link_target: if let Content::Symlink(target) = entry.content { target } else { String::new() },
            })),
        }
    }
    async fn archive(&self, root: &Root, path: &str) -> HostResult<ByteStream> {
        let view = self.root_view(root)?;
        let (real, entry) = view.lstat(&join("/", path)).map_err(|error| file_error(path, error))?;
        let name = real.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(".").to_owned();
        let mut entries = vec![(name, entry)];
        let mut next = vec![(real, entries[0].0.clone())];
        while let Some((directory, name)) = next.pop() {
            let is_system = matches!(directory.as_str(), "/proc" | "/sys" | "/dev");
            if is_system || !view.lstat(&directory).is_ok_and(|(_, entry)| entry.is_directory()) {
                continue;
            }
            for child in view.list(&directory).map_err(|error| file_error(&directory, error))? {
                let child_path = format!("{}/{child}", directory.trim_end_matches('/'));
                let (_, entry) = view.lstat(&child_path).map_err(|error| file_error(&child_path, error))?;
                let child_name = format!("{name}/{child}");
                entries.push((child_name.clone(), entry));
                next.push((child_path, child_name));
            }
        }
        entries[1..].sort_by(|one, other| one.0.cmp(&other.0));
        let tar = write_tar(entries.iter().map(|(name, entry)| (name.clone(), Some(entry))))?;
        Ok(body(tar.into()))
    }
    async fn extract(&self, root: &Root, path: &str, keep_kinds: bool, tar: ByteStream) -> HostResult<()> {
        let view = self.root_view(root)?;
        let items = read_tar(&collect(tar).await?)?;
        let directory = view.canonical(&join("/", path)).map_err(|error| file_error(path, error))?;
        if !view.is_directory(&directory) {
            return Err(HostError::NotADirectory(path.to_owned()));
        }
        for (name, item) in items {
            let target = join(&directory, &name);
            let failed = |error| file_error(&target, error);
            let directory_comes = matches!(&item, Item::Entry(entry) if entry.is_directory());
            if keep_kinds && view.lstat(&target).is_ok() && view.is_directory(&target) != directory_comes {
                let (old, new) =
                    if directory_comes { ("non-directory", "directory") } else { ("directory", "non-directory") };
                return Err(HostError::Other(format!("cannot overwrite {old} {name:?} with {new} {directory:?}")));
            }
            if target != "/"
                && let Some(above) = parent(target.trim_start_matches('/'))
            {
                view.make_directories(&format!("/{above}")).map_err(failed)?;
            }
            match item {
                Item::Entry(entry) if entry.is_directory() && view.is_directory(&target) => {
                    if target != directory {
                        view.change(&target, |old| *old = entry).map_err(failed)?;
                    }
                }
                Item::Entry(entry) => view.put(&target, entry).map_err(failed)?,
                Item::HardLink(link) => view.copy(&join(&directory, &link), &target, true).map_err(failed)?,
                Item::Whiteout | Item::Opaque => {}
            }
        }
        Ok(())
    }
    async fn read_file(&self, root: &Root, path: &str, limit: u64) -> HostResult<Option<Bytes>> {
        match self.root_view(root)?.read(&join("/", path)) {
            Err(FileError::NotFound | FileError::NotADirectory) => Ok(None),
            Err(error) => Err(file_error(path, error)),
            Ok(bytes) if bytes.len() as u64 > limit => {
                Err(HostError::Other(format!("{path} has {} bytes, more than {limit}", bytes.len())))
            }
            Ok(bytes) => Ok(Some(bytes)),
        }
    }
}
