use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use docklab_api::{
    ApiError, ApiResult, BuildImage, ByteStream, CreateImage, Filters, ImageApi, ListImages, MessageStream, PushImage,
    RemoveImage,
    models::{
        AuthConfig, BuildPruneResponse, DistributionInspect, HistoryResponseItem, ImageDeleteResponseItem,
        ImageInspect, ImagePruneResponse, ImageSummary,
    },
};
use futures::StreamExt as _;

use super::{
    HttpClient,
    request::{Call, bytes, objects},
};

fn encoded<T: serde::Serialize>(value: &T) -> ApiResult<String> {
    serde_json::to_string(value).map_err(|error| ApiError::system(format!("encoding the request: {error}")))
}

#[async_trait]
impl ImageApi for HttpClient {
    async fn list_images(&self, options: ListImages) -> ApiResult<Vec<ImageSummary>> {
        let call = Call::get("/images/json")
            .flag("all", options.all)
            .flag("digests", options.digests)
            .flag("shared-size", options.shared_size)
            .filters(&options.filters);
        self.receive_list(call).await
    }
    async fn inspect_image(&self, name: &str) -> ApiResult<ImageInspect> {
        self.receive(Call::get(&format!("/images/{name}/json"))).await
    }
    async fn image_history(&self, name: &str) -> ApiResult<Vec<HistoryResponseItem>> {
        self.receive_list(Call::get(&format!("/images/{name}/history"))).await
    }
    async fn create_image(&self, options: CreateImage, body: Option<ByteStream>) -> ApiResult<MessageStream> {
        let mut call = Call::post("/images/create")
            .maybe("fromImage", options.from_image.as_ref())
            .maybe("fromSrc", options.from_src.as_ref())
            .maybe("repo", options.repo.as_ref())
            .maybe("tag", options.tag.as_ref())
            .maybe("message", options.message.as_ref())
            .maybe("platform", options.platform.as_ref())
            .auth(options.auth.as_ref())?;
        for change in &options.changes {
            call = call.query("changes", change);
        }
        if let Some(body) = body {
            call = call.stream(body);
        }
        Ok(objects(self.send(call).await?).boxed())
    }
    async fn push_image(&self, name: &str, options: PushImage) -> ApiResult<MessageStream> {
        let call = Call::post(&format!("/images/{name}/push"))
            .maybe("tag", options.tag.as_ref())
            .maybe("platform", options.platform.as_ref())
            .auth(options.auth.as_ref())?;
        Ok(objects(self.send(call).await?).boxed())
    }
    async fn tag_image(&self, name: &str, repo: &str, tag: &str) -> ApiResult<()> {
        self.done(Call::post(&format!("/images/{name}/tag")).query("repo", repo).query("tag", tag)).await
    }
    async fn remove_image(&self, name: &str, options: RemoveImage) -> ApiResult<Vec<ImageDeleteResponseItem>> {
        let call =
            Call::delete(&format!("/images/{name}")).flag("force", options.force).flag("noprune", options.noprune);
        self.receive_list(call).await
    }
    async fn prune_images(&self, filters: Filters) -> ApiResult<ImagePruneResponse> {
        self.receive(Call::post("/images/prune").filters(&filters)).await
    }
    async fn save_images(&self, names: Vec<String>) -> ApiResult<ByteStream> {
        self.save_images_of(names, &[]).await
    }
    async fn save_images_of(&self, names: Vec<String>, platforms: &[String]) -> ApiResult<ByteStream> {
        let call = names.iter().fold(Call::get("/images/get"), |call, name| call.query("names", name));
        let call = platforms.iter().fold(call, |call, platform| call.query("platform", platform));
        Ok(bytes(self.send(call).await?))
    }
    async fn load_images(&self, quiet: bool, tar: ByteStream) -> ApiResult<MessageStream> {
        let call = Call::post("/images/load").query("quiet", if quiet { "1" } else { "0" }).stream(tar);
        Ok(objects(self.send(call).await?).boxed())
    }
    async fn build_image(&self, options: BuildImage, context: ByteStream) -> ApiResult<MessageStream> {
        let mut call = Call::post("/build")
            .query("version", "1")
            .maybe("dockerfile", options.dockerfile.as_ref())
            .maybe("remote", options.remote.as_ref())
            .maybe("target", options.target.as_ref())
            .maybe("networkmode", options.network_mode.as_ref())
            .maybe("platform", options.platform.as_ref())
            .maybe("memory", options.memory.as_ref())
            .maybe("shmsize", options.shm_size.as_ref())
            .flag("q", options.quiet)
            .flag("nocache", options.no_cache)
            .flag("pull", options.pull)
            .query("rm", if options.remove { "1" } else { "0" })
            .flag("forcerm", options.force_remove)
            .query("buildargs", encoded(&options.build_args)?)
            .query("labels", encoded(&options.labels)?)
            .query("cachefrom", encoded(&options.cache_from)?);
        for tag in &options.tags {
            call = call.query("t", tag);
        }
        for host in &options.extra_hosts {
            call = call.query("extrahosts", host);
        }
        if !options.auth.is_empty() {
            call = call.header("x-registry-config", URL_SAFE.encode(encoded(&options.auth)?));
        }
        Ok(objects(self.send(call.stream(context)).await?).boxed())
    }
    async fn prune_build_cache(&self, all: bool, filters: Filters) -> ApiResult<BuildPruneResponse> {
        self.receive(Call::post("/build/prune").flag("all", all).filters(&filters)).await
    }
    async fn inspect_distribution(&self, name: &str, auth: Option<AuthConfig>) -> ApiResult<DistributionInspect> {
        self.receive(Call::get(&format!("/distribution/{name}/json")).auth(auth.as_ref())?).await
    }
}
