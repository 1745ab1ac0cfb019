use std::collections::HashMap;

use docklab_api::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, HostConfig, ImageSummary, Network, SystemInfo,
};

/// What the page knows of one node: the API's objects, reduced to what is drawn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeView {
    pub name: String,
    pub host: HostFacts,
    /// Oldest first, so that a new container appears behind those that are there.
    pub containers: Vec<ContainerView>,
    pub images: Vec<ImageView>,
    pub networks: Vec<NetworkView>,
}

/// The machine that the containers share.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostFacts {
    pub operating_system: String,
    pub kernel: String,
    pub architecture: String,
    pub cpus: i64,
    /// Bytes.
    pub memory: i64,
}

/// `docker inspect` says `running` for a paused container too; here each state is one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ContainerState {
    #[default]
    Created,
    Running,
    Paused,
    Restarting,
    Exited,
    Removing,
    Dead,
}

impl ContainerState {
    /// The word that Docker uses, also the value of `data-state` in the page's styles.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Removing => "removing",
            Self::Dead => "dead",
        }
    }
    /// True while processes exist.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// A kind of namespace, and whether the container has one of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// As in `lsns`: `pid`, `mnt`, `net`, `uts`, `ipc`, `cgroup`.
    pub kind: &'static str,
    pub sharing: Sharing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sharing {
    Own,
    Host,
    /// Another container's; its ID or name.
    Container(String),
}

/// A published or merely exposed port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortView {
    pub container_port: u16,
    pub protocol: String,
    /// `None` for a port that is exposed and not published.
    pub host_port: Option<u16>,
}

