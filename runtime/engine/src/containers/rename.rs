use std::sync::Arc;

use docklab_api::{ApiError, ApiResult};

use super::Container;
use crate::Engine;

impl Engine {
    /// `docker rename`; names on its networks follow.
    pub(crate) async fn rename(&self, container: &Arc<Container>, name: &str) -> ApiResult<()> {
        let name = name.strip_prefix('/').unwrap_or(name);
        if name.is_empty() {
            return Err(ApiError::invalid("Neither old nor new names may be empty"));
        }
        let old = container.name();
        if old == name {
            return Err(ApiError::invalid("Renaming a container with the same name as its current name"));
        }
        self.reserve_name(name, &container.id).map_err(|mut error| {
            // Docker checks the name with its slash here.
            let text = error.message.replace("Invalid container name (", "Invalid container name (/");
            error.message = format!("Error when allocating new name: {text}");
            error
        })?;
        container.write(|record| name.clone_into(&mut record.name));
        if let Err(error) = self.save(container).await {
            container.write(|record| record.name.clone_from(&old));
            self.containers.release_name(name);
            return Err(error);
        }
        self.containers.release_name(&old);
        if container.read(|record| record.state.running) {
            for network in container.read(|record| record.endpoints.keys().cloned().collect::<Vec<_>>()) {
                if let Ok(network) = self.networks.find(&network) {
                    self.publish_names(&network).await?;
                }
            }
        }
        self.container_event(container, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }
}
