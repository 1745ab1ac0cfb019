use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

use crate::ByteStream;

/// The result of every [`Storage`] call.
pub type StorageResult<T> = Result<T, StorageError>;

/// Why the storage could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StorageError {
    /// The upload does not exist, or was finished or cancelled.
    #[error("no such upload")]
    UnknownUpload,
    /// A chunk does not begin where the upload ends.
    #[error("the upload holds {size} bytes, the chunk begins at {offset}")]
    WrongOffset { size: u64, offset: u64 },
    #[error("no such blob: {0}")]
    UnknownBlob(String),
    /// The client's body ended early or could not be read.
    #[error("the request body could not be read: {0}")]
    Body(String),
    /// The disk failed: the operation, then the cause.
    #[error("{0}")]
    Other(String),
}

/// What a small record of a repository is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKind {
    /// The repository may serve this blob. Key: digest.
    Blob,
    /// A manifest: its media type, a newline, its bytes. Key: digest.
    Manifest,
    /// Key: tag. Value: digest.
    Tag,
    /// A descriptor (JSON) of a manifest that refers to another. Key: `<subject>@<digest>`.
    Referrer,
}

impl RecordKind {
    /// A name for directories.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blob => "blobs",
            Self::Manifest => "manifests",
            Self::Tag => "tags",
            Self::Referrer => "referrers",
        }
    }
}

/// Where a registry keeps its content. Blobs are stored once, whatever the number of repositories that link them. Writes
/// of records are atomic and lasting once they return. The registry checks names, digests and content; a storage need not.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Bytes; `None` when there is no such blob.
    async fn blob_size(&self, digest: &str) -> StorageResult<Option<u64>>;
    /// `length` bytes from `offset`; both lie within the blob.
    async fn read_blob(&self, digest: &str, offset: u64, length: u64) -> StorageResult<ByteStream>;
    /// Removing what is not there is fine.
    async fn remove_blob(&self, digest: &str) -> StorageResult<()>;

    /// Begins an upload and returns its ID: letters, digits, `-`; hard to guess where clients do not trust each other.
    async fn create_upload(&self) -> StorageResult<String>;
    /// Bytes received so far.
    async fn upload_size(&self, id: &str) -> StorageResult<u64>;
    /// Appends to an upload that must hold `offset` bytes now; returns its new size. When the body fails midway the bytes
    /// before that stay, so that the client can go on from there.
    async fn append_upload(&self, id: &str, offset: u64, content: ByteStream) -> StorageResult<u64>;
    /// All that was received.
    async fn read_upload(&self, id: &str) -> StorageResult<ByteStream>;
    /// Makes a finished upload the blob `digest`, atomically; an existing blob of that digest is kept instead.
    async fn commit_upload(&self, id: &str, digest: &str) -> StorageResult<()>;
    async fn cancel_upload(&self, id: &str) -> StorageResult<()>;

    async fn put_record(&self, repository: &str, kind: RecordKind, key: &str, value: Bytes) -> StorageResult<()>;
    async fn record(&self, repository: &str, kind: RecordKind, key: &str) -> StorageResult<Option<Bytes>>;
    /// Removing what is not there is fine.
    async fn delete_record(&self, repository: &str, kind: RecordKind, key: &str) -> StorageResult<()>;
    /// All keys of a kind, in no order.
    async fn records(&self, repository: &str, kind: RecordKind) -> StorageResult<Vec<String>>;
    /// Names of all repositories that have records, in no order.
    async fn repositories(&self) -> StorageResult<Vec<String>>;
}
