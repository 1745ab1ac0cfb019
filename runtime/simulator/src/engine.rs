//! An engine behind its node's power switch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use docklab_api::{
    Activity, ApiError, ApiResult, AttachContainer, Attached, BuildImage, ByteStream, CommitContainer, ContainerApi,
    CreateContainer, CreateImage, Events, ExecApi, Filters, ImageApi, ListContainers, ListImages, ListServices, Logs,
    MessageStream, NetworkApi, OutputStream, PathStat, Ping, PushImage, RaftStatus, RemoveContainer, RemoveImage,
    StateChange, StopContainer, SwarmApi, SystemApi, UpdateService, UpdateSwarm, VolumeApi, WaitCondition,
    models::{
        AuthConfig, BuildPruneResponse, Config, ConfigSpec, ContainerConfig, ContainerCreateBody,
        ContainerCreateResponse, ContainerInspectResponse, ContainerPruneResponse, ContainerStatsResponse,
        ContainerSummary, ContainerTopResponse, ContainerUpdateBody, ContainerUpdateResponse, ContainerWaitResponse,
        DistributionInspect, EventMessage, ExecConfig, ExecInspectResponse, ExecStartConfig, FilesystemChange,
        HistoryResponseItem, ImageDeleteResponseItem, ImageInspect, ImagePruneResponse, ImageSummary, Network,
        NetworkConnectRequest, NetworkCreateRequest, NetworkCreateResponse, NetworkDisconnectRequest,
        NetworkPruneResponse, Node, NodeSpec, Secret, SecretSpec, Service, ServiceCreateResponse, ServiceSpec,
        ServiceUpdateResponse, Swarm, SwarmInitRequest, SwarmJoinRequest, SwarmSpec, SystemAuthResponse,
        SystemDataUsageResponse, SystemInfo, SystemVersion, Task, UnlockKeyResponse, Volume, VolumeCreateOptions,
        VolumeListResponse, VolumePruneResponse,
    },
};
use docklab_engine::Engine;
use futures::{
    FutureExt as _, StreamExt as _,
    channel::oneshot,
    future::{BoxFuture, Either, Shared, select},
    stream::{self, BoxStream},
};

/// The engine of a simulated node, from wherever it is asked: the same value through all of the node's restarts. While the
/// node is off, every call is answered with a connection error; a call or a stream of events that is under way when
/// the power goes ends with one. While it is suspended, calls wait.
#[derive(Clone)]
pub struct NodeEngine {
    name: Arc<str>,
    power: Arc<Mutex<Power>>,
}

enum Power {
    Off,
    On(Running),
    /// With the calls that wait for it to go on.
    Suspended(Running, Vec<oneshot::Sender<()>>),
}

struct Running {
    engine: Engine,
    off: Shared<oneshot::Receiver<()>>,
    /// Completes `off` when it is dropped.
    _switch: oneshot::Sender<()>,
}

impl NodeEngine {
    /// An engine that is off.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), power: Arc::new(Mutex::new(Power::Off)) }
    }

    pub(crate) fn switch_on(&self, engine: Engine) {
        let (switch, off) = oneshot::channel();
        self.set(|_| Power::On(Running { engine, off: off.shared(), _switch: switch }));
    }

    pub(crate) fn switch_off(&self) {
        self.set(|_| Power::Off);
    }

    pub(crate) fn suspend(&self) {
        self.set(|power| match power {
            Power::On(running) => Power::Suspended(running, Vec::new()),
            other => other,
        });
    }

    pub(crate) fn resume(&self) {
        self.set(|power| match power {
            Power::Suspended(running, waiting) => {
                // A caller that has given up meanwhile is not told.
                for caller in waiting {
                    let _ = caller.send(());
                }
                Power::On(running)
            }
            other => other,
        });
    }

    fn lock(&self) -> MutexGuard<'_, Power> {
        self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(Power) -> Power) {
        let mut power = self.lock();
        let former = std::mem::replace(&mut *power, Power::Off);
        *power = change(former);
    }

    fn unreachable(&self) -> ApiError {
        ApiError::connection(format!("{} is switched off", self.name))
    }

    /// The engine, when it can answer, and the end of its power.
    async fn engine(&self) -> ApiResult<(Engine, Shared<oneshot::Receiver<()>>)> {
        loop {
            let woken = match &mut *self.lock() {
                Power::Off => return Err(self.unreachable()),
                Power::On(running) => return Ok((running.engine.clone(), running.off.clone())),
                Power::Suspended(_, waiting) => {
                    let (waker, woken) = oneshot::channel();
                    waiting.push(waker);
                    woken
                }
            };
            // An error is the end of its power; the next round says so.
            let _ = woken.await;
        }
    }
}

