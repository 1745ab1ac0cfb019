use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use docklab_api::{ApiError, ApiResult, models::Ipam};
use docklab_host::{Ipv6Network, NetworkDriver, NetworkSpec};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    ipam::{AddressPool, Subnet, choose_subnet},
    ipv6::{AddressPool6, Subnet6},
};
use crate::{Engine, HostResultExt, object_id, records, short_id};

pub(crate) const KIND: &str = "network";

/// Everything durable about one network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NetworkRecord {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) created: Timestamp,
    /// `bridge`, `host`, `null`, `overlay`.
    pub(crate) driver: String,
    /// `local`, or `swarm` for one that a cluster gave.
    pub(crate) scope: String,
    pub(crate) ipam: Ipam,
    /// The user chose the subnet, so endpoints may choose addresses.
    pub(crate) configured: bool,
    pub(crate) internal: bool,
    pub(crate) attachable: bool,
    pub(crate) ingress: bool,
    pub(crate) options: HashMap<String, String>,
    pub(crate) labels: HashMap<String, String>,
    /// Of an overlay network.
    pub(crate) vni: Option<u32>,
}

impl NetworkRecord {
    fn addressing(&self) -> Option<(Subnet, Option<Subnet>, IpAddr, Vec<IpAddr>)> {
        let config = self.ipam.config.as_ref()?.iter().find(|config| !is_ipv6(config))?;
        let subnet = Subnet::parse(config.subnet.as_deref()?).ok()?;
        let range = config.ip_range.as_deref().and_then(|range| Subnet::parse(range).ok());
        let gateway = config.gateway.as_deref().and_then(|gateway| gateway.parse().ok());
        let reserved = config.auxiliary_addresses.iter().flatten().filter_map(|(_, address)| address.parse().ok());
        Some((subnet, range, gateway.unwrap_or_else(|| subnet.first_host()), reserved.collect()))
    }

    pub(crate) fn addressing6(&self) -> Option<(Subnet6, Option<Subnet6>, Ipv6Addr)> {
        let config = self.ipam.config.as_ref()?.iter().find(|config| is_ipv6(config))?;
        let subnet = Subnet6::parse(config.subnet.as_deref()?).ok()?;
        let range = config.ip_range.as_deref().and_then(|range| Subnet6::parse(range).ok());
        let gateway = config.gateway.as_deref().and_then(|gateway| gateway.parse().ok());
        Some((subnet, range, gateway.unwrap_or_else(|| subnet.first_host())))
    }

    /// What the host makes of it; `None` for `host` and `null`, which need nothing.
    pub(crate) fn spec(&self) -> Option<NetworkSpec> {
        let (subnet, _, gateway, _) = self.addressing()?;
        let interface = match self.options.get("com.docker.network.bridge.name") {
            Some(name) => name.clone(),
            None => format!("br-{}", short_id(&self.id)),
        };
        Some(NetworkSpec {
            id: self.id.clone(),
            name: self.name.clone(),
            driver: match self.vni {
                Some(vni) => NetworkDriver::Overlay { vni },
                None => NetworkDriver::Bridge,
            },
            subnet: subnet.to_string(),
            gateway,
            internal: self.internal,
            interface,
            dns: self.name != "bridge",
            mtu: self.options.get("com.docker.network.driver.mtu").and_then(|mtu| mtu.parse().ok()),
            ipv6: self.addressing6().map(|(subnet, _, gateway)| Ipv6Network { subnet: subnet.to_string(), gateway }),
        })
    }
}

/// Whether a part of a network's IPAM is about IPv6.
pub(super) fn is_ipv6(config: &docklab_api::models::IpamConfig) -> bool {
    [&config.subnet, &config.gateway, &config.ip_range].into_iter().flatten().any(|text| text.contains(':'))
}

/// A network and its live bookkeeping.
pub(crate) struct Network {
    pub(crate) record: NetworkRecord,
    /// `None` for `host` and `null`.
    pub(crate) pool: Option<Mutex<AddressPool>>,
    /// `None` without IPv6.
    pub(crate) pool6: Option<Mutex<AddressPool6>>,
    /// Keeps updates of the names that containers resolve in order.
    pub(crate) naming: tokio::sync::Mutex<()>,
    /// Names that are not containers' (swarm services).
    pub(crate) extra_names: Mutex<Vec<(String, Vec<IpAddr>)>>,
}

impl Network {
    pub(crate) fn new(record: NetworkRecord) -> Self {
        let pool = record
            .addressing()
            .map(|(subnet, range, gateway, reserved)| Mutex::new(AddressPool::new(subnet, range, gateway, &reserved)));
        let pool6 =
            record.addressing6().map(|(subnet, range, gateway)| Mutex::new(AddressPool6::new(subnet, range, gateway)));
        Self { record, pool, pool6, naming: tokio::sync::Mutex::default(), extra_names: Mutex::default() }
    }

    pub(crate) fn subnet(&self) -> Option<Subnet> {
        self.record.addressing().map(|(subnet, ..)| subnet)
    }

    pub(crate) fn gateway(&self) -> Option<IpAddr> {
        self.record.addressing().map(|(_, _, gateway, _)| gateway)
    }

    /// One that the user made: containers on it have names and may have aliases.
    pub(crate) fn is_user_defined(&self) -> bool {
        !is_predefined(&self.record.name)
    }

