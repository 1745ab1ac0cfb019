use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use docklab_api::DockerApi;
use docklab_scenario::{HttpAnswer, HttpRequest, Workspace, WorkspaceError};
use docklab_sim::FileError;

use crate::Simulator;

/// Where files of a lab lie on a node: the home directory of its only user.
const HOME: &str = "/root";

impl Simulator {
    /// Saves a file into the student's working directory on a node (`None`: the first one).
    pub fn save_file(&self, node: Option<&str>, path: &str, content: &str) -> Result<(), WorkspaceError> {
        let node = self.node(node).ok_or_else(|| WorkspaceError("there is no such node".to_owned()))?;
        let path = format!("{HOME}/{path}");
        let files = node.node.files();
        if let Some((directory, _)) = path.rsplit_once('/') {
            files.make_directories(directory).map_err(|error| WorkspaceError(error.to_string()))?;
        }
        files.write(&path, content.as_bytes(), false).map_err(|error| WorkspaceError(error.to_string()))
    }
}

#[async_trait]
impl Workspace for Simulator {
    fn nodes(&self) -> Vec<(String, Arc<dyn DockerApi>)> {
        self.engines()
    }

    async fn http(&self, node: &str, request: HttpRequest) -> Result<HttpAnswer, WorkspaceError> {
        let rest =
            request.url.strip_prefix("http://").ok_or_else(|| WorkspaceError("only http can be asked".to_owned()))?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| WorkspaceError(format!("`{port}` is not a port")))?),
            None => (authority, 80),
        };
        let path = if path.is_empty() { "/" } else { path };
        match self.world().http(node, "GET", host, port, path).await {
            Ok(reply) => Ok(HttpAnswer { status: reply.status, body: reply.body }),
            Err(error) => Err(WorkspaceError(error.to_string())),
        }
    }

    async fn read_file(&self, node: &str, path: &str) -> Result<Option<Bytes>, WorkspaceError> {
        let node = self.node(Some(node)).ok_or_else(|| WorkspaceError(format!("there is no node `{node}`")))?;
        match node.node.files().read(&format!("{HOME}/{path}")) {
            Ok(content) => Ok(Some(content)),
            Err(FileError::NotFound) => Ok(None),
            Err(error) => Err(WorkspaceError(error.to_string())),
        }
    }
}
