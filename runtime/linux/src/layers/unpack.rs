//! Entries of a tar into a directory, safely: no entry reaches anything outside it, whatever names and links it has.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Component, Path, PathBuf},
    rc::Rc,
};

use docklab_host::{HostError, HostResult};
use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag},
    sys::{
        stat::{
            FileStat as RawStat, Mode, SFlag, UtimensatFlags, fchmod, fstatat, makedev, mkdirat, mknodat, utimensat,
        },
        time::TimeSpec,
    },
    unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, linkat, symlinkat, unlinkat},
};
use tar::EntryType;

use super::{
    split::Recorder,
    stack::{OPAQUE, Stack, descriptor_path, display, is_directory, is_whiteout, read_attributes},
    streams::{errno, io_error},
};

const WHITEOUT_PREFIX: &[u8] = b".wh.";
const OPAQUE_WHITEOUT: &[u8] = b".wh..wh..opq";
const AUFS_PREFIX: &[u8] = b".wh..wh.";
const ATTRIBUTE_PREFIX: &str = "SCHILY.xattr.";
/// Directories whose descriptors are kept at hand; archives mostly stay in one for a while.
const OPEN_DIRECTORIES: usize = 64;
const COPY_BUFFER: usize = 128 * 1024;

/// How to read the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// An OCI layer: `.wh.` names delete.
    Layer,
    /// `docker cp`: every name is a file.
    Files,
}

/// Owner, mode, times and attributes of an entry.
struct Metadata {
    uid: Uid,
    gid: Gid,
    mode: Mode,
    modified: TimeSpec,
    attributes: Vec<(OsString, Vec<u8>)>,
}

/// Writes entries into the top directory of a stack.
pub(crate) struct Extraction {
    /// The directory that is written to, over what lies beneath.
    stack: Stack,
    meaning: Meaning,
    /// The directory within the stack that entry names are relative to.
    base: PathBuf,
    /// A directory stays one, and so does everything else.
    keep_kinds: bool,
    open_directories: HashMap<PathBuf, (PathBuf, Rc<OwnedFd>)>,
    /// Times are set last: what is made in a directory changes them.
    directory_times: BTreeMap<PathBuf, TimeSpec>,
    recorder: Option<(Recorder, PathBuf)>,
    /// Files whose content the recorder refers to.
    recorded: BTreeMap<PathBuf, usize>,
    /// Bytes of the files written.
    size: u64,
    buffer: Vec<u8>,
}

impl Extraction {
    /// Writes into the first tree of `stack`; `base` is a path without links that exists in the merged view.
    pub(crate) fn new(stack: Stack, meaning: Meaning, base: PathBuf) -> Self {
        Self {
            stack,
            meaning,
            base,
            keep_kinds: false,
            open_directories: HashMap::new(),
            directory_times: BTreeMap::new(),
            recorder: None,
            recorded: BTreeMap::new(),
            size: 0,
            buffer: vec![0; COPY_BUFFER],
        }
    }

    /// Refuses entries that would change a directory into something else, or the other way round.
    pub(crate) fn keep_kinds(mut self, keep: bool) -> Self {
        self.keep_kinds = keep;
        self
    }

    fn check_kind(&self, path: &Path, kind: EntryType) -> HostResult<()> {
        if !self.keep_kinds {
            return Ok(());
        }
        let Some(node) = self.stack.lookup(path, false)? else { return Ok(()) };
        let name = path.strip_prefix(&self.base).unwrap_or(path).display().to_string();
        let base = display(&self.base);
        match (node.is_directory(), kind == EntryType::Directory) {
            // moby names the directory that the archive goes to where one expects the entry.
            (true, false) => {
                Err(HostError::Other(format!("cannot overwrite directory {name:?} with non-directory {base:?}")))
            }
            (false, true) => {
                Err(HostError::Other(format!("cannot overwrite non-directory {name:?} with directory {base:?}")))
            }
            _ => Ok(()),
        }
    }

    /// Keeps `recorder` informed; `layer` is the directory that its table is relative to, in which the tree lies as `diff`.
    pub(crate) fn record(mut self, recorder: Recorder, layer: PathBuf) -> Self {
        self.recorder = Some((recorder, layer));
        self
    }

