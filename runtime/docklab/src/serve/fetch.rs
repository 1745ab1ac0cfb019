//! A small GET, for checks and previews of published ports.

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;

use crate::session::Node;

/// A page of a lab is small; what is larger is not read.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// Asks from a node, as a program there would. Status, headers and body; redirects are not followed.
pub(crate) async fn get(nodes: &[Node], from: &Node, url: &str) -> Result<(u16, Vec<(String, String)>, Bytes)> {
    let uri: Uri = url.parse().with_context(|| format!("`{url}` is not a URL"))?;
    if uri.scheme_str() != Some("http") {
        bail!("only http can be asked, not `{url}`");
    }
    let host = uri.host().with_context(|| format!("`{url}` has no host"))?;
    let port = uri.port_u16().unwrap_or(80);
    let stream = crate::session::connect(nodes, from, host, port).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
    let request = Request::get(path)
        .header(header::HOST, uri.authority().map(ToString::to_string).unwrap_or_default())
        .header(header::USER_AGENT, "docklab")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await.context("the port accepted the connection and sent no answer")?;
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let body = Limited::new(response.into_body(), BODY_LIMIT).collect().await;
    connection.abort();
    let body = body.map_err(|error| anyhow::anyhow!("reading the answer: {error}"))?.to_bytes();
    Ok((status, headers, body))
}
