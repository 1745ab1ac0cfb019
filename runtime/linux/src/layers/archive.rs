//! Tars of files in the merged view.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    io::{self, Read, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use docklab_host::{Change, ChangeKind, HostError, HostResult};
use nix::{
    libc,
    sys::stat::{major, minor},
};
use tar::{EntryType, Header};

use super::{
    stack::{Node, Stack, display},
    streams::io_error,
};

/// Writes nodes as entries; the second name of a file is a hard link to the first.
struct Writer<'a, W: Write> {
    stack: &'a Stack,
    builder: tar::Builder<W>,
    /// First names, by layer, device and inode.
    links: HashMap<(usize, u64, u64), PathBuf>,
}

impl<W: Write> Writer<'_, W> {
    fn node(&mut self, node: &Node, name: &Path) -> HostResult<()> {
        let failed = |error| io_error(format!("archive {}", display(&node.path)), error);
        let mut header = self.header(node);
        let kind = match node.format() {
            libc::S_IFREG => EntryType::Regular,
            libc::S_IFDIR => EntryType::Directory,
            libc::S_IFLNK => EntryType::Symlink,
            libc::S_IFCHR => EntryType::Char,
            libc::S_IFBLK => EntryType::Block,
            libc::S_IFIFO => EntryType::Fifo,
            // Sockets have no place in a tar; tar and Docker leave them out too.
            _ => return Ok(()),
        };
        header.set_entry_type(kind);
        if kind != EntryType::Directory && node.stat.st_nlink > 1 {
            let layer = node.layers.first().copied().unwrap_or(0);
            let identity = (layer, node.stat.st_dev, node.stat.st_ino);
            if let Some(first) = self.links.get(&identity) {
                header.set_entry_type(EntryType::Link);
                return self.builder.append_link(&mut header, name, first.clone()).map_err(failed);
            }
            self.links.insert(identity, name.to_path_buf());
        }
        self.attributes(node)?;
        match kind {
            EntryType::Symlink => {
                let target = self.stack.read_link(node)?;
                self.builder.append_link(&mut header, name, Path::new(&target)).map_err(failed)
            }
            EntryType::Regular => {
                let size = node.stat.st_size.unsigned_abs();
                header.set_size(size);
                // A file that shrinks while it is read must not break the archive.
                let file = self.stack.open_file(node)?.take(size).chain(io::repeat(0)).take(size);
                self.builder.append_data(&mut header, name, file).map_err(failed)
            }
            EntryType::Directory => {
                let mut name = name.as_os_str().to_os_string();
                name.push("/");
                self.builder.append_data(&mut header, Path::new(&name), io::empty()).map_err(failed)
            }
            _ => {
                if kind != EntryType::Fifo {
                    let device = node.stat.st_rdev;
                    let number = |value: u64| u32::try_from(value).map_err(io::Error::other);
                    number(major(device))
                        .and_then(|major| header.set_device_major(major))
                        .and_then(|()| number(minor(device)).and_then(|minor| header.set_device_minor(minor)))
                        .map_err(failed)?;
                }
                self.builder.append_data(&mut header, name, io::empty()).map_err(failed)
            }
        }
    }

    fn header(&self, node: &Node) -> Header {
        let mut header = Header::new_gnu();
        header.set_mode(node.stat.st_mode & 0o7777);
        header.set_uid(node.stat.st_uid.into());
        header.set_gid(node.stat.st_gid.into());
        // Whole seconds, as Docker has them.
        header.set_mtime(u64::try_from(node.stat.st_mtime).unwrap_or(0));
        header.set_size(0);
        header
    }

    fn attributes(&mut self, node: &Node) -> HostResult<()> {
        let attributes = self.stack.attributes(node)?;
        let named: Vec<(String, &[u8])> = attributes
            .iter()
            .filter_map(|(name, value)| Some((format!("SCHILY.xattr.{}", name.to_str()?), value.as_slice())))
            .collect();
        if named.is_empty() {
            return Ok(());
        }
        self.builder
            .append_pax_extensions(named.iter().map(|(name, value)| (name.as_str(), *value)))
            .map_err(|error| io_error(format!("archive attributes of {}", display(&node.path)), error))
    }

    /// A node and all beneath it.
    fn tree(&mut self, node: &Node, name: &Path) -> HostResult<()> {
        let mut waiting = vec![(node.clone(), name.to_path_buf())];
        while let Some((node, name)) = waiting.pop() {
            self.node(&node, &name)?;
            if node.is_directory() {
                for child in self.stack.children(&node)?.into_iter().rev() {
                    let child_name = name.join(child.path.file_name().unwrap_or_default());
                    waiting.push((child, child_name));
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> HostResult<()> {
        self.builder.finish().map_err(|error| io_error("finish archive", error))
    }
}

fn writer<'a, W: Write>(stack: &'a Stack, output: W) -> Writer<'a, W> {
    Writer { stack, builder: tar::Builder::new(output), links: HashMap::new() }
}

/// A tar of the file or tree at `path`, whose entries begin with the path's last component; those of the root with `top`.
pub(crate) fn archive(stack: &Stack, path: &Path, top: &str, output: impl Write) -> HostResult<()> {
    let text = path.as_os_str().as_bytes();
    // `/directory/.` means what is in it.
    let inside = text.ends_with(b"/.");
    let node = stack.lookup(path, inside)?.ok_or_else(|| HostError::NoSuchFile(path.display().to_string()))?;
    let name: OsString = match path.file_name() {
        Some(name) if !inside => name.to_os_string(),
        None if !inside => OsStr::new(top).to_os_string(),
        _ => OsStr::new(".").to_os_string(),
    };
    let mut writer = writer(stack, output);
    writer.tree(&node, Path::new(&name))?;
    writer.finish()
}

/// A layer of the changes between a stack and what lies beneath its top: the same changes always give the same bytes.
pub(crate) fn layer_of_changes(stack: &Stack, changes: &[Change], output: impl Write) -> HostResult<()> {
    let mut writer = writer(stack, output);
    for change in changes {
        let path = Path::new(change.path.trim_start_matches('/'));
        if change.kind == ChangeKind::Deleted {
            let mut name = OsString::from(".wh.");
            name.push(path.file_name().unwrap_or_default());
            let mut header = Header::new_gnu();
            header.set_size(0);
            header.set_mode(0);
            header.set_mtime(0);
            writer
                .builder
                .append_data(&mut header, path.with_file_name(name), io::empty())
                .map_err(|error| io_error(format!("archive {}", change.path), error))?;
        } else if let Some(node) = stack.lookup(path, false)? {
            writer.node(&node, path)?;
        }
    }
    writer.finish()
}
