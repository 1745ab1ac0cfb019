//! Images: the store, references, pull, push, load, save, tags, removal, history, commit.
//!
//! What the rest of the engine needs of images are the methods of [`ImageStore`] and [`Engine::commit_image`];
//! what images need of containers is [`Engine::image_users`].

use docklab_api::{ApiError, ApiResult, ImageApi, models};
use docklab_host::{Host, UnpackedLayer};

use crate::Engine;

/// A local image, found by a name or ID.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedImage {
    /// `sha256:…`, the digest of its configuration.
    pub id: String,
    /// The layers to mount; `None` for an image without layers.
    pub chain_id: Option<String>,
    pub config: models::ImageConfig,
    /// `linux`.
    pub os: String,
    /// The familiar reference it was found by or, found by ID, its first tag; the ID when it has none.
    pub familiar: String,
}

/// Everything `docker commit` and the builder hand over to make an image of a container.
#[derive(Debug, Clone)]
pub struct CommitImage {
    /// The image the container was made from.
    pub parent: Option<String>,
    /// The container's changes; `None` when it changed nothing.
    pub layer: Option<UnpackedLayer>,
    /// The new image's configuration, with `changes` already applied.
    pub config: models::ContainerConfig,
    /// The container's own configuration (what created the layer).
    pub container_config: models::ContainerConfig,
    pub container: String,
    pub author: String,
    pub comment: String,
    pub repo: Option<String>,
    pub tag: Option<String>,
}

/// The images of an engine.
pub struct ImageStore {}

impl ImageStore {
    /// Loads the image records.
    pub(crate) async fn open(_host: &dyn Host) -> ApiResult<Self> {
        Ok(Self {})
    }

    /// Finds an image by reference (`latest` is the default tag), ID or unique ID prefix. 404 `No such image: x:latest`.
    pub(crate) fn resolve(&self, name: &str) -> ApiResult<ResolvedImage> {
        Err(ApiError::not_found(format!("No such image: {name}")))
    }

    /// What `docker ps` shows for a container made from `image` by the name `typed`: the name while it still means that
    /// image, otherwise the image's ID.
    pub(crate) fn display_name(&self, typed: &str, _image: &str) -> String {
        typed.to_owned()
    }

    /// The images that `image` was built from, itself first (filter `ancestor`).
    pub(crate) fn ancestors(&self, image: &str) -> Vec<String> {
        vec![image.to_owned()]
    }

    /// Bytes of all layers of an image together (`docker ps -s`).
    pub(crate) fn size(&self, _image: &str) -> u64 {
        0
    }

    /// The number of images for `docker info`.
    pub(crate) fn count(&self) -> usize {
        0
    }
}

impl Engine {
    /// Makes an image of a container's layer; returns its ID. Emits no container event.
    pub(crate) async fn commit_image(&self, _commit: CommitImage) -> ApiResult<String> {
        Err(ApiError::not_implemented("commit is not implemented yet"))
    }
    /// Image part of `GET /system/df`: bytes of all layers, each counted once, the images with their sizes, and the
    /// build cache.
    pub(crate) async fn image_disk_usage(
        &self,
    ) -> ApiResult<(u64, Vec<models::ImageSummary>, Vec<models::BuildCache>)> {
        Ok((0, Vec::new(), Vec::new()))
    }
}

fn not_yet<T>() -> ApiResult<T> {
    Err(ApiError::not_implemented("images are not implemented yet"))
}

#[async_trait::async_trait]
impl ImageApi for Engine {
    async fn list_images(&self, _: docklab_api::ListImages) -> ApiResult<Vec<models::ImageSummary>> {
        not_yet()
    }
    async fn inspect_image(&self, _: &str) -> ApiResult<models::ImageInspect> {
        not_yet()
    }
    async fn image_history(&self, _: &str) -> ApiResult<Vec<models::HistoryResponseItem>> {
        not_yet()
    }
    async fn create_image(
        &self,
        _: docklab_api::CreateImage,
        _: Option<docklab_api::ByteStream>,
    ) -> ApiResult<docklab_api::MessageStream> {
        not_yet()
    }
    async fn push_image(&self, _: &str, _: docklab_api::PushImage) -> ApiResult<docklab_api::MessageStream> {
        not_yet()
    }
    async fn tag_image(&self, _: &str, _: &str, _: &str) -> ApiResult<()> {
        not_yet()
    }
    async fn remove_image(
        &self,
        _: &str,
        _: docklab_api::RemoveImage,
    ) -> ApiResult<Vec<models::ImageDeleteResponseItem>> {
        not_yet()
    }
    async fn prune_images(&self, _: docklab_api::Filters) -> ApiResult<models::ImagePruneResponse> {
        not_yet()
    }
    async fn save_images(&self, _: Vec<String>) -> ApiResult<docklab_api::ByteStream> {
        not_yet()
    }
    async fn load_images(&self, _: bool, _: docklab_api::ByteStream) -> ApiResult<docklab_api::MessageStream> {
        not_yet()
    }
    async fn build_image(
        &self,
        _: docklab_api::BuildImage,
        _: docklab_api::ByteStream,
    ) -> ApiResult<docklab_api::MessageStream> {
        not_yet()
    }
    async fn prune_build_cache(&self, _: bool, _: docklab_api::Filters) -> ApiResult<models::BuildPruneResponse> {
        not_yet()
    }
    async fn inspect_distribution(
        &self,
        _: &str,
        _: Option<models::AuthConfig>,
    ) -> ApiResult<models::DistributionInspect> {
        not_yet()
    }
}
