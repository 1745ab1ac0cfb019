//! From a name and a port to whoever listens there, and HTTP to it.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use futures::{
    channel::{mpsc::UnboundedSender, oneshot},
    future::{Either, select},
};
use thiserror::Error;

use super::{Connection, Reply, Request, Stack, in_subnet};
use crate::{node::Node, process::Space};

/// Why a connection failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NetError {
    #[error("lookup {0}: no such host")]
    NoSuchHost(String),
    #[error("dial tcp {0}: connect: connection refused")]
    Refused(String),
    #[error("dial tcp {0}: connect: no route to host")]
    NoRoute(String),
    #[error("dial tcp {0}: connect: network is unreachable")]
    Unreachable(String),
    #[error("dial tcp {0}: i/o timeout")]
    TimedOut(String),
    #[error("read tcp {0}: read: connection reset by peer")]
    Reset(String),
}

/// `http://host:port/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub secure: bool,
    pub host: String,
    pub port: u16,
    /// With the query; begins with `/`.
    pub path: String,
}

impl Url {
    /// A URL without a scheme is `http`.
    pub fn parse(text: &str) -> Option<Self> {
        let (secure, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return None,
            None => (false, text),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            None => {
                if secure {
                    443
                } else {
                    80
                }
            }
            Some(port) => port.parse().ok()?,
        };
        if host.is_empty() {
            return None;
        }
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(Self { secure, host: host.to_owned(), port, path })
    }
}

struct Route {
    sender: UnboundedSender<Connection>,
    stack: Arc<Stack>,
    /// How the server sees the client.
    peer: IpAddr,
    delay: Duration,
}

/// Sends a request from a space to `host` and waits for the answer. Nobody at the other end of a cut link or inside an
/// isolated network is a time-out after `timeout`.
pub(crate) async fn fetch(
    from: &Arc<Space>,
    host: &str,
    port: u16,
    request: Request,
    timeout: Duration,
) -> Result<Reply, NetError> {
    let target = format!("{host}:{port}");
    let lan = &from.world.lan;
    let has_way_out = !from.is_container() || from.stack.interfaces().iter().any(|face| face.gateway.is_some());
    if let Some(server) = lan.server(&target).or_else(|| lan.server(host))
        && has_way_out
    {
        from.world.clock.sleep(Duration::from_millis(15)).await;
        return Ok(server.answer(request).await);
    }
    let address = from.resolve(host).first().copied().ok_or_else(|| NetError::NoSuchHost(host.to_owned()))?;
    let target = format!("{address}:{port}");
    let route = match route(from, address, port) {
        Ok(route) => route,
        Err(error) => {
            if matches!(error, NetError::TimedOut(_)) {
                from.world.clock.sleep(timeout).await;
            }
            return Err(error);
        }
    };
    let sent = request.body.len() as u64 + 80;
    let (reply, answer) = oneshot::channel();
    from.world.clock.sleep(route.delay).await;
    from.stack.count(0, sent);
    route.stack.count(sent, 0);
    if route.sender.unbounded_send(Connection { peer: route.peer, request, reply }).is_err() {
        return Err(NetError::Refused(target));
    }
    let timer = from.world.clock.sleep(timeout);
    match select(answer, timer).await {
        Either::Left((Ok(reply), _)) => {
            let received = reply.body.len() as u64 + 230;
            route.stack.count(0, received);
            from.stack.count(received, 0);
            from.world.clock.sleep(route.delay).await;
            Ok(reply)
        }
        Either::Left((Err(_), _)) => Err(NetError::Reset(target)),
        Either::Right(_) => Err(NetError::TimedOut(target)),
    }
}

const NEAR: Duration = Duration::from_micros(300);

fn route(from: &Arc<Space>, address: IpAddr, port: u16) -> Result<Route, NetError> {
    let target = format!("{address}:{port}");
    let node = from.node.upgrade().ok_or_else(|| NetError::Unreachable(target.clone()))?;
    let on_node = Arc::ptr_eq(&from.stack, &node.space().stack);
    if on_node && (address.is_loopback() || address.is_unspecified() || from.stack.owns(address)) {
        return enter(&node, address, port, None, NEAR);
    }
    if from.stack.owns(address) {
        let sender = from.stack.sender(address, port).ok_or(NetError::Refused(target))?;
        return Ok(Route { sender, stack: from.stack.clone(), peer: address, delay: NEAR });
    }
    if on_node {
        for network in node.network_specs() {
            let inside = network.network().is_some_and(|(base, prefix)| in_subnet(address, base, prefix));
            if inside && !network.is_overlay() {
                return endpoint(&node, &network.spec.id, address, port, network.spec.gateway, NEAR);
            }
        }
    } else {
        let interfaces = from.stack.interfaces();
        for face in &interfaces {
            if !in_subnet(address, face.address, face.prefix) {
                continue;
            }
            if face.gateway == Some(address) {
                return enter(&node, address, port, Some(face.address), NEAR);
            }
            return across(&node, &face.network, address, port, face.address);
        }
        if !interfaces.iter().any(|face| face.gateway.is_some()) {
            return Err(NetError::Unreachable(target));
        }
        // Bridges of one node are isolated from each other.
        if node
            .network_specs()
            .iter()
            .any(|network| network.network().is_some_and(|(base, prefix)| in_subnet(address, base, prefix)))
        {
            return Err(NetError::TimedOut(target));
        }
    }
    if address == node.address() {
        return enter(&node, address, port, Some(from.stack.first_address()), NEAR);
    }
    match node.others().into_iter().find(|other| other.address() == address) {
        None => Err(NetError::NoRoute(target)),
        Some(other) => {
            let delay = way(&node, &other).ok_or(NetError::TimedOut(target))?;
            enter(&other, address, port, Some(node.address()), delay)
        }
    }
}

