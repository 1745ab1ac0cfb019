//! Links between the nodes of a swarm: TCP, a message as its length (four bytes, big endian) and its bytes.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_host::{HostError, HostResult, Identity, Judge, Link};
use futures::{StreamExt, stream::BoxStream};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Mutex, Notify, mpsc},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::tls;

/// Bytes of the largest message.
const MAX_MESSAGE: u32 = 64 << 20;
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const SEND_TIMEOUT: Duration = Duration::from_secs(20);

struct TcpLink {
    peer: IpAddr,
    reader: Mutex<Box<dyn AsyncRead + Send + Unpin>>,
    writer: Mutex<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Of the other side, where the link is encrypted.
    certificates: Option<Vec<Bytes>>,
    closed: Notify,
}

impl TcpLink {
    fn over(stream: TcpStream, peer: IpAddr) -> Arc<dyn Link> {
        // Small messages must not wait for more; where the option is not to be had they only come later.
        let _ = stream.set_nodelay(true);
        let (reader, writer) = stream.into_split();
        Arc::new(Self {
            peer,
            reader: Mutex::new(Box::new(reader)),
            writer: Mutex::new(Box::new(writer)),
            certificates: None,
            closed: Notify::new(),
        })
    }

    /// An encrypted link; the other side's certificates were judged.
    fn over_tls(stream: TlsStream<TcpStream>, peer: IpAddr) -> Arc<dyn Link> {
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificates = certificates.iter().map(|one| Bytes::copy_from_slice(one)).collect();
        let (reader, writer) = tokio::io::split(stream);
        Arc::new(Self {
            peer,
            reader: Mutex::new(Box::new(reader)),
            writer: Mutex::new(Box::new(writer)),
            certificates: Some(certificates),
            closed: Notify::new(),
        })
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
    fn certificates(&self) -> Option<Vec<Bytes>> {
        self.certificates.clone()
    }
    async fn send(&self, message: Bytes) -> HostResult<()> {
        let length = u32::try_from(message.len()).ok().filter(|length| *length <= MAX_MESSAGE);
        let length = length.ok_or_else(|| {
            HostError::Network(format!("a message of {} bytes is too long for a link", message.len()))
        })?;
        let mut writer = self.writer.lock().await;
        let write = async {
            writer.write_all(&length.to_be_bytes()).await?;
            writer.write_all(&message).await?;
            writer.flush().await
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
    let listener = bind(port).await?;
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

async fn bind(port: u16) -> HostResult<TcpListener> {
    TcpListener::bind(("0.0.0.0", port)).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => HostError::PortInUse { protocol: "tcp", address: format!("0.0.0.0:{port}") },
        _ => HostError::Network(format!("listen tcp 0.0.0.0:{port}: {error}")),
    })
}

/// As [`listen`], over TLS. Handshakes go on beside each other: a slow one keeps nobody waiting.
pub(super) async fn listen_secure(
    port: u16,
    identity: Arc<dyn Fn() -> Option<Identity> + Send + Sync>,
    judge: Judge,
) -> HostResult<BoxStream<'static, Arc<dyn Link>>> {
    Ok(accept_secure(bind(port).await?, identity, judge))
}

fn accept_secure(
    listener: TcpListener,
    identity: Arc<dyn Fn() -> Option<Identity> + Send + Sync>,
    judge: Judge,
) -> BoxStream<'static, Arc<dyn Link>> {
    let (sender, links) = mpsc::channel(16);
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = sender.closed() => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a link could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (identity, judge, sender) = (identity.clone(), judge.clone(), sender.clone());
            tokio::spawn(async move {
                let shaken = async {
                    let identity = identity().ok_or("this node has no certificate")?;
                    let acceptor = TlsAcceptor::from(Arc::new(tls::server(identity, judge)?));
                    // Small messages must not wait for more; without the option they only come later.
                    let _ = stream.set_nodelay(true);
                    acceptor.accept(stream).await.map_err(|error| tls::words(&error))
                };
                match timeout(HANDSHAKE_TIMEOUT, shaken).await {
                    // The listener may have been dropped meanwhile.
                    Ok(Ok(stream)) => drop(sender.send(TcpLink::over_tls(stream.into(), peer.ip())).await),
                    Ok(Err(error)) => tracing::debug!(%peer, error, "a link was refused"),
                    Err(_) => tracing::debug!(%peer, "a link's handshake took too long"),
                }
            });
        }
    });
    futures::stream::unfold(links, |mut links| async move { links.recv().await.map(|link| (link, links)) }).boxed()
}

/// As [`dial`], over TLS.
pub(super) async fn dial_secure(
    address: SocketAddr,
    identity: Option<Identity>,
    judge: Judge,
) -> HostResult<Arc<dyn Link>> {
    let stream = connect(address).await?;
    let _ = stream.set_nodelay(true);
    let connector = TlsConnector::from(Arc::new(tls::client(identity, judge).map_err(HostError::Network)?));
    // Every manager's certificate has this name; who it is, the judge sees.
    let name = ServerName::try_from("swarm-manager").map_err(super::tls_error)?;
    match timeout(HANDSHAKE_TIMEOUT, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(TcpLink::over_tls(stream.into(), address.ip())),
        Ok(Err(error)) => Err(HostError::Network(tls::words(&error))),
        Err(_) => Err(HostError::Network(format!("dial tcp {address}: TLS handshake timeout"))),
    }
}

pub(super) async fn dial(address: SocketAddr) -> HostResult<Arc<dyn Link>> {
    Ok(TcpLink::over(connect(address).await?, address.ip()))
}

async fn connect(address: SocketAddr) -> HostResult<TcpStream> {
    let failed = |cause: String| HostError::Network(format!("dial tcp {address}: {cause}"));
    match timeout(DIAL_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
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

    fn accept_all() -> Judge {
        Arc::new(|_| Ok(()))
    }

    #[tokio::test]
    async fn an_encrypted_link_shows_the_certificates_of_both_sides() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tls::tests::identity();
        let shown = server.certificates.clone();
        let mut links = accept_secure(listener, Arc::new(move || Some(server.clone())), accept_all());
        let client = tls::tests::identity();
        let (ours, theirs) = tokio::join!(dial_secure(address, Some(client.clone()), accept_all()), links.next());
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        assert_eq!((ours.certificates(), theirs.certificates()), (Some(shown), Some(client.certificates)));
        ours.send(Bytes::from("hello")).await.unwrap();
        assert_eq!(theirs.receive().await.unwrap(), Some(Bytes::from("hello")));
        let (stranger, theirs) = tokio::join!(dial_secure(address, None, accept_all()), links.next());
        stranger.unwrap();
        assert_eq!(theirs.unwrap().certificates(), Some(Vec::new()));
    }

    #[tokio::test]
    async fn what_is_wrong_with_the_other_sides_certificate_is_the_error() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tls::tests::identity();
        let _links = accept_secure(listener, Arc::new(move || Some(server.clone())), accept_all());
        let judge: Judge = Arc::new(|_| Err("remote CA does not match fingerprint. Expected: ab".into()));
        let error = dial_secure(address, None, judge).await.err().unwrap();
        assert_eq!(error.to_string(), "remote CA does not match fingerprint. Expected: ab");
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
