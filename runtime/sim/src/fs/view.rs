//! A file system as a process sees it: a root, mounts over it, links resolved inside.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use thiserror::Error;

use super::tree::{Content, Entry, Tree, parent};
use crate::world::{Clock, lock};

pub(crate) type SharedTree = Arc<Mutex<Tree>>;

/// What the kernel says when a file operation fails, in its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FileError {
    #[error("No such file or directory")]
    NotFound,
    #[error("Not a directory")]
    NotADirectory,
    #[error("Is a directory")]
    IsADirectory,
    #[error("File exists")]
    Exists,
    #[error("Directory not empty")]
    NotEmpty,
    #[error("Read-only file system")]
    ReadOnly,
    #[error("Too many levels of symbolic links")]
    TooManyLinks,
    #[error("Permission denied")]
    Denied,
    #[error("Device or resource busy")]
    Busy,
    #[error("Invalid argument")]
    Invalid,
}

/// A tree, or a part of one, shown at a path.
#[derive(Clone)]
pub(crate) struct Mount {
    /// Absolute, without a slash at its end.
    pub(crate) target: String,
    pub(crate) tree: SharedTree,
    /// What of the tree is shown; "" is all of it.
    pub(crate) prefix: String,
    pub(crate) read_only: bool,
    /// As `mount` and `df` name it.
    pub(crate) kind: &'static str,
}

/// A root with mounts over it.
#[derive(Clone)]
pub struct View {
    root: SharedTree,
    mounts: Arc<Vec<Mount>>,
    read_only: bool,
    clock: Arc<Clock>,
}

struct Place {
    /// Absolute, every link resolved.
    path: String,
    tree: SharedTree,
    inner: String,
    read_only: bool,
    entry: Option<Entry>,
}

