//! The session on the server that the page came from. Addresses are relative to the page; every request carries the token
//! that the page's own address brought.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_api::DockerApi;
use docklab_scenario::{HttpAnswer, HttpRequest, Workspace, WorkspaceError};
use futures::{StreamExt as _, channel::mpsc::unbounded};
use serde::{Deserialize, Serialize};

use super::{EngineClient, EngineKind, Fault, NodePlace, Session, TerminalInput, TerminalLink};
use crate::browser::{self, FetchRequest, SocketEvent, SocketMessage};

/// `GET /api/session`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct SessionDescription {
    pub engine: String,
    pub nodes: Vec<NodePlace>,
    #[serde(default)]
    pub labs: Vec<LabEntry>,
    #[serde(default)]
    pub is_authoring: bool,
}

/// A lab that the server offers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LabEntry {
    pub id: String,
    pub title: String,
    pub file: String,
}

#[derive(Serialize)]
struct ProxyRequest<'a> {
    method: &'a str,
    port: u16,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

#[derive(Deserialize)]
struct ProxyAnswer {
    status: u16,
    body: String,
}

/// The connected backend.
pub struct Backend {
    /// The labs that the server offers.
    pub labs: Vec<LabEntry>,
    /// A lab is being written there.
    pub is_authoring: bool,
    engine: EngineKind,
    nodes: Mutex<Vec<BackendNode>>,
    token: String,
}

#[derive(Clone)]
struct BackendNode {
    place: NodePlace,
    api: Arc<dyn DockerApi>,
}

/// The token of the page's address (`#token=…` or `?token=…`), kept for the tab so that links inside the page work.
pub fn token() -> Option<String> {
    let window = browser::window()?;
    let location = window.location();
    let from = |text: String| {
        let (_, pairs) = text.split_at_checked(1)?;
        pairs.split('&').find_map(|pair| pair.strip_prefix("token=")).map(str::to_owned)
    };
    let given = location.hash().ok().and_then(from).or_else(|| location.search().ok().and_then(from));
    let storage = window.session_storage().ok().flatten();
    match (given, storage) {
        (Some(token), Some(storage)) => {
            // A tab without storage asks for the address again after a reload.
            let _ = storage.set_item("docklab.token", &token);
            Some(token)
        }
        (Some(token), None) => Some(token),
        (None, Some(storage)) => storage.get_item("docklab.token").ok().flatten(),
        (None, None) => None,
    }
}

/// Asks the server for its session. `Err` when there is no docklab behind this page, or the token is not its.
pub async fn probe() -> Result<Backend, WorkspaceError> {
    let token = token().ok_or_else(|| {
        WorkspaceError("this page was opened without a token: use the address that `docklab serve` printed".to_owned())
    })?;
    let response = browser::fetch(FetchRequest {
        method: "GET",
        url: "api/session".to_owned(),
        headers: vec![authorization(&token)],
        body: None,
    })
    .await
    .map_err(|error| WorkspaceError(error.to_string()))?;
    match response.status {
        200 => {}
        401 | 403 => return Err(WorkspaceError("the server does not accept this page's token".to_owned())),
        status => return Err(WorkspaceError(format!("the server of this page is no docklab (status {status})"))),
    }
    let body = response.bytes().await.map_err(|error| WorkspaceError(error.to_string()))?;
    let description: SessionDescription = serde_json::from_slice(&body)
        .map_err(|error| WorkspaceError(format!("the server's description of its session cannot be read: {error}")))?;
    Ok(Backend::new(description, token))
}

fn authorization(token: &str) -> (&'static str, String) {
    ("Authorization", format!("Bearer {token}"))
}

impl Backend {
    /// Whether an engine answers there. A server without one offers its labs, and they run in the page.
    pub fn has_engine(&self) -> bool {
        !self.lock().is_empty()
    }

    fn new(description: SessionDescription, token: String) -> Self {
        let engine = if description.engine == "docker" { EngineKind::Docker } else { EngineKind::Docklab };
        let SessionDescription { labs, is_authoring, .. } = &description;
        let (labs, is_authoring) = (labs.clone(), *is_authoring);
        let backend = Self { labs, is_authoring, engine, nodes: Mutex::default(), token };
        if description.engine != "none" {
            backend.arrange(description.nodes);
        }
        backend
    }

