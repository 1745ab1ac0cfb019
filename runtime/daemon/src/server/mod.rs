//! The server: connections, the version prefix, and one module of routes for each group of the API.

mod body;
mod containers;
mod exec;
mod go_json;
mod hijack;
mod images;
mod networks;
mod plugins;
mod query;
mod request;
mod respond;
mod swarm;
mod system;
mod volumes;
mod websocket;

use std::{convert::Infallible, future::Future, io, os::fd::BorrowedFd, sync::Arc};

use docklab_api::{API_VERSION, ApiError, ApiResult, DockerApi, ENGINE_VERSION, MIN_API_VERSION};
use hyper::{Method, Request, Response, body::Incoming, header::HeaderValue, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    task::JoinSet,
};

pub use body::Body;
use query::Query;
use request::Context;

/// How many bytes sent on a unix socket its peer has not read: what only the system can say, so whoever serves brings it.
pub type UnreadByPeer = fn(BorrowedFd<'_>) -> io::Result<u32>;

/// Serves the API on a unix socket until `stop` completes. Without `unread` output waits a fixed moment behind the head of
/// an answer that becomes a stream.
pub async fn serve_unix(
    listener: UnixListener,
    api: Arc<dyn DockerApi>,
    unread: Option<UnreadByPeer>,
    stop: impl Future<Output = ()>,
) {
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(serve_stream(stream, Arc::clone(&api), unread)); }
                Err(error) => tracing::warn!("accepting a connection: {error}"),
            },
            Some(_) = connections.join_next() => {}
            () = &mut stop => break,
        }
    }
}

/// Serves the API on TCP until `stop` completes. The caller binds the listener: loopback unless it knows better.
pub async fn serve_tcp(listener: TcpListener, api: Arc<dyn DockerApi>, stop: impl Future<Output = ()>) {
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(serve_connection(stream, Arc::clone(&api))); }
                Err(error) => tracing::warn!("accepting a connection: {error}"),
            },
            Some(_) = connections.join_next() => {}
            () = &mut stop => break,
        }
    }
}

/// Serves one connection until the peer closes it.
pub async fn serve_connection<S>(stream: S, api: Arc<dyn DockerApi>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    serve_stream(stream, api, None).await;
}

