use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use docklab_api::{
    ApiError, ApiResult, AttachContainer, Attached, ByteStream, CommitContainer, ContainerApi, CreateContainer,
    Filters, ListContainers, Logs, OutputStream, PathStat, RemoveContainer, StateChange, StopContainer, WaitCondition,
    models::{
        ContainerConfig, ContainerCreateBody, ContainerCreateResponse, ContainerInspectResponse,
        ContainerPruneResponse, ContainerStatsResponse, ContainerSummary, ContainerTopResponse, ContainerUpdateBody,
        ContainerUpdateResponse, ContainerWaitResponse, FilesystemChange, IdResponse,
    },
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::BoxStream};
use http_body_util::BodyExt as _;
use hyper::{Method, Response, StatusCode, body::Incoming};

use super::{
    HttpClient, hijack,
    request::{Call, bytes, objects},
    undecodable,
};

impl HttpClient {
    async fn state_change(&self, call: Call) -> ApiResult<StateChange> {
        let response = self.send(call).await?;
        Ok(if response.status() == StatusCode::NOT_MODIFIED { StateChange::NotModified } else { StateChange::Changed })
    }

    async fn has_terminal(&self, id: &str) -> ApiResult<bool> {
        Ok(self.inspect_container(id, false).await?.config.and_then(|config| config.tty).unwrap_or(false))
    }
}

fn stop(call: Call, options: &StopContainer) -> Call {
    call.maybe("signal", options.signal.as_ref()).maybe("t", options.timeout.as_ref())
}

pub(super) fn log_query(call: Call, options: &Logs) -> Call {
    call.flag("stdout", options.stdout)
        .flag("stderr", options.stderr)
        .flag("follow", options.follow)
        .flag("timestamps", options.timestamps)
        .flag("details", options.details)
        .maybe("since", options.since.as_ref())
        .maybe("until", options.until.as_ref())
        .maybe("tail", options.tail.as_ref())
}

fn path_stat(response: &Response<Incoming>) -> ApiResult<PathStat> {
    let header = response.headers().get("X-Docker-Container-Path-Stat").ok_or_else(|| undecodable("no path stat"))?;
    let json = STANDARD.decode(header.as_bytes()).map_err(undecodable)?;
    serde_json::from_slice(&json).map_err(undecodable)
}

