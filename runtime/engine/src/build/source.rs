//! Where COPY and ADD take files from: a staged tar with what every file is, where its bytes lie, and its content hash.

use std::{collections::BTreeMap, sync::Arc};

use bytes::BytesMut;
use docklab_api::{ApiError, ApiResult};
use docklab_host::{ByteStream, FileKind, Host, HostError};
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest as _, Sha256};

use crate::{
    Engine, HostResultExt,
    image::{BlobUse, Cursor, cleaned, padded, plain},
};

const BLOCK: u64 = 512;
/// Bytes read at once.
const PIECE: u64 = 1 << 20;

/// One file of a source.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) kind: FileKind,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) size: u64,
    pub(crate) mtime: u64,
    pub(crate) link: String,
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: Vec<(String, Vec<u8>)>,
    /// Of the content in the blob.
    pub(crate) offset: u64,
    /// Hexadecimal; everything but the time of change goes into it.
    pub(crate) sum: String,
}

/// A tree of files in a staged tar.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) blob: Arc<BlobUse>,
    /// By path without slashes around it; the root is the empty path.
    pub(crate) entries: BTreeMap<String, Entry>,
}

fn invalid(reason: impl std::fmt::Display) -> ApiError {
    ApiError::invalid(format!("invalid tar archive: {reason}"))
}

impl Source {
    /// Stages a build context, unpacking it.
    pub(crate) async fn context(engine: &Engine, tar: docklab_api::ByteStream) -> ApiResult<Self> {
        let tar = tar.map_err(|error| HostError::Other(error.message)).boxed();
        Self::stage(engine, gathered(plain(tar).await.api()?), None).await
    }

    /// Stages a tar. With `parent` it is an archive of a part of a file system: names begin beneath `parent`, and the
    /// hashes are those of files on a disk instead of those of an archive's members.
    pub(crate) async fn stage(engine: &Engine, tar: ByteStream, parent: Option<&str>) -> ApiResult<Self> {
        let blob = engine.images.staged.write(&engine.host, tar).await.api()?;
        let content = engine.host.read_blob(blob.digest(), 0).await.api()?;
        Ok(Self { entries: scan(Cursor::new(content), parent).await?, blob: Arc::new(blob) })
    }

    /// A downloaded blob as a tree of one file.
    pub(crate) fn of_blob(blob: BlobUse, name: &str, mtime: u64) -> Self {
        let mut entry = directory(blob.digest().trim_start_matches("sha256:").to_owned());
        entry.kind = FileKind::Regular;
        entry.mode = 0o600;
        entry.mtime = mtime;
        entry.size = blob.size();
        Self { blob: Arc::new(blob), entries: BTreeMap::from([(name.to_owned(), entry)]) }
    }

    /// What a path is, its last link followed, with the path it leads to.
    pub(crate) fn find(&self, path: &str) -> Option<(String, &Entry)> {
        let mut path = cleaned(path);
        for _ in 0..40 {
            if let Some(entry) = self.entries.get(&path) {
                if entry.kind != FileKind::Symlink {
                    return Some((path, entry));
                }
                let base = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                path = if entry.link.starts_with('/') {
                    cleaned(&entry.link)
                } else {
                    cleaned(&format!("{base}/{}", entry.link))
                };
                continue;
            }
            // A link to a directory on the way.
            let mut at = path.find('/');
            let mut next = None;
            while let Some(end) = at {
                if let Some(entry) = self.entries.get(&path[..end]).filter(|entry| entry.kind == FileKind::Symlink) {
                    let base = path[..end].rsplit_once('/').map_or("", |(parent, _)| parent);
                    next = Some(if entry.link.starts_with('/') {
                        cleaned(&format!("{}{}", entry.link, &path[end..]))
                    } else {
                        cleaned(&format!("{base}/{}{}", entry.link, &path[end..]))
                    });
                    break;
                }
                at = path[end + 1..].find('/').map(|more| end + 1 + more);
            }
            path = next?;
        }
        None
    }

    /// All that lies in a directory, at any depth.
    pub(crate) fn beneath<'a>(&'a self, directory: &str) -> impl Iterator<Item = (&'a String, &'a Entry)> + use<'a> {
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let start = prefix.clone();
        self.entries
            .range(start..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .filter(|(path, _)| !path.is_empty())
    }

    /// A file as a stream.
    pub(crate) async fn open(&self, host: &dyn Host, entry: &Entry) -> ApiResult<ByteStream> {
        Ok(crate::image::take(host.read_blob(self.blob.digest(), entry.offset).await.api()?, entry.size))
    }

    /// A small file whole.
    pub(crate) async fn read(&self, host: &dyn Host, entry: &Entry) -> ApiResult<Vec<u8>> {
        const LIMIT: u64 = 64 << 20;
        if entry.size > LIMIT {
            return Err(invalid(format!("a file is larger than {LIMIT} bytes")));
        }
        let mut cursor = Cursor::new(host.read_blob(self.blob.digest(), entry.offset).await.api()?);
        Ok(cursor.read(entry.size).await?.unwrap_or_default())
    }
}

