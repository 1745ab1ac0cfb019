use docklab_api::{
    Filters,
    models::{
        EndpointSpec, EndpointSpecModeEnum as EndpointMode, NodeState, ObjectVersion, Service as ApiService,
        ServiceEndpoint, ServiceEndpointVirtualIps, ServiceJobStatus, ServiceServiceStatus, ServiceSpec,
        ServiceSpecMode, ServiceSpecModeReplicated, ServiceUpdateStatus, ServiceUpdateStatusStateEnum as Progress,
    },
};
use jiff::Timestamp;

use super::{check_version, find, object_version, valid_name};
use crate::{
    Manager,
    allocator::is_ingress,
    constraints::Constraint,
    error::{ControlError, ControlResult},
    objects::{Service, State},
    store::{ChangeAction, ObjectKind},
    time::rfc3339,
};

fn invalid<T>(text: impl Into<String>) -> ControlResult<T> {
    Err(ControlError::InvalidArgument(text.into()))
}

fn mode_name(spec: &ServiceSpec) -> &'static str {
    match &spec.mode {
        Some(mode) if mode.global.is_some() => "global",
        Some(mode) if mode.replicated_job.is_some() => "replicated-job",
        Some(mode) if mode.global_job.is_some() => "global-job",
        _ => "replicated",
    }
}

impl Manager {
    /// A service by ID, name or unique ID prefix.
    pub fn find_service(&self, name: &str) -> ControlResult<&Service> {
        find(&self.store.services, "service", name, |service| service.name())
    }

    /// Everything about a specification that can be refused without knowing its predecessor.
    fn check_spec(&self, spec: &ServiceSpec, id: Option<&str>) -> ControlResult<()> {
        let name = spec.name.as_deref().unwrap_or("");
        if name.is_empty() {
            return invalid("meta: name must be provided");
        }
        if !valid_name(name) || name.len() > 63 {
            return invalid("name must be valid as a DNS name component");
        }
        let template = spec.task_template.clone().unwrap_or_default();
        let container = template.container_spec.unwrap_or_default();
        if container.image.as_deref().unwrap_or("").is_empty() {
            return invalid("ContainerSpec: image reference must be provided");
        }
        for constraint in template.placement.iter().flat_map(|placement| placement.constraints.iter().flatten()) {
            if let Err(error) = Constraint::parse(constraint) {
                return invalid(error.to_string());
            }
        }
        let replicas = spec.mode.as_ref().and_then(|mode| mode.replicated.as_ref()).and_then(|mode| mode.replicas);
        if replicas.is_some_and(|replicas| replicas < 0) {
            return invalid("Number of replicas must be non-negative");
        }
        if let Some(other) =
            self.store.services.values().find(|other| other.name() == name && Some(other.id.as_str()) != id)
        {
            return Err(ControlError::AlreadyExists(format!(
                "name conflicts with an existing object: service {} already exists",
                other.name()
            )));
        }
        for target in template.networks.iter().flatten().chain(spec.networks.iter().flatten()) {
            let target = target.target.as_deref().unwrap_or("");
            match self.find_network(target) {
                None => return Err(ControlError::not_found("network", target)),
                Some(network) if network.ingress => {
                    return invalid(format!(
                        "Service cannot be explicitly attached to the ingress network \"{}\"",
                        network.name
                    ));
                }
                Some(_) => {}
            }
        }
        for wanted in container.secrets.iter().flatten() {
            if !self.store.secrets.contains_key(wanted.secret_id.as_deref().unwrap_or("")) {
                return invalid(format!("secret not found: {}", wanted.secret_name.as_deref().unwrap_or("")));
            }
        }
        for wanted in container.configs.iter().flatten() {
            if !self.store.configs.contains_key(wanted.config_id.as_deref().unwrap_or("")) {
                return invalid(format!("config not found: {}", wanted.config_name.as_deref().unwrap_or("")));
            }
        }
        match &spec.endpoint_spec {
            Some(endpoint) => self.check_ports(endpoint, id),
            None => Ok(()),
        }
    }

