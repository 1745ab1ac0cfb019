use std::{collections::BTreeMap, sync::Arc};

use docklab_api::{
    ApiError, ApiResult, CreateContainer,
    models::{ContainerConfig, ContainerCreateBody, ContainerCreateResponse, HostConfig, Mount, NetworkingConfig},
};

use super::{
    Container, KIND, defaults, merge, mounts,
    record::{Endpoint, Record, State},
    validate,
};
use crate::{Engine, HostResultExt, image::ResolvedImage, names, object_id, records, short_id};

/// How often a random name is drawn before the short ID becomes the name.
const NAME_TRIES: usize = 6;

impl Engine {
    pub(crate) async fn create(
        &self,
        options: CreateContainer,
        body: ContainerCreateBody,
    ) -> ApiResult<ContainerCreateResponse> {
        self.create_from(options, body, |name| self.images.resolve(name)).await
    }

    /// Creates from an image that `resolve` finds; everything that can be wrong without it is refused first.
    pub(crate) async fn create_from(
        &self,
        options: CreateContainer,
        mut body: ContainerCreateBody,
        resolve: impl FnOnce(&str) -> ApiResult<ResolvedImage>,
    ) -> ApiResult<ContainerCreateResponse> {
        let info = self.host.info();
        let mut host_config = body.host_config.take().unwrap_or_default();
        let networking = body.networking_config.take().unwrap_or_default();
        let mut config = merge::config_of(body);
        if config == ContainerConfig::default() {
            return Err(ApiError::invalid("config cannot be empty in order to create a container"));
        }
        let warnings = validate::validate(&config, &host_config, info.cpus)?;
        let no_mode = matches!(host_config.network_mode.as_deref(), None | Some("" | "default"));
        defaults::complete(&mut host_config, info.cgroup_version);
        self.resolve_shared_namespaces(&mut host_config)?;
        let image = resolve(config.image.as_deref().unwrap_or(""))?;
        merge::with_image(&mut config, &image.config)?;
        check_platform(
            options.platform.as_deref().unwrap_or(""),
            config.image.as_deref().unwrap_or(""),
            &info.machine,
        )?;
        let mut endpoints = endpoints(&host_config, &config, networking, no_mode)?;
        self.check_endpoints(&endpoints)?;
        let wanted_links = host_config.links.clone().unwrap_or_default();
        let mut links = Vec::new();
        match host_config.network_mode.as_deref() {
            Some("bridge") => links = self.links_to(&wanted_links)?,
            // On a user network they are names that its resolver answers.
            Some(mode) => {
                if let Some(endpoint) = endpoints.get_mut(mode) {
                    endpoint.links.extend(wanted_links);
                }
            }
            None => {}
        }
        let mounts = mounts::plan(&config, &host_config, self.inherited_mounts(&host_config)?)?;

        let id = object_id(&*self.host);
        let name = self.take_name(options.name.as_deref().unwrap_or(""), &id)?;
        if config.hostname.as_deref().unwrap_or("").is_empty() {
            let host_network = host_config.network_mode.as_deref() == Some("host");
            config.hostname = Some(if host_network { info.hostname } else { short_id(&id).to_owned() });
        }
        let mut record = make_record(&*self.host, &id, &name, &image, config, host_config, mounts, endpoints);
        record.links = links;
        match self.finish_create(record, &image).await {
            Ok(()) => Ok(ContainerCreateResponse { id, warnings }),
            Err(error) => {
                self.containers.release_name(&name);
                Err(error)
            }
        }
    }

    async fn finish_create(&self, mut record: Record, image: &ResolvedImage) -> ApiResult<()> {
        let requested: Vec<Mount> = record.host_config.mounts.clone().unwrap_or_default();
        self.prepare_mounts(&mut record.mounts, &requested).await?;
        self.host.create_rootfs(&record.id, image.chain_id.as_deref()).await.api()?;
        if let Err(error) = records::put(&*self.host, KIND, &record.id, &record).await {
            let _ = self.host.remove_rootfs(&record.id).await;
            return Err(error);
        }
        let container = Arc::new(Container::new(record));
        self.containers.insert(Arc::clone(&container));
        self.container_event(&container, "create", &[]);
        Ok(())
    }

