//! Links between nodes of a swarm over the LAN.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_host::{HostError, HostResult, Link};
use futures::{
    StreamExt,
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    stream::BoxStream,
};

use super::{NetError, way};
use crate::{node::Node, world::lock};

/// By node and port.
#[derive(Default)]
pub(crate) struct Listeners(Mutex<HashMap<(String, u16), Acceptor>>);

impl Listeners {
    pub(super) fn remove(&self, node: &str) {
        lock(&self.0).retain(|(name, _), _| name != node);
    }
}

/// Where new links of a listener go.
type Acceptor = UnboundedSender<Arc<dyn Link>>;

/// A message and when it arrives, in time of the world; `None` closes.
type Packet = (Duration, Option<Bytes>);

struct SimLink {
    here: Arc<Node>,
    there: Arc<Node>,
    sender: UnboundedSender<Packet>,
    receiver: futures::lock::Mutex<UnboundedReceiver<Packet>>,
    /// Ends this side's own reading.
    own: UnboundedSender<Packet>,
    /// A message was lost on the way: as on a TCP connection, nothing behind it arrives either.
    broken: AtomicBool,
}

impl SimLink {
    fn transmit(&self, message: Option<Bytes>) -> HostResult<()> {
        if self.broken.load(Ordering::Acquire) {
            return Ok(());
        }
        let Some(delay) = way_between(&self.here, &self.there) else {
            self.broken.store(true, Ordering::Release);
            return Ok(());
        };
        let arrival = self.here.world().clock.elapsed() + delay;
        self.sender.unbounded_send((arrival, message)).map_err(|_| HostError::Network("write tcp: broken pipe".into()))
    }
}

#[async_trait]
impl Link for SimLink {
    fn peer(&self) -> IpAddr {
        self.there.address()
    }
    async fn send(&self, message: Bytes) -> HostResult<()> {
        self.transmit(Some(message))
    }
    async fn receive(&self) -> HostResult<Option<Bytes>> {
        let Some((arrival, message)) = self.receiver.lock().await.next().await else { return Ok(None) };
        let clock = &self.here.world().clock;
        let wait = arrival.saturating_sub(clock.elapsed());
        if !wait.is_zero() {
            clock.sleep(wait).await;
        }
        Ok(message)
    }
    fn close(&self) {
        // A peer that cannot be told finds out by its time-outs.
        let _ = self.transmit(None);
        let _ = self.own.unbounded_send((Duration::ZERO, None));
    }
}

fn way_between(from: &Arc<Node>, to: &Arc<Node>) -> Option<Duration> {
    if Arc::ptr_eq(from, to) { from.is_up().then_some(Duration::ZERO) } else { way(from, to) }
}

/// Accepts links on a port; an engine that is started again takes the port over.
pub(crate) fn listen(node: &Arc<Node>, port: u16) -> HostResult<BoxStream<'static, Arc<dyn Link>>> {
    let (sender, receiver) = unbounded();
    lock(&node.world().lan.listeners.0).insert((node.name().to_owned(), port), sender);
    Ok(receiver.boxed())
}

const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) async fn dial(node: &Arc<Node>, address: SocketAddr) -> Result<Arc<dyn Link>, NetError> {
    let target = address.to_string();
    let local = address.ip().is_loopback() || address.ip() == node.address();
    let other = if local {
        node.clone()
    } else {
        let other = node.others().into_iter().find(|other| other.address() == address.ip());
        other.ok_or_else(|| NetError::NoRoute(target.clone()))?
    };
    let Some(delay) = way_between(node, &other) else {
        node.world().clock.sleep(TIMEOUT).await;
        return Err(NetError::TimedOut(target));
    };
    node.world().clock.sleep(delay * 2).await;
    let (to_there, from_here) = unbounded();
    let (to_here, from_there) = unbounded();
    let end = |here: &Arc<Node>,
               there: &Arc<Node>,
               sender: &UnboundedSender<Packet>,
               receiver,
               own: &UnboundedSender<Packet>| {
        Arc::new(SimLink {
            here: here.clone(),
            there: there.clone(),
            sender: sender.clone(),
            receiver: futures::lock::Mutex::new(receiver),
            own: own.clone(),
            broken: AtomicBool::new(false),
        })
    };
    let ours = end(node, &other, &to_there, from_there, &to_here);
    let theirs: Arc<dyn Link> = end(&other, node, &to_here, from_here, &to_there);
    let listeners = &node.world().lan.listeners.0;
    let listener = lock(listeners).get(&(other.name().to_owned(), address.port())).cloned();
    let listener = listener.ok_or_else(|| NetError::Refused(target.clone()))?;
    listener.unbounded_send(theirs).map_err(|_| NetError::Refused(target))?;
    Ok(ours)
}
