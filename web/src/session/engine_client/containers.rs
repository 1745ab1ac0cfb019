use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use docklab_api::{
    ApiError, ApiResult, AttachContainer, Attached, ByteStream, CommitContainer, ContainerApi, CreateContainer,
    ExecApi, Filters, ListContainers, Logs, OutputStream, PathStat, RemoveContainer, StateChange, StopContainer,
    WaitCondition,
    models::{
        ContainerConfig, ContainerCreateBody, ContainerCreateResponse, ContainerInspectResponse,
        ContainerPruneResponse, ContainerStatsResponse, ContainerSummary, ContainerTopResponse, ContainerUpdateBody,
        ContainerUpdateResponse, ContainerWaitResponse, ExecConfig, ExecInspectResponse, ExecStartConfig,
        FilesystemChange, IdResponse,
    },
};
use futures::{FutureExt as _, future::BoxFuture, sink, stream::BoxStream};

use super::{EngineClient, Query, bytes, collect, escape, objects, output, read};
use crate::browser::FetchResponse;

pub(super) fn logs_query(options: &Logs) -> Query {
    Query::new()
        .flag("stdout", options.stdout)
        .flag("stderr", options.stderr)
        .flag("follow", options.follow)
        .flag("timestamps", options.timestamps)
        .flag("details", options.details)
        .maybe("since", options.since.as_deref())
        .maybe("until", options.until.as_deref())
        .maybe("tail", options.tail.as_deref())
}

fn stop_query(options: &StopContainer) -> Query {
    Query::new().maybe("signal", options.signal.as_deref()).number("t", options.timeout)
}

fn changed(status: u16) -> StateChange {
    if status == 304 { StateChange::NotModified } else { StateChange::Changed }
}

fn path_stat(response: &FetchResponse) -> ApiResult<PathStat> {
    let header = response.header("x-docker-container-path-stat").unwrap_or_default();
    let unreadable = |_| ApiError::connection("the engine's path stat cannot be read");
    let json = STANDARD.decode(header).map_err(|_| unreadable(()))?;
    serde_json::from_slice(&json).map_err(|_| unreadable(()))
}

/// Output alone. Input needs a connection that both sides write to, which a browser's fetch is not.
fn attached(response: FetchResponse, tty: bool) -> Attached {
    let input = sink::unfold((), |(), _: Bytes| async {
        Err(ApiError::not_implemented("a browser cannot write to an attached container: type into a terminal instead"))
    });
    Attached { output: output(response), input: Box::pin(input), tty }
}

