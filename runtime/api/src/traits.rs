use async_trait::async_trait;
use futures::{future::BoxFuture, stream::BoxStream};

use crate::{
    Activity, ApiError, ApiResult, AttachContainer, Attached, BuildImage, ByteStream, CommitContainer, CreateContainer,
    CreateImage, Events, Filters, ListContainers, ListImages, ListServices, Logs, MessageStream, OutputStream,
    PathStat, Ping, PushImage, RaftStatus, RawRequest, RemoveContainer, RemoveImage, StopContainer, UpdateService,
    UpdateSwarm, WaitCondition,
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

/// A whole engine. Implemented by everything that implements its parts.
pub trait DockerApi: SystemApi + ContainerApi + ExecApi + ImageApi + NetworkApi + VolumeApi + SwarmApi {}
impl<T: SystemApi + ContainerApi + ExecApi + ImageApi + NetworkApi + VolumeApi + SwarmApi + ?Sized> DockerApi for T {}

/// Whether a start or stop did anything; HTTP 204 against 304.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateChange {
    Changed,
    NotModified,
}

/// The engine as a whole.
#[async_trait]
pub trait SystemApi: Send + Sync {
    async fn ping(&self) -> ApiResult<Ping>;
    async fn version(&self) -> ApiResult<SystemVersion>;
    async fn info(&self) -> ApiResult<SystemInfo>;
    /// Past events since `since`, then live ones until `until` or until the stream is dropped.
    async fn events(&self, options: Events) -> ApiResult<BoxStream<'static, ApiResult<EventMessage>>>;
    async fn disk_usage(&self) -> ApiResult<SystemDataUsageResponse>;
    /// Builds, pulls and pushes while they go on: what is remembered of recent ones, then live until the stream is
    /// dropped. A stock Docker Engine answers 404: it tells its progress only to the client that asked for it.
    async fn activity(&self) -> ApiResult<BoxStream<'static, ApiResult<Activity>>> {
        Err(ApiError::not_found("page not found"))
    }
    /// Checks credentials against their registry (`POST /auth`).
    async fn login(&self, auth: AuthConfig) -> ApiResult<SystemAuthResponse>;
    /// Sends a request as it stands; the answer is the engine's own JSON. For objects that must be shown, or sent back
    /// changed, with every field their engine gave them, and for requests that have no method here. `None` from an
    /// engine in this process: there the types are all there is. An answer without content is null.
    async fn raw(&self, _request: RawRequest) -> Option<ApiResult<serde_json::Value>> {
        None
    }
}

/// Containers. `id` is a full ID, a name or a unique ID prefix.
#[async_trait]
pub trait ContainerApi: Send + Sync {
    async fn list_containers(&self, options: ListContainers) -> ApiResult<Vec<ContainerSummary>>;
    async fn create_container(
        &self,
        options: CreateContainer,
        body: ContainerCreateBody,
    ) -> ApiResult<ContainerCreateResponse>;
    async fn inspect_container(&self, id: &str, size: bool) -> ApiResult<ContainerInspectResponse>;
    async fn start_container(&self, id: &str) -> ApiResult<StateChange>;
    async fn stop_container(&self, id: &str, options: StopContainer) -> ApiResult<StateChange>;
    async fn restart_container(&self, id: &str, options: StopContainer) -> ApiResult<()>;
    /// `signal` is a name with or without `SIG`, or a number; `None` is SIGKILL.
    async fn kill_container(&self, id: &str, signal: Option<String>) -> ApiResult<()>;
    async fn pause_container(&self, id: &str) -> ApiResult<()>;
    async fn unpause_container(&self, id: &str) -> ApiResult<()>;
    async fn rename_container(&self, id: &str, name: &str) -> ApiResult<()>;
    async fn update_container(&self, id: &str, body: ContainerUpdateBody) -> ApiResult<ContainerUpdateResponse>;
    async fn remove_container(&self, id: &str, options: RemoveContainer) -> ApiResult<()>;
    /// Registers the wait before it returns (the server then flushes its headers); the inner future ends with the
    /// container. Clients start the container only after the outer call has returned.
    async fn wait_container(
        &self,
        id: &str,
        condition: WaitCondition,
    ) -> ApiResult<BoxFuture<'static, ApiResult<ContainerWaitResponse>>>;
    /// Works on a container that is only created: its output then begins with the first byte after start.
    async fn attach_container(&self, id: &str, options: AttachContainer) -> ApiResult<Attached>;
    async fn resize_container(&self, id: &str, rows: u16, columns: u16) -> ApiResult<()>;
    /// With `timestamps` or `details` the prefixes are already part of the chunks, as on the wire.
    async fn container_logs(&self, id: &str, options: Logs) -> ApiResult<OutputStream>;
    async fn top_container(&self, id: &str, ps_args: &str) -> ApiResult<ContainerTopResponse>;
    /// One sample, or one a second while the stream is kept.
    async fn container_stats(
        &self,
        id: &str,
        stream: bool,
        one_shot: bool,
    ) -> ApiResult<BoxStream<'static, ApiResult<ContainerStatsResponse>>>;
    async fn container_changes(&self, id: &str) -> ApiResult<Vec<FilesystemChange>>;
    async fn export_container(&self, id: &str) -> ApiResult<ByteStream>;
    async fn container_path_stat(&self, id: &str, path: &str) -> ApiResult<PathStat>;
    /// A tar archive of `path`, its names beginning with the path's last component.
    async fn download_from_container(&self, id: &str, path: &str) -> ApiResult<(PathStat, ByteStream)>;
    async fn upload_to_container(
        &self,
        id: &str,
        path: &str,
        no_overwrite_dir_non_dir: bool,
        tar: ByteStream,
    ) -> ApiResult<()>;
    async fn prune_containers(&self, filters: Filters) -> ApiResult<ContainerPruneResponse>;
    /// Makes an image of a container (`POST /commit`); returns the image ID.
    async fn commit_container(&self, options: CommitContainer, config: Option<ContainerConfig>) -> ApiResult<String>;
}

