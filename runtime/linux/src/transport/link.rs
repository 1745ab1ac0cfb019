//! Links between the nodes of a swarm: TCP, a message as its length (four bytes, big endian) and its bytes.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_host::{HostError, HostResult, Link};
use futures::{StreamExt, stream::BoxStream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex, Notify},
    time::timeout,
};

/// Bytes of the largest message.
const MAX_MESSAGE: u32 = 64 << 20;
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
const SEND_TIMEOUT: Duration = Duration::from_secs(20);

struct TcpLink {
    peer: IpAddr,
    reader: Mutex<OwnedReadHalf>,
    writer: Mutex<OwnedWriteHalf>,
    closed: Notify,
}

impl TcpLink {
    fn over(stream: TcpStream, peer: IpAddr) -> Arc<dyn Link> {
        // Small messages must not wait for more; where the option is not to be had they only come later.
        let _ = stream.set_nodelay(true);
        let (reader, writer) = stream.into_split();
        Arc::new(Self { peer, reader: Mutex::new(reader), writer: Mutex::new(writer), closed: Notify::new() })
    }

    async fn read(&self) -> io::Result<Option<Bytes>> {
        let mut reader = self.reader.lock().await;
        let length = match reader.read_u32().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        };
        if length > MAX_MESSAGE {
            return Err(io::Error::other(format!("a message of {length} bytes is longer than {MAX_MESSAGE}")));
        }
        let mut message = vec![0; length as usize];
        reader.read_exact(&mut message).await?;
        Ok(Some(message.into()))
    }
}

#[async_trait]
impl Link for TcpLink {
    fn peer(&self) -> IpAddr {
        self.peer
    }
    async fn send(&self, message: Bytes) -> HostResult<()> {
        let length = u32::try_from(message.len()).ok().filter(|length| *length <= MAX_MESSAGE);
        let length = length.ok_or_else(|| {
            HostError::Network(format!("a message of {} bytes is too long for a link", message.len()))
        })?;
        let mut writer = self.writer.lock().await;
        let write = async {
            writer.write_all(&length.to_be_bytes()).await?;
            writer.write_all(&message).await
        };
        match timeout(SEND_TIMEOUT, write).await {
            Ok(result) => result.map_err(|error| HostError::Network(format!("write tcp {}: {error}", self.peer))),
            Err(_) => Err(HostError::Network(format!("write tcp {}: i/o timeout", self.peer))),
        }
    }
    async fn receive(&self) -> HostResult<Option<Bytes>> {
        tokio::select! {
            result = self.read() => result.map_err(|error| HostError::Network(format!("read tcp {}: {error}", self.peer))),
            () = self.closed.notified() => Ok(None),
        }
    }
    fn close(&self) {
        // The connection itself closes when the last owner drops the link.
        self.closed.notify_one();
    }
}

/// Listens on every address of the node (each node has a network namespace of its own).
pub(super) async fn listen(port: u16) -> HostResult<BoxStream<'static, Arc<dyn Link>>> {
    let listener = TcpListener::bind(("0.0.0.0", port)).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => HostError::PortInUse { protocol: "tcp", address: format!("0.0.0.0:{port}") },
        _ => HostError::Network(format!("listen tcp 0.0.0.0:{port}: {error}")),
    })?;
    let links = futures::stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return Some((TcpLink::over(stream, peer.ip()), listener)),
                Err(error) => {
                    tracing::warn!(%error, "a link could not be accepted");
                    // Out of descriptors: some will be given back.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(links.boxed())
}

pub(super) async fn dial(address: SocketAddr) -> HostResult<Arc<dyn Link>> {
    let failed = |cause: String| HostError::Network(format!("dial tcp {address}: {cause}"));
    match timeout(DIAL_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(TcpLink::over(stream, address.ip())),
        Ok(Err(error)) => Err(failed(match error.kind() {
            io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
            io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
            io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
            _ => error.to_string(),
        })),
        Err(_) => Err(failed("i/o timeout".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_arrive_whole_and_in_order() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let ours = dial(address).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let theirs = TcpLink::over(stream, peer.ip());
        for message in ["one", "", "three"] {
            ours.send(Bytes::from(message)).await.unwrap();
        }
        for message in ["one", "", "three"] {
            assert_eq!(theirs.receive().await.unwrap(), Some(Bytes::from(message)));
        }
        drop(ours);
        assert_eq!(theirs.receive().await.unwrap(), None);
    }

    #[tokio::test]
    async fn nobody_listening_is_worded_as_go_does() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = dial(address).await.err().unwrap();
        assert_eq!(error.to_string(), format!("dial tcp {address}: connect: connection refused"));
    }
}
