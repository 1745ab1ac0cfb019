//! `docklab registry`: an OCI registry on loopback.

mod storage;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result, bail};
use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderName, HeaderValue, StatusCode},
    response::{Html, IntoResponse as _, Response},
    routing::get,
};
use clap::Args;
use docklab_registry::{CheckCredentials, Registry, StorageError};
use futures::TryStreamExt as _;

use storage::DiskStorage;

const EXAMPLES: &str = "\
Examples:
  docklab registry --root ./registry
  docker tag app localhost:5000/app && docker push localhost:5000/app";

/// Serve an OCI registry: push to it, pull from it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RegistryArguments {
    /// Directory of everything that the registry holds.
    #[arg(long)]
    root: PathBuf,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// Ask for a login: a file of `user:bcrypt-hash` lines, as `htpasswd -B` writes them.
    #[arg(long)]
    htpasswd: Option<PathBuf>,
}

pub(crate) async fn run(arguments: RegistryArguments) -> Result<()> {
    let storage = DiskStorage::open(arguments.root).await.context("opening the registry's content")?;
    let mut registry = Registry::new(Arc::new(storage));
    if let Some(file) = &arguments.htpasswd {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        registry = registry.with_credentials(credentials(&text)?);
    }
    let listener = tokio::net::TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("listening on {}", arguments.listen))?;
    println!("registry listening on {}", listener.local_addr()?);
    axum::serve(listener, router(Arc::new(registry)))
        .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
        .await
        .context("serving the registry")
}

/// Starts a registry for a session. To pulls of what it does not hold it answers as Docker Hub does.
pub(crate) async fn start(root: PathBuf, listener: tokio::net::TcpListener) -> Result<tokio::task::JoinHandle<()>> {
    let storage = DiskStorage::open(root).await.context("opening the session's registry")?;
    let registry = Registry::new(Arc::new(storage)).deny_unknown_repositories();
    Ok(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router(Arc::new(registry))).await {
            tracing::warn!("the session's registry: {error}");
        }
    }))
}

/// Checks names and passwords against htpasswd lines.
fn credentials(text: &str) -> Result<CheckCredentials> {
    let mut hashes = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split_once(':') {
            Some((user, hash)) if hash.starts_with("$2") => hashes.insert(user.to_owned(), hash.to_owned()),
            _ => bail!("a line of the htpasswd file is not `user:` and a bcrypt hash; `htpasswd -B` writes such lines"),
        };
    }
    Ok(Arc::new(move |user, password| {
        hashes.get(user).is_some_and(|hash| bcrypt::verify(password, hash).unwrap_or(false))
    }))
}

pub(crate) fn router(registry: Arc<Registry>) -> Router {
    Router::new().route("/", get(overview)).fallback(answer).layer(DefaultBodyLimit::disable()).with_state(registry)
}

/// What the registry holds, for people.
async fn overview(State(registry): State<Arc<Registry>>) -> Result<Html<String>, (StatusCode, String)> {
    let repositories =
        registry.repositories().await.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let mut rows = String::new();
    for repository in repositories {
        for (tag, digest) in repository.tags {
            rows.push_str(&format!(
                "<tr><td>{}</td><td>{}</td><td><code>{}</code></td></tr>",
                escaped(&repository.name),
                escaped(&tag),
                escaped(&digest)
            ));
        }
    }
    if rows.is_empty() {
        rows.push_str("<tr><td colspan=3>Nothing has been pushed yet.</td></tr>");
    }
    Ok(Html(format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=color-scheme content=\"light dark\">\
         <title>Registry</title><style>body{{font:16px/1.5 system-ui;margin:2rem auto;max-width:60rem;padding:0 1rem}}\
         table{{border-collapse:collapse;width:100%}}td,th{{text-align:left;padding:.4rem;border-bottom:1px solid #8886;\
         overflow-wrap:anywhere}}</style><h1>Registry</h1><table><tr><th>Repository<th>Tag<th>Digest</tr>{rows}</table></html>"
    )))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

async fn answer(State(registry): State<Arc<Registry>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let body = body.into_data_stream().map_err(|error| StorageError::Body(error.to_string()));
    let answer = registry
        .handle(docklab_registry::Request {
            head: docklab_registry::Head {
                method: parts.method.to_string(),
                path: parts.uri.path().to_owned(),
                query: parts.uri.query().unwrap_or_default().to_owned(),
                headers,
            },
            body: Box::pin(body),
        })
        .await;
    let mut response = Response::new(Body::from_stream(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response
                .headers_mut()
                .append(HeaderName::from_bytes(name.as_bytes()).unwrap_or(axum::http::header::WARNING), value);
        }
    }
    response.into_response()
}

#[cfg(test)]
mod tests {
    use super::credentials;

    #[test]
    fn a_password_is_checked_against_its_hash() -> anyhow::Result<()> {
        let check = credentials(&format!("# students\nann:{}\n", bcrypt::hash("secret", 4)?))?;
        assert!(check("ann", "secret"));
        assert!(!check("ann", "wrong"));
        assert!(!check("bob", "secret"));
        assert!(credentials("ann:plain").is_err());
        Ok(())
    }
}
