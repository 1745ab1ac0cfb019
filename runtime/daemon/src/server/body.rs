use std::convert::Infallible;

use bytes::Bytes;
use docklab_api::{ApiError, ByteStream};
use futures::{Stream, StreamExt as _};
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};

/// The body of every answer.
pub type Body = UnsyncBoxBody<Bytes, ApiError>;

pub(super) fn empty() -> Body {
    Empty::new().map_err(|never: Infallible| match never {}).boxed_unsync()
}

pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A chunked body. An error in the middle breaks the connection off, which is all that HTTP/1.1 can do by then.
pub(super) fn stream(bytes: impl Stream<Item = Result<Bytes, ApiError>> + Send + 'static) -> Body {
    StreamBody::new(bytes.map(|item| item.map(Frame::data))).boxed_unsync()
}

/// A request's body as the API's byte stream.
pub(super) fn incoming(body: Incoming) -> ByteStream {
    body.into_data_stream()
        .map(|item| item.map_err(|error| ApiError::invalid(format!("error reading the request body: {error}"))))
        .boxed()
}
