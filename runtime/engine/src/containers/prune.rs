use docklab_api::{
    ApiResult, Filters,
    models::{ContainerPruneResponse, EventMessageTypeEnum},
};

use crate::{Engine, prune};

impl Engine {
    /// `docker container prune`: everything that does not run.
    pub(crate) async fn prune_stopped(&self, filters: Filters) -> ApiResult<ContainerPruneResponse> {
        filters.accept(&["label", "label!", "until"])?;
        let _guard = prune::Guard::enter(&self.pruning.containers)?;
        let until = prune::until(&*self.host, &filters)?;
        let mut candidates: Vec<_> = self
            .containers
            .all()
            .into_iter()
            .filter(|container| {
                container.read(|record| {
                    !record.state.running
                        && until.is_none_or(|until| record.created <= until)
                        && prune::labels(&filters, &record.config.labels.clone().unwrap_or_default())
                })
            })
            .collect();
        candidates.sort_by_key(|container| std::cmp::Reverse(container.read(|record| record.created)));
        let mut deleted = Vec::new();
        let mut reclaimed: u64 = 0;
        for container in candidates {
            let size = self.host.rootfs_size(&container.id).await.unwrap_or(0);
            // One that was started or removed meanwhile is left alone.
            if self.remove(&container, false, false).await.is_ok() {
                reclaimed += size;
                deleted.push(container.id.clone());
            }
        }
        self.events.emit(EventMessageTypeEnum::CONTAINER, "prune", "", [("reclaimed", reclaimed.to_string())]);
        Ok(ContainerPruneResponse {
            containers_deleted: Some(deleted),
            space_reclaimed: Some(i64::try_from(reclaimed).unwrap_or(i64::MAX)),
        })
    }
}