    fn lock(&self) -> MutexGuard<'_, Vec<BackendNode>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what the server says of its nodes; the engines of those that stay are kept.
    fn arrange(&self, places: Vec<NodePlace>) {
        let mut nodes = self.lock();
        let former = std::mem::take(&mut *nodes);
        nodes.extend(places.into_iter().map(|place| {
            let known = former.iter().find(|known| known.place.name == place.name).map(|known| known.api.clone());
            let api = known.unwrap_or_else(|| {
                Arc::new(EngineClient::new(format!("nodes/{}/engine", place.name), Some(self.token.clone())))
            });
            BackendNode { place, api }
        }));
    }

    /// A request that changes nodes and is answered with all of them.
    async fn change_nodes(&self, method: &'static str, url: String, body: Option<Bytes>) -> Result<(), WorkspaceError> {
        let (status, answer) = self.request(method, url, body).await?;
        match status {
            200 => {
                let places = serde_json::from_slice(&answer)
                    .map_err(|error| WorkspaceError(format!("the server's list of nodes cannot be read: {error}")))?;
                self.arrange(places);
                Ok(())
            }
            404 | 405 => Err(WorkspaceError("this server cannot change its nodes".to_owned())),
            _ => {
                let refusal = serde_json::from_slice::<Refusal>(&answer);
                let text = refusal.map_or_else(|_| format!("status {status}"), |refusal| refusal.message);
                Err(WorkspaceError(text))
            }
        }
    }

    async fn request(
        &self,
        method: &'static str,
        url: String,
        body: Option<Bytes>,
    ) -> Result<(u16, Vec<u8>), WorkspaceError> {
        let mut headers = vec![authorization(&self.token)];
        if body.is_some() && (method == "POST" || url.starts_with("api/")) {
            headers.push(("Content-Type", "application/json".to_owned()));
        }
        let response = browser::fetch(FetchRequest { method, url, headers, body })
            .await
            .map_err(|error| WorkspaceError(error.to_string()))?;
        let status = response.status;
        let body = response.bytes().await.map_err(|error| WorkspaceError(error.to_string()))?;
        Ok((status, body))
    }
}

/// Cuts `http://host:port/path` into its parts.
fn split_url(url: &str) -> Option<(&str, u16, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    match authority.rsplit_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?, path)),
        None => Some((authority, 80, path)),
    }
}

#[async_trait]
impl Workspace for Backend {
    fn nodes(&self) -> Vec<(String, Arc<dyn DockerApi>)> {
        self.lock().iter().map(|node| (node.place.name.clone(), node.api.clone())).collect()
    }

    async fn http(&self, node: &str, request: HttpRequest) -> Result<HttpAnswer, WorkspaceError> {
        let (host, port, path) =
            split_url(&request.url).ok_or_else(|| WorkspaceError(format!("{} is not an http address", request.url)))?;
        let host = (host != "localhost").then_some(host);
        let body = serde_json::to_vec(&ProxyRequest { method: "GET", port, path, host })
            .map_err(|error| WorkspaceError(error.to_string()))?;
        let (status, body) = self.request("POST", format!("nodes/{node}/http"), Some(body.into())).await?;
        if status != 200 {
            return Err(WorkspaceError(String::from_utf8_lossy(&body).into_owned()));
        }
        let answer: ProxyAnswer =
            serde_json::from_slice(&body).map_err(|error| WorkspaceError(format!("unreadable answer: {error}")))?;
        Ok(HttpAnswer { status: answer.status, body: answer.body.into() })
    }

    async fn read_file(&self, node: &str, path: &str) -> Result<Option<Bytes>, WorkspaceError> {
        match self.request("GET", format!("nodes/{node}/files/{path}"), None).await? {
            (200, body) => Ok(Some(body.into())),
            (404, _) => Ok(None),
            (status, _) => Err(WorkspaceError(format!("{path} cannot be read from {node} (status {status})"))),
        }
    }
}

#[async_trait]
impl Session for Backend {
    fn engine(&self) -> EngineKind {
        self.engine
    }

