//! `docklab serve`: the page, its engine and its terminals, on loopback.

mod author;
pub(crate) mod fetch;
mod guard;
mod nodes;
mod proxy;
mod static_files;
mod stream;
mod terminal;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path as UrlPath, State},
    http::StatusCode,
    middleware,
    response::{IntoResponse as _, Response},
    routing::{any, delete, get, post},
};
use clap::Args;
use docklab_daemon::client::Address;
use rand::RngCore as _;
use serde::{Deserialize, Serialize};

use crate::{
    lab::EngineKind,
    session::{Node, Session},
};

pub(crate) use author::Edition;

/// A file that a student saves; labs have small ones.
const FILE_LIMIT: usize = 1024 * 1024;

/// Serve the labs as a page on loopback, with an engine and terminals.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Directory of the lab files.
    #[arg(long, default_value = "labs")]
    labs: PathBuf,
    /// Directory of the built page.
    #[arg(long, default_value = "web/dist")]
    page: PathBuf,
    /// Directory of the built book, served at /book.
    #[arg(long, default_value = "book/book")]
    book: PathBuf,
    #[arg(long, default_value_t = 8737)]
    port: u16,
    /// Address to listen on. Whoever reaches it and has the token has a shell on this machine: leave it on loopback.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
    /// Which engine the page connects to; `sim` serves the page alone.
    #[arg(long, value_enum, default_value = "docklab")]
    engine: EngineKind,
    /// Images for an engine that lacks them: a seed that `docklab images` or `docker image save` wrote.
    #[arg(long)]
    seed: Option<PathBuf>,
    /// Use this token instead of a random one.
    #[arg(long, env = "DOCKLAB_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl ServeArguments {
    /// What `docklab preview` serves: the directory of the lab that is being written.
    pub(crate) fn for_preview(
        labs: PathBuf,
        page: PathBuf,
        port: u16,
        engine: EngineKind,
        token: Option<String>,
    ) -> Self {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self { labs, page, book: "book/book".into(), port, address, engine, seed: None, token }
    }
}

/// What every request may need.
pub(crate) struct Server {
    pub(crate) token: String,
    pub(crate) port: u16,
    pub(crate) address: IpAddr,
    pub(crate) engine: &'static str,
    /// `None`: the page alone.
    pub(crate) session: Option<Session>,
    /// Images for nodes that are added.
    pub(crate) seed: Option<PathBuf>,
    pub(crate) labs: PathBuf,
    pub(crate) page: PathBuf,
    pub(crate) book: PathBuf,
    /// The lab that is being written, where one is.
    pub(crate) author: Option<tokio::sync::watch::Receiver<Edition>>,
}

impl Server {
    pub(crate) fn nodes(&self) -> Result<Vec<Node>, Failure> {
        let nodes = self.session.as_ref().map_or_else(|| Ok(Vec::new()), Session::nodes);
        nodes.map_err(|error| Failure(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")))
    }

    pub(crate) fn node(&self, name: &str) -> Result<Node, Failure> {
        let found = self.nodes()?.into_iter().find(|node| node.name == name);
        found.ok_or_else(|| Failure(StatusCode::NOT_FOUND, format!("there is no node `{name}`")))
    }
}

/// A refusal as the page reads it.
pub(crate) struct Failure(pub(crate) StatusCode, pub(crate) String);

impl axum::response::IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(serde_json::json!({ "message": self.1 }))).into_response()
    }
}

pub(crate) async fn run(arguments: ServeArguments) -> Result<()> {
    run_beside(arguments, None, "").await
}

