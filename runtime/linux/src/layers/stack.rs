//! The merged view of a stack of overlay layers, computed in user space: no mount, so it works for images, for stopped
//! containers and without privileges, and it costs one `lstat` a layer.
//!
//! Every access goes through `openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` relative to a layer's own directory;
//! symbolic links are followed by this code, against the merged view. A container that swaps a directory for a link while
//! we look can make a lookup fail, never make it leave the root.

use std::{
    collections::{BTreeMap, VecDeque},
    ffi::{OsStr, OsString},
    fs::File,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Component, Path, PathBuf},
};

use docklab_host::{FileKind, FileStat, HostError, HostResult};
use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    libc,
    sys::stat::{FileStat as RawStat, Mode, fstat},
};

use super::streams::errno;

/// Symbolic links in one path before it is called a loop; the kernel's own limit.
const MAX_LINKS: usize = 40;
/// Marks a directory that hides everything beneath it in the lower layers.
pub(crate) const OPAQUE: &str = "trusted.overlay.opaque";

/// One layer's directory.
#[derive(Debug)]
pub(crate) struct Tree {
    root: OwnedFd,
}

impl Tree {
    pub(crate) fn open(path: &Path) -> HostResult<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = nix::fcntl::open(path, flags, Mode::empty())
            .map_err(|error| errno(format!("open {}", path.display()), error))?;
        Ok(Self { root })
    }

    /// Opens a path whose directories are no links. `O_NOFOLLOW` is always added; a link as last component can be opened
    /// with `O_PATH` alone.
    pub(crate) fn open_at(&self, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        let how = OpenHow::new().flags(flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).resolve(resolve);
        loop {
            match openat2(&self.root, path, how) {
                // Somewhere on the machine a rename raced with the walk.
                Err(Errno::EAGAIN) => {}
                result => return result,
            }
        }
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// A path that exists in the merged view.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Relative to the root, no links in its directories; empty is the root.
    pub(crate) path: PathBuf,
    pub(crate) stat: RawStat,
    /// The layers that hold it, upper first: one unless a directory.
    pub(crate) layers: Vec<usize>,
}

impl Node {
    pub(crate) fn is_directory(&self) -> bool {
        is_directory(&self.stat)
    }
    pub(crate) fn format(&self) -> u32 {
        self.stat.st_mode & libc::S_IFMT
    }
}

pub(crate) fn is_directory(stat: &RawStat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFDIR
}

/// Overlayfs's "this name is gone": a character device 0:0.
pub(crate) fn is_whiteout(stat: &RawStat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == 0
}

/// Layers over one another, upper first.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) trees: Vec<Tree>,
}

impl Stack {
    pub(crate) fn open(directories: impl IntoIterator<Item = impl AsRef<Path>>) -> HostResult<Self> {
        let trees = directories.into_iter().map(|path| Tree::open(path.as_ref())).collect::<HostResult<_>>()?;
        Ok(Self { trees })
    }

    /// The root; `None` only for a stack of no layers.
    pub(crate) fn root(&self) -> HostResult<Option<Node>> {
        let Some(top) = self.trees.first() else { return Ok(None) };
        let stat = fstat(top).map_err(|error| errno("stat /", error))?;
        Ok(Some(Node { path: PathBuf::new(), stat, layers: (0..self.trees.len()).collect() }))
    }

    /// One name in a directory.
    pub(crate) fn child(&self, directory: &Node, name: &OsStr) -> HostResult<Option<Node>> {
        let path = directory.path.join(name);
        let mut found: Option<Node> = None;
        for &layer in &directory.layers {
            let fd = match self.trees[layer].open_at(&path, OFlag::O_PATH) {
                Ok(fd) => fd,
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => continue,
                Err(error) => return Err(errno(format!("open /{}", path.display()), error)),
            };
            let stat = fstat(&fd).map_err(|error| errno(format!("stat /{}", path.display()), error))?;
            if is_whiteout(&stat) {
                break;
            }
            match &mut found {
                // A file beneath a directory is hidden by it, and hides what is further down.
                Some(_) if !is_directory(&stat) => break,
                Some(node) => node.layers.push(layer),
                None if !is_directory(&stat) => return Ok(Some(Node { path, stat, layers: vec![layer] })),
                None => found = Some(Node { path: path.clone(), stat, layers: vec![layer] }),
            }
            if is_opaque(&fd) {
                break;
            }
        }
        Ok(found)
    }

