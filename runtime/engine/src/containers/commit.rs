use docklab_api::{ApiError, ApiResult, CommitContainer, models::ContainerConfig};

use crate::{Engine, HostResultExt, image::CommitImage};

/// Takes over what a commit request sets over the container's configuration.
fn overlay(config: &mut ContainerConfig, own: ContainerConfig) {
    macro_rules! take {
        ($($field:ident),*) => { $( if own.$field.is_some() { config.$field = own.$field; } )* };
    }
    take!(user, env, cmd, entrypoint, working_dir, healthcheck, stop_signal, shell, on_build);
    for (mine, theirs) in [(&mut config.exposed_ports, own.exposed_ports), (&mut config.volumes, own.volumes)] {
        if let Some(theirs) = theirs {
            mine.get_or_insert_default().extend(theirs);
        }
    }
    if let Some(labels) = own.labels {
        config.labels.get_or_insert_default().extend(labels);
    }
}

impl Engine {
    /// `docker commit`.
    pub(crate) async fn commit(&self, options: CommitContainer, config: Option<ContainerConfig>) -> ApiResult<String> {
        let container = self.container(&options.container)?;
        let (mut new_config, image, removing, running, paused) = container.read(|record| {
            (
                record.config.clone(),
                record.image_id.clone(),
                record.state.removing || record.state.dead,
                record.state.has_process(),
                record.state.paused,
            )
        });
        if removing {
            return Err(ApiError::conflict(format!("You cannot commit container {} which is Dead", container.id)));
        }
        let container_config = new_config.clone();
        if let Some(own) = config {
            overlay(&mut new_config, own);
        }
        crate::build::apply_changes(&mut new_config, &options.changes)?;
        let freeze = options.pause && running && !paused;
        if freeze {
            self.host.pause(&container.id).await.api()?;
            self.container_event(&container, "pause", &[]);
        }
        let layer = self.host.commit(&container.id).await;
        if freeze && let Err(error) = self.host.resume(&container.id).await {
            tracing::error!(container = container.id, %error, "resume after commit");
        }
        let id = self
            .commit_image(CommitImage {
                parent: Some(image),
                layer: layer.api()?,
                config: new_config,
                container_config,
                container: container.id.clone(),
                author: options.author.unwrap_or_default(),
                comment: options.comment.unwrap_or_default(),
                repo: options.repo.clone(),
                tag: options.tag.clone(),
            })
            .await?;
        let mut attributes = vec![("comment", String::new()), ("imageID", id.clone())];
        if let Some(repo) = options.repo.filter(|repo| !repo.is_empty()) {
            let tag = options.tag.filter(|tag| !tag.is_empty());
            attributes.push((
                "imageRef",
                match tag {
                    Some(tag) => format!("{repo}:{tag}"),
                    None => repo,
                },
            ));
        }
        self.container_event(&container, "commit", &attributes);
        Ok(id)
    }
}