async fn serve_stream<S>(stream: S, api: Arc<dyn DockerApi>, unread: Option<UnreadByPeer>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        let api = Arc::clone(&api);
        if let Some(unread) = unread {
            request.extensions_mut().insert(unread);
        }
        async move { Ok::<_, Infallible>(handle(api, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        // `Api-Version`, as Go writes header names: not every client reads them in any case.
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        // The peer went away in the middle of an answer: `docker logs -f | head`, a killed client.
        tracing::debug!("connection ended: {error}");
    }
}

/// Answers one request. Never fails: errors are answers too.
pub async fn handle(api: Arc<dyn DockerApi>, request: Request<Incoming>) -> Response<Body> {
    let is_head = *request.method() == Method::HEAD;
    let mut response = match dispatch(api, request).await {
        Ok(response) => response,
        // What no route answers comes from the router, which knows no versions.
        Err(error) if error == page_not_found() => return respond::error(&error, is_head),
        Err(error) => respond::error(&error, is_head),
    };
    let headers = response.headers_mut();
    headers.insert("Api-Version", HeaderValue::from_static(API_VERSION));
    headers.insert("Docker-Experimental", HeaderValue::from_static("false"));
    headers.insert("Ostype", HeaderValue::from_static("linux"));
    if let Ok(server) = HeaderValue::from_str(&format!("Docker/{ENGINE_VERSION} (linux)")) {
        headers.insert("Server", server);
    }
    response
}

async fn dispatch(api: Arc<dyn DockerApi>, request: Request<Incoming>) -> ApiResult<Response<Body>> {
    let path = request.uri().path();
    if let Some(clean) = cleaned(path) {
        return Ok(respond::moved(&clean, request.uri().query()));
    }
    let (version, path) = match split_version(path) {
        Ok(found) => found,
        Err(error) if error.message.contains("too old") => return Ok(respond::plain_error(&error)),
        Err(error) => return Err(error),
    };
    if *request.method() == Method::OPTIONS {
        return Ok(respond::ok());
    }
    let segments = path
        .strip_prefix('/')
        .unwrap_or(path)
        .split('/')
        .map(|segment| percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned())
        // A name may carry its slashes encoded (`a%2Fb`); routes see them as any other slash.
        .flat_map(|segment| segment.split('/').map(ToOwned::to_owned).collect::<Vec<_>>())
        .collect::<Vec<_>>();
    let segments = segments.iter().map(String::as_str).collect::<Vec<_>>();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let method = request.method().clone();
    let request = request.map(body::RequestBody::new);
    let context = Context { api, method, version, query, request };
    match segments.split_first() {
        // No route ends with a slash.
        Some(_) if segments.last().is_some_and(|last| last.is_empty()) => Err(page_not_found()),
        Some((&"containers", rest)) => containers::route(context, rest).await,
        Some((&"commit", [])) => containers::commit(context).await,
        Some((&"exec", rest)) => exec::route(context, rest).await,
        Some((&("images" | "build" | "distribution"), _)) => images::route(context, &segments).await,
        Some((&"networks", rest)) => networks::route(context, rest).await,
        Some((&"plugins", rest)) => plugins::route(&context, rest),
        Some((&"volumes", rest)) => volumes::route(context, rest).await,
        Some((&("swarm" | "nodes" | "services" | "tasks" | "secrets" | "configs"), _)) => {
            swarm::route(context, &segments).await
        }
        _ => system::route(context, &segments).await,
    }
}

/// The path without empty, `.` and `..` segments, if it has any; such requests are redirected (gorilla/mux `cleanPath`).
fn cleaned(path: &str) -> Option<String> {
    let dirty = path.contains("//") || path.split('/').any(|segment| segment == "." || segment == "..");
    if !dirty {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let end = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    Some(format!("/{}{end}", kept.join("/")))
}

/// Takes `/v1.NN` off a path and refuses versions outside the range that Docker 28 accepts.
fn split_version(path: &str) -> ApiResult<(Version, &str)> {
    let unversioned = (Version::parse(API_VERSION).unwrap_or(Version(1, 51)), path);
    let Some(rest) = path.strip_prefix("/v") else { return Ok(unversioned) };
    let (text, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // `/volumes` begins with `/v` too.
    let Some(version) = Version::parse(text) else { return Ok(unversioned) };
    if Version::parse(API_VERSION).is_some_and(|newest| version > newest) {
        return Err(ApiError::invalid(format!(
            "client version {text} is too new. Maximum supported API version is {API_VERSION}"
        )));
    }
    if Version::parse(MIN_API_VERSION).is_some_and(|oldest| version < oldest) {
        return Err(ApiError::invalid(format!(
            "client version {text} is too old. Minimum supported API version is {MIN_API_VERSION}, please upgrade your \
             client to a newer version"
        )));
    }
    Ok((version, rest))
}

/// An API version, `1.NN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u16, u16);

impl Version {
    /// Digits and dots, as Docker's routes have it; a missing number is 0.
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

fn page_not_found() -> ApiError {
    ApiError::not_found("page not found")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_outside_dockers_range_are_refused() {
        let refusal = |path| split_version(path).map(|(_, rest)| rest.to_owned()).map_err(|error| error.message);
        assert_eq!(refusal("/v1.43/_ping"), Ok("/_ping".to_owned()));
        assert_eq!(refusal("/volumes"), Ok("/volumes".to_owned()));
        assert_eq!(refusal("/_ping"), Ok("/_ping".to_owned()));
        assert_eq!(refusal("/v1.4x/_ping"), Ok("/v1.4x/_ping".to_owned()));
        assert_eq!(
            refusal("/v1.60/info"),
            Err(format!("client version 1.60 is too new. Maximum supported API version is {API_VERSION}"))
        );
        for path in ["/v1.12/info", "/v1/info"] {
            assert!(refusal(path).is_err_and(|text| text.contains(" is too old.")), "{path}");
        }
    }

    #[test]
    fn paths_with_empty_segments_are_redirected() {
        assert_eq!(cleaned("/v1.50/containers//json").as_deref(), Some("/v1.50/containers/json"));
        assert_eq!(cleaned("/a/./b/../c/").as_deref(), Some("/a/c/"));
        assert_eq!(cleaned("/containers/json/"), None);
    }
}