    /// `container:name` becomes `container:id`, so that renaming the other does not matter.
    fn resolve_shared_namespaces(&self, host_config: &mut HostConfig) -> ApiResult<()> {
        for mode in [&mut host_config.network_mode, &mut host_config.pid_mode, &mut host_config.ipc_mode] {
            if let Some(name) = mode.as_deref().and_then(|mode| mode.strip_prefix("container:")) {
                let other = self.container(name).map_err(|error| ApiError::invalid(error.message))?;
                *mode = Some(format!("container:{}", other.id));
            }
        }
        Ok(())
    }

    fn take_name(&self, wanted: &str, id: &str) -> ApiResult<String> {
        let wanted = wanted.strip_prefix('/').unwrap_or(wanted);
        if !wanted.is_empty() {
            return self.reserve_name(wanted, id).map(|()| wanted.to_owned());
        }
        for attempt in 0..NAME_TRIES {
            let name = names::random(&*self.host, attempt > 0);
            if self.containers.reserve_name(&name, id).is_ok() {
                return Ok(name);
            }
        }
        let name = short_id(id);
        self.reserve_name(name, id).map(|()| name.to_owned())
    }

    /// Checks a name and takes it for `id`, or says who has it.
    pub(crate) fn reserve_name(&self, name: &str, id: &str) -> ApiResult<()> {
        if !names::is_valid(name) {
            return Err(ApiError::invalid(format!(
                "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
            )));
        }
        self.containers.reserve_name(name, id).map_err(|holder| {
            ApiError::conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\". You have to remove \
                 (or rename) that container to be able to reuse that name."
            ))
        })
    }
}

/// An image of this engine's is always for the machine's own platform.
fn check_platform(wanted: &str, image: &str, machine: &str) -> ApiResult<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let own = match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut parts = wanted.split('/');
    let (system, architecture) = match (parts.next().unwrap_or(""), parts.next()) {
        (system, Some(architecture)) => (system, architecture),
        ("linux", None) => ("linux", own),
        (architecture, None) => ("linux", architecture),
    };
    let architecture = match architecture {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    if system == "linux" && architecture == own {
        return Ok(());
    }
    Err(ApiError::not_found(format!(
        "image with reference {image} was found but its platform (linux/{own}) does not match the specified platform \
         ({system}/{architecture})"
    )))
}

#[allow(clippy::too_many_arguments)] // the parts of one record
fn make_record(
    host: &dyn docklab_host::Host,
    id: &str,
    name: &str,
    image: &ResolvedImage,
    config: ContainerConfig,
    host_config: HostConfig,
    mounts: Vec<super::record::Mountpoint>,
    endpoints: BTreeMap<String, Endpoint>,
) -> Record {
    let mut words = config.entrypoint.iter().flatten().chain(config.cmd.iter().flatten()).cloned();
    Record {
        id: id.to_owned(),
        name: name.to_owned(),
        created: host.now(),
        path: words.next().unwrap_or_default(),
        args: words.collect(),
        image_id: image.id.clone(),
        image_familiar: image.familiar.clone(),
        config,
        host_config,
        mounts,
        endpoints,
        state: State::default(),
        restart_count: 0,
        manually_stopped: false,
        ports: Vec::new(),
        sandbox: String::new(),
        links: Vec::new(),
    }
}

/// Where the container will be attached: the network of its mode, and what the request adds.
fn endpoints(
    host_config: &HostConfig,
    config: &ContainerConfig,
    networking: NetworkingConfig,
    no_mode: bool,
) -> ApiResult<BTreeMap<String, Endpoint>> {
    let mut endpoints = BTreeMap::new();
    let mode = host_config.network_mode.as_deref().unwrap_or("bridge");
    if mode.starts_with("container:") || config.network_disabled == Some(true) {
        return Ok(endpoints);
    }
    for (network, settings) in networking.endpoints_config.unwrap_or_default() {
        let network = if network == "default" { "bridge".to_owned() } else { network };
        endpoints.insert(network, Endpoint::from_settings(&settings)?);
    }
    // Whoever names networks and no mode wants those alone.
    if no_mode && !endpoints.is_empty() && !endpoints.contains_key("bridge") {
        return Ok(endpoints);
    }
    let primary = endpoints.entry(mode.to_owned()).or_default();
    if let Some(mac) = config.mac_address.as_deref().filter(|mac| !mac.is_empty())
        && primary.wanted_mac.is_empty()
    {
        mac.clone_into(&mut primary.wanted_mac);
    }
    Ok(endpoints)
}
