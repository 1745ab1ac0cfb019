//! Swarm networks in `docker network`: the manager's store holds them, every node makes those it needs.

use docklab_api::{
    ApiError, ApiResult, Filters,
    models::{Network, NetworkCreateRequest},
};
use docklab_swarm::{Call, NewNetwork};

use super::Engine;

impl Engine {
    /// `docker network create -d overlay`; `None` when the request is not for the swarm.
    pub(crate) async fn create_swarm_network(&self, body: &NetworkCreateRequest) -> Option<ApiResult<String>> {
        if body.driver.as_deref() != Some("overlay") {
            return None;
        }
        self.membership()?.manager()?;
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
        Some(self.ask(Call::CreateNetwork(new)).await)
    }

    /// Networks that the swarm has and this node does not, as far as they match.
    pub(crate) async fn swarm_networks(&self, filters: &Filters) -> Vec<Network> {
        // A node without the swarm's networks still has its own to show.
        let all: Vec<Network> = self.ask(Call::ListNetworks).await.unwrap_or_default();
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
        self.membership()?.manager()?;
        if self.networks.find(name).is_ok_and(|network| network.record.scope != "swarm") {
            return None;
        }
        let id = match self.ask::<Option<String>>(Call::FindNetwork(name.to_owned())).await {
            Ok(id) => id?,
            Err(error) => return Some(Err(error)),
        };
        let removed = self.ask(Call::RemoveNetwork(id.clone())).await;
        if removed.is_ok() {
            // The agent does the same on every node; here it is gone when the command returns.
            let _ = self.remove_local_network(&id).await;
        }
        Some(removed)
    }
}
