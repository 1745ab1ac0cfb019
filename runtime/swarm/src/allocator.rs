use std::{
    collections::{BTreeSet, HashMap},
    net::Ipv4Addr,
};

use docklab_api::models::{
    EndpointPortConfig, EndpointPortConfigPublishModeEnum as PublishMode, EndpointSpecModeEnum as EndpointMode,
    NetworkAttachmentConfig,
};

use crate::{
    Manager,
    objects::{Attachment, Network, Service, State, Task},
};

/// Ports given to `--publish 80` without a published port.
const DYNAMIC_PORTS: std::ops::RangeInclusive<i64> = 30_000..=32_767;

/// Addresses in use, by network.
type Used = HashMap<String, BTreeSet<u32>>;

pub(crate) fn is_ingress(port: &EndpointPortConfig) -> bool {
    port.publish_mode != Some(PublishMode::HOST)
}

fn subnet(network: &Network) -> Option<(u32, u32)> {
    let (base, length) = network.ipam.subnet.as_deref()?.split_once('/')?;
    let base: Ipv4Addr = base.parse().ok()?;
    Some((base.to_bits(), length.parse().ok().filter(|length| *length <= 30)?))
}

fn address(text: &str) -> Option<u32> {
    Some(text.split('/').next()?.parse::<Ipv4Addr>().ok()?.to_bits())
}

impl Manager {
    /// Gives services virtual addresses and new tasks addresses on their networks; new tasks become pending.
    pub(crate) fn allocate(&mut self) {
        let fresh: Vec<Task> =
            self.store.tasks.values().filter(|task| task.status.state == State::NEW).cloned().collect();
        let services: Vec<Service> = self
            .store
            .services
            .values()
            .filter(|service| self.wanted_networks(service).len() != service.virtual_ips.len() || self.moved(service))
            .cloned()
            .collect();
        if fresh.is_empty() && services.is_empty() {
            return;
        }
        let mut used = self.used_addresses();
        let now = self.now;
        for service in services {
            let mut virtual_ips = Vec::new();
            let round_robin =
                service.spec.endpoint_spec.as_ref().is_some_and(|endpoint| endpoint.mode == Some(EndpointMode::DNSRR));
            if !round_robin {
                for (network, _) in self.wanted_networks(&service) {
                    let known = service.virtual_ips.iter().find(|(id, _)| *id == network).cloned();
                    let address = known.or_else(|| Some((network.clone(), self.take_address(&network, &mut used)?)));
                    virtual_ips.extend(address);
                }
            }
            if virtual_ips != service.virtual_ips {
                self.store.update_service(&service.id, now, |service| service.virtual_ips = virtual_ips);
            }
        }
        for task in fresh {
            let Some(service) = self.store.services.get(&task.service).cloned() else {
                self.set_state(&task.id, State::PENDING, "pending task scheduling", "");
                continue;
            };
            let mut attachments = Vec::new();
            let mut complete = true;
            for (network, aliases) in self.wanted_networks(&service) {
                match self.take_address(&network, &mut used) {
                    Some(address) => attachments.push(Attachment { network, address, aliases }),
                    None => complete = false,
                }
            }
            // Without addresses it stays new until some are given back.
            if complete {
                self.store.update_task(&task.id, now, |task| task.networks = attachments);
                self.set_state(&task.id, State::PENDING, "pending task scheduling", "");
            }
        }
    }

    fn moved(&self, service: &Service) -> bool {
        let wanted = self.wanted_networks(service);
        service.virtual_ips.iter().any(|(network, _)| !wanted.iter().any(|(id, _)| id == network))
    }

    /// Network IDs with the aliases on them; the ingress network for published ports.
    pub(crate) fn wanted_networks(&self, service: &Service) -> Vec<(String, Vec<String>)> {
        let mut wanted = Vec::new();
        if service.ports.iter().any(is_ingress)
            && let Some(ingress) = self.store.networks.values().find(|network| network.ingress)
        {
            wanted.push((ingress.id.clone(), Vec::new()));
        }
        for NetworkAttachmentConfig { target, aliases, .. } in service.network_targets() {
            let target = target.unwrap_or_default();
            if let Some(network) = self.find_network(&target) {
                wanted.push((network.id.clone(), aliases.unwrap_or_default()));
            }
        }
        wanted
    }

