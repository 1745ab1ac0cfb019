//! Images: the store, references, pull, push, load, save, tags, removal, history, commit.
//!
//! What the rest of the engine needs of images are the methods of [`ImageStore`] and [`Engine::commit_image`];
//! what images need of containers is [`Engine::image_users`].

use docklab_api::{ApiResult, ImageApi, models};
use docklab_host::UnpackedLayer;

use crate::{Engine, ObjectKind};

mod archive_index;
mod commit;
mod config;
mod decompress;
mod fetch;
mod hold;
mod import;
mod load;
mod query;
mod remove;
mod save;
mod staged;
mod store;

pub(crate) use archive_index::{Cursor, cleaned, padded, take};
pub(crate) use commit::{ChildImage, new_tag};
pub(crate) use config::{Empty, History, ImageFile, RootFs, RunConfig, chain_ids, go_architecture};
pub(crate) use decompress::plain;
pub(crate) use fetch::drain;
pub(crate) use hold::Hold;
pub(crate) use staged::BlobUse;
pub use store::ImageStore;
pub(crate) use store::{Image, LayerSource};

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

impl Engine {
    /// Image part of `GET /system/df`: bytes of all layers, each counted once, the images with their sizes, and the
    /// build cache.
    pub(crate) async fn image_disk_usage(
        &self,
    ) -> ApiResult<(u64, Vec<models::ImageSummary>, Vec<models::BuildCache>)> {
        let options = docklab_api::ListImages { shared_size: true, ..Default::default() };
        Ok((self.images.layers_size(), self.list_local_images(&options)?, Vec::new()))
    }

    /// What an event tells of an image: its labels and the name it is spoken of by.
    fn image_attributes(&self, id: &str, name: &str) -> Vec<(String, String)> {
        let labels = self.images.get(id).map(|image| query::labels(&image)).unwrap_or_default();
        labels.into_iter().chain([("name".to_owned(), name.to_owned())]).collect()
    }

    pub(crate) fn image_event(&self, action: &str, id: &str, name: &str) {
        self.events.emit(ObjectKind::IMAGE, action, id, self.image_attributes(id, name));
    }
}

/// Unix seconds of an RFC 3339 time; what is absent or unreadable is Docker's zero time.
fn seconds(time: Option<&str>) -> i64 {
    time.and_then(|time| time.parse::<jiff::Timestamp>().ok()).map_or(-62_135_596_800, |time| time.as_second())
}

#[async_trait::async_trait]
impl ImageApi for Engine {
    async fn list_images(&self, options: docklab_api::ListImages) -> ApiResult<Vec<models::ImageSummary>> {
        self.list_local_images(&options)
    }
    async fn inspect_image(&self, name: &str) -> ApiResult<models::ImageInspect> {
        self.inspect_local_image(name)
    }
    async fn image_history(&self, name: &str) -> ApiResult<Vec<models::HistoryResponseItem>> {
        self.history_of(name)
    }
    async fn create_image(
        &self,
        options: docklab_api::CreateImage,
        body: Option<docklab_api::ByteStream>,
    ) -> ApiResult<docklab_api::MessageStream> {
        match body {
            None if options.from_src.as_deref().is_some_and(|source| !source.is_empty()) => {
                self.import(options, None).await
            }
            None => self.pull(options).await,
            Some(body) => self.import(options, Some(body)).await,
        }
    }
    async fn push_image(&self, name: &str, options: docklab_api::PushImage) -> ApiResult<docklab_api::MessageStream> {
        self.push(name, options).await
    }
    async fn tag_image(&self, name: &str, repo: &str, tag: &str) -> ApiResult<()> {
        let _changing = self.images.changing.lock().await;
        let (image, _) = self.images.find(name)?;
        self.tag_reference(&image.id, &commit::new_tag(repo, tag)?).await
    }
    async fn remove_image(
        &self,
        name: &str,
        options: docklab_api::RemoveImage,
    ) -> ApiResult<Vec<models::ImageDeleteResponseItem>> {
        self.remove_local_image(name, options).await
    }
    async fn prune_images(&self, filters: docklab_api::Filters) -> ApiResult<models::ImagePruneResponse> {
        self.prune_local_images(&filters).await
    }
    async fn save_images(&self, names: Vec<String>) -> ApiResult<docklab_api::ByteStream> {
        self.save_archive(&names).await
    }
    async fn load_images(&self, _quiet: bool, tar: docklab_api::ByteStream) -> ApiResult<docklab_api::MessageStream> {
        self.load_archive(tar).await
    }
    async fn build_image(
        &self,
        options: docklab_api::BuildImage,
        context: docklab_api::ByteStream,
    ) -> ApiResult<docklab_api::MessageStream> {
        self.build(options, context).await
    }
    async fn prune_build_cache(&self, _: bool, _: docklab_api::Filters) -> ApiResult<models::BuildPruneResponse> {
        // The classic builder's cache is the images themselves; there is nothing beside them to remove.
        Ok(models::BuildPruneResponse { caches_deleted: Some(Vec::new()), space_reclaimed: Some(0) })
    }
    async fn inspect_distribution(
        &self,
        name: &str,
        auth: Option<models::AuthConfig>,
    ) -> ApiResult<models::DistributionInspect> {
        self.distribution(name, auth).await
    }
}
