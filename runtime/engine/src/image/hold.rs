//! Layers that no image names and that must stay all the same: of work under way, and of containers whose image was
//! removed by force.

use docklab_api::ApiResult;
use serde::{Deserialize, Serialize};

use super::store::Image;
use crate::{Engine, HostResultExt, records};

const ORPHANS: &str = "orphaned-layers";

/// Layers of an image that was removed while containers used it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Orphan {
    pub(super) image: String,
    /// Chain IDs, bottom first.
    pub(super) chains: Vec<String>,
}

/// Keeps a stack of layers while an image of it is being made. Unless the image was made, what nothing else needs goes
/// again.
pub(crate) struct Hold {
    engine: Engine,
    /// Chain IDs, bottom first.
    chains: Vec<String>,
    settled: bool,
}

impl Hold {
    pub(crate) fn new(engine: &Engine, chains: Vec<String>) -> Self {
        engine.images.hold(&chains);
        Self { engine: engine.clone(), chains, settled: false }
    }

    /// An image names the layers now.
    pub(crate) fn keep(mut self) {
        self.settled = true;
    }

    /// The image will not be.
    pub(crate) async fn give_up(mut self) -> ApiResult<()> {
        self.settled = true;
        self.engine.images.release_hold(&self.chains);
        let chains = std::mem::take(&mut self.chains);
        self.engine.remove_unused_layers(&chains).await.map(drop)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.engine.images.release_hold(&self.chains);
        if self.settled || self.chains.is_empty() {
            return;
        }
        // The job was given up by its client.
        let (engine, chains) = (self.engine.clone(), std::mem::take(&mut self.chains));
        self.engine.host.spawn(Box::pin(async move {
            if let Err(error) = engine.remove_unused_layers(&chains).await {
                tracing::warn!(%error, "layers of a job that was given up stay");
            }
        }));
    }
}

impl Engine {
    /// Removes layers of a stack that nothing needs, top first; returns their chain IDs.
    pub(crate) async fn remove_unused_layers(&self, chains: &[String]) -> ApiResult<Vec<String>> {
        let mut removed = Vec::new();
        for chain in chains.iter().rev() {
            if self.images.uses_chain(chain) {
                break;
            }
            if self.host.layer(chain).await.api()?.is_some() {
                self.host.remove_layer(chain).await.api()?;
                removed.push(chain.clone());
            }
        }
        Ok(removed)
    }

    /// The layers of an image that containers still use stay for them.
    pub(super) async fn orphan_layers(&self, image: &Image) -> ApiResult<()> {
        let orphan = Orphan { image: image.id.clone(), chains: image.chains.clone() };
        let key = image.id.trim_start_matches("sha256:");
        records::put(&*self.host, ORPHANS, key, &orphan).await?;
        self.images.set_orphan(orphan);
        Ok(())
    }

    /// When the last container of an image that was removed by force has gone, so do the image's layers.
    pub(crate) async fn release_orphan(&self, image: &str) -> ApiResult<()> {
        let _changing = self.images.changing.lock().await;
        if !self.images.has_orphan(image) || self.image_users().iter().any(|user| user.image == image) {
            return Ok(());
        }
        let Some(orphan) = self.images.take_orphan(image) else { return Ok(()) };
        self.host.delete_record(ORPHANS, image.trim_start_matches("sha256:")).await.api()?;
        self.remove_unused_layers(&orphan.chains).await.map(drop)
    }
}

pub(super) async fn load_orphans(host: &dyn docklab_host::Host) -> ApiResult<Vec<Orphan>> {
    Ok(records::load::<Orphan>(host, ORPHANS).await?.into_iter().map(|(_, orphan)| orphan).collect())
}
