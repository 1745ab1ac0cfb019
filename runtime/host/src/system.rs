use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};
use jiff::Timestamp;

use crate::{ByteStream, HostError, HostResult};

/// Facts about the machine for `docker info`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostInfo {
    pub hostname: String,
    /// `Debian GNU/Linux 12 (bookworm)`, or `docklab simulator`.
    pub operating_system: String,
    pub kernel_version: String,
    /// As in `uname -m`: `x86_64`, `aarch64`.
    pub machine: String,
    pub cpus: u32,
    /// Bytes.
    pub memory: u64,
    /// `1` or `2`.
    pub cgroup_version: u8,
    /// Where this engine keeps its data, as Docker's `DockerRootDir`.
    pub root_dir: String,
    /// `linux` or `sim`.
    pub kind: &'static str,
    /// What this machine cannot do, one line each, for `docker info`'s warnings.
    pub warnings: Vec<String>,
}

/// Time, tasks, randomness, and what the machine is.
#[async_trait]
pub trait Machine: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
    /// Completes after `duration` of this machine's time (virtual in the simulator).
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
    /// Runs a task in the background until it ends.
    fn spawn(&self, task: BoxFuture<'static, ()>);
    /// Fills `buffer` with random bytes.
    fn random(&self, buffer: &mut [u8]);
    fn info(&self) -> HostInfo;
}

/// Small durable records of the engine's: one value a key, grouped by kind. A write is atomic and lasts once it returns.
#[async_trait]
pub trait Records: Send + Sync {
    /// All records of a kind, in no order.
    async fn load_records(&self, kind: &str) -> HostResult<Vec<(String, Bytes)>>;
    async fn put_record(&self, kind: &str, key: &str, value: Bytes) -> HostResult<()>;
    /// Removing what is not there is fine.
    async fn delete_record(&self, kind: &str, key: &str) -> HostResult<()>;
}

/// An HTTP request to a registry or to an `ADD` URL.
pub struct HttpRequest {
    pub method: &'static str,
    /// Absolute, `http` or `https`.
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// With its length when that is known; a stream of unknown length is sent chunked.
    pub body: Option<(Option<u64>, ByteStream)>,
    /// Accept any certificate (insecure registries).
    pub insecure: bool,
}

/// The answer; redirects are *not* followed by the host.
pub struct HttpResponse {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: ByteStream,
}

/// HTTP to the outside, and messages between the nodes of a swarm.
#[async_trait]
pub trait Transport: Send + Sync {
    async fn http(&self, request: HttpRequest) -> HostResult<HttpResponse>;
    /// Accepts links of other nodes on a TCP port of the node until the stream is dropped.
    async fn listen(&self, port: u16) -> HostResult<BoxStream<'static, Arc<dyn Link>>> {
        Err(HostError::Unsupported(format!("this machine cannot listen on port {port}: it has no links between nodes")))
    }
    /// Opens a link to a node that listens. The error is worded as Go's net package does (`dial tcp …`).
    async fn dial(&self, address: SocketAddr) -> HostResult<Arc<dyn Link>> {
        Err(HostError::Unsupported(format!("this machine cannot reach {address}: it has no links between nodes")))
    }
    /// As [`Transport::listen`], over mutual TLS. `identity` is asked for every link; without one it is refused. Whoever
    /// dials may do so without certificates, which [`Link::certificates`] then shows.
    ///
    /// The default is for machines whose links nobody can listen to or forge, as in a simulation: plain links.
    async fn listen_secure(
        &self,
        port: u16,
        identity: Arc<dyn Fn() -> Option<Identity> + Send + Sync>,
        judge: Judge,
    ) -> HostResult<BoxStream<'static, Arc<dyn Link>>> {
        let _ = (identity, judge);
        self.listen(port).await
    }
    /// As [`Transport::dial`], over mutual TLS. What `judge` says of the other side's certificates is the error.
    async fn dial_secure(
        &self,
        address: SocketAddr,
        identity: Option<Identity>,
        judge: Judge,
    ) -> HostResult<Arc<dyn Link>> {
        let _ = (identity, judge);
        self.dial(address).await
    }
    /// The addresses of a host name as the node's own programs see them; none when nobody knows it.
    async fn resolve(&self, name: &str) -> HostResult<Vec<IpAddr>> {
        Err(HostError::Unsupported(format!("this machine cannot look up {name}: it has no resolver")))
    }
}

/// Who a node is on its links.
#[derive(Clone)]
pub struct Identity {
    /// DER, the node's own first, then its issuer's.
    pub certificates: Vec<Bytes>,
    /// PKCS #8, DER.
    pub key: Bytes,
}

/// Whether certificates (DER, the other side's own first) are to be trusted; why not. That the other side holds the key is
/// the machine's affair.
pub type Judge = Arc<dyn Fn(&[Bytes]) -> Result<(), String> + Send + Sync>;

/// Messages between two nodes, in order. A link whose peer is gone without a word stays silent; what is sent over it is
/// lost, and whoever uses it needs time-outs.
#[async_trait]
pub trait Link: Send + Sync {
    /// The other end's address.
    fn peer(&self) -> IpAddr;
    /// The other side's certificates, which were judged; none where it has shown none. `None` on a plain link.
    fn certificates(&self) -> Option<Vec<Bytes>> {
        None
    }
    /// Sends one message of at most 64 MiB.
    async fn send(&self, message: Bytes) -> HostResult<()>;
    /// The next message; `None` once the peer has closed. One caller at a time; not to be cancelled.
    async fn receive(&self) -> HostResult<Option<Bytes>>;
    /// Ends the link: both sides' `receive` returns.
    fn close(&self);
}

/// Named volumes.
#[async_trait]
pub trait Volumes: Send + Sync {
    /// Creates the volume's directory and returns the mount point that `docker volume inspect` shows.
    async fn create_volume(&self, name: &str) -> HostResult<String>;
    async fn remove_volume(&self, name: &str) -> HostResult<()>;
    /// Bytes.
    async fn volume_size(&self, name: &str) -> HostResult<u64>;
    /// Whether a path of the machine is there to be bound (`--mount type=bind` refuses a missing one at create). A host
    /// that cannot tell says yes; the start then fails.
    async fn bind_source_exists(&self, _path: &str) -> HostResult<bool> {
        Ok(true)
    }
}
