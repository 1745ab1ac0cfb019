use std::{net::IpAddr, sync::Arc};

use docklab_api::{
    ApiError, ApiResult,
    models::{EndpointSettings, EventMessageTypeEnum},
};
use docklab_host::{EndpointSpec, Ipv6Endpoint};

use super::Network;
use crate::{
    Engine, HostResultExt, api_error,
    containers::{Container, Endpoint},
    mac_address, object_id,
};

impl Endpoint {
    /// What a request asks for.
    pub(crate) fn from_settings(settings: &EndpointSettings) -> ApiResult<Self> {
        let wanted = settings.ipam_config.as_ref().and_then(|config| config.ipv4_address.as_deref()).unwrap_or("");
        let wanted_address = if wanted.is_empty() {
            None
        } else {
            Some(wanted.parse().map_err(|_| {
                ApiError::invalid(format!("invalid endpoint settings:\ninvalid IPv4 address: {wanted}"))
            })?)
        };
        let config = settings.ipam_config.clone().unwrap_or_default();
        let wanted = config.ipv6_address.filter(|text| !text.is_empty());
        let wanted_ipv6 = wanted
            .map(|text| {
                text.parse()
                    .map_err(|_| ApiError::invalid(format!("invalid endpoint settings:\ninvalid IPv6 address: {text}")))
            })
            .transpose()?;
        let mut link_local = Vec::new();
        for text in config.link_local_ips.iter().flatten() {
            link_local.push(text.parse().map_err(|_| {
                ApiError::invalid(format!("invalid endpoint settings:\ninvalid link-local IP address: {text}"))
            })?);
        }
        Ok(Self {
            aliases: settings.aliases.clone().unwrap_or_default(),
            links: settings.links.clone().unwrap_or_default(),
            wanted_address,
            wanted_ipv6,
            link_local,
            wanted_mac: settings.mac_address.clone().unwrap_or_default(),
            driver_opts: settings.driver_opts.clone().unwrap_or_default().into_iter().collect(),
            gateway_priority: settings.gw_priority.unwrap_or(0),
            ..Self::default()
        })
    }

    pub(crate) fn spec(&self) -> Option<EndpointSpec> {
        Some(EndpointSpec {
            network: self.network_id.clone(),
            endpoint: self.endpoint_id.clone(),
            address: self.address?,
            prefix_length: self.prefix_length,
            gateway: self.gateway,
            mac: self.mac.clone(),
            ipv6: self.ipv6.clone(),
            link_local: self.link_local.clone(),
        })
    }
}

/// Docker's rules on what an endpoint may ask of which network.
pub(crate) fn check(network: &Network, endpoint: &Endpoint) -> ApiResult<()> {
    let mac = &endpoint.wanted_mac;
    if !mac.is_empty() && !is_mac(mac) {
        return Err(ApiError::invalid(format!("invalid MAC address {mac}")));
    }
    let refused = |why: &str| Err(ApiError::invalid(format!("invalid endpoint settings:\n{why}")));
    if !network.is_user_defined() {
        if !endpoint.aliases.is_empty() {
            return refused("network-scoped alias is supported only for containers in user defined networks");
        }
        if endpoint.wanted_address.is_some() || endpoint.wanted_ipv6.is_some() {
            return refused("user specified IP address is supported on user defined networks only");
        }
    }
    if (endpoint.wanted_address.is_some() || endpoint.wanted_ipv6.is_some()) && !network.record.configured {
        return refused(
            "user specified IP address is supported only when connecting to networks with user configured subnets",
        );
    }
    if let (Some(wanted), Some(subnet)) = (endpoint.wanted_address, network.subnet())
        && !subnet.contains(wanted)
    {
        return refused(&format!("no configured subnet or ip-range contain the IP address {wanted}"));
    }
    let subnet6 = network.record.addressing6().map(|(subnet, ..)| subnet);
    if let Some(wanted) = endpoint.wanted_ipv6
        && subnet6.is_none_or(|subnet| !subnet.contains(wanted))
    {
        return refused(&format!("no configured subnet or ip-range contain the IP address {wanted}"));
    }
    Ok(())
}

/// Six bytes in hexadecimal, with colons or dashes.
fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    parts.len() == 6 && parts.iter().all(|part| part.len() == 2 && u8::from_str_radix(part, 16).is_ok())
}

impl Engine {
    /// Refuses at create what could not be attached at start. Networks that are not there are the start's matter.
    pub(crate) fn check_endpoints(&self, endpoints: &std::collections::BTreeMap<String, Endpoint>) -> ApiResult<()> {
        for (name, endpoint) in endpoints {
            if let Ok(network) = self.networks.find(name) {
                check(&network, endpoint).map_err(|error| {
                    ApiError::invalid(format!("invalid config for network {name}: {}", error.message))
                })?;
            }
        }
        Ok(())
    }

