use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use docklab_api::{
    ApiError, ApiResult, Filters, NetworkApi,
    models::{
        self, ConfigReference, Ipam, IpamConfig, NetworkConnectRequest, NetworkContainer, NetworkCreateRequest,
        NetworkCreateResponse, NetworkDisconnectRequest, NetworkPruneResponse,
    },
};

use super::{
    Network, NetworkRecord, filter,
    ipam::Subnet,
    ipv6::Subnet6,
    table::{KIND, is_ipv6, is_predefined},
};
use crate::{Engine, HostResultExt, api_error, object_id, prune, records, short_id, time};

impl Engine {
    /// The endpoints of running containers on a network: container ID, name, endpoint.
    fn attachments(&self, network: &Network) -> Vec<(String, String, crate::containers::Endpoint)> {
        let mut found = Vec::new();
        for container in self.containers.all() {
            container.read(|record| {
                if let Some(endpoint) = record.endpoints.get(&network.record.name)
                    && endpoint.network_id == network.record.id
                    && !endpoint.endpoint_id.is_empty()
                {
                    found.push((record.id.clone(), record.name.clone(), endpoint.clone()));
                }
            });
        }
        found
    }

    fn network_model(&self, network: &Network, detailed: bool) -> models::Network {
        let record = &network.record;
        let containers = if detailed {
            self.attachments(network)
                .into_iter()
                .map(|(id, name, endpoint)| {
                    let address = endpoint.address.map(|address| format!("{address}/{}", endpoint.prefix_length));
                    let attached = NetworkContainer {
                        name: Some(name),
                        endpoint_id: Some(endpoint.endpoint_id),
                        mac_address: Some(endpoint.mac),
                        ipv4_address: Some(address.unwrap_or_default()),
                        ipv6_address: Some(
                            endpoint
                                .ipv6
                                .map(|ipv6| format!("{}/{}", ipv6.address, ipv6.prefix_length))
                                .unwrap_or_default(),
                        ),
                    };
                    (id, attached)
                })
                .collect()
        } else {
            HashMap::new()
        };
        models::Network {
            name: Some(record.name.clone()),
            id: Some(record.id.clone()),
            created: Some(time::rfc3339(Some(record.created))),
            scope: Some(record.scope.clone()),
            driver: Some(record.driver.clone()),
            enable_ipv4: Some(true),
            enable_ipv6: Some(record.addressing6().is_some()),
            ipam: Some(record.ipam.clone()),
            internal: Some(record.internal),
            attachable: Some(record.attachable),
            ingress: Some(record.ingress),
            config_from: Some(ConfigReference { network: Some(String::new()) }),
            config_only: Some(false),
            containers: Some(containers),
            options: Some(record.options.clone()),
            labels: Some(record.labels.clone()),
            peers: None,
        }
    }

