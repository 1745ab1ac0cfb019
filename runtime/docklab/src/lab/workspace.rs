use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_api::DockerApi;
use docklab_scenario::{HttpAnswer, HttpRequest, Workspace, WorkspaceError};

use crate::{serve::fetch, session::Node};

/// What checks look at on this machine.
#[derive(Clone)]
pub(crate) struct NativeWorkspace {
    nodes: Vec<Node>,
    clients: Vec<(String, Arc<dyn DockerApi>)>,
    /// Where files are looked for; `None` is each node's own workspace.
    directory: Option<PathBuf>,
}

/// A check must not hang on a server that accepts and says nothing.
const PATIENCE: Duration = Duration::from_secs(5);

impl NativeWorkspace {
    pub(crate) fn new(nodes: Vec<Node>, directory: Option<PathBuf>) -> Self {
        let clients =
            nodes.iter().map(|node| (node.name.clone(), Arc::new(node.client()) as Arc<dyn DockerApi>)).collect();
        Self { nodes, clients, directory }
    }

    fn node(&self, name: &str) -> Result<&Node, WorkspaceError> {
        self.nodes
            .iter()
            .find(|node| node.name == name)
            .ok_or_else(|| WorkspaceError(format!("there is no node `{name}`")))
    }
}

#[async_trait]
impl Workspace for NativeWorkspace {
    fn nodes(&self) -> Vec<(String, Arc<dyn DockerApi>)> {
        self.clients.clone()
    }

    async fn http(&self, node: &str, request: HttpRequest) -> Result<HttpAnswer, WorkspaceError> {
        let from = self.node(node)?;
        let answer = tokio::time::timeout(PATIENCE, fetch::get(&self.nodes, from, &request.url)).await;
        match answer {
            Ok(Ok((status, _, body))) => Ok(HttpAnswer { status, body }),
            Ok(Err(error)) => Err(WorkspaceError(format!("{error:#}"))),
            Err(_) => Err(WorkspaceError(format!("no answer came within {} seconds", PATIENCE.as_secs()))),
        }
    }

    async fn read_file(&self, node: &str, path: &str) -> Result<Option<Bytes>, WorkspaceError> {
        let directory = match &self.directory {
            Some(directory) => directory.clone(),
            None => self.node(node)?.workspace(),
        };
        match tokio::fs::read(directory.join(path)).await {
            Ok(content) => Ok(Some(content.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(WorkspaceError(format!("reading {path} failed: {error}"))),
        }
    }
}
