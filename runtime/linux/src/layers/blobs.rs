//! Staged blobs: content by digest, in one file each.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use docklab_host::{Blob, HostError, HostResult};
use sha2::{Digest, Sha256};

use super::{
    store::{create_directory, ignore_missing},
    streams::io_error,
};

const BUFFER: usize = 128 * 1024;

pub(crate) struct Blobs {
    root: PathBuf,
    next: AtomicU64,
}

impl Blobs {
    /// Opens the store at `root`. Blobs belong to work under way: those of an earlier engine go.
    pub(crate) fn open(root: &Path) -> HostResult<Self> {
        ignore_missing(fs::remove_dir_all(root))
            .map_err(|error| io_error(format!("clear {}", root.display()), error))?;
        create_directory(&root.join("tmp"))?;
        create_directory(&root.join("sha256"))?;
        Ok(Self { root: root.to_path_buf(), next: AtomicU64::new(0) })
    }

    fn path(&self, digest: &str) -> HostResult<PathBuf> {
        match digest.strip_prefix("sha256:") {
            Some(digits) if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                Ok(self.root.join("sha256").join(digits))
            }
            _ => Err(HostError::not_found("blob", digest)),
        }
    }

    /// Stores what `content` gives; nothing stays after an error.
    pub(crate) fn write(&self, expected: Option<&str>, content: &mut impl Read) -> HostResult<Blob> {
        let temporary = self.root.join("tmp").join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let result = self.write_to(&temporary, expected, content);
        if result.is_err() {
            // The first error is the one to tell.
            let _ = fs::remove_file(&temporary);
        }
        result
    }

    fn write_to(&self, temporary: &Path, expected: Option<&str>, content: &mut impl Read) -> HostResult<Blob> {
        let failed = |error| io_error("write blob", error);
        let mut file = File::create(temporary).map_err(failed)?;
        let mut hash = Sha256::new();
        let mut size = 0;
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = content.read(&mut buffer).map_err(failed)?;
            if count == 0 {
                break;
            }
            hash.update(&buffer[..count]);
            file.write_all(&buffer[..count]).map_err(failed)?;
            size += count as u64;
        }
        let digest = format!("sha256:{}", hex::encode(hash.finalize()));
        if let Some(expected) = expected
            && expected != digest
        {
            return Err(HostError::DigestMismatch { expected: expected.to_owned(), actual: digest });
        }
        fs::rename(temporary, self.path(&digest)?).map_err(failed)?;
        Ok(Blob { digest, size })
    }

    /// Opens a blob at an offset.
    pub(crate) fn open_at(&self, digest: &str, offset: u64) -> HostResult<File> {
        let failed = |error: io::Error| io_error(format!("read blob {digest}"), error);
        let mut file = match File::open(self.path(digest)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(HostError::not_found("blob", digest));
            }
            result => result.map_err(failed)?,
        };
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        Ok(file)
    }

    pub(crate) fn remove(&self, digest: &str) -> HostResult<()> {
        ignore_missing(fs::remove_file(self.path(digest)?))
            .map_err(|error| io_error(format!("remove blob {digest}"), error))
    }
}