    /// Makes a network; a cluster gives its own `id` and VXLAN identifier, and may use the name of none other.
    pub async fn create_network_as(
        &self,
        id: Option<String>,
        vni: Option<u32>,
        body: NetworkCreateRequest,
    ) -> ApiResult<String> {
        let swarm = vni.is_some();
        if is_predefined(&body.name) {
            return Err(ApiError::forbidden(format!(
                "operation is not permitted on predefined {} network ",
                body.name
            )));
        }
        if body.name.trim().is_empty() {
            return Err(ApiError::invalid("invalid name: name is empty"));
        }
        let driver = body.driver.clone().filter(|driver| !driver.is_empty()).unwrap_or_else(|| "bridge".to_owned());
        match driver.as_str() {
            "bridge" => {}
            "overlay" if swarm => {}
            "overlay" => {
                return Err(ApiError::forbidden(
                    "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect \
                     this node to swarm and try again.",
                ));
            }
            "host" | "null" => {
                return Err(ApiError::forbidden(format!("only one instance of \"{driver}\" network is allowed")));
            }
            other => {
                return Err(ApiError::not_found(format!("plugin {other:?} not found")));
            }
        }
        if body.enable_ipv4 == Some(false) && body.enable_ipv6 != Some(true) {
            return Err(ApiError::invalid("IPv4 or IPv6 must be enabled"));
        }
        if !swarm && body.ingress == Some(true) {
            return Err(ApiError::forbidden("Ingress network can only be global scope network"));
        }
        if !swarm && body.scope.as_deref() == Some("swarm") {
            return Err(ApiError::forbidden("cannot create a swarm scoped network when swarm is not active"));
        }
        if body.config_only == Some(true)
            || body.config_from.is_some_and(|from| from.network.is_some_and(|name| !name.is_empty()))
        {
            return Err(ApiError::not_implemented(
                "docklab has no networks that are configuration only; name the subnet and options themselves",
            ));
        }
        if body.enable_ipv4 == Some(false) {
            return Err(ApiError::not_implemented("docklab has no networks without IPv4; leave IPv4 enabled"));
        }
        let ipv6 = body.enable_ipv6 == Some(true);
        if ipv6 && swarm {
            return Err(ApiError::not_implemented("docklab's overlay networks have no IPv6; create it without --ipv6"));
        }
        let _creating = self.networks.creating.lock().await;
        if self.networks.all().iter().any(|network| network.record.name == body.name) {
            return Err(ApiError::conflict(format!("network with name {} already exists", body.name)));
        }
        let (ipam, configured) = self.plan_addresses(body.ipam.unwrap_or_default(), swarm, ipv6).await?;
        let record = NetworkRecord {
            id: id.unwrap_or_else(|| object_id(&*self.host)),
            name: body.name,
            created: self.host.now(),
            driver,
            scope: if swarm { "swarm" } else { "local" }.to_owned(),
            ipam,
            configured,
            internal: body.internal.unwrap_or(false),
            attachable: body.attachable.unwrap_or(false),
            ingress: body.ingress.unwrap_or(false),
            options: body.options.unwrap_or_default(),
            labels: body.labels.unwrap_or_default(),
            vni,
        };
        if let Some(spec) = record.spec() {
            self.host.create_network(&spec).await.api()?;
        }
        let id = record.id.clone();
        if let Err(error) = records::put(&*self.host, KIND, &id, &record).await {
            let _ = self.host.remove_network(&id).await;
            return Err(error);
        }
        let network = Arc::new(Network::new(record));
        self.networks.insert(Arc::clone(&network));
        self.network_event(&network, "create", None);
        Ok(id)
    }