/// Commands in running containers.
#[async_trait]
pub trait ExecApi: Send + Sync {
    /// Returns the exec's ID.
    async fn create_exec(&self, container: &str, config: ExecConfig) -> ApiResult<String>;
    /// `None` when detached.
    async fn start_exec(&self, id: &str, config: ExecStartConfig) -> ApiResult<Option<Attached>>;
    async fn inspect_exec(&self, id: &str) -> ApiResult<ExecInspectResponse>;
    async fn resize_exec(&self, id: &str, rows: u16, columns: u16) -> ApiResult<()>;
}

/// Images, registries and builds.
#[async_trait]
pub trait ImageApi: Send + Sync {
    async fn list_images(&self, options: ListImages) -> ApiResult<Vec<ImageSummary>>;
    async fn inspect_image(&self, name: &str) -> ApiResult<ImageInspect>;
    async fn image_history(&self, name: &str) -> ApiResult<Vec<HistoryResponseItem>>;
    /// Pull or import. `body` is the tar of an import with `from_src` of `-`.
    async fn create_image(&self, options: CreateImage, body: Option<ByteStream>) -> ApiResult<MessageStream>;
    async fn push_image(&self, name: &str, options: PushImage) -> ApiResult<MessageStream>;
    async fn tag_image(&self, name: &str, repo: &str, tag: &str) -> ApiResult<()>;
    async fn remove_image(&self, name: &str, options: RemoveImage) -> ApiResult<Vec<ImageDeleteResponseItem>>;
    async fn prune_images(&self, filters: Filters) -> ApiResult<ImagePruneResponse>;
    /// `docker save`: one tar of all named images.
    async fn save_images(&self, names: Vec<String>) -> ApiResult<ByteStream>;
    /// The same for some platforms only (the API's JSON); an engine that keeps one platform of an image ignores them.
    async fn save_images_of(&self, names: Vec<String>, _platforms: &[String]) -> ApiResult<ByteStream> {
        self.save_images(names).await
    }
    async fn load_images(&self, quiet: bool, tar: ByteStream) -> ApiResult<MessageStream>;
    /// Builds from a tar context with the classic builder.
    async fn build_image(&self, options: BuildImage, context: ByteStream) -> ApiResult<MessageStream>;
    async fn prune_build_cache(&self, all: bool, filters: Filters) -> ApiResult<BuildPruneResponse>;
    /// Asks the registry for a reference's digest and platforms.
    async fn inspect_distribution(&self, name: &str, auth: Option<AuthConfig>) -> ApiResult<DistributionInspect>;
}

/// Networks.
#[async_trait]
pub trait NetworkApi: Send + Sync {
    async fn list_networks(&self, filters: Filters) -> ApiResult<Vec<Network>>;
    async fn inspect_network(&self, id: &str, verbose: bool, scope: Option<&str>) -> ApiResult<Network>;
    async fn create_network(&self, body: NetworkCreateRequest) -> ApiResult<NetworkCreateResponse>;
    async fn remove_network(&self, id: &str) -> ApiResult<()>;
    async fn connect_network(&self, id: &str, body: NetworkConnectRequest) -> ApiResult<()>;
    async fn disconnect_network(&self, id: &str, body: NetworkDisconnectRequest) -> ApiResult<()>;
    async fn prune_networks(&self, filters: Filters) -> ApiResult<NetworkPruneResponse>;
}

/// Volumes of the local driver.
#[async_trait]
pub trait VolumeApi: Send + Sync {
    async fn list_volumes(&self, filters: Filters) -> ApiResult<VolumeListResponse>;
    async fn create_volume(&self, body: VolumeCreateOptions) -> ApiResult<Volume>;
    async fn inspect_volume(&self, name: &str) -> ApiResult<Volume>;
    async fn remove_volume(&self, name: &str, force: bool) -> ApiResult<()>;
    async fn prune_volumes(&self, filters: Filters) -> ApiResult<VolumePruneResponse>;
}

