//! Byte streams between processes.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    task::{Poll, Waker},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::poll_fn;

use super::Tty;
use crate::{
    fs::{Content, FileError, View},
    world::lock,
};

/// The reader of a stream has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

/// Where a process writes.
#[async_trait]
pub trait Sink: Send + Sync {
    async fn write(&self, bytes: &[u8]) -> Result<(), Closed>;
}

/// Where output ends that nobody wants.
pub struct Null;

#[async_trait]
impl Sink for Null {
    async fn write(&self, _: &[u8]) -> Result<(), Closed> {
        Ok(())
    }
}

/// Collects everything.
#[derive(Default)]
pub struct Collect(Mutex<Vec<u8>>);

impl Collect {
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.0))
    }
}

#[async_trait]
impl Sink for Collect {
    async fn write(&self, bytes: &[u8]) -> Result<(), Closed> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(())
    }
}

/// A file that is written to; every write lands in the file system at once.
pub(crate) struct FileSink {
    pub(crate) view: View,
    pub(crate) path: String,
}

#[async_trait]
impl Sink for FileSink {
    async fn write(&self, bytes: &[u8]) -> Result<(), Closed> {
        self.view.write(&self.path, bytes, true).map_err(|_| Closed)
    }
}

/// Opens a path for writing, emptied unless `append`. Device files write where they lead.
pub(crate) fn open_sink(view: &View, path: &str, append: bool, own: &Streams) -> Result<Arc<dyn Sink>, FileError> {
    match path {
        "/dev/stdout" | "/proc/self/fd/1" => return Ok(own.stdout.clone()),
        "/dev/stderr" | "/proc/self/fd/2" => return Ok(own.stderr.clone()),
        "/dev/tty" => {
            return own.tty.clone().map(|tty| tty as Arc<dyn Sink>).ok_or(FileError::Denied);
        }
        _ => {}
    }
    if let Ok(entry) = view.stat(path)
        && matches!(entry.content, Content::CharDevice(..))
    {
        return Ok(Arc::new(Null));
    }
    view.write(path, &[], append)?;
    Ok(Arc::new(FileSink { view: view.clone(), path: path.to_owned() }))
}

const PIPE_CAPACITY: usize = 64 * 1024;

#[derive(Default)]
struct PipeState {
    buffer: VecDeque<u8>,
    writer_gone: bool,
    reader_gone: bool,
    wakers: Vec<Waker>,
}

impl PipeState {
    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

/// The writing end of a pipe; dropping the last handle is end of file for the reader.
pub struct PipeWriter(Arc<Mutex<PipeState>>);
/// The reading end; dropping it makes writes fail.
pub struct PipeReader(Arc<Mutex<PipeState>>);

pub fn pipe() -> (Arc<PipeWriter>, Arc<PipeReader>) {
    let state = Arc::new(Mutex::new(PipeState::default()));
    (Arc::new(PipeWriter(state.clone())), Arc::new(PipeReader(state)))
}

impl PipeWriter {
    /// Appends past the capacity too, for a writer that cannot wait.
    pub(crate) fn push(&self, bytes: &[u8]) {
        let mut state = lock(&self.0);
        state.buffer.extend(bytes);
        state.wake();
    }
    /// End of file for the reader, now.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.0);
        state.writer_gone = true;
        state.wake();
    }
}

#[async_trait]
impl Sink for PipeWriter {
    async fn write(&self, bytes: &[u8]) -> Result<(), Closed> {
        let mut rest = bytes;
        poll_fn(|context| {
            let mut state = lock(&self.0);
            loop {
                if state.reader_gone {
                    return Poll::Ready(Err(Closed));
                }
                if rest.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                let room = PIPE_CAPACITY.saturating_sub(state.buffer.len()).min(rest.len());
                if room == 0 {
                    state.wakers.push(context.waker().clone());
                    return Poll::Pending;
                }
                state.buffer.extend(&rest[..room]);
                rest = &rest[room..];
                state.wake();
            }
        })
        .await
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.close();
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.reader_gone = true;
        state.wake();
    }
}

/// Where a process reads.
#[derive(Clone)]
pub enum Source {
    Null,
    Pipe(Arc<PipeReader>),
    Tty(Arc<Tty>),
    Bytes(Arc<Mutex<Bytes>>),
}

impl Source {
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::Bytes(Arc::new(Mutex::new(bytes.into())))
    }
    /// The next piece; `None` at end of file.
    pub async fn read(&self) -> Option<Bytes> {
        match self {
            Self::Null => None,
            Self::Tty(tty) => tty.read().await,
            Self::Bytes(bytes) => {
                let bytes = std::mem::take(&mut *lock(bytes));
                (!bytes.is_empty()).then_some(bytes)
            }
            Self::Pipe(pipe) => {
                poll_fn(|context| {
                    let mut state = lock(&pipe.0);
                    if !state.buffer.is_empty() {
                        let bytes: Vec<u8> = state.buffer.drain(..).collect();
                        state.wake();
                        return Poll::Ready(Some(Bytes::from(bytes)));
                    }
                    if state.writer_gone {
                        return Poll::Ready(None);
                    }
                    state.wakers.push(context.waker().clone());
                    Poll::Pending
                })
                .await
            }
        }
    }
    /// Gives back what was read too much.
    fn unread(&self, rest: &[u8]) {
        match self {
            Self::Null => {}
            Self::Tty(tty) => tty.unread(rest),
            Self::Bytes(bytes) => {
                let mut bytes = lock(bytes);
                *bytes = [rest, &bytes].concat().into();
            }
            Self::Pipe(pipe) => {
                let mut state = lock(&pipe.0);
                rest.iter().rev().for_each(|byte| state.buffer.push_front(*byte));
            }
        }
    }
    /// A line without its newline; `None` at end of file.
    pub async fn read_line(&self) -> Option<String> {
        let mut line = Vec::new();
        loop {
            let Some(piece) = self.read().await else {
                return (!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned());
            };
            if let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
                line.extend_from_slice(&piece[..end]);
                if end + 1 < piece.len() {
                    self.unread(&piece[end + 1..]);
                }
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            line.extend_from_slice(&piece);
        }
    }
    pub async fn read_to_end(&self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = self.read().await {
            all.extend_from_slice(&piece);
        }
        all
    }
}

/// A process's standard streams and its terminal.
#[derive(Clone)]
pub struct Streams {
    pub stdin: Source,
    pub stdout: Arc<dyn Sink>,
    pub stderr: Arc<dyn Sink>,
    /// The controlling terminal. A stream may be redirected although there is one.
    pub tty: Option<Arc<Tty>>,
}

impl Streams {
    /// All three on one terminal.
    pub(crate) fn terminal(tty: &Arc<Tty>) -> Self {
        Self { stdin: Source::Tty(tty.clone()), stdout: tty.clone(), stderr: tty.clone(), tty: Some(tty.clone()) }
    }
    /// The terminal, when standard output is it.
    pub(crate) fn output_terminal(&self) -> Option<&Arc<Tty>> {
        self.tty.as_ref().filter(|tty| std::ptr::addr_eq(Arc::as_ptr(&self.stdout), Arc::as_ptr(tty)))
    }
    pub(crate) fn input_is_terminal(&self) -> bool {
        matches!(self.stdin, Source::Tty(_))
    }
}