    /// Gives an endpoint its address, MAC and ID. The host has not heard of it yet.
    pub(crate) fn allocate_endpoint(&self, network: &Network, endpoint: &mut Endpoint) -> ApiResult<()> {
        check(network, endpoint)?;
        endpoint.network_id = network.record.id.clone();
        endpoint.endpoint_id = object_id(&*self.host);
        if let Some(pool) = &network.pool {
            let mut pool = pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let address = pool.allocate(endpoint.wanted_address)?;
            endpoint.address = Some(address);
            endpoint.prefix_length = pool.prefix();
            endpoint.gateway = network.gateway().filter(|_| !network.record.internal);
            endpoint.mac =
                if endpoint.wanted_mac.is_empty() { mac_address(address) } else { endpoint.wanted_mac.clone() };
        }
        if let Some(pool) = &network.pool6 {
            let mut pool = pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let address = match pool.allocate(endpoint.wanted_ipv6) {
                Ok(address) => address,
                Err(error) => {
                    if let Some(address) = endpoint.address.take() {
                        network.release(address);
                    }
                    return Err(error);
                }
            };
            let gateway = network.record.addressing6().map(|(_, _, gateway)| gateway);
            endpoint.ipv6 = Some(Ipv6Endpoint {
                address,
                prefix_length: pool.prefix(),
                gateway: gateway.filter(|_| !network.record.internal),
            });
        }
        Ok(())
    }

    /// Gives back an endpoint's address.
    pub(crate) fn release_endpoint(&self, endpoint: &mut Endpoint) {
        if let Ok(network) = self.networks.find(&endpoint.network_id) {
            let ipv6 = endpoint.ipv6.as_ref().map(|ipv6| IpAddr::V6(ipv6.address));
            endpoint.address.into_iter().chain(ipv6).for_each(|address| network.release(address));
        }
        endpoint.detach();
    }

    pub(crate) fn network_event(&self, network: &Network, action: &str, container: Option<&str>) {
        let mut attributes = vec![("name", network.record.name.as_str()), ("type", network.record.driver.as_str())];
        if let Some(container) = container {
            attributes.push(("container", container));
        }
        self.events.emit(EventMessageTypeEnum::NETWORK, action, network.record.id.as_str(), attributes);
    }

    /// `docker network connect`.
    pub(crate) async fn connect(
        &self,
        network: &Arc<Network>,
        container: &Arc<Container>,
        settings: &EndpointSettings,
    ) -> ApiResult<()> {
        let _lifecycle = container.lifecycle.lock().await;
        let name = network.record.name.clone();
        let (mode, has_process, attached, container_name) = container.read(|record| {
            (
                record.host_config.network_mode.clone().unwrap_or_default(),
                record.state.has_process(),
                record.endpoints.contains_key(&name),
                record.name.clone(),
            )
        });
        if container.read(|record| record.state.removing || record.state.dead) {
            return Err(ApiError::conflict(
                "Container is marked for removal and cannot be connected or disconnected to the network",
            ));
        }
        match (mode.as_str(), name.as_str()) {
            (_, "host") if mode != "host" => {
                return Err(ApiError::invalid(
                    "cannot connect container to host network - container must be created in host network mode",
                ));
            }
            ("host", _) | (_, "host") => {
                return Err(ApiError::forbidden(
                    "container cannot be connected to host network or disconnected from it",
                ));
            }
            (mode, _) if mode.starts_with("container:") => {
                return Err(ApiError::forbidden(
                    "container sharing network namespace with another container or host cannot be connected to any other \
                     network",
                ));
            }
            ("none", _) | (_, "none") => {
                return Err(ApiError::forbidden(
                    "container cannot be connected to multiple networks with one of the networks in private (none) mode",
                ));
            }
            _ => {}
        }
        if attached {
            return Err(ApiError::forbidden(format!(
                "endpoint with name {container_name} already exists in network {name}"
            )));
        }
        let mut endpoint = Endpoint::from_settings(settings)?;
        if has_process {
            self.allocate_endpoint(network, &mut endpoint)?;
            if let Some(spec) = endpoint.spec()
                && let Err(error) = self.host.connect(&container.id, &spec).await
            {
                self.release_endpoint(&mut endpoint);
                return Err(api_error(error));
            }
        } else {
            check(network, &endpoint)?;
            endpoint.network_id = network.record.id.clone();
        }
        container.write(|record| record.endpoints.insert(name, endpoint));
        self.save(container).await?;
        if has_process {
            self.publish_names(network).await?;
        }
        self.network_event(network, "connect", Some(&container.id));
        Ok(())
    }

    /// `docker network disconnect`.
    pub(crate) async fn disconnect(&self, network: &Arc<Network>, container: &Arc<Container>) -> ApiResult<()> {
        let _lifecycle = container.lifecycle.lock().await;
        let name = network.record.name.as_str();
        let (mode, has_process) = container
            .read(|record| (record.host_config.network_mode.clone().unwrap_or_default(), record.state.has_process()));
        if mode == "host" || name == "host" {
            return Err(ApiError::forbidden(
                "container cannot be disconnected from host network or connected to host network",
            ));
        }
        let Some(mut endpoint) = container.read(|record| record.endpoints.get(name).cloned()) else {
            return Err(ApiError::system(format!("container {} is not connected to network {name}", container.id)));
        };
        if has_process && endpoint.address.is_some() {
            self.host.disconnect(&container.id, &network.record.id).await.api()?;
        }
        self.release_endpoint(&mut endpoint);
        container.write(|record| record.endpoints.remove(name));
        self.save(container).await?;
        if has_process {
            self.publish_names(network).await?;
        }
        self.network_event(network, "disconnect", Some(&container.id));
        Ok(())
    }

    /// Marks what a container that was found running holds of its networks.
    pub(crate) fn adopt_endpoint(&self, network_id: &str, address: IpAddr) {
        let Ok(network) = self.networks.find(network_id) else { return };
        match (address, &network.pool, &network.pool6) {
            (IpAddr::V4(_), Some(pool), _) => {
                pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner).adopt(address);
            }
            (IpAddr::V6(address), _, Some(pool)) => {
                pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner).adopt(address);
            }
            _ => {}
        }
    }
}
