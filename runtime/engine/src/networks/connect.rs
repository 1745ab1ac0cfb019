use std::{net::IpAddr, sync::Arc};

use docklab_api::{
    ApiError, ApiResult,
    models::{EndpointSettings, EventMessageTypeEnum},
};
use docklab_host::EndpointSpec;

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
        Ok(Self {
            aliases: settings.aliases.clone().unwrap_or_default(),
            links: settings.links.clone().unwrap_or_default(),
            wanted_address,
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
        })
    }
}

/// Docker's rules on what an endpoint may ask of which network.
fn check(network: &Network, endpoint: &Endpoint) -> ApiResult<()> {
    if !network.is_user_defined() {
        if !endpoint.aliases.is_empty() {
            return Err(ApiError::invalid("network-scoped aliases are only supported for user-defined networks"));
        }
        if endpoint.wanted_address.is_some() {
            return Err(ApiError::invalid(
                "invalid config for network bridge: invalid endpoint settings:\nuser specified IP address is supported \
                 on user defined networks only",
            ));
        }
    }
    if endpoint.wanted_address.is_some() && !network.record.configured {
        return Err(ApiError::invalid(format!(
            "invalid config for network {}: invalid endpoint settings:\nuser specified IP address is supported only when \
             connecting to networks with user configured subnets",
            network.record.name
        )));
    }
    Ok(())
}

impl Engine {
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
        Ok(())
    }

    /// Gives back an endpoint's address.
    pub(crate) fn release_endpoint(&self, endpoint: &mut Endpoint) {
        if let (Some(address), Ok(network)) = (endpoint.address, self.networks.find(&endpoint.network_id)) {
            network.release(address);
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
            return Err(ApiError::forbidden(format!("container {} is not connected to network {name}", container.id)));
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
        if let Ok(network) = self.networks.find(network_id)
            && let Some(pool) = &network.pool
        {
            pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner).adopt(address);
        }
    }
}
