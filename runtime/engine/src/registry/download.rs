//! One layer from a registry: downloaded, and taken up again where it was cut off.

use std::{sync::Arc, time::Duration};

use bytes::{Buf as _, Bytes};
use docklab_api::ApiError;
use docklab_host::{ByteStream, Host, HostError, HttpResponse};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    client::{Call, Client, header},
    manifest::{Descriptor, short},
    refusal::{Attempt, Trouble, refusal},
};
use crate::progress::Progress;

/// Tries in a row that bring nothing, as Docker's default.
pub(super) const ATTEMPTS: u32 = 5;

/// Waits before the next try, longer each time, and counts down beside the layer's name.
pub(super) async fn back_off(host: &dyn Host, progress: &Progress, id: &str, failed: u32, after: Option<Duration>) {
    let pause = after.map_or(0, |after| after.as_secs().min(60)).max(u64::from(5 * failed));
    for left in (1..=pause).rev() {
        progress.layer(id, &format!("Retrying in {left} second{}", if left == 1 { "" } else { "s" }));
        host.sleep(Duration::from_secs(1)).await;
    }
}

/// A layer on its way.
struct Download {
    host: Arc<dyn Host>,
    client: Arc<Client>,
    layer: Descriptor,
    progress: Progress,
    body: Option<ByteStream>,
    /// Bytes that have come.
    offset: u64,
    /// Tries since the last byte.
    failed: u32,
}

/// Brings a layer's blob into the host's store, checked.
pub(super) async fn download(
    host: &Arc<dyn Host>,
    client: &Arc<Client>,
    layer: &Descriptor,
    progress: &Progress,
) -> Attempt<()> {
    let download = Download {
        host: Arc::clone(host),
        client: Arc::clone(client),
        layer: layer.clone(),
        progress: progress.clone(),
        body: None,
        offset: 0,
        failed: 0,
    };
    // An error of the stream reaches us as text only; the refusal itself is kept here.
    let refused = Arc::new(std::sync::Mutex::new(None));
    let kept = Arc::clone(&refused);
    let content = stream::try_unfold(download, move |mut download| {
        let kept = Arc::clone(&kept);
        async move {
            match download.next().await {
                Ok(bytes) => Ok(bytes.map(|bytes| (bytes, download))),
                Err(trouble) => {
                    let message = trouble.error.message.clone();
                    *kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(trouble);
                    Err(HostError::Other(message))
                }
            }
        }
    });
    let id = short(&layer.digest);
    let written = host.write_blob(Some(&layer.digest), content.boxed()).await;
    if let Some(trouble) = refused.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
        return Err(trouble);
    }
    progress.layer(id, "Verifying Checksum");
    written.map_err(|error| match error {
        HostError::DigestMismatch { .. } => {
            ApiError::system(format!("filesystem layer verification failed for digest {}", layer.digest)).into()
        }
        error => Trouble::from(error),
    })?;
    progress.layer(id, "Download complete");
    Ok(())
}

impl Download {
    /// The next bytes; `None` when the layer is complete.
    async fn next(&mut self) -> Attempt<Option<Bytes>> {
        loop {
            match self.step().await {
                Ok(bytes) => return Ok(bytes),
                Err(trouble) => {
                    self.body = None;
                    self.failed += 1;
                    if !trouble.again || self.failed >= ATTEMPTS {
                        return Err(trouble);
                    }
                    let id = short(&self.layer.digest).to_owned();
                    back_off(&*self.host, &self.progress, &id, self.failed, trouble.after).await;
                }
            }
        }
    }

    async fn step(&mut self) -> Attempt<Option<Bytes>> {
        let mut body = match self.body.take() {
            Some(body) => body,
            None => {
                // (The download itself cannot be shared between threads while a request is on its way.)
                let (client, layer, offset) = (Arc::clone(&self.client), self.layer.clone(), self.offset);
                open(&client, &layer, offset).await?
            }
        };
        match body.try_next().await {
            Ok(Some(bytes)) => {
                self.offset += bytes.len() as u64;
                self.failed = 0;
                self.progress.bar(short(&self.layer.digest), "Downloading", self.offset, self.layer.size);
                self.body = Some(body);
                Ok(Some(bytes))
            }
            // A body may end early without an error when its length was not told.
            Ok(None) if self.offset < self.layer.size => Err(cut(HostError::Network("unexpected EOF".to_owned()))),
            Ok(None) => Ok(None),
            Err(error) => Err(cut(error)),
        }
    }
}

/// Asks for a layer from `offset` on.
async fn open(client: &Client, layer: &Descriptor, offset: u64) -> Attempt<ByteStream> {
    let mut call = Call::new("GET", format!("blobs/{}", layer.digest));
    if offset > 0 {
        call = call.header("Range", format!("bytes={offset}-"));
    }
    let response = client.send(&call).await?;
    match response.status {
        200 => Ok(skip(response.body, offset)),
        206 if begins_at(&response, offset) => Ok(response.body),
        206 => Err(ApiError::system("the registry answered with another part of the layer than was asked for").into()),
        _ => Err(refusal(response).await),
    }
}

/// What a connection does to a layer in the middle of it is worth another try; what the disk does is not.
fn cut(error: HostError) -> Trouble {
    let again = !matches!(error, HostError::NoSpace);
    Trouble { again, ..Trouble::from(error) }
}

fn begins_at(response: &HttpResponse, offset: u64) -> bool {
    let range = header(response, "content-range").and_then(|range| range.strip_prefix("bytes "));
    range.and_then(|range| range.split('-').next()?.trim().parse().ok()) == Some(offset)
}

/// A registry without ranges begins again from the start.
fn skip(body: ByteStream, count: u64) -> ByteStream {
    let mut left = count;
    body.map_ok(move |mut bytes| {
        let step = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        bytes.advance(step);
        left -= step as u64;
        bytes
    })
    .boxed()
}
