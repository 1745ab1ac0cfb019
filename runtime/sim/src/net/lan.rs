//! The LAN between the nodes, and servers outside of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;

use super::{Listeners, Reply, Request};
use crate::world::lock;

/// A server on the simulated internet (a registry).
#[async_trait]
pub trait WebServer: Send + Sync {
    async fn answer(&self, request: Request) -> Reply;
}

/// How packets travel from one node to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub cut: bool,
    /// One way.
    pub delay: Duration,
}

impl Default for Link {
    fn default() -> Self {
        Self { cut: false, delay: Duration::from_micros(200) }
    }
}

/// Links by direction; what is not set is a healthy link. Nodes are named.
#[derive(Default)]
pub struct Lan {
    links: Mutex<HashMap<(String, String), Link>>,
    servers: Mutex<HashMap<String, Arc<dyn WebServer>>>,
    /// Who accepts links between nodes.
    pub(super) listeners: Listeners,
}

impl Lan {
    pub fn link(&self, from: &str, to: &str) -> Link {
        lock(&self.links).get(&(from.to_owned(), to.to_owned())).copied().unwrap_or_default()
    }
    /// Sets one direction.
    pub fn set_link(&self, from: &str, to: &str, link: Link) {
        lock(&self.links).insert((from.to_owned(), to.to_owned()), link);
    }
    /// Cuts both directions.
    pub fn cut(&self, one: &str, other: &str) {
        for (from, to) in [(one, other), (other, one)] {
            self.set_link(from, to, Link { cut: true, ..self.link(from, to) });
        }
    }
    pub fn slow(&self, one: &str, other: &str, delay: Duration) {
        for (from, to) in [(one, other), (other, one)] {
            self.set_link(from, to, Link { delay, ..self.link(from, to) });
        }
    }
    pub fn heal(&self, one: &str, other: &str) {
        let mut links = lock(&self.links);
        links.remove(&(one.to_owned(), other.to_owned()));
        links.remove(&(other.to_owned(), one.to_owned()));
    }
    pub fn heal_all(&self) {
        lock(&self.links).clear();
    }
    /// A machine is off: nobody accepts links there any more.
    pub(crate) fn stop_listening(&self, node: &str) {
        self.listeners.remove(node);
    }
    pub(crate) fn add_server(&self, host: &str, server: Arc<dyn WebServer>) {
        lock(&self.servers).insert(host.to_owned(), server);
    }
    pub(crate) fn server(&self, host: &str) -> Option<Arc<dyn WebServer>> {
        lock(&self.servers).get(host).cloned()
    }
}
