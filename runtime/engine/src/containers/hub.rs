use std::sync::{Mutex, PoisonError};

use docklab_api::{ApiResult, OutputChunk, StdStream};
use docklab_host::{Output, Standard};
use futures::{StreamExt, stream::BoxStream};
use tokio::sync::mpsc;

/// Chunks that an attachment may be behind before it slows the container down, as a full pipe would.
const BACKLOG: usize = 1024;

struct Listener {
    number: u64,
    stdout: bool,
    stderr: bool,
    sender: mpsc::Sender<OutputChunk>,
}

#[derive(Default)]
struct Listeners {
    next: u64,
    all: Vec<Listener>,
}

/// Gives a container's output to everyone who is attached. Works before the container has started.
#[derive(Default)]
pub(crate) struct Hub {
    listeners: Mutex<Listeners>,
}

impl Hub {
    /// Adds an attachment; the stream ends with the container's run.
    pub(crate) fn attach(&self, stdout: bool, stderr: bool) -> (u64, BoxStream<'static, ApiResult<OutputChunk>>) {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let number = listeners.next;
        listeners.next += 1;
        listeners.all.push(Listener { number, stdout, stderr, sender });
        (number, receive(receiver))
    }

    /// Ends one attachment and leaves the container alone.
    pub(crate) fn detach(&self, number: u64) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.all.retain(|listener| listener.number != number);
    }

    /// Hands one piece of output to every attachment.
    pub(crate) async fn publish(&self, output: Output) {
        let chunk = chunk(output);
        let senders: Vec<(u64, mpsc::Sender<OutputChunk>)> = {
            let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
            listeners
                .all
                .iter()
                .filter(|listener| if chunk.stream == StdStream::Stderr { listener.stderr } else { listener.stdout })
                .map(|listener| (listener.number, listener.sender.clone()))
                .collect()
        };
        for (number, sender) in senders {
            if sender.send(chunk.clone()).await.is_err() {
                self.detach(number);
            }
        }
    }

    /// The run is over: every attachment's stream ends after what it has not read yet.
    pub(crate) fn close(&self) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).all.clear();
    }
}

/// A host's output as the API's.
pub(crate) fn chunk(output: Output) -> OutputChunk {
    let stream = match output.stream {
        Standard::Stdout => StdStream::Stdout,
        Standard::Stderr => StdStream::Stderr,
    };
    OutputChunk { stream, bytes: output.bytes }
}

/// A channel as a stream of the API.
pub(crate) fn receive<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> BoxStream<'static, ApiResult<T>> {
    futures::stream::unfold(receiver, |mut receiver| async move {
        let item = receiver.recv().await?;
        Some((Ok(item), receiver))
    })
    .boxed()
}
