//! A node's engine, under the page's own origin.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use docklab_daemon::client::Address;
use hyper_util::rt::TokioIo;

use super::{Failure, Server};

/// Forwards a request to the engine's socket and streams the answer back.
pub(super) async fn engine(
    State(server): State<Arc<Server>>,
    Path((node, path)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Failure> {
    let node = server.node(&node)?;
    forward(&node.engine, &path, request).await.map_err(|error| {
        Failure(StatusCode::BAD_GATEWAY, format!("the engine of {} does not answer: {error:#}", node.name))
    })
}

pub(super) async fn forward(address: &Address, path: &str, mut request: Request) -> anyhow::Result<Response> {
    let query = request.uri().query().unwrap_or_default();
    let query = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("token=")).collect::<Vec<_>>();
    // The path as it came, still encoded: names contain slashes and colons.
    let encoded = request.uri().path().splitn(5, '/').nth(4).unwrap_or(path);
    let target = if query.is_empty() { format!("/{encoded}") } else { format!("/{encoded}?{}", query.join("&")) };
    *request.uri_mut() = target.parse::<Uri>()?;
    let headers = request.headers_mut();
    for name in [header::AUTHORIZATION, header::COOKIE, header::ORIGIN, header::REFERER] {
        headers.remove(name);
    }
    headers.insert(header::HOST, header::HeaderValue::from_static("docker"));
    let response = match address {
        Address::Unix(path) => send(TokioIo::new(tokio::net::UnixStream::connect(path).await?), request).await?,
        Address::Tcp(address) => send(TokioIo::new(tokio::net::TcpStream::connect(address).await?), request).await?,
    };
    Ok(response.map(Body::new).into_response())
}

async fn send<S>(stream: S, request: Request) -> anyhow::Result<hyper::Response<hyper::body::Incoming>>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("the engine's connection ended: {error}");
        }
    });
    Ok(sender.send_request(request).await?)
}
