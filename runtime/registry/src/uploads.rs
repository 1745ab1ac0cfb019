use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use sha2::{Digest, Sha256};

use crate::{
    ByteStream, ErrorCode, Head, RecordKind, Registry, Request, Response, StorageError, digest,
    error::{Failure, Outcome},
    names::{is_digest, is_repository},
};

/// SHA-256 of the first `size` bytes of an upload.
#[derive(Clone, Default)]
pub(crate) struct RunningDigest {
    size: u64,
    state: Sha256,
}

impl Registry {
    pub(crate) async fn start_upload(&self, repository: &str, request: Request) -> Outcome {
        if let Some(digest) = request.parameter("mount") {
            if !is_digest(&digest) {
                return Err(ErrorCode::DigestInvalid.about(digest));
            }
            let from = request.parameter("from").filter(|from| is_repository(from));
            if let Some(from) = from
                && self.linked_blob(&from, &digest).await?.is_some()
            {
                self.storage.put_record(repository, RecordKind::Blob, &digest, Bytes::new()).await?;
                return Ok(created(repository, &digest));
            }
            // Not mounted: an ordinary upload begins, as the specification asks.
        } else if let Some(digest) = request.parameter("digest") {
            let id = self.storage.create_upload().await?;
            return match self.receive(&id, 0, request.body).await {
                Ok(_) => self.commit(repository, &id, &digest).await,
                Err(failure) => {
                    self.forget(&id).await;
                    Err(failure)
                }
            };
        }
        let id = self.storage.create_upload().await?;
        Ok(accepted(repository, &id, 0, 202).with("Docker-Upload-Uuid", id))
    }

    pub(crate) async fn upload_status(&self, repository: &str, id: &str) -> Outcome {
        let size = self.storage.upload_size(id).await?;
        Ok(accepted(repository, id, size, 204).with("Docker-Upload-Uuid", id))
    }

    pub(crate) async fn append_upload(&self, repository: &str, id: &str, request: Request) -> Outcome {
        let size = self.storage.upload_size(id).await?;
        if let Some(refusal) = wrong_range(repository, id, &request, size) {
            return Ok(refusal);
        }
        let size = self.receive(id, size, request.body).await?;
        Ok(accepted(repository, id, size, 202).with("Docker-Upload-Uuid", id))
    }

    pub(crate) async fn finish_upload(&self, repository: &str, id: &str, request: Request) -> Outcome {
        let size = self.storage.upload_size(id).await?;
        let Some(digest) = request.parameter("digest") else {
            return Err(ErrorCode::DigestInvalid.about("the digest parameter is missing"));
        };
        if !is_digest(&digest) {
            return Err(ErrorCode::DigestInvalid.about(digest));
        }
        if let Some(refusal) = wrong_range(repository, id, &request, size) {
            return Ok(refusal);
        }
        self.receive(id, size, request.body).await?;
        self.commit(repository, id, &digest).await
    }

    pub(crate) async fn cancel_upload(&self, id: &str) -> Outcome {
        self.storage.cancel_upload(id).await?;
        self.running().remove(id);
        Ok(Response::new(204))
    }

    /// Stores a body at the end of an upload and digests it on its way.
    async fn receive(&self, id: &str, offset: u64, body: ByteStream) -> Result<u64, Failure> {
        let known = self.running().remove(id).or_else(|| (offset == 0).then(RunningDigest::default));
        let known = known.filter(|running| running.size == offset);
        let running = Arc::new(Mutex::new(known));
        let tap = Arc::clone(&running);
        let body = body
            .inspect(move |piece| {
                if let (Ok(piece), Some(running)) = (piece, tap.lock().unwrap_or_else(PoisonError::into_inner).as_mut())
                {
                    running.state.update(piece);
                    running.size += piece.len() as u64;
                }
            })
            .boxed();
        let size = self.storage.append_upload(id, offset, body).await?;
        let running = running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running.filter(|running| running.size == size) {
            self.running().insert(id.to_owned(), running);
        }
        Ok(size)
    }

    async fn commit(&self, repository: &str, id: &str, expected: &str) -> Outcome {
        let size = self.storage.upload_size(id).await?;
        let running = self.running().remove(id).filter(|running| running.size == size);
        let actual = match running {
            Some(running) if expected.starts_with("sha256:") => {
                format!("sha256:{}", hex::encode(running.state.finalize()))
            }
            _ => digest::of_stream(self.storage.read_upload(id).await?, expected).await?,
        };
        if actual != expected {
            self.forget(id).await;
            return Err(ErrorCode::DigestInvalid.about(format!("the content is {actual}, not {expected}")));
        }
        self.storage.commit_upload(id, expected).await?;
        self.storage.put_record(repository, RecordKind::Blob, expected, Bytes::new()).await?;
        Ok(created(repository, expected))
    }

    /// Drops an upload that cannot be finished; the client is told of the first failure, not of this one.
    async fn forget(&self, id: &str) {
        let _: Result<(), StorageError> = self.storage.cancel_upload(id).await;
        self.running().remove(id);
    }

    fn running(&self) -> std::sync::MutexGuard<'_, std::collections::HashMap<String, RunningDigest>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn location(repository: &str, id: &str) -> String {
    format!("/v2/{repository}/blobs/uploads/{id}")
}

fn accepted(repository: &str, id: &str, size: u64, status: u16) -> Response {
    Response::new(status)
        .with("Location", location(repository, id))
        .with("Range", format!("0-{}", size.saturating_sub(1)))
        .empty()
}

fn created(repository: &str, digest: &str) -> Response {
    Response::new(201)
        .with("Location", format!("/v2/{repository}/blobs/{digest}"))
        .with("Docker-Content-Digest", digest)
        .empty()
}

/// A 416 when the chunk does not begin where the upload ends, or its length is not what its range says.
fn wrong_range(repository: &str, id: &str, request: &Head, size: u64) -> Option<Response> {
    let range = request.get_header("content-range")?;
    let range = range.strip_prefix("bytes ").unwrap_or(range);
    let range = range.split('/').next().unwrap_or(range);
    let bounds = range.split_once('-').and_then(|(start, end)| Some((start.parse().ok()?, end.parse().ok()?)));
    let good = bounds.is_some_and(|(start, end): (u64, u64)| {
        let length = request.get_header("content-length").and_then(|length| length.parse::<u64>().ok());
        start == size && start <= end && length.is_none_or(|length| length == end + 1 - start)
    });
    (!good).then(|| {
        Response::from(ErrorCode::RangeInvalid.about(format!("the upload holds {size} bytes")))
            .with("Location", location(repository, id))
            .with("Range", format!("0-{}", size.saturating_sub(1)))
    })
}