    fn open_terminal(&self, node: &str, columns: u16, rows: u16) -> Result<TerminalLink, WorkspaceError> {
        let path = format!("nodes/{node}/terminal?cols={columns}&rows={rows}&token={}", self.token);
        let url = browser::socket_url(&path).ok_or_else(|| WorkspaceError("this page has no server".to_owned()))?;
        let mut socket = browser::open_socket(&url)
            .map_err(|_| WorkspaceError("the browser refused to open a connection".to_owned()))?;
        let (input, mut typed) = unbounded();
        let (print, output) = unbounded();
        browser::spawn(async move {
            let outgoing = async {
                while let Some(message) = typed.next().await {
                    let message = match message {
                        TerminalInput::Bytes(bytes) => SocketMessage::Binary(bytes),
                        TerminalInput::Resize { columns, rows } => {
                            SocketMessage::Text(format!("{{\"resize\":[{columns},{rows}]}}"))
                        }
                    };
                    if socket.sender.unbounded_send(message).is_err() {
                        break;
                    }
                }
            };
            let incoming = async {
                while let Some(event) = socket.events.next().await {
                    let sent = match event {
                        SocketEvent::Binary(bytes) => print.unbounded_send(bytes).is_ok(),
                        SocketEvent::Closed => false,
                        SocketEvent::Open | SocketEvent::Text(_) => true,
                    };
                    if !sent {
                        break;
                    }
                }
            };
            futures::future::select(Box::pin(outgoing), Box::pin(incoming)).await;
        });
        Ok(TerminalLink { input, output })
    }

    async fn save_file(&self, node: &str, path: &str, content: &str) -> Result<(), WorkspaceError> {
        let body = Bytes::copy_from_slice(content.as_bytes());
        let (status, answer) = self.request("PUT", format!("nodes/{node}/files/{path}"), Some(body)).await?;
        if (200..300).contains(&status) {
            Ok(())
        } else {
            let reason = String::from_utf8_lossy(&answer);
            Err(WorkspaceError(format!("{path} was not saved on {node}: {reason} (status {status})")))
        }
    }

    fn places(&self) -> Vec<NodePlace> {
        self.lock().iter().map(|node| node.place.clone()).collect()
    }

    fn allows_faults(&self) -> Result<(), String> {
        match self.engine {
            EngineKind::Docker => Err("this machine's Docker Engine is used as it is".to_owned()),
            EngineKind::Docklab | EngineKind::Simulator => Ok(()),
        }
    }

    async fn inflict(&self, node: &str, fault: Fault) -> Result<(), WorkspaceError> {
        if fault == Fault::Remove {
            return self.change_nodes("DELETE", format!("nodes/{node}"), None).await;
        }
        let body = serde_json::to_vec(&fault).map_err(|error| WorkspaceError(error.to_string()))?;
        self.change_nodes("POST", format!("nodes/{node}/faults"), Some(body.into())).await
    }

    async fn ensure_nodes(&self, names: &[String]) -> Result<(), WorkspaceError> {
        let is_complete = names.iter().all(|name| self.lock().iter().any(|node| node.place.name == *name));
        if is_complete || self.engine != EngineKind::Docklab {
            return Ok(());
        }
        let body = serde_json::to_vec(names).map_err(|error| WorkspaceError(error.to_string()))?;
        self.change_nodes("PUT", "api/nodes".to_owned(), Some(body.into())).await
    }

    async fn add_node(&self) -> Result<(), WorkspaceError> {
        self.change_nodes("POST", "api/nodes".to_owned(), Some(Bytes::from_static(b"{}"))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whatever_else_the_server_says_of_it() {
        let text = br#"{"status":200,"headers":[["server","x"],["via","y"]],"body":"hello"}"#;
        let answer: ProxyAnswer = serde_json::from_slice(text).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
    }

    #[test]
    fn an_address_without_a_port_means_port_80() {
        assert_eq!(split_url("http://localhost"), Some(("localhost", 80, "/")));
        assert_eq!(split_url("http://node2:8080/a?b"), Some(("node2", 8080, "/a?b")));
        assert_eq!(split_url("https://node2/"), None);
    }
}
