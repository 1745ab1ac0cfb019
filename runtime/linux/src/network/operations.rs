//! The engine's requests about networks.

use std::{fs, io, net::IpAddr, net::SocketAddr};

use async_trait::async_trait;
use docklab_host::{EndpointSpec, HostError, HostResult, NetworkDriver, NetworkSpec, Networks, Protocol};
use sha2::{Digest, Sha256};

use super::{
    Network, NetworkStore, Shared, firewall,
    overlay::{node_overlay_address, prefix_length},
    proxy::{self, Backends},
    write_json,
};
use crate::{
    LinuxHost,
    layers::{blocking, io_error},
};

impl Shared {
    pub(super) fn create_network(&self, spec: &NetworkSpec) -> HostResult<()> {
        let failed = |error| io_error(format!("create network {}", spec.name), error);
        let bridge = self.link_name('b', &spec.id);
        write_json(&self.network_file(&spec.id), spec)?;
        let mut network = Network { spec: spec.clone(), bridge: bridge.clone(), index: 0, peers: Vec::new() };
        network.index = match self.netlink.index(&bridge).map_err(failed)? {
            Some(index) => index,
            None => {
                let digits = Sha256::digest(format!("{}/{}", self.prefix, spec.id));
                let mac = [0x02, 0x42, digits[0], digits[1], digits[2], digits[3]];
                self.netlink.add_bridge(&bridge, mac, network.mtu()).map_err(failed)?;
                self.netlink
                    .index(&bridge)
                    .map_err(failed)?
                    .ok_or_else(|| HostError::Other(format!("bridge {bridge} has vanished")))?
            }
        };
        self.netlink.set_up(network.index).map_err(failed)?;
        let prefix = prefix_length(&spec.subnet)?;
        match spec.driver {
            NetworkDriver::Bridge => {
                self.netlink.add_address(network.index, spec.gateway, prefix).map_err(failed)?;
                if let Some(ipv6) = &spec.ipv6 {
                    super::namespace::allow_ipv6_addresses(&bridge).map_err(failed)?;
                    let prefix = prefix_length(&ipv6.subnet)?;
                    self.netlink.add_address(network.index, ipv6.gateway.into(), prefix).map_err(failed)?;
                }
            }
            NetworkDriver::Overlay { vni } => {
                let node = self.node_address.ok_or_else(|| {
                    HostError::Unsupported("an overlay network needs the node's address on its LAN".to_owned())
                })?;
                let device = self.link_name('x', &spec.id);
                // A new device knows no peers of a former life.
                if let Some(index) = self.netlink.index(&device).map_err(failed)? {
                    self.netlink.delete(index).map_err(failed)?;
                }
                self.netlink.add_vxlan(&device, vni, node, network.index, network.mtu()).map_err(failed)?;
                if let Some(address) = node_overlay_address(&spec.subnet, node) {
                    self.netlink.add_address(network.index, address, prefix).map_err(failed)?;
                }
            }
        }
        self.state().networks.insert(spec.id.clone(), network);
        self.update_firewall()
    }

