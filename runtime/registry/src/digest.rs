use bytes::Bytes;
use futures::TryStreamExt;
use sha2::{Digest, Sha256, Sha512};

use crate::{ByteStream, StorageResult};

/// The digest of `content` in the algorithm that `like` names (SHA-256 unless that is SHA-512).
pub(crate) fn of_bytes(content: &[u8], like: &str) -> String {
    if like.starts_with("sha512:") {
        format!("sha512:{}", hex::encode(Sha512::digest(content)))
    } else {
        format!("sha256:{}", hex::encode(Sha256::digest(content)))
    }
}

/// As [`of_bytes`], of a stream.
pub(crate) async fn of_stream(content: ByteStream, like: &str) -> StorageResult<String> {
    async fn run<D: Digest + Send>(content: ByteStream) -> StorageResult<String> {
        let state = content
            .try_fold(D::new(), |mut state, piece: Bytes| async move {
                state.update(&piece);
                Ok(state)
            })
            .await?;
        Ok(hex::encode(state.finalize()))
    }
    if like.starts_with("sha512:") {
        Ok(format!("sha512:{}", run::<Sha512>(content).await?))
    } else {
        Ok(format!("sha256:{}", run::<Sha256>(content).await?))
    }
}
