use std::{ops::Deref, sync::Arc};

use docklab_api::ApiResult;
use docklab_host::Host;

use crate::{EventBus, image::ImageStore};

/// What differs between engines; the defaults are Docker's.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// Labels of the daemon (`docker info`, `engine.labels` in placement constraints).
    pub labels: Vec<String>,
}

/// One Docker engine on one machine. Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

/// The parts of an engine. Modules reach them through `Engine`'s `Deref`.
pub struct Inner {
    pub(crate) host: Arc<dyn Host>,
    pub(crate) options: EngineOptions,
    pub events: EventBus,
    pub(crate) images: ImageStore,
}

impl Deref for Engine {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl Engine {
    /// Opens the engine whose records `host` keeps: loads images, networks, volumes and containers, finds running
    /// containers again and applies restart policies.
    pub async fn open(host: Arc<dyn Host>, options: EngineOptions) -> ApiResult<Self> {
        let inner = Inner {
            events: EventBus::new(Arc::clone(&host)),
            images: ImageStore::open(&*host).await?,
            host,
            options,
        };
        Ok(Self { inner: Arc::new(inner) })
    }
}
