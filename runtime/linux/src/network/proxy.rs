//! Published ports in user space: a listener on the node's side, connections to the container over its bridge. No firewall rule
//! is needed, and what a student sees in `ss` is what happens. With several backends it is the routing mesh.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    time::Duration,
};

use docklab_host::{HostError, HostResult, Protocol};
use socket2::{Domain, Socket, Type};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket},
    task::JoinHandle,
    time::timeout,
};

use super::Namespace;

/// Where ports that the host chooses begin and end: Linux's default `ip_local_port_range`, which Docker uses.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32768..=60999;
/// Waiting connections of one listener.
const BACKLOG: i32 = 1024;
/// A UDP client that is silent for so long is forgotten; moby's userland proxy has the same.
const UDP_IDLE: Duration = Duration::from_secs(90);
const DATAGRAM: usize = 65_535;
/// How long a backend may take to accept before the client is told.
const CONNECT: Duration = Duration::from_secs(10);
/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

static NEXT_EPHEMERAL: AtomicU16 = AtomicU16::new(*EPHEMERAL.start());

/// Whom connections go to, in turn.
#[derive(Debug, Default)]
pub(super) struct Backends {
    targets: Mutex<Targets>,
    next: AtomicUsize,
}

#[derive(Debug, Default, Clone)]
struct Targets {
    addresses: Vec<SocketAddr>,
    /// The address to connect from; `None` leaves it to the route.
    source: Option<IpAddr>,
}

impl Backends {
    pub(super) fn new(addresses: Vec<SocketAddr>) -> Arc<Self> {
        let backends = Self::default();
        backends.set(addresses, None);
        Arc::new(backends)
    }

    pub(super) fn set(&self, addresses: Vec<SocketAddr>, source: Option<IpAddr>) {
        *self.targets.lock().unwrap_or_else(PoisonError::into_inner) = Targets { addresses, source };
    }

    /// Every backend once, beginning with the one whose turn it is.
    fn turn(&self) -> Targets {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !targets.addresses.is_empty() {
            let first = self.next.fetch_add(1, Ordering::Relaxed) % targets.addresses.len();
            targets.addresses.rotate_left(first);
        }
        targets
    }
}

/// An open port. Dropping it closes the port and every connection through it.
#[derive(Debug)]
pub(super) struct OpenPort {
    pub(super) address: SocketAddr,
    protocol: Protocol,
    backends: Arc<Backends>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for OpenPort {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl OpenPort {
    /// Opens the same port on the loopback of another namespace. Whoever has it there already keeps it. Within a tokio
    /// runtime.
    pub(super) fn also_on_loopback_of(&mut self, machine: &Namespace) {
        let loopback: IpAddr =
            if self.address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        let address = SocketAddr::new(loopback, self.address.port());
        let opened = machine
            .inside(|| bind(address, self.protocol))
            .and_then(|socket| serve(socket, self.protocol, self.backends.clone()));
        match opened {
            Ok((_, task)) => self.tasks.push(task),
            Err(error) => tracing::warn!("{address} of this machine does not lead to the node: {error}"),
        }
    }
}

/// Opens `address` (port 0: the next free one of the ephemeral range) for `backends`. Within a tokio runtime.
pub(super) fn open(address: SocketAddr, protocol: Protocol, backends: Arc<Backends>) -> HostResult<OpenPort> {
    let socket = if address.port() == 0 {
        let mut attempts = EPHEMERAL.len();
        loop {
            let port = next_ephemeral();
            match bind(SocketAddr::new(address.ip(), port), protocol) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => attempts -= 1,
                result => break result,
            }
        }
    } else {
        bind(address, protocol)
    };
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            HostError::PortInUse { protocol: protocol_name(protocol, address.ip()), address: address.to_string() }
        }
        _ => HostError::Other(format!(
            "listen {} {address}: bind: {}",
            protocol_name(protocol, address.ip()),
            crate::transport::go_words(&error)
        )),
    };
    let (address, task) = serve(socket.map_err(failed)?, protocol, backends.clone()).map_err(failed)?;
    Ok(OpenPort { address, protocol, backends, tasks: vec![task] })
}

fn serve(socket: Socket, protocol: Protocol, backends: Arc<Backends>) -> io::Result<(SocketAddr, JoinHandle<()>)> {
    Ok(match protocol {
        Protocol::Tcp => {
            let listener = TcpListener::from_std(socket.into())?;
            (listener.local_addr()?, tokio::spawn(accept(listener, backends)))
        }
        Protocol::Udp => {
            let socket = UdpSocket::from_std(socket.into())?;
            (socket.local_addr()?, tokio::spawn(relay_datagrams(socket, backends)))
        }
    })
}

