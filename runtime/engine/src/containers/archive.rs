use std::sync::Arc;

use docklab_api::{ApiError, ApiResult, ByteStream, PathStat};
use docklab_host::{FileKind, FileStat, HostError, Root};
use futures::StreamExt;
use jiff::Timestamp;

use super::{Container, mounts::clean};
use crate::{Engine, HostResultExt, api_error, time};

/// Links that are followed before a path counts as a loop.
const LINKS: usize = 40;

// Go's os.FileMode: the kind and special bits from the top.
const DIRECTORY: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const PIPE: u32 = 1 << 25;
const SOCKET: u32 = 1 << 24;
const SETUID: u32 = 1 << 23;
const SETGID: u32 = 1 << 22;
const CHARACTER: u32 = 1 << 21;
const STICKY: u32 = 1 << 20;

fn go_mode(stat: &FileStat) -> u32 {
    let kind = match stat.kind {
        FileKind::Regular => 0,
        FileKind::Directory => DIRECTORY,
        FileKind::Symlink => SYMLINK,
        FileKind::CharDevice => DEVICE | CHARACTER,
        FileKind::BlockDevice => DEVICE,
        FileKind::Fifo => PIPE,
        FileKind::Socket => SOCKET,
    };
    let special = [(0o4000, SETUID), (0o2000, SETGID), (0o1000, STICKY)];
    let special = special.iter().filter(|(bit, _)| stat.mode & bit != 0).map(|(_, bit)| bit).sum::<u32>();
    kind | special | (stat.mode & 0o777)
}

/// The path that a link at `path` leads to.
fn follow(path: &str, target: &str) -> String {
    if target.starts_with('/') {
        return clean(target);
    }
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    clean(&format!("{parent}/{target}"))
}

fn path_stat(stat: &FileStat, name: &str) -> PathStat {
    let link_target =
        if stat.kind == FileKind::Symlink { follow(&stat.path, &stat.link_target) } else { String::new() };
    PathStat {
        name: name.to_owned(),
        size: i64::try_from(stat.size).unwrap_or(i64::MAX),
        mode: go_mode(stat),
        mtime: time::rfc3339(Timestamp::from_second(stat.mtime).ok()),
        link_target,
    }
}

impl Engine {
    async fn stat_in(&self, container: &Container, path: &str) -> ApiResult<FileStat> {
        let missing =
            || ApiError::not_found(format!("Could not find the file {path} in container {}", container.name()));
        if path.is_empty() {
            return Err(ApiError::invalid("missing path"));
        }
        match self.host.stat(&Root::Container(container.id.clone()), &clean(path)).await {
            Ok(Some(stat)) => Ok(stat),
            Ok(None) | Err(HostError::NoSuchFile(_) | HostError::NotADirectory(_)) => Err(missing()),
            Err(error) => Err(api_error(error)),
        }
    }

    pub(crate) async fn path_stat(&self, container: &Arc<Container>, path: &str) -> ApiResult<PathStat> {
        let stat = self.stat_in(container, path).await?;
        Ok(path_stat(&stat, name_of(path)))
    }

    /// `docker cp CONTAINER:path -`.
    pub(crate) async fn download(&self, container: &Arc<Container>, path: &str) -> ApiResult<(PathStat, ByteStream)> {
        let stat = self.stat_in(container, path).await?;
        // A trailing `/.` or `/` asks for a link's target, as `ls` does.
        let mut resolved = stat.clone();
        if path.ends_with('/') || path.ends_with("/.") {
            resolved = self.resolve_links(container, stat.clone()).await?;
            if resolved.kind != FileKind::Directory {
                return Err(ApiError::invalid("extraction point is not a directory"));
            }
        }
        let archive = self.host.archive(&Root::Container(container.id.clone()), &resolved.path).await.api()?;
        self.container_event(container, "archive-path", &[]);
        Ok((path_stat(&stat, name_of(path)), archive.map(HostResultExt::api).boxed()))
    }

    async fn resolve_links(&self, container: &Container, mut stat: FileStat) -> ApiResult<FileStat> {
        for _ in 0..LINKS {
            if stat.kind != FileKind::Symlink {
                return Ok(stat);
            }
            stat = self.stat_in(container, &follow(&stat.path, &stat.link_target)).await?;
        }
        Err(ApiError::invalid(format!("{}: too many levels of symbolic links", stat.path)))
    }

    /// `docker cp - CONTAINER:path`.
    pub(crate) async fn upload(&self, container: &Arc<Container>, path: &str, tar: ByteStream) -> ApiResult<()> {
        let stat = self.stat_in(container, path).await?;
        let directory = self.resolve_links(container, stat).await?;
        if directory.kind != FileKind::Directory {
            return Err(ApiError::invalid("extraction point is not a directory"));
        }
        if container.read(|record| record.host_config.readonly_rootfs == Some(true))
            && !container.read(|record| record.mounts.iter().any(|mount| directory.path.starts_with(&mount.target)))
        {
            return Err(ApiError::forbidden("container rootfs is marked read-only"));
        }
        let tar = tar.map(|piece| piece.map_err(|error| HostError::Other(error.message))).boxed();
        self.host.extract(&container.id, &directory.path, tar).await.api()?;
        self.container_event(container, "extract-to-dir", &[]);
        Ok(())
    }

    /// `docker export`.
    pub(crate) async fn export(&self, container: &Arc<Container>) -> ApiResult<ByteStream> {
        if container.read(|record| record.state.removing || record.state.dead) {
            return Err(ApiError::conflict(format!(
                "You cannot export container {} which is being removed",
                container.id
            )));
        }
        let archive = self.host.archive(&Root::Container(container.id.clone()), "/").await.api()?;
        self.container_event(container, "export", &[]);
        Ok(archive.map(HostResultExt::api).boxed())
    }
}

/// The last component; `.` and `/` keep themselves.
fn name_of(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { "/" } else { trimmed.rsplit('/').next().unwrap_or(trimmed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_from_their_directory() {
        assert_eq!(follow("/a/link", "../b"), "/b");
        assert_eq!(follow("/a/link", "/c/d"), "/c/d");
        assert_eq!(follow("/link", "x"), "/x");
    }
}
