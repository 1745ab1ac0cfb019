//! The engine's records: one file a record, replaced as a whole.
//!
//! A record is written to a temporary file, flushed to disk, and renamed over its predecessor. rename(2) is atomic, so a
//! reader (or an engine after a crash) sees the old record or the new one, never half of one.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_host::{HostError, HostResult, Records};

use crate::LinuxHost;

/// Ends the names of files that are being written; whole records never have it, because a key's dots are escaped.
const UNFINISHED: &str = ".unfinished";

impl LinuxHost {
    fn record_directory(&self, kind: &str) -> PathBuf {
        self.inner.options.data_root.join("records").join(escape(kind))
    }
}

#[async_trait]
impl Records for LinuxHost {
    async fn load_records(&self, kind: &str) -> HostResult<Vec<(String, Bytes)>> {
        let directory = self.record_directory(kind);
        blocking(move || load(&directory)).await
    }

    async fn put_record(&self, kind: &str, key: &str, value: Bytes) -> HostResult<()> {
        let path = self.record_directory(kind).join(escape(key));
        let durable = self.inner.options.durable;
        blocking(move || {
            write_atomically(&path, &value, durable)
                .map_err(|error| HostError::other(format!("write record {}", path.display()), error))
        })
        .await
    }

    async fn delete_record(&self, kind: &str, key: &str) -> HostResult<()> {
        let path = self.record_directory(kind).join(escape(key));
        let durable = self.inner.options.durable;
        blocking(move || match fs::remove_file(&path) {
            Ok(()) if durable => synchronise_parent(&path)
                .map_err(|error| HostError::other(format!("remove record {}", path.display()), error)),
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(HostError::other(format!("remove record {}", path.display()), error)),
        })
        .await
    }
}

/// Runs file work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> HostResult<T> + Send + 'static,
) -> HostResult<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(HostError::other("file work", error)),
    }
}

fn load(directory: &Path) -> HostResult<Vec<(String, Bytes)>> {
    let failed = |error| HostError::other(format!("read records in {}", directory.display()), error);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut records = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let Some(key) = unescape(&entry.file_name()) else { continue };
        match fs::read(entry.path()) {
            Ok(content) => records.push((key, Bytes::from(content))),
            // Removed while we read the directory.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(records)
}

/// Replaces the file at `path`, making its directory when that is missing. With `durable` the content and the name have
/// reached the disk on return (fsync(2): the directory needs its own).
pub(crate) fn write_atomically(path: &Path, content: &[u8], durable: bool) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    let unfinished = PathBuf::from(name);
    let mut file = match File::create(&unfinished) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            File::create(&unfinished)?
        }
        other => other?,
    };
    let written = file.write_all(content).and_then(|()| if durable { file.sync_all() } else { Ok(()) });
    if let Err(error) = written.and_then(|()| fs::rename(&unfinished, path)) {
        // What could not be finished is of no use; the first error is the one to report.
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    if durable { synchronise_parent(path) } else { Ok(()) }
}

fn synchronise_parent(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// A key as a file name: letters, digits, `-` and `_` stay, every other byte becomes `%XX`.
fn escape(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    // A file needs a name.
    if name.is_empty() { "%".to_owned() } else { name }
}

/// The reverse of [`escape`]; `None` for names that it never makes.
fn unescape(name: &OsStr) -> Option<String> {
    let name = name.to_str()?;
    if name == "%" {
        return Some(String::new());
    }
    let mut key = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        match first {
            b'%' => {
                let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok())?;
                key.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &tail[2..];
            }
            b'.' => return None,
            other => {
                key.push(other);
                rest = tail;
            }
        }
    }
    String::from_utf8(key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_comes_back_from_its_file_name() {
        for key in ["", "a", "web_1-x", "docker.io/library/nginx:1", "ü %", "..", "x.unfinished"] {
            let name = escape(key);
            assert!(!name.contains(['/', '.']), "{name}");
            assert_eq!(unescape(OsStr::new(&name)).as_deref(), Some(key));
        }
    }

    #[test]
    fn a_record_that_was_not_finished_is_not_read() {
        let directory = std::env::temp_dir().join(format!("docklab-records-{}", std::process::id()));
        write_atomically(&directory.join("a"), b"1", true).expect("write");
        write_atomically(&directory.join("a"), b"2", false).expect("write again");
        fs::write(directory.join("b.unfinished"), b"half").expect("write half");
        let records = load(&directory).expect("load");
        fs::remove_dir_all(&directory).expect("remove");
        assert_eq!(records, [("a".to_owned(), Bytes::from_static(b"2"))]);
    }
}
