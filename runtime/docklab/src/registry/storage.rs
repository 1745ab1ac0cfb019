//! A registry's content on disk, so that it survives the registry: files are written aside, synced, then renamed.

use std::{
    io,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_registry::{ByteStream, RecordKind, Storage, StorageError, StorageResult};
use futures::{StreamExt as _, stream};
use rand::RngCore as _;
use tokio::{
    fs::{self, File},
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
};

/// | path beneath the root | what |
/// |---|---|
/// | `blobs/<digest>` | content, once |
/// | `uploads/<id>` | what has been received of a blob |
/// | `repositories/<name>/<kind>/<key>` | small records; names and keys percent-encoded |
pub(super) struct DiskStorage {
    root: PathBuf,
}

const NAMES: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_');
const PIECE: usize = 256 * 1024;

fn failed(operation: &str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
    let text = format!("{operation} {}", path.display());
    move |error| StorageError::Other(format!("{text}: {error}"))
}

fn encoded(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, NAMES).to_string()
}

fn decoded(name: &std::ffi::OsStr) -> String {
    percent_encoding::percent_decode_str(&name.to_string_lossy()).decode_utf8_lossy().into_owned()
}

/// `None` when the file or directory does not exist.
fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl DiskStorage {
    pub(super) async fn open(root: PathBuf) -> StorageResult<Self> {
        for directory in ["blobs", "uploads", "repositories"].map(|name| root.join(name)) {
            fs::create_dir_all(&directory).await.map_err(failed("create", &directory))?;
        }
        Ok(Self { root })
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.root.join("blobs").join(encoded(digest))
    }

    fn upload(&self, id: &str) -> PathBuf {
        self.root.join("uploads").join(encoded(id))
    }

    fn records_of(&self, repository: &str, kind: RecordKind) -> PathBuf {
        self.root.join("repositories").join(encoded(repository)).join(kind.as_str())
    }

    async fn names_in(directory: &Path) -> StorageResult<Vec<String>> {
        let Some(mut entries) = if_there(fs::read_dir(directory).await).map_err(failed("read", directory))? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(failed("read", directory))? {
            let name = entry.file_name();
            // A record that was being written when the registry was killed.
            if !name.to_string_lossy().ends_with(".new") {
                names.push(decoded(&name));
            }
        }
        Ok(names)
    }
}

fn contents(file: File, length: u64) -> ByteStream {
    stream::try_unfold(file.take(length), |mut file| async move {
        let mut piece = vec![0; PIECE];
        let count =
            file.read(&mut piece).await.map_err(|error| StorageError::Other(format!("read content: {error}")))?;
        piece.truncate(count);
        Ok((count > 0).then(|| (Bytes::from(piece), file)))
    })
    .boxed()
}

#[async_trait]
impl Storage for DiskStorage {
    async fn blob_size(&self, digest: &str) -> StorageResult<Option<u64>> {
        let path = self.blob(digest);
        let metadata = if_there(fs::metadata(&path).await).map_err(failed("look up", &path))?;
        Ok(metadata.map(|metadata| metadata.len()))
    }

    async fn read_blob(&self, digest: &str, offset: u64, length: u64) -> StorageResult<ByteStream> {
        let path = self.blob(digest);
        let mut file = if_there(File::open(&path).await)
            .map_err(failed("open", &path))?
            .ok_or_else(|| StorageError::UnknownBlob(digest.to_owned()))?;
        file.seek(io::SeekFrom::Start(offset)).await.map_err(failed("seek in", &path))?;
        Ok(contents(file, length))
    }

    async fn remove_blob(&self, digest: &str) -> StorageResult<()> {
        let path = self.blob(digest);
        if_there(fs::remove_file(&path).await).map_err(failed("remove", &path)).map(|_| ())
    }

    async fn create_upload(&self) -> StorageResult<String> {
        let mut random = [0; 16];
        rand::rng().fill_bytes(&mut random);
        let id = hex::encode(random);
        let path = self.upload(&id);
        File::create(&path).await.map_err(failed("create", &path))?;
        Ok(id)
    }

    async fn upload_size(&self, id: &str) -> StorageResult<u64> {
        let path = self.upload(id);
        let metadata = if_there(fs::metadata(&path).await).map_err(failed("look up", &path))?;
        metadata.map(|metadata| metadata.len()).ok_or(StorageError::UnknownUpload)
    }