    /// Unpacks the whole archive and reads its stream to the end. Returns the bytes of the files and the recorder.
    pub(crate) fn run(mut self, reader: impl Read) -> HostResult<(u64, Option<Recorder>)> {
        let mut archive = tar::Archive::new(reader);
        let broken = |error: io::Error| tar_error("read entry", error);
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            self.entry(&mut entry)?;
        }
        self.apply_directory_times()?;
        // The end-of-archive blocks and whatever padding follows belong to the DiffID.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
        Ok((self.size, self.recorder.map(|(recorder, _)| recorder)))
    }

    fn entry(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> HostResult<()> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let path = self.base.join(clean(&entry.path_bytes())?);
        let metadata = metadata(entry)?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return self.root_entry(kind, &metadata);
        };
        self.check_kind(&path, kind)?;
        let (parent_path, parent) = self.directory(parent)?;
        if self.meaning == Meaning::Layer && name.as_bytes().starts_with(WHITEOUT_PREFIX) {
            return self.whiteout(&parent_path, &parent, name.as_bytes());
        }
        let path = parent_path.join(name);
        let failed = |what: &str, error| errno(format!("{what} {}", display(&path)), error);
        match kind {
            EntryType::Directory => self.make_directory(&path, &parent, name, &metadata)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.make_way(&path, &parent, name)?;
                self.file(entry, &path, &parent, name, &metadata)?;
            }
            EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                let target = clean(&target)?;
                if self.base.join(&target) != path {
                    self.hard_link(&self.base.join(target), &path, &parent, name)?;
                }
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                self.make_way(&path, &parent, name)?;
                symlinkat(OsStr::from_bytes(&target), &parent, name).map_err(|error| failed("symlink", error))?;
                // A link has the size of its text, and Docker counts it.
                self.size += target.len() as u64;
                self.finish_special(&path, &parent, name, &metadata, false)?;
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                self.make_way(&path, &parent, name)?;
                let header = entry.header();
                let number = |value: io::Result<Option<u32>>| value.ok().flatten().unwrap_or(0).into();
                let (format, device) = match kind {
                    EntryType::Fifo => (SFlag::S_IFIFO, 0),
                    EntryType::Char => {
                        (SFlag::S_IFCHR, makedev(number(header.device_major()), number(header.device_minor())))
                    }
                    _ => (SFlag::S_IFBLK, makedev(number(header.device_major()), number(header.device_minor()))),
                };
                mknodat(&parent, name, format, metadata.mode, device).map_err(|error| failed("mknod", error))?;
                self.finish_special(&path, &parent, name, &metadata, true)?;
            }
            other => {
                return Err(HostError::InvalidTar(format!(
                    "{}: unknown entry type {:?}",
                    display(&path),
                    char::from(other.as_byte())
                )));
            }
        }
        Ok(())
    }

    /// An entry for the directory itself (`./`).
    fn root_entry(&mut self, kind: EntryType, metadata: &Metadata) -> HostResult<()> {
        if kind != EntryType::Directory {
            return Err(HostError::InvalidTar("the root is not a directory".to_owned()));
        }
        let root = self.open_directory(Path::new(""))?;
        apply(&root, metadata).map_err(|error| tar_error("set attributes of /", error))?;
        self.directory_times.insert(PathBuf::new(), metadata.modified);
        Ok(())
    }

    fn whiteout(&mut self, parent_path: &Path, parent: &OwnedFd, name: &[u8]) -> HostResult<()> {
        if name == OPAQUE_WHITEOUT {
            return set_opaque(parent).map_err(|error| tar_error(format!("opaque {}", display(parent_path)), error));
        }
        if name.starts_with(AUFS_PREFIX) {
            return Ok(());
        }
        let name = &name[WHITEOUT_PREFIX.len()..];
        if name.is_empty() || name == b"." || name == b".." {
            return Err(HostError::InvalidTar(format!("a whiteout of nothing in {}", display(parent_path))));
        }
        // A whiteout hides what is beneath, never what this layer itself brings.
        let name = OsStr::from_bytes(name);
        let path = parent_path.join(name);
        match fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) if is_directory(&stat) => {
                let directory = self.open_directory(&path)?;
                set_opaque(&directory).map_err(|error| tar_error(format!("opaque {}", display(&path)), error))
            }
            Ok(_) => Ok(()),
            Err(Errno::ENOENT) => {
                make_whiteout(parent, name).map_err(|error| errno(format!("make whiteout {}", display(&path)), error))
            }
            Err(error) => Err(errno(format!("stat {}", display(&path)), error)),
        }
    }

    /// Opens (and makes, where only lower layers or nobody has it) the directory that entries go to. Links in `path` are
    /// followed inside the root. Returns the path with links resolved.
    fn directory(&mut self, path: &Path) -> HostResult<(PathBuf, Rc<OwnedFd>)> {
        if let Some((resolved, fd)) = self.open_directories.get(path) {
            return Ok((resolved.clone(), fd.clone()));
        }
        let resolved = self.stack.resolve_missing(path)?;
        let mut current = PathBuf::new();
        let mut fd = Rc::new(self.open_directory(&current)?);
        for name in resolved.iter() {
            current.push(name);
            fd = Rc::new(self.ensure_directory(&current, &fd, name)?);
        }
        if self.open_directories.len() >= OPEN_DIRECTORIES {
            self.open_directories.clear();
        }
        self.open_directories.insert(path.to_path_buf(), (resolved.clone(), fd.clone()));
        Ok((resolved, fd))
    }

    /// A directory in the tree that is written to. What it hides in lower layers lends it owner, mode and times.
    fn ensure_directory(&mut self, path: &Path, parent: &OwnedFd, name: &OsStr) -> HostResult<OwnedFd> {
        let failed = |what: &str, error| errno(format!("{what} {}", display(path)), error);
        match fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) if is_directory(&stat) => return self.open_directory(path),
            Ok(stat) if is_whiteout(&stat) => {
                unlinkat(parent, name, UnlinkatFlags::NoRemoveDir).map_err(|error| failed("unlink", error))?;
                mkdirat(parent, name, Mode::from_bits_truncate(0o755)).map_err(|error| failed("mkdir", error))?;
                let directory = self.open_directory(path)?;
                set_opaque(&directory).map_err(|error| tar_error(format!("opaque {}", display(path)), error))?;
                return Ok(directory);
            }
            Ok(_) => return Err(HostError::NotADirectory(display(path))),
            Err(Errno::ENOENT) => {}
            Err(error) => return Err(failed("stat", error)),
        }
        let beneath = self.stack.lookup(path, false)?.filter(super::stack::Node::is_directory);
        mkdirat(parent, name, Mode::from_bits_truncate(0o755)).map_err(|error| failed("mkdir", error))?;
        let directory = self.open_directory(path)?;
        if let Some(node) = beneath {
            let metadata = Metadata {
                uid: Uid::from_raw(node.stat.st_uid),
                gid: Gid::from_raw(node.stat.st_gid),
                mode: Mode::from_bits_truncate(node.stat.st_mode & 0o7777),
                modified: TimeSpec::new(node.stat.st_mtime, node.stat.st_mtime_nsec),
                attributes: self.stack.attributes(&node)?,
            };
            apply(&directory, &metadata)
                .map_err(|error| tar_error(format!("set attributes of {}", display(path)), error))?;
            self.directory_times.entry(path.to_path_buf()).or_insert(metadata.modified);
        }
        Ok(directory)
    }

    fn open_directory(&self, path: &Path) -> HostResult<OwnedFd> {
        let top = self.stack.trees.first().ok_or_else(|| HostError::Other("extract into nothing".to_owned()))?;
        top.open_at(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
            .map_err(|error| errno(format!("open {}", display(path)), error))
    }

    fn make_directory(&mut self, path: &Path, parent: &OwnedFd, name: &OsStr, metadata: &Metadata) -> HostResult<()> {
        let directory = match self.ensure_directory(path, parent, name) {
            Err(HostError::NotADirectory(_)) => {
                self.make_way(path, parent, name)?;
                mkdirat(parent, name, Mode::from_bits_truncate(0o755))
                    .map_err(|error| errno(format!("mkdir {}", display(path)), error))?;
                self.open_directory(path)?
            }
            result => result?,
        };
        apply(&directory, metadata)
            .map_err(|error| tar_error(format!("set attributes of {}", display(path)), error))?;
        self.directory_times.insert(path.to_path_buf(), metadata.modified);
        Ok(())
    }

    fn file(
        &mut self,
        entry: &mut tar::Entry<'_, impl Read>,
        path: &Path,
        parent: &OwnedFd,
        name: &OsStr,
        metadata: &Metadata,
    ) -> HostResult<()> {
        let size = entry.size();
        let sparse = entry.header().entry_type() == EntryType::GNUSparse;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::openat(parent, name, flags, Mode::from_bits_truncate(0o600))
            .map_err(|error| errno(format!("create {}", display(path)), error))?;
        let mut file = File::from(fd);
        let failed = |error: io::Error| tar_error(format!("write {}", display(path)), error);
        let recorded = match &mut self.recorder {
            Some((recorder, _)) if size > 0 && !sparse => {
                let index = recorder.begin_content(Path::new("diff").join(path), size).map_err(failed)?;
                self.recorded.insert(path.to_path_buf(), index);
                true
            }
            _ => false,
        };
        let written = copy_content(entry, &mut file, sparse, &mut self.buffer).map_err(failed)?;
        if let (true, Some((recorder, _))) = (recorded, &mut self.recorder) {
            recorder.end_content();
        }
        if !sparse && written != size {
            return Err(HostError::InvalidTar(format!(
                "{}: the archive ends after {written} of {size} bytes",
                display(path)
            )));
        }
        self.size += written;
        apply(&file, metadata).map_err(failed)?;
        nix::sys::stat::futimens(&file, &metadata.modified, &metadata.modified)
            .map_err(|error| errno(format!("set times of {}", display(path)), error))
    }

    fn hard_link(&mut self, target: &Path, path: &Path, parent: &OwnedFd, name: &OsStr) -> HostResult<()> {
        let failed = |error| errno(format!("link {} to {}", display(path), display(target)), error);
        let (Some(target_parent), Some(target_name)) = (target.parent(), target.file_name()) else {
            return Err(HostError::InvalidTar(format!("{}: a hard link to the root", display(path))));
        };
        let resolved = self.stack.resolve_missing(target_parent)?;
        let real_target = resolved.join(target_name);
        if real_target == path {
            return Ok(());
        }
        self.make_way(path, parent, name)?;
        let top = self.stack.trees.first().ok_or_else(|| HostError::Other("extract into nothing".to_owned()))?;
        match top.open_at(&resolved, OFlag::O_PATH | OFlag::O_DIRECTORY) {
            Ok(directory) => match linkat(&directory, target_name, parent, name, AtFlags::empty()) {
                Err(Errno::ENOENT) => {}
                result => return result.map_err(failed),
            },
            Err(Errno::ENOENT) => {}
            Err(error) => return Err(failed(error)),
        }
        // The target lies in a lower layer: bring a copy of it up.
        let Some(node) = self.stack.lookup(&real_target, false)? else {
            return Err(HostError::InvalidTar(format!(
                "{}: hard link to {}, which does not exist",
                display(path),
                display(target)
            )));
        };
        if node.format() != nix::libc::S_IFREG {
            return Err(HostError::InvalidTar(format!("{}: hard link to a special file", display(path))));
        }
        let mut source = self.stack.open_file(&node)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut file =
            File::from(nix::fcntl::openat(parent, name, flags, Mode::from_bits_truncate(0o600)).map_err(failed)?);
        let copied = io::copy(&mut source, &mut file)
            .map_err(|error| tar_error(format!("copy {}", display(&real_target)), error))?;
        self.size += copied;
        let modified = TimeSpec::new(node.stat.st_mtime, node.stat.st_mtime_nsec);
        let metadata = Metadata {
            uid: Uid::from_raw(node.stat.st_uid),
            gid: Gid::from_raw(node.stat.st_gid),
            mode: Mode::from_bits_truncate(node.stat.st_mode & 0o7777),
            modified,
            attributes: read_attributes(&source),
        };
        apply(&file, &metadata).map_err(|error| tar_error(format!("set attributes of {}", display(path)), error))?;
        nix::sys::stat::futimens(&file, &modified, &modified).map_err(failed)
    }

    /// Owner, mode and times of what cannot be opened.
    fn finish_special(
        &self,
        path: &Path,
        parent: &OwnedFd,
        name: &OsStr,
        metadata: &Metadata,
        with_mode: bool,
    ) -> HostResult<()> {
        let failed = |error| errno(format!("set attributes of {}", display(path)), error);
        fchownat(parent, name, Some(metadata.uid), Some(metadata.gid), AtFlags::AT_SYMLINK_NOFOLLOW).map_err(failed)?;
        if with_mode {
            // Ours, just made and no link; mknod has applied the umask.
            nix::sys::stat::fchmodat(parent, name, metadata.mode, nix::sys::stat::FchmodatFlags::FollowSymlink)
                .map_err(failed)?;
        }
        utimensat(parent, name, &metadata.modified, &metadata.modified, UtimensatFlags::NoFollowSymlink).map_err(failed)
    }

    /// Removes what is in an entry's place in the written tree. Content that the tar's records refer to is moved aside.
    fn make_way(&mut self, path: &Path, parent: &OwnedFd, name: &OsStr) -> HostResult<()> {
        let stat = match fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Ok(()),
            Err(error) => return Err(errno(format!("stat {}", display(path)), error)),
        };
        self.open_directories.retain(|_, (resolved, _)| !resolved.starts_with(path));
        self.set_aside(path)?;
        if is_directory(&stat) {
            self.directory_times.retain(|directory, _| !directory.starts_with(path));
        }
        match remove_tree(parent, name, &stat) {
            // Set aside just now.
            Err(Errno::ENOENT) => Ok(()),
            result => result.map_err(|error| errno(format!("remove {}", display(path)), error)),
        }
    }

    fn set_aside(&mut self, path: &Path) -> HostResult<()> {
        let Some((recorder, layer)) = &mut self.recorder else { return Ok(()) };
        let replaced: Vec<(PathBuf, usize)> = self
            .recorded
            .range(path.to_path_buf()..)
            .take_while(|(recorded, _)| recorded.starts_with(path))
            .map(|(recorded, index)| (recorded.clone(), *index))
            .collect();
        for (file, index) in replaced {
            let directory = layer.join("replaced");
            let name = Path::new("replaced").join(index.to_string());
            std::fs::create_dir_all(&directory)
                .and_then(|()| std::fs::rename(layer.join("diff").join(&file), layer.join(&name)))
                .map_err(|error| io_error(format!("keep the first {}", display(&file)), error))?;
            recorder.moved(index, name);
            self.recorded.remove(&file);
        }
        Ok(())
    }

    fn apply_directory_times(&self) -> HostResult<()> {
        for (path, modified) in self.directory_times.iter().rev() {
            let directory = self.open_directory(path)?;
            nix::sys::stat::futimens(&directory, modified, modified)
                .map_err(|error| errno(format!("set times of {}", display(path)), error))?;
        }
        Ok(())
    }
}

