use std::collections::{BTreeMap, HashMap};

use docklab_api::models::{Ipam, IpamConfig, Network as ApiNetwork};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::find;
use crate::{
    Manager,
    error::{ControlError, ControlResult},
    objects::Network,
    store::{ChangeAction, ObjectKind},
    time::rfc3339,
};

/// The first VXLAN identifier that Docker's overlay driver gives away.
const FIRST_VNI: u32 = 4096;

/// A network to make.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NewNetwork {
    pub name: String,
    /// Of the user's choice; otherwise the next subnet of the swarm's pools.
    pub ipam: Option<IpamConfig>,
    pub ingress: bool,
    pub internal: bool,
    pub attachable: bool,
    pub labels: BTreeMap<String, String>,
    pub options: BTreeMap<String, String>,
}

impl Manager {
    /// `POST /networks/create` with the overlay driver; returns the ID.
    pub fn create_network(&mut self, now: Timestamp, new: NewNetwork) -> ControlResult<String> {
        self.now = self.now.max(now);
        if self.store.networks.values().any(|network| network.name == new.name) {
            return Err(ControlError::AlreadyExists(format!("network with name {} already exists", new.name)));
        }
        if new.ingress && self.store.networks.values().any(|network| network.ingress) {
            return Err(ControlError::AlreadyExists("ingress network (ingress) is already present".into()));
        }
        let mut ipam = new.ipam.unwrap_or_default();
        if ipam.subnet.as_deref().unwrap_or("").is_empty() {
            let subnet = self.next_subnet().ok_or_else(|| {
                ControlError::Unknown("could not find an available, non-overlapping address pool".into())
            })?;
            ipam.subnet = Some(subnet);
        }
        if ipam.gateway.as_deref().unwrap_or("").is_empty() {
            ipam.gateway = ipam.subnet.as_deref().and_then(first_host);
        }
        let taken: std::collections::BTreeSet<u32> = self.store.networks.values().map(|network| network.vni).collect();
        let vni = (FIRST_VNI..1 << 24).find(|vni| !taken.contains(vni)).unwrap_or(FIRST_VNI);
        let id = self.random.id();
        let network = Network {
            id: id.clone(),
            meta: self.store.new_meta(now),
            name: new.name.clone(),
            ipam,
            vni,
            ingress: new.ingress,
            internal: new.internal,
            attachable: new.attachable,
            labels: new.labels,
            options: new.options,
            cursor: 2,
        };
        self.store.networks.insert(id.clone(), network);
        self.store.tell(ObjectKind::Network, ChangeAction::Create, &id, &new.name);
        Ok(id)
    }

    /// Refused while a service or task uses it.
    pub fn remove_network(&mut self, now: Timestamp, name: &str) -> ControlResult<()> {
        self.now = self.now.max(now);
        let network = find(&self.store.networks, "network", name, |network| &network.name)?.clone();
        let by_service = self.store.services.values().find(|service| {
            service.network_targets().iter().any(|target| {
                target.target.as_deref().is_some_and(|target| target == network.id || target == network.name)
            })
        });
        if let Some(service) = by_service {
            return Err(ControlError::FailedPrecondition(format!(
                "network {} is in use by service {}",
                network.id, service.id
            )));
        }
        let by_task =
            self.store.tasks.values().find(|task| {
                !task.is_dead() && task.networks.iter().any(|attachment| attachment.network == network.id)
            });
        if let Some(task) = by_task {
            return Err(ControlError::FailedPrecondition(format!(
                "network {} is in use by task {}",
                network.id, task.id
            )));
        }
        self.store.networks.remove(&network.id);
        self.store.version += 1;
        self.store.tell(ObjectKind::Network, ChangeAction::Remove, &network.id, &network.name);
        Ok(())
    }

    /// The swarm's networks as `docker network ls` shows them on a manager.
    pub fn list_networks(&self) -> Vec<ApiNetwork> {
        self.store.networks.values().map(api_network).collect()
    }
}

fn first_host(subnet: &str) -> Option<String> {
    let (base, _) = subnet.split_once('/')?;
    let base: std::net::Ipv4Addr = base.parse().ok()?;
    Some(std::net::Ipv4Addr::from_bits(base.to_bits().checked_add(1)?).to_string())
}

fn api_network(network: &Network) -> ApiNetwork {
    let mut options: HashMap<String, String> = network.options.clone().into_iter().collect();
    options.insert("com.docker.network.driver.overlay.vxlanid_list".into(), network.vni.to_string());
    ApiNetwork {
        name: Some(network.name.clone()),
        id: Some(network.id.clone()),
        created: Some(rfc3339(network.meta.created)),
        scope: Some("swarm".into()),
        driver: Some("overlay".into()),
        enable_ipv4: Some(true),
        enable_ipv6: Some(false),
        ipam: Some(Ipam { driver: Some("default".into()), config: Some(vec![network.ipam.clone()]), options: None }),
        internal: Some(network.internal),
        attachable: Some(network.attachable),
        ingress: Some(network.ingress),
        options: Some(options),
        labels: Some(network.labels.clone().into_iter().collect()),
        ..ApiNetwork::default()
    }
}