macro_rules! through_the_switch {
    ($part:ident $($method:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl $part for NodeEngine {
            $(async fn $method(&self, $($argument: $kind),*) -> ApiResult<$answer> {
                let (engine, off) = self.engine().await?;
                match select(engine.$method($($argument),*), off).await {
                    Either::Left((answer, _)) => answer,
                    Either::Right(_) => Err(self.unreachable()),
                }
            })*
        }
    };
}

#[async_trait]
impl SystemApi for NodeEngine {
    async fn ping(&self) -> ApiResult<Ping> {
        self.engine().await?.0.ping().await
    }
    async fn version(&self) -> ApiResult<SystemVersion> {
        self.engine().await?.0.version().await
    }
    async fn info(&self) -> ApiResult<SystemInfo> {
        self.engine().await?.0.info().await
    }
    async fn events(&self, options: Events) -> ApiResult<BoxStream<'static, ApiResult<EventMessage>>> {
        let (engine, off) = self.engine().await?;
        let is_open = options.until.is_none();
        let events = engine.events(options).await?.take_until(off);
        let end = stream::once(futures::future::ready(Err(self.unreachable())));
        Ok(if is_open { events.chain(end).boxed() } else { events.boxed() })
    }
    async fn activity(&self) -> ApiResult<BoxStream<'static, ApiResult<Activity>>> {
        let (engine, off) = self.engine().await?;
        let end = stream::once(futures::future::ready(Err(self.unreachable())));
        Ok(engine.activity().await?.take_until(off).chain(end).boxed())
    }
    async fn disk_usage(&self) -> ApiResult<SystemDataUsageResponse> {
        self.engine().await?.0.disk_usage().await
    }
    async fn login(&self, auth: AuthConfig) -> ApiResult<SystemAuthResponse> {
        self.engine().await?.0.login(auth).await
    }
}

through_the_switch! {
    ContainerApi
    list_containers(options: ListContainers) -> Vec<ContainerSummary>;
    create_container(options: CreateContainer, body: ContainerCreateBody) -> ContainerCreateResponse;
    inspect_container(id: &str, size: bool) -> ContainerInspectResponse;
    start_container(id: &str) -> StateChange;
    stop_container(id: &str, options: StopContainer) -> StateChange;
    restart_container(id: &str, options: StopContainer) -> ();
    kill_container(id: &str, signal: Option<String>) -> ();
    pause_container(id: &str) -> ();
    unpause_container(id: &str) -> ();
    rename_container(id: &str, name: &str) -> ();
    update_container(id: &str, body: ContainerUpdateBody) -> ContainerUpdateResponse;
    remove_container(id: &str, options: RemoveContainer) -> ();
    wait_container(id: &str, condition: WaitCondition) -> BoxFuture<'static, ApiResult<ContainerWaitResponse>>;
    attach_container(id: &str, options: AttachContainer) -> Attached;
    resize_container(id: &str, rows: u16, columns: u16) -> ();
    container_logs(id: &str, options: Logs) -> OutputStream;
    top_container(id: &str, ps_args: &str) -> ContainerTopResponse;
    container_stats(id: &str, stream: bool, one_shot: bool) -> BoxStream<'static, ApiResult<ContainerStatsResponse>>;
    container_changes(id: &str) -> Vec<FilesystemChange>;
    export_container(id: &str) -> ByteStream;
    container_path_stat(id: &str, path: &str) -> PathStat;
    download_from_container(id: &str, path: &str) -> (PathStat, ByteStream);
    upload_to_container(id: &str, path: &str, no_overwrite_dir_non_dir: bool, tar: ByteStream) -> ();
    prune_containers(filters: Filters) -> ContainerPruneResponse;
    commit_container(options: CommitContainer, config: Option<ContainerConfig>) -> String;
}

