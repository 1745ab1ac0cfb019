//! Containers: their life from create to remove, and everything that can be asked of them.

mod api;
mod archive;
mod attach;
mod commit;
mod container;
mod create;
mod defaults;
mod detach_keys;
mod exit;
mod filter;
mod hub;
mod inspect;
mod kill;
mod limits;
mod links;
mod list;
mod logs;
mod merge;
mod mounts;
mod options;
mod pause;
mod prune;
mod record;
mod remove;
mod rename;
mod restore;
mod spec;
mod start;
mod stats;
mod stop;
mod update;
mod validate;
mod wait;

use std::sync::Arc;

use docklab_api::{
    ApiResult,
    models::{EventMessageTypeEnum, HealthStatusEnum},
};

pub(crate) use attach::{carry_input, input_sink};
pub(crate) use container::{Container, Containers, not_running};
pub(crate) use detach_keys::DetachKeys;
pub(crate) use filter::pattern;
pub(crate) use hub::{chunk, receive};
pub(crate) use links::split as split_link;
pub(crate) use mounts::check_volume_name;
pub(crate) use record::{Endpoint, HealthState, MountKind};
pub(crate) use start::{append as append_environment, process_environment};

use crate::{Engine, records};

/// The kind of container records.
pub(crate) const KIND: &str = "container";

/// A container as the image store sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageUser {
    pub(crate) container: String,
    pub(crate) image: String,
    /// The reference that the container was created with, as typed.
    pub(crate) reference: String,
    pub(crate) running: bool,
}

impl Engine {
    /// Every container with the image it was made from: what `rmi` and `image prune` must not take away.
    pub(crate) fn image_users(&self) -> Vec<ImageUser> {
        self.containers
            .all()
            .iter()
            .map(|container| {
                container.read(|record| ImageUser {
                    container: record.id.clone(),
                    image: record.image_id.clone(),
                    reference: record.config.image.clone().unwrap_or_default(),
                    running: record.state.running,
                })
            })
            .collect()
    }

    /// Makes the record's changes last. A removed container is not written again.
    pub(crate) async fn save(&self, container: &Container) -> ApiResult<()> {
        let _order = container.saving.lock().await;
        if container.progress.borrow().removed {
            return Ok(());
        }
        let record = container.snapshot();
        records::put(&*self.host, KIND, &container.id, &record).await
    }

    /// An event about a container: its labels, image and name, and what the event adds.
    pub(crate) fn container_event(&self, container: &Container, action: impl Into<String>, more: &[(&str, String)]) {
        let mut attributes = container.read(|record| {
            let mut attributes = record.config.labels.clone().unwrap_or_default();
            attributes.insert("image".to_owned(), record.config.image.clone().unwrap_or_default());
            attributes.insert("name".to_owned(), record.name.clone());
            attributes
        });
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.events.emit(EventMessageTypeEnum::CONTAINER, action, container.id.as_str(), attributes);
    }

    /// Finds a container by ID, name or unique ID prefix.
    pub(crate) fn container(&self, reference: &str) -> ApiResult<Arc<Container>> {
        self.containers.find(reference)
    }
}

/// The word for a health status.
pub(crate) fn health_word(status: HealthStatusEnum) -> &'static str {
    match status {
        HealthStatusEnum::STARTING => "starting",
        HealthStatusEnum::HEALTHY => "healthy",
        HealthStatusEnum::UNHEALTHY => "unhealthy",
        HealthStatusEnum::NONE | HealthStatusEnum::EMPTY => "none",
    }
}