/// The time one way between two nodes; `None` when a packet or its answer is lost.
pub(crate) fn way(from: &Arc<Node>, to: &Arc<Node>) -> Option<Duration> {
    let lan = &from.world().lan;
    let there = lan.link(from.name(), to.name());
    let back = lan.link(to.name(), from.name());
    let lost = there.cut || back.cut || !from.is_up() || !to.is_up();
    (!lost).then_some((there.delay + back.delay) / 2)
}

/// An endpoint of a network on this node.
fn endpoint(
    node: &Arc<Node>,
    network: &str,
    address: IpAddr,
    port: u16,
    peer: IpAddr,
    delay: Duration,
) -> Result<Route, NetError> {
    let target = format!("{address}:{port}");
    let stack = node.endpoint(network, address).ok_or_else(|| NetError::NoRoute(target.clone()))?;
    let sender = stack.sender(address, port).ok_or(NetError::Refused(target))?;
    Ok(Route { sender, stack, peer, delay })
}

/// An endpoint of a network on this node or, for an overlay, on another one.
fn across(node: &Arc<Node>, network: &str, address: IpAddr, port: u16, peer: IpAddr) -> Result<Route, NetError> {
    if node.endpoint(network, address).is_some() {
        return endpoint(node, network, address, port, peer, NEAR);
    }
    let target = format!("{address}:{port}");
    let overlay = node.network_specs().into_iter().find(|known| known.spec.id == network && known.is_overlay());
    let Some(overlay) = overlay else { return Err(NetError::NoRoute(target)) };
    for other in node.others() {
        if overlay.peers.contains(&other.address()) && other.endpoint(network, address).is_some() {
            let delay = way(node, &other).ok_or(NetError::TimedOut(target))?;
            return endpoint(&other, network, address, port, peer, delay + NEAR);
        }
    }
    Err(NetError::NoRoute(target))
}

/// A port of a node itself: a program of the node, a published port, the routing mesh.
fn enter(
    node: &Arc<Node>,
    address: IpAddr,
    port: u16,
    peer: Option<IpAddr>,
    delay: Duration,
) -> Result<Route, NetError> {
    let target = format!("{address}:{port}");
    let local = peer.unwrap_or(if address.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address });
    let stack = &node.space().stack;
    if let Some(sender) = stack.sender(address, port) {
        return Ok(Route { sender, stack: stack.clone(), peer: local, delay });
    }
    if let Some((stack, inner, gateway)) = node.published(address, port) {
        // The proxy has accepted by now: a container that does not listen resets the connection.
        let sender = stack.sender(inner.0, inner.1).ok_or(NetError::Reset(target))?;
        let peer = peer.filter(|peer| !node.owns_container_address(*peer)).filter(|_| delay > NEAR);
        return Ok(Route { sender, stack, peer: peer.unwrap_or(gateway), delay });
    }
    match node.mesh_backend(port) {
        None => Err(NetError::Refused(target)),
        Some(None) => Err(NetError::Refused(target)),
        Some(Some((network, backend, inner))) => {
            let mut route = across(node, &network, backend, inner, node.mesh_address(&network))?;
            route.delay += delay;
            Ok(route)
        }
    }
}

impl Space {
    /// The addresses of a name: literals, /etc/hosts, the embedded DNS of a container's networks, the nodes of the LAN.
    pub(crate) fn resolve(&self, name: &str) -> Vec<IpAddr> {
        if let Ok(address) = name.parse() {
            return vec![address];
        }
        let hosts = self.view.read_text("/etc/hosts").unwrap_or_default();
        let from_file: Vec<IpAddr> = hosts
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default().split_whitespace())
            .filter_map(|mut words| {
                let address = words.next()?.parse::<IpAddr>().ok()?;
                words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
            })
            .filter(IpAddr::is_ipv4)
            .collect();
        if !from_file.is_empty() {
            return from_file;
        }
        if name.eq_ignore_ascii_case("localhost") {
            return vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        }
        let Some(node) = self.node.upgrade() else { return Vec::new() };
        if self.is_container() {
            for face in self.stack.interfaces() {
                let mut addresses = node.names(&face.network, name);
                if !addresses.is_empty() {
                    // Round robin, as the embedded DNS answers.
                    let turn = (self.world.random.next() % addresses.len() as u64) as usize;
                    addresses.rotate_left(turn);
                    return addresses;
                }
            }
        }
        if name == node.name() {
            return vec![node.address()];
        }
        node.others().iter().filter(|other| other.name() == name).map(|other| other.address()).collect()
    }
}