/// The same bytes in large pieces: clients send a context in pieces as small as a header, and each costs a hand-over.
fn gathered(content: ByteStream) -> ByteStream {
    const ENOUGH: usize = 256 << 10;
    futures::stream::try_unfold(content, |mut content| async move {
        let mut gathered = BytesMut::new();
        while gathered.len() < ENOUGH {
            match content.try_next().await? {
                Some(bytes) if gathered.is_empty() && bytes.len() >= ENOUGH => return Ok(Some((bytes, content))),
                Some(bytes) => gathered.extend_from_slice(&bytes),
                None => break,
            }
        }
        Ok((!gathered.is_empty()).then(|| (gathered.freeze(), content)))
    })
    .boxed()
}

fn directory(sum: String) -> Entry {
    Entry {
        kind: FileKind::Directory,
        mode: 0o755,
        uid: 0,
        gid: 0,
        size: 0,
        mtime: 0,
        link: String::new(),
        device: (0, 0),
        xattrs: Vec::new(),
        offset: 0,
        sum,
    }
}

/// Fields that an extension header gives for the member behind it.
#[derive(Default)]
struct Extension {
    name: Option<String>,
    link: Option<String>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<u64>,
    xattrs: Vec<(String, Vec<u8>)>,
}

impl Extension {
    fn read(&mut self, content: &[u8]) {
        for record in tar::PaxExtensions::new(content).flatten() {
            let (Ok(key), bytes) = (record.key(), record.value_bytes()) else { continue };
            let text = String::from_utf8_lossy(bytes).into_owned();
            match key {
                "path" => self.name = Some(text),
                "linkpath" => self.link = Some(text),
                "size" => self.size = text.parse().ok(),
                "uid" => self.uid = text.parse().ok(),
                "gid" => self.gid = text.parse().ok(),
                "mtime" => self.mtime = text.split('.').next().and_then(|seconds| seconds.parse().ok()),
                key => {
                    if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                        self.xattrs.push((name.to_owned(), bytes.to_vec()));
                    }
                }
            }
        }
    }
}

fn kind_of(header: &tar::Header, name: &str) -> Option<(FileKind, u8)> {
    Some(match header.as_bytes()[156] {
        0 | b'7' if name.ends_with('/') => (FileKind::Directory, b'5'),
        0 | b'0' | b'7' => (FileKind::Regular, b'0'),
        b'1' => (FileKind::Regular, b'1'),
        b'2' => (FileKind::Symlink, b'2'),
        b'3' => (FileKind::CharDevice, b'3'),
        b'4' => (FileKind::BlockDevice, b'4'),
        b'5' => (FileKind::Directory, b'5'),
        b'6' => (FileKind::Fifo, b'6'),
        _ => return None,
    })
}

/// A numeric field of a header; an empty one is 0, as Go reads it.
fn field<T: Default>(
    header: &tar::Header,
    place: std::ops::Range<usize>,
    read: impl Fn(&tar::Header) -> std::io::Result<T>,
) -> ApiResult<T> {
    if header.as_bytes()[place].iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Ok(T::default());
    }
    read(header).map_err(invalid)
}

/// The type bits of a mode (`S_IFMT`).
fn type_bits(kind: FileKind) -> u32 {
    match kind {
        FileKind::Regular => 0o100_000,
        FileKind::Directory => 0o040_000,
        FileKind::Symlink => 0o120_000,
        FileKind::CharDevice => 0o020_000,
        FileKind::BlockDevice => 0o060_000,
        FileKind::Fifo => 0o010_000,
        FileKind::Socket => 0o140_000,
    }
}

