//! A layer in memory: a file system tree that becomes the same tar each time.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use anyhow::{Context as _, Result};
use tar::{Archive, Builder, EntryType, Header};

/// Directories that today's Debian keeps beneath /usr; packages still name some by their old place.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// What nobody reads in a container. Copyright notices stay: they must travel with the programs.
const LEFT_OUT: [&str; 7] = [
    "usr/share/man/",
    "usr/share/locale/",
    "usr/share/info/",
    "usr/share/lintian/",
    "usr/share/bash-completion/",
    "usr/share/doc-base/",
    "usr/share/i18n/",
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Directory,
    File(Vec<u8>),
    Symlink(String),
    Hardlink(String),
}

#[derive(Debug, Clone)]
struct Node {
    content: Content,
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: u64,
}

/// Paths without a leading slash, in order: a directory comes before what it holds.
#[derive(Debug, Default)]
pub(super) struct Layer {
    nodes: BTreeMap<String, Node>,
    /// A date that the layer has whatever it holds, in seconds since 1970.
    date: u64,
}

impl Layer {
    /// Adds a package's files.
    pub(super) fn add_tar(&mut self, tar: impl Read) -> Result<()> {
        for entry in Archive::new(tar).entries()? {
            let mut entry = entry?;
            let path = merged(&entry.path()?.to_string_lossy());
            if path.is_empty() || is_left_out(&path) {
                continue;
            }
            let header = entry.header();
            let mut node = Node {
                content: Content::Directory,
                mode: header.mode()? & 0o7777,
                uid: header.uid()?,
                gid: header.gid()?,
                mtime: header.mtime()?,
            };
            let link = entry.link_name()?.map(|link| link.to_string_lossy().into_owned()).unwrap_or_default();
            node.content = match entry.header().entry_type() {
                EntryType::Directory => Content::Directory,
                EntryType::Symlink => Content::Symlink(link),
                EntryType::Link => Content::Hardlink(merged(&link)),
                EntryType::Regular => {
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes)?;
                    Content::File(bytes)
                }
                // Device files: a container gets its own /dev.
                _ => continue,
            };
            if MERGED.contains(&path.as_str()) {
                continue;
            }
            self.nodes.insert(path, node);
        }
        Ok(())
    }

    /// Adds a directory of this machine, owned by root.
    pub(super) fn add_directory(&mut self, from: &Path, at: &str) -> Result<()> {
        let mtime = self.newest();
        for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
            let entry = entry?;
            let path = format!("{at}/{}", entry.file_name().to_string_lossy());
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                self.insert(&path, Content::Directory, 0o755, mtime);
                self.add_directory(&entry.path(), &path)?;
            } else if metadata.is_file() {
                let mode = if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
                let bytes = fs::read(entry.path()).with_context(|| format!("reading {}", entry.path().display()))?;
                self.insert(&path, Content::File(bytes), mode, mtime);
            }
        }
        Ok(())
    }

    pub(super) fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) {
        self.insert(path, Content::File(bytes.into()), mode, self.newest());
    }

    pub(super) fn symlink(&mut self, path: &str, target: &str) {
        self.insert(path, Content::Symlink(target.to_owned()), 0o777, self.newest());
    }

    pub(super) fn directory(&mut self, path: &str, mode: u32) {
        self.insert(path, Content::Directory, mode, self.newest());
    }

    fn insert(&mut self, path: &str, content: Content, mode: u32, mtime: u64) {
        self.nodes.insert(merged(path), Node { content, mode, uid: 0, gid: 0, mtime });
    }

    pub(super) fn remove(&mut self, path: &str) {
        self.nodes.remove(path);
    }

    pub(super) fn contains(&self, path: &str) -> bool {
        self.nodes.contains_key(path)
    }

    /// A file's bytes.
    pub(super) fn read(&self, path: &str) -> Option<&[u8]> {
        match self.nodes.get(path).map(|node| &node.content) {
            Some(Content::File(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// Paths of files that begin so, in order.
    pub(super) fn files_below<'a>(&'a self, start: &'a str) -> impl Iterator<Item = &'a str> {
        self.nodes
            .iter()
            .filter(move |(path, node)| path.starts_with(start) && matches!(node.content, Content::File(_)))
            .map(|(path, _)| path.as_str())
    }

    /// Gives the layer a date before it holds anything.
    pub(super) fn date(&mut self, seconds: u64) {
        self.date = seconds;
    }

    /// The newest change among its files, in seconds since 1970: a layer's honest and repeatable date.
    pub(super) fn newest(&self) -> u64 {
        self.nodes.values().map(|node| node.mtime).max().unwrap_or_default().max(self.date)
    }

    /// The links that make /bin, /sbin, /lib and /lib64 the directories beneath /usr.
    pub(super) fn add_merged_directories(&mut self) {
        for name in MERGED {
            let real = format!("usr/{name}");
            if !self.contains(&real) {
                self.directory(&real, 0o755);
            }
            let mtime = self.newest();
            let node = Node { content: Content::Symlink(real), mode: 0o777, uid: 0, gid: 0, mtime };
            self.nodes.insert(name.to_owned(), node);
        }
    }

    /// Writes the tar. Hard links come last, after the files that they name.
    pub(super) fn write(&self, output: impl Write) -> Result<()> {
        let mut builder = Builder::new(output);
        let is_link = |node: &Node| matches!(node.content, Content::Hardlink(_));
        for wanted in [false, true] {
            for (path, node) in self.nodes.iter().filter(|(_, node)| is_link(node) == wanted) {
                append(&mut builder, path, node).with_context(|| format!("writing {path}"))?;
            }
        }
        builder.finish()?;
        Ok(())
    }
}

fn append<W: Write>(builder: &mut Builder<W>, path: &str, node: &Node) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(node.mode);
    header.set_uid(node.uid);
    header.set_gid(node.gid);
    header.set_mtime(node.mtime);
    header.set_size(0);
    match &node.content {
        Content::Directory => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, format!("{path}/"), std::io::empty())?;
        }
        Content::File(bytes) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, bytes.as_slice())?;
        }
        Content::Symlink(target) => {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, path, target)?;
        }
        Content::Hardlink(target) => {
            header.set_entry_type(EntryType::Link);
            builder.append_link(&mut header, path, target)?;
        }
    }
    Ok(())
}

