use std::sync::{Arc, PoisonError};

use docklab_api::{ApiError, ApiResult, StateChange};
use docklab_host::{EndpointSpec, HostError, PortSpec, Protocol, Started};

use super::{Container, record::Record, spec};
use crate::{
    Engine, api_error,
    networks::Network,
    object_id,
    ports::{self, ContainerPort, Wanted},
};

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where the OCI runtime's error text begins.
const RUNTIME: &str = "failed to create task for container: failed to create shim task: OCI runtime create failed: runc \
                       create failed: unable to start container process: error during container init: ";

/// PATH, HOSTNAME and TERM, then the configuration's own, which replaces them.
pub(crate) fn process_environment(record: &Record, tty: bool) -> Vec<String> {
    let mut environment =
        vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={}", record.config.hostname.as_deref().unwrap_or(""))];
    if tty {
        environment.push("TERM=xterm".to_owned());
    }
    append(&mut environment, record.config.env.iter().flatten());
    environment
}

/// Adds entries; one whose key is there replaces it, one without a value removes it.
pub(crate) fn append<'a>(environment: &mut Vec<String>, entries: impl Iterator<Item = &'a String>) {
    for entry in entries {
        let key = entry.split('=').next().unwrap_or(entry);
        let known = environment.iter().position(|other| other.split('=').next() == Some(key));
        match (known, entry.contains('=')) {
            (Some(index), true) => environment[index].clone_from(entry),
            (Some(index), false) => {
                environment.remove(index);
            }
            (None, true) => environment.push(entry.clone()),
            (None, false) => {}
        }
    }
}

/// A start that failed: Docker's text and the exit code that the container keeps.
struct Failure {
    error: ApiError,
    exit_code: i32,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { error, exit_code: 128 }
    }
}

fn networking(error: &ApiError) -> ApiError {
    ApiError::new(error.status, format!("failed to set up container networking: {}", error.message))
}

/// The endpoints and ports of one start.
struct Network4Start {
    networks: Vec<Arc<Network>>,
    endpoints: Vec<EndpointSpec>,
    ports: Vec<PortSpec>,
    /// Any port may be chosen again when the host says it is taken.
    ephemeral: bool,
}

impl Engine {
    /// `docker start`.
    pub(crate) async fn start(&self, container: &Arc<Container>) -> ApiResult<StateChange> {
        let lifecycle = container.lifecycle.lock().await;
        let blocked = container.read(|record| {
            let state = &record.state;
            if state.paused {
                Some(Err(ApiError::conflict("cannot start a paused container, try unpause instead")))
            } else if state.running {
                Some(Ok(StateChange::NotModified))
            } else if state.removing || state.dead {
                Some(Err(ApiError::conflict("container is marked for removal and cannot be started")))
            } else {
                None
            }
        });
        if let Some(result) = blocked {
            return result;
        }
        container.write(|record| {
            record.manually_stopped = false;
            record.restart_count = 0;
        });
        container.backoff.lock().unwrap_or_else(PoisonError::into_inner).reset();
        let result = self.start_locked(container).await;
        drop(lifecycle);
        if result.is_err() && container.read(|record| record.host_config.auto_remove == Some(true)) {
            let _ = self.remove(container, true, true).await;
        }
        result.map(|()| StateChange::Changed)
    }

    /// Starts a container that has no process; the caller holds its lifecycle.
    pub(crate) async fn start_locked(&self, container: &Arc<Container>) -> ApiResult<()> {
        match self.try_start(container).await {
            Ok(()) => Ok(()),
            Err(failure) => {
                self.release_network(container);
                self.ports.lock().unwrap_or_else(PoisonError::into_inner).release(&container.id);
                container.write(|record| {
                    record.state.running = false;
                    record.state.restarting = false;
                    record.state.exit_code = failure.exit_code;
                    record.state.error.clone_from(&failure.error.message);
                });
                container.hub.close();
                if let Err(error) = self.save(container).await {
                    tracing::error!(container = container.id, %error, "a failed start could not be recorded");
                }
                Err(failure.error)
            }
        }
    }