fn next_ephemeral() -> u16 {
    let next = |port: u16| Some(if port >= *EPHEMERAL.end() { *EPHEMERAL.start() } else { port + 1 });
    NEXT_EPHEMERAL.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or(*EPHEMERAL.start())
}

/// `tcp4`, `udp6`: Go's names, which stand in Docker's error texts.
fn protocol_name(protocol: Protocol, address: IpAddr) -> &'static str {
    match (protocol, address.is_ipv4()) {
        (Protocol::Tcp, true) => "tcp4",
        (Protocol::Tcp, false) => "tcp6",
        (Protocol::Udp, true) => "udp4",
        (Protocol::Udp, false) => "udp6",
    }
}

fn bind(address: SocketAddr, protocol: Protocol) -> io::Result<Socket> {
    let kind = if protocol == Protocol::Tcp { Type::STREAM } else { Type::DGRAM };
    let socket = Socket::new(Domain::for_address(address), kind.nonblocking().cloexec(), None)?;
    if address.is_ipv6() {
        // `0.0.0.0` and `::` are opened side by side.
        socket.set_only_v6(true)?;
    }
    if protocol == Protocol::Tcp {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    if protocol == Protocol::Tcp {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

async fn accept(listener: TcpListener, backends: Arc<Backends>) {
    // Ends with its connections when the port is closed.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(relay(client, backends.clone()));
                }
                Err(error) => {
                    tracing::debug!("accept on a published port: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Copies both ways until both sides have ended; an end of one direction is passed on and leaves the other open.
async fn relay(mut client: TcpStream, backends: Arc<Backends>) {
    let targets = backends.turn();
    for address in targets.addresses {
        match timeout(CONNECT, connect(address, targets.source)).await {
            Ok(Ok(mut server)) => {
                let _ = client.set_nodelay(true);
                let _ = server.set_nodelay(true);
                if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut server).await {
                    tracing::trace!("connection to {address}: {error}");
                }
                return;
            }
            Ok(Err(error)) => tracing::debug!("published port: dial {address}: {error}"),
            Err(_) => tracing::debug!("published port: dial {address}: timed out"),
        }
    }
    // Nobody there: the client sees a reset, as it would from a closed port.
    let _ = client.set_zero_linger();
}

async fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(address).await
}

/// One socket towards the container for every client, so that answers find their way back.
async fn relay_datagrams(socket: UdpSocket, backends: Arc<Backends>) {
    let socket = Arc::new(socket);
    let mut clients: HashMap<SocketAddr, (Arc<UdpSocket>, JoinHandle<()>)> = HashMap::new();
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let (length, client) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // An earlier datagram met a closed port; the next may not.
            Err(error) => {
                tracing::trace!("published UDP port: {error}");
                continue;
            }
        };
        clients.retain(|_, (_, task)| !task.is_finished());
        let upstream = match clients.get(&client) {
            Some((upstream, _)) => upstream.clone(),
            None => match datagram_connection(&backends).await {
                Ok(upstream) => {
                    let upstream = Arc::new(upstream);
                    let task = tokio::spawn(answers(upstream.clone(), socket.clone(), client));
                    clients.insert(client, (upstream.clone(), task));
                    upstream
                }
                Err(error) => {
                    tracing::debug!("published UDP port: {error}");
                    continue;
                }
            },
        };
        if let Err(error) = upstream.send(&buffer[..length]).await {
            tracing::trace!("published UDP port: {error}");
        }
    }
}

async fn datagram_connection(backends: &Backends) -> io::Result<UdpSocket> {
    let targets = backends.turn();
    let Some(address) = targets.addresses.first() else { return Err(io::Error::other("no backend")) };
    let any = if address.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind(SocketAddr::new(targets.source.unwrap_or(any), 0)).await?;
    socket.connect(address).await?;
    Ok(socket)
}

async fn answers(upstream: Arc<UdpSocket>, socket: Arc<UdpSocket>, client: SocketAddr) {
    let mut buffer = vec![0; DATAGRAM];
    while let Ok(Ok(length)) = timeout(UDP_IDLE, upstream.recv(&mut buffer)).await {
        if let Err(error) = socket.send_to(&buffer[..length], client).await {
            tracing::trace!("published UDP port: {error}");
        }
    }
}
