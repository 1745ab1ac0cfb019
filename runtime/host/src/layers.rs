use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::{Compression, HostResult};

/// Bytes of unknown number.
pub type ByteStream = BoxStream<'static, HostResult<Bytes>>;
/// `sha256:` and 64 hexadecimal digits. A *chain ID* names a stack of layers (OCI image spec, "Layer ChainID"), a *DiffID*
/// one uncompressed layer tar.
pub type Digest = String;
/// The digest of a blob as stored, compressed or not.
pub type BlobDigest = String;

/// A staged blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub digest: BlobDigest,
    /// Bytes.
    pub size: u64,
}

/// A layer that was added to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackedLayer {
    pub chain_id: Digest,
    pub diff_id: Digest,
    /// Bytes of the files that the layer adds (what `docker history` shows).
    pub size: u64,
}

/// A file system to look into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// A stack of read-only layers, by chain ID. `None` is the empty file system (`FROM scratch`).
    Layers(Option<Digest>),
    /// A container's merged view, by container ID, running or not. Mounts are part of it while it runs.
    Container(String),
    /// A volume. Archives of its top directory call it `called`, as the container does whose mount it is.
    Volume { name: String, called: String },
    /// A directory of the machine that a container binds.
    Directory { path: String, called: String },
}

/// What happened to a path in a container's writable layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    Modified,
    Added,
    Deleted,
}

/// One line of `docker diff`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Absolute.
    pub path: String,
    pub kind: ChangeKind,
    /// Bytes, of a regular file that was added or modified.
    pub size: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    Regular,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
}

/// `lstat` of a path beneath a root. Symbolic links in the directories before the last component are followed inside the
/// root; a link as last component is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStat {
    /// The path with every directory link resolved, absolute within the root.
    pub path: String,
    pub kind: FileKind,
    /// Permission bits with setuid, setgid and sticky (0o7777).
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Unix seconds.
    pub mtime: i64,
    /// Empty unless a symbolic link.
    pub link_target: String,
}

/// Content: layers, writable layers, staged blobs.
#[async_trait]
pub trait Layers: Send + Sync {
    /// Puts a layer tar on top of `parent`: whiteouts (`.wh.name`, `.wh..wh..opq`) as in the OCI layer spec; owners, modes,
    /// times, xattrs, hard links and devices kept; a path that would leave the root is an error. Idempotent: a layer that
    /// the store has is read for its DiffID only.
    async fn unpack(
        &self,
        parent: Option<&str>,
        compression: Compression,
        tar: ByteStream,
    ) -> HostResult<UnpackedLayer>;
    /// What the store knows of a chain.
    async fn layer(&self, chain_id: &str) -> HostResult<Option<UnpackedLayer>>;
    /// The very tar whose SHA-256 is the layer's DiffID, uncompressed.
    async fn export_layer(&self, chain_id: &str) -> HostResult<ByteStream>;
    /// Removes a layer that nothing of this engine uses any more. Layers that other engines of the session share stay.
    async fn remove_layer(&self, chain_id: &str) -> HostResult<()>;

    /// Stages a stream and computes its digest. With `expected`, other content is [`crate::HostError::DigestMismatch`] and
    /// nothing stays behind.
    async fn write_blob(&self, expected: Option<&str>, content: ByteStream) -> HostResult<Blob>;
    /// Reads a staged blob from `offset`.
    async fn read_blob(&self, digest: &str, offset: u64) -> HostResult<ByteStream>;
    async fn remove_blob(&self, digest: &str) -> HostResult<()>;
    /// Compresses a stream for a push; deterministic, so that the same layer always has the same blob digest.
    fn gzip(&self, content: ByteStream) -> ByteStream;

    /// Makes an empty writable layer for a container on top of `chain_id`.
    async fn create_rootfs(&self, container: &str, chain_id: Option<&str>) -> HostResult<()>;
    async fn remove_rootfs(&self, container: &str) -> HostResult<()>;
    /// Bytes in the writable layer.
    async fn rootfs_size(&self, container: &str) -> HostResult<u64>;
    /// The writable layer's A/C/D list, sorted by path. A directory is modified when something in it is.
    async fn changes(&self, container: &str) -> HostResult<Vec<Change>>;
    /// Makes a layer of the writable layer. `None` when nothing was changed.
    async fn commit(&self, container: &str) -> HostResult<Option<UnpackedLayer>>;

    /// `None` when the path does not exist.
    async fn stat(&self, root: &Root, path: &str) -> HostResult<Option<FileStat>>;
    /// A tar of the file or tree at `path`; entry names begin with the last component of `path` (`.` for the root).
    async fn archive(&self, root: &Root, path: &str) -> HostResult<ByteStream>;
    /// Unpacks a tar into a directory of a container or of a mount. With `keep_kinds` an entry that would put a directory
    /// in the place of something else, or the other way round, is an error.
    async fn extract(&self, root: &Root, path: &str, keep_kinds: bool, tar: ByteStream) -> HostResult<()>;
    /// Reads a small file whole, following links inside the root; longer than `limit` bytes is an error.
    async fn read_file(&self, root: &Root, path: &str, limit: u64) -> HostResult<Option<Bytes>>;
}