/// `path` seen from `directory`: absolute, `.` and `..` worked off as text.
pub(crate) fn join(directory: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let start = if path.starts_with('/') { "" } else { directory };
    for part in start.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

impl View {
    pub(crate) fn new(root: SharedTree, mut mounts: Vec<Mount>, read_only: bool, clock: Arc<Clock>) -> Self {
        mounts.sort_by_key(|mount| std::cmp::Reverse(mount.target.len()));
        Self { root, mounts: Arc::new(mounts), read_only, clock }
    }
    pub(crate) fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    fn raw(&self, path: &str) -> (SharedTree, String, bool) {
        for mount in self.mounts.iter() {
            if let Some(rest) = path.strip_prefix(mount.target.as_str())
                && (rest.is_empty() || rest.starts_with('/'))
            {
                let rest = rest.trim_start_matches('/');
                let inner = match (mount.prefix.is_empty(), rest.is_empty()) {
                    (true, _) => rest.to_owned(),
                    (false, true) => mount.prefix.clone(),
                    (false, false) => format!("{}/{rest}", mount.prefix),
                };
                return (mount.tree.clone(), inner, mount.read_only);
            }
        }
        (self.root.clone(), path.trim_start_matches('/').to_owned(), self.read_only)
    }
    fn raw_entry(&self, path: &str) -> Option<Entry> {
        let (tree, inner, _) = self.raw(path);
        if inner.is_empty() {
            let root = lock(&tree).get("").cloned();
            return Some(root.unwrap_or_else(|| Entry::directory(self.clock.seconds())));
        }
        let entry = lock(&tree).get(&inner).cloned();
        // A mount point that the root does not have is a directory of its own.
        entry.or_else(|| {
            let point = format!("{path}/");
            self.mounts
                .iter()
                .any(|mount| mount.target.starts_with(&point))
                .then(|| Entry::directory(self.clock.seconds()))
        })
    }

    /// Resolves links in every directory of `path`, and in its last component when `follow`. Only the last component may
    /// be missing.
    fn place(&self, path: &str, follow: bool) -> Result<Place, FileError> {
        let must_be_directory = path.ends_with('/') && path.len() > 1;
        let mut pending: Vec<String> =
            path.split('/').rev().filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let mut at = String::new();
        let mut links = 0;
        let mut entry = self.raw_entry("/");
        while let Some(part) = pending.pop() {
            if part == "." {
                continue;
            }
            match &entry {
                None => return Err(FileError::NotFound),
                Some(entry) if !entry.is_directory() => return Err(FileError::NotADirectory),
                Some(_) => {}
            }
            if part == ".." {
                at.truncate(at.rfind('/').unwrap_or(0));
                entry = self.raw_entry(if at.is_empty() { "/" } else { &at });
                continue;
            }
            let next = format!("{at}/{part}");
            let found = self.raw_entry(&next);
            if let Some(Entry { content: Content::Symlink(target), .. }) = &found
                && (follow || must_be_directory || !pending.is_empty())
            {
                links += 1;
                if links > 40 {
                    return Err(FileError::TooManyLinks);
                }
                if target.starts_with('/') {
                    at.clear();
                }
                entry = self.raw_entry(if at.is_empty() { "/" } else { &at });
                pending.extend(target.split('/').rev().filter(|part| !part.is_empty()).map(str::to_owned));
                continue;
            }
            at = next;
            entry = found;
        }
        if must_be_directory && entry.as_ref().is_some_and(|entry| !entry.is_directory()) {
            return Err(FileError::NotADirectory);
        }
        let (tree, inner, read_only) = self.raw(&at);
        Ok(Place { path: if at.is_empty() { "/".to_owned() } else { at }, tree, inner, read_only, entry })
    }
    fn writable(place: &Place) -> Result<(), FileError> {
        if place.read_only { Err(FileError::ReadOnly) } else { Ok(()) }
    }
    fn touch_parent(&self, place: &Place) {
        let now = self.clock.seconds();
        let mut tree = lock(&place.tree);
        if let Some(above) = parent(&place.inner).filter(|above| !above.is_empty())
            && let Some(mut entry) = tree.get(above).cloned()
        {
            entry.mtime = now;
            tree.put(above, entry);
        }
    }
    fn insert(&self, place: &Place, entry: Entry) {
        let is_new = place.entry.is_none();
        lock(&place.tree).put(&place.inner, entry);
        if is_new {
            self.touch_parent(place);
        }
    }

    /// The real path, every link resolved; what it names must exist.
    pub fn canonical(&self, path: &str) -> Result<String, FileError> {
        let place = self.place(path, true)?;
        if place.entry.is_some() { Ok(place.path) } else { Err(FileError::NotFound) }
    }
    /// The path with directory links resolved and its entry, the last component's link not followed.
    pub(crate) fn lstat(&self, path: &str) -> Result<(String, Entry), FileError> {
        let place = self.place(path, false)?;
        place.entry.map(|entry| (place.path, entry)).ok_or(FileError::NotFound)
    }
    pub fn stat(&self, path: &str) -> Result<Entry, FileError> {
        self.place(path, true)?.entry.ok_or(FileError::NotFound)
    }
    pub fn exists(&self, path: &str) -> bool {
        self.stat(path).is_ok()
    }
    pub fn is_directory(&self, path: &str) -> bool {
        self.stat(path).is_ok_and(|entry| entry.is_directory())
    }
    pub fn read(&self, path: &str) -> Result<Bytes, FileError> {
        match self.stat(path)?.content {
            Content::File(bytes) => Ok(bytes),
            Content::Directory => Err(FileError::IsADirectory),
            _ => Ok(Bytes::new()),
        }
    }
    pub fn read_text(&self, path: &str) -> Result<String, FileError> {
        Ok(String::from_utf8_lossy(&self.read(path)?).into_owned())
    }
    /// Names in a directory, sorted, mount points included.
    pub fn list(&self, path: &str) -> Result<Vec<String>, FileError> {
        let place = self.place(path, true)?;
        let entry = place.entry.ok_or(FileError::NotFound)?;
        if !entry.is_directory() {
            return Err(FileError::NotADirectory);
        }
        let mut names = lock(&place.tree).names(&place.inner);
        let prefix = if place.path == "/" { "/".to_owned() } else { format!("{}/", place.path) };
        for mount in self.mounts.iter() {
            if let Some(rest) = mount.target.strip_prefix(&prefix)
                && let Some(name) = rest.split('/').next().filter(|name| !name.is_empty())
                && !names.iter().any(|other| other == name)
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }
    /// Writes a file whole, or appends to it; keeps the mode of one that is there.
    pub fn write(&self, path: &str, bytes: &[u8], append: bool) -> Result<(), FileError> {
        let place = self.place(path, true)?;
        let now = self.clock.seconds();
        let entry = match &place.entry {
            Some(Entry { content: Content::CharDevice(..), .. }) => return Ok(()),
            Some(entry) => match &entry.content {
                Content::File(old) => {
                    let content = if append { [old, bytes].concat() } else { bytes.to_vec() };
                    Entry { content: Content::File(content.into()), mtime: now, ..entry.clone() }
                }
                Content::Directory => return Err(FileError::IsADirectory),
                _ => return Err(FileError::Invalid),
            },
            None => Entry::file(bytes.to_vec(), 0o644, now),
        };
        Self::writable(&place)?;
        self.insert(&place, entry);
        Ok(())
    }
    /// Puts an entry as it is, replacing what is there; the parent must exist.
    pub(crate) fn put(&self, path: &str, entry: Entry) -> Result<(), FileError> {
        let place = self.place(path, false)?;
        Self::writable(&place)?;
        if let Some(old) = &place.entry
            && (old.is_directory() != entry.is_directory())
        {
            lock(&place.tree).remove(&place.inner);
        }
        self.insert(&place, entry);
        Ok(())
    }
    pub fn make_directory(&self, path: &str) -> Result<(), FileError> {
        let place = self.place(path, false)?;
        if place.entry.is_some() {
            return Err(FileError::Exists);
        }
        Self::writable(&place)?;
        self.insert(&place, Entry::directory(self.clock.seconds()));
        Ok(())
    }
    pub fn make_directories(&self, path: &str) -> Result<(), FileError> {
        let path = join("/", path);
        let mut at = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            at = format!("{at}/{part}");
            match self.stat(&at) {
                Ok(entry) if entry.is_directory() => {}
                Ok(_) => return Err(FileError::NotADirectory),
                Err(FileError::NotFound) => self.make_directory(&at)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
    pub fn symlink(&self, target: &str, path: &str) -> Result<(), FileError> {
        let place = self.place(path, false)?;
        if place.entry.is_some() {
            return Err(FileError::Exists);
        }
        Self::writable(&place)?;
        self.insert(&place, Entry::symlink(target, self.clock.seconds()));
        Ok(())
    }
    /// Removes a file, link or empty directory; with `recursive` a directory with all that is in it.
    pub fn remove(&self, path: &str, recursive: bool) -> Result<(), FileError> {
        let place = self.place(path, false)?;
        let entry = place.entry.as_ref().ok_or(FileError::NotFound)?;
        Self::writable(&place)?;
        if place.path == "/" || self.mounts.iter().any(|mount| mount.target == place.path) {
            return Err(FileError::Busy);
        }
        if entry.is_directory() && !recursive && !lock(&place.tree).names(&place.inner).is_empty() {
            return Err(FileError::NotEmpty);
        }
        lock(&place.tree).remove(&place.inner);
        self.touch_parent(&place);
        Ok(())
    }
    /// Copies a file or tree; `to` is the new path itself.
    pub fn copy(&self, from: &str, to: &str, keep_times: bool) -> Result<(), FileError> {
        let (from, mut entry) = self.lstat(from)?;
        if !keep_times {
            entry.mtime = self.clock.seconds();
        }
        let is_directory = entry.is_directory();
        if !(is_directory && self.is_directory(to)) {
            self.put(to, entry)?;
        }
        if is_directory {
            for name in self.list(&from)? {
                self.copy(&format!("{from}/{name}"), &format!("{to}/{name}"), keep_times)?;
            }
        }
        Ok(())
    }
    pub fn rename(&self, from: &str, to: &str) -> Result<(), FileError> {
        let inside = format!("{}/", from.trim_end_matches('/'));
        if to.starts_with(&inside) {
            return Err(FileError::Invalid);
        }
        self.copy(from, to, true)?;
        self.remove(from, true)
    }
    pub(crate) fn change(&self, path: &str, change: impl FnOnce(&mut Entry)) -> Result<(), FileError> {
        let place = self.place(path, true)?;
        let mut entry = place.entry.clone().ok_or(FileError::NotFound)?;
        Self::writable(&place)?;
        change(&mut entry);
        lock(&place.tree).put(&place.inner, entry);
        Ok(())
    }
    /// Where a bind mount of `path` points to.
    pub(crate) fn origin(&self, path: &str) -> Result<(SharedTree, String, bool), FileError> {
        let place = self.place(path, true)?;
        if place.entry.is_none() {
            return Err(FileError::NotFound);
        }
        Ok((place.tree, place.inner, place.read_only))
    }
}
