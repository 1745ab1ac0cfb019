//! What containers write: live output and the log.

use std::{
    sync::{Arc, Mutex},
    task::{Poll, Waker},
};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_host::{HostResult, LogQuery, LogRecord, Output, Standard};
use futures::{
    StreamExt,
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    future::poll_fn,
    stream::{self, BoxStream},
};

use crate::{
    process::{Closed, Sink},
    world::{Clock, lock},
};

/// Docker splits longer lines.
const LONGEST_PIECE: usize = 16 * 1024;

#[derive(Default)]
struct LogState {
    records: Vec<LogRecord>,
    partial: [Vec<u8>; 2],
    running: bool,
    wakers: Vec<Waker>,
}

/// The log of a container; it outlives the container's runs.
#[derive(Default)]
pub(crate) struct ContainerLog(Mutex<LogState>);

impl ContainerLog {
    pub(crate) fn begin(&self) {
        lock(&self.0).running = true;
    }
    fn write(&self, clock: &Clock, standard: Standard, bytes: &[u8]) {
        let mut state = lock(&self.0);
        let index = usize::from(standard == Standard::Stderr);
        for &byte in bytes {
            state.partial[index].push(byte);
            if byte == b'\n' || state.partial[index].len() >= LONGEST_PIECE {
                let piece = std::mem::take(&mut state.partial[index]);
                state.records.push(LogRecord { at: clock.now(), stream: standard, bytes: piece.into() });
            }
        }
        state.wakers.drain(..).for_each(Waker::wake);
    }
    pub(crate) fn end(&self, clock: &Clock) {
        let mut state = lock(&self.0);
        for (index, standard) in [Standard::Stdout, Standard::Stderr].into_iter().enumerate() {
            let piece = std::mem::take(&mut state.partial[index]);
            if !piece.is_empty() {
                state.records.push(LogRecord { at: clock.now(), stream: standard, bytes: piece.into() });
            }
        }
        state.running = false;
        state.wakers.drain(..).for_each(Waker::wake);
    }
    pub(crate) fn read(self: &Arc<Self>, query: &LogQuery) -> BoxStream<'static, HostResult<LogRecord>> {
        let until = query.until;
        let follow = query.follow;
        let start = {
            let state = lock(&self.0);
            let since = query.since;
            let from = state.records.iter().position(|record| since.is_none_or(|since| record.at >= since));
            let from = from.unwrap_or(state.records.len());
            let tail = query.tail.map_or(usize::MAX, |tail| tail as usize);
            from.max(state.records.len().saturating_sub(tail))
        };
        let end = if follow { usize::MAX } else { lock(&self.0).records.len() };
        let log = self.clone();
        stream::unfold(start, move |at| {
            let log = log.clone();
            async move {
                let record = poll_fn(|context| {
                    let mut state = lock(&log.0);
                    if at < end && at < state.records.len() {
                        return Poll::Ready(Some(state.records[at].clone()));
                    }
                    if !follow || !state.running {
                        return Poll::Ready(None);
                    }
                    state.wakers.push(context.waker().clone());
                    Poll::Pending
                })
                .await?;
                until.is_none_or(|until| record.at <= until).then_some((Ok(record), at + 1))
            }
        })
        .boxed()
    }
}

/// Spreads a process's output over its log and who is attached.
pub(crate) struct OutputHub {
    log: Option<Arc<ContainerLog>>,
    clock: Arc<Clock>,
    listeners: Mutex<Option<Vec<UnboundedSender<Output>>>>,
}

impl OutputHub {
    pub(crate) fn new(clock: Arc<Clock>, log: Option<Arc<ContainerLog>>) -> Arc<Self> {
        if let Some(log) = &log {
            log.begin();
        }
        Arc::new(Self { log, clock, listeners: Mutex::new(Some(Vec::new())) })
    }
    /// Output from now on.
    pub(crate) fn listen(&self) -> UnboundedReceiver<Output> {
        let (sender, receiver) = unbounded();
        if let Some(listeners) = lock(&self.listeners).as_mut() {
            listeners.push(sender);
        }
        receiver
    }
    pub(crate) fn write(&self, standard: Standard, bytes: &[u8]) {
        let mut listeners = lock(&self.listeners);
        let Some(listeners) = listeners.as_mut() else { return };
        let output = Output { stream: standard, bytes: Bytes::copy_from_slice(bytes) };
        listeners.retain(|listener| listener.unbounded_send(output.clone()).is_ok());
        if let Some(log) = &self.log {
            log.write(&self.clock, standard, bytes);
        }
    }
    /// The process has ended: nothing comes any more.
    pub(crate) fn close(&self) {
        lock(&self.listeners).take();
        if let Some(log) = &self.log {
            log.end(&self.clock);
        }
    }
}

/// One of a process's output streams.
pub(crate) struct HubSink {
    pub(crate) hub: Arc<OutputHub>,
    pub(crate) standard: Standard,
}

#[async_trait]
impl Sink for HubSink {
    async fn write(&self, bytes: &[u8]) -> Result<(), Closed> {
        self.hub.write(self.standard, bytes);
        Ok(())
    }
}
