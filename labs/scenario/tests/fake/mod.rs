//! An engine that holds containers and nothing else, and a workspace around it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_api::{models::*, *};
use docklab_scenario::{HttpAnswer, HttpRequest, Workspace, WorkspaceError};
use futures::{SinkExt as _, StreamExt as _, future::BoxFuture, stream, stream::BoxStream};
use serde_json::{Value, json};

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
pub struct FakeEngine(pub Mutex<Vec<Container>>, pub Mutex<Objects>);

pub type Execute = fn(container: &str, command: &str) -> (&'static str, i64);

/// What an engine holds beside containers, as the Engine API shows it.
#[derive(Clone, Default)]
pub struct Objects {
    pub networks: Vec<Value>,
    pub volumes: Vec<Value>,
    /// Inspected images, and the lines of their histories.
    pub images: Vec<(Value, Vec<&'static str>)>,
    pub services: Vec<Value>,
    pub tasks: Vec<Value>,
    pub nodes: Vec<Value>,
    /// What a command prints in a container, and its exit code.
    pub executes: Option<Execute>,
    pub started: Vec<(String, String)>,
}

/// Models of JSON as a test writes it.
fn models<T: serde::de::DeserializeOwned>(values: &[Value]) -> ApiResult<Vec<T>> {
    Ok(values.iter().map(|value| serde_json::from_value(value.clone()).unwrap()).collect())
}

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
    async fn create_exec(&self, container: &str, config: ExecConfig) -> ApiResult<String> {
        let mut objects = self.1.lock().unwrap();
        objects.started.push((container.to_owned(), config.cmd.unwrap_or_default().join(" ")));
        Ok((objects.started.len() - 1).to_string())
    }
    async fn start_exec(&self, id: &str, _: ExecStartConfig) -> ApiResult<Option<Attached>> {
        let (output, _) = self.executed(id)?;
        let chunk = OutputChunk { stream: StdStream::Stdout, bytes: Bytes::from(output) };
        Ok(Some(Attached {
            tty: false,
            output: stream::iter([Ok(chunk)]).boxed(),
            input: Box::pin(futures::sink::drain().sink_map_err(|never| match never {})),
        }))
    }
    async fn inspect_exec(&self, id: &str) -> ApiResult<ExecInspectResponse> {
        let (_, exit) = self.executed(id)?;
        Ok(ExecInspectResponse { exit_code: Some(exit), ..Default::default() })
    }
    async fn resize_exec(&self, _: &str, _: u16, _: u16) -> ApiResult<()> {
        unsupported()
    }
}

impl FakeEngine {
    fn executed(&self, id: &str) -> ApiResult<(&'static str, i64)> {
        let objects = self.1.lock().unwrap();
        let (container, command) = &objects.started[id.parse::<usize>().unwrap()];
        objects
            .executes
            .map(|execute| execute(container, command))
            .ok_or_else(|| ApiError::conflict("it is not running"))
    }
    fn image(&self, name: &str) -> ApiResult<(Value, Vec<&'static str>)> {
        let objects = self.1.lock().unwrap();
        let found = objects.images.iter().find(|(image, _)| {
            image["Id"] == name || image["RepoTags"].as_array().is_some_and(|tags| tags.iter().any(|tag| tag == name))
        });
        found.cloned().ok_or_else(|| ApiError::not_found(format!("No such image: {name}")))
    }
}

#[async_trait]
impl ImageApi for FakeEngine {
    async fn list_images(&self, _: ListImages) -> ApiResult<Vec<ImageSummary>> {
        let objects = self.1.lock().unwrap();
        let summary =
            |image: &Value| ImageSummary { id: image["Id"].as_str().unwrap().to_owned(), ..Default::default() };
        Ok(objects.images.iter().map(|(image, _)| summary(image)).collect())
    }
    async fn inspect_image(&self, name: &str) -> ApiResult<ImageInspect> {
        Ok(serde_json::from_value(self.image(name)?.0).unwrap())
    }
    async fn image_history(&self, name: &str) -> ApiResult<Vec<HistoryResponseItem>> {
        let line = |line: &str| HistoryResponseItem { created_by: line.to_owned(), ..Default::default() };
        Ok(self.image(name)?.1.into_iter().map(line).collect())
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
        models(&self.1.lock().unwrap().networks)
    }
    async fn inspect_network(&self, name: &str, _: bool, _: Option<&str>) -> ApiResult<Network> {
        let networks = models::<Network>(&self.1.lock().unwrap().networks)?;
        let found = networks.into_iter().find(|network| network.name.as_deref() == Some(name));
        found.ok_or_else(|| ApiError::not_found(format!("network {name} not found")))
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
        Ok(serde_json::from_value(json!({ "Volumes": self.1.lock().unwrap().volumes })).unwrap())
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

#[async_trait]
impl SwarmApi for FakeEngine {
    async fn list_nodes(&self, _: Filters) -> ApiResult<Vec<Node>> {
        self.manages(|objects| &objects.nodes)
    }
    async fn list_services(&self, _: ListServices) -> ApiResult<Vec<Service>> {
        self.manages(|objects| &objects.services)
    }
    async fn list_tasks(&self, _: Filters) -> ApiResult<Vec<Task>> {
        self.manages(|objects| &objects.tasks)
    }
}

impl FakeEngine {
    /// An engine without nodes is in no swarm.
    fn manages<T: serde::de::DeserializeOwned>(&self, of: fn(&Objects) -> &Vec<Value>) -> ApiResult<Vec<T>> {
        let objects = self.1.lock().unwrap();
        if objects.nodes.is_empty() {
            return Err(ApiError::unavailable("This node is not a swarm manager."));
        }
        models(of(&objects))
    }
}

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