through_the_switch! {
    ExecApi
    create_exec(container: &str, config: ExecConfig) -> String;
    start_exec(id: &str, config: ExecStartConfig) -> Option<Attached>;
    inspect_exec(id: &str) -> ExecInspectResponse;
    resize_exec(id: &str, rows: u16, columns: u16) -> ();
}

through_the_switch! {
    ImageApi
    list_images(options: ListImages) -> Vec<ImageSummary>;
    inspect_image(name: &str) -> ImageInspect;
    image_history(name: &str) -> Vec<HistoryResponseItem>;
    create_image(options: CreateImage, body: Option<ByteStream>) -> MessageStream;
    push_image(name: &str, options: PushImage) -> MessageStream;
    tag_image(name: &str, repo: &str, tag: &str) -> ();
    remove_image(name: &str, options: RemoveImage) -> Vec<ImageDeleteResponseItem>;
    prune_images(filters: Filters) -> ImagePruneResponse;
    save_images(names: Vec<String>) -> ByteStream;
    load_images(quiet: bool, tar: ByteStream) -> MessageStream;
    build_image(options: BuildImage, context: ByteStream) -> MessageStream;
    prune_build_cache(all: bool, filters: Filters) -> BuildPruneResponse;
    inspect_distribution(name: &str, auth: Option<AuthConfig>) -> DistributionInspect;
}

through_the_switch! {
    NetworkApi
    list_networks(filters: Filters) -> Vec<Network>;
    inspect_network(id: &str, verbose: bool, scope: Option<&str>) -> Network;
    create_network(body: NetworkCreateRequest) -> NetworkCreateResponse;
    remove_network(id: &str) -> ();
    connect_network(id: &str, body: NetworkConnectRequest) -> ();
    disconnect_network(id: &str, body: NetworkDisconnectRequest) -> ();
    prune_networks(filters: Filters) -> NetworkPruneResponse;
}

through_the_switch! {
    VolumeApi
    list_volumes(filters: Filters) -> VolumeListResponse;
    create_volume(body: VolumeCreateOptions) -> Volume;
    inspect_volume(name: &str) -> Volume;
    remove_volume(name: &str, force: bool) -> ();
    prune_volumes(filters: Filters) -> VolumePruneResponse;
}

through_the_switch! {
    SwarmApi
    inspect_swarm() -> Swarm;
    init_swarm(body: SwarmInitRequest) -> String;
    join_swarm(body: SwarmJoinRequest) -> ();
    leave_swarm(force: bool) -> ();
    update_swarm(options: UpdateSwarm, spec: SwarmSpec) -> ();
    swarm_unlock_key() -> UnlockKeyResponse;
    unlock_swarm(key: String) -> ();
    list_nodes(filters: Filters) -> Vec<Node>;
    inspect_node(id: &str) -> Node;
    update_node(id: &str, version: u64, spec: NodeSpec) -> ();
    remove_node(id: &str, force: bool) -> ();
    list_services(options: ListServices) -> Vec<Service>;
    inspect_service(id: &str, insert_defaults: bool) -> Service;
    create_service(spec: ServiceSpec, auth: Option<AuthConfig>) -> ServiceCreateResponse;
    update_service(id: &str, options: UpdateService, spec: ServiceSpec) -> ServiceUpdateResponse;
    remove_service(id: &str) -> ();
    service_logs(id: &str, options: Logs) -> OutputStream;
    list_tasks(filters: Filters) -> Vec<Task>;
    inspect_task(id: &str) -> Task;
    task_logs(id: &str, options: Logs) -> OutputStream;
    list_secrets(filters: Filters) -> Vec<Secret>;
    create_secret(spec: SecretSpec) -> String;
    inspect_secret(id: &str) -> Secret;
    update_secret(id: &str, version: u64, spec: SecretSpec) -> ();
    remove_secret(id: &str) -> ();
    list_configs(filters: Filters) -> Vec<Config>;
    create_config(spec: ConfigSpec) -> String;
    inspect_config(id: &str) -> Config;
    update_config(id: &str, version: u64, spec: ConfigSpec) -> ();
    remove_config(id: &str) -> ();
    raft_status() -> RaftStatus;
    swarm_changes() -> BoxStream<'static, ApiResult<u64>>;
}
