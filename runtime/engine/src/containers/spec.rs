use docklab_api::{ApiError, ApiResult};
use docklab_host::{
    ContainerSpec, DeviceSpec, EndpointSpec, MountSource, MountSpec, NetworkMode, PortSpec, ProcessSpec, User,
};

use super::{
    limits,
    links::LinkedEnvironment,
    record::{MountKind, Mountpoint, Record},
    start::process_environment,
};

fn mount_spec(mount: &Mountpoint) -> MountSpec {
    let source = match mount.kind {
        MountKind::Bind => MountSource::Bind {
            path: mount.source.clone(),
            create: mount.create,
            propagation: mount.propagation.clone(),
        },
        MountKind::Volume => {
            MountSource::Volume { name: mount.name.clone(), no_copy: mount.no_copy, subpath: mount.subpath.clone() }
        }
        MountKind::Tmpfs => MountSource::Tmpfs(mount.tmpfs.clone()),
    };
    MountSpec { source, target: mount.target.clone(), read_only: mount.read_only }
}

fn text(value: Option<&String>) -> String {
    value.cloned().unwrap_or_default()
}

/// `--add-host name:address`; `host-gateway` is the default bridge's gateway.
fn extra_hosts(record: &Record, gateway: Option<&str>) -> Vec<(String, String)> {
    let hosts = record.host_config.extra_hosts.iter().flatten();
    hosts
        .filter_map(|host| host.split_once(['=', ':']))
        .map(|(name, address)| {
            let address = if address == "host-gateway" { gateway.unwrap_or("127.0.0.1") } else { address };
            (name.to_owned(), address.trim_matches(['[', ']']).to_owned())
        })
        .collect()
}

/// What the host gets to start a container.
pub(crate) fn container_spec(
    record: &Record,
    endpoints: Vec<EndpointSpec>,
    ports: Vec<PortSpec>,
    host_gateway: Option<&str>,
    linked: &LinkedEnvironment,
) -> ApiResult<ContainerSpec> {
    let host_config = &record.host_config;
    let config = &record.config;
    let network = match host_config.network_mode.as_deref().unwrap_or("bridge") {
        _ if config.network_disabled == Some(true) => NetworkMode::None,
        "none" => NetworkMode::None,
        "host" => NetworkMode::Host,
        mode => match mode.strip_prefix("container:") {
            Some(id) => NetworkMode::Container(id.to_owned()),
            None => NetworkMode::Endpoints(endpoints),
        },
    };
    let console = host_config.console_size.clone().unwrap_or_default();
    let size = |index: usize| console.get(index).and_then(|value| u16::try_from(*value).ok()).unwrap_or(0);
    let mut dns = Vec::new();
    for server in host_config.dns.iter().flatten() {
        dns.push(server.parse().map_err(|_| {
            ApiError::system(format!("bad nameserver address {server}: ParseAddr({server:?}): unable to parse IP"))
        })?);
    }
    let mut argv = vec![record.path.clone()];
    argv.extend(record.args.iter().cloned());
    let mut env = process_environment(record, config.tty == Some(true));
    // The container's own variables win over those of its links.
    let names: Vec<String> = env.iter().filter_map(|entry| Some(entry.split_once('=')?.0.to_owned())).collect();
    let of_links = linked.variables.iter();
    env.extend(of_links.filter(|entry| !names.iter().any(|name| entry.split('=').next() == Some(name))).cloned());
    let mut hosts = extra_hosts(record, host_gateway);
    hosts.extend(linked.hosts.iter().cloned());
    Ok(ContainerSpec {
        id: record.id.clone(),
        hostname: text(config.hostname.as_ref()),
        domainname: text(config.domainname.as_ref()),
        image: record.image_familiar.clone(),
        labels: config.labels.clone().unwrap_or_default().into_iter().collect(),
        process: ProcessSpec {
            argv,
            env,
            cwd: config.working_dir.clone().filter(|cwd| !cwd.is_empty()).unwrap_or_else(|| "/".to_owned()),
            user: User {
                spec: text(config.user.as_ref()),
                additional_groups: host_config.group_add.clone().unwrap_or_default(),
            },
            tty: config.tty == Some(true),
            console_size: (size(0), size(1)),
            open_stdin: config.open_stdin == Some(true),
            privileged: host_config.privileged == Some(true),
        },
        limits: limits::limits(host_config),
        mounts: record.mounts.iter().map(mount_spec).collect(),
        network,
        ports,
        dns,
        dns_search: host_config.dns_search.clone().unwrap_or_default(),
        dns_options: host_config.dns_options.clone().unwrap_or_default(),
        extra_hosts: hosts,
        cap_add: host_config.cap_add.clone().unwrap_or_default(),
        cap_drop: host_config.cap_drop.clone().unwrap_or_default(),
        security_opt: host_config.security_opt.clone().unwrap_or_default(),
        devices: host_config
            .devices
            .iter()
            .flatten()
            .map(|device| DeviceSpec {
                host_path: text(device.path_on_host.as_ref()),
                container_path: text(device.path_in_container.as_ref()),
                permissions: text(device.cgroup_permissions.as_ref()),
            })
            .collect(),
        sysctls: host_config.sysctls.clone().unwrap_or_default().into_iter().collect(),
        read_only_rootfs: host_config.readonly_rootfs == Some(true),
        init: host_config.init == Some(true),
        pid_mode: text(host_config.pid_mode.as_ref()),
        ipc_mode: match host_config.ipc_mode.as_deref() {
            Some(mode @ "host") => mode.to_owned(),
            Some(mode) if mode.starts_with("container:") => mode.to_owned(),
            _ => String::new(),
        },
        uts_mode: text(host_config.uts_mode.as_ref()),
        shm_size: host_config.shm_size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
        log: host_config.log_config.as_ref().and_then(|log| log.typ.as_deref()) != Some("none"),
    })
}
