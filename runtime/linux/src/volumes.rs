//! Named volumes. (Stub of the interface that `processes` uses; to be replaced.)

use std::path::PathBuf;

use docklab_host::{HostError, HostResult};

use crate::LinuxOptions;

pub(crate) struct VolumeStore {}

impl VolumeStore {
    pub(crate) fn open(_options: &LinuxOptions) -> HostResult<Self> {
        Ok(Self {})
    }
    /// The directory to mount for a volume, made when it is missing. The container's first process fills an empty one
    /// with what the image has at the target.
    pub(crate) fn directory(&self, name: &str) -> HostResult<PathBuf> {
        Err(HostError::not_found("volume", name))
    }
}