/// Serves the page for somebody who writes a lab; `fragment` is what the printed address opens.
pub(crate) async fn run_beside(
    arguments: ServeArguments,
    author: Option<tokio::sync::watch::Receiver<Edition>>,
    fragment: &str,
) -> Result<()> {
    let (engine, session) = match arguments.engine {
        EngineKind::Docklab => ("docklab", {
            // Further nodes come when a lab is opened that has them.
            let first = ["node1".to_owned()];
            Some(Session::open(&crate::console::home(), "default", &first).await?)
        }),
        EngineKind::Docker => {
            let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
            let directory = crate::console::home().join("docker");
            ("docker", Some(Session::around(Address::parse(&host)?, directory)?))
        }
        EngineKind::Sim => ("none", None),
    };
    if let (Some(seed), Some(session)) = (&arguments.seed, &session) {
        // Without them the page still works; a lab then says which image is missing.
        if let Err(error) = crate::images::provide_all(&session.nodes()?, seed).await {
            eprintln!("docklab: {error:#}");
        }
    }
    let token = arguments.token.unwrap_or_else(random_token);
    let listener = tokio::net::TcpListener::bind(SocketAddr::new(arguments.address, arguments.port))
        .await
        .with_context(|| format!("listening on {}:{}; --port chooses another", arguments.address, arguments.port))?;
    let address = listener.local_addr().context("asking for the port")?;
    let server = Arc::new(Server {
        token: token.clone(),
        port: address.port(),
        address: arguments.address,
        engine,
        session: session.clone(),
        seed: arguments.seed,
        labs: arguments.labs,
        page: arguments.page,
        book: arguments.book,
        author,
    });
    println!("docklab is ready: http://{address}/?token={token}{fragment}");
    axum::serve(listener, router(server)).with_graceful_shutdown(interrupted()).await.context("serving the page")?;
    if let Some(Session::Own { name, .. }) = &session {
        eprintln!("docklab: the nodes of session `{name}` go on; `docklab session rm {name}` ends and removes them");
    }
    Ok(())
}

fn random_token() -> String {
    let mut bytes = [0; 16];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

/// Completes at Ctrl-C or when this process is asked to end.
pub(crate) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

async fn interrupted() {
    stop_signal().await;
    // Event streams and terminals stay open for ever; a second Ctrl-C must not be needed.
    tokio::spawn(async {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        std::process::exit(0);
    });
}

pub(crate) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/api/session", get(session))
        .route("/api/author", get(author::edition))
        .route("/api/nodes", post(nodes::add).put(nodes::ensure))
        .route("/nodes/{node}", delete(nodes::remove))
        .route("/nodes/{node}/faults", post(nodes::inflict))
        .route("/nodes/{node}/engine/{*path}", any(proxy::engine))
        .route("/nodes/{node}/stream/{*path}", get(stream::open))
        .route("/nodes/{node}/terminal", get(terminal::open))
        .route("/nodes/{node}/http", post(http))
        .route("/nodes/{node}/files/{*path}", get(read).put(save))
        .fallback(static_files::serve)
        .layer(middleware::from_fn_with_state(Arc::clone(&server), guard::check))
        .layer(DefaultBodyLimit::disable())
        .with_state(server)
}

#[derive(Serialize)]
struct SessionAnswer {
    engine: &'static str,
    /// A lab is being written: the page shows the author's panel.
    is_authoring: bool,
    nodes: Vec<nodes::NodeAnswer>,
    labs: Vec<LabAnswer>,
}

#[derive(Serialize)]
struct LabAnswer {
    id: String,
    title: String,
    summary: String,
    file: String,
}

async fn session(State(server): State<Arc<Server>>) -> Result<Json<SessionAnswer>, Failure> {
    Ok(Json(SessionAnswer {
        engine: server.engine,
        is_authoring: server.author.is_some(),
        nodes: server.nodes()?.into_iter().map(nodes::NodeAnswer::of).collect(),
        labs: labs(&server.labs).map_err(|error| Failure(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")))?,
    }))
}

/// Every Markdown file with a lab's front matter, in the order of its name.
fn labs(directory: &Path) -> Result<Vec<LabAnswer>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
    files.sort();
    let mut labs = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        if !text.starts_with("+++") {
            continue;
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let meta = docklab_scenario::parse(&file, &text).scenario.meta;
        labs.push(LabAnswer { id: meta.id, title: meta.title, summary: meta.summary, file });
    }
    Ok(labs)
}

#[derive(Deserialize)]
struct HttpQuestion {
    #[serde(default)]
    method: Option<String>,
    port: u16,
    #[serde(default)]
    path: String,
    #[serde(default)]
    host: Option<String>,
}

/// A request as a program on the node would send it: for checks, and to show a published page.
async fn http(
    State(server): State<Arc<Server>>,
    UrlPath(node): UrlPath<String>,
    Json(question): Json<HttpQuestion>,
) -> Result<Response, Failure> {
    let (nodes, node) = (server.nodes()?, server.node(&node)?);
    if question.method.as_deref().is_some_and(|method| method != "GET") {
        return Err(Failure(StatusCode::BAD_REQUEST, "only GET is supported".to_owned()));
    }
    let host = question.host.as_deref().unwrap_or("localhost");
    let is_node = nodes.iter().any(|known| known.name == host);
    if host != "localhost" && !is_node && !host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()) {
        return Err(Failure(StatusCode::FORBIDDEN, "nodes are asked on their own ports only".to_owned()));
    }
    let url = format!("http://{host}:{}/{}", question.port, question.path.trim_start_matches('/'));
    match fetch::get(&nodes, &node, &url).await {
        Ok((status, headers, body)) => Ok(Json(serde_json::json!({
            "status": status,
            "headers": headers,
            "body": String::from_utf8_lossy(&body),
        }))
        .into_response()),
        Err(error) => Err(Failure(StatusCode::BAD_GATEWAY, format!("{error:#}"))),
    }
}

