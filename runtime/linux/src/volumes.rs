//! Named volumes: `data_root/volumes/<name>/_data`, as Docker's local driver lays them out.

use std::{fs, io, path::PathBuf};

use async_trait::async_trait;
use docklab_host::{HostError, HostResult, Volumes};

use crate::{
    LinuxHost, LinuxOptions,
    layers::{blocking, directory_size, io_error},
};

#[derive(Clone)]
pub(crate) struct VolumeStore {
    root: PathBuf,
}

impl VolumeStore {
    pub(crate) fn open(options: &LinuxOptions) -> HostResult<Self> {
        let root = options.data_root.join("volumes");
        fs::create_dir_all(&root).map_err(|error| io_error(format!("create {}", root.display()), error))?;
        Ok(Self { root })
    }

    /// The volume's own directory, which holds `_data`. The engine checks names; this only keeps paths inside.
    fn place(&self, name: &str) -> HostResult<PathBuf> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err(HostError::not_found("volume", name));
        }
        Ok(self.root.join(name))
    }

    /// The directory to mount for a volume, made when it is missing. The container's first process fills an empty one
    /// with what the image has at the target.
    pub(crate) fn directory(&self, name: &str) -> HostResult<PathBuf> {
        let data = self.place(name)?.join("_data");
        fs::create_dir_all(&data).map_err(|error| io_error(format!("create volume {name}"), error))?;
        Ok(data)
    }

    fn remove(&self, name: &str) -> HostResult<()> {
        match fs::remove_dir_all(self.place(name)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(HostError::not_found("volume", name)),
            result => result.map_err(|error| io_error(format!("remove volume {name}"), error)),
        }
    }

    fn size(&self, name: &str) -> HostResult<u64> {
        let data = self.place(name)?.join("_data");
        if !data.is_dir() {
            return Err(HostError::not_found("volume", name));
        }
        directory_size(&data)
    }
}

#[async_trait]
impl Volumes for LinuxHost {
    async fn create_volume(&self, name: &str) -> HostResult<String> {
        let (volumes, name) = (self.inner.volumes.clone(), name.to_owned());
        blocking(move || volumes.directory(&name)).await.map(|path| path.display().to_string())
    }

    async fn remove_volume(&self, name: &str) -> HostResult<()> {
        let (volumes, name) = (self.inner.volumes.clone(), name.to_owned());
        blocking(move || volumes.remove(&name)).await
    }

    async fn bind_source_exists(&self, path: &str) -> HostResult<bool> {
        Ok(fs::symlink_metadata(path).is_ok())
    }

    async fn volume_size(&self, name: &str) -> HostResult<u64> {
        let (volumes, name) = (self.inner.volumes.clone(), name.to_owned());
        blocking(move || volumes.size(&name)).await
    }
}