    async fn try_start(&self, container: &Arc<Container>) -> Result<(), Failure> {
        let record = container.snapshot();
        self.check_shared(&record)?;
        let linked = self.linked_environment(&record)?;
        let mut planned = self.plan_network(container, &record).map_err(|error| networking(&error))?;
        let gateway = self.networks.find("bridge").ok().and_then(|bridge| bridge.gateway()).map(|ip| ip.to_string());
        let (started, spec_ports) = loop {
            let spec = spec::container_spec(
                &record,
                planned.endpoints.clone(),
                planned.ports.clone(),
                gateway.as_deref(),
                &linked,
            )?;
            match self.host.start(&spec).await {
                Ok(started) => break (started, spec.ports),
                // Some other program has the port that was drawn: draw the next one.
                Err(HostError::PortInUse { .. }) if planned.ephemeral => {
                    planned.ports = self.reserve_ports(container, &record).map_err(|error| networking(&error))?;
                }
                Err(error) => return Err(self.start_failure(container, &planned, error)),
            }
        };
        self.running(container, started, spec_ports, &planned.networks).await?;
        Ok(())
    }

    /// A container whose namespaces this one shares must run.
    fn check_shared(&self, record: &Record) -> ApiResult<()> {
        let modes = [
            ("network", &record.host_config.network_mode),
            ("PID", &record.host_config.pid_mode),
            ("IPC", &record.host_config.ipc_mode),
        ];
        for (kind, mode) in modes {
            let Some(id) = mode.as_deref().and_then(|mode| mode.strip_prefix("container:")) else { continue };
            let other = self.container(id)?;
            let (running, restarting) = other.read(|other| (other.state.running, other.state.restarting));
            let word = if kind == "network" { "network" } else { "namespace" };
            if !running {
                return Err(ApiError::conflict(format!("cannot join {word} of a non running container: {id}")));
            }
            if restarting {
                return Err(ApiError::conflict(format!(
                    "container {id} is restarting, wait until the container is running"
                )));
            }
        }
        Ok(())
    }

    /// Takes addresses and ports, and writes the endpoints into the record.
    fn plan_network(&self, container: &Container, record: &Record) -> ApiResult<Network4Start> {
        let primary = record.host_config.network_mode.clone().unwrap_or_default();
        let mut names: Vec<&String> = record.endpoints.keys().collect();
        names.sort_by_key(|name| {
            let priority = record.endpoints.get(*name).map_or(0, |endpoint| endpoint.gateway_priority);
            (-priority, **name != primary, (*name).clone())
        });
        let mut plan =
            Network4Start { networks: Vec::new(), endpoints: Vec::new(), ports: Vec::new(), ephemeral: false };
        for name in names {
            let network = self.networks.find(name)?;
            let mut endpoint = record.endpoints.get(name).cloned().unwrap_or_default();
            self.allocate_endpoint(&network, &mut endpoint)?;
            plan.endpoints.extend(endpoint.spec());
            container.write(|record| record.endpoints.insert(name.clone(), endpoint));
            plan.networks.push(network);
        }
        if !plan.networks.is_empty() && primary != "host" && primary != "none" {
            let wanted = wanted_ports(record)?;
            plan.ephemeral = !wanted.is_empty() && wanted.iter().all(|want| want.range.is_none());
            plan.ports = self.reserve_ports(container, record)?;
        }
        container.write(|record| record.sandbox = object_id(&*self.host));
        Ok(plan)
    }

    fn reserve_ports(&self, container: &Container, record: &Record) -> ApiResult<Vec<PortSpec>> {
        let wanted = wanted_ports(record)?;
        let mut table = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        table.release(&container.id);
        table.reserve(&container.id, &wanted).map_err(|text| self.port_failure(container, &text))
    }

    /// The text around a port that could not be had; it names the endpoint that has the gateway.
    fn port_failure(&self, container: &Container, text: &str) -> ApiError {
        let endpoint = container.read(|record| {
            let primary = record.host_config.network_mode.as_deref().unwrap_or("");
            let endpoint = record.endpoints.get(primary).or_else(|| record.endpoints.values().next());
            endpoint.map(|endpoint| endpoint.endpoint_id.clone()).unwrap_or_default()
        });
        ApiError::system(format!(
            "driver failed programming external connectivity on endpoint {} ({endpoint}): {text}",
            container.name()
        ))
    }