    async fn append_upload(&self, id: &str, offset: u64, mut content: ByteStream) -> StorageResult<u64> {
        let mut size = self.upload_size(id).await?;
        if size != offset {
            return Err(StorageError::WrongOffset { size, offset });
        }
        let path = self.upload(id);
        let mut file = File::options().append(true).open(&path).await.map_err(failed("open", &path))?;
        while let Some(piece) = content.next().await {
            let piece = piece?;
            file.write_all(&piece).await.map_err(failed("write", &path))?;
            size += piece.len() as u64;
        }
        file.flush().await.map_err(failed("write", &path))?;
        Ok(size)
    }

    async fn read_upload(&self, id: &str) -> StorageResult<ByteStream> {
        let path = self.upload(id);
        let file =
            if_there(File::open(&path).await).map_err(failed("open", &path))?.ok_or(StorageError::UnknownUpload)?;
        Ok(contents(file, u64::MAX))
    }

    async fn commit_upload(&self, id: &str, digest: &str) -> StorageResult<()> {
        let (from, to) = (self.upload(id), self.blob(digest));
        let file =
            if_there(File::open(&from).await).map_err(failed("open", &from))?.ok_or(StorageError::UnknownUpload)?;
        file.sync_all().await.map_err(failed("sync", &from))?;
        // Renaming over an existing blob replaces it by the same bytes.
        fs::rename(&from, &to).await.map_err(failed("store", &to))
    }

    async fn cancel_upload(&self, id: &str) -> StorageResult<()> {
        let path = self.upload(id);
        if_there(fs::remove_file(&path).await).map_err(failed("remove", &path))?.ok_or(StorageError::UnknownUpload)
    }

    async fn put_record(&self, repository: &str, kind: RecordKind, key: &str, value: Bytes) -> StorageResult<()> {
        let directory = self.records_of(repository, kind);
        fs::create_dir_all(&directory).await.map_err(failed("create", &directory))?;
        let path = directory.join(encoded(key));
        let aside = directory.join(format!("{}.new", encoded(key)));
        let mut file = File::create(&aside).await.map_err(failed("create", &aside))?;
        file.write_all(&value).await.map_err(failed("write", &aside))?;
        file.sync_all().await.map_err(failed("sync", &aside))?;
        fs::rename(&aside, &path).await.map_err(failed("store", &path))
    }

    async fn record(&self, repository: &str, kind: RecordKind, key: &str) -> StorageResult<Option<Bytes>> {
        let path = self.records_of(repository, kind).join(encoded(key));
        Ok(if_there(fs::read(&path).await).map_err(failed("read", &path))?.map(Bytes::from))
    }

    async fn delete_record(&self, repository: &str, kind: RecordKind, key: &str) -> StorageResult<()> {
        let path = self.records_of(repository, kind).join(encoded(key));
        if_there(fs::remove_file(&path).await).map_err(failed("remove", &path)).map(|_| ())
    }

    async fn records(&self, repository: &str, kind: RecordKind) -> StorageResult<Vec<String>> {
        Self::names_in(&self.records_of(repository, kind)).await
    }

    async fn repositories(&self) -> StorageResult<Vec<String>> {
        Self::names_in(&self.root.join("repositories")).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use docklab_registry::bytes_body;

    #[tokio::test]
    async fn content_outlives_the_storage_that_wrote_it() -> Result<(), Box<dyn std::error::Error>> {
        let root = tempfile::tempdir()?;
        let storage = DiskStorage::open(root.path().to_owned()).await?;
        let id = storage.create_upload().await?;
        assert_eq!(storage.append_upload(&id, 0, bytes_body(Bytes::from("hello "))).await?, 6);
        let early = storage.append_upload(&id, 3, bytes_body(Bytes::from("x"))).await;
        assert_eq!(early, Err(StorageError::WrongOffset { size: 6, offset: 3 }));
        storage.append_upload(&id, 6, bytes_body(Bytes::from("world"))).await?;
        storage.commit_upload(&id, "sha256:abc").await?;
        storage.put_record("me/app", RecordKind::Tag, "v1", Bytes::from("sha256:abc")).await?;

        let storage = DiskStorage::open(root.path().to_owned()).await?;
        assert_eq!(storage.blob_size("sha256:abc").await?, Some(11));
        let content = docklab_registry::collect(storage.read_blob("sha256:abc", 6, 3).await?).await?;
        assert_eq!(content, "wor");
        assert_eq!(storage.repositories().await?, ["me/app"]);
        assert_eq!(storage.records("me/app", RecordKind::Tag).await?, ["v1"]);
        assert_eq!(storage.upload_size(&id).await, Err(StorageError::UnknownUpload));
        Ok(())
    }
}
