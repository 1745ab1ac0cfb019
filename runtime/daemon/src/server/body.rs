use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use docklab_api::{ApiError, ByteStream};
use futures::{Stream, StreamExt as _};
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming, SizeHint};

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

/// Bytes of a body that nobody wants which are still read, as in Go's server: a client that is answered before it has sent
/// everything would otherwise see its connection break instead of the answer.
const UNREAD: usize = 256 * 1024;

/// A request's body. What is left of it when it is dropped is read and forgotten, up to [`UNREAD`].
pub(super) struct RequestBody(Option<Incoming>);

impl RequestBody {
    pub(super) fn new(body: Incoming) -> Self {
        Self(Some(body))
    }
}

impl hyper::body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(hyper::body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(SizeHint::default, hyper::body::Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(mut body) = self.0.take() else { return };
        if hyper::body::Body::is_end_stream(&body) {
            return;
        }
        tokio::spawn(async move {
            let mut read = 0;
            while read < UNREAD {
                match body.frame().await {
                    Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
                    _ => break,
                }
            }
        });
    }
}

/// A request's body as the API's byte stream.
pub(super) fn incoming(body: RequestBody) -> ByteStream {
    body.into_data_stream()
        .map(|item| item.map_err(|error| ApiError::invalid(format!("error reading the request body: {error}"))))
        .boxed()
}
