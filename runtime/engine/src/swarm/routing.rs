use std::collections::HashMap;

use docklab_api::{
    ApiResult,
    models::{Ipam, NetworkCreateRequest},
};
use docklab_host::Protocol;
use docklab_swarm::{Assignments, MeshPort, NetworkAssignment};

use super::Engine;
use crate::HostResultExt;

/// What this node has of the swarm's networks and of the routing mesh.
#[derive(Default)]
pub(super) struct Routing {
    networks: HashMap<String, NetworkAssignment>,
    mesh: HashMap<(u16, bool), MeshPort>,
}

fn protocol(udp: bool) -> Protocol {
    if udp { Protocol::Udp } else { Protocol::Tcp }
}

impl Routing {
    /// Makes what is new, changes what is different, removes what is gone. What fails is tried again with the next
    /// assignments.
    pub(super) async fn apply(&mut self, engine: &Engine, wanted: &Assignments) {
        for network in &wanted.networks {
            if self.networks.get(&network.network.id) == Some(network) {
                continue;
            }
            match engine.have_swarm_network(network).await {
                Ok(()) => {
                    self.networks.insert(network.network.id.clone(), network.clone());
                }
                Err(error) => {
                    tracing::warn!(%error, network = network.network.name, "a swarm network is not up to date");
                }
            }
        }
        for port in &wanted.mesh {
            let key = (port.port, port.udp);
            if self.mesh.get(&key) == Some(port) {
                continue;
            }
            let opened = engine.host.set_mesh(&port.network, port.port, protocol(port.udp), &port.backends).await;
            match opened {
                Ok(()) => {
                    self.mesh.insert(key, port.clone());
                }
                Err(error) => tracing::warn!(%error, port = port.port, "a port of the routing mesh is not up to date"),
            }
        }
        let gone: Vec<(u16, bool)> = self
            .mesh
            .keys()
            .filter(|(port, udp)| !wanted.mesh.iter().any(|other| (other.port, other.udp) == (*port, *udp)))
            .copied()
            .collect();
        for (port, udp) in gone {
            self.mesh.remove(&(port, udp));
            if let Err(error) = engine.host.remove_mesh(port, protocol(udp)).await {
                tracing::warn!(%error, port, "a port of the routing mesh could not be closed");
            }
        }
        let unused: Vec<String> = self
            .networks
            .keys()
            .filter(|id| !wanted.networks.iter().any(|other| other.network.id == **id))
            .cloned()
            .collect();
        for id in unused {
            // A container may still be on it; it is tried again later.
            if engine.remove_local_network(&id).await.is_ok() {
                self.networks.remove(&id);
            }
        }
    }

    pub(super) async fn clear(&mut self, engine: &Engine) {
        self.apply(engine, &Assignments::default()).await;
    }
}

impl Engine {
    async fn have_swarm_network(&self, wanted: &NetworkAssignment) -> ApiResult<()> {
        let network = &wanted.network;
        if self.networks.find(&network.id).is_err() {
            let body = NetworkCreateRequest {
                name: network.name.clone(),
                driver: Some("overlay".into()),
                ipam: Some(Ipam { config: Some(vec![network.ipam.clone()]), ..Ipam::default() }),
                internal: Some(network.internal),
                attachable: Some(network.attachable),
                ingress: Some(network.ingress),
                options: Some(network.options.clone().into_iter().collect()),
                labels: Some(network.labels.clone().into_iter().collect()),
                ..NetworkCreateRequest::default()
            };
            self.create_network_as(Some(network.id.clone()), Some(network.vni), body).await?;
        }
        self.host.set_peers(&network.id, &wanted.peers).await.api()?;
        self.set_service_names(&network.id, wanted.names.clone()).await
    }

    /// This node's part of a swarm network.
    pub(super) async fn remove_local_network(&self, id: &str) -> ApiResult<()> {
        match self.networks.find(id) {
            Ok(network) => self.delete_network(&network).await,
            Err(_) => Ok(()),
        }
    }
}