    pub(super) fn remove_network(&self, id: &str) -> HostResult<()> {
        let removed = self.state().networks.remove(id);
        self.state().names.remove(id);
        let failed = |error: io::Error| io_error("remove network", error);
        match fs::remove_file(self.network_file(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        for kind in ['x', 'b'] {
            if let Some(index) = self.netlink.index(&self.link_name(kind, id)).map_err(failed)? {
                self.netlink.delete(index).map_err(failed)?;
            }
        }
        match removed {
            Some(_) => self.update_firewall(),
            None => Err(HostError::not_found("network", id)),
        }
    }

    pub(super) fn update_firewall(&self) -> HostResult<()> {
        let networks: Vec<Network> = self.state().networks.values().cloned().collect();
        match firewall::apply(&format!("docklab_{}", self.prefix), &networks.iter().collect::<Vec<_>>()) {
            // Containers still reach each other.
            Err(HostError::Unsupported(text)) => {
                tracing::warn!("{text}");
                Ok(())
            }
            result => result,
        }
    }

    pub(super) fn set_peers(&self, id: &str, peers: &[IpAddr]) -> HostResult<()> {
        let failed = |error| io_error("set the peers of an overlay network", error);
        let old = match self.state().networks.get(id) {
            Some(network) => network.peers.clone(),
            None => return Err(HostError::not_found("network", id)),
        };
        let Some(device) = self.netlink.index(&self.link_name('x', id)).map_err(failed)? else {
            return Err(HostError::Other(format!("network {id} is no overlay network")));
        };
        for peer in old.iter().filter(|peer| !peers.contains(peer)) {
            match self.netlink.flood(device, *peer, false) {
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => {}
                result => result.map_err(failed)?,
            }
        }
        for peer in peers.iter().filter(|peer| !old.contains(peer)) {
            match self.netlink.flood(device, *peer, true) {
                Err(error) if error.raw_os_error() == Some(nix::libc::EEXIST) => {}
                result => result.map_err(failed)?,
            }
        }
        if let Some(network) = self.state().networks.get_mut(id) {
            network.peers = peers.to_vec();
        }
        Ok(())
    }
}

impl NetworkStore {
    pub(super) fn connect(&self, container: &str, endpoint: &EndpointSpec) -> HostResult<()> {
        // Out of the table while it is worked on: the table's lock is held for moments only.
        let mut attached = self
            .shared
            .state()
            .containers
            .remove(container)
            .ok_or_else(|| HostError::not_found("container", container))?;
        let route = endpoint.gateway.is_some() && attached.endpoints.iter().all(|other| other.spec.gateway.is_none());
        let mut result = self.shared.attach(&mut attached, endpoint, route);
        if result.is_ok() {
            result = self.shared.remember(container, &attached);
        }
        let names = self.shared.state().has_names(std::slice::from_ref(endpoint));
        if result.is_ok() && names && attached.dns.is_none() {
            match self.serve_names(container, &attached) {
                Ok(server) => attached.dns = Some(server),
                Err(error) => result = Err(error),
            }
        }
        self.shared.state().containers.insert(container.to_owned(), attached);
        result
    }

    pub(super) fn disconnect(&self, container: &str, network: &str) -> HostResult<()> {
        let mut state = self.shared.state();
        let attached =
            state.containers.get_mut(container).ok_or_else(|| HostError::not_found("container", container))?;
        let place = attached
            .endpoints
            .iter()
            .position(|endpoint| endpoint.spec.network == network)
            .ok_or_else(|| HostError::not_found("endpoint", network))?;
        let endpoint = attached.endpoints.remove(place);
        self.shared.remember(container, attached)?;
        drop(state);
        let failed = |error| io_error(format!("disconnect {container}"), error);
        match self.shared.netlink.index(&endpoint.link).map_err(failed)? {
            Some(index) => self.shared.netlink.delete(index).map_err(failed),
            None => Ok(()),
        }
    }

    pub(super) fn set_mesh(
        &self,
        network: &str,
        port: u16,
        protocol: Protocol,
        backends: &[(IpAddr, u16)],
    ) -> HostResult<()> {
        let targets = backends.iter().map(|(address, port)| SocketAddr::new(*address, *port)).collect();
        let mut state = self.shared.state();
        let known = state.networks.get(network).ok_or_else(|| HostError::not_found("network", network))?;
        let source = self.shared.node_address.and_then(|node| node_overlay_address(&known.spec.subnet, node));
        if let Some((backends, _)) = state.mesh.get(&(port, protocol)) {
            backends.set(targets, source);
            return Ok(());
        }
        let backends = Backends::new(Vec::new());
        backends.set(targets, source);
        let mut first = proxy::open(SocketAddr::new(IpAddr::from([0; 4]), port), protocol, backends.clone())?;
        self.shared.also_on_machine(&mut first);
        let mut open = vec![first];
        // A machine without IPv6 does without.
        match proxy::open(SocketAddr::new(IpAddr::from([0_u16; 8]), port), protocol, backends.clone()) {
            Ok(mut port) => {
                self.shared.also_on_machine(&mut port);
                open.push(port);
            }
            Err(error @ HostError::PortInUse { .. }) => return Err(error),
            Err(error) => tracing::debug!("routing mesh on IPv6: {error}"),
        }
        state.mesh.insert((port, protocol), (backends, open));
        Ok(())
    }
}

#[async_trait]
impl Networks for LinuxHost {
    async fn create_network(&self, network: &NetworkSpec) -> HostResult<()> {
        let (shared, spec) = (self.inner.network.shared.clone(), network.clone());
        blocking(move || shared.create_network(&spec)).await
    }

    async fn remove_network(&self, id: &str) -> HostResult<()> {
        let (shared, id) = (self.inner.network.shared.clone(), id.to_owned());
        blocking(move || shared.remove_network(&id)).await
    }

    async fn connect(&self, container: &str, endpoint: &EndpointSpec) -> HostResult<()> {
        let (store, container, endpoint) = (self.inner.network.clone(), container.to_owned(), endpoint.clone());
        blocking(move || store.connect(&container, &endpoint)).await
    }

    async fn disconnect(&self, container: &str, network: &str) -> HostResult<()> {
        let (store, container, network) = (self.inner.network.clone(), container.to_owned(), network.to_owned());
        blocking(move || store.disconnect(&container, &network)).await
    }

    async fn set_names(&self, network: &str, names: &[(String, Vec<IpAddr>)]) -> HostResult<()> {
        let names = names.iter().map(|(name, addresses)| (name.to_ascii_lowercase(), addresses.clone())).collect();
        self.inner.network.shared.state().names.insert(network.to_owned(), names);
        Ok(())
    }

    async fn set_peers(&self, network: &str, peers: &[IpAddr]) -> HostResult<()> {
        let (shared, network, peers) = (self.inner.network.shared.clone(), network.to_owned(), peers.to_vec());
        blocking(move || shared.set_peers(&network, &peers)).await
    }

    async fn set_mesh(
        &self,
        network: &str,
        port: u16,
        protocol: Protocol,
        backends: &[(IpAddr, u16)],
    ) -> HostResult<()> {
        self.inner.network.set_mesh(network, port, protocol, backends)
    }

    async fn remove_mesh(&self, port: u16, protocol: Protocol) -> HostResult<()> {
        self.inner.network.shared.state().mesh.remove(&(port, protocol));
        Ok(())
    }

    async fn node_addresses(&self) -> HostResult<Vec<(String, IpAddr)>> {
        let bridges: Vec<String> =
            self.inner.network.shared.state().networks.values().map(|network| network.bridge.clone()).collect();
        let mut addresses = Vec::new();
        for interface in nix::ifaddrs::getifaddrs().map_err(|error| io_error("list addresses", error.into()))? {
            let Some(address) = interface.address else { continue };
            let address = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
                (Some(v4), _) => IpAddr::from(v4.ip()),
                (None, Some(v6)) if !v6.ip().is_unicast_link_local() => IpAddr::from(v6.ip()),
                _ => continue,
            };
            if !address.is_loopback() && !bridges.contains(&interface.interface_name) {
                addresses.push((interface.interface_name, address));
            }
        }
        Ok(addresses)
    }
}
