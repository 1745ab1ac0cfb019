//! Blobs that the host keeps for work under way: each is there once, however many use it, and goes with the last of them.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use docklab_host::{ByteStream, Host, HostResult};

/// One blob: how many use it, and whether it is there.
#[derive(Default)]
struct Blob {
    users: usize,
    is_there: Arc<tokio::sync::Mutex<bool>>,
}

#[derive(Default)]
struct State {
    /// By digest.
    blobs: HashMap<String, Blob>,
    /// Streams that are being written and whose digests nobody knows yet.
    writing: usize,
    /// Unused blobs that such a stream may turn out to be.
    waiting: Vec<String>,
}

/// The staged blobs of an engine.
#[derive(Default)]
pub(crate) struct Staged {
    state: Mutex<State>,
}

/// A share in a blob. The last one to go removes it.
pub(crate) struct BlobUse {
    staged: Arc<Staged>,
    host: Arc<dyn Host>,
    digest: String,
    /// Bytes; 0 when the blob was not written through [`Staged::write`].
    size: u64,
    is_there: Arc<tokio::sync::Mutex<bool>>,
}

impl std::fmt::Debug for BlobUse {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("BlobUse").field(&self.digest).finish()
    }
}

impl Staged {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins those who use a blob.
    pub(crate) fn join(self: &Arc<Self>, host: &Arc<dyn Host>, digest: &str) -> BlobUse {
        let mut state = self.state();
        let blob = state.blobs.entry(digest.to_owned()).or_default();
        blob.users += 1;
        BlobUse {
            staged: Arc::clone(self),
            host: Arc::clone(host),
            digest: digest.to_owned(),
            size: 0,
            is_there: Arc::clone(&blob.is_there),
        }
    }

    /// Stages a stream.
    pub(crate) async fn write(self: &Arc<Self>, host: &Arc<dyn Host>, content: ByteStream) -> HostResult<BlobUse> {
        let writing = Writing::begin(self, host);
        let blob = host.write_blob(None, content).await?;
        let mut used = self.join(host, &blob.digest);
        used.size = blob.size;
        *used.is_there.lock().await = true;
        drop(writing);
        Ok(used)
    }

    /// Blobs that are held at the moment.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.state().blobs.len()
    }
}

/// While it lives no unused blob is removed.
struct Writing {
    staged: Arc<Staged>,
    host: Arc<dyn Host>,
}

impl Writing {
    fn begin(staged: &Arc<Staged>, host: &Arc<dyn Host>) -> Self {
        staged.state().writing += 1;
        Self { staged: Arc::clone(staged), host: Arc::clone(host) }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.staged.state();
            state.writing -= 1;
            if state.writing > 0 { Vec::new() } else { std::mem::take(&mut state.waiting) }
        };
        for digest in waiting {
            remove(&self.staged, &self.host, digest);
        }
    }
}

impl BlobUse {
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Waits for whoever downloads the blob; when nobody has done it, does it. False when it was there already.
    pub(crate) async fn ensure<E>(&self, download: impl Future<Output = Result<(), E>> + Send) -> Result<bool, E> {
        let mut is_there = self.is_there.lock().await;
        if *is_there {
            return Ok(false);
        }
        download.await?;
        *is_there = true;
        Ok(true)
    }
}

impl Drop for BlobUse {
    fn drop(&mut self) {
        {
            let mut state = self.staged.state();
            let Some(blob) = state.blobs.get_mut(&self.digest) else { return };
            blob.users -= 1;
            if blob.users > 0 {
                return;
            }
            if state.writing > 0 {
                state.waiting.push(self.digest.clone());
                return;
            }
        }
        remove(&self.staged, &self.host, self.digest.clone());
    }
}

/// Removes a blob in the background, unless somebody joins first.
fn remove(staged: &Arc<Staged>, host: &Arc<dyn Host>, digest: String) {
    let (staged, task) = (Arc::clone(staged), Arc::clone(host));
    host.spawn(Box::pin(async move {
        let is_there = match staged.state().blobs.get(&digest) {
            Some(blob) => Arc::clone(&blob.is_there),
            None => return,
        };
        // Whoever joins meanwhile waits here, and then finds the blob gone.
        let mut is_there = is_there.lock().await;
        if staged.state().blobs.get(&digest).is_none_or(|blob| blob.users > 0) {
            return;
        }
        if *is_there && let Err(error) = task.remove_blob(&digest).await {
            tracing::warn!(digest, %error, "a blob that nothing needs stays");
        }
        *is_there = false;
        let mut state = staged.state();
        if state.blobs.get(&digest).is_some_and(|blob| blob.users == 0) {
            state.blobs.remove(&digest);
        }
    }));
}
