use std::{collections::HashMap, sync::PoisonError};

use docklab_api::{
    ApiResult,
    models::{
        ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, DriverData, Health, NetworkSettings,
        PortBinding, PortMap,
    },
};

use super::{
    Container,
    list::{endpoint_model, mount_model},
    record::{Record, State},
};
use crate::{
    Engine,
    networks::dns_names,
    ports::{ContainerPort, protocol_name},
    time,
};

fn state_model(state: &State) -> ContainerState {
    let status = match state.word() {
        "running" => ContainerStateStatusEnum::RUNNING,
        "paused" => ContainerStateStatusEnum::PAUSED,
        "restarting" => ContainerStateStatusEnum::RESTARTING,
        "removing" => ContainerStateStatusEnum::REMOVING,
        "dead" => ContainerStateStatusEnum::DEAD,
        "created" => ContainerStateStatusEnum::CREATED,
        _ => ContainerStateStatusEnum::EXITED,
    };
    ContainerState {
        status: Some(status),
        running: Some(state.running),
        paused: Some(state.paused),
        restarting: Some(state.restarting),
        oom_killed: Some(state.oom_killed),
        dead: Some(state.dead),
        pid: Some(i64::from(state.pid)),
        exit_code: Some(i64::from(state.exit_code)),
        error: Some(state.error.clone()),
        started_at: Some(time::rfc3339(state.started_at)),
        finished_at: Some(time::rfc3339(state.finished_at)),
        health: state.health.as_ref().map(|health| Health {
            status: Some(health.status),
            failing_streak: Some(health.failing_streak),
            log: Some(health.log.clone()),
        }),
    }
}

/// `NetworkSettings.Ports`: bindings of opened ports, null for ports that are only exposed; empty unless running.
fn port_map(record: &Record) -> PortMap {
    let mut map = PortMap::new();
    if record.sandbox.is_empty() {
        return map;
    }
    for port in record.config.exposed_ports.iter().flat_map(|ports| ports.keys()) {
        if let Ok(port) = ContainerPort::parse(port) {
            map.insert(port.text(), None);
        }
    }
    for port in &record.ports {
        let key = format!("{}/{}", port.container_port, protocol_name(port.protocol));
        map.entry(key).or_default().get_or_insert_default().push(PortBinding {
            host_ip: Some(port.host_address.to_string()),
            host_port: Some(port.host_port.to_string()),
        });
    }
    map
}

impl Engine {
    fn network_settings(&self, record: &Record) -> NetworkSettings {
        let networks = record
            .endpoints
            .iter()
            .map(|(name, endpoint)| {
                let user_defined = !matches!(name.as_str(), "bridge" | "host" | "none");
                let names = user_defined
                    .then(|| dns_names(&record.name, &record.id, record.config.hostname.as_deref(), &endpoint.aliases));
                (name.clone(), endpoint_model(endpoint, names))
            })
            .collect();
        // The fields of the default bridge are repeated at the top, for clients older than user networks.
        let bridge = record.endpoints.get("bridge").cloned().unwrap_or_default();
        let text = |address: Option<std::net::IpAddr>| Some(address.map(|a| a.to_string()).unwrap_or_default());
        let key = if record.sandbox.is_empty() {
            String::new()
        } else {
            format!("/var/run/docker/netns/{}", crate::short_id(&record.sandbox))
        };
        NetworkSettings {
            bridge: Some(String::new()),
            sandbox_id: Some(record.sandbox.clone()),
            hairpin_mode: Some(false),
            link_local_ipv6_address: Some(String::new()),
            link_local_ipv6_prefix_len: Some(0),
            ports: Some(port_map(record)),
            sandbox_key: Some(key),
            secondary_ip_addresses: None,
            secondary_ipv6_addresses: None,
            endpoint_id: Some(bridge.endpoint_id),
            gateway: text(bridge.gateway),
            global_ipv6_address: Some(String::new()),
            global_ipv6_prefix_len: Some(0),
            ip_address: text(bridge.address),
            ip_prefix_len: Some(i64::from(bridge.prefix_length)),
            ipv6_gateway: Some(String::new()),
            mac_address: Some(bridge.mac),
            networks: Some(networks),
        }
    }

    /// `docker inspect`.
    pub(crate) async fn inspect(&self, container: &Container, size: bool) -> ApiResult<ContainerInspectResponse> {
        let mut record = container.snapshot();
        if !record.links.is_empty() {
            record.host_config.links = Some(self.link_texts(&record));
        }
        let execs: Vec<String> =
            container.execs.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        let (size_rw, size_root_fs) = if size {
            let (own, whole) = self.sizes(&record.id, Some(&record.image_id)).await;
            (Some(own), Some(whole))
        } else {
            (None, None)
        };
        let root = format!("{}/containers/{}", self.host.info().root_dir, record.id);
        let networked = record.host_config.network_mode.as_deref() != Some("host") || record.state.started_at.is_some();
        let file = |name: &str| {
            Some(if record.state.started_at.is_some() && networked { format!("{root}/{name}") } else { String::new() })
        };
        Ok(ContainerInspectResponse {
            id: Some(record.id.clone()),
            created: Some(time::rfc3339(Some(record.created))),
            path: Some(record.path.clone()),
            args: Some(record.args.clone()),
            state: Some(state_model(&record.state)),
            image: Some(record.image_id.clone()),
            resolv_conf_path: file("resolv.conf"),
            hostname_path: file("hostname"),
            hosts_path: file("hosts"),
            log_path: file(&format!("{}-json.log", record.id)),
            name: Some(format!("/{}", record.name)),
            restart_count: Some(i64::from(record.restart_count)),
            driver: Some("overlay2".to_owned()),
            platform: Some("linux".to_owned()),
            image_manifest_descriptor: None,
            mount_label: Some(String::new()),
            process_label: Some(String::new()),
            app_armor_profile: Some(String::new()),
            exec_ids: (!execs.is_empty()).then_some(execs),
            graph_driver: Some(DriverData {
                name: "overlay2".to_owned(),
                data: HashMap::from([("ID".to_owned(), record.id.clone())]),
            }),
            size_rw,
            size_root_fs,
            mounts: Some(record.mounts.iter().filter(|mount| !mount.hidden).filter_map(mount_model).collect()),
            network_settings: Some(self.network_settings(&record)),
            config: Some(record.config),
            host_config: Some(record.host_config),
        })
    }
}
