//! Bodies as streams.

use std::time::Duration;

use bytes::Bytes;
use docklab_host::{ByteStream, HostError};
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http1::SendRequest,
};
use tokio::time::timeout;

/// A server that sends nothing for so long has gone.
const IDLE: Duration = Duration::from_secs(60);

pub(super) type Outgoing = UnsyncBoxBody<Bytes, HostError>;

pub(super) fn outgoing(body: Option<ByteStream>) -> Outgoing {
    match body {
        None => UnsyncBoxBody::new(http_body_util::Empty::new().map_err(|never| match never {})),
        Some(stream) => UnsyncBoxBody::new(StreamBody::new(stream.map(|item| item.map(Frame::data)))),
    }
}

/// The answer's content. Keeps `sender`, whose end would close the connection.
pub(super) fn incoming(body: Incoming, sender: SendRequest<Outgoing>) -> ByteStream {
    stream::unfold(Some((body, sender)), |state| async move {
        let (mut body, sender) = state?;
        loop {
            let text = match timeout(IDLE, body.frame()).await {
                Ok(None) => return None,
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Some((Ok(data), Some((body, sender)))),
                    // Trailers.
                    Err(_) => continue,
                },
                Ok(Some(Err(error))) => super::dial::exchange_words(&error),
                Err(_) => "read: i/o timeout".to_owned(),
            };
            return Some((Err(HostError::Network(text)), None));
        }
    })
    .boxed()
}