#[async_trait]
impl ContainerApi for EngineClient {
    async fn list_containers(&self, options: ListContainers) -> ApiResult<Vec<ContainerSummary>> {
        let query = Query::new()
            .flag("all", options.all)
            .number("limit", options.limit)
            .flag("size", options.size)
            .filters(&options.filters);
        self.get("/containers/json", query).await
    }
    async fn create_container(
        &self,
        options: CreateContainer,
        body: ContainerCreateBody,
    ) -> ApiResult<ContainerCreateResponse> {
        let query = Query::new().maybe("name", options.name.as_deref()).maybe("platform", options.platform.as_deref());
        self.post("/containers/create", query, &body).await
    }
    async fn inspect_container(&self, id: &str, size: bool) -> ApiResult<ContainerInspectResponse> {
        self.get(&format!("/containers/{}/json", escape(id)), Query::new().flag("size", size)).await
    }
    async fn start_container(&self, id: &str) -> ApiResult<StateChange> {
        self.act(&format!("/containers/{}/start", escape(id)), Query::new()).await.map(changed)
    }
    async fn stop_container(&self, id: &str, options: StopContainer) -> ApiResult<StateChange> {
        self.act(&format!("/containers/{}/stop", escape(id)), stop_query(&options)).await.map(changed)
    }
    async fn restart_container(&self, id: &str, options: StopContainer) -> ApiResult<()> {
        self.act(&format!("/containers/{}/restart", escape(id)), stop_query(&options)).await.map(drop)
    }
    async fn kill_container(&self, id: &str, signal: Option<String>) -> ApiResult<()> {
        let query = Query::new().maybe("signal", signal.as_deref());
        self.act(&format!("/containers/{}/kill", escape(id)), query).await.map(drop)
    }
    async fn pause_container(&self, id: &str) -> ApiResult<()> {
        self.act(&format!("/containers/{}/pause", escape(id)), Query::new()).await.map(drop)
    }
    async fn unpause_container(&self, id: &str) -> ApiResult<()> {
        self.act(&format!("/containers/{}/unpause", escape(id)), Query::new()).await.map(drop)
    }
    async fn rename_container(&self, id: &str, name: &str) -> ApiResult<()> {
        self.act(&format!("/containers/{}/rename", escape(id)), Query::new().text("name", name)).await.map(drop)
    }
    async fn update_container(&self, id: &str, body: ContainerUpdateBody) -> ApiResult<ContainerUpdateResponse> {
        self.post(&format!("/containers/{}/update", escape(id)), Query::new(), &body).await
    }
    async fn remove_container(&self, id: &str, options: RemoveContainer) -> ApiResult<()> {
        let query = Query::new().flag("force", options.force).flag("v", options.volumes).flag("link", options.link);
        self.delete(&format!("/containers/{}", escape(id)), query).await
    }
    async fn wait_container(
        &self,
        id: &str,
        condition: WaitCondition,
    ) -> ApiResult<BoxFuture<'static, ApiResult<ContainerWaitResponse>>> {
        let condition = match condition {
            WaitCondition::NotRunning => "not-running",
            WaitCondition::NextExit => "next-exit",
            WaitCondition::Removed => "removed",
        };
        let query = Query::new().text("condition", condition);
        let response = self.send("POST", &format!("/containers/{}/wait", escape(id)), query, None).await?;
        Ok(read(response).boxed())
    }
    async fn attach_container(&self, id: &str, options: AttachContainer) -> ApiResult<Attached> {
        let tty = self.inspect_container(id, false).await?.config.and_then(|config| config.tty).unwrap_or_default();
        let query = Query::new()
            .flag("stream", options.stream)
            .flag("logs", options.logs)
            .flag("stdout", options.stdout)
            .flag("stderr", options.stderr);
        let response = self.send("POST", &format!("/containers/{}/attach", escape(id)), query, None).await?;
        Ok(attached(response, tty))
    }
    async fn resize_container(&self, id: &str, rows: u16, columns: u16) -> ApiResult<()> {
        let query = Query::new().text("h", &rows.to_string()).text("w", &columns.to_string());
        self.act(&format!("/containers/{}/resize", escape(id)), query).await.map(drop)
    }
    async fn container_logs(&self, id: &str, options: Logs) -> ApiResult<OutputStream> {
        let path = format!("/containers/{}/logs", escape(id));
        Ok(output(self.send("GET", &path, logs_query(&options), None).await?))
    }
    async fn top_container(&self, id: &str, ps_args: &str) -> ApiResult<ContainerTopResponse> {
        self.get(&format!("/containers/{}/top", escape(id)), Query::new().text("ps_args", ps_args)).await
    }
    async fn container_stats(
        &self,
        id: &str,
        stream: bool,
        one_shot: bool,
    ) -> ApiResult<BoxStream<'static, ApiResult<ContainerStatsResponse>>> {
        let query = Query::new().text("stream", if stream { "1" } else { "0" }).flag("one-shot", one_shot);
        Ok(objects(self.stream(&format!("/containers/{}/stats", escape(id)), query).await?))
    }
    async fn container_changes(&self, id: &str) -> ApiResult<Vec<FilesystemChange>> {
        // An unchanged container answers `null`.
        let changes: Option<_> = self.get(&format!("/containers/{}/changes", escape(id)), Query::new()).await?;
        Ok(changes.unwrap_or_default())
    }
    async fn export_container(&self, id: &str) -> ApiResult<ByteStream> {
        Ok(bytes(self.send("GET", &format!("/containers/{}/export", escape(id)), Query::new(), None).await?))
    }
    async fn container_path_stat(&self, id: &str, path: &str) -> ApiResult<PathStat> {
        let query = Query::new().text("path", path);
        path_stat(&self.send("HEAD", &format!("/containers/{}/archive", escape(id)), query, None).await?)
    }
    async fn download_from_container(&self, id: &str, path: &str) -> ApiResult<(PathStat, ByteStream)> {
        let query = Query::new().text("path", path);
        let response = self.send("GET", &format!("/containers/{}/archive", escape(id)), query, None).await?;
        Ok((path_stat(&response)?, bytes(response)))
    }
    async fn upload_to_container(
        &self,
        id: &str,
        path: &str,
        no_overwrite_dir_non_dir: bool,
        tar: ByteStream,
    ) -> ApiResult<()> {
        let query = Query::new().text("path", path).flag("noOverwriteDirNonDir", no_overwrite_dir_non_dir);
        let body = Some(("application/x-tar", collect(tar).await?));
        self.send("PUT", &format!("/containers/{}/archive", escape(id)), query, body).await.map(drop)
    }
    async fn prune_containers(&self, filters: Filters) -> ApiResult<ContainerPruneResponse> {
        self.prune("/containers/prune", &filters).await
    }
    async fn commit_container(&self, options: CommitContainer, config: Option<ContainerConfig>) -> ApiResult<String> {
        let mut query = Query::new()
            .text("container", &options.container)
            .maybe("repo", options.repo.as_deref())
            .maybe("tag", options.tag.as_deref())
            .maybe("comment", options.comment.as_deref())
            .maybe("author", options.author.as_deref())
            .text("pause", if options.pause { "1" } else { "0" });
        for change in &options.changes {
            query = query.text("changes", change);
        }
        let answer: IdResponse = self.post("/commit", query, &config).await?;
        Ok(answer.id)
    }
}

#[async_trait]
impl ExecApi for EngineClient {
    async fn create_exec(&self, container: &str, config: ExecConfig) -> ApiResult<String> {
        let path = format!("/containers/{}/exec", escape(container));
        let answer: IdResponse = self.post(&path, Query::new(), &config).await?;
        Ok(answer.id)
    }
    async fn start_exec(&self, id: &str, config: ExecStartConfig) -> ApiResult<Option<Attached>> {
        let (detach, tty) = (config.detach.unwrap_or_default(), config.tty.unwrap_or_default());
        let body = Some(super::json(&config)?);
        let response = self.send("POST", &format!("/exec/{}/start", escape(id)), Query::new(), body).await?;
        Ok((!detach).then(|| attached(response, tty)))
    }
    async fn inspect_exec(&self, id: &str) -> ApiResult<ExecInspectResponse> {
        self.get(&format!("/exec/{}/json", escape(id)), Query::new()).await
    }
    async fn resize_exec(&self, id: &str, rows: u16, columns: u16) -> ApiResult<()> {
        let query = Query::new().text("h", &rows.to_string()).text("w", &columns.to_string());
        self.act(&format!("/exec/{}/resize", escape(id)), query).await.map(drop)
    }
}