    fn check_ports(&self, endpoint: &EndpointSpec, id: Option<&str>) -> ControlResult<()> {
        let ports = endpoint.ports.as_deref().unwrap_or_default();
        let mut seen = std::collections::BTreeSet::new();
        for port in ports {
            if endpoint.mode == Some(EndpointMode::DNSRR) && is_ingress(port) {
                return invalid("EndpointSpec: port published with ingress mode can't be used with dnsrr mode");
            }
            let target = port.target_port.unwrap_or(0);
            if !(1..=65_535).contains(&target) {
                return invalid("EndpointSpec: target port must be between 1 and 65535");
            }
            let Some(published) = port.published_port.filter(|published| *published != 0) else { continue };
            if !seen.insert((published, port.protocol, port.publish_mode)) {
                return invalid("EndpointSpec: duplicate published ports provided");
            }
            for other in self.store.services.values().filter(|other| Some(other.id.as_str()) != id) {
                let clash = other.ports.iter().find(|taken| {
                    (taken.published_port, taken.protocol) == (Some(published), port.protocol)
                        && (is_ingress(taken) || is_ingress(port))
                });
                if let Some(taken) = clash {
                    let kind = if is_ingress(taken) { "an ingress" } else { "a host-published" };
                    return invalid(format!(
                        "port '{published}' is already in use by service '{}' ({}) as {kind} port",
                        other.name(),
                        other.id
                    ));
                }
            }
        }
        Ok(())
    }

    /// `POST /services/create`; returns the ID.
    pub fn create_service(&mut self, now: Timestamp, mut spec: ServiceSpec) -> ControlResult<String> {
        self.now = self.now.max(now);
        if spec.mode.is_none() {
            spec.mode = Some(ServiceSpecMode {
                replicated: Some(ServiceSpecModeReplicated { replicas: Some(1) }),
                ..ServiceSpecMode::default()
            });
        }
        self.check_spec(&spec, None)?;
        let id = self.random.id();
        let name = spec.name.clone().unwrap_or_default();
        let meta = self.store.new_meta(now);
        let service = Service {
            id: id.clone(),
            spec_version: meta.version,
            meta,
            spec,
            previous: None,
            update: None,
            ports: Vec::new(),
            virtual_ips: Vec::new(),
            job_iteration: 0,
            job_started: Some(now),
        };
        self.store.services.insert(id.clone(), service);
        self.allocate_ports(&id);
        self.store.tell(ObjectKind::Service, ChangeAction::Create, &id, &name);
        Ok(id)
    }

    /// `POST /services/{id}/update`. With `rollback` the previous specification takes the place of `spec`.
    ///
    /// # Errors
    /// An outdated version, another name or mode, a rollback without a previous specification, or what `create` refuses.
    pub fn update_service(
        &mut self,
        now: Timestamp,
        name: &str,
        version: u64,
        spec: ServiceSpec,
        rollback: bool,
    ) -> ControlResult<()> {
        self.now = self.now.max(now);
        let service = self.find_service(name)?.clone();
        check_version(service.meta.version, version)?;
        let spec = if rollback {
            service.previous.clone().ok_or_else(|| {
                ControlError::FailedPrecondition(format!("service {} does not have a previous spec", service.id))
            })?
        } else {
            spec
        };
        if spec.name.as_deref().unwrap_or("") != service.name() {
            return Err(ControlError::Unimplemented("renaming services is not supported".into()));
        }
        if mode_name(&spec) != mode_name(&service.spec) {
            return Err(ControlError::Unimplemented("service mode change is not allowed".into()));
        }
        self.check_spec(&spec, Some(&service.id))?;
        let old = service.spec.clone();
        let tasks_change = old.task_template != spec.task_template
            || old.endpoint_spec != spec.endpoint_spec
            || old.networks != spec.networks;
        self.store.update_service(&service.id, now, |service| {
            service.previous = (!rollback).then(|| std::mem::replace(&mut service.spec, spec.clone()));
            service.spec = spec;
            service.update = None;
        });
        if tasks_change {
            self.new_spec_version(&service.id);
            if service.is_job() {
                self.store.update_service(&service.id, now, |service| {
                    service.job_iteration += 1;
                    service.job_started = Some(now);
                });
            }
        }
        if rollback {
            self.set_progress(&service.id, Progress::ROLLBACK_STARTED, "manually requested rollback");
        }
        let mut attributes = Vec::new();
        let replicas = |spec: &ServiceSpec| spec.mode.as_ref()?.replicated.as_ref()?.replicas;
        let current = self.store.services.get(&service.id).map(|service| service.spec.clone()).unwrap_or_default();
        if replicas(&old) != replicas(&current) {
            let text = |spec: &ServiceSpec| replicas(spec).map_or(String::new(), |number| number.to_string());
            attributes.push(("replicas.new".to_owned(), text(&current)));
            attributes.push(("replicas.old".to_owned(), text(&old)));
        }
        self.store.tell_with(ObjectKind::Service, ChangeAction::Update, &service.id, service.name(), attributes);
        Ok(())
    }

