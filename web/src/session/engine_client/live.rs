//! Streams that stay open: events, activity, logs that are followed. Browsers open only six connections to one server for
//! requests, and a few of these would take them all; sockets are not counted among them.

use bytes::Bytes;
use docklab_api::{ApiError, ApiResult, ByteStream};
use futures::{StreamExt as _, stream};
use serde::Deserialize;

use super::{EngineClient, Query, escape};
use crate::browser::{SocketEvent, open_socket, socket_url};

/// The server's first message: what the engine answered before the stream began.
#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Opening {
    status: u16,
    /// The engine's error, for statuses from 400.
    #[serde(default)]
    message: String,
}

impl EngineClient {
    /// A GET whose answer goes on for as long as it is read.
    pub(super) async fn stream(&self, path: &str, query: Query) -> ApiResult<ByteStream> {
        let base = self.base.strip_suffix("/engine").unwrap_or(&self.base);
        let mut url = format!("{base}/stream/v{}{path}{}", docklab_api::CLIENT_API_VERSION, query.0);
        if let Some(token) = &self.token {
            url.push_str(if query.0.is_empty() { "?token=" } else { "&token=" });
            url.push_str(&escape(token));
        }
        let link = socket_url(&url).and_then(|url| open_socket(&url).ok());
        let mut link = link.ok_or_else(|| ApiError::connection("this browser opens no socket to the server"))?;
        loop {
            match link.events.next().await {
                Some(SocketEvent::Text(text)) => {
                    answered(&text)?;
                    break;
                }
                Some(SocketEvent::Open | SocketEvent::Binary(_)) => {}
                Some(SocketEvent::Closed) | None => return Err(ApiError::connection("the engine is not reached")),
            }
        }
        // The link moves into the stream: dropping it closes the socket.
        let body = stream::unfold(link, |mut link| async move {
            loop {
                match link.events.next().await? {
                    SocketEvent::Binary(bytes) => return Some((Ok::<Bytes, ApiError>(bytes), link)),
                    SocketEvent::Closed => return None,
                    SocketEvent::Open | SocketEvent::Text(_) => {}
                }
            }
        });
        Ok(body.boxed())
    }
}

fn answered(text: &str) -> ApiResult<()> {
    let opening: Opening = serde_json::from_slice(text.as_bytes())
        .map_err(|_| ApiError::connection("the server of this page is no docklab"))?;
    match opening.status {
        // From the server itself: the engine behind it is gone.
        502 | 504 => Err(ApiError::connection(opening.message)),
        status if status >= 400 => Err(ApiError::new(status, opening.message)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_tells_whether_there_is_a_stream() {
        assert!(answered(r#"{"status":200}"#).is_ok());
        assert_eq!(answered(r#"{"status":404,"message":"page not found"}"#).unwrap_err().status, 404);
        assert!(answered(r#"{"status":502,"message":"gone"}"#).unwrap_err().is_connection());
        assert!(answered("hello").unwrap_err().is_connection());
    }
}