    async fn plan_addresses(&self, mut ipam: Ipam, swarm: bool, ipv6: bool) -> ApiResult<(Ipam, bool)> {
        ipam.driver = Some(ipam.driver.filter(|driver| !driver.is_empty()).unwrap_or_else(|| "default".to_owned()));
        let driver = ipam.driver.as_deref().unwrap_or_default();
        if !matches!(driver, "default" | "null") {
            return Err(ApiError::not_found(format!("plugin {driver:?} not found")));
        }
        ipam.options = ipam.options.filter(|options| !options.is_empty());
        let taken = self.networks.subnets();
        let given: Vec<IpamConfig> = ipam.config.take().unwrap_or_default();
        let (given6, given4): (Vec<_>, Vec<_>) = given
            .into_iter()
            .filter(|config| [&config.subnet, &config.gateway, &config.ip_range].iter().any(|part| part.is_some()))
            .partition(is_ipv6);
        let wanted = given4.into_iter().next();
        let config6 = match given6.into_iter().next() {
            // Without IPv6 what is said of it counts for nothing, as in Docker.
            _ if !ipv6 => None,
            Some(config) => Some((self.plan_ipv6(config)?, true)),
            None => {
                let subnet = Subnet6::choose(&self.ipv6_site(), &self.networks.subnets6())?;
                let config = IpamConfig {
                    subnet: Some(subnet.to_string()),
                    gateway: Some(subnet.first_host().to_string()),
                    ..IpamConfig::default()
                };
                Some((config, false))
            }
        };
        let (mut config, subnet, configured) = match wanted {
            Some(config) => {
                let subnet = Subnet::parse(config.subnet.as_deref().unwrap_or(""))?;
                if !swarm && taken.iter().any(|other| other.overlaps(subnet)) {
                    return Err(ApiError::forbidden(
                        "invalid pool request: Pool overlaps with other one on this address space",
                    ));
                }
                (config, subnet, true)
            }
            None => {
                let subnet = self.free_subnet().await?;
                (IpamConfig { subnet: Some(subnet.to_string()), ..IpamConfig::default() }, subnet, false)
            }
        };
        if let Some(gateway) = config.gateway.as_deref().filter(|gateway| !gateway.is_empty()) {
            let inside = gateway.parse().is_ok_and(|gateway| subnet.contains(gateway));
            if !inside {
                return Err(ApiError::invalid(format!(
                    "invalid network config:\ninvalid gateway {gateway}: parent subnet {subnet} doesn't contain this address"
                )));
            }
        } else {
            config.gateway = Some(subnet.first_host().to_string());
        }
        if let Some(range) = config.ip_range.as_deref().filter(|range| !range.is_empty()) {
            let parsed = Subnet::parse(range)?;
            if !subnet.overlaps(parsed) || parsed.prefix < subnet.prefix {
                return Err(ApiError::invalid(format!(
                    "invalid network config:\ninvalid ip-range {range}: parent subnet {subnet} doesn't contain ip-range"
                )));
            }
        } else {
            config.ip_range = None;
        }
        // What the user said comes first.
        let mut list = vec![config];
        let configured6 = config6.as_ref().is_some_and(|(_, given)| *given);
        match config6 {
            Some((config, true)) if !configured => list.insert(0, config),
            Some((config, _)) => list.push(config),
            None => {}
        }
        ipam.config = Some(list);
        Ok((ipam, configured || configured6))
    }

    /// Checks an IPv6 subnet that a request names.
    fn plan_ipv6(&self, mut config: IpamConfig) -> ApiResult<IpamConfig> {
        let subnet = Subnet6::parse(config.subnet.as_deref().unwrap_or(""))?;
        if self.networks.subnets6().iter().any(|other| other.overlaps(subnet)) {
            return Err(ApiError::forbidden(
                "invalid pool request: Pool overlaps with other one on this address space",
            ));
        }
        match config.gateway.as_deref().filter(|gateway| !gateway.is_empty()) {
            Some(gateway) if !gateway.parse().is_ok_and(|gateway| subnet.contains(gateway)) => {
                return Err(ApiError::invalid(format!(
                    "invalid network config:\ninvalid gateway {gateway}: parent subnet {subnet} doesn't contain this address"
                )));
            }
            Some(_) => {}
            None => config.gateway = Some(subnet.first_host().to_string()),
        }
        if let Some(range) = config.ip_range.as_deref().filter(|range| !range.is_empty()) {
            Subnet6::parse(range)?;
        } else {
            config.ip_range = None;
        }
        Ok(config)
    }

    /// 40 bits that are this engine's, for addresses that no other network has.
    fn ipv6_site(&self) -> [u8; 5] {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(self.id.as_bytes());
        std::array::from_fn(|index| digest.get(index).copied().unwrap_or_default())
    }

    /// Removes a network that nothing is attached to.
    pub(crate) async fn delete_network(&self, network: &Network) -> ApiResult<()> {
        let record = &network.record;
        let endpoints: Vec<String> = self
            .attachments(network)
            .iter()
            .map(|(_, name, endpoint)| format!("name:{name:?} id:{:?}", short_id(&endpoint.endpoint_id)))
            .collect();
        if !endpoints.is_empty() {
            return Err(ApiError::forbidden(format!(
                "error while removing network: network {} has active endpoints ({})",
                record.name,
                endpoints.join(", ")
            )));
        }
        self.host.remove_network(&record.id).await.or_else(ignore_missing).map_err(api_error)?;
        self.host.delete_record(KIND, &record.id).await.api()?;
        self.networks.remove(&record.id);
        self.network_event(network, "destroy", None);
        Ok(())
    }
}

