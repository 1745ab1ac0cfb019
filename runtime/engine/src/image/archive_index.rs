//! A staged tar and where each of its files lies, so that files can be read in any order and any number of times.

use std::{collections::HashMap, io::Write as _};

use bytes::{Buf, Bytes, BytesMut};
use docklab_api::{ApiError, ApiResult};
use docklab_host::{ByteStream, Host, HostError};
use futures::{StreamExt, TryStreamExt, stream};

use crate::HostResultExt;

const BLOCK: u64 = 512;

/// Files of a tar that the host has staged as a blob. The caller removes the blob.
#[derive(Debug)]
pub(crate) struct ArchiveIndex {
    pub(crate) blob: String,
    /// By cleaned path: offset and size in bytes. Links point to their target's place.
    files: HashMap<String, (u64, u64)>,
}

fn invalid(reason: impl std::fmt::Display) -> ApiError {
    ApiError::invalid(format!("invalid tar archive: {reason}"))
}

impl ArchiveIndex {
    /// Stages `tar`, unpacking gzip, and reads its directory.
    pub(crate) async fn stage(host: &dyn Host, tar: docklab_api::ByteStream) -> ApiResult<Self> {
        let tar = tar.map_err(|error| HostError::Other(error.message)).boxed();
        let blob = host.write_blob(None, plain(tar).await.api()?).await.api()?;
        match scan(host.read_blob(&blob.digest, 0).await.api()?).await {
            Ok(files) => Ok(Self { blob: blob.digest, files }),
            Err(error) => {
                host.remove_blob(&blob.digest).await.api()?;
                Err(error)
            }
        }
    }

    pub(crate) fn contains(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// A file as a stream.
    pub(crate) async fn open(&self, host: &dyn Host, path: &str) -> ApiResult<ByteStream> {
        let (offset, size) = *self.files.get(path).ok_or_else(|| invalid(format!("{path} is missing")))?;
        let content = host.read_blob(&self.blob, offset).await.api()?;
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
fn take(content: ByteStream, size: u64) -> ByteStream {
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
            None => Err(HostError::InvalidTar("unexpected end".to_owned())),
        }
    })
    .boxed()
}

/// Unpacks a stream that begins like gzip (RFC 1952); hands any other on as it is.
pub(crate) async fn plain(mut tar: ByteStream) -> Result<ByteStream, HostError> {
    let mut start = BytesMut::new();
    while start.len() < 2 {
        match tar.try_next().await? {
            Some(bytes) => start.extend_from_slice(&bytes),
            None => break,
        }
    }
    let is_gzip = start.starts_with(&[0x1f, 0x8b]);
    let whole = stream::once(futures::future::ok(start.freeze())).chain(tar).boxed();
    if !is_gzip {
        return Ok(whole);
    }
    let decoder = flate2::write::MultiGzDecoder::new(Vec::new());
    let broken = |error: std::io::Error| HostError::InvalidTar(format!("gzip: {error}"));
    Ok(stream::try_unfold(Some((whole, decoder)), move |state| async move {
        let Some((mut whole, mut decoder)) = state else { return Ok(None) };
        loop {
            let next = whole.try_next().await?;
            match &next {
                Some(bytes) => decoder.write_all(bytes).map_err(broken)?,
                None => decoder.try_finish().map_err(broken)?,
            }
            let ready = Bytes::from(std::mem::take(decoder.get_mut()));
            if next.is_none() {
                return Ok(Some((ready, None)));
            }
            if !ready.is_empty() {
                return Ok(Some((ready, Some((whole, decoder)))));
            }
        }
    })
    .boxed())
}

/// Bytes of a stream with a position.
pub(crate) struct Cursor {
    content: ByteStream,
    buffer: Bytes,
    pub(crate) position: u64,
}

impl Cursor {
    pub(crate) fn new(content: ByteStream) -> Self {
        Self { content, buffer: Bytes::new(), position: 0 }
    }

    async fn fill(&mut self) -> ApiResult<bool> {
        while self.buffer.is_empty() {
            match self.content.try_next().await.api()? {
                Some(bytes) => self.buffer = bytes,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Exactly `size` bytes, or `None` at the very end.
    pub(crate) async fn read(&mut self, size: u64) -> ApiResult<Option<Vec<u8>>> {
        let size = usize::try_from(size).map_err(|_| invalid("an entry is too large"))?;
        let mut read = Vec::with_capacity(size);
        while read.len() < size {
            if !self.fill().await? {
                return if read.is_empty() { Ok(None) } else { Err(invalid("unexpected end")) };
            }
            let piece = self.buffer.split_to(self.buffer.len().min(size - read.len()));
            read.extend_from_slice(&piece);
        }
        self.position += size as u64;
        Ok(Some(read))
    }

    pub(crate) async fn skip(&mut self, mut size: u64) -> ApiResult<()> {
        self.position += size;
        while size > 0 {
            if !self.fill().await? {
                return Err(invalid("unexpected end"));
            }
            let step = self.buffer.len().min(usize::try_from(size).unwrap_or(usize::MAX));
            self.buffer.advance(step);
            size -= step as u64;
        }
        Ok(())
    }
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
            let content = cursor.read(padded(size)).await?.ok_or_else(|| invalid("unexpected end"))?;
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
        cursor.skip(padded(size)).await?;
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
