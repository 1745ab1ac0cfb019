//! An OCI distribution registry without input or output of its own: [`Registry::handle`] takes a request and returns a
//! response, content lives behind the [`Storage`] trait. A server puts HTTP around it; the simulator calls it directly.
//!
//! It follows the OCI distribution specification 1.1: pull, push (monolithic, chunked, cross-repository mount), content
//! discovery (tags, referrers) and management (delete), and adds `_catalog` and the headers that Docker's client wants.

mod blobs;
mod digest;
mod discovery;
mod error;
mod http;
mod manifests;
mod memory;
mod names;
mod registry;
mod storage;
mod uploads;

pub use error::ErrorCode;
pub use http::{ByteStream, Head, Request, Response, bytes_body, collect};
pub use memory::MemoryStorage;
pub use registry::{CheckCredentials, Registry, RepositorySummary};
pub use storage::{RecordKind, Storage, StorageError, StorageResult};
