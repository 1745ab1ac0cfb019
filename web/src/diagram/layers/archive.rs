//! Reads the archive of `docker save` as it arrives and keeps the names and sizes of the files in its layers, never their
//! content. Understands both layouts: layers as blobs of an OCI layout, and as `…/layer.tar`.

use std::collections::HashMap;

use serde::Deserialize;

const BLOCK: usize = 512;
/// Of `manifest.json`, configurations, and extension headers. What is larger is no such file.
const SMALL: u64 = 4 << 20;

/// What a layer does to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    /// A link, device, socket or pipe: no bytes of its own.
    Other,
    /// Deletes the path of the layers below.
    Deletion,
    /// Hides all that the layers below have in this directory.
    Opaque,
}

/// A file of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// Without a slash in front.
    pub path: String,
    /// Bytes.
    pub size: u64,
    pub kind: Kind,
}

/// An archive that cannot be read, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the image's archive cannot be read: {0}")]
pub(super) struct ArchiveError(String);

fn broken(reason: impl std::fmt::Display) -> ArchiveError {
    ArchiveError(reason.to_string())
}

/// A member of a tar.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    path: String,
    size: u64,
    tag: u8,
}

/// Cuts a tar into members, in pieces of any size.
#[derive(Default)]
struct Scanner {
    block: Vec<u8>,
    /// Bytes of the current member's content, and of its padding, that are still to come.
    content: u64,
    padding: u64,
    /// The content is an extension header: its kind, and what there is of it.
    extension: Option<(u8, Vec<u8>)>,
    /// What extension headers said of the next member.
    name: Option<String>,
    size: Option<u64>,
}

/// What a scanner finds.
enum Piece<'a> {
    Member(Member),
    Content(&'a [u8]),
}