async fn scan(mut cursor: Cursor, parent: Option<&str>) -> ApiResult<BTreeMap<String, Entry>> {
    let mut entries = BTreeMap::new();
    let mut hard_links: Vec<(String, String)> = Vec::new();
    let mut extension = Extension::default();
    let text = |bytes: std::borrow::Cow<'_, [u8]>| String::from_utf8_lossy(&bytes).into_owned();
    while let Some(block) = cursor.read(BLOCK).await? {
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        let header = tar::Header::from_byte_slice(&block);
        let size = match extension.size.take() {
            Some(size) => size,
            None => field(header, 124..136, tar::Header::entry_size)?,
        };
        let tag = header.entry_type();
        if tag.is_gnu_longname() || tag.is_gnu_longlink() || tag.is_pax_local_extensions() {
            if size > PIECE {
                return Err(invalid("an extension header is too large"));
            }
            let content = cursor.read(padded(size)).await?.ok_or_else(|| invalid("unexpected end"))?;
            let content = &content[..usize::try_from(size).unwrap_or_default().min(content.len())];
            if tag.is_gnu_longname() {
                extension.name = Some(String::from_utf8_lossy(content).trim_end_matches('\0').to_owned());
            } else if tag.is_gnu_longlink() {
                extension.link = Some(String::from_utf8_lossy(content).trim_end_matches('\0').to_owned());
            } else {
                extension.read(content);
            }
            continue;
        }
        let known = std::mem::take(&mut extension);
        let name = known.name.unwrap_or_else(|| text(header.path_bytes()));
        let Some((kind, tag)) = kind_of(header, &name) else {
            cursor.skip(size).await?;
            cursor.skip_padding(size).await?;
            continue;
        };
        let mut path = cleaned(&name);
        if let Some(parent) = parent {
            path = cleaned(&format!("{parent}/{path}"));
        }
        let mut entry = Entry {
            kind,
            mode: field(header, 100..108, tar::Header::mode)? & 0o7777,
            uid: known.uid.map_or_else(|| field(header, 108..116, tar::Header::uid), Ok)?,
            gid: known.gid.map_or_else(|| field(header, 116..124, tar::Header::gid), Ok)?,
            size: if kind == FileKind::Regular { size } else { 0 },
            mtime: known.mtime.map_or_else(|| field(header, 136..148, tar::Header::mtime), Ok)?,
            link: known.link.or_else(|| header.link_name_bytes().map(text)).unwrap_or_default(),
            device: (
                header.device_major().ok().flatten().unwrap_or(0),
                header.device_minor().ok().flatten().unwrap_or(0),
            ),
            xattrs: known.xattrs,
            offset: cursor.position,
            sum: String::new(),
        };
        entry.xattrs.sort();
        let hashed_name = match (parent, kind) {
            (None, _) => name,
            (Some(_), FileKind::Directory) => format!("{path}/"),
            (Some(_), _) => path.clone(),
        };
        let mut hasher = Sha256::new();
        let mode = match parent {
            None => field(header, 100..108, tar::Header::mode)?,
            Some(_) => entry.mode | type_bits(kind),
        };
        let owner_names = match parent {
            None => [header.username_bytes(), header.groupname_bytes()]
                .map(|name| name.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()),
            Some(_) => Default::default(),
        };
        hash_header(&mut hasher, &entry, &hashed_name, mode, size, tag, &owner_names);
        let mut left = size;
        while left > 0 {
            let piece = cursor.read(left.min(PIECE)).await?.ok_or_else(|| invalid("unexpected end"))?;
            hasher.update(&piece);
            left -= piece.len() as u64;
        }
        cursor.skip_padding(size).await?;
        entry.sum = hex::encode(hasher.finalize());
        if tag == b'1' {
            let target = cleaned(&entry.link);
            hard_links
                .push((path.clone(), parent.map_or(target.clone(), |parent| cleaned(&format!("{parent}/{target}")))));
        }
        entries.insert(path, entry);
    }
    for (path, target) in hard_links {
        let place = entries.get(&target).map(|target| (target.offset, target.size));
        if let (Some((offset, size)), Some(entry)) = (place, entries.get_mut(&path)) {
            (entry.offset, entry.size) = (offset, size);
        }
    }
    // Directories that the archive only implies.
    let implied: Vec<String> = entries
        .keys()
        .flat_map(|path| path.match_indices('/').map(|(end, _)| path[..end].to_owned()).chain([String::new()]))
        .collect();
    for path in implied {
        entries.entry(path.clone()).or_insert_with(|| directory(path));
    }
    entries.entry(String::new()).or_insert_with(|| directory(String::new()));
    Ok(entries)
}

/// Docker's tarsum, version 1: every header field but the time, each name followed by its value.
fn hash_header(
    hasher: &mut Sha256,
    entry: &Entry,
    name: &str,
    mode: u32,
    size: u64,
    tag: u8,
    [user, group]: &[String; 2],
) {
    hasher.update(format!("name{name}mode{mode}uid{}gid{}size{size}typeflag{}", entry.uid, entry.gid, char::from(tag)));
    hasher.update(format!(
        "linkname{}uname{user}gname{group}devmajor{}devminor{}",
        entry.link, entry.device.0, entry.device.1
    ));
    for (key, value) in &entry.xattrs {
        hasher.update(key);
        hasher.update(value);
    }
}

/// One hash of several.
pub(crate) fn hash_of(prefix: &str, hashes: &[String]) -> String {
    format!("{prefix}:{}", hex::encode(Sha256::digest(hashes.join(","))))
}