/// A container's place in a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub network: String,
    /// Empty while the container does not run.
    pub address: String,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerView {
    pub id: String,
    pub name: String,
    pub image: String,
    /// True for an image that docklab built in place of the real one.
    pub stand_in: bool,
    pub state: ContainerState,
    pub exit_code: i64,
    /// As the host sees it; 0 when nothing runs.
    pub pid: i64,
    /// PID 1's command line.
    pub command: String,
    pub created: String,
    pub error: String,
    pub namespaces: Vec<Namespace>,
    pub ports: Vec<PortView>,
    pub endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ImageView {
    pub id: String,
    /// `ubuntu:latest`; empty for an untagged image.
    pub tag: String,
    /// Bytes.
    pub size: i64,
    pub stand_in: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkView {
    pub id: String,
    pub name: String,
    pub driver: String,
    pub subnet: String,
}

/// The label of images that docklab builds where the Hub cannot be reached.
pub(crate) const STAND_IN_LABEL: &str = "org.docklab.stand-in";

fn is_stand_in(labels: Option<&HashMap<String, String>>) -> bool {
    labels.and_then(|labels| labels.get(STAND_IN_LABEL)).is_some_and(|value| value == "true")
}

impl HostFacts {
    pub fn of(info: &SystemInfo) -> Self {
        Self {
            operating_system: info.operating_system.clone().unwrap_or_default(),
            kernel: info.kernel_version.clone().unwrap_or_default(),
            architecture: info.architecture.clone().unwrap_or_default(),
            cpus: info.ncpu.unwrap_or_default(),
            memory: info.mem_total.unwrap_or_default(),
        }
    }
}

impl ContainerView {
    /// Reads what `GET /containers/{id}/json` answered.
    pub fn of(inspect: &ContainerInspectResponse) -> Self {
        let state = inspect.state.clone().unwrap_or_default();
        let config = inspect.config.clone().unwrap_or_default();
        let mut command = vec![inspect.path.clone().unwrap_or_default()];
        command.extend(inspect.args.clone().unwrap_or_default());
        Self {
            id: inspect.id.clone().unwrap_or_default(),
            name: inspect.name.as_deref().unwrap_or_default().trim_start_matches('/').to_owned(),
            image: config.image.clone().unwrap_or_default(),
            stand_in: is_stand_in(config.labels.as_ref()),
            state: state_of(&state),
            exit_code: state.exit_code.unwrap_or_default(),
            pid: state.pid.unwrap_or_default(),
            command: command.join(" ").trim().to_owned(),
            created: inspect.created.clone().unwrap_or_default(),
            error: state.error.unwrap_or_default(),
            namespaces: namespaces(inspect.host_config.as_ref()),
            ports: ports(inspect),
            endpoints: endpoints(inspect),
        }
    }
    /// The twelve digits that Docker prints.
    pub fn short_id(&self) -> &str {
        short_id(&self.id)
    }
    /// `Running`, `Exited (137)`, …
    pub fn state_text(&self) -> String {
        match self.state {
            ContainerState::Exited => format!("Exited ({})", self.exit_code),
            state => {
                let word = state.as_str();
                word[..1].to_uppercase() + &word[1..]
            }
        }
    }
}

/// The first twelve digits of an ID, without its algorithm.
pub fn short_id(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}

fn state_of(state: &docklab_api::models::ContainerState) -> ContainerState {
    match state.status {
        Some(ContainerStateStatusEnum::RUNNING) if state.paused == Some(true) => ContainerState::Paused,
        Some(ContainerStateStatusEnum::RUNNING) => ContainerState::Running,
        Some(ContainerStateStatusEnum::PAUSED) => ContainerState::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => ContainerState::Restarting,
        Some(ContainerStateStatusEnum::REMOVING) => ContainerState::Removing,
        Some(ContainerStateStatusEnum::EXITED) => ContainerState::Exited,
        Some(ContainerStateStatusEnum::DEAD) => ContainerState::Dead,
        Some(ContainerStateStatusEnum::CREATED | ContainerStateStatusEnum::EMPTY) | None => ContainerState::Created,
    }
}

fn sharing(mode: Option<&str>) -> Sharing {
    match mode.unwrap_or_default() {
        "host" => Sharing::Host,
        mode => match mode.strip_prefix("container:") {
            Some(other) => Sharing::Container(other.to_owned()),
            None => Sharing::Own,
        },
    }
}

fn namespaces(config: Option<&HostConfig>) -> Vec<Namespace> {
    let mode = |pick: fn(&HostConfig) -> Option<&str>| sharing(config.and_then(pick));
    let cgroup = config.and_then(|config| config.cgroupns_mode.as_ref()).map(ToString::to_string);
    vec![
        Namespace { kind: "pid", sharing: mode(|config| config.pid_mode.as_deref()) },
        // A container without a file system of its own does not exist.
        Namespace { kind: "mnt", sharing: Sharing::Own },
        Namespace { kind: "net", sharing: mode(|config| config.network_mode.as_deref()) },
        Namespace { kind: "uts", sharing: mode(|config| config.uts_mode.as_deref()) },
        Namespace { kind: "ipc", sharing: mode(|config| config.ipc_mode.as_deref()) },
        Namespace { kind: "cgroup", sharing: sharing(cgroup.as_deref()) },
    ]
}

fn ports(inspect: &ContainerInspectResponse) -> Vec<PortView> {
    let alive = inspect.state.as_ref().and_then(|state| state.running).unwrap_or_default();
    let opened = inspect.network_settings.as_ref().and_then(|settings| settings.ports.as_ref());
    let asked = inspect.host_config.as_ref().and_then(|config| config.port_bindings.as_ref());
    // A stopped container holds no port; what it would open again is in its configuration.
    let Some(map) = (if alive { opened } else { asked }) else { return Vec::new() };
    let mut ports: Vec<PortView> = map
        .iter()
        .flat_map(|(key, bindings)| {
            let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
            let container_port = port.parse().unwrap_or_default();
            let host_ports: Vec<Option<u16>> = match bindings {
                Some(bindings) if !bindings.is_empty() => bindings
                    .iter()
                    .map(|binding| binding.host_port.as_deref().and_then(|port| port.parse().ok()))
                    .collect(),
                _ => vec![None],
            };
            host_ports.into_iter().map(move |host_port| PortView {
                container_port,
                protocol: protocol.to_owned(),
                host_port,
            })
        })
        .collect();
    // IPv4 and IPv6 are two bindings of one port.
    ports.sort();
    ports.dedup();
    ports
}

fn endpoints(inspect: &ContainerInspectResponse) -> Vec<Endpoint> {
    let Some(networks) = inspect.network_settings.as_ref().and_then(|settings| settings.networks.as_ref()) else {
        return Vec::new();
    };
    let mut endpoints: Vec<Endpoint> = networks
        .iter()
        .map(|(network, endpoint)| Endpoint {
            network: network.clone(),
            address: endpoint.ip_address.clone().unwrap_or_default(),
        })
        .collect();
    endpoints.sort_by(|one, other| one.network.cmp(&other.network));
    endpoints
}

impl ImageView {
    /// One view a tag; an untagged image is one view with an empty tag.
    pub fn all_of(image: &ImageSummary) -> Vec<Self> {
        let view = |tag: &str| Self {
            id: image.id.clone(),
            tag: tag.to_owned(),
            size: image.size,
            stand_in: is_stand_in(Some(&image.labels)),
        };
        let tags: Vec<&String> = image.repo_tags.iter().filter(|tag| *tag != "<none>:<none>").collect();
        if tags.is_empty() { vec![view("")] } else { tags.into_iter().map(|tag| view(tag)).collect() }
    }
}

impl NetworkView {
    pub fn of(network: &Network) -> Self {
        let subnet = network
            .ipam
            .as_ref()
            .and_then(|ipam| ipam.config.as_ref())
            .and_then(|config| config.iter().find_map(|range| range.subnet.clone()))
            .unwrap_or_default();
        Self {
            id: network.id.clone().unwrap_or_default(),
            name: network.name.clone().unwrap_or_default(),
            driver: network.driver.clone().unwrap_or_default(),
            subnet,
        }
    }
}

/// Bytes as Docker prints them: three digits, powers of 1000.
pub fn human_size(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    #[allow(clippy::cast_precision_loss)] // three digits are shown
    let mut value = bytes.max(0) as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspect(json: &str) -> ContainerView {
        ContainerView::of(&serde_json::from_str(json).expect("an inspect answer"))
    }

    #[test]
    fn a_paused_container_is_not_running() {
        let view = inspect(r#"{"State":{"Status":"paused","Running":true,"Paused":true,"Pid":7}}"#);
        assert_eq!(view.state, ContainerState::Paused);
        assert!(view.state.is_alive());
    }

    #[test]
    fn both_bindings_of_a_port_are_one() {
        let view = inspect(
            r#"{"State":{"Status":"running","Running":true},"NetworkSettings":{"Ports":{"80/tcp":[
                {"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}],"443/tcp":null}}}"#,
        );
        assert_eq!(
            view.ports,
            [
                PortView { container_port: 80, protocol: "tcp".into(), host_port: Some(8080) },
                PortView { container_port: 443, protocol: "tcp".into(), host_port: None },
            ]
        );
    }

    #[test]
    fn shared_namespaces_are_told_apart() {
        let view = inspect(r#"{"HostConfig":{"NetworkMode":"host","PidMode":"container:db","IpcMode":"private"}}"#);
        let shared: Vec<_> = view.namespaces.iter().filter(|one| one.sharing != Sharing::Own).collect();
        assert_eq!(shared[0].sharing, Sharing::Container("db".into()));
        assert_eq!((shared[1].kind, &shared[1].sharing), ("net", &Sharing::Host));
        assert_eq!(shared.len(), 2);
    }

    #[test]
    fn an_exit_code_is_part_of_the_state() {
        let view = inspect(r#"{"State":{"Status":"exited","ExitCode":137}}"#);
        assert_eq!(view.state_text(), "Exited (137)");
    }

    #[test]
    fn sizes_have_three_digits() {
        assert_eq!(human_size(78_123_456), "78.1 MB");
        assert_eq!(human_size(512), "512 B");
        assert_eq!(human_size(4_210), "4.21 kB");
    }
}
