//! A layer as a list of files, and its tar as a stream.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use docklab_api::{ApiError, ApiResult};
use docklab_host::{ByteStream, FileKind, Host, HostError, HostResult};
use futures::{StreamExt, stream};

use super::source::Entry;
use crate::image::{BlobUse, Cursor, padded};

/// Bytes that are handed on together.
const PIECE: usize = 256 << 10;
/// A gap in a blob that is read over instead of opening the blob again.
const GAP: u64 = 1 << 20;

/// Where a file's bytes come from.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    None,
    Bytes(Bytes),
    Blob(Arc<BlobUse>),
}

/// A file of the layer: its path without a leading slash, what it is, its content.
#[derive(Debug, Clone)]
pub(crate) struct LayerFile {
    pub(crate) path: String,
    pub(crate) entry: Entry,
    pub(crate) content: Content,
}

fn header(file: &LayerFile) -> ApiResult<Vec<u8>> {
    let failed =
        |error: std::io::Error| ApiError::invalid(format!("failed to write /{} into a layer: {error}", file.path));
    let entry = &file.entry;
    let mut builder = tar::Builder::new(Vec::new());
    if !entry.xattrs.is_empty() {
        let keys: Vec<String> = entry.xattrs.iter().map(|(key, _)| format!("SCHILY.xattr.{key}")).collect();
        let pairs = keys.iter().zip(&entry.xattrs).map(|(key, (_, value))| (key.as_str(), value.as_slice()));
        builder.append_pax_extensions(pairs).map_err(failed)?;
    }
    let mut header = tar::Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(entry.uid);
    header.set_gid(entry.gid);
    header.set_mtime(entry.mtime);
    header.set_size(if entry.kind == FileKind::Regular { entry.size } else { 0 });
    header.set_entry_type(match entry.kind {
        FileKind::Regular | FileKind::Socket => tar::EntryType::Regular,
        FileKind::Directory => tar::EntryType::Directory,
        FileKind::Symlink => tar::EntryType::Symlink,
        FileKind::CharDevice => tar::EntryType::Char,
        FileKind::BlockDevice => tar::EntryType::Block,
        FileKind::Fifo => tar::EntryType::Fifo,
    });
    if matches!(entry.kind, FileKind::CharDevice | FileKind::BlockDevice) {
        header.set_device_major(entry.device.0).map_err(failed)?;
        header.set_device_minor(entry.device.1).map_err(failed)?;
    }
    if entry.kind == FileKind::Symlink {
        builder.append_link(&mut header, &file.path, &entry.link).map_err(failed)?;
    } else {
        let slash = if entry.kind == FileKind::Directory { "/" } else { "" };
        builder.append_data(&mut header, format!("{}{slash}", file.path), std::io::empty()).map_err(failed)?;
    }
    let mut bytes = builder.into_inner().map_err(failed)?;
    // Without the two zero blocks that end an archive.
    bytes.truncate(bytes.len() - 1024);
    Ok(bytes)
}

/// Writes the files one after the other. A blob is read in one go as long as files follow each other in it.
struct Writer {
    host: Arc<dyn Host>,
    files: std::vec::IntoIter<LayerFile>,
    open: Option<(Arc<BlobUse>, Cursor, u64)>,
    /// Of the current file: bytes still to copy, then to pad.
    left: u64,
    padding: u64,
    ended: bool,
}

impl Writer {
    async fn seek(&mut self, blob: &Arc<BlobUse>, offset: u64) -> HostResult<()> {
        let flat = |error: ApiError| HostError::Other(error.message);
        if let Some((open, cursor, at)) = &mut self.open
            && Arc::ptr_eq(open, blob)
            && offset >= *at
            && offset - *at <= GAP
        {
            cursor.skip(offset - *at).await.map_err(flat)?;
            *at = offset;
            return Ok(());
        }
        let content = self.host.read_blob(blob.digest(), offset).await?;
        self.open = Some((Arc::clone(blob), Cursor::new(content), offset));
        Ok(())
    }

    async fn piece(&mut self) -> HostResult<Option<Bytes>> {
        let flat = |error: ApiError| HostError::Other(error.message);
        let mut buffer = BytesMut::new();
        while buffer.len() < PIECE && !self.ended {
            if self.left > 0 {
                let Some((_, cursor, at)) = &mut self.open else {
                    return Err(HostError::Other("a layer's content is not open".to_owned()));
                };
                let wanted = self.left.min(PIECE as u64);
                let bytes = cursor.read(wanted).await.map_err(flat)?;
                let bytes = bytes.ok_or_else(|| HostError::InvalidTar("unexpected end".to_owned()))?;
                *at += wanted;
                self.left -= wanted;
                buffer.extend_from_slice(&bytes);
                continue;
            }
            buffer.resize(buffer.len() + usize::try_from(self.padding).unwrap_or(0), 0);
            self.padding = 0;
            match self.files.next() {
                None => {
                    buffer.resize(buffer.len() + 1024, 0);
                    self.ended = true;
                }
                Some(file) => {
                    buffer.extend_from_slice(&header(&file).map_err(flat)?);
                    let size = if file.entry.kind == FileKind::Regular { file.entry.size } else { 0 };
                    match &file.content {
                        Content::Bytes(bytes) => {
                            buffer.extend_from_slice(bytes);
                            self.padding = padded(size) - size;
                        }
                        Content::Blob(blob) if size > 0 => {
                            self.seek(blob, file.entry.offset).await?;
                            self.left = size;
                            self.padding = padded(size) - size;
                        }
                        Content::Blob(_) | Content::None => {}
                    }
                }
            }
        }
        Ok((!buffer.is_empty()).then(|| buffer.freeze()))
    }
}

/// The files as a tar.
pub(crate) fn stream(host: &Arc<dyn Host>, files: Vec<LayerFile>) -> ByteStream {
    let writer =
        Writer { host: Arc::clone(host), files: files.into_iter(), open: None, left: 0, padding: 0, ended: false };
    stream::try_unfold(writer, |mut writer| async move { Ok(writer.piece().await?.map(|bytes| (bytes, writer))) })
        .boxed()
}
