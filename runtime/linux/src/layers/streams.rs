//! Between the engine's asynchronous byte streams and the blocking world of files and tar.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes, BytesMut};
use docklab_host::{ByteStream, Compression, HostError, HostResult};
use futures::StreamExt;
use tokio::{runtime::Handle, sync::mpsc};

/// Bytes that travel together through a channel.
const CHUNK: usize = 64 * 1024;
/// Chunks in flight between a blocking producer and its consumer.
const CHUNKS_IN_FLIGHT: usize = 8;

/// Reads a stream from a blocking thread.
pub(crate) struct StreamReader {
    runtime: Handle,
    stream: ByteStream,
    current: Bytes,
}

impl StreamReader {
    pub(crate) fn new(runtime: Handle, stream: ByteStream) -> Self {
        Self { runtime, stream, current: Bytes::new() }
    }
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                None => return Ok(0),
                Some(Ok(bytes)) => self.current = bytes,
                Some(Err(error)) => return Err(io::Error::other(error)),
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// Undoes a layer blob's compression.
pub(crate) fn decompress(compression: Compression, reader: impl Read + Send + 'static) -> Box<dyn Read> {
    let reader = io::BufReader::with_capacity(CHUNK, reader);
    match compression {
        Compression::None => Box::new(reader),
        compression => Box::new(io::BufReader::with_capacity(CHUNK, compression.decoder(reader))),
    }
}

/// Collects what is written into chunks and hands them to an asynchronous reader; blocks while that one is behind.
pub(crate) struct ChannelWriter {
    sender: mpsc::Sender<HostResult<Bytes>>,
    buffer: BytesMut,
}

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let bytes = self.buffer.split().freeze();
        self.sender
            .blocking_send(Ok(bytes))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the reader went away"))
    }
}

/// A stream of what `produce` writes. An error ends the stream; when the reader goes away, `produce` fails with a broken pipe.
pub(crate) fn produce(write: impl FnOnce(&mut ChannelWriter) -> HostResult<()> + Send + 'static) -> ByteStream {
    let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
    tokio::task::spawn_blocking(move || {
        let mut writer = ChannelWriter { sender: sender.clone(), buffer: BytesMut::with_capacity(CHUNK) };
        let result = write(&mut writer).and_then(|()| writer.flush().map_err(|error| io_error("stream", error)));
        if let Err(error) = result {
            // A reader that has gone has no use for the error.
            let _ = sender.blocking_send(Err(error));
        }
    });
    futures::stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|item| (item, receiver)) })
        .boxed()
}

/// Runs blocking file work away from the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> HostResult<T> + Send + 'static,
) -> HostResult<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(HostError::other("blocking task", error)),
    }
}

/// Names the failed operation; a full disk keeps its own kind, and so does an error that came through a [`StreamReader`].
pub(crate) fn io_error(operation: impl AsRef<str>, error: io::Error) -> HostError {
    match error.raw_os_error() {
        Some(code) if code == nix::libc::ENOSPC || code == nix::libc::EDQUOT => return HostError::NoSpace,
        _ => {}
    }
    // Readers between us and the stream may have wrapped the error once more.
    let mut source: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(inner) = source {
        if let Some(host) = inner.downcast_ref::<HostError>() {
            return host.clone();
        }
        source = match inner.downcast_ref::<io::Error>() {
            Some(wrapped) => match wrapped.raw_os_error() {
                Some(code) if code == nix::libc::ENOSPC => return HostError::NoSpace,
                _ => wrapped.get_ref().map(|inner| inner as _),
            },
            None => inner.source(),
        };
    }
    HostError::other(operation, error)
}

/// The same for the kernel's numbers.
pub(crate) fn errno(operation: impl AsRef<str>, error: nix::errno::Errno) -> HostError {
    io_error(operation, io::Error::from(error))
}
