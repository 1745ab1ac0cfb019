//! From a task to a container's configuration.

use std::collections::HashMap;

use base64::Engine as _;
use docklab_api::{
    ApiError, ApiResult,
    models::{
        ContainerCreateBody, EndpointIpamConfig, EndpointPortConfigProtocolEnum as Protocol, EndpointSettings,
        HostConfig, NetworkingConfig, PortBinding,
    },
};
use docklab_swarm::{FileContent, TaskAssignment};

use super::Engine;

/// Marks the containers of tasks.
pub(super) const TASK_LABEL: &str = "com.docker.swarm.task.id";
const DEFAULT_GRACE: i64 = 10_000_000_000;

/// `web.1.<task>`
pub(super) fn container_name(task: &TaskAssignment) -> String {
    format!("{}.{}", task.name, task.id)
}

/// Seconds between the stop signal and the kill.
pub(super) fn stop_timeout(task: &TaskAssignment) -> i64 {
    let grace = task.spec.container_spec.as_ref().and_then(|container| container.stop_grace_period);
    grace.unwrap_or(DEFAULT_GRACE) / 1_000_000_000
}

impl Engine {
    pub(super) fn task_container(&self, task: &TaskAssignment) -> ContainerCreateBody {
        let spec = task.spec.container_spec.clone().unwrap_or_default();
        let hostname = self.host.info().hostname;
        let fill = |text: &str| fill(text, task, &hostname);
        let mut labels: HashMap<String, String> = spec.labels.unwrap_or_default();
        for (key, value) in [
            ("com.docker.swarm.task", ""),
            (TASK_LABEL, task.id.as_str()),
            ("com.docker.swarm.task.name", &container_name(task)),
            ("com.docker.swarm.node.id", &task.node),
            ("com.docker.swarm.service.id", &task.service),
            ("com.docker.swarm.service.name", &task.service_name),
        ] {
            labels.insert(key.to_owned(), value.to_owned());
        }
        let limits = task.spec.resources.as_ref().and_then(|resources| resources.limits.clone()).unwrap_or_default();
        let reserved =
            task.spec.resources.as_ref().and_then(|resources| resources.reservations.clone()).unwrap_or_default();
        let dns = spec.dns_config.unwrap_or_default();
        let (mode, networking) = self.task_networks(task);
        let mut ports: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
        for port in &task.host_ports {
            let protocol = match port.protocol {
                Some(Protocol::UDP) => "udp",
                Some(Protocol::SCTP) => "sctp",
                _ => "tcp",
            };
            let published = port.published_port.filter(|published| *published != 0);
            let binding = PortBinding {
                host_ip: Some(String::new()),
                host_port: Some(published.map_or(String::new(), |published| published.to_string())),
            };
            let key = format!("{}/{protocol}", port.target_port.unwrap_or(0));
            ports.entry(key).or_default().get_or_insert_default().push(binding);
        }
        let hosts = spec.hosts.unwrap_or_default().into_iter().filter_map(|line| {
            // The API has `address name…` as in /etc/hosts, a container's configuration `name:address`.
            let mut words = line.split_whitespace().map(str::to_owned);
            let address = words.next()?;
            Some(words.map(|name| format!("{name}:{address}")).collect::<Vec<_>>())
        });
        let host_config = HostConfig {
            mounts: spec.mounts,
            network_mode: Some(mode),
            port_bindings: Some(ports).filter(|ports| !ports.is_empty()),
            nano_cpus: limits.nano_cpus,
            memory: limits.memory_bytes,
            pids_limit: limits.pids.filter(|pids| *pids > 0),
            memory_reservation: reserved.memory_bytes,
            init: spec.init,
            readonly_rootfs: spec.read_only,
            dns: dns.nameservers,
            dns_search: dns.search,
            dns_options: dns.options,
            extra_hosts: Some(hosts.flatten().collect::<Vec<_>>()).filter(|hosts| !hosts.is_empty()),
            cap_add: spec.capability_add,
            cap_drop: spec.capability_drop,
            sysctls: spec.sysctls,
            ulimits: spec.ulimits,
            oom_score_adj: spec.oom_score_adj,
            group_add: spec.groups,
            ..HostConfig::default()
        };
        ContainerCreateBody {
            image: spec.image,
            entrypoint: spec.command,
            cmd: spec.args,
            hostname: spec.hostname.as_deref().map(fill),
            env: spec.env.map(|env| env.iter().map(|entry| fill(entry)).collect()),
            working_dir: spec.dir,
            user: spec.user,
            tty: spec.tty,
            open_stdin: spec.open_stdin,
            stop_signal: spec.stop_signal,
            healthcheck: spec.health_check,
            labels: Some(labels),
            host_config: Some(host_config),
            networking_config: Some(networking),
            ..ContainerCreateBody::default()
        }
    }