fn is_left_out(path: &str) -> bool {
    let with_slash = format!("{path}/");
    LEFT_OUT.iter().any(|start| with_slash.starts_with(start))
        || (path.strip_prefix("usr/share/doc/").is_some_and(|rest| rest.contains('/')) && !path.ends_with("/copyright"))
}

/// A package's path in the tree where everything lives beneath /usr.
fn merged(path: &str) -> String {
    let path = path.trim_start_matches("./").trim_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    if MERGED.contains(&first) && path != first { format!("usr/{path}") } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_name_the_old_places_land_beneath_usr() {
        assert_eq!(merged("./bin/bash"), "usr/bin/bash");
        assert_eq!(merged("./usr/bin/env"), "usr/bin/env");
        assert_eq!(merged("./"), "");
    }

    #[test]
    fn manuals_go_and_copyright_stays() {
        assert!(is_left_out("usr/share/man"));
        assert!(is_left_out("usr/share/doc/bash/README"));
        assert!(!is_left_out("usr/share/doc/bash/copyright"));
        assert!(!is_left_out("usr/share/doc/bash"));
    }

    #[test]
    fn one_tree_gives_one_tar_whatever_the_order() {
        let tar = |paths: [&str; 2]| {
            let mut layer = Layer::default();
            for path in paths {
                layer.file(path, 0o644, path.as_bytes());
            }
            let mut bytes = Vec::new();
            layer.write(&mut bytes).expect("writing to memory");
            bytes
        };
        assert_eq!(tar(["a", "b"]), tar(["b", "a"]));
    }

    #[test]
    fn a_tar_can_be_added_again() {
        let mut layer = Layer::default();
        layer.file("etc/motd", 0o644, *b"hello");
        layer.symlink("etc/link", "motd");
        let mut bytes = Vec::new();
        layer.write(&mut bytes).expect("writing to memory");
        let mut again = Layer::default();
        again.add_tar(bytes.as_slice()).expect("reading back");
        assert_eq!(again.read("etc/motd"), Some(b"hello".as_slice()));
        assert!(again.contains("etc/link"));
    }
}
