use async_trait::async_trait;
use docklab_api::{
    ApiResult, AttachContainer, Attached, ByteStream, CommitContainer, ContainerApi, CreateContainer, Filters,
    ListContainers, Logs, OutputStream, PathStat, RemoveContainer, StateChange, StopContainer, WaitCondition,
    models::{
        ChangeType, ContainerConfig, ContainerCreateBody, ContainerCreateResponse, ContainerInspectResponse,
        ContainerPruneResponse, ContainerStatsResponse, ContainerSummary, ContainerTopResponse, ContainerUpdateBody,
        ContainerUpdateResponse, ContainerWaitResponse, FilesystemChange,
    },
};
use docklab_host::ChangeKind;
use futures::{future::BoxFuture, stream::BoxStream};

use super::wait;
use crate::{Engine, HostResultExt};

#[async_trait]
impl ContainerApi for Engine {
    async fn list_containers(&self, options: ListContainers) -> ApiResult<Vec<ContainerSummary>> {
        self.list(options).await
    }
    async fn create_container(
        &self,
        options: CreateContainer,
        body: ContainerCreateBody,
    ) -> ApiResult<ContainerCreateResponse> {
        self.create(options, body).await
    }
    async fn inspect_container(&self, id: &str, size: bool) -> ApiResult<ContainerInspectResponse> {
        let container = self.container(id)?;
        self.inspect(&container, size).await
    }
    async fn start_container(&self, id: &str) -> ApiResult<StateChange> {
        let container = self.container(id)?;
        self.start(&container).await
    }
    async fn stop_container(&self, id: &str, options: StopContainer) -> ApiResult<StateChange> {
        let container = self.container(id)?;
        self.stop(&container, &options).await
    }
    async fn restart_container(&self, id: &str, options: StopContainer) -> ApiResult<()> {
        let container = self.container(id)?;
        self.restart(&container, &options).await
    }
    async fn kill_container(&self, id: &str, signal: Option<String>) -> ApiResult<()> {
        self.kill(id, signal.as_deref()).await
    }
    async fn pause_container(&self, id: &str) -> ApiResult<()> {
        let container = self.container(id)?;
        self.pause(&container).await
    }
    async fn unpause_container(&self, id: &str) -> ApiResult<()> {
        let container = self.container(id)?;
        self.unpause(&container).await
    }
    async fn rename_container(&self, id: &str, name: &str) -> ApiResult<()> {
        let container = self.container(id)?;
        self.rename(&container, name).await
    }
    async fn update_container(&self, id: &str, body: ContainerUpdateBody) -> ApiResult<ContainerUpdateResponse> {
        let container = self.container(id)?;
        self.update(&container, &body).await
    }
    async fn remove_container(&self, id: &str, options: RemoveContainer) -> ApiResult<()> {
        if options.link {
            return self.remove_link(id).await;
        }
        let container = self.container(id)?;
        self.remove(&container, options.force, options.volumes).await
    }
    async fn wait_container(
        &self,
        id: &str,
        condition: WaitCondition,
    ) -> ApiResult<BoxFuture<'static, ApiResult<ContainerWaitResponse>>> {
        let container = self.container(id)?;
        Ok(wait::wait(&container, condition))
    }
    async fn attach_container(&self, id: &str, options: AttachContainer) -> ApiResult<Attached> {
        let container = self.container(id)?;
        self.attach(&container, options).await
    }
    async fn resize_container(&self, id: &str, rows: u16, columns: u16) -> ApiResult<()> {
        let container = self.container(id)?;
        container.running_process()?.resize(rows, columns).await.api()?;
        let size = [("height", rows.to_string()), ("width", columns.to_string())];
        self.container_event(&container, "resize", &size);
        Ok(())
    }
    async fn container_logs(&self, id: &str, options: Logs) -> ApiResult<OutputStream> {
        let container = self.container(id)?;
        self.logs(&container, options).await
    }
    async fn top_container(&self, id: &str, ps_args: &str) -> ApiResult<ContainerTopResponse> {
        let container = self.container(id)?;
        container.running_process()?;
        let list = self.host.top(&container.id, ps_args).await.api()?;
        self.container_event(&container, "top", &[]);
        Ok(ContainerTopResponse { titles: Some(list.titles), processes: Some(list.rows) })
    }
    async fn container_stats(
        &self,
        id: &str,
        stream: bool,
        one_shot: bool,
    ) -> ApiResult<BoxStream<'static, ApiResult<ContainerStatsResponse>>> {
        let container = self.container(id)?;
        self.stats(&container, stream, one_shot).await
    }
    async fn container_changes(&self, id: &str) -> ApiResult<Vec<FilesystemChange>> {
        let container = self.container(id)?;
        let changes = self.host.changes(&container.id).await.api()?;
        Ok(changes
            .into_iter()
            .map(|change| FilesystemChange {
                path: change.path,
                kind: match change.kind {
                    ChangeKind::Modified => ChangeType::_0,
                    ChangeKind::Added => ChangeType::_1,
                    ChangeKind::Deleted => ChangeType::_2,
                },
            })
            .collect())
    }
    async fn export_container(&self, id: &str) -> ApiResult<ByteStream> {
        let container = self.container(id)?;
        self.export(&container).await
    }
    async fn container_path_stat(&self, id: &str, path: &str) -> ApiResult<PathStat> {
        let container = self.container(id)?;
        self.path_stat(&container, path).await
    }
    async fn download_from_container(&self, id: &str, path: &str) -> ApiResult<(PathStat, ByteStream)> {
        let container = self.container(id)?;
        self.download(&container, path).await
    }
    async fn upload_to_container(
        &self,
        id: &str,
        path: &str,
        no_overwrite_dir_non_dir: bool,
        tar: ByteStream,
    ) -> ApiResult<()> {
        let container = self.container(id)?;
        self.upload(&container, path, no_overwrite_dir_non_dir, tar).await
    }
    async fn prune_containers(&self, filters: Filters) -> ApiResult<ContainerPruneResponse> {
        self.prune_stopped(filters).await
    }
    async fn commit_container(&self, options: CommitContainer, config: Option<ContainerConfig>) -> ApiResult<String> {
        self.commit(options, config).await
    }
}
