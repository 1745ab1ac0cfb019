use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use docklab_api::DockerApi;
use thiserror::Error;

/// What a check needs beside an engine's API: the session's nodes, a request from one of them, a file on one of them.
#[async_trait]
pub trait Workspace: Send + Sync {
    /// The session's nodes with their engines, in order; the first is the default one. A node that is down stays
    /// listed: its engine then answers with a connection error.
    fn nodes(&self) -> Vec<(String, Arc<dyn DockerApi>)>;
    /// Sends a request as a program on `node` would: `localhost` is that node. `Err` when no answer came.
    async fn http(&self, node: &str, request: HttpRequest) -> Result<HttpAnswer, WorkspaceError>;
    /// A file of the student's working directory on `node`; `None` when it does not exist.
    async fn read_file(&self, node: &str, path: &str) -> Result<Option<Bytes>, WorkspaceError>;
}

/// A GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Absolute, `http://localhost:8080/`.
    pub url: String,
}

/// What came back; redirects are not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    pub body: Bytes,
}

/// Why something of the workspace could not be had; the text completes "… because".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct WorkspaceError(pub String);
