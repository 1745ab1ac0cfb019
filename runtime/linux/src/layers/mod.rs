//! Layers on disk. (Stub of the interface that `processes` uses; to be replaced.)

use std::path::PathBuf;

use docklab_host::{HostError, HostResult};

use crate::LinuxOptions;

/// The directories of a container's overlay mount. The mount itself is made inside the container's mount namespace, by
/// the container's first process, so that the host never sees it and it is gone with the container.
#[derive(Debug, Clone)]
pub(crate) struct OverlayPaths {
    /// Topmost first, as overlayfs wants them; empty for `FROM scratch`.
    pub(crate) lower: Vec<PathBuf>,
    pub(crate) upper: PathBuf,
    /// Empty, on the same file system as `upper`.
    pub(crate) work: PathBuf,
}

/// The layer store. To look into a *running* container use `crate::processes::ProcessTable::pid` and `/proc/<pid>/root`.
pub(crate) struct LayerStore {}

impl LayerStore {
    pub(crate) fn open(_options: &LinuxOptions) -> HostResult<Self> {
        Ok(Self {})
    }
    /// The overlay of a container whose root file system was created.
    pub(crate) fn overlay_paths(&self, container: &str) -> HostResult<OverlayPaths> {
        Err(HostError::not_found("rootfs", container))
    }
}