/// A name of an archive as a relative path without `.` and `..`; an error when it climbs above its root.
fn clean(name: &[u8]) -> HostResult<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir if !path.pop() => {
                return Err(HostError::InvalidTar(format!("{} leaves the root", String::from_utf8_lossy(name))));
            }
            Component::ParentDir | Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(path)
}

fn metadata(entry: &mut tar::Entry<'_, impl Read>) -> HostResult<Metadata> {
    let header = entry.header();
    let broken = |error: io::Error| tar_error("read header", error);
    let owner = |value: u64| u32::try_from(value).map_err(|error| HostError::InvalidTar(format!("owner: {error}")));
    let fields = header.as_old();
    let uid = Uid::from_raw(owner(number(&fields.uid, header.uid())?)?);
    let gid = Gid::from_raw(owner(number(&fields.gid, header.gid())?)?);
    let mode = Mode::from_bits_truncate(number(&fields.mode, header.mode())? & 0o7777);
    let mut modified = TimeSpec::new(number(&fields.mtime, header.mtime())?.try_into().unwrap_or(i64::MAX), 0);
    let mut attributes = Vec::new();
    if let Some(extensions) = entry.pax_extensions().map_err(broken)? {
        for extension in extensions {
            let extension = extension.map_err(broken)?;
            let Ok(key) = extension.key() else { continue };
            if key == "mtime" {
                modified = extension.value().ok().and_then(parse_time).unwrap_or(modified);
            } else if let Some(name) = key.strip_prefix(ATTRIBUTE_PREFIX) {
                // An archive must not talk to overlayfs.
                if !name.starts_with("trusted.overlay.") {
                    attributes.push((OsString::from(name), extension.value_bytes().to_vec()));
                }
            }
        }
    }
    Ok(Metadata { uid, gid, mode, modified, attributes })
}