    /// The network mode and the endpoints. A task on no network of the swarm is on the node's bridge.
    fn task_networks(&self, task: &TaskAssignment) -> (String, NetworkingConfig) {
        let mut endpoints = HashMap::new();
        let mut mode = String::new();
        for attachment in &task.networks {
            let Ok(network) = self.networks.find(&attachment.network) else { continue };
            let name = network.record.name.clone();
            // A user's network comes before the ingress network.
            if mode.is_empty() || !network.record.ingress {
                mode.clone_from(&name);
            }
            let mut aliases = attachment.aliases.clone();
            aliases.push(task.id.clone());
            let address = attachment.address.split('/').next().map(str::to_owned);
            let settings = EndpointSettings {
                ipam_config: Some(EndpointIpamConfig { ipv4_address: address, ..EndpointIpamConfig::default() }),
                aliases: Some(aliases),
                ..EndpointSettings::default()
            };
            endpoints.insert(name, settings);
        }
        let host = task.spec.networks.iter().flatten().any(|network| network.target.as_deref() == Some("host"));
        if mode.is_empty() {
            mode = if host { "host" } else { "bridge" }.to_owned();
        }
        (mode, NetworkingConfig { endpoints_config: Some(endpoints).filter(|endpoints| !endpoints.is_empty()) })
    }
}

/// The placeholders of service templates that have a plain value.
fn fill(text: &str, task: &TaskAssignment, hostname: &str) -> String {
    if !text.contains("{{") {
        return text.to_owned();
    }
    let slot = if task.slot == 0 { task.node.clone() } else { task.slot.to_string() };
    let name = container_name(task);
    let values = [
        ("Service.ID", task.service.as_str()),
        ("Service.Name", &task.service_name),
        ("Node.ID", &task.node),
        ("Node.Hostname", hostname),
        ("Task.ID", &task.id),
        ("Task.Name", &name),
        ("Task.Slot", &slot),
    ];
    let mut text = text.to_owned();
    for (key, value) in values {
        for placeholder in [format!("{{{{.{key}}}}}"), format!("{{{{ .{key} }}}}")] {
            text = text.replace(&placeholder, value);
        }
    }
    text
}

/// Secrets and configs as one tar to unpack at the container's root.
pub(super) fn files_archive(files: &[FileContent]) -> ApiResult<Vec<u8>> {
    let failed = |error: std::io::Error| ApiError::system(format!("failed to pack secrets and configs: {error}"));
    let mut archive = tar::Builder::new(Vec::new());
    for file in files {
        let content = base64::engine::general_purpose::STANDARD
            .decode(&file.data)
            .map_err(|error| ApiError::invalid(format!("{} is not base64: {error}", file.target)))?;
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(file.mode);
        header.set_uid(file.uid.into());
        header.set_gid(file.gid.into());
        header.set_mtime(0);
        archive.append_data(&mut header, file.target.trim_start_matches('/'), content.as_slice()).map_err(failed)?;
    }
    archive.into_inner().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> TaskAssignment {
        TaskAssignment {
            id: "t1".into(),
            name: "web.3".into(),
            slot: 3,
            service: "s1".into(),
            service_name: "web".into(),
            service_labels: Vec::new(),
            node: "n1".into(),
            desired: docklab_swarm::State::RUNNING,
            spec: docklab_api::models::TaskSpec::default(),
            networks: Vec::new(),
            host_ports: Vec::new(),
            files: Vec::new(),
            ended: false,
        }
    }

    #[test]
    fn templates_are_filled_in() {
        assert_eq!(fill("{{.Service.Name}}-{{ .Task.Slot }}@{{.Node.Hostname}}", &task(), "node1"), "web-3@node1");
        assert_eq!(container_name(&task()), "web.3.t1");
        assert_eq!(stop_timeout(&task()), 10);
    }

    #[test]
    fn secrets_become_files() {
        let file = FileContent { target: "/run/secrets/key".into(), data: "aGk=".into(), mode: 0o400, uid: 7, gid: 8 };
        let bytes = files_archive(&[file]).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some("run/secrets/key"));
        assert_eq!((entry.header().mode().unwrap(), entry.header().uid().unwrap(), entry.size()), (0o400, 7, 2));
    }
}