/// Reads a file of the node's workspace, for the file checks of labs.
async fn read(
    State(server): State<Arc<Server>>,
    UrlPath((node, path)): UrlPath<(String, String)>,
) -> Result<Vec<u8>, Failure> {
    let workspace = server.node(&node)?.workspace();
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure(StatusCode::NOT_FOUND, format!("there is no file {path} on {node}")),
        _ => Failure(StatusCode::INTERNAL_SERVER_ERROR, format!("reading {path}: {error}")),
    };
    if !Path::new(&path).components().all(|part| matches!(part, std::path::Component::Normal(_))) {
        return Err(Failure(StatusCode::BAD_REQUEST, format!("`{path}` does not name a file of the workspace")));
    }
    let root = tokio::fs::canonicalize(&workspace).await.map_err(failed)?;
    // A link that leads out of the workspace must not be followed.
    let file = tokio::fs::canonicalize(workspace.join(&path)).await.map_err(failed)?;
    if !file.starts_with(&root) {
        return Err(Failure(StatusCode::FORBIDDEN, format!("`{path}` leads out of the workspace")));
    }
    let metadata = tokio::fs::metadata(&file).await.map_err(failed)?;
    // A pipe or a device may never end.
    if !metadata.is_file() {
        return Err(Failure(StatusCode::BAD_REQUEST, format!("`{path}` is not a regular file")));
    }
    if metadata.len() > FILE_LIMIT as u64 {
        return Err(Failure(StatusCode::PAYLOAD_TOO_LARGE, format!("a file may have {FILE_LIMIT} bytes")));
    }
    tokio::fs::read(&file).await.map_err(failed)
}

/// Saves a file block into the node's workspace, and nowhere else.
async fn save(
    State(server): State<Arc<Server>>,
    UrlPath((node, path)): UrlPath<(String, String)>,
    content: Bytes,
) -> Result<StatusCode, Failure> {
    let workspace = server.node(&node)?.workspace();
    if content.len() > FILE_LIMIT {
        return Err(Failure(StatusCode::PAYLOAD_TOO_LARGE, format!("a file may have {FILE_LIMIT} bytes")));
    }
    let relative = Path::new(&path);
    if !relative.components().all(|part| matches!(part, std::path::Component::Normal(_))) {
        return Err(Failure(StatusCode::BAD_REQUEST, format!("`{path}` does not name a file of the workspace")));
    }
    let failed = |error: std::io::Error| Failure(StatusCode::INTERNAL_SERVER_ERROR, format!("saving {path}: {error}"));
    let file = workspace.join(relative);
    let directory = file.parent().unwrap_or(&workspace);
    tokio::fs::create_dir_all(directory).await.map_err(failed)?;
    // A link that leads out of the workspace must not be followed.
    let real = tokio::fs::canonicalize(directory).await.map_err(failed)?;
    let root = tokio::fs::canonicalize(&workspace).await.map_err(failed)?;
    let is_link = tokio::fs::symlink_metadata(&file).await.is_ok_and(|metadata| metadata.is_symlink());
    if !real.starts_with(&root) || is_link {
        return Err(Failure(StatusCode::FORBIDDEN, format!("`{path}` leads out of the workspace")));
    }
    tokio::fs::write(&file, &content).await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}
