//! Tar in and out. What is written is deterministic: the same entries give the same bytes, and so the same digest.

use std::io::Read;

use bytes::Bytes;
use docklab_host::{Compression, HostError, HostResult};

use super::tree::{Content, Entry};

/// One entry of a layer tar.
#[derive(Debug)]
pub(crate) enum Item {
    Entry(Entry),
    HardLink(String),
    /// `.wh.name`
    Whiteout,
    /// `.wh..wh..opq`: hides what lower layers have in this directory.
    Opaque,
}

fn invalid(cause: impl std::fmt::Display) -> HostError {
    HostError::InvalidTar(cause.to_string())
}

/// A path inside the root, without leading slash; one that would leave it is an error.
fn inside(path: &str) -> HostResult<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(HostError::InvalidTar(format!("{path} leaves the root"))),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// Reads a tar into paths and items, in its order.
pub(crate) fn read(tar: &[u8]) -> HostResult<Vec<(String, Item)>> {
    let mut archive = tar::Archive::new(tar);
    let mut items = Vec::new();
    for entry in archive.entries().map_err(invalid)? {
        let mut entry = entry.map_err(invalid)?;
        let path = inside(&String::from_utf8_lossy(&entry.path_bytes()))?;
        let header = entry.header();
        let kind = header.entry_type();
        let mode = header.mode().map_err(invalid)? & 0o7777;
        let uid = header.uid().map_err(invalid)? as u32;
        let gid = header.gid().map_err(invalid)? as u32;
        let mtime = header.mtime().map_err(invalid)? as i64;
        let device = (header.device_major().ok().flatten(), header.device_minor().ok().flatten());
        let device = (device.0.unwrap_or(0), device.1.unwrap_or(0));
        let link = entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
        let name = path.rsplit('/').next().unwrap_or_default();
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        if name == ".wh..wh..opq" {
            items.push((above.to_owned(), Item::Opaque));
            continue;
        }
        if let Some(hidden) = name.strip_prefix(".wh.") {
            let hidden = if above.is_empty() { hidden.to_owned() } else { format!("{above}/{hidden}") };
            items.push((hidden, Item::Whiteout));
            continue;
        }
        let content = match kind {
            tar::EntryType::Directory => Content::Directory,
            tar::EntryType::Symlink => Content::Symlink(link.unwrap_or_default()),
            tar::EntryType::Link => {
                items.push((path, Item::HardLink(inside(&link.unwrap_or_default())?)));
                continue;
            }
            tar::EntryType::Char => Content::CharDevice(device.0, device.1),
            tar::EntryType::Block => Content::BlockDevice(device.0, device.1),
            tar::EntryType::Fifo => Content::Fifo,
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).map_err(invalid)?;
                Content::File(bytes.into())
            }
            _ => continue,
        };
        items.push((path, Item::Entry(Entry { content, mode, uid, gid, mtime })));
    }
    Ok(items)
}

/// Writes entries (`None` is a whiteout) in the order given. Names are written as given, directories with a slash.
pub(crate) fn write<'a>(entries: impl IntoIterator<Item = (String, Option<&'a Entry>)>) -> HostResult<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let failed = |cause: std::io::Error| HostError::other("write tar", cause);
    for (path, entry) in entries {
        let mut header = tar::Header::new_gnu();
        let Some(entry) = entry else {
            let (above, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let path = if above.is_empty() { format!(".wh.{name}") } else { format!("{above}/.wh.{name}") };
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(0);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(0);
            builder.append_data(&mut header, path, std::io::empty()).map_err(failed)?;
            continue;
        };
        header.set_mode(entry.mode);
        header.set_uid(u64::from(entry.uid));
        header.set_gid(u64::from(entry.gid));
        header.set_mtime(entry.mtime.max(0) as u64);
        header.set_size(entry.size());
        match &entry.content {
            Content::File(bytes) => {
                header.set_entry_type(tar::EntryType::Regular);
                builder.append_data(&mut header, path, bytes.as_ref()).map_err(failed)?;
            }
            Content::Directory => {
                header.set_entry_type(tar::EntryType::Directory);
                builder.append_data(&mut header, format!("{path}/"), std::io::empty()).map_err(failed)?;
            }
            Content::Symlink(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                builder.append_link(&mut header, path, target).map_err(failed)?;
            }
            Content::CharDevice(major, minor) | Content::BlockDevice(major, minor) => {
                let block = matches!(entry.content, Content::BlockDevice(..));
                header.set_entry_type(if block { tar::EntryType::Block } else { tar::EntryType::Char });
                header.set_device_major(*major).map_err(failed)?;
                header.set_device_minor(*minor).map_err(failed)?;
                builder.append_data(&mut header, path, std::io::empty()).map_err(failed)?;
            }
            Content::Fifo => {
                header.set_entry_type(tar::EntryType::Fifo);
                builder.append_data(&mut header, path, std::io::empty()).map_err(failed)?;
            }
        }
    }
    builder.into_inner().map_err(failed)
}

pub(crate) fn gzip(bytes: &[u8]) -> HostResult<Vec<u8>> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).map_err(|cause| HostError::other("gzip", cause))
}

pub(crate) fn decompressed(compression: Compression, bytes: &[u8]) -> HostResult<Bytes> {
    let mut plain = Vec::new();
    compression
        .decoder(bytes)
        .read_to_end(&mut plain)
        .map_err(|cause| HostError::InvalidTar(format!("{compression:?}: {cause}")))?;
    Ok(plain.into())
}

/// `sha256:` and 64 hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    use sha2::Digest;
    format!("sha256:{}", hex::encode(sha2::Sha256::digest(bytes)))
}
