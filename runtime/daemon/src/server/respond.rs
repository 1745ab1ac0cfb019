use docklab_api::{ApiError, ApiResult, MessageStream, StateChange};
use futures::{StreamExt as _, stream::BoxStream};
use hyper::{Response, StatusCode, header};
use serde::Serialize;

use super::body::{self, Body};

pub(super) fn error(error: &ApiError, is_head: bool) -> Response<Body> {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let text = serde_json::json!({ "message": error.message }).to_string() + "\n";
    with_type(status, "application/json", if is_head { body::empty() } else { body::full(text) })
}

/// An error as Go's `http.Error` writes it: what clients older than any supported version get.
pub(super) fn plain_error(error: &ApiError) -> Response<Body> {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    with_type(status, "text/plain; charset=utf-8", body::full(error.message.clone() + "\n"))
}

/// An error of an attachment: Docker has taken the connection over by then and writes the text as output.
pub(super) fn stream_error(error: &ApiError) -> Response<Body> {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    with_type(status, "application/vnd.docker.raw-stream", body::full(error.message.clone() + "\r\n"))
}

/// A redirect of a path that is not clean.
pub(super) fn moved(path: &str, query: Option<&str>) -> Response<Body> {
    let mut response = with_status(StatusCode::MOVED_PERMANENTLY);
    let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    if let Ok(target) = header::HeaderValue::from_str(&target) {
        response.headers_mut().insert(header::LOCATION, target);
    }
    response
}

pub(super) fn json<T: Serialize>(value: &T) -> ApiResult<Response<Body>> {
    json_with(StatusCode::OK, value)
}

pub(super) fn created<T: Serialize>(value: &T) -> ApiResult<Response<Body>> {
    json_with(StatusCode::CREATED, value)
}

fn json_with<T: Serialize>(status: StatusCode, value: &T) -> ApiResult<Response<Body>> {
    let mut text =
        serde_json::to_vec(value).map_err(|error| ApiError::system(format!("encoding the answer: {error}")))?;
    text.push(b'\n');
    Ok(with_type(status, "application/json", body::full(text)))
}

pub(super) fn no_content() -> Response<Body> {
    with_status(StatusCode::NO_CONTENT)
}

pub(super) fn ok() -> Response<Body> {
    with_status(StatusCode::OK)
}

pub(super) fn state_change(change: StateChange) -> Response<Body> {
    with_status(match change {
        StateChange::Changed => StatusCode::NO_CONTENT,
        StateChange::NotModified => StatusCode::NOT_MODIFIED,
    })
}

pub(super) fn with_status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = status;
    response
}

pub(super) fn with_type(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

/// A stream of JSON objects, each ended by CRLF, as moby's `streamformatter` writes them.
pub(super) fn progress(messages: MessageStream) -> Response<Body> {
    json_lines(messages, "\r\n")
}

/// A stream of JSON objects. An error after output has begun becomes a last object, since the status has been sent.
pub(super) fn json_lines<T: Serialize + 'static>(
    items: BoxStream<'static, ApiResult<T>>,
    end: &'static str,
) -> Response<Body> {
    let lines = items.map(move |item| {
        let text = match item {
            Ok(item) => serde_json::to_string(&item),
            Err(error) => serde_json::to_string(&docklab_api::ProgressMessage::failure(0, error.message)),
        };
        text.map(|text| bytes::Bytes::from(text + end))
            .map_err(|error| ApiError::system(format!("encoding the answer: {error}")))
    });
    with_type(StatusCode::OK, "application/json", body::stream(lines))
}
