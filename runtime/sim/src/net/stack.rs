//! One network namespace: interfaces and who listens.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, Weak},
};

use bytes::Bytes;
use futures::{
    StreamExt,
    channel::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
        oneshot,
    },
};

use crate::world::lock;

/// An HTTP request as a simulated server sees it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Reply {
    pub fn text(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![("Content-Type".into(), content_type.into())], body: body.into() }
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A request that a listener has accepted. Dropping it without a reply resets the connection.
pub struct Connection {
    pub peer: IpAddr,
    pub request: Request,
    pub(crate) reply: oneshot::Sender<Reply>,
}

impl Connection {
    pub fn answer(self, reply: Reply) {
        // The client may have gone; that is no concern of the server's.
        let _ = self.reply.send(reply);
    }
}

/// An interface beside loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    pub(crate) prefix: u8,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) mac: String,
    /// The network's ID; empty on the nodes' LAN.
    pub(crate) network: String,
}

struct Port {
    address: IpAddr,
    port: u16,
    owner: Weak<()>,
    process: String,
    sender: UnboundedSender<Connection>,
}

/// A network namespace.
#[derive(Default)]
pub struct Stack {
    interfaces: Mutex<Vec<Interface>>,
    ports: Mutex<Vec<Port>>,
    /// Received bytes and packets, sent bytes and packets.
    pub(crate) traffic: Mutex<[u64; 4]>,
}

/// Accepts connections until it is dropped.
pub struct Listener {
    receiver: UnboundedReceiver<Connection>,
    _alive: Arc<()>,
}

impl Listener {
    pub async fn accept(&mut self) -> Option<Connection> {
        self.receiver.next().await
    }
}

pub(crate) fn in_subnet(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

impl Stack {
    pub(crate) fn interfaces(&self) -> Vec<Interface> {
        lock(&self.interfaces).clone()
    }
    pub(crate) fn add_interface(&self, mut interface: Interface) {
        let mut interfaces = lock(&self.interfaces);
        if interface.name.is_empty() {
            let free = (0..).find(|n| !interfaces.iter().any(|other| other.name == format!("eth{n}")));
            interface.name = format!("eth{}", free.unwrap_or(0));
        }
        interfaces.push(interface);
    }
    pub(crate) fn remove_interface(&self, network: &str) -> bool {
        let mut interfaces = lock(&self.interfaces);
        let before = interfaces.len();
        interfaces.retain(|interface| interface.network != network);
        interfaces.len() < before
    }
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        address.is_loopback() || lock(&self.interfaces).iter().any(|interface| interface.address == address)
    }
    /// Opens a port; `None` when another listener has it. `process` is what `ss` shows.
    pub fn listen(&self, address: IpAddr, port: u16, process: &str) -> Option<Listener> {
        let mut ports = lock(&self.ports);
        ports.retain(|port| port.owner.strong_count() > 0);
        let clash = |other: &Port| {
            other.port == port
                && (other.address == address || other.address.is_unspecified() || address.is_unspecified())
        };
        if ports.iter().any(clash) {
            return None;
        }
        let (sender, receiver) = unbounded();
        let alive = Arc::new(());
        ports.push(Port { address, port, owner: Arc::downgrade(&alive), process: process.to_owned(), sender });
        Some(Listener { receiver, _alive: alive })
    }
    pub(crate) fn sender(&self, address: IpAddr, port: u16) -> Option<UnboundedSender<Connection>> {
        lock(&self.ports)
            .iter()
            .find(|open| {
                open.owner.strong_count() > 0
                    && open.port == port
                    && (open.address.is_unspecified()
                        || open.address == address
                        || (open.address.is_loopback() && address.is_loopback()))
            })
            .map(|open| open.sender.clone())
    }
    /// Address, port and program of everything that listens.
    pub(crate) fn listening(&self) -> Vec<(IpAddr, u16, String)> {
        lock(&self.ports)
            .iter()
            .filter(|port| port.owner.strong_count() > 0)
            .map(|port| (port.address, port.port, port.process.clone()))
            .collect()
    }
    pub(crate) fn first_address(&self) -> IpAddr {
        lock(&self.interfaces).first().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |interface| interface.address)
    }
    pub(crate) fn count(&self, received: u64, sent: u64) {
        let mut traffic = lock(&self.traffic);
        for (index, bytes) in [(0, received), (2, sent)] {
            traffic[index] += bytes;
            traffic[index + 1] += bytes.div_ceil(1448);
        }
    }
}