    fn start_failure(&self, container: &Container, plan: &Network4Start, error: HostError) -> Failure {
        // The network was set up when the command failed, and Docker tells so.
        let command = |text: String, exit_code| {
            for action in ["connect", "disconnect"] {
                for network in &plan.networks {
                    self.network_event(network, action, Some(&container.id));
                }
            }
            Failure { error: ApiError::invalid(format!("{RUNTIME}{text}")), exit_code }
        };
        match error {
            HostError::CommandNotFound(_) | HostError::CommandPathNotFound(_) => command(error.to_string(), 127),
            HostError::CommandNotExecutable { .. } => command(error.to_string(), 126),
            HostError::NotADirectory(_) => command(error.to_string(), 127),
            HostError::PortInUse { protocol, ref address } => {
                let text = format!("failed to bind host port {address}/{protocol}: address already in use");
                networking(&self.port_failure(container, &text)).into()
            }
            HostError::NoSuchUser(_) => ApiError::system(error.to_string()).into(),
            error => api_error(error).into(),
        }
    }

    /// The host has started it: record, names, events, supervision.
    async fn running(
        &self,
        container: &Arc<Container>,
        started: Started,
        wanted: Vec<PortSpec>,
        networks: &[Arc<Network>],
    ) -> ApiResult<()> {
        let now = self.host.now();
        for warning in &started.warnings {
            tracing::warn!(container = container.id, warning, "start");
        }
        container.write(|record| {
            let state = &mut record.state;
            state.running = true;
            state.restarting = false;
            state.paused = false;
            state.oom_killed = false;
            state.pid = started.process.pid();
            state.exit_code = 0;
            state.error.clear();
            state.started_at = Some(now);
            record.ports.clone_from(&started.ports);
        });
        if started.ports.len() < wanted.len() {
            tracing::debug!(container = container.id, "the host opened fewer ports than asked (no IPv6?)");
        }
        for mount in container.read(|record| record.mounts.clone()) {
            if mount.kind == super::MountKind::Volume {
                self.volume_event(container, &mount.name, Some((&mount.target, mount.read_only)));
            }
        }
        for network in networks {
            self.network_event(network, "connect", Some(&container.id));
        }
        container.process.send_replace(Some(Arc::clone(&started.process)));
        for network in networks {
            if let Err(error) = self.publish_names(network).await {
                tracing::error!(container = container.id, %error, "names could not be published");
            }
        }
        self.container_event(container, "start", &[]);
        self.start_health(container);
        self.supervise(container, started);
        self.save(container).await
    }

    /// Gives back the addresses of a container that has no process any more.
    pub(crate) fn release_network(&self, container: &Container) {
        let mut endpoints = container.read(|record| record.endpoints.clone());
        for endpoint in endpoints.values_mut() {
            self.release_endpoint(endpoint);
        }
        container.write(|record| {
            record.endpoints = endpoints;
            record.sandbox.clear();
            record.ports.clear();
        });
    }

    /// A mount or, without a target, unmount of a volume.
    pub(crate) fn volume_event(&self, container: &Container, volume: &str, mount: Option<(&str, bool)>) {
        let mut attributes = vec![("container", container.id.clone()), ("driver", "local".to_owned())];
        if let Some((target, read_only)) = mount {
            attributes.push(("destination", target.to_owned()));
            attributes.push(("read/write", (!read_only).to_string()));
            attributes.push(("propagation", String::new()));
        }
        let action = if mount.is_some() { "mount" } else { "unmount" };
        self.events.emit(docklab_api::models::EventMessageTypeEnum::VOLUME, action, volume, attributes);
    }
}

/// The ports to open: `-p`, and with `-P` every exposed port that has no binding.
fn wanted_ports(record: &Record) -> ApiResult<Vec<Wanted>> {
    let mut wanted = ports::parse_bindings(&record.host_config.port_bindings.clone().unwrap_or_default())?;
    if record.host_config.publish_all_ports == Some(true) {
        let mut exposed = Vec::new();
        for port in record.config.exposed_ports.iter().flat_map(|ports| ports.keys()) {
            // What cannot be a port of this machine (a protocol that it does not publish) stays unpublished.
            exposed.extend(ContainerPort::parse(port).ok());
        }
        exposed.sort_by_key(|port| (port.number, port.protocol == Protocol::Udp));
        for container in exposed {
            if !wanted.iter().any(|want| want.container == container) {
                wanted.push(Wanted { container, address: None, range: None });
            }
        }
    }
    Ok(wanted)
}
