//! Writable layers: `rootfs/<container>/{upper,work,chain}`.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use docklab_host::{HostError, HostResult};

use super::{
    stack::Stack,
    store::{Store, create_directory, ignore_missing, same_root},
    streams::io_error,
};

/// The directories of a container's overlay mount. The mount itself is made inside the container's mount namespace, by
/// the container's first process, so that the host never sees it and it is gone with the container.
#[derive(Debug, Clone)]
pub(crate) struct OverlayPaths {
    /// Topmost first, as overlayfs wants them; never empty: the first is what Docker calls the init layer. Short
    /// links, because mount options must fit into a page.
    pub(crate) lower: Vec<PathBuf>,
    pub(crate) upper: PathBuf,
    /// Empty, on the same file system as `upper`.
    pub(crate) work: PathBuf,
}

pub(crate) struct RootFileSystems {
    root: PathBuf,
}

impl RootFileSystems {
    pub(crate) fn open(root: &Path) -> HostResult<Self> {
        create_directory(root)?;
        Ok(Self { root: root.to_path_buf() })
    }

    fn directory(&self, container: &str) -> HostResult<PathBuf> {
        let safe = !container.is_empty()
            && container.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !safe {
            return Err(HostError::not_found("container", container));
        }
        Ok(self.root.join(container))
    }

    pub(crate) fn create(&self, store: &Store, container: &str, chain_id: Option<&str>) -> HostResult<()> {
        let directory = self.directory(container)?;
        let failed = |error| io_error(format!("create root file system of {container}"), error);
        let top = store.directories(chain_id)?.into_iter().next();
        store.ensure_init(chain_id)?;
        fs::create_dir(&directory).map_err(failed)?;
        let fill = || -> HostResult<()> {
            let upper = directory.join("upper");
            create_directory(&upper)?;
            create_directory(&directory.join("work"))?;
            if let Some(top) = &top {
                same_root(top, &upper)?;
            }
            fs::write(directory.join("chain"), chain_id.unwrap_or_default()).map_err(failed)
        };
        fill().inspect_err(|_| {
            let _ = fs::remove_dir_all(&directory);
        })
    }

    pub(crate) fn remove(&self, container: &str) -> HostResult<()> {
        ignore_missing(fs::remove_dir_all(self.directory(container)?))
            .map_err(|error| io_error(format!("remove root file system of {container}"), error))
    }

    /// The chain beneath a container's writable layer.
    pub(crate) fn chain(&self, container: &str) -> HostResult<Option<String>> {
        match fs::read_to_string(self.directory(container)?.join("chain")) {
            Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(HostError::not_found("container", container)),
            Err(error) => Err(io_error(format!("read root file system of {container}"), error)),
        }
    }

    pub(crate) fn overlay_paths(&self, store: &Store, container: &str) -> HostResult<OverlayPaths> {
        let chain = self.chain(container)?;
        let directory = self.directory(container)?;
        Ok(OverlayPaths {
            lower: store.lower_links(chain.as_deref())?.iter().map(|link| store.root.join(link)).collect(),
            upper: directory.join("upper"),
            work: directory.join("work"),
        })
    }

    /// The merged view, and what it is without the writable layer.
    pub(crate) fn stacks(&self, store: &Store, container: &str) -> HostResult<(Stack, Stack)> {
        let chain = self.chain(container)?;
        let mut lower = vec![store.ensure_init(chain.as_deref())?];
        lower.extend(store.directories(chain.as_deref())?);
        let upper = self.directory(container)?.join("upper");
        Ok((Stack::open(std::iter::once(&upper).chain(&lower))?, Stack::open(&lower)?))
    }

    /// Bytes of the regular files in the writable layer, each file once.
    pub(crate) fn size(&self, container: &str) -> HostResult<u64> {
        self.chain(container)?;
        let mut seen = HashSet::new();
        let mut size = 0;
        let mut directories = vec![self.directory(container)?.join("upper")];
        while let Some(directory) = directories.pop() {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                // The container removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io_error(format!("read {}", directory.display()), error)),
            };
            for entry in entries.filter_map(Result::ok) {
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() {
                    directories.push(entry.path());
                } else if metadata.is_file() && seen.insert((metadata.dev(), metadata.ino())) {
                    size += metadata.len();
                }
            }
        }
        Ok(size)
    }
}
