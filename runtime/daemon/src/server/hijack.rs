//! Attach and exec: the connection stops being HTTP and becomes the container's standard streams (moby `hijack`).

use std::{
    future::Future,
    os::fd::{AsFd as _, OwnedFd},
    time::Duration,
};

use bytes::Bytes;
use docklab_api::{Attached, wire::encode_frame};
use futures::{SinkExt as _, StreamExt as _};
use hyper::{Request, Response, StatusCode, ext::ReasonPhrase, header, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::UnixStream,
};

use super::{
    UnreadByPeer, Version,
    body::{self, Body, RequestBody},
    respond,
};

const RAW: &str = "application/vnd.docker.raw-stream";
const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";
/// The first version whose clients know the multiplexed content type.
const MULTIPLEXED_SINCE: Version = Version(1, 42);

/// The content type of a stream, by terminal and by the client's version.
pub(super) fn content_type(tty: bool, version: Version) -> &'static str {
    if tty || version < MULTIPLEXED_SINCE { RAW } else { MULTIPLEXED }
}

/// Answers 101 and connects the streams once the client has switched over. Without an `Upgrade` header the output is the
/// body of a plain 200 (still in frames, but called raw), and the request's body is the input.
pub(super) fn answer(request: Request<RequestBody>, version: Version, attached: Attached) -> Response<Body> {
    let tty = attached.tty;
    if !request.headers().contains_key(header::UPGRADE) {
        let Attached { output, mut input, .. } = attached;
        let mut body = body::incoming(request.into_body());
        tokio::spawn(async move {
            while let Some(Ok(bytes)) = body.next().await {
                if input.send(bytes).await.is_err() {
                    break;
                }
            }
            input.close().await.ok();
        });
        let output = output.map(move |chunk| chunk.map(|chunk| wire(&chunk, tty)));
        return respond::with_type(StatusCode::OK, RAW, body::stream(output));
    }
    let content_type = content_type(tty, version);
    let unread = request.extensions().get::<UnreadByPeer>().copied();
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(stream) => connect(stream, attached, unread).await,
            Err(error) => tracing::debug!("the client did not switch over: {error}"),
        }
    });
    let mut response = respond::with_type(StatusCode::SWITCHING_PROTOCOLS, content_type, body::empty());
    response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, header::HeaderValue::from_static("tcp"));
    response.extensions_mut().insert(ReasonPhrase::from_static(b"UPGRADED"));
    response
}

fn wire(chunk: &docklab_api::OutputChunk, tty: bool) -> Bytes {
    if tty { chunk.bytes.clone() } else { encode_frame(chunk) }
}

/// How long output waits behind the 101 when nobody can say whether the client has read that. Clients that read the head
/// through a buffer (docker-py) lose whatever of the stream comes along in the same read; Docker's own start of a process
/// takes longer than this.
const LEAD: Duration = Duration::from_millis(8);
/// How often to ask whether the head was read, and for how long at most.
const POLL: Duration = Duration::from_millis(1);
const POLLS: u32 = 1000;

/// Ends when output may follow the head.
async fn lead(socket: Option<(OwnedFd, UnreadByPeer)>) {
    let Some((socket, unread)) = socket else { return tokio::time::sleep(LEAD).await };
    for _ in 0..POLLS {
        match unread(socket.as_fd()) {
            Ok(0) => return,
            Ok(_) => tokio::time::sleep(POLL).await,
            Err(error) => {
                tracing::debug!("asking whether the head was read: {error}");
                return tokio::time::sleep(LEAD).await;
            }
        }
    }
}

/// The connection itself, if it is a unix socket whose state can be asked for.
fn socket_of(stream: &UnixStream, unread: Option<UnreadByPeer>) -> Option<(OwnedFd, UnreadByPeer)> {
    Some((stream.as_fd().try_clone_to_owned().ok()?, unread?))
}

async fn connect(stream: Upgraded, attached: Attached, unread: Option<UnreadByPeer>) {
    match stream.downcast::<TokioIo<UnixStream>>() {
        Ok(parts) => {
            let stream = parts.io.into_inner();
            let socket = socket_of(&stream, unread);
            let (reader, writer) = stream.into_split();
            // What the client sent right behind its request is already read.
            let reader = std::io::Cursor::new(parts.read_buf).chain(reader);
            carry(reader, writer, attached, lead(socket)).await;
        }
        Err(stream) => {
            let (reader, writer) = tokio::io::split(TokioIo::new(stream));
            carry(reader, writer, attached, lead(None)).await;
        }
    }
}

async fn carry(
    mut from_client: impl AsyncRead + Unpin + Send + 'static,
    mut to_client: impl AsyncWrite + Unpin,
    attached: Attached,
    lead: impl Future<Output = ()>,
) {
    let Attached { mut output, mut input, tty } = attached;
    let mut lead = Some(Box::pin(lead));
    let reading = tokio::spawn(async move {
        let mut buffer = vec![0; 32 * 1024];
        loop {
            match from_client.read(&mut buffer).await {
                // Half-close: the client has sent all its input and still wants the output.
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    if input.send(Bytes::copy_from_slice(&buffer[..count])).await.is_err() {
                        break;
                    }
                }
            }
        }
        // Closing an input that has already ended is no news.
        input.close().await.ok();
    });
    while let Some(chunk) = output.next().await {
        if let Some(lead) = lead.take() {
            lead.await;
        }
        let bytes = match chunk {
            Ok(chunk) => wire(&chunk, tty),
            Err(error) => encode_frame(&docklab_api::OutputChunk {
                stream: docklab_api::StdStream::System,
                bytes: error.message.into(),
            }),
        };
        if to_client.write_all(&bytes).await.is_err() {
            break;
        }
    }
    // The client waits for the end of the stream, then asks for the exit code.
    to_client.shutdown().await.ok();
    reading.abort();
}