/// A header's number; an empty field is zero, as other readers have it.
fn number<T: Default>(field: &[u8], parsed: io::Result<T>) -> HostResult<T> {
    match parsed {
        Err(_) if field.iter().all(|byte| matches!(byte, 0 | b' ')) => Ok(T::default()),
        result => result.map_err(|error| tar_error("read header", error)),
    }
}

/// PAX times: seconds since 1970, with a decimal fraction.
fn parse_time(text: &str) -> Option<TimeSpec> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let (seconds, nanoseconds) = (seconds.parse::<i64>().ok()?, digits.parse::<i64>().ok()?);
    Some(if text.starts_with('-') && nanoseconds > 0 {
        TimeSpec::new(seconds - 1, 1_000_000_000 - nanoseconds)
    } else {
        TimeSpec::new(seconds, nanoseconds)
    })
}

/// Owner first: changing it clears setuid bits and file capabilities.
fn apply(fd: &impl AsFd, metadata: &Metadata) -> io::Result<()> {
    fchown(fd, Some(metadata.uid), Some(metadata.gid))?;
    fchmod(fd, metadata.mode)?;
    for (name, value) in &metadata.attributes {
        match xattr::set_deref(descriptor_path(fd), name, value) {
            // The file system has no such attributes; Docker unpacks such layers too.
            Err(error) if error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => {}
            result => result?,
        }
    }
    Ok(())
}

