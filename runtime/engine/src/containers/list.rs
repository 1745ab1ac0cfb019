use std::collections::HashMap;

use docklab_api::{
    ApiResult, ListContainers,
    models::{
        ContainerSummary, ContainerSummaryHostConfig, ContainerSummaryNetworkSettings, ContainerSummaryStateEnum,
        EndpointSettings, HealthStatusEnum, MountPoint, MountPointTypeEnum, Port, PortTypeEnum,
    },
};
use docklab_host::Protocol;
use jiff::Timestamp;

use super::{
    MountKind,
    record::{Endpoint, Mountpoint, Record, State},
};
use crate::{Engine, ports::ContainerPort, time};

/// The text under STATUS.
pub(crate) fn status(state: &State, now: Timestamp) -> String {
    let ago =
        |since: Option<Timestamp>| time::human_duration(since.map_or(0, |since| time::seconds_between(since, now)));
    if state.running {
        if state.paused {
            return format!("Up {} (Paused)", ago(state.started_at));
        }
        if state.restarting {
            return format!("Restarting ({}) {} ago", state.exit_code, ago(state.finished_at));
        }
        let health = match state.health.as_ref().map(|health| health.status) {
            Some(HealthStatusEnum::STARTING) => " (health: starting)",
            Some(HealthStatusEnum::HEALTHY) => " (healthy)",
            Some(HealthStatusEnum::UNHEALTHY) => " (unhealthy)",
            _ => "",
        };
        return format!("Up {}{health}", ago(state.started_at));
    }
    match state.word() {
        "removing" => "Removal In Progress".to_owned(),
        "dead" => "Dead".to_owned(),
        "created" => "Created".to_owned(),
        _ => format!("Exited ({}) {} ago", state.exit_code, ago(state.finished_at)),
    }
}

fn state_enum(word: &str) -> ContainerSummaryStateEnum {
    match word {
        "running" => ContainerSummaryStateEnum::RUNNING,
        "paused" => ContainerSummaryStateEnum::PAUSED,
        "restarting" => ContainerSummaryStateEnum::RESTARTING,
        "removing" => ContainerSummaryStateEnum::REMOVING,
        "dead" => ContainerSummaryStateEnum::DEAD,
        "created" => ContainerSummaryStateEnum::CREATED,
        _ => ContainerSummaryStateEnum::EXITED,
    }
}

/// The command as the table shows it: arguments with a space in quotes.
fn command(record: &Record) -> String {
    let mut text = record.path.clone();
    for argument in &record.args {
        text.push(' ');
        if argument.contains(' ') {
            text.push('\'');
            text.push_str(argument);
            text.push('\'');
        } else {
            text.push_str(argument);
        }
    }
    text
}

fn port_type(protocol: Protocol) -> PortTypeEnum {
    match protocol {
        Protocol::Tcp => PortTypeEnum::TCP,
        Protocol::Udp => PortTypeEnum::UDP,
    }
}

fn list_ports(record: &Record) -> Vec<Port> {
    if !record.state.running || record.sandbox.is_empty() {
        return Vec::new();
    }
    let mut list: Vec<Port> = record
        .ports
        .iter()
        .map(|port| Port {
            ip: Some(port.host_address.to_string()),
            private_port: port.container_port,
            public_port: Some(port.host_port),
            typ: Some(port_type(port.protocol)),
        })
        .collect();
    for port in record.config.exposed_ports.iter().flat_map(|ports| ports.keys()) {
        let Ok(port) = ContainerPort::parse(port) else { continue };
        let published =
            |open: &docklab_host::PublishedPort| open.container_port == port.number && open.protocol == port.protocol;
        if !record.ports.iter().any(published) {
            list.push(Port {
                ip: None,
                private_port: port.number,
                public_port: None,
                typ: Some(port_type(port.protocol)),
            });
        }
    }
    list.sort_by(|one, other| {
        (one.private_port, one.ip.as_deref(), one.public_port).cmp(&(
            other.private_port,
            other.ip.as_deref(),
            other.public_port,
        ))
    });
    list
}

/// A mount as inspect and list show it.
pub(crate) fn mount_model(mount: &Mountpoint) -> Option<MountPoint> {
    let optional = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (typ, driver, propagation) = match mount.kind {
        MountKind::Bind if mount.propagation.is_empty() => (MountPointTypeEnum::BIND, None, "rprivate"),
        MountKind::Bind => (MountPointTypeEnum::BIND, None, mount.propagation.as_str()),
        MountKind::Volume => (MountPointTypeEnum::VOLUME, Some("local".to_owned()), ""),
        MountKind::Tmpfs => (MountPointTypeEnum::TMPFS, None, ""),
    };
    Some(MountPoint {
        typ: Some(typ),
        name: optional(&mount.name),
        source: Some(mount.source.clone()),
        destination: Some(mount.target.clone()),
        driver,
        mode: Some(mount.mode.clone()),
        rw: Some(!mount.read_only),
        propagation: Some(propagation.to_owned()),
    })
}

/// What was asked of an endpoint's addresses.
fn ipam_config(endpoint: &Endpoint) -> Option<docklab_api::models::EndpointIpamConfig> {
    let config = docklab_api::models::EndpointIpamConfig {
        ipv4_address: endpoint.wanted_address.map(|wanted| wanted.to_string()),
        ipv6_address: endpoint.wanted_ipv6.map(|wanted| wanted.to_string()),
        link_local_ips: (!endpoint.link_local.is_empty())
            .then(|| endpoint.link_local.iter().map(ToString::to_string).collect()),
    };
    (config != docklab_api::models::EndpointIpamConfig::default()).then_some(config)
}

