//! Layers on disk: a content-addressed store of unpacked layers, writable layers for overlayfs, staged blobs, and the merged
//! view of them in user space.

mod archive;
mod blobs;
mod changes;
mod rootfs;
mod split;
mod stack;
mod store;
mod streams;
mod unpack;

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_host::{
    Blob, ByteStream, Change, Compression, FileStat, HostError, HostResult, Layers, Root, UnpackedLayer,
};
use tokio::runtime::Handle;

pub(crate) use rootfs::OverlayPaths;
pub(crate) use streams::{blocking, io_error};

use blobs::Blobs;
use rootfs::RootFileSystems;
use split::Recorder;
use stack::{Stack, display};
use store::Store;
use streams::{StreamReader, decompress, produce};
use unpack::{Extraction, Meaning};

use crate::{LinuxHost, LinuxOptions};

/// The layer store. To look into a *running* container use `crate::processes::ProcessTable::pid` and `/proc/<pid>/root`.
#[derive(Clone)]
pub(crate) struct LayerStore {
    parts: Arc<Parts>,
}

struct Parts {
    store: Store,
    rootfs: RootFileSystems,
    blobs: Blobs,
}

impl LayerStore {
    pub(crate) fn open(options: &LinuxOptions) -> HostResult<Self> {
        let data = &options.data_root;
        let layers = options.shared_layers.clone().unwrap_or_else(|| data.join("layers"));
        let parts = Parts {
            store: Store::open(&layers, data)?,
            rootfs: RootFileSystems::open(&data.join("rootfs"))?,
            blobs: Blobs::open(&data.join("blobs"))?,
        };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// The overlay of a container whose root file system was created.
    pub(crate) fn overlay_paths(&self, container: &str) -> HostResult<OverlayPaths> {
        self.parts.rootfs.overlay_paths(&self.parts.store, container)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Parts) -> HostResult<T> + Send + 'static,
    ) -> HostResult<T> {
        let parts = self.parts.clone();
        blocking(move || work(&parts)).await
    }
}

impl Parts {
    /// Reads a whole layer into a directory beside the store, then publishes it.
    fn unpack(
        &self,
        parent: Option<&str>,
        compression: Compression,
        tar: impl Read + Send + 'static,
    ) -> HostResult<UnpackedLayer> {
        let beneath = self.store.directories(parent)?;
        let temporary = self.store.temporary()?;
        let diff = temporary.path.join("diff");
        store::create_directory(&diff)?;
        if let Some(top) = beneath.first() {
            store::same_root(top, &diff)?;
        }
        let stack = Stack::open(std::iter::once(&diff).chain(&beneath))?;
        let (recorder, reader) = Recorder::new(decompress(compression, tar), &temporary.path)?;
        let extraction = Extraction::new(stack, Meaning::Layer, PathBuf::new());
        let (size, recorder) = extraction.record(recorder, temporary.path.clone()).run(reader)?;
        let recorder = recorder.ok_or_else(|| HostError::Other("unpack layer: no records".to_owned()))?;
        let diff_id = recorder.finish(&temporary.path)?;
        Ok(self.store.publish(&temporary, parent, diff_id, size)?.unpacked())
    }

    fn commit(self: &Arc<Self>, runtime: Handle, container: &str) -> HostResult<Option<UnpackedLayer>> {
        let (merged, lower) = self.rootfs.stacks(&self.store, container)?;
        let changes = changes::changes(&merged, &lower)?;
        if changes.is_empty() {
            return Ok(None);
        }
        let chain = self.rootfs.chain(container)?;
        let stream = {
            let _runtime = runtime.enter();
            produce(move |output| archive::layer_of_changes(&merged, &changes, output))
        };
        self.unpack(chain.as_deref(), Compression::None, StreamReader::new(runtime, stream)).map(Some)
    }

    /// What `root` shows; `pid` is the first process of a container that runs.
    fn view(&self, root: &Root, pid: Option<u32>, mounted: Option<&Path>) -> HostResult<Stack> {
        match (root, pid) {
            (Root::Volume { .. } | Root::Directory { .. }, _) => {
                Stack::open(mounted.into_iter().map(Path::to_path_buf).collect::<Vec<_>>())
            }
            (Root::Layers(chain), _) => Stack::open(self.store.directories(chain.as_deref())?),
            // With its volumes and everything else that is mounted in it.
            (Root::Container(_), Some(pid)) => Stack::open([format!("/proc/{pid}/root")]),
            (Root::Container(container), None) => Ok(self.rootfs.stacks(&self.store, container)?.0),
        }
    }
}