fn set_opaque(directory: &impl AsFd) -> io::Result<()> {
    xattr::set_deref(descriptor_path(directory), OPAQUE, b"y")
}

pub(crate) fn make_whiteout(parent: &impl AsFd, name: &OsStr) -> Result<(), Errno> {
    mknodat(parent, name, SFlag::S_IFCHR, Mode::empty(), 0)
}

/// Removes a file or a tree beneath an open directory, never through a link.
fn remove_tree(parent: &impl AsFd, name: &OsStr, stat: &RawStat) -> Result<(), Errno> {
    if !is_directory(stat) {
        return unlinkat(parent, name, UnlinkatFlags::NoRemoveDir);
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let directory = nix::fcntl::openat(parent, name, flags, Mode::empty())?;
    let copy = directory.try_clone().map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
    let names: Vec<OsString> = nix::dir::Dir::from_fd(copy)?
        .iter()
        .filter_map(Result::ok)
        .map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_os_string())
        .filter(|name| name != "." && name != "..")
        .collect();
    for name in names {
        let stat = fstatat(&directory, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        remove_tree(&directory, &name, &stat)?;
    }
    unlinkat(parent, name, UnlinkatFlags::RemoveDir)
}

/// Copies with large reads; `sparse` leaves holes where there are only zeros.
fn copy_content(reader: &mut impl Read, file: &mut File, sparse: bool, buffer: &mut [u8]) -> io::Result<u64> {
    let mut length = 0;
    loop {
        let count = reader.read(buffer)?;
        if count == 0 {
            break;
        }
        length += count as u64;
        if sparse && buffer[..count].iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Start(length))?;
        } else {
            file.write_all(&buffer[..count])?;
        }
    }
    if sparse {
        file.set_len(length)?;
    }
    Ok(length)
}

/// An error while reading the archive: broken data, unless the disk or the stream is to blame.
fn tar_error(operation: impl AsRef<str>, error: io::Error) -> HostError {
    if error.raw_os_error().is_some() {
        return io_error(operation, error);
    }
    match io_error(operation.as_ref(), error) {
        HostError::Other(text) => HostError::InvalidTar(text),
        other => other,
    }
}

/// Gives a directory another one's owner, mode and times.
pub(crate) fn copy_metadata(from: &RawStat, to: &impl AsFd) -> io::Result<()> {
    fchown(to, Some(Uid::from_raw(from.st_uid)), Some(Gid::from_raw(from.st_gid)))?;
    fchmod(to, Mode::from_bits_truncate(from.st_mode & 0o7777))?;
    let modified = TimeSpec::new(from.st_mtime, from.st_mtime_nsec);
    Ok(nix::sys::stat::futimens(to, &modified, &modified)?)
}
