use crate::{
    ErrorCode, Head, RecordKind, Registry, Response, StorageResult, error::Outcome, names::is_digest, registry::Part,
};

impl Registry {
    /// The size of a blob that `repository` may serve.
    pub(crate) async fn linked_blob(&self, repository: &str, digest: &str) -> StorageResult<Option<u64>> {
        match self.storage.record(repository, RecordKind::Blob, digest).await? {
            Some(_) => self.storage.blob_size(digest).await,
            None => Ok(None),
        }
    }

    pub(crate) async fn get_blob(&self, repository: &str, digest: &str, request: &Head) -> Outcome {
        if !is_digest(digest) {
            return Err(ErrorCode::DigestInvalid.about(digest));
        }
        let Some(size) = self.linked_blob(repository, digest).await? else {
            return Err(ErrorCode::BlobUnknown.about(digest));
        };
        let response = |status| {
            Response::new(status)
                .with("Content-Type", "application/octet-stream")
                .with("Docker-Content-Digest", digest)
                .with("Etag", format!("\"{digest}\""))
                .with("Accept-Ranges", "bytes")
                .with("Cache-Control", "max-age=31536000")
        };
        match Part::parse(request.get_header("range"), size) {
            Part::Whole => {
                let mut response = response(200).with("Content-Length", size.to_string());
                if size > 0 && request.method != "HEAD" {
                    response.body = self.content(digest, 0, size - 1).await?;
                }
                Ok(response)
            }
            Part::Slice { start, end } => {
                let mut response = response(206)
                    .with("Content-Length", (end + 1 - start).to_string())
                    .with("Content-Range", format!("bytes {start}-{end}/{size}"));
                response.body = self.content(digest, start, end).await?;
                Ok(response)
            }
            Part::Unsatisfiable => {
                let refusal = Response::from(ErrorCode::RangeInvalid.about(format!("the blob has {size} bytes")));
                Ok(refusal.with("Content-Range", format!("bytes */{size}")))
            }
        }
    }

    pub(crate) async fn delete_blob(&self, repository: &str, digest: &str) -> Outcome {
        if !is_digest(digest) {
            return Err(ErrorCode::DigestInvalid.about(digest));
        }
        if self.linked_blob(repository, digest).await?.is_none() {
            return Err(ErrorCode::BlobUnknown.about(digest));
        }
        self.storage.delete_record(repository, RecordKind::Blob, digest).await?;
        for other in self.storage.repositories().await? {
            if self.storage.record(&other, RecordKind::Blob, digest).await?.is_some() {
                return Ok(Response::new(202).empty());
            }
        }
        self.storage.remove_blob(digest).await?;
        Ok(Response::new(202).empty())
    }
}