    /// `DELETE /services/{id}`: its tasks are removed by and by.
    pub fn remove_service(&mut self, now: Timestamp, name: &str) -> ControlResult<()> {
        self.now = self.now.max(now);
        let service = self.find_service(name)?.clone();
        self.store.services.remove(&service.id);
        self.store.version += 1;
        self.updates.remove(&service.id);
        self.restarts.forget_service(&service.id);
        self.store.tell(ObjectKind::Service, ChangeAction::Remove, &service.id, service.name());
        Ok(())
    }

    /// `GET /services/{id}`.
    pub fn inspect_service(&self, name: &str) -> ControlResult<ApiService> {
        self.find_service(name).map(|service| self.api_service(service, false))
    }

    /// `GET /services`, by ID.
    pub fn list_services(&self, filters: &Filters, status: bool) -> Vec<ApiService> {
        self.store
            .services
            .values()
            .filter(|service| {
                let labels = service.spec.labels.as_ref();
                filters.any("id", |id| service.id.starts_with(id))
                    && filters.any("name", |name| service.name().starts_with(name))
                    && filters.any("mode", |mode| mode == mode_name(&service.spec))
                    && filters.labels(|key| labels.and_then(|labels| labels.get(key)).map(String::as_str))
            })
            .map(|service| self.api_service(service, status))
            .collect()
    }

    fn api_service(&self, service: &Service, status: bool) -> ApiService {
        let (created_at, updated_at) = Self::dates(&service.meta);
        let endpoint = service.spec.endpoint_spec.clone().unwrap_or_default();
        let virtual_ips: Vec<_> = service
            .virtual_ips
            .iter()
            .map(|(network, address)| ServiceEndpointVirtualIps {
                network_id: Some(network.clone()),
                addr: Some(address.clone()),
            })
            .collect();
        ApiService {
            id: Some(service.id.clone()),
            version: object_version(service.meta.version),
            created_at,
            updated_at,
            spec: Some(service.spec.clone()),
            endpoint: Some(ServiceEndpoint {
                spec: Some(endpoint),
                ports: Some(service.ports.clone()).filter(|ports| !ports.is_empty()),
                virtual_ips: Some(virtual_ips).filter(|addresses| !addresses.is_empty()),
            }),
            update_status: service.update.as_ref().map(|update| ServiceUpdateStatus {
                state: Some(update.state),
                started_at: update.started.map(rfc3339),
                completed_at: update.completed.map(rfc3339),
                message: Some(update.message.clone()),
            }),
            service_status: status.then(|| self.service_status(service)),
            job_status: service.is_job().then(|| ServiceJobStatus {
                job_iteration: Some(ObjectVersion { index: Some(service.job_iteration) }),
                last_execution: service.job_started.map(rfc3339),
            }),
        }
    }

    /// The numbers of `docker service ls`. Tasks of a lost node count as running until they are heard of: Docker shows
    /// `8/6` then, and so does this.
    fn service_status(&self, service: &Service) -> ServiceServiceStatus {
        let (mut running, mut wanted, mut completed) = (0, 0, 0);
        for task in self.store.tasks_of(&service.id) {
            running += u64::from(task.status.state == State::RUNNING);
            let current = !service.is_job() || task.job_iteration == Some(service.job_iteration);
            completed += u64::from(task.status.state == State::COMPLETE && current);
            let lost = self.store.nodes.get(&task.node).is_some_and(|node| node.state == NodeState::DOWN);
            wanted += u64::from(task.is_wanted() && !lost);
        }
        let job = service.spec.mode.as_ref().and_then(|mode| mode.replicated_job.as_ref());
        let desired = match job {
            Some(job) => u64::try_from(job.max_concurrent.unwrap_or(1)).unwrap_or(0),
            None if service.is_global() => wanted,
            None => service.replicas(),
        };
        ServiceServiceStatus {
            running_tasks: Some(running),
            desired_tasks: Some(desired),
            completed_tasks: service.is_job().then_some(completed),
        }
    }
}
