//! Networks. (Stub of the interface that `processes` uses; to be replaced.)

use std::os::fd::OwnedFd;

use docklab_host::{ContainerSpec, HostError, HostResult, PublishedPort};

use crate::LinuxOptions;

/// What a container gets from the network before its first process exists.
pub(crate) struct PreparedNetwork {
    /// The namespace to enter, interfaces up and addressed; `None` is the node's own (`NetworkMode::Host`).
    pub(crate) namespace: Option<OwnedFd>,
    /// Contents of the container's /etc/hosts, /etc/hostname and /etc/resolv.conf; `processes` writes and mounts them.
    pub(crate) hosts: String,
    pub(crate) hostname: String,
    pub(crate) resolv_conf: String,
    /// Opened already, in the order of the specification's.
    pub(crate) ports: Vec<PublishedPort>,
    pub(crate) warnings: Vec<String>,
}

pub(crate) struct NetworkStore {}

impl NetworkStore {
    pub(crate) async fn open(_options: &LinuxOptions) -> HostResult<Self> {
        Ok(Self {})
    }
    /// Namespace, interfaces, addresses, routes, embedded DNS and published ports of a container that is about to start.
    /// `peer` is the network namespace of the other container for `NetworkMode::Container`. On an error nothing stays.
    pub(crate) async fn prepare(&self, spec: &ContainerSpec, peer: Option<OwnedFd>) -> HostResult<PreparedNetwork> {
        let namespace = match &spec.network {
            docklab_host::NetworkMode::Host => None,
            docklab_host::NetworkMode::Container(_) => peer,
            docklab_host::NetworkMode::None => Some(unconnected()?),
            docklab_host::NetworkMode::Endpoints(_) => {
                return Err(HostError::Unsupported("networks are not there yet".to_owned()));
            }
        };
        Ok(PreparedNetwork {
            namespace,
            hosts: "127.0.0.1\tlocalhost\n".to_owned(),
            hostname: format!("{}\n", spec.hostname),
            resolv_conf: String::new(),
            ports: Vec::new(),
            warnings: Vec::new(),
        })
    }
    /// Finds the network of a container that outlived its engine (`pid` is its first process) and opens its ports again.
    pub(crate) async fn reattach(&self, _spec: &ContainerSpec, _pid: u32) -> HostResult<Vec<PublishedPort>> {
        Ok(Vec::new())
    }
    /// Gives back everything that `prepare` took. Fine when there is nothing. Goes on after an error and reports all.
    pub(crate) async fn release(&self, _container: &str) -> HostResult<()> {
        Ok(())
    }
}

/// A fresh network namespace, made by a thread that ends at once.
fn unconnected() -> HostResult<OwnedFd> {
    let made = std::thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
        std::fs::File::open("/proc/thread-self/ns/net")
    });
    match made.join() {
        Ok(opened) => opened.map(OwnedFd::from).map_err(|error| HostError::other("make network namespace", error)),
        Err(_) => Err(HostError::Other("make network namespace: the thread failed".to_owned())),
    }
}