#[async_trait]
impl ContainerApi for HttpClient {
    async fn list_containers(&self, options: ListContainers) -> ApiResult<Vec<ContainerSummary>> {
        let call = Call::get("/containers/json")
            .flag("all", options.all)
            .maybe("limit", options.limit.as_ref())
            .flag("size", options.size)
            .filters(&options.filters);
        self.receive_list(call).await
    }
    async fn create_container(
        &self,
        options: CreateContainer,
        body: ContainerCreateBody,
    ) -> ApiResult<ContainerCreateResponse> {
        let call = Call::post("/containers/create")
            .maybe("name", options.name.as_ref())
            .maybe("platform", options.platform.as_ref());
        self.receive(call.json(&body)?).await
    }
    async fn inspect_container(&self, id: &str, size: bool) -> ApiResult<ContainerInspectResponse> {
        self.receive(Call::get(&format!("/containers/{id}/json")).flag("size", size)).await
    }
    async fn start_container(&self, id: &str) -> ApiResult<StateChange> {
        self.state_change(Call::post(&format!("/containers/{id}/start"))).await
    }
    async fn stop_container(&self, id: &str, options: StopContainer) -> ApiResult<StateChange> {
        self.state_change(stop(Call::post(&format!("/containers/{id}/stop")), &options)).await
    }
    async fn restart_container(&self, id: &str, options: StopContainer) -> ApiResult<()> {
        self.done(stop(Call::post(&format!("/containers/{id}/restart")), &options)).await
    }
    async fn kill_container(&self, id: &str, signal: Option<String>) -> ApiResult<()> {
        self.done(Call::post(&format!("/containers/{id}/kill")).maybe("signal", signal.as_ref())).await
    }
    async fn pause_container(&self, id: &str) -> ApiResult<()> {
        self.done(Call::post(&format!("/containers/{id}/pause"))).await
    }
    async fn unpause_container(&self, id: &str) -> ApiResult<()> {
        self.done(Call::post(&format!("/containers/{id}/unpause"))).await
    }
    async fn rename_container(&self, id: &str, name: &str) -> ApiResult<()> {
        self.done(Call::post(&format!("/containers/{id}/rename")).query("name", name)).await
    }
    async fn update_container(&self, id: &str, body: ContainerUpdateBody) -> ApiResult<ContainerUpdateResponse> {
        self.receive(Call::post(&format!("/containers/{id}/update")).json(&body)?).await
    }
    async fn remove_container(&self, id: &str, options: RemoveContainer) -> ApiResult<()> {
        let call = Call::delete(&format!("/containers/{id}"))
            .flag("force", options.force)
            .flag("v", options.volumes)
            .flag("link", options.link);
        self.done(call).await
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
        // The headers have arrived: the engine has registered the wait.
        let response = self.send(Call::post(&format!("/containers/{id}/wait")).query("condition", condition)).await?;
        Ok(async move {
            let bytes = response.into_body().collect().await.map_err(undecodable)?.to_bytes();
            serde_json::from_slice(&bytes).map_err(undecodable)
        }
        .boxed())
    }
    async fn attach_container(&self, id: &str, options: AttachContainer) -> ApiResult<Attached> {
        let tty = self.has_terminal(id).await?;
        let call = Call::post(&format!("/containers/{id}/attach"))
            .flag("stream", options.stream)
            .flag("logs", options.logs)
            .flag("stdin", options.stdin)
            .flag("stdout", options.stdout)
            .flag("stderr", options.stderr)
            .maybe("detachKeys", options.detach_keys.as_ref());
        self.hijack(call, tty).await
    }
    async fn resize_container(&self, id: &str, rows: u16, columns: u16) -> ApiResult<()> {
        let call = Call::post(&format!("/containers/{id}/resize"));
        self.done(call.query("h", rows.to_string()).query("w", columns.to_string())).await
    }
    async fn container_logs(&self, id: &str, options: Logs) -> ApiResult<OutputStream> {
        let tty = self.has_terminal(id).await?;
        let response = self.send(log_query(Call::get(&format!("/containers/{id}/logs")), &options)).await?;
        Ok(hijack::logs(response, tty))
    }
    async fn top_container(&self, id: &str, ps_args: &str) -> ApiResult<ContainerTopResponse> {
        let call = Call::get(&format!("/containers/{id}/top"));
        self.receive(if ps_args.is_empty() { call } else { call.query("ps_args", ps_args) }).await
    }
    async fn container_stats(
        &self,
        id: &str,
        stream: bool,
        one_shot: bool,
    ) -> ApiResult<BoxStream<'static, ApiResult<ContainerStatsResponse>>> {
        let call = Call::get(&format!("/containers/{id}/stats"))
            .query("stream", if stream { "1" } else { "0" })
            .flag("one-shot", one_shot);
        Ok(objects(self.send(call).await?).boxed())
    }
    async fn container_changes(&self, id: &str) -> ApiResult<Vec<FilesystemChange>> {
        self.receive_list(Call::get(&format!("/containers/{id}/changes"))).await
    }
    async fn export_container(&self, id: &str) -> ApiResult<ByteStream> {
        Ok(bytes(self.send(Call::get(&format!("/containers/{id}/export"))).await?))
    }
    async fn container_path_stat(&self, id: &str, path: &str) -> ApiResult<PathStat> {
        let call = Call::new(Method::HEAD, &format!("/containers/{id}/archive")).query("path", path);
        let response = self.send(call).await.map_err(|error| match error.status {
            // A HEAD answer has no body to say what is missing.
            404 => ApiError::not_found(format!("Could not find the file {path} in container {id}")),
            _ => error,
        })?;
        path_stat(&response)
    }
    async fn download_from_container(&self, id: &str, path: &str) -> ApiResult<(PathStat, ByteStream)> {
        let response = self.send(Call::get(&format!("/containers/{id}/archive")).query("path", path)).await?;
        Ok((path_stat(&response)?, bytes(response)))
    }
    async fn upload_to_container(
        &self,
        id: &str,
        path: &str,
        no_overwrite_dir_non_dir: bool,
        tar: ByteStream,
    ) -> ApiResult<()> {
        let call = Call::new(Method::PUT, &format!("/containers/{id}/archive"))
            .query("path", path)
            .query("noOverwriteDirNonDir", no_overwrite_dir_non_dir.to_string());
        self.done(call.stream(tar)).await
    }
    async fn prune_containers(&self, filters: Filters) -> ApiResult<ContainerPruneResponse> {
        self.receive(Call::post("/containers/prune").filters(&filters)).await
    }
    async fn commit_container(&self, options: CommitContainer, config: Option<ContainerConfig>) -> ApiResult<String> {
        let mut call = Call::post("/commit")
            .query("container", &options.container)
            .maybe("repo", options.repo.as_ref())
            .maybe("tag", options.tag.as_ref())
            .maybe("comment", options.comment.as_ref())
            .maybe("author", options.author.as_ref())
            .query("pause", if options.pause { "1" } else { "0" });
        for change in &options.changes {
            call = call.query("changes", change);
        }
        Ok(self.receive::<IdResponse>(call.json(&config)?).await?.id)
    }
}