/// An endpoint as inspect and list show it.
pub(crate) fn endpoint_model(endpoint: &Endpoint, dns_names: Option<Vec<String>>) -> EndpointSettings {
    let list = |values: &[String]| (!values.is_empty()).then(|| values.to_vec());
    let ipv6 = endpoint.ipv6.as_ref();
    let address = |address: Option<std::net::IpAddr>| Some(address.map(|a| a.to_string()).unwrap_or_default());
    EndpointSettings {
        ipam_config: ipam_config(endpoint),
        links: list(&endpoint.links),
        mac_address: Some(if endpoint.mac.is_empty() { endpoint.wanted_mac.clone() } else { endpoint.mac.clone() }),
        aliases: list(&endpoint.aliases),
        driver_opts: (!endpoint.driver_opts.is_empty()).then(|| endpoint.driver_opts.clone().into_iter().collect()),
        gw_priority: Some(endpoint.gateway_priority),
        network_id: Some(endpoint.network_id.clone()),
        endpoint_id: Some(endpoint.endpoint_id.clone()),
        gateway: address(endpoint.gateway),
        ip_address: address(endpoint.address),
        ip_prefix_len: Some(i64::from(endpoint.prefix_length)),
        ipv6_gateway: Some(ipv6.and_then(|ipv6| ipv6.gateway).map(|ip| ip.to_string()).unwrap_or_default()),
        global_ipv6_address: Some(ipv6.map(|ipv6| ipv6.address.to_string()).unwrap_or_default()),
        global_ipv6_prefix_len: Some(ipv6.map_or(0, |ipv6| i64::from(ipv6.prefix_length))),
        dns_names,
    }
}

impl Engine {
    fn summary(&self, record: &Record, now: Timestamp) -> ContainerSummary {
        let typed = record.config.image.clone().unwrap_or_default();
        let networks: HashMap<String, EndpointSettings> =
            record.endpoints.iter().map(|(name, endpoint)| (name.clone(), endpoint_model(endpoint, None))).collect();
        ContainerSummary {
            id: Some(record.id.clone()),
            names: Some(vec![format!("/{}", record.name)]),
            // Names by others' links are added when no record is held.
            image: Some(self.images.display_name(&typed, &record.image_id)),
            image_id: Some(record.image_id.clone()),
            image_manifest_descriptor: None,
            command: Some(command(record)),
            created: Some(record.created.as_second()),
            ports: Some(list_ports(record)),
            size_rw: None,
            size_root_fs: None,
            labels: Some(record.config.labels.clone().unwrap_or_default()),
            state: Some(state_enum(record.state.word())),
            status: Some(status(&record.state, now)),
            host_config: Some(ContainerSummaryHostConfig {
                network_mode: record.host_config.network_mode.clone(),
                annotations: record.host_config.annotations.clone(),
            }),
            network_settings: Some(ContainerSummaryNetworkSettings { networks: Some(networks) }),
            mounts: Some(record.mounts.iter().filter_map(mount_model).collect()),
        }
    }

    /// `docker ps`, newest first.
    pub(crate) async fn list(&self, options: ListContainers) -> ApiResult<Vec<ContainerSummary>> {
        let limit = options.limit.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
        // Asking for states, or for the newest N, means stopped ones too.
        let all = options.all || limit.is_some() || !options.filters.get("status").is_empty();
        let filter = self.container_filter(options.filters)?;
        let now = self.host.now();
        let mut found: Vec<(Timestamp, ContainerSummary)> = Vec::new();
        for container in self.containers.all() {
            container.read(|record| {
                if (all || record.state.running) && self.filter_matches(&filter, record) {
                    found.push((record.created, self.summary(record, now)));
                }
            });
        }
        found.sort_by_key(|(created, _)| std::cmp::Reverse(*created));
        let mut list: Vec<ContainerSummary> = found.into_iter().map(|(_, summary)| summary).collect();
        list.truncate(limit.unwrap_or(usize::MAX));
        for summary in &mut list {
            let linked = self.link_names(summary.id.as_deref().unwrap_or(""));
            summary.names.get_or_insert_default().extend(linked);
        }
        if options.size {
            for summary in &mut list {
                let (own, whole) = self.sizes(summary.id.as_deref().unwrap_or(""), summary.image_id.as_deref()).await;
                summary.size_rw = Some(own);
                summary.size_root_fs = Some(whole);
            }
        }
        Ok(list)
    }

    /// Bytes of a container's writable layer, and of all its layers.
    pub(crate) async fn sizes(&self, id: &str, image: Option<&str>) -> (i64, i64) {
        // One broken container must not break the list.
        let own = self.host.rootfs_size(id).await.unwrap_or(0);
        let whole = own + self.images.size(image.unwrap_or(""));
        (i64::try_from(own).unwrap_or(i64::MAX), i64::try_from(whole).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_texts() {
        let at = |second: i64| Timestamp::from_second(second).unwrap_or_default();
        let now = at(100);
        let running = State { running: true, started_at: Some(at(99)), ..State::default() };
        assert_eq!(status(&running, now), "Up 1 second");
        assert_eq!(status(&State { paused: true, ..running.clone() }, now), "Up 1 second (Paused)");
        let restarting = State { restarting: true, exit_code: 3, finished_at: Some(at(90)), ..running };
        assert_eq!(status(&restarting, now), "Restarting (3) 10 seconds ago");
        assert_eq!(status(&State::default(), now), "Created");
        let exited = State { started_at: Some(at(1)), finished_at: Some(at(100)), exit_code: 137, ..State::default() };
        assert_eq!(status(&exited, now), "Exited (137) Less than a second ago");
    }
}
