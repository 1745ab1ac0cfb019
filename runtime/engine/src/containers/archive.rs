use std::sync::Arc;

use docklab_api::{ApiError, ApiResult, ByteStream, PathStat};
use docklab_host::{FileKind, FileStat, HostError, Root};
use futures::StreamExt;
use jiff::Timestamp;

use super::{
    Container,
    mounts::clean,
    record::{MountKind, Mountpoint},
};
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

/// Where a path of a container is found: in its own file system, or in a mount that is not there while it does not run.
struct Place {
    root: Root,
    /// What stands in the container before paths of `root`; empty for the container's own file system.
    prefix: String,
}

impl Place {
    /// The path within `root`.
    fn inside<'a>(&self, path: &'a str) -> &'a str {
        match path.strip_prefix(self.prefix.as_str()) {
            Some("") | None => "/",
            Some(rest) => rest,
        }
    }
}

/// The mount that `path` (clean) lies in, if it is a volume or a bind: the one with the longest target.
fn mount_of(mounts: &[Mountpoint], path: &str) -> Option<Place> {
    let beneath = |target: &str| path == target || path.strip_prefix(target).is_some_and(|rest| rest.starts_with('/'));
    let mount = mounts.iter().filter(|mount| beneath(&mount.target)).max_by_key(|mount| mount.target.len())?;
    let called = name_of(&mount.target).to_owned();
    let root = match mount.kind {
        MountKind::Volume => Root::Volume { name: mount.name.clone(), called },
        MountKind::Bind => Root::Directory { path: mount.source.clone(), called },
        MountKind::Tmpfs => return None,
    };
    Some(Place { root, prefix: mount.target.clone() })
}

impl Engine {
    fn place(container: &Container, path: &str) -> Place {
        container.read(|record| {
            let mount = if record.state.has_process() { None } else { mount_of(&record.mounts, path) };
            mount.unwrap_or_else(|| Place { root: Root::Container(record.id.clone()), prefix: String::new() })
        })
    }

    async fn stat_in(&self, container: &Container, path: &str) -> ApiResult<FileStat> {
        let missing =
            || ApiError::not_found(format!("Could not find the file {path} in container {}", container.name()));
        if path.is_empty() {
            return Err(ApiError::invalid("missing path"));
        }
        let clean = clean(path);
        let place = Self::place(container, &clean);
        let mut stat = match self.host.stat(&place.root, place.inside(&clean)).await {
            Ok(Some(stat)) => stat,
            Ok(None) | Err(HostError::NoSuchFile(_) | HostError::NotADirectory(_)) => return Err(missing()),
            Err(error) => return Err(api_error(error)),
        };
        stat.path = format!("{}{}", place.prefix, if stat.path == "/" { "" } else { stat.path.as_str() });
        if stat.path.is_empty() {
            "/".clone_into(&mut stat.path);
        }
        Ok(stat)
    }

    pub(crate) async fn path_stat(&self, container: &Arc<Container>, path: &str) -> ApiResult<PathStat> {
        let stat = self.stat_in(container, path).await?;
        self.follow_slash(container, path, &stat).await?;
        Ok(path_stat(&stat, name_of(path)))
    }

    /// A trailing `/.` or `/` asks for what a link leads to, as with `ls`, and for a directory.
    async fn follow_slash(&self, container: &Container, path: &str, stat: &FileStat) -> ApiResult<FileStat> {
        if !path.ends_with('/') && !path.ends_with("/.") {
            return Ok(stat.clone());
        }
        let resolved = self.resolve_links(container, stat.clone()).await?;
        if resolved.kind != FileKind::Directory {
            return Err(ApiError::system(format!("lstat {path}: not a directory")));
        }
        Ok(resolved)
    }

    /// `docker cp CONTAINER:path -`.
    pub(crate) async fn download(&self, container: &Arc<Container>, path: &str) -> ApiResult<(PathStat, ByteStream)> {
        let stat = self.stat_in(container, path).await?;
        let resolved = self.follow_slash(container, path, &stat).await?;
        let place = Self::place(container, &resolved.path);
        let archive = self.host.archive(&place.root, place.inside(&resolved.path)).await.api()?;
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
    pub(crate) async fn upload(
        &self,
        container: &Arc<Container>,
        path: &str,
        keep_kinds: bool,
        tar: ByteStream,
    ) -> ApiResult<()> {
        let stat = self.stat_in(container, path).await?;
        let directory = self.resolve_links(container, stat).await?;
        if directory.kind != FileKind::Directory {
            return Err(ApiError::invalid("extraction point is not a directory"));
        }
        if container.read(|record| record.host_config.readonly_rootfs == Some(true))
            && !container.read(|record| record.mounts.iter().any(|mount| directory.path.starts_with(&mount.target)))
        {
            return Err(ApiError::invalid("container rootfs is marked read-only"));
        }
        let tar = tar.map(|piece| piece.map_err(|error| HostError::Other(error.message))).boxed();
        let place = Self::place(container, &directory.path);
        match self.host.extract(&place.root, place.inside(&directory.path), keep_kinds, tar).await {
            Ok(()) => {}
            // Docker only ever sees that it ended too soon.
            Err(HostError::InvalidTar(text)) if text.contains("failed to read entire block") => {
                return Err(ApiError::system("unexpected EOF"));
            }
            Err(error) => return Err(api_error(error)),
        }
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
    fn a_path_is_found_in_the_mount_that_covers_it() {
        let bind = |source: &str, target: &str| Mountpoint {
            source: source.to_owned(),
            ..crate::containers::mounts::blank(MountKind::Bind, target)
        };
        let mounts = [bind("/host/a", "/vol"), bind("/host/b", "/vol/deep")];
        let found = |path: &str| {
            let place = mount_of(&mounts, path)?;
            let inside = place.inside(path).to_owned();
            match place.root {
                Root::Directory { path, called } => Some((path, called, inside)),
                _ => None,
            }
        };
        let owned = |a: &str, b: &str, c: &str| Some((a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(found("/vol"), owned("/host/a", "vol", "/"));
        assert_eq!(found("/vol/x/y"), owned("/host/a", "vol", "/x/y"));
        assert_eq!(found("/vol/deep/z"), owned("/host/b", "deep", "/z"));
        assert_eq!(found("/volume"), None);
    }

    #[test]
    fn links_are_followed_from_their_directory() {
        assert_eq!(follow("/a/link", "../b"), "/b");
        assert_eq!(follow("/a/link", "/c/d"), "/c/d");
        assert_eq!(follow("/link", "x"), "/x");
    }
}
