use async_trait::async_trait;
use docklab_api::{
    ApiError, ApiResult, BuildImage, ByteStream, CreateImage, Filters, ImageApi, ListImages, MessageStream, PushImage,
    RemoveImage,
    models::{
        AuthConfig, BuildPruneResponse, DistributionInspect, HistoryResponseItem, ImageDeleteResponseItem,
        ImageInspect, ImagePruneResponse, ImageSummary,
    },
};

use super::{EngineClient, Query, bytes, collect, escape_path, messages};

fn encoded(value: &impl serde::Serialize) -> ApiResult<String> {
    serde_json::to_string(value).map_err(|error| ApiError::invalid(error.to_string()))
}

/// Credentials never pass through the page: pulls and pushes use what the node's own `docker login` stored, or none.
#[async_trait]
impl ImageApi for EngineClient {
    async fn list_images(&self, options: ListImages) -> ApiResult<Vec<ImageSummary>> {
        let query = Query::new()
            .flag("all", options.all)
            .flag("digests", options.digests)
            .flag("shared-size", options.shared_size)
            .filters(&options.filters);
        self.get("/images/json", query).await
    }
    async fn inspect_image(&self, name: &str) -> ApiResult<ImageInspect> {
        self.get(&format!("/images/{}/json", escape_path(name)), Query::new()).await
    }
    async fn image_history(&self, name: &str) -> ApiResult<Vec<HistoryResponseItem>> {
        self.get(&format!("/images/{}/history", escape_path(name)), Query::new()).await
    }
    async fn create_image(&self, options: CreateImage, body: Option<ByteStream>) -> ApiResult<MessageStream> {
        let mut query = Query::new()
            .maybe("fromImage", options.from_image.as_deref())
            .maybe("fromSrc", options.from_src.as_deref())
            .maybe("repo", options.repo.as_deref())
            .maybe("tag", options.tag.as_deref())
            .maybe("message", options.message.as_deref())
            .maybe("platform", options.platform.as_deref());
        for change in &options.changes {
            query = query.text("changes", change);
        }
        let body = match body {
            Some(tar) => Some(("application/x-tar", collect(tar).await?)),
            None => None,
        };
        Ok(messages(self.send("POST", "/images/create", query, body).await?))
    }
    async fn push_image(&self, name: &str, options: PushImage) -> ApiResult<MessageStream> {
        let query = Query::new().maybe("tag", options.tag.as_deref());
        Ok(messages(self.send("POST", &format!("/images/{}/push", escape_path(name)), query, None).await?))
    }
    async fn tag_image(&self, name: &str, repo: &str, tag: &str) -> ApiResult<()> {
        let query = Query::new().text("repo", repo).text("tag", tag);
        self.act(&format!("/images/{}/tag", escape_path(name)), query).await.map(drop)
    }
    async fn remove_image(&self, name: &str, options: RemoveImage) -> ApiResult<Vec<ImageDeleteResponseItem>> {
        let query = Query::new().flag("force", options.force).flag("noprune", options.noprune);
        super::read(self.send("DELETE", &format!("/images/{}", escape_path(name)), query, None).await?).await
    }
    async fn prune_images(&self, filters: Filters) -> ApiResult<ImagePruneResponse> {
        self.prune("/images/prune", &filters).await
    }
    async fn save_images(&self, names: Vec<String>) -> ApiResult<ByteStream> {
        let query = names.iter().fold(Query::new(), |query, name| query.text("names", name));
        Ok(bytes(self.send("GET", "/images/get", query, None).await?))
    }
    async fn load_images(&self, quiet: bool, tar: ByteStream) -> ApiResult<MessageStream> {
        let body = Some(("application/x-tar", collect(tar).await?));
        Ok(messages(self.send("POST", "/images/load", Query::new().flag("quiet", quiet), body).await?))
    }
    async fn build_image(&self, options: BuildImage, context: ByteStream) -> ApiResult<MessageStream> {
        let mut query = Query::new()
            .text("version", "1")
            .maybe("dockerfile", options.dockerfile.as_deref())
            .maybe("remote", options.remote.as_deref())
            .maybe("target", options.target.as_deref())
            .maybe("networkmode", options.network_mode.as_deref())
            .maybe("platform", options.platform.as_deref())
            .number("memory", options.memory)
            .number("shmsize", options.shm_size)
            .flag("q", options.quiet)
            .flag("nocache", options.no_cache)
            .flag("pull", options.pull)
            .text("rm", if options.remove { "1" } else { "0" })
            .flag("forcerm", options.force_remove)
            .text("buildargs", &encoded(&options.build_args)?)
            .text("labels", &encoded(&options.labels)?)
            .text("cachefrom", &encoded(&options.cache_from)?);
        for tag in &options.tags {
            query = query.text("t", tag);
        }
        for host in &options.extra_hosts {
            query = query.text("extrahosts", host);
        }
        let body = Some(("application/x-tar", collect(context).await?));
        Ok(messages(self.send("POST", "/build", query, body).await?))
    }
    async fn prune_build_cache(&self, all: bool, filters: Filters) -> ApiResult<BuildPruneResponse> {
        let query = Query::new().flag("all", all).filters(&filters);
        super::read(self.send("POST", "/build/prune", query, None).await?).await
    }
    async fn inspect_distribution(&self, name: &str, _auth: Option<AuthConfig>) -> ApiResult<DistributionInspect> {
        self.get(&format!("/distribution/{}/json", escape_path(name)), Query::new()).await
    }
}
