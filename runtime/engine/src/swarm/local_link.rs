use std::net::{IpAddr, Ipv4Addr};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_host::{HostResult, Link};
use tokio::sync::{Mutex, mpsc};

/// A link inside one engine: the manager's own agent has the same session as any other node's.
pub(crate) struct LocalLink {
    address: IpAddr,
    sender: mpsc::UnboundedSender<Option<Bytes>>,
    receiver: Mutex<mpsc::UnboundedReceiver<Option<Bytes>>>,
    own: mpsc::UnboundedSender<Option<Bytes>>,
}

impl LocalLink {
    /// Both ends. `address` is the node's, as the other members know it.
    pub(crate) fn pair(address: Option<IpAddr>) -> (Self, Self) {
        let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (to_first, from_second) = mpsc::unbounded_channel();
        let (to_second, from_first) = mpsc::unbounded_channel();
        let first =
            Self { address, sender: to_second.clone(), receiver: Mutex::new(from_second), own: to_first.clone() };
        let second = Self { address, sender: to_first, receiver: Mutex::new(from_first), own: to_second };
        (first, second)
    }
}

#[async_trait]
impl Link for LocalLink {
    fn peer(&self) -> IpAddr {
        self.address
    }
    async fn send(&self, message: Bytes) -> HostResult<()> {
        // Nobody at the other end: its receiver has been told so.
        let _ = self.sender.send(Some(message));
        Ok(())
    }
    async fn receive(&self) -> HostResult<Option<Bytes>> {
        Ok(self.receiver.lock().await.recv().await.flatten())
    }
    fn close(&self) {
        let _ = self.sender.send(None);
        let _ = self.own.send(None);
    }
}
