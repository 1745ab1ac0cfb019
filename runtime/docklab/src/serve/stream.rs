//! An answer of a node's engine that goes on, over a WebSocket: the first message is text and tells the status, those that
//! follow are the body's bytes. Browsers count sockets apart from the six connections that they open for requests.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    extract::{
        Path, Request, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::StatusCode,
    response::Response,
};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::json;

use super::{Failure, Server, proxy};

/// An error's body is a sentence.
const ERROR_LIMIT: usize = 64 * 1024;

pub(super) async fn open(
    State(server): State<Arc<Server>>,
    Path((node, path)): Path<(String, String)>,
    upgrade: WebSocketUpgrade,
    request: Request,
) -> Result<Response, Failure> {
    let node = server.node(&node)?;
    // The engine sees a plain GET, without what belongs to the upgrade.
    let plain = Request::get(request.uri().clone()).body(Body::empty());
    let plain = plain.map_err(|error| Failure(StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok(upgrade.on_upgrade(async move |socket| {
        let answer = proxy::forward(&node.engine, &path, plain).await;
        let answer = answer.map_err(|error| format!("the engine of {} does not answer: {error:#}", node.name));
        // The student's browser went away: nobody is left to tell.
        let _ = relay(socket, answer).await;
    }))
}

async fn relay(socket: WebSocket, answer: Result<Response, String>) -> Result<(), axum::Error> {
    let (mut sender, mut receiver) = socket.split();
    let response = match answer {
        Ok(response) => response,
        Err(message) => {
            let opening = json!({ "status": StatusCode::BAD_GATEWAY.as_u16(), "message": message });
            return sender.send(Message::Text(opening.to_string().into())).await;
        }
    };
    let status = response.status();
    if !status.is_success() {
        let body = to_bytes(response.into_body(), ERROR_LIMIT).await.unwrap_or_default();
        let opening = json!({ "status": status.as_u16(), "message": message_of(&body) });
        return sender.send(Message::Text(opening.to_string().into())).await;
    }
    sender.send(Message::Text(json!({ "status": status.as_u16() }).to_string().into())).await?;
    let mut body = response.into_body().into_data_stream();
    loop {
        tokio::select! {
            chunk = body.next() => match chunk {
                Some(Ok(bytes)) => sender.send(Message::Binary(bytes)).await?,
                Some(Err(_)) | None => return sender.close().await,
            },
            // The page only ever closes it.
            message = receiver.next() => if matches!(message, None | Some(Err(_) | Ok(Message::Close(_)))) {
                return Ok(());
            },
        }
    }
}

/// What Docker's error body says, or the body.
fn message_of(body: &[u8]) -> String {
    let message = serde_json::from_slice::<serde_json::Value>(body).ok();
    let message = message.and_then(|body| body.get("message")?.as_str().map(str::to_owned));
    message.unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_words_are_passed_on() {
        assert_eq!(message_of(br#"{"message":"No such container: x"}"#), "No such container: x");
        assert_eq!(message_of(b"bad gateway\n"), "bad gateway");
    }
}
