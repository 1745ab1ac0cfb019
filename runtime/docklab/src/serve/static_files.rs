//! The page's files, the labs and the book.

use std::{
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};

use super::{Failure, Server};

pub(super) async fn serve(
    State(server): State<Arc<Server>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    if method != Method::GET && method != Method::HEAD {
        return Err(not_found(uri.path()));
    }
    let path = percent_decoded(uri.path());
    let relative = Path::new(path.trim_start_matches('/'));
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(not_found(uri.path()));
    }
    if relative == Path::new("labs/index.json") {
        // What a page reads that has no token, as one inside the book.
        let labs = super::labs(&server.labs)
            .map_err(|error| Failure(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")))?;
        let files: Vec<String> = labs.into_iter().map(|lab| lab.file).collect();
        return Ok(axum::Json(files).into_response());
    }
    let file = if let Ok(rest) = relative.strip_prefix("labs") {
        server.labs.join(rest)
    } else if let Ok(rest) = relative.strip_prefix("book") {
        server.book.join(rest)
    } else {
        server.page.join(relative)
    };
    let file = if file.is_dir() { file.join("index.html") } else { file };
    // An address of the page's own (a lab's, say) is the page; what looks like a file is not.
    let file = if file.extension().is_none() && !file.exists() { server.page.join("index.html") } else { file };
    read(&file, &headers).await.ok_or_else(|| not_found(uri.path()))
}

async fn read(file: &Path, headers: &HeaderMap) -> Option<Response> {
    let accepts_brotli = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(',').any(|coding| coding.trim().starts_with("br")));
    let compressed = PathBuf::from(format!("{}.br", file.display()));
    let (content, is_compressed) = match tokio::fs::read(&compressed).await {
        Ok(content) if accepts_brotli => (content, true),
        _ => (tokio::fs::read(file).await.ok()?, false),
    };
    let mut response = Response::new(Body::from(content));
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(file)));
    answer.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    // Always asked again: a rebuilt page must not meet an old half of itself.
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if is_compressed {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    }
    Some(response.into_response())
}

fn content_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "json" | "map" => "application/json",
        "md" => "text/markdown; charset=utf-8",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

fn percent_decoded(path: &str) -> String {
    percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned()
}

fn not_found(path: &str) -> Failure {
    Failure(StatusCode::NOT_FOUND, format!("there is nothing at {path}"))
}
