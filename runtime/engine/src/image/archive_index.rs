//! A staged tar and where each of its files lies, so that files can be read in any order and any number of times.

use std::collections::HashMap;

use bytes::{Buf, Bytes};
use docklab_api::{ApiError, ApiResult};
use docklab_host::{ByteStream, Host, HostError};
use futures::{StreamExt, TryStreamExt, stream};

use super::{BlobUse, decompress::plain};
use crate::{Engine, HostResultExt};

const BLOCK: u64 = 512;

/// Files of a tar that the host has staged as a blob.
#[derive(Debug)]
pub(crate) struct ArchiveIndex {
    blob: BlobUse,
    /// By cleaned path: offset and size in bytes. Links point to their target's place.
    files: HashMap<String, (u64, u64)>,
}

/// What ends too soon; Docker's text.
fn unexpected_end() -> ApiError {
    ApiError::invalid("unexpected EOF")
}

fn invalid(reason: impl std::fmt::Display) -> ApiError {
    ApiError::invalid(format!("invalid tar archive: {reason}"))
}

impl ArchiveIndex {
    /// Stages `tar`, unpacking it, and reads its directory.
    pub(crate) async fn stage(engine: &Engine, tar: docklab_api::ByteStream) -> ApiResult<Self> {
        let tar = tar.map_err(|error| HostError::Other(error.message)).boxed();
        let blob = engine.images.staged.write(&engine.host, plain(tar).await.api()?).await.api()?;
        let files = scan(engine.host.read_blob(blob.digest(), 0).await.api()?).await?;
        Ok(Self { blob, files })
    }

    pub(crate) fn contains(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// A file as a stream.
    pub(crate) async fn open(&self, host: &dyn Host, path: &str) -> ApiResult<ByteStream> {
        let (offset, size) = *self.files.get(path).ok_or_else(|| invalid(format!("{path} is missing")))?;
        let content = host.read_blob(self.blob.digest(), offset).await.api()?;
        Ok(take(content, size))
    }

    /// The first bytes of a file: enough to recognise a compression.
    pub(crate) async fn read_start(&self, host: &dyn Host, path: &str) -> ApiResult<Bytes> {
        Ok(self.open(host, path).await?.try_next().await.api()?.unwrap_or_default())
    }

    /// A small file whole.
    pub(crate) async fn read(&self, host: &dyn Host, path: &str) -> ApiResult<Bytes> {
        const LIMIT: u64 = 16 * 1024 * 1024;
        match self.files.get(path) {
            Some((_, size)) if *size > LIMIT => return Err(invalid(format!("{path} is larger than {LIMIT} bytes"))),
            _ => {}
        }
        let content: Vec<Bytes> = self.open(host, path).await?.try_collect().await.api()?;
        Ok(content.concat().into())
    }
}

/// The first `size` bytes.
pub(crate) fn take(content: ByteStream, size: u64) -> ByteStream {
    stream::try_unfold((content, size), |(mut content, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        match content.try_next().await? {
            Some(mut bytes) => {
                bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - bytes.len() as u64;
                Ok(Some((bytes, (content, left))))
            }
            None => Err(HostError::Other("unexpected EOF".to_owned())),
        }
    })
    .boxed()
}

/// Bytes of a stream with a position.
pub(crate) struct Cursor {
    content: ByteStream,
    buffer: Bytes,
    /// A stream that has ended must not be asked again.
    ended: bool,
    pub(crate) position: u64,
}

impl Cursor {
    pub(crate) fn new(content: ByteStream) -> Self {
        Self { content, buffer: Bytes::new(), ended: false, position: 0 }
    }

    async fn fill(&mut self) -> ApiResult<bool> {
        while self.buffer.is_empty() && !self.ended {
            match self.content.try_next().await.api()? {
                Some(bytes) => self.buffer = bytes,
                None => self.ended = true,
            }
        }
        Ok(!self.buffer.is_empty())
    }

