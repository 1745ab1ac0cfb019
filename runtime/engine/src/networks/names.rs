use std::{collections::BTreeMap, net::IpAddr, sync::PoisonError};

use docklab_api::ApiResult;

use super::Network;
use crate::{Engine, HostResultExt, short_id};

impl Engine {
    /// Tells the host what containers on a user network resolve: container names, short IDs, aliases and services.
    /// Called after every change; complete each time.
    pub(crate) async fn publish_names(&self, network: &Network) -> ApiResult<()> {
        if !network.is_user_defined() || network.pool.is_none() {
            return Ok(());
        }
        // Names are read and sent under one lock, so that an older list never overwrites a newer one.
        let _order = network.naming.lock().await;
        let mut names: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        let mut links: Vec<(String, String)> = Vec::new();
        for container in self.containers.all() {
            container.read(|record| {
                let Some(endpoint) = record.endpoints.get(&network.record.name) else { return };
                let Some(address) = endpoint.address.filter(|_| endpoint.network_id == network.record.id) else {
                    return;
                };
                let ipv6 = endpoint.ipv6.as_ref().map(|ipv6| IpAddr::V6(ipv6.address));
                // Links name other containers; every container of the network resolves them.
                for link in &endpoint.links {
                    let (child, alias) = crate::containers::split_link(link);
                    links.push((child.to_owned(), alias.to_owned()));
                }
                for name in dns_names(&record.name, &record.id, record.config.hostname.as_deref(), &endpoint.aliases) {
                    let addresses = names.entry(name).or_default();
                    for address in [Some(address), ipv6].into_iter().flatten() {
                        if !addresses.contains(&address) {
                            addresses.push(address);
                        }
                    }
                }
            });
        }
        for (child, alias) in links {
            let child = self.containers.find(&child).ok().and_then(|child| {
                child.read(|record| record.endpoints.get(&network.record.name).and_then(|endpoint| endpoint.address))
            });
            if let Some(address) = child {
                let addresses = names.entry(alias).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        for (name, addresses) in network.extra_names.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            names.entry(name.clone()).or_default().extend(addresses);
        }
        let names: Vec<_> = names.into_iter().collect();
        self.host.set_names(&network.record.id, &names).await.api()
    }

    /// Sets the names that a cluster adds to a network: services with their virtual addresses, `tasks.<service>`.
    pub async fn set_service_names(&self, network: &str, names: Vec<(String, Vec<IpAddr>)>) -> ApiResult<()> {
        let network = self.networks.find(network)?;
        *network.extra_names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        self.publish_names(&network).await
    }
}

/// What a container is called on a user network, in the order of `DNSNames`.
pub(crate) fn dns_names(name: &str, id: &str, hostname: Option<&str>, aliases: &[String]) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    let others = aliases.iter().map(String::as_str).chain([short_id(id)]).chain(hostname);
    for other in others.filter(|other| !other.is_empty()) {
        if !names.iter().any(|known| known == other) {
            names.push(other.to_owned());
        }
    }
    names
}