    pub(crate) fn find_network(&self, name: &str) -> Option<&Network> {
        let networks = &self.store.networks;
        networks.get(name).or_else(|| networks.values().find(|network| network.name == name))
    }

    fn used_addresses(&self) -> Used {
        let mut used = Used::new();
        for network in self.store.networks.values() {
            let gateway = network.ipam.gateway.as_deref().and_then(address);
            used.entry(network.id.clone()).or_default().extend(gateway);
        }
        for (network, text) in self.store.services.values().flat_map(|service| &service.virtual_ips) {
            used.entry(network.clone()).or_default().extend(address(text));
        }
        for task in self.store.tasks.values().filter(|task| !task.is_dead()) {
            for attachment in &task.networks {
                used.entry(attachment.network.clone()).or_default().extend(address(&attachment.address));
            }
        }
        used
    }

    /// The next free address behind the last one that was given away, so that addresses are not reused at once.
    fn take_address(&mut self, network: &str, used: &mut Used) -> Option<String> {
        self.store.version += 1;
        let version = self.store.version;
        let network = self.store.networks.get_mut(network)?;
        network.meta.version = version;
        let (base, length) = subnet(network)?;
        let size = 1_u32 << (32 - length);
        let used = used.entry(network.id.clone()).or_default();
        let first = network.cursor.max(1);
        let host = (0..size)
            .map(|step| (first + step) % size)
            .find(|host| *host != 0 && *host != size - 1 && !used.contains(&(base + host)))?;
        network.cursor = host + 1;
        used.insert(base + host);
        Some(format!("{}/{length}", Ipv4Addr::from_bits(base + host)))
    }

    /// The ports of a service as they are published: those asked for, and free ones for the others.
    pub(crate) fn allocate_ports(&mut self, service: &str) {
        let Some(this) = self.store.services.get(service) else { return };
        let wanted = this.spec.endpoint_spec.as_ref().and_then(|endpoint| endpoint.ports.clone()).unwrap_or_default();
        let others = self.store.services.values().filter(|other| other.id != service);
        let mut taken: BTreeSet<i64> = others
            .flat_map(|other| &other.ports)
            .filter(|port| is_ingress(port))
            .filter_map(|port| port.published_port)
            .collect();
        taken.extend(wanted.iter().filter_map(|port| port.published_port));
        let before = this.ports.clone();
        let mut ports = wanted;
        for port in ports.iter_mut().filter(|port| is_ingress(port) && port.published_port.unwrap_or(0) == 0) {
            let kept = before.iter().find(|old| {
                (old.target_port, old.protocol) == (port.target_port, port.protocol)
                    && old
                        .published_port
                        .is_some_and(|number| DYNAMIC_PORTS.contains(&number) && !taken.contains(&number))
            });
            let number = kept
                .and_then(|old| old.published_port)
                .or_else(|| DYNAMIC_PORTS.into_iter().find(|number| !taken.contains(number)));
            taken.extend(number);
            port.published_port = number;
        }
        let now = self.now;
        if ports != before {
            self.store.update_service(service, now, |service| service.ports = ports);
        }
    }

    /// The first subnet of the swarm's pools that no network has, for a network without a choice of its own.
    pub(crate) fn next_subnet(&self) -> Option<String> {
        let cluster = self.store.cluster.as_ref()?;
        let taken: Vec<(u32, u32)> = self.store.networks.values().filter_map(subnet).collect();
        let length = cluster.subnet_size;
        let size = 1_u64.checked_shl(32_u32.checked_sub(length)?)?;
        for pool in &cluster.address_pools {
            let Some((base, pool_length)) = pool.split_once('/') else { continue };
            let (Ok(base), Ok(pool_length)) = (base.parse::<Ipv4Addr>(), pool_length.parse::<u32>()) else { continue };
            let Some(count) = length.checked_sub(pool_length).and_then(|bits| 1_u64.checked_shl(bits)) else {
                continue;
            };
            for number in 0..count {
                let Ok(candidate) = u32::try_from(u64::from(base.to_bits()) + number * size) else { break };
                let overlaps = taken.iter().any(|(other, other_length)| {
                    let mask = u32::MAX.checked_shl(32 - length.min(*other_length)).unwrap_or(0);
                    candidate & mask == other & mask
                });
                if !overlaps {
                    return Some(format!("{}/{length}", Ipv4Addr::from_bits(candidate)));
                }
            }
        }
        None
    }
}