    /// Exactly `size` bytes, or `None` at the very end.
    pub(crate) async fn read(&mut self, size: u64) -> ApiResult<Option<Vec<u8>>> {
        let size = usize::try_from(size).map_err(|_| invalid("an entry is too large"))?;
        let mut read = Vec::with_capacity(size);
        while read.len() < size {
            if !self.fill().await? {
                return if read.is_empty() { Ok(None) } else { Err(unexpected_end()) };
            }
            let piece = self.buffer.split_to(self.buffer.len().min(size - read.len()));
            read.extend_from_slice(&piece);
        }
        self.position += size as u64;
        Ok(Some(read))
    }

    /// Skips what pads a member of `size` bytes. An archive may end in the middle of it: those that the docker command line
    /// makes with a Dockerfile from elsewhere do.
    pub(crate) async fn skip_padding(&mut self, size: u64) -> ApiResult<()> {
        let mut left = usize::try_from(padding(size)).unwrap_or(0);
        while left > 0 && self.fill().await? {
            let step = self.buffer.len().min(left);
            self.buffer.advance(step);
            self.position += step as u64;
            left -= step;
        }
        Ok(())
    }

    pub(crate) async fn skip(&mut self, mut size: u64) -> ApiResult<()> {
        self.position += size;
        while size > 0 {
            if !self.fill().await? {
                return Err(unexpected_end());
            }
            let step = self.buffer.len().min(usize::try_from(size).unwrap_or(usize::MAX));
            self.buffer.advance(step);
            size -= step as u64;
        }
        Ok(())
    }
}

/// What a member's content is padded by.
pub(crate) fn padding(size: u64) -> u64 {
    padded(size) - size
}

pub(crate) fn padded(size: u64) -> u64 {
    size.div_ceil(BLOCK) * BLOCK
}

async fn scan(content: ByteStream) -> ApiResult<HashMap<String, (u64, u64)>> {
    let mut cursor = Cursor::new(content);
    let mut files = HashMap::new();
    let mut links = Vec::new();
    let (mut long_name, mut long_link, mut long_size) = (None, None, None);
    while let Some(block) = cursor.read(BLOCK).await? {
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        let header = tar::Header::from_byte_slice(&block);
        let size = long_size.take().map_or_else(|| header.entry_size(), Ok).map_err(invalid)?;
        let kind = header.entry_type();
        if kind.is_gnu_longname() || kind.is_gnu_longlink() || kind.is_pax_local_extensions() {
            let content = cursor.read(padded(size)).await?.ok_or_else(unexpected_end)?;
            let content = &content[..usize::try_from(size).unwrap_or_default().min(content.len())];
            let text = String::from_utf8_lossy(content).trim_end_matches('\0').to_owned();
            if kind.is_gnu_longname() {
                long_name = Some(text);
            } else if kind.is_gnu_longlink() {
                long_link = Some(text);
            } else {
                for extension in tar::PaxExtensions::new(content).flatten() {
                    let value = extension.value().unwrap_or_default();
                    match extension.key() {
                        Ok("path") => long_name = Some(value.to_owned()),
                        Ok("linkpath") => long_link = Some(value.to_owned()),
                        Ok("size") => long_size = value.parse().ok(),
                        _ => {}
                    }
                }
            }
            continue;
        }
        let text = |bytes: std::borrow::Cow<'_, [u8]>| String::from_utf8_lossy(&bytes).into_owned();
        let name = cleaned(&long_name.take().unwrap_or_else(|| text(header.path_bytes())));
        let target = long_link.take().or_else(|| header.link_name_bytes().map(text));
        if kind.is_file() || kind.is_contiguous() {
            files.insert(name, (cursor.position, size));
        } else if let (true, Some(target)) = (kind.is_hard_link() || kind.is_symlink(), target) {
            let base = if kind.is_symlink() { name.rsplit_once('/').map_or("", |(parent, _)| parent) } else { "" };
            links.push((name.clone(), cleaned(&format!("{base}/{target}"))));
        }
        cursor.skip(size).await?;
        cursor.skip_padding(size).await?;
    }
    for (name, target) in links {
        if let Some(place) = files.get(&target).copied() {
            files.insert(name, place);
        }
    }
    Ok(files)
}

/// A path without `.` and `..` parts and slashes around it.
pub(crate) fn cleaned(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