impl LinuxHost {
    /// Runs `work` on the merged view of `root`.
    async fn look<T: Send + 'static>(
        &self,
        root: &Root,
        work: impl FnOnce(Stack) -> HostResult<T> + Send + 'static,
    ) -> HostResult<T> {
        let (root, pid) = (root.clone(), self.running(root));
        let mounted = match &root {
            Root::Volume { name, .. } => Some(self.inner.volumes.directory(name)?),
            Root::Directory { path, .. } => Some(PathBuf::from(path)),
            Root::Layers(_) | Root::Container(_) => None,
        };
        self.inner.layers.run(move |parts| work(parts.view(&root, pid, mounted.as_deref())?)).await
    }

    fn running(&self, root: &Root) -> Option<u32> {
        match root {
            Root::Container(container) => self.inner.processes.pid(container),
            Root::Layers(_) | Root::Volume { .. } | Root::Directory { .. } => None,
        }
    }
}

#[async_trait]
impl Layers for LinuxHost {
    async fn unpack(
        &self,
        parent: Option<&str>,
        compression: Compression,
        tar: ByteStream,
    ) -> HostResult<UnpackedLayer> {
        let parent = parent.map(str::to_owned);
        let reader = StreamReader::new(Handle::current(), tar);
        self.inner.layers.run(move |parts| parts.unpack(parent.as_deref(), compression, reader)).await
    }

    async fn layer(&self, chain_id: &str) -> HostResult<Option<UnpackedLayer>> {
        let chain_id = chain_id.to_owned();
        self.inner.layers.run(move |parts| Ok(parts.store.find(&chain_id)?.map(|record| record.unpacked()))).await
    }

    async fn export_layer(&self, chain_id: &str) -> HostResult<ByteStream> {
        let chain_id = chain_id.to_owned();
        let (directory, diff_id) = self
            .inner
            .layers
            .run(move |parts| {
                let record = parts.store.get(&chain_id)?;
                Ok((parts.store.layer_directory(&chain_id)?, record.diff_id))
            })
            .await?;
        Ok(produce(move |output| split::reassemble(&directory, &diff_id, output)))
    }

    async fn remove_layer(&self, chain_id: &str) -> HostResult<()> {
        let chain_id = chain_id.to_owned();
        self.inner.layers.run(move |parts| parts.store.remove(&chain_id)).await
    }

    async fn write_blob(&self, expected: Option<&str>, content: ByteStream) -> HostResult<Blob> {
        let expected = expected.map(str::to_owned);
        let mut reader = StreamReader::new(Handle::current(), content);
        self.inner.layers.run(move |parts| parts.blobs.write(expected.as_deref(), &mut reader)).await
    }

    async fn read_blob(&self, digest: &str, offset: u64) -> HostResult<ByteStream> {
        let digest = digest.to_owned();
        let mut file = self.inner.layers.run(move |parts| parts.blobs.open_at(&digest, offset)).await?;
        Ok(produce(move |output| io::copy(&mut file, output).map(drop).map_err(|error| io_error("read blob", error))))
    }

    async fn remove_blob(&self, digest: &str) -> HostResult<()> {
        let digest = digest.to_owned();
        self.inner.layers.run(move |parts| parts.blobs.remove(&digest)).await
    }

    fn gzip(&self, content: ByteStream) -> ByteStream {
        let mut reader = StreamReader::new(Handle::current(), content);
        produce(move |output| {
            // No name and no time in the header: the same content always gives the same bytes.
            let mut encoder = flate2::GzBuilder::new().write(output, flate2::Compression::default());
            io::copy(&mut reader, &mut encoder)
                .and_then(|_| encoder.finish())
                .map(drop)
                .map_err(|error| io_error("compress", error))
        })
    }

    async fn create_rootfs(&self, container: &str, chain_id: Option<&str>) -> HostResult<()> {
        let (container, chain_id) = (container.to_owned(), chain_id.map(str::to_owned));
        self.inner.layers.run(move |parts| parts.rootfs.create(&parts.store, &container, chain_id.as_deref())).await
    }

