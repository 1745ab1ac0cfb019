use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use crate::{ByteStream, RecordKind, Storage, StorageError, StorageResult, bytes_body};

/// A [`Storage`] in memory, for the simulator and for tests.
#[derive(Default)]
pub struct MemoryStorage {
    state: Mutex<State>,
    next_upload: AtomicU64,
}

#[derive(Default)]
struct State {
    blobs: HashMap<String, Bytes>,
    uploads: HashMap<String, BytesMut>,
    records: BTreeMap<(String, RecordKind), BTreeMap<String, Bytes>>,
}

impl MemoryStorage {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn blob_size(&self, digest: &str) -> StorageResult<Option<u64>> {
        Ok(self.state().blobs.get(digest).map(|blob| blob.len() as u64))
    }

    async fn read_blob(&self, digest: &str, offset: u64, length: u64) -> StorageResult<ByteStream> {
        let state = self.state();
        let blob = state.blobs.get(digest).ok_or_else(|| StorageError::UnknownBlob(digest.to_owned()))?;
        let size = blob.len();
        let start = usize::try_from(offset).unwrap_or(size).min(size);
        let end = start.saturating_add(usize::try_from(length).unwrap_or(size)).min(size);
        Ok(bytes_body(blob.slice(start..end)))
    }

    async fn remove_blob(&self, digest: &str) -> StorageResult<()> {
        self.state().blobs.remove(digest);
        Ok(())
    }

    async fn create_upload(&self) -> StorageResult<String> {
        let id = format!("upload-{}", self.next_upload.fetch_add(1, Ordering::Relaxed));
        self.state().uploads.insert(id.clone(), BytesMut::new());
        Ok(id)
    }

    async fn upload_size(&self, id: &str) -> StorageResult<u64> {
        self.state().uploads.get(id).map(|upload| upload.len() as u64).ok_or(StorageError::UnknownUpload)
    }

    async fn append_upload(&self, id: &str, offset: u64, mut content: ByteStream) -> StorageResult<u64> {
        let mut size = self.upload_size(id).await?;
        if size != offset {
            return Err(StorageError::WrongOffset { size, offset });
        }
        while let Some(piece) = content.next().await {
            let piece = piece?;
            let mut state = self.state();
            let upload = state.uploads.get_mut(id).ok_or(StorageError::UnknownUpload)?;
            upload.extend_from_slice(&piece);
            size = upload.len() as u64;
        }
        Ok(size)
    }

    async fn read_upload(&self, id: &str) -> StorageResult<ByteStream> {
        let state = self.state();
        let upload = state.uploads.get(id).ok_or(StorageError::UnknownUpload)?;
        Ok(bytes_body(upload.clone().freeze()))
    }

    async fn commit_upload(&self, id: &str, digest: &str) -> StorageResult<()> {
        let mut state = self.state();
        let upload = state.uploads.remove(id).ok_or(StorageError::UnknownUpload)?;
        state.blobs.entry(digest.to_owned()).or_insert_with(|| upload.freeze());
        Ok(())
    }

    async fn cancel_upload(&self, id: &str) -> StorageResult<()> {
        self.state().uploads.remove(id).map(drop).ok_or(StorageError::UnknownUpload)
    }

    async fn put_record(&self, repository: &str, kind: RecordKind, key: &str, value: Bytes) -> StorageResult<()> {
        self.state().records.entry((repository.to_owned(), kind)).or_default().insert(key.to_owned(), value);
        Ok(())
    }

    async fn record(&self, repository: &str, kind: RecordKind, key: &str) -> StorageResult<Option<Bytes>> {
        Ok(self.state().records.get(&(repository.to_owned(), kind)).and_then(|records| records.get(key).cloned()))
    }

    async fn delete_record(&self, repository: &str, kind: RecordKind, key: &str) -> StorageResult<()> {
        if let Some(records) = self.state().records.get_mut(&(repository.to_owned(), kind)) {
            records.remove(key);
        }
        Ok(())
    }

    async fn records(&self, repository: &str, kind: RecordKind) -> StorageResult<Vec<String>> {
        Ok(self
            .state()
            .records
            .get(&(repository.to_owned(), kind))
            .map(|records| records.keys().cloned().collect())
            .unwrap_or_default())
    }

    async fn repositories(&self) -> StorageResult<Vec<String>> {
        let mut names: Vec<String> = self
            .state()
            .records
            .iter()
            .filter(|(_, records)| !records.is_empty())
            .map(|((name, _), _)| name.clone())
            .collect();
        names.dedup();
        Ok(names)
    }
}