    pub(crate) fn release(&self, address: IpAddr) {
        match address {
            IpAddr::V4(_) => {
                if let Some(pool) = &self.pool {
                    pool.lock().unwrap_or_else(PoisonError::into_inner).release(address);
                }
            }
            IpAddr::V6(address) => {
                if let Some(pool) = &self.pool6 {
                    pool.lock().unwrap_or_else(PoisonError::into_inner).release(address);
                }
            }
        }
    }
}

pub(crate) fn is_predefined(name: &str) -> bool {
    matches!(name, "bridge" | "host" | "none" | "default")
}

/// All networks of an engine.
#[derive(Default)]
pub(crate) struct Networks {
    by_id: RwLock<BTreeMap<String, Arc<Network>>>,
    /// Held while a network is made, so that no two get one name or subnet.
    pub(crate) creating: tokio::sync::Mutex<()>,
}

impl Networks {
    pub(crate) fn all(&self) -> Vec<Arc<Network>> {
        self.by_id.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Finds by full ID, name or unique ID prefix.
    pub(crate) fn find(&self, reference: &str) -> ApiResult<Arc<Network>> {
        let by_id = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(network) = by_id.get(reference) {
            return Ok(Arc::clone(network));
        }
        let reference = if reference == "default" { "bridge" } else { reference };
        if let Some(network) = by_id.values().find(|network| network.record.name == reference) {
            return Ok(Arc::clone(network));
        }
        let not_found = || ApiError::not_found(format!("network {reference} not found"));
        if reference.is_empty() {
            return Err(not_found());
        }
        let mut candidates = by_id.range(reference.to_owned()..).take_while(|(id, _)| id.starts_with(reference));
        match (candidates.next(), candidates.next()) {
            (Some((_, network)), None) => Ok(Arc::clone(network)),
            (Some(_), Some(_)) => {
                let count = by_id.keys().filter(|id| id.starts_with(reference)).count();
                Err(ApiError::invalid(format!(
                    "network {reference} is ambiguous ({count} matches found based on ID prefix)"
                )))
            }
            (None, _) => Err(not_found()),
        }
    }

    pub(crate) fn insert(&self, network: Arc<Network>) {
        self.by_id.write().unwrap_or_else(PoisonError::into_inner).insert(network.record.id.clone(), network);
    }

    pub(crate) fn remove(&self, id: &str) {
        self.by_id.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    pub(crate) fn subnets6(&self) -> Vec<Subnet6> {
        self.all().iter().filter_map(|network| network.record.addressing6().map(|(subnet, ..)| subnet)).collect()
    }

    pub(crate) fn subnets(&self) -> Vec<Subnet> {
        self.all().iter().filter_map(|network| network.subnet()).collect()
    }
}

impl Engine {
    /// Loads the networks, makes the predefined ones at the first start, and has the host make them again.
    pub(crate) async fn open_networks(&self) -> ApiResult<()> {
        for (_, record) in records::load::<NetworkRecord>(&*self.host, KIND).await? {
            self.networks.insert(Arc::new(Network::new(record)));
        }
        for (name, driver) in [("bridge", "bridge"), ("host", "host"), ("none", "null")] {
            if self.networks.find(name).is_err() {
                let subnet = self.free_subnet().await?;
                let record = self.predefined(name, driver, subnet);
                records::put(&*self.host, KIND, &record.id, &record).await?;
                self.networks.insert(Arc::new(Network::new(record)));
            }
        }
        for network in self.networks.all() {
            if let Some(spec) = network.record.spec()
                && let Err(error) = self.host.create_network(&spec).await
            {
                // Containers on it fail to start and say why; the engine itself works.
                tracing::error!(network = network.record.name, %error, "the network could not be made");
            }
        }
        Ok(())
    }

    /// The next subnet of the default pools in which neither a network of ours nor the machine itself is: answers to
    /// containers would otherwise go to whoever had it first (another engine, a VPN, the LAN).
    pub(super) async fn free_subnet(&self) -> ApiResult<Subnet> {
        let mut taken = self.networks.subnets();
        for (_, address) in self.host.node_addresses().await.api()? {
            taken.extend(Subnet::parse(&format!("{address}/32")).ok());
        }
        choose_subnet(&taken)
    }

    fn predefined(&self, name: &str, driver: &str, subnet: Subnet) -> NetworkRecord {
        let bridge = name == "bridge";
        let config = docklab_api::models::IpamConfig {
            subnet: Some(subnet.to_string()),
            gateway: Some(subnet.first_host().to_string()),
            ..Default::default()
        };
        let options = [
            ("com.docker.network.bridge.default_bridge", "true"),
            ("com.docker.network.bridge.enable_icc", "true"),
            ("com.docker.network.bridge.enable_ip_masquerade", "true"),
            ("com.docker.network.bridge.host_binding_ipv4", "0.0.0.0"),
            ("com.docker.network.bridge.name", "docker0"),
            ("com.docker.network.driver.mtu", "1500"),
        ];
        NetworkRecord {
            id: object_id(&*self.host),
            name: name.to_owned(),
            created: self.host.now(),
            driver: driver.to_owned(),
            scope: "local".to_owned(),
            ipam: Ipam { driver: Some("default".to_owned()), config: bridge.then(|| vec![config]), options: None },
            configured: false,
            internal: false,
            attachable: false,
            ingress: false,
            options: if bridge {
                options.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
            } else {
                HashMap::new()
            },
            labels: HashMap::new(),
            vni: None,
        }
    }
}
