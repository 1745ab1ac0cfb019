//! `docker import`: an archive of a file system becomes an image of one layer.

use docklab_api::{
    ApiResult, ByteStream, CreateImage, ENGINE_VERSION, MessageStream, Reference, models::ContainerConfig,
};
use docklab_host::{Compression, HostError};
use futures::{StreamExt, TryStreamExt};

use super::{
    Hold,
    commit::new_tag,
    config::{History, ImageFile, RootFs, RunConfig, go_architecture},
    decompress::plain,
    fetch::drain,
};
use crate::{Engine, HostResultExt, progress};

impl Engine {
    /// `POST /images/create?fromSrc=`: from the body (`-`) or from a URL.
    pub(super) async fn import(&self, options: CreateImage, body: Option<ByteStream>) -> ApiResult<MessageStream> {
        match self.import_request(&options) {
            Ok(request) => self.run_import(options, request, body).await,
            Err(error) => {
                if let Some(body) = body {
                    drain(body).await;
                }
                Err(error)
            }
        }
    }

    /// The image's configuration without its layer, and its name.
    fn import_request(&self, options: &CreateImage) -> ApiResult<(ImageFile, Option<Reference>)> {
        let reference = match options.repo.as_deref().filter(|repo| !repo.is_empty()) {
            Some(repo) => Some(new_tag(repo, options.tag.as_deref().unwrap_or_default())?),
            None => None,
        };
        let mut config = ContainerConfig::default();
        crate::build::apply_changes(&mut config, &options.changes)?;
        let machine = go_architecture(&self.host.info().machine).to_owned();
        let platform = match options.platform.as_deref().filter(|platform| !platform.is_empty()) {
            Some(platform) => crate::registry::Platform::parse(platform, &machine)?,
            None => crate::registry::Platform::new("linux", &machine, ""),
        };
        let file = ImageFile {
            architecture: platform.architecture,
            os: platform.os,
            variant: platform.variant,
            comment: options.message.clone().unwrap_or_default(),
            config: Some(RunConfig::from_model(&config)?),
            docker_version: ENGINE_VERSION.to_owned(),
            ..ImageFile::default()
        };
        Ok((file, reference))
    }

    async fn run_import(
        &self,
        options: CreateImage,
        (mut file, reference): (ImageFile, Option<Reference>),
        body: Option<ByteStream>,
    ) -> ApiResult<MessageStream> {
        let source = options.from_src.unwrap_or_default();
        let content = match body {
            Some(body) => body.map_err(|error| HostError::Other(error.message)).boxed(),
            None => {
                let url = if source.contains("://") { source.clone() } else { format!("http://{source}") };
                self.fetch(&url).await?.body
            }
        };
        let engine = self.clone();
        progress::run(&self.host, |progress| async move {
            let tar = plain(content).await.api()?;
            let layer = engine.host.unpack(None, Compression::None, tar).await.api()?;
            let hold = Hold::new(&engine, vec![layer.chain_id]);
            let created = engine.host.now().to_string();
            file.rootfs = RootFs { diff_ids: vec![layer.diff_id], ..RootFs::default() };
            file.history =
                vec![History { created: Some(created.clone()), comment: file.comment.clone(), ..History::default() }];
            file.created = Some(created);
            let bytes = file.to_bytes()?;
            let id = {
                let _changing = engine.images.changing.lock().await;
                engine.images.add(&*engine.host, bytes.into(), vec![layer.size], None, false).await?.id.clone()
            };
            hold.keep();
            if let Some(reference) = &reference {
                engine.tag_reference(&id, reference).await?;
            }
            engine.image_event("import", &id, &id);
            progress.status(id);
            Ok(())
        })
        .await
    }
}
