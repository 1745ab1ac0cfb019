use std::sync::Arc;

use docklab_api::{ApiError, ApiResult};
use docklab_host::HostError;

use super::{Container, KIND, MountKind};
use crate::{Engine, HostResultExt, api_error, signals::SIGKILL};

fn missing_is_fine(result: Result<(), HostError>) -> ApiResult<()> {
    match result {
        Ok(()) | Err(HostError::NotFound { .. }) => Ok(()),
        Err(error) => Err(api_error(error)),
    }
}

impl Engine {
    /// `docker rm`. With `force` a running container is killed first; with `volumes` its anonymous volumes go too.
    pub(crate) async fn remove(&self, container: &Arc<Container>, force: bool, volumes: bool) -> ApiResult<()> {
        let (name, state) = container.read(|record| (record.name.clone(), record.state.clone()));
        if state.running {
            if !force {
                let why = if state.paused {
                    "container is paused and must be unpaused first"
                } else if state.restarting {
                    "container is restarting: stop the container before removing or force remove"
                } else {
                    "container is running: stop the container before removing or force remove"
                };
                return Err(ApiError::conflict(format!("cannot remove container \"{name}\": {why}")));
            }
            self.kill_for_removal(container).await?;
        }
        let _lifecycle = container.lifecycle.lock().await;
        if container.progress.borrow().removed {
            return Err(ApiError::not_found(format!("No such container: {}", container.id)));
        }
        let began = container.write(|record| !std::mem::replace(&mut record.state.removing, true));
        if !began {
            return Err(ApiError::conflict(format!("removal of container {name} is already in progress")));
        }
        match self.erase(container).await {
            Ok(()) => {}
            Err(error) => {
                container.write(|record| {
                    record.state.removing = false;
                    record.state.dead = true;
                });
                return Err(error);
            }
        }
        self.containers.remove(&container.id);
        container.hub.close();
        self.forget_execs(container);
        self.container_event(container, "destroy", &[]);
        if volumes {
            self.remove_anonymous_volumes(container).await;
        }
        container.progress.send_modify(|progress| progress.removed = true);
        let image = container.read(|record| record.image_id.clone());
        if let Err(error) = self.release_orphan(&image).await {
            tracing::warn!(image, %error, "layers of a removed image stay");
        }
        Ok(())
    }

    async fn kill_for_removal(&self, container: &Arc<Container>) -> ApiResult<()> {
        let mut progress = container.progress.subscribe();
        let before = progress.borrow().exits;
        match self.signal(container, SIGKILL).await {
            Ok(()) => {
                let _ = progress.wait_for(|progress| progress.exits > before || progress.removed).await;
                Ok(())
            }
            // It ended by itself meanwhile, or is about to be seen to have ended.
            Err(error) if error.status == 409 || container.read(|record| !record.state.running) => {
                if container.read(|record| record.state.running) {
                    let _ = progress.wait_for(|progress| progress.exits > before || progress.removed).await;
                }
                Ok(())
            }
            Err(error) => Err(ApiError::new(
                error.status,
                format!("cannot remove container \"{}\": could not kill: {}", container.name(), error.message),
            )),
        }
    }

    async fn erase(&self, container: &Container) -> ApiResult<()> {
        missing_is_fine(self.host.remove_rootfs(&container.id).await)?;
        missing_is_fine(self.host.remove_logs(&container.id).await)?;
        let _order = container.saving.lock().await;
        self.host.delete_record(KIND, &container.id).await.api()
    }

    async fn remove_anonymous_volumes(&self, container: &Container) {
        for mount in container.read(|record| record.mounts.clone()) {
            if mount.kind == MountKind::Volume && mount.anonymous {
                // Another container may have taken it by --volumes-from; then it stays.
                if let Err(error) = self.delete_volume(&mount.name).await {
                    tracing::debug!(volume = mount.name, %error, "an anonymous volume stays");
                }
            }
        }
    }
}