    /// Every name in a directory, sorted.
    pub(crate) fn children(&self, directory: &Node) -> HostResult<Vec<Node>> {
        let mut names = BTreeMap::new();
        for &layer in &directory.layers {
            for name in self.names(layer, &directory.path)? {
                names.entry(name).or_insert(());
            }
        }
        let mut nodes = Vec::with_capacity(names.len());
        for name in names.into_keys() {
            nodes.extend(self.child(directory, &name)?);
        }
        Ok(nodes)
    }

    /// The names that one layer has in a directory, whiteouts among them.
    pub(crate) fn names(&self, layer: usize, path: &Path) -> HostResult<Vec<OsString>> {
        let operation = || format!("read directory /{}", path.display());
        let fd = match self.trees[layer].open_at(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(Vec::new()),
            Err(error) => return Err(errno(operation(), error)),
        };
        let mut directory = nix::dir::Dir::from_fd(fd).map_err(|error| errno(operation(), error))?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            let entry = entry.map_err(|error| errno(operation(), error))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name.to_vec()));
            }
        }
        Ok(names)
    }

    /// Follows `path` from the root. Links in directories are always followed, the last component only with `follow_last`.
    pub(crate) fn lookup(&self, path: &Path, follow_last: bool) -> HostResult<Option<Node>> {
        let Some(root) = self.root()? else { return Ok(None) };
        let mut trail = vec![root];
        let mut links = 0;
        let mut rest: VecDeque<OsString> = components(path);
        let must_be_directory = path.as_os_str().as_bytes().ends_with(b"/");
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                if trail.len() > 1 {
                    trail.pop();
                }
                continue;
            }
            let Some(current) = trail.last() else { return Ok(None) };
            if !current.is_directory() {
                return Err(HostError::NotADirectory(display(&current.path)));
            }
            let Some(node) = self.child(current, &name)? else { return Ok(None) };
            let last = rest.is_empty() && !follow_last && !must_be_directory;
            if node.format() != libc::S_IFLNK || last {
                trail.push(node);
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(HostError::Other(format!("{}: too many levels of symbolic links", path.display())));
            }
            let target = self.read_link(&node)?;
            if target.as_bytes().starts_with(b"/") {
                trail.truncate(1);
            }
            for name in components(Path::new(&target)).into_iter().rev() {
                rest.push_front(name);
            }
        }
        let node = trail.pop();
        match &node {
            Some(node) if must_be_directory && !node.is_directory() => {
                Err(HostError::NotADirectory(display(&node.path)))
            }
            _ => Ok(node),
        }
    }

    /// As [`Self::lookup`], but what does not exist stays in the path as it was written: where a file of this name would be
    /// made. `..` beyond the root is the root.
    pub(crate) fn resolve_missing(&self, path: &Path) -> HostResult<PathBuf> {
        let mut rest = components(path);
        let mut resolved = PathBuf::new();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                resolved.pop();
                continue;
            }
            let next = resolved.join(&name);
            let node = match self.lookup(&next, false) {
                Ok(node) => node,
                Err(HostError::NotADirectory(_)) => None,
                Err(error) => return Err(error),
            };
            match node {
                Some(node) if node.format() == libc::S_IFLNK => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(HostError::Other(format!("{}: too many levels of symbolic links", path.display())));
                    }
                    let target = self.read_link(&node)?;
                    if target.as_bytes().starts_with(b"/") {
                        resolved = PathBuf::new();
                    }
                    for name in components(Path::new(&target)).into_iter().rev() {
                        rest.push_front(name);
                    }
                }
                _ => resolved = next,
            }
        }
        Ok(resolved)
    }

    pub(crate) fn read_link(&self, node: &Node) -> HostResult<OsString> {
        let fd = self.open_node(node, OFlag::O_PATH)?;
        nix::fcntl::readlinkat(&fd, "").map_err(|error| errno(format!("readlink {}", display(&node.path)), error))
    }

    /// Opens a node in its upper layer.
    pub(crate) fn open_node(&self, node: &Node, flags: OFlag) -> HostResult<OwnedFd> {
        let layer = node.layers.first().copied().unwrap_or(0);
        self.trees[layer].open_at(&node.path, flags).map_err(|error| match error {
            Errno::ENOENT => HostError::NoSuchFile(display(&node.path)),
            error => errno(format!("open {}", display(&node.path)), error),
        })
    }

    /// Opens a regular file for reading; never waits for a FIFO's other end.
    pub(crate) fn open_file(&self, node: &Node) -> HostResult<File> {
        Ok(File::from(self.open_node(node, OFlag::O_RDONLY | OFlag::O_NONBLOCK)?))
    }

    pub(crate) fn file_stat(&self, node: &Node) -> HostResult<FileStat> {
        let kind = match node.format() {
            libc::S_IFDIR => FileKind::Directory,
            libc::S_IFLNK => FileKind::Symlink,
            libc::S_IFCHR => FileKind::CharDevice,
            libc::S_IFBLK => FileKind::BlockDevice,
            libc::S_IFIFO => FileKind::Fifo,
            libc::S_IFSOCK => FileKind::Socket,
            _ => FileKind::Regular,
        };
        let link_target = match kind {
            FileKind::Symlink => self.read_link(node)?.to_string_lossy().into_owned(),
            _ => String::new(),
        };
        Ok(FileStat {
            path: display(&node.path),
            kind,
            mode: node.stat.st_mode & 0o7777,
            uid: node.stat.st_uid,
            gid: node.stat.st_gid,
            size: node.stat.st_size.unsigned_abs(),
            mtime: node.stat.st_mtime,
            link_target,
        })
    }

    /// Extended attributes of a node, sorted, without overlayfs's own.
    pub(crate) fn attributes(&self, node: &Node) -> HostResult<Vec<(OsString, Vec<u8>)>> {
        if !matches!(node.format(), libc::S_IFREG | libc::S_IFDIR) {
            return Ok(Vec::new());
        }
        let fd = self.open_node(node, OFlag::O_PATH)?;
        Ok(read_attributes(&fd))
    }
}

/// Extended attributes of an open path, sorted, without overlayfs's own. A file system that has none gives none.
pub(crate) fn read_attributes(fd: &impl AsFd) -> Vec<(OsString, Vec<u8>)> {
    let path = descriptor_path(fd);
    let Ok(names) = xattr::list_deref(&path) else { return Vec::new() };
    let mut attributes: Vec<_> = names
        .filter(|name| !name.as_bytes().starts_with(b"trusted.overlay."))
        .filter_map(|name| xattr::get_deref(&path, &name).ok().flatten().map(|value| (name, value)))
        .collect();
    attributes.sort();
    attributes
}

pub(crate) fn is_opaque(fd: &impl AsFd) -> bool {
    matches!(xattr::get_deref(descriptor_path(fd), OPAQUE), Ok(Some(value)) if value == b"y")
}

/// A path that means an open file, for calls that take no `O_PATH` descriptor.
pub(crate) fn descriptor_path(fd: &impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
}

/// The names in a path, with `..` but without `.` and `/`.
fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_os_string()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// The absolute form that users see.
pub(crate) fn display(path: &Path) -> String {
    format!("/{}", path.display())
}