fn no_swarm<T>() -> ApiResult<T> {
    Err(ApiError::unavailable(
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node \
         to swarm and try again.",
    ))
}

/// The swarm. The provided bodies are those of an engine that is in no swarm (503).
#[async_trait]
pub trait SwarmApi: Send + Sync {
    async fn inspect_swarm(&self) -> ApiResult<Swarm> {
        no_swarm()
    }
    /// Returns the node's ID.
    async fn init_swarm(&self, _body: SwarmInitRequest) -> ApiResult<String> {
        no_swarm()
    }
    async fn join_swarm(&self, _body: SwarmJoinRequest) -> ApiResult<()> {
        no_swarm()
    }
    async fn leave_swarm(&self, _force: bool) -> ApiResult<()> {
        Err(ApiError::unavailable("This node is not part of a swarm"))
    }
    async fn update_swarm(&self, _options: UpdateSwarm, _spec: SwarmSpec) -> ApiResult<()> {
        no_swarm()
    }
    async fn swarm_unlock_key(&self) -> ApiResult<UnlockKeyResponse> {
        no_swarm()
    }
    async fn unlock_swarm(&self, _key: String) -> ApiResult<()> {
        no_swarm()
    }
    async fn list_nodes(&self, _filters: Filters) -> ApiResult<Vec<Node>> {
        no_swarm()
    }
    async fn inspect_node(&self, _id: &str) -> ApiResult<Node> {
        no_swarm()
    }
    async fn update_node(&self, _id: &str, _version: u64, _spec: NodeSpec) -> ApiResult<()> {
        no_swarm()
    }
    async fn remove_node(&self, _id: &str, _force: bool) -> ApiResult<()> {
        no_swarm()
    }
    async fn list_services(&self, _options: ListServices) -> ApiResult<Vec<Service>> {
        no_swarm()
    }
    async fn inspect_service(&self, _id: &str, _insert_defaults: bool) -> ApiResult<Service> {
        no_swarm()
    }
    async fn create_service(&self, _spec: ServiceSpec, _auth: Option<AuthConfig>) -> ApiResult<ServiceCreateResponse> {
        no_swarm()
    }
    async fn update_service(
        &self,
        _id: &str,
        _options: UpdateService,
        _spec: ServiceSpec,
    ) -> ApiResult<ServiceUpdateResponse> {
        no_swarm()
    }
    async fn remove_service(&self, _id: &str) -> ApiResult<()> {
        no_swarm()
    }
    async fn service_logs(&self, _id: &str, _options: Logs) -> ApiResult<OutputStream> {
        no_swarm()
    }
    async fn list_tasks(&self, _filters: Filters) -> ApiResult<Vec<Task>> {
        no_swarm()
    }
    async fn inspect_task(&self, _id: &str) -> ApiResult<Task> {
        no_swarm()
    }
    async fn task_logs(&self, _id: &str, _options: Logs) -> ApiResult<OutputStream> {
        no_swarm()
    }
    async fn list_secrets(&self, _filters: Filters) -> ApiResult<Vec<Secret>> {
        no_swarm()
    }
    async fn create_secret(&self, _spec: SecretSpec) -> ApiResult<String> {
        no_swarm()
    }
    async fn inspect_secret(&self, _id: &str) -> ApiResult<Secret> {
        no_swarm()
    }
    async fn update_secret(&self, _id: &str, _version: u64, _spec: SecretSpec) -> ApiResult<()> {
        no_swarm()
    }
    async fn remove_secret(&self, _id: &str) -> ApiResult<()> {
        no_swarm()
    }
    async fn list_configs(&self, _filters: Filters) -> ApiResult<Vec<Config>> {
        no_swarm()
    }
    async fn create_config(&self, _spec: ConfigSpec) -> ApiResult<String> {
        no_swarm()
    }
    async fn inspect_config(&self, _id: &str) -> ApiResult<Config> {
        no_swarm()
    }
    async fn update_config(&self, _id: &str, _version: u64, _spec: ConfigSpec) -> ApiResult<()> {
        no_swarm()
    }
    async fn remove_config(&self, _id: &str) -> ApiResult<()> {
        no_swarm()
    }
    /// Term, vote, leader and log position of this manager, and what it knows of the others.
    /// A stock Docker Engine answers 404; the swarm diagram then leaves those rows out.
    async fn raft_status(&self) -> ApiResult<RaftStatus> {
        Err(ApiError::not_found("page not found"))
    }
    /// Tells when anything of the cluster has changed, by the version of its store; changes that come quickly are told
    /// as one. Docker's events say nothing of tasks: without this a diagram of them would have to ask again and again.
    /// The first item comes at once. A stock Docker Engine answers 404.
    async fn swarm_changes(&self) -> ApiResult<BoxStream<'static, ApiResult<u64>>> {
        Err(ApiError::not_found("page not found"))
    }
}