impl Scanner {
    fn push(
        &mut self,
        mut bytes: &[u8],
        found: &mut dyn FnMut(Piece<'_>) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        while !bytes.is_empty() {
            if self.content > 0 {
                let take = usize::try_from(self.content).unwrap_or(usize::MAX).min(bytes.len());
                let (content, rest) = bytes.split_at(take);
                self.content -= take as u64;
                match &mut self.extension {
                    Some((_, kept)) => kept.extend_from_slice(content),
                    None => found(Piece::Content(content))?,
                }
                if self.content == 0 {
                    self.finish_extension();
                }
                bytes = rest;
            } else if self.padding > 0 {
                let take = usize::try_from(self.padding).unwrap_or(usize::MAX).min(bytes.len());
                self.padding -= take as u64;
                bytes = &bytes[take..];
            } else {
                let take = (BLOCK - self.block.len()).min(bytes.len());
                self.block.extend_from_slice(&bytes[..take]);
                bytes = &bytes[take..];
                if self.block.len() == BLOCK {
                    let block = std::mem::take(&mut self.block);
                    if let Some(member) = self.header(&block)? {
                        found(Piece::Member(member))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads a header; `None` for the end of an archive and for extension headers.
    fn header(&mut self, block: &[u8]) -> Result<Option<Member>, ArchiveError> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = tar::Header::from_byte_slice(block);
        let tag = header.as_bytes()[156];
        let size = header.entry_size().map_err(broken)?;
        if matches!(tag, b'x' | b'g' | b'L' | b'K') {
            if size > SMALL {
                return Err(broken("an extension header is too large"));
            }
            self.begin(size);
            self.extension = Some((tag, Vec::new()));
            return Ok(None);
        }
        let path = self.name.take().unwrap_or_else(|| String::from_utf8_lossy(&header.path_bytes()).into_owned());
        let size = self.size.take().unwrap_or(size);
        // Links carry a size in some archives, and no content.
        let size = if matches!(tag, 0 | b'0' | b'7') { size } else { 0 };
        self.begin(size);
        Ok(Some(Member { path, size, tag }))
    }

    fn begin(&mut self, size: u64) {
        self.content = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    fn finish_extension(&mut self) {
        match self.extension.take() {
            Some((b'L', name)) => {
                self.name = Some(String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned());
            }
            Some((b'x', records)) => {
                for record in tar::PaxExtensions::new(&records).flatten() {
                    let value = String::from_utf8_lossy(record.value_bytes()).into_owned();
                    match record.key() {
                        Ok("path") => self.name = Some(value),
                        Ok("size") => self.size = value.parse().ok(),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

fn file(member: &Member) -> Option<File> {
    let path = member.path.trim_start_matches("./").trim_matches('/');
    if path.is_empty() || path == "." {
        return None;
    }
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    if name == ".wh..wh..opq" {
        return Some(File { path: parent.to_owned(), size: 0, kind: Kind::Opaque });
    }
    if name.starts_with(".wh..wh.") {
        return None;
    }
    if let Some(deleted) = name.strip_prefix(".wh.") {
        let path = if parent.is_empty() { deleted.to_owned() } else { format!("{parent}/{deleted}") };
        return Some(File { path, size: 0, kind: Kind::Deletion });
    }
    let kind = match member.tag {
        0 | b'0' | b'7' if !member.path.ends_with('/') => Kind::File,
        b'5' | 0 | b'0' | b'7' => Kind::Directory,
        _ => Kind::Other,
    };
    Some(File { path: path.to_owned(), size: member.size, kind })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestEntry {
    layers: Vec<String>,
}

/// What the outer archive's current member is.
#[derive(Default)]
enum Inside {
    #[default]
    Nothing,
    /// Its first bytes decide.
    Undecided(Member, Vec<u8>),
    Layer(String, Scanner, Vec<File>),
    Text(Vec<u8>),
}

/// Reads a saved image.
#[derive(Default)]
pub(super) struct ArchiveReader {
    outer: Scanner,
    inside: Inside,
    layers: HashMap<String, Vec<File>>,
    manifest: Option<Vec<String>>,
}

impl ArchiveReader {
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let Self { outer, inside, layers, manifest } = self;
        outer.push(bytes, &mut |piece| match piece {
            Piece::Member(member) => {
                finish(std::mem::take(inside), layers, manifest)?;
                *inside = if matches!(member.tag, 0 | b'0' | b'7') && member.size > 0 {
                    Inside::Undecided(member, Vec::new())
                } else {
                    Inside::Nothing
                };
                Ok(())
            }
            Piece::Content(content) => feed(inside, content),
        })
    }

    /// The files of each layer, bottom first.
    pub(super) fn finish(self) -> Result<Vec<Vec<File>>, ArchiveError> {
        let Self { inside, mut layers, mut manifest, .. } = self;
        finish(inside, &mut layers, &mut manifest)?;
        let order = manifest.ok_or_else(|| broken("it has no manifest.json"))?;
        order
            .iter()
            .map(|name| {
                let name = name.trim_start_matches("./");
                // The same layer twice in one image is one file of the archive.
                layers.get(name).cloned().ok_or_else(|| broken(format!("the layer {name} is missing")))
            })
            .collect()
    }
}

fn feed(inside: &mut Inside, content: &[u8]) -> Result<(), ArchiveError> {
    match inside {
        Inside::Nothing => Ok(()),
        Inside::Text(kept) => {
            kept.extend_from_slice(content);
            Ok(())
        }
        Inside::Layer(_, scanner, files) => scan(scanner, files, content),
        Inside::Undecided(member, kept) => {
            kept.extend_from_slice(content);
            if kept.len() < BLOCK && (kept.len() as u64) < member.size {
                return Ok(());
            }
            let (path, kept) = (std::mem::take(&mut member.path), std::mem::take(kept));
            let is_tar = kept.get(257..262) == Some(b"ustar") || path.ends_with(".tar");
            *inside = if is_tar {
                let (mut scanner, mut files) = (Scanner::default(), Vec::new());
                scan(&mut scanner, &mut files, &kept)?;
                Inside::Layer(path, scanner, files)
            } else if kept.starts_with(&[0x1f, 0x8b]) {
                return Err(broken(format!("{path} is compressed")));
            } else if path == "manifest.json" && member.size <= SMALL {
                Inside::Text(kept)
            } else if kept.get(..BLOCK).is_some_and(|block| block.iter().all(|byte| *byte == 0)) {
                // The archive of a layer without files.
                Inside::Layer(path, Scanner::default(), Vec::new())
            } else {
                Inside::Nothing
            };
            Ok(())
        }
    }
}

fn scan(scanner: &mut Scanner, files: &mut Vec<File>, content: &[u8]) -> Result<(), ArchiveError> {
    scanner.push(content, &mut |piece| {
        if let Piece::Member(member) = piece {
            files.extend(file(&member));
        }
        Ok(())
    })
}

fn finish(
    inside: Inside,
    layers: &mut HashMap<String, Vec<File>>,
    manifest: &mut Option<Vec<String>>,
) -> Result<(), ArchiveError> {
    match inside {
        Inside::Layer(path, _, files) => {
            layers.insert(path.trim_start_matches("./").to_owned(), files);
        }
        Inside::Text(text) => {
            let entries: Vec<ManifestEntry> = serde_json::from_slice(&text).map_err(broken)?;
            *manifest = entries.into_iter().next().map(|entry| entry.layers);
        }
        Inside::Undecided(..) | Inside::Nothing => {}
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn append(builder: &mut tar::Builder<Vec<u8>>, path: &str, kind: tar::EntryType, content: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content).expect("appended");
    }

    fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let kind = if path.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular };
            append(&mut builder, path, kind, content);
        }
        builder.into_inner().expect("a tar")
    }

    fn saved() -> Vec<u8> {
        let long = format!("usr/{}/file", "d".repeat(150));
        let lower = tar_of(&[("etc/", b""), ("etc/hosts", b"127.0.0.1"), (&long, &[7; 1000])]);
        let upper =
            tar_of(&[("etc/.wh.hosts", b""), ("app/", b""), ("app/.wh..wh..opq", b""), ("app.py", b"print(1)")]);
        tar_of(&[
            ("blobs/sha256/config", b"{\"config\":1}"),
            ("blobs/sha256/lower", &lower),
            ("blobs/sha256/upper", &upper),
            ("blobs/sha256/none", &[0; 1024]),
            (
                "manifest.json",
                br#"[{"Config":"x","RepoTags":null,"Layers":["blobs/sha256/lower","blobs/sha256/upper","blobs/sha256/none"]}]"#,
            ),
        ])
    }

    fn read(bytes: &[u8], piece: usize) -> Result<Vec<Vec<File>>, ArchiveError> {
        let mut reader = ArchiveReader::default();
        for piece in bytes.chunks(piece) {
            reader.push(piece)?;
        }
        reader.finish()
    }

    fn texts(files: &[File]) -> Vec<String> {
        files.iter().map(|file| format!("{:?} {} {}", file.kind, file.path, file.size)).collect()
    }

    #[test]
    fn files_and_deletions_of_each_layer_are_found_however_the_bytes_are_cut() {
        let layers = read(&saved(), usize::MAX).expect("layers");
        let long = format!("File usr/{}/file 1000", "d".repeat(150));
        assert_eq!(texts(&layers[0]), ["Directory etc 0", "File etc/hosts 9", long.as_str()]);
        assert_eq!(texts(&layers[1]), ["Deletion etc/hosts 0", "Directory app 0", "Opaque app 0", "File app.py 8"]);
        assert!(layers[2].is_empty());
        for piece in [1, 100, 511, 513] {
            assert_eq!(read(&saved(), piece).expect("the same"), layers, "{piece}");
        }
    }

    #[test]
    fn an_archive_that_ends_early_says_what_is_missing() {
        let text = read(&saved()[..3000], 4096).expect_err("cut").to_string();
        assert_eq!(text, "the image's archive cannot be read: it has no manifest.json");
    }
}
