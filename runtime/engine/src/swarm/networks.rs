//! Swarm networks in `docker network`: the manager's store holds them, every node makes those it needs.

use docklab_api::{
    ApiError, ApiResult, Filters,
    models::{Network, NetworkCreateRequest},
};
use docklab_swarm::NewNetwork;

use super::{ControlResultExt, Engine};

impl Engine {
    /// `docker network create -d overlay`; `None` when the request is not for the swarm.
    pub(crate) async fn create_swarm_network(&self, body: &NetworkCreateRequest) -> Option<ApiResult<String>> {
        if body.driver.as_deref() != Some("overlay") {
            return None;
        }
        let membership = self.membership()?;
        let leader = membership.leader.clone()?;
        if self.networks.all().iter().any(|network| network.record.name == body.name) {
            return Some(Err(ApiError::conflict(format!("network with name {} already exists", body.name))));
        }
        let config =
            body.ipam.as_ref().and_then(|ipam| ipam.config.clone()).and_then(|config| config.into_iter().next());
        let new = NewNetwork {
            name: body.name.clone(),
            ipam: config,
            ingress: body.ingress.unwrap_or(false),
            internal: body.internal.unwrap_or(false),
            attachable: body.attachable.unwrap_or(false),
            labels: body.labels.clone().unwrap_or_default().into_iter().collect(),
            options: body.options.clone().unwrap_or_default().into_iter().collect(),
        };
        let now = self.host.now();
        Some(leader.change(now, |manager| manager.create_network(now, new)).api())
    }

    /// Networks that the swarm has and this node does not, as far as they match.
    pub(crate) fn swarm_networks(&self, filters: &Filters) -> Vec<Network> {
        let leader = self.membership().and_then(|membership| membership.leader.clone());
        let all = leader.map(|leader| leader.read(|manager| manager.list_networks())).unwrap_or_default();
        let local = self.networks.all();
        all.into_iter()
            .filter(|network| !local.iter().any(|known| network.id.as_deref() == Some(known.record.id.as_str())))
            .filter(|network| {
                let labels = network.labels.as_ref();
                filters.any("driver", |driver| driver == "overlay")
                    && filters.any("scope", |scope| scope == "swarm")
                    && filters.any("type", |kind| kind == "custom")
                    && filters.any("id", |id| network.id.as_deref().is_some_and(|full| full.contains(id)))
                    && filters.any("name", |name| network.name.as_deref().is_some_and(|full| full.contains(name)))
                    && filters.labels(|key| labels.and_then(|labels| labels.get(key)).map(String::as_str))
            })
            .collect()
    }

    /// Removes a network from the swarm; `None` when it is not the swarm's.
    pub(crate) async fn remove_swarm_network(&self, name: &str) -> Option<ApiResult<()>> {
        let leader = self.membership()?.leader.clone()?;
        let id = leader.read(|manager| {
            let found = manager.store().networks.values().find(|network| {
                network.id == name || network.name == name || (name.len() >= 4 && network.id.starts_with(name))
            });
            found.map(|network| network.id.clone())
        })?;
        let now = self.host.now();
        let removed = leader.change(now, |manager| manager.remove_network(now, &id)).api();
        if removed.is_ok() {
            // The agent does the same on every node; here it is gone when the command returns.
            let _ = self.remove_local_network(&id).await;
        }
        Some(removed)
    }
}