fn ignore_missing(error: docklab_host::HostError) -> docklab_host::HostResult<()> {
    if matches!(error, docklab_host::HostError::NotFound { .. }) { Ok(()) } else { Err(error) }
}

#[async_trait]
impl NetworkApi for Engine {
    async fn list_networks(&self, filters: Filters) -> ApiResult<Vec<models::Network>> {
        filters.accept(&["dangling", "driver", "id", "label", "name", "scope", "type"])?;
        let mut found = Vec::new();
        for network in self.networks.all() {
            let in_use = !filters.get("dangling").is_empty() && !self.attachments(&network).is_empty();
            if filter::matches(&network, &filters, in_use)? {
                found.push(self.network_model(&network, false));
            }
        }
        found.extend(self.swarm_networks(&filters).await);
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    async fn inspect_network(&self, id: &str, _verbose: bool, scope: Option<&str>) -> ApiResult<models::Network> {
        let network = match self.networks.find(id) {
            Ok(network) => network,
            // One that the swarm has and no task of this node is on.
            Err(error) => {
                let all = self.swarm_networks(&Filters::new()).await;
                let named = |network: &models::Network| {
                    network.name.as_deref() == Some(id)
                        || network.id.as_deref().is_some_and(|full| full.starts_with(id))
                };
                let wanted = scope.is_none_or(|scope| scope.is_empty() || scope == "swarm");
                return all.into_iter().find(named).filter(|_| wanted).ok_or(error);
            }
        };
        if scope.is_some_and(|scope| !scope.is_empty() && scope != network.record.scope) {
            return Err(ApiError::not_found(format!("network {id} not found")));
        }
        Ok(self.network_model(&network, true))
    }

    async fn create_network(&self, body: NetworkCreateRequest) -> ApiResult<NetworkCreateResponse> {
        if let Some(created) = self.create_swarm_network(&body).await {
            return Ok(NetworkCreateResponse { id: created?, warning: String::new() });
        }
        let id = self.create_network_as(None, None, body).await?;
        Ok(NetworkCreateResponse { id, warning: String::new() })
    }

    async fn remove_network(&self, id: &str) -> ApiResult<()> {
        if let Some(removed) = self.remove_swarm_network(id).await {
            return removed;
        }
        let network = self.networks.find(id)?;
        if is_predefined(&network.record.name) {
            return Err(ApiError::forbidden(format!(
                "{} is a pre-defined network and cannot be removed",
                network.record.name
            )));
        }
        self.delete_network(&network).await
    }

    async fn connect_network(&self, id: &str, body: NetworkConnectRequest) -> ApiResult<()> {
        let network = self.networks.find(id)?;
        let container = self.containers.find(body.container.as_deref().unwrap_or(""))?;
        self.connect(&network, &container, &body.endpoint_config.unwrap_or_default()).await
    }

    async fn disconnect_network(&self, id: &str, body: NetworkDisconnectRequest) -> ApiResult<()> {
        let network = self.networks.find(id)?;
        let container = self.containers.find(body.container.as_deref().unwrap_or(""))?;
        self.disconnect(&network, &container).await
    }

    async fn prune_networks(&self, filters: Filters) -> ApiResult<NetworkPruneResponse> {
        filters.accept(&["label", "label!", "until"])?;
        let _guard = prune::Guard::enter(&self.pruning.networks)?;
        let until = prune::until(&*self.host, &filters)?;
        let mut deleted = Vec::new();
        for network in self.networks.all() {
            let record = &network.record;
            let keep = !network.is_user_defined()
                || record.ingress
                || record.scope == "swarm"
                || until.is_some_and(|until| record.created > until)
                || !prune::labels(&filters, &record.labels);
            if !keep && self.delete_network(&network).await.is_ok() {
                deleted.push(record.name.clone());
            }
        }
        self.events.emit(models::EventMessageTypeEnum::NETWORK, "prune", "", [("reclaimed", "0")]);
        Ok(NetworkPruneResponse { networks_deleted: Some(deleted) })
    }
}
