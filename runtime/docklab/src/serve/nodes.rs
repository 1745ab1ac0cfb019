//! The session's nodes over HTTP: the page adds, breaks and heals them.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};

use super::{Failure, Server};
use crate::session::{Fault, Node, NodeState, Session};

/// A node as the page sees it.
#[derive(Serialize)]
pub(super) struct NodeAnswer {
    name: String,
    /// On the session's LAN; absent where the node is a Docker Engine that was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    state: NodeState,
}

impl NodeAnswer {
    pub(super) fn of(node: Node) -> Self {
        let (address, state) = match node.place {
            Some(place) => (Some(place.address.to_string()), place.state),
            None => (None, NodeState::Running),
        };
        Self { name: node.name, address, state }
    }
}

/// What the page can be told; the cause of a refusal is always something that it asked for.
fn refused(error: anyhow::Error) -> Failure {
    Failure(StatusCode::CONFLICT, format!("{error:#}"))
}

fn session(server: &Server) -> Result<&Session, Failure> {
    server.session.as_ref().ok_or_else(|| Failure(StatusCode::CONFLICT, "this server has no nodes".to_owned()))
}

fn list(server: &Server) -> Result<Json<Vec<NodeAnswer>>, Failure> {
    Ok(Json(server.nodes()?.into_iter().map(NodeAnswer::of).collect()))
}

async fn provide(server: &Server, names: &[String]) -> Result<(), Failure> {
    let Some(seed) = &server.seed else { return Ok(()) };
    let mut nodes = server.nodes()?;
    nodes.retain(|node| names.contains(&node.name));
    crate::images::provide_all(&nodes, seed).await.map_err(refused)
}

#[derive(Deserialize)]
pub(super) struct NewNode {
    #[serde(default)]
    name: Option<String>,
}

/// Adds a node; answers with all nodes.
pub(super) async fn add(
    State(server): State<Arc<Server>>,
    Json(new): Json<NewNode>,
) -> Result<Json<Vec<NodeAnswer>>, Failure> {
    let name = session(&server)?.add_node(new.name.as_deref()).await.map_err(refused)?;
    provide(&server, &[name]).await?;
    list(&server)
}

/// Makes those of these nodes that are missing, for a lab that has them; answers with all nodes.
pub(super) async fn ensure(
    State(server): State<Arc<Server>>,
    Json(names): Json<Vec<String>>,
) -> Result<Json<Vec<NodeAnswer>>, Failure> {
    let known: Vec<String> = server.nodes()?.into_iter().map(|node| node.name).collect();
    let missing: Vec<String> = names.into_iter().filter(|name| !known.contains(name)).collect();
    session(&server)?.add_nodes(&missing).await.map_err(refused)?;
    provide(&server, &missing).await?;
    list(&server)
}

pub(super) async fn inflict(
    State(server): State<Arc<Server>>,
    Path(node): Path<String>,
    Json(fault): Json<Fault>,
) -> Result<Json<Vec<NodeAnswer>>, Failure> {
    server.node(&node)?;
    session(&server)?.inflict(&node, &fault).await.map_err(refused)?;
    list(&server)
}

pub(super) async fn remove(
    State(server): State<Arc<Server>>,
    Path(node): Path<String>,
) -> Result<Json<Vec<NodeAnswer>>, Failure> {
    server.node(&node)?;
    session(&server)?.inflict(&node, &Fault::Remove).await.map_err(refused)?;
    list(&server)
}
