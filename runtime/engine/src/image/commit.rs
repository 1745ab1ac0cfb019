use docklab_api::{ApiError, ApiResult, ENGINE_VERSION, Reference};

use super::{
    CommitImage,
    config::{History, ImageFile, RunConfig, go_architecture},
};
use crate::Engine;

/// A new image on top of another, as `docker commit` and the builder make it.
pub(crate) struct ChildImage {
    pub(crate) parent: Option<String>,
    /// DiffID and bytes; `None` when nothing was changed.
    pub(crate) layer: Option<(String, u64)>,
    pub(crate) config: RunConfig,
    pub(crate) container_config: RunConfig,
    pub(crate) container: String,
    pub(crate) author: String,
    pub(crate) comment: String,
}

impl Engine {
    /// Makes an image of a container's layer; returns its ID. Emits no container event.
    pub(crate) async fn commit_image(&self, commit: CommitImage) -> ApiResult<String> {
        let reference = match commit.repo.as_deref().filter(|repo| !repo.is_empty()) {
            Some(repo) => Some(new_tag(repo, commit.tag.as_deref().unwrap_or_default())?),
            None => None,
        };
        let child = ChildImage {
            parent: commit.parent,
            layer: commit.layer.map(|layer| (layer.diff_id, layer.size)),
            config: RunConfig::from_model(&commit.config)?,
            container_config: RunConfig::from_model(&commit.container_config)?,
            container: commit.container,
            author: commit.author,
            comment: commit.comment,
        };
        let id = self.add_child(child).await?;
        if let Some(reference) = reference {
            self.tag_reference(&id, &reference).await?;
        }
        Ok(id)
    }

    pub(crate) async fn add_child(&self, child: ChildImage) -> ApiResult<String> {
        let _changing = self.images.changing.lock().await;
        let base = match child.parent.as_deref().filter(|parent| !parent.is_empty()) {
            Some(parent) => {
                Some(self.images.get(parent).ok_or_else(|| ApiError::not_found(format!("No such image: {parent}")))?)
            }
            None => None,
        };
        let (mut file, mut sizes) = match &base {
            Some(base) => (base.file.clone(), base.sizes.clone()),
            None => (
                ImageFile {
                    architecture: go_architecture(&self.host.info().machine).to_owned(),
                    os: "linux".to_owned(),
                    ..ImageFile::default()
                },
                Vec::new(),
            ),
        };
        let created = self.host.now().to_string();
        let empty_layer = child.layer.is_none();
        if let Some((diff_id, size)) = child.layer {
            file.rootfs.diff_ids.push(diff_id);
            sizes.push(size);
        }
        file.history.push(History {
            created: Some(created.clone()),
            author: child.author.clone(),
            created_by: child.container_config.cmd.clone().unwrap_or_default().join(" "),
            comment: child.comment,
            empty_layer,
        });
        file.created = Some(created);
        file.author = child.author;
        file.comment = String::new();
        file.container = child.container;
        file.container_config = Some(child.container_config);
        file.config = Some(child.config);
        file.docker_version = ENGINE_VERSION.to_owned();
        let parent = base.map(|base| base.id.clone());
        let image = self.images.add(&*self.host, file.to_bytes()?.into(), sizes, parent, true).await?;
        Ok(image.id.clone())
    }

    /// Points a tag to an image and says so.
    pub(crate) async fn tag_reference(&self, id: &str, reference: &Reference) -> ApiResult<()> {
        self.images.set_reference(&*self.host, reference, id).await?;
        self.image_event("tag", id, &reference.familiar());
        Ok(())
    }
}

/// `repo` and `tag` of a request as a reference; `latest` when there is no tag.
pub(crate) fn new_tag(repo: &str, tag: &str) -> ApiResult<Reference> {
    let mut reference = Reference::parse(repo).map_err(|error| ApiError::invalid(error.to_string()))?;
    if reference.digest.is_some() {
        return Err(ApiError::invalid("refusing to create a tag with a digest reference"));
    }
    if !tag.is_empty() {
        let with_tag = Reference::parse(&format!("{}:{tag}", reference.name()))
            .map_err(|_| ApiError::invalid("invalid tag format"))?;
        reference = with_tag;
    }
    if reference.domain == "docker.io" && reference.path == "library/sha256" {
        return Err(ApiError::invalid("refusing to create an ambiguous tag using digest algorithm as name"));
    }
    Ok(reference.with_default_tag())
}
