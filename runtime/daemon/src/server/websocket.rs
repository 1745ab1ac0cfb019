//! `attach` over a websocket: the container's output as binary messages, the messages of the client as its input.

use bytes::Bytes;
use docklab_api::{ApiError, ApiResult, Attached};
use futures::{SinkExt as _, StreamExt as _};
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

use super::{
    body::{self, Body, RequestBody},
    respond,
};

pub(super) fn answer(request: Request<RequestBody>, attached: Attached) -> ApiResult<Response<Body>> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let Some(accept) = key.map(|key| derive_accept_key(key.as_bytes())) else {
        return Err(ApiError::invalid("not a websocket handshake: there is no Sec-WebSocket-Key header"));
    };
    let accept = header::HeaderValue::from_str(&accept)
        .map_err(|error| ApiError::system(format!("answering the websocket handshake: {error}")))?;
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(stream) => {
                let stream = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Server, None).await;
                connect(stream, attached).await;
            }
            Err(error) => tracing::debug!("the client did not switch over: {error}"),
        }
    });
    let mut response = respond::with_status(StatusCode::SWITCHING_PROTOCOLS);
    *response.body_mut() = body::empty();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

async fn connect(stream: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>, attached: Attached) {
    let Attached { mut output, mut input, .. } = attached;
    let (mut to_client, mut from_client) = stream.split();
    let reading = tokio::spawn(async move {
        while let Some(Ok(message)) = from_client.next().await {
            let bytes = match message {
                Message::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
                Message::Binary(bytes) => bytes,
                Message::Close(_) => break,
                _ => continue,
            };
            if input.send(bytes).await.is_err() {
                break;
            }
        }
        input.close().await.ok();
    });
    while let Some(Ok(chunk)) = output.next().await {
        if to_client.send(Message::Binary(chunk.bytes)).await.is_err() {
            break;
        }
    }
    to_client.close().await.ok();
    reading.abort();
}