    async fn remove_rootfs(&self, container: &str) -> HostResult<()> {
        let container = container.to_owned();
        self.inner.layers.run(move |parts| parts.rootfs.remove(&container)).await
    }

    async fn rootfs_size(&self, container: &str) -> HostResult<u64> {
        let container = container.to_owned();
        self.inner.layers.run(move |parts| parts.rootfs.size(&container)).await
    }

    async fn changes(&self, container: &str) -> HostResult<Vec<Change>> {
        let container = container.to_owned();
        self.inner
            .layers
            .run(move |parts| {
                let (merged, lower) = parts.rootfs.stacks(&parts.store, &container)?;
                changes::changes(&merged, &lower)
            })
            .await
    }

    async fn commit(&self, container: &str) -> HostResult<Option<UnpackedLayer>> {
        let (container, runtime) = (container.to_owned(), Handle::current());
        let parts = self.inner.layers.parts.clone();
        blocking(move || parts.commit(runtime, &container)).await
    }

    async fn stat(&self, root: &Root, path: &str) -> HostResult<Option<FileStat>> {
        let path = path.to_owned();
        self.look(root, move |stack| match stack.lookup(Path::new(&path), false) {
            Ok(Some(node)) => stack.file_stat(&node).map(Some),
            Ok(None) | Err(HostError::NotADirectory(_)) => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn archive(&self, root: &Root, path: &str) -> HostResult<ByteStream> {
        let path = path.to_owned();
        let (stack, path) = self
            .look(root, move |stack| match stack.lookup(Path::new(&path), false)? {
                Some(_) => Ok((stack, path)),
                None => Err(HostError::NoSuchFile(path)),
            })
            .await?;
        let top = match root {
            Root::Volume { called, .. } | Root::Directory { called, .. } => called.clone(),
            Root::Layers(_) | Root::Container(_) => ".".to_owned(),
        };
        Ok(produce(move |output| archive::archive(&stack, Path::new(&path), &top, output)))
    }

    async fn extract(&self, root: &Root, path: &str, keep_kinds: bool, tar: ByteStream) -> HostResult<()> {
        let path = path.to_owned();
        let reader = StreamReader::new(Handle::current(), tar);
        self.look(root, move |stack| {
            let node = stack.lookup(Path::new(&path), true)?.ok_or_else(|| HostError::NoSuchFile(path.clone()))?;
            if !node.is_directory() {
                return Err(HostError::NotADirectory(display(&node.path)));
            }
            Extraction::new(stack, Meaning::Files, node.path).keep_kinds(keep_kinds).run(reader).map(drop)
        })
        .await
    }

    async fn read_file(&self, root: &Root, path: &str, limit: u64) -> HostResult<Option<Bytes>> {
        let path = path.to_owned();
        self.look(root, move |stack| {
            let node = match stack.lookup(Path::new(&path), true) {
                Ok(Some(node)) => node,
                Ok(None) | Err(HostError::NotADirectory(_)) => return Ok(None),
                Err(error) => return Err(error),
            };
            if node.format() != nix::libc::S_IFREG {
                return Err(HostError::Other(format!("read {path}: not a regular file")));
            }
            let mut content = Vec::new();
            stack
                .open_file(&node)?
                .take(limit.saturating_add(1))
                .read_to_end(&mut content)
                .map_err(|error| io_error(format!("read {path}"), error))?;
            if content.len() as u64 > limit {
                return Err(HostError::Other(format!("read {path}: longer than {limit} bytes")));
            }
            Ok(Some(Bytes::from(content)))
        })
        .await
    }
}

/// Bytes of the regular files beneath a directory of ours.
pub(crate) fn directory_size(directory: &Path) -> HostResult<u64> {
    let mut size = 0;
    let mut waiting = vec![directory.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            // Removed by whoever uses it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io_error(format!("read {}", directory.display()), error)),
        };
        for entry in entries.filter_map(Result::ok) {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => waiting.push(entry.path()),
                Ok(metadata) if metadata.is_file() => size += metadata.len(),
                _ => {}
            }
        }
    }
    Ok(size)
}
