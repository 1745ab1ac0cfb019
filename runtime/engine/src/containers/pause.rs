use std::sync::Arc;

use docklab_api::{ApiError, ApiResult};

use super::{Container, not_running};
use crate::{Engine, HostResultExt};

impl Engine {
    pub(crate) async fn pause(&self, container: &Arc<Container>) -> ApiResult<()> {
        let (running, paused, restarting) =
            container.read(|record| (record.state.running, record.state.paused, record.state.restarting));
        if !running {
            return Err(not_running(&container.id));
        }
        if paused {
            return Err(ApiError::conflict(format!("Container {} is already paused", container.id)));
        }
        if restarting {
            return Err(ApiError::conflict(format!(
                "Container {} is restarting, wait until the container is running",
                container.id
            )));
        }
        self.host.pause(&container.id).await.api()?;
        container.write(|record| record.state.paused = true);
        self.save(container).await?;
        self.container_event(container, "pause", &[]);
        Ok(())
    }

    pub(crate) async fn unpause(&self, container: &Arc<Container>) -> ApiResult<()> {
        if container.read(|record| !record.state.paused) {
            return Err(ApiError::system(format!("Container {} is not paused", container.id)));
        }
        self.host.resume(&container.id).await.api()?;
        container.write(|record| record.state.paused = false);
        self.save(container).await?;
        self.container_event(container, "unpause", &[]);
        Ok(())
    }
}
