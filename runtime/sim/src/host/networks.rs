use std::net::IpAddr;

use async_trait::async_trait;
use docklab_host::{EndpointSpec, HostError, HostResult, NetworkSpec, Networks, Protocol};

use super::SimHost;
use crate::{
    net::Interface,
    node::{Mesh, NodeNetwork},
    world::lock,
};

pub(super) fn interface(endpoint: &EndpointSpec) -> Interface {
    Interface {
        name: String::new(),
        address: endpoint.address,
        prefix: endpoint.prefix_length,
        gateway: endpoint.gateway,
        mac: endpoint.mac.clone(),
        network: endpoint.network.clone(),
    }
}

#[async_trait]
impl Networks for SimHost {
    async fn create_network(&self, network: &NetworkSpec) -> HostResult<()> {
        let mut networks = lock(&self.node.networks);
        match networks.get_mut(&network.id) {
            Some(known) => known.spec = network.clone(),
            None => {
                let new = NodeNetwork { spec: network.clone(), names: Default::default(), peers: Vec::new() };
                networks.insert(network.id.clone(), new);
            }
        }
        Ok(())
    }
    async fn remove_network(&self, id: &str) -> HostResult<()> {
        lock(&self.node.networks).remove(id).map(|_| ()).ok_or_else(|| HostError::not_found("network", id))
    }
    async fn connect(&self, container: &str, endpoint: &EndpointSpec) -> HostResult<()> {
        if !lock(&self.node.networks).contains_key(&endpoint.network) {
            return Err(HostError::not_found("network", &endpoint.network));
        }
        self.running(container)?.space.stack.add_interface(interface(endpoint));
        Ok(())
    }
    async fn disconnect(&self, container: &str, network: &str) -> HostResult<()> {
        if self.running(container)?.space.stack.remove_interface(network) {
            Ok(())
        } else {
            Err(HostError::not_found("endpoint on network", network))
        }
    }
    async fn set_names(&self, network: &str, names: &[(String, Vec<IpAddr>)]) -> HostResult<()> {
        let mut networks = lock(&self.node.networks);
        let known = networks.get_mut(network).ok_or_else(|| HostError::not_found("network", network))?;
        known.names = names.iter().cloned().collect();
        Ok(())
    }
    async fn set_peers(&self, network: &str, peers: &[IpAddr]) -> HostResult<()> {
        let mut networks = lock(&self.node.networks);
        let known = networks.get_mut(network).ok_or_else(|| HostError::not_found("network", network))?;
        known.peers = peers.to_vec();
        Ok(())
    }
    async fn set_mesh(
        &self,
        network: &str,
        port: u16,
        protocol: Protocol,
        backends: &[(IpAddr, u16)],
    ) -> HostResult<()> {
        if protocol == Protocol::Udp {
            return Ok(());
        }
        let taken = lock(&self.node.ports).iter().any(|(open, _)| open.host_port == port)
            || self.node.space().stack.listening().iter().any(|(_, open, _)| *open == port);
        let mut meshes = lock(&self.node.meshes);
        let mesh = meshes.get_mut(&port);
        if taken && mesh.is_none() {
            return Err(HostError::PortInUse { protocol: "tcp", address: format!("0.0.0.0:{port}") });
        }
        match mesh {
            Some(mesh) => {
                network.clone_into(&mut mesh.network);
                mesh.backends = backends.to_vec();
            }
            None => {
                meshes.insert(port, Mesh { network: network.to_owned(), backends: backends.to_vec(), turn: 0 });
            }
        }
        Ok(())
    }
    async fn remove_mesh(&self, port: u16, protocol: Protocol) -> HostResult<()> {
        if protocol == Protocol::Tcp {
            lock(&self.node.meshes).remove(&port);
        }
        Ok(())
    }
    async fn node_addresses(&self) -> HostResult<Vec<(String, IpAddr)>> {
        Ok(self.node.space().stack.interfaces().into_iter().map(|face| (face.name, face.address)).collect())
    }
}
