//! An engine that holds containers and nothing else, and a workspace around it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_api::{models::*, *};
use docklab_scenario::{HttpAnswer, HttpRequest, Workspace, WorkspaceError};
use futures::{future::BoxFuture, stream::BoxStream};

#[derive(Clone, Default)]
pub struct Container {
    pub name: String,
    pub image: String,
    pub command: String,
    pub state: &'static str,
    /// Container port and host port, both TCP.
    pub port: Option<(u16, u16)>,
}

#[derive(Default)]
pub struct FakeEngine(pub Mutex<Vec<Container>>);

fn unsupported<T>() -> ApiResult<T> {
    Err(ApiError::not_implemented("the fake engine holds containers only"))
}

#[async_trait]
impl SystemApi for FakeEngine {
    async fn ping(&self) -> ApiResult<Ping> {
        unsupported()
    }
    async fn version(&self) -> ApiResult<SystemVersion> {
        unsupported()
    }
    async fn info(&self) -> ApiResult<SystemInfo> {
        unsupported()
    }
    async fn events(&self, _: Events) -> ApiResult<BoxStream<'static, ApiResult<EventMessage>>> {
        unsupported()
    }
    async fn disk_usage(&self) -> ApiResult<SystemDataUsageResponse> {
        unsupported()
    }
    async fn login(&self, _: AuthConfig) -> ApiResult<SystemAuthResponse> {
        unsupported()
    }
}

#[async_trait]
impl ContainerApi for FakeEngine {
    async fn list_containers(&self, options: ListContainers) -> ApiResult<Vec<ContainerSummary>> {
        let containers = self.0.lock().unwrap();
        let listed = containers.iter().rev().filter(|container| options.all || container.state == "running");
        Ok(listed
            .map(|container| ContainerSummary { id: Some(container.name.clone()), ..Default::default() })
            .collect())
    }
    async fn create_container(&self, _: CreateContainer, _: ContainerCreateBody) -> ApiResult<ContainerCreateResponse> {
        unsupported()
    }
    async fn inspect_container(&self, id: &str, _: bool) -> ApiResult<ContainerInspectResponse> {
        let containers = self.0.lock().unwrap();
        let Some(container) = containers.iter().find(|container| container.name == id) else {
            return Err(ApiError::not_found(format!("No such container: {id}")));
        };
        let mut words = container.command.split(' ').map(str::to_owned);
        let bindings = container.port.map(|(inner, host)| {
            let binding = PortBinding { host_ip: Some(String::new()), host_port: Some(host.to_string()) };
            PortMap::from([(format!("{inner}/tcp"), Some(vec![binding]))])
        });
        Ok(ContainerInspectResponse {
            id: Some("0123456789abcdef".to_owned()),
            name: Some(format!("/{}", container.name)),
            path: words.next(),
            args: Some(words.collect()),
            state: Some(ContainerState {
                status: container.state.parse().ok(),
                exit_code: Some(0),
                ..Default::default()
            }),
            config: Some(ContainerConfig { image: Some(container.image.clone()), ..Default::default() }),
            host_config: Some(HostConfig { port_bindings: bindings, ..Default::default() }),
            ..Default::default()
        })
    }
    async fn start_container(&self, _: &str) -> ApiResult<StateChange> {
        unsupported()
    }
    async fn stop_container(&self, _: &str, _: StopContainer) -> ApiResult<StateChange> {
        unsupported()
    }
    async fn restart_container(&self, _: &str, _: StopContainer) -> ApiResult<()> {
        unsupported()
    }
    async fn kill_container(&self, _: &str, _: Option<String>) -> ApiResult<()> {
        unsupported()
    }
    async fn pause_container(&self, _: &str) -> ApiResult<()> {
        unsupported()
    }
    async fn unpause_container(&self, _: &str) -> ApiResult<()> {
        unsupported()
    }
    async fn rename_container(&self, _: &str, _: &str) -> ApiResult<()> {
        unsupported()
    }
    async fn update_container(&self, _: &str, _: ContainerUpdateBody) -> ApiResult<ContainerUpdateResponse> {
        unsupported()
    }
    async fn remove_container(&self, _: &str, _: RemoveContainer) -> ApiResult<()> {
        unsupported()
    }
    async fn wait_container(
        &self,
        _: &str,
        _: WaitCondition,
    ) -> ApiResult<BoxFuture<'static, ApiResult<ContainerWaitResponse>>> {
        unsupported()
    }
    async fn attach_container(&self, _: &str, _: AttachContainer) -> ApiResult<Attached> {
        unsupported()
    }
    async fn resize_container(&self, _: &str, _: u16, _: u16) -> ApiResult<()> {
        unsupported()
    }
    async fn container_logs(&self, _: &str, _: Logs) -> ApiResult<OutputStream> {
        unsupported()
    }
    async fn top_container(&self, _: &str, _: &str) -> ApiResult<ContainerTopResponse> {
        unsupported()
    }
    async fn container_stats(
        &self,
        _: &str,
        _: bool,
        _: bool,
    ) -> ApiResult<BoxStream<'static, ApiResult<ContainerStatsResponse>>> {
        unsupported()
    }
    async fn container_changes(&self, _: &str) -> ApiResult<Vec<FilesystemChange>> {
        unsupported()
    }
    async fn export_container(&self, _: &str) -> ApiResult<ByteStream> {
        unsupported()
    }
    async fn container_path_stat(&self, _: &str, _: &str) -> ApiResult<PathStat> {
        unsupported()
    }
    async fn download_from_container(&self, _: &str, _: &str) -> ApiResult<(PathStat, ByteStream)> {
        unsupported()
    }
    async fn upload_to_container(&self, _: &str, _: &str, _: bool, _: ByteStream) -> ApiResult<()> {
        unsupported()
    }
    async fn prune_containers(&self, _: Filters) -> ApiResult<ContainerPruneResponse> {
        unsupported()
    }
    async fn commit_container(&self, _: CommitContainer, _: Option<ContainerConfig>) -> ApiResult<String> {
        unsupported()
    }
}

