//! One file system: a read-only lower map and the changes on top of it.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use bytes::Bytes;

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    File(Bytes),
    Directory,
    Symlink(String),
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

/// A file, directory, link or device with its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub content: Content,
    /// Permission bits (0o7777).
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Unix seconds.
    pub mtime: i64,
}

impl Entry {
    pub(crate) fn directory(mtime: i64) -> Self {
        Self { content: Content::Directory, mode: 0o755, uid: 0, gid: 0, mtime }
    }
    pub(crate) fn file(bytes: impl Into<Bytes>, mode: u32, mtime: i64) -> Self {
        Self { content: Content::File(bytes.into()), mode, uid: 0, gid: 0, mtime }
    }
    pub(crate) fn symlink(target: &str, mtime: i64) -> Self {
        Self { content: Content::Symlink(target.to_owned()), mode: 0o777, uid: 0, gid: 0, mtime }
    }
    pub(crate) fn is_directory(&self) -> bool {
        self.content == Content::Directory
    }
    /// Bytes of a regular file; 0 for everything else.
    pub(crate) fn size(&self) -> u64 {
        if let Content::File(bytes) = &self.content { bytes.len() as u64 } else { 0 }
    }
}

/// Paths without leading slash; the root itself is "" and always there.
pub(crate) type Map = BTreeMap<String, Entry>;

/// The keys of everything beneath a directory.
pub(crate) fn beneath(path: &str) -> (Bound<String>, Bound<String>) {
    if path.is_empty() {
        return (Bound::Excluded(String::new()), Bound::Unbounded);
    }
    // '0' follows '/' in ASCII.
    (Bound::Included(format!("{path}/")), Bound::Excluded(format!("{path}0")))
}

pub(crate) fn parent(path: &str) -> Option<&str> {
    if path.is_empty() { None } else { Some(path.rsplit_once('/').map_or("", |(parent, _)| parent)) }
}

/// A union of a shared lower map and an upper map in which `None` is a whiteout. Every deleted path of the lower map has
/// its own whiteout, so a lookup never has to ask for ancestors.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    pub(crate) lower: Arc<Map>,
    pub(crate) upper: BTreeMap<String, Option<Entry>>,
}

impl Tree {
    pub(crate) fn over(lower: Arc<Map>) -> Self {
        Self { lower, upper: BTreeMap::new() }
    }
    pub(crate) fn get(&self, path: &str) -> Option<&Entry> {
        match self.upper.get(path) {
            Some(changed) => changed.as_ref(),
            None => self.lower.get(path),
        }
    }
    pub(crate) fn put(&mut self, path: &str, entry: Entry) {
        self.upper.insert(path.to_owned(), Some(entry));
    }
    /// Puts an entry and the directories that lead to it.
    pub(crate) fn put_with_parents(&mut self, path: &str, entry: Entry) {
        let mut missing = Vec::new();
        let mut at = path;
        while let Some(above) = parent(at) {
            if above.is_empty() || self.get(above).is_some() {
                break;
            }
            missing.push(above.to_owned());
            at = above;
        }
        for directory in missing {
            self.put(&directory, Entry::directory(entry.mtime));
        }
        if !entry.is_directory() || self.get(path).is_some_and(|old| !old.is_directory()) {
            self.remove(path);
        }
        self.put(path, entry);
    }
    /// Removes a path and everything beneath it.
    pub(crate) fn remove(&mut self, path: &str) {
        let mut gone = self.beneath_paths(path);
        gone.push(path.to_owned());
        for path in gone {
            if self.lower.contains_key(&path) {
                self.upper.insert(path, None);
            } else {
                self.upper.remove(&path);
            }
        }
    }
    /// Every path beneath a directory, sorted.
    pub(crate) fn beneath_paths(&self, path: &str) -> Vec<String> {
        let range = beneath(path);
        let mut paths: Vec<String> = self
            .lower
            .range(range.clone())
            .map(|(path, _)| path)
            .filter(|path| !self.upper.contains_key(*path))
            .chain(self.upper.range(range).filter(|(_, entry)| entry.is_some()).map(|(path, _)| path))
            .cloned()
            .collect();
        paths.sort();
        paths
    }
    /// Names in a directory, sorted.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let skip = if path.is_empty() { 0 } else { path.len() + 1 };
        self.beneath_paths(path)
            .into_iter()
            .filter(|child| !child[skip..].contains('/'))
            .map(|child| child[skip..].to_owned())
            .collect()
    }
    /// Bytes in the upper map.
    pub(crate) fn changed_bytes(&self) -> u64 {
        self.upper.values().flatten().map(Entry::size).sum()
    }
    pub(crate) fn total_bytes(&self) -> u64 {
        self.beneath_paths("").iter().filter_map(|path| self.get(path)).map(Entry::size).sum()
    }
}
