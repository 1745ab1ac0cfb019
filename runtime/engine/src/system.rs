//! The engine as a whole: version, information, events, disk usage, login.

use std::collections::HashMap;

use async_trait::async_trait;
use docklab_api::{
    API_VERSION, Activity, ApiResult, ENGINE_VERSION, Events, Filters, ListContainers, MIN_API_VERSION, Ping,
    SystemApi,
    models::{
        AuthConfig, Commit, EventMessage, IndexInfo, PluginsInfo, RegistryServiceConfig, Runtime, SystemAuthResponse,
        SystemDataUsageResponse, SystemInfo, SystemInfoCgroupDriverEnum, SystemInfoCgroupVersionEnum, SystemVersion,
        SystemVersionComponents, SystemVersionPlatform,
    },
};
use futures::{FutureExt, StreamExt, future, stream, stream::BoxStream};
use jiff::Timestamp;
use tokio::sync::broadcast::error::RecvError;

use crate::{Engine, registry, time};

/// Go's name for an architecture.
fn go_arch(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn nanoseconds(event: &EventMessage) -> i128 {
    i128::from(event.time_nano.unwrap_or(0))
}

/// `docker events -f`.
fn event_matches(filters: &Filters, event: &EventMessage) -> bool {
    let kind = event.typ.map(|kind| kind.to_string()).unwrap_or_default();
    let action = event.action.as_deref().unwrap_or("");
    let actor = event.actor.as_ref();
    let id = actor.and_then(|actor| actor.id.as_deref()).unwrap_or("");
    let attributes = actor.and_then(|actor| actor.attributes.as_ref());
    let attribute = |key: &str| attributes.and_then(|attributes| attributes.get(key)).map(String::as_str);
    let names = |wanted: &str| id.starts_with(wanted) || attribute("name") == Some(wanted);
    let of_kind = |key: &str| filters.get(key).is_empty() || kind == key && filters.any(key, names);
    let image = |wanted: &str| {
        let bare = |name: &str| name.rsplit_once(':').map_or(name.to_owned(), |(bare, _)| bare.to_owned());
        let name = if kind == "image" { attribute("name") } else { attribute("image") };
        id == wanted || name.is_some_and(|name| name == wanted || bare(name) == wanted)
    };
    filters.any("event", |wanted| action == wanted || action.split(':').next() == Some(wanted))
        && filters.any("type", |wanted| kind == wanted)
        && filters.any("scope", |wanted| event.scope.is_some_and(|scope| scope.to_string() == wanted))
        && filters.labels(attribute)
        && filters.any("image", image)
        && ["container", "network", "volume", "daemon", "plugin", "service", "node", "secret", "config"]
            .into_iter()
            .all(of_kind)
}

#[async_trait]
impl SystemApi for Engine {
    async fn ping(&self) -> ApiResult<Ping> {
        Ok(Ping {
            api_version: API_VERSION.to_owned(),
            os_type: "linux".to_owned(),
            builder_version: "1".to_owned(),
            swarm: self.membership().map_or_else(|| "inactive".to_owned(), |cluster| cluster.ping()),
        })
    }

    async fn version(&self) -> ApiResult<SystemVersion> {
        let host = self.host.info();
        let details = [
            ("ApiVersion", API_VERSION),
            ("Arch", go_arch(&host.machine)),
            ("Experimental", "false"),
            ("KernelVersion", &host.kernel_version),
            ("MinAPIVersion", MIN_API_VERSION),
            ("Os", "linux"),
        ];
        Ok(SystemVersion {
            platform: Some(SystemVersionPlatform { name: format!("docklab {}", env!("CARGO_PKG_VERSION")) }),
            components: Some(vec![SystemVersionComponents {
                name: "Engine".to_owned(),
                version: ENGINE_VERSION.to_owned(),
                details: Some(details.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()),
            }]),
            version: Some(ENGINE_VERSION.to_owned()),
            api_version: Some(API_VERSION.to_owned()),
            min_api_version: Some(MIN_API_VERSION.to_owned()),
            git_commit: Some(String::new()),
            go_version: Some(String::new()),
            os: Some("linux".to_owned()),
            arch: Some(go_arch(&host.machine).to_owned()),
            kernel_version: Some(host.kernel_version),
            experimental: Some(false),
            build_time: Some(String::new()),
        })
    }

    async fn info(&self) -> ApiResult<SystemInfo> {
        let host = self.host.info();
        let (mut running, mut paused, mut stopped) = (0, 0, 0);
        for container in self.containers.all() {
            match container.read(|record| record.state.word()) {
                "running" | "restarting" => running += 1,
                "paused" => paused += 1,
                _ => stopped += 1,
            }
        }
        let list = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let hub = IndexInfo {
            name: Some("docker.io".to_owned()),
            mirrors: Some(Vec::new()),
            secure: Some(true),
            official: Some(true),
        };
        let count = |number: usize| Some(i64::try_from(number).unwrap_or(i64::MAX));
        let swarm = self.membership().map_or_else(|| self.info_without_swarm(), |cluster| cluster.info());
        Ok(SystemInfo {
            id: Some(self.id.clone()),
            containers: Some(running + paused + stopped),
            containers_running: Some(running),
            containers_paused: Some(paused),
            containers_stopped: Some(stopped),
            images: count(self.images.count()),
            driver: Some("overlay2".to_owned()),
            driver_status: Some(Vec::new()),
            docker_root_dir: Some(host.root_dir),
            plugins: Some(PluginsInfo {
                volume: list(&["local"]),
                network: list(&["bridge", "host", "null", "overlay"]),
                authorization: None,
                log: list(&["json-file", "local", "none"]),
            }),
            memory_limit: Some(true),
            swap_limit: Some(true),
            cpu_cfs_period: Some(true),
            cpu_cfs_quota: Some(true),
            cpu_shares: Some(true),
            cpu_set: Some(true),
            pids_limit: Some(true),
            oom_kill_disable: Some(false),
            ipv4_forwarding: Some(true),
            debug: Some(false),
            nfd: Some(0),
            n_goroutines: Some(0),
            system_time: Some(self.host.now().to_string()),
            logging_driver: Some("json-file".to_owned()),
            cgroup_driver: Some(SystemInfoCgroupDriverEnum::CGROUPFS),
            cgroup_version: Some(if host.cgroup_version == 2 {
                SystemInfoCgroupVersionEnum::_2
            } else {
                SystemInfoCgroupVersionEnum::_1
            }),
            n_events_listener: count(self.events.listeners()),
            kernel_version: Some(host.kernel_version),
            operating_system: Some(host.operating_system),
            os_version: Some(String::new()),
            os_type: Some("linux".to_owned()),
            architecture: Some(host.machine),
            ncpu: Some(i64::from(host.cpus)),
            mem_total: Some(i64::try_from(host.memory).unwrap_or(i64::MAX)),
            index_server_address: Some("https://index.docker.io/v1/".to_owned()),
            registry_config: Some(RegistryServiceConfig {
                insecure_registry_cidrs: list(&["::1/128", "127.0.0.0/8"]),
                index_configs: Some(HashMap::from([("docker.io".to_owned(), hub)])),
                mirrors: Some(Vec::new()),
            }),
            http_proxy: Some(String::new()),
            https_proxy: Some(String::new()),
            no_proxy: Some(String::new()),
            name: Some(host.hostname),
            labels: Some(self.options.labels.clone()),
            experimental_build: Some(false),
            server_version: Some(ENGINE_VERSION.to_owned()),
            runtimes: Some(HashMap::from([(
                "runc".to_owned(),
                Runtime { path: Some("runc".to_owned()), ..Runtime::default() },
            )])),
            default_runtime: Some("runc".to_owned()),
            swarm: Some(swarm),
            live_restore_enabled: Some(true),
            init_binary: Some("docker-init".to_owned()),
            containerd_commit: Some(Commit { id: Some(String::new()) }),
            runc_commit: Some(Commit { id: Some(String::new()) }),
            init_commit: Some(Commit { id: Some(String::new()) }),
            security_options: Some(if host.kind == "linux" {
                vec!["name=seccomp,profile=builtin".to_owned()]
            } else {
                Vec::new()
            }),
            warnings: Some(host.warnings).filter(|warnings| !warnings.is_empty()),
            ..SystemInfo::default()
        })
    }

    async fn events(&self, options: Events) -> ApiResult<BoxStream<'static, ApiResult<EventMessage>>> {
        let filters = options.filters;
        let since = time::parse_bound(options.since.as_deref())?;
        let until = time::parse_bound(options.until.as_deref())?;
        let (history, live) = self.events.subscribe();
        let bound = |time: Option<Timestamp>| time.map(Timestamp::as_nanosecond);
        let (since, until_bound) = (bound(since), bound(until));
        // Without a time in the past the stream begins now.
        let past: Vec<EventMessage> = if since.is_none() && until_bound.is_none() {
            Vec::new()
        } else {
            let wanted = |event: &EventMessage| {
                let at = nanoseconds(event);
                since.is_none_or(|since| at >= since) && until_bound.is_none_or(|until| at <= until)
            };
            history.into_iter().filter(|event| since.is_some() && wanted(event)).collect()
        };
        let live = stream::unfold(live, |mut live| async move {
            loop {
                match live.recv().await {
                    Ok(event) => return Some((event, live)),
                    Err(RecvError::Lagged(lost)) => tracing::warn!(lost, "an event reader is too slow"),
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        let end = match until {
            Some(until) => {
                let left = until.as_nanosecond() - self.host.now().as_nanosecond();
                let left = u64::try_from(left).unwrap_or(0);
                self.host.sleep(std::time::Duration::from_nanos(left)).boxed()
            }
            None => future::pending().boxed(),
        };
        Ok(stream::iter(past)
            .chain(live.take_until(end))
            .filter(move |event| future::ready(event_matches(&filters, event)))
            .map(Ok)
            .boxed())
    }

    async fn activity(&self) -> ApiResult<BoxStream<'static, ApiResult<Activity>>> {
        Ok(self.activity.watch())
    }

    async fn disk_usage(&self) -> ApiResult<SystemDataUsageResponse> {
        let (layers, images, build_cache) = self.image_disk_usage().await?;
        let containers = self.list(ListContainers { all: true, size: true, ..ListContainers::default() }).await?;
        Ok(SystemDataUsageResponse {
            layers_size: Some(i64::try_from(layers).unwrap_or(i64::MAX)),
            images: Some(images),
            containers: Some(containers),
            volumes: Some(self.volume_usage().await?),
            build_cache: Some(build_cache),
        })
    }

    async fn login(&self, auth: AuthConfig) -> ApiResult<SystemAuthResponse> {
        registry::login(self, auth).await
    }
}