#[async_trait]
impl ExecApi for FakeEngine {
    async fn create_exec(&self, _: &str, _: ExecConfig) -> ApiResult<String> {
        unsupported()
    }
    async fn start_exec(&self, _: &str, _: ExecStartConfig) -> ApiResult<Option<Attached>> {
        unsupported()
    }
    async fn inspect_exec(&self, _: &str) -> ApiResult<ExecInspectResponse> {
        unsupported()
    }
    async fn resize_exec(&self, _: &str, _: u16, _: u16) -> ApiResult<()> {
        unsupported()
    }
}

#[async_trait]
impl ImageApi for FakeEngine {
    async fn list_images(&self, _: ListImages) -> ApiResult<Vec<ImageSummary>> {
        unsupported()
    }
    async fn inspect_image(&self, _: &str) -> ApiResult<ImageInspect> {
        unsupported()
    }
    async fn image_history(&self, _: &str) -> ApiResult<Vec<HistoryResponseItem>> {
        unsupported()
    }
    async fn create_image(&self, _: CreateImage, _: Option<ByteStream>) -> ApiResult<MessageStream> {
        unsupported()
    }
    async fn push_image(&self, _: &str, _: PushImage) -> ApiResult<MessageStream> {
        unsupported()
    }
    async fn tag_image(&self, _: &str, _: &str, _: &str) -> ApiResult<()> {
        unsupported()
    }
    async fn remove_image(&self, _: &str, _: RemoveImage) -> ApiResult<Vec<ImageDeleteResponseItem>> {
        unsupported()
    }
    async fn prune_images(&self, _: Filters) -> ApiResult<ImagePruneResponse> {
        unsupported()
    }
    async fn save_images(&self, _: Vec<String>) -> ApiResult<ByteStream> {
        unsupported()
    }
    async fn load_images(&self, _: bool, _: ByteStream) -> ApiResult<MessageStream> {
        unsupported()
    }
    async fn build_image(&self, _: BuildImage, _: ByteStream) -> ApiResult<MessageStream> {
        unsupported()
    }
    async fn prune_build_cache(&self, _: bool, _: Filters) -> ApiResult<BuildPruneResponse> {
        unsupported()
    }
    async fn inspect_distribution(&self, _: &str, _: Option<AuthConfig>) -> ApiResult<DistributionInspect> {
        unsupported()
    }
}

#[async_trait]
impl NetworkApi for FakeEngine {
    async fn list_networks(&self, _: Filters) -> ApiResult<Vec<Network>> {
        unsupported()
    }
    async fn inspect_network(&self, _: &str, _: bool, _: Option<&str>) -> ApiResult<Network> {
        unsupported()
    }
    async fn create_network(&self, _: NetworkCreateRequest) -> ApiResult<NetworkCreateResponse> {
        unsupported()
    }
    async fn remove_network(&self, _: &str) -> ApiResult<()> {
        unsupported()
    }
    async fn connect_network(&self, _: &str, _: NetworkConnectRequest) -> ApiResult<()> {
        unsupported()
    }
    async fn disconnect_network(&self, _: &str, _: NetworkDisconnectRequest) -> ApiResult<()> {
        unsupported()
    }
    async fn prune_networks(&self, _: Filters) -> ApiResult<NetworkPruneResponse> {
        unsupported()
    }
}

#[async_trait]
impl VolumeApi for FakeEngine {
    async fn list_volumes(&self, _: Filters) -> ApiResult<VolumeListResponse> {
        unsupported()
    }
    async fn create_volume(&self, _: VolumeCreateOptions) -> ApiResult<Volume> {
        unsupported()
    }
    async fn inspect_volume(&self, _: &str) -> ApiResult<Volume> {
        unsupported()
    }
    async fn remove_volume(&self, _: &str, _: bool) -> ApiResult<()> {
        unsupported()
    }
    async fn prune_volumes(&self, _: Filters) -> ApiResult<VolumePruneResponse> {
        unsupported()
    }
}

impl SwarmApi for FakeEngine {}

/// One node; a published port of a running container answers with the container's name.
#[derive(Clone, Default)]
pub struct FakeWorkspace(pub Arc<FakeEngine>);

#[async_trait]
impl Workspace for FakeWorkspace {
    fn nodes(&self) -> Vec<(String, Arc<dyn DockerApi>)> {
        let engine: Arc<dyn DockerApi> = Arc::clone(&self.0) as Arc<dyn DockerApi>;
        vec![("node1".to_owned(), engine)]
    }
    async fn http(&self, _: &str, request: HttpRequest) -> Result<HttpAnswer, WorkspaceError> {
        let containers = self.0.0.lock().unwrap();
        let serving = containers.iter().find(|container| {
            container.state == "running"
                && container.port.is_some_and(|(_, host)| request.url.contains(&format!(":{host}/")))
        });
        match serving {
            Some(container) => Ok(HttpAnswer { status: 200, body: Bytes::from(container.name.clone()) }),
            None => Err(WorkspaceError("connection refused".to_owned())),
        }
    }
    async fn read_file(&self, _: &str, _: &str) -> Result<Option<Bytes>, WorkspaceError> {
        Ok(None)
    }
}
