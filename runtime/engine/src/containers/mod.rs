//! Containers.

use crate::Engine;

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
        Vec::new()
    }
}
