//! A pseudo terminal with the everyday part of the line discipline.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, Weak},
    task::{Poll, Waker},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    future::poll_fn,
};

use super::{Closed, ProcessState, Sink, signal};
use crate::world::lock;

/// A terminal. The side of the person is [`Tty::input`] and the receiver from [`Tty::new`]; processes read and write the
/// other side.
pub struct Tty {
    /// Its number under /dev/pts.
    pub(crate) number: u32,
    state: Mutex<State>,
    output: UnboundedSender<Bytes>,
}

#[derive(Default)]
struct State {
    rows: u16,
    columns: u16,
    raw: bool,
    line: Vec<u8>,
    ready: VecDeque<u8>,
    end_of_file: bool,
    hung_up: bool,
    wakers: Vec<Waker>,
    foreground: Vec<Weak<ProcessState>>,
}

impl State {
    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

impl Tty {
    /// A terminal of this size; unknown (0) is 24 by 80. What processes write comes out of the receiver.
    pub(crate) fn new(number: u32, rows: u16, columns: u16) -> (Arc<Self>, UnboundedReceiver<Bytes>) {
        let (output, receiver) = unbounded();
        let state = State {
            rows: if rows == 0 { 24 } else { rows },
            columns: if columns == 0 { 80 } else { columns },
            ..State::default()
        };
        (Arc::new(Self { number, state: Mutex::new(state), output }), receiver)
    }
    /// Rows and columns.
    pub fn size(&self) -> (u16, u16) {
        let state = lock(&self.state);
        (state.rows, state.columns)
    }
    /// Changes the size and tells the foreground processes (SIGWINCH).
    pub fn resize(&self, rows: u16, columns: u16) {
        {
            let mut state = lock(&self.state);
            state.rows = rows.max(1);
            state.columns = columns.max(1);
        }
        self.signal_foreground(signal::WINCH);
    }
    /// Raw: no echo, no line editing, no signals from keys. Returns what was set before.
    pub fn set_raw(&self, raw: bool) -> bool {
        let mut state = lock(&self.state);
        if raw {
            let line = std::mem::take(&mut state.line);
            state.ready.extend(line);
        }
        state.wake();
        std::mem::replace(&mut state.raw, raw)
    }
    pub(crate) fn set_foreground(&self, processes: Vec<Weak<ProcessState>>) -> Vec<Weak<ProcessState>> {
        std::mem::replace(&mut lock(&self.state).foreground, processes)
    }
    pub(crate) fn add_foreground(&self, process: &Arc<ProcessState>) {
        let mut state = lock(&self.state);
        state.foreground.retain(|other| other.strong_count() > 0);
        state.foreground.push(Arc::downgrade(process));
    }
    fn signal_foreground(&self, number: i32) {
        let targets: Vec<_> = lock(&self.state).foreground.iter().filter_map(Weak::upgrade).collect();
        targets.iter().for_each(|process| process.signal(number));
    }
    fn emit(&self, bytes: &[u8]) {
        // Nobody looking at the terminal is not an error for the process.
        let _ = self.output.unbounded_send(Bytes::copy_from_slice(bytes));
    }
    /// Keys, as a terminal emulator sends them.
    pub fn input(&self, bytes: &[u8]) {
        for &byte in bytes {
            let mut state = lock(&self.state);
            if state.raw {
                state.ready.push_back(byte);
                state.wake();
                continue;
            }
            match byte {
                3 | 28 => {
                    state.line.clear();
                    drop(state);
                    self.emit(if byte == 3 { b"^C" } else { b"^\\" });
                    self.signal_foreground(if byte == 3 { signal::INT } else { signal::QUIT });
                }
                4 => {
                    if state.line.is_empty() {
                        state.end_of_file = true;
                    } else {
                        let line = std::mem::take(&mut state.line);
                        state.ready.extend(line);
                    }
                    state.wake();
                }
                8 | 127 => {
                    if state.line.pop().is_some() {
                        while state.line.last().is_some_and(|byte| byte & 0xC0 == 0x80) {
                            state.line.pop();
                        }
                        drop(state);
                        self.emit(b"\x08 \x08");
                    }
                }
                21 => {
                    let count = String::from_utf8_lossy(&state.line).chars().count();
                    state.line.clear();
                    drop(state);
                    self.emit("\x08 \x08".repeat(count).as_bytes());
                }
                b'\r' | b'\n' => {
                    state.line.push(b'\n');
                    let line = std::mem::take(&mut state.line);
                    state.ready.extend(line);
                    state.wake();
                    drop(state);
                    self.emit(b"\r\n");
                }
                byte => {
                    state.line.push(byte);
                    drop(state);
                    if byte < 32 && byte != b'\t' {
                        self.emit(&[b'^', byte + 64]);
                    } else {
                        self.emit(&[byte]);
                    }
                }
            }
        }
    }
    /// The person has gone: end of input for good.
    pub fn hang_up(&self) {
        let mut state = lock(&self.state);
        state.hung_up = true;
        state.wake();
    }
    /// What was typed: lines, or single bytes in raw mode; `None` after Ctrl-D on an empty line.
    pub async fn read(&self) -> Option<Bytes> {
        poll_fn(|context| {
            let mut state = lock(&self.state);
            if !state.ready.is_empty() {
                let end = if state.raw { None } else { state.ready.iter().position(|byte| *byte == b'\n') };
                let length = end.map_or(state.ready.len(), |end| end + 1);
                let bytes: Vec<u8> = state.ready.drain(..length).collect();
                return Poll::Ready(Some(Bytes::from(bytes)));
            }
            if state.hung_up || std::mem::take(&mut state.end_of_file) {
                return Poll::Ready(None);
            }
            state.wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await
    }
    pub(crate) fn unread(&self, bytes: &[u8]) {
        let mut state = lock(&self.state);
        bytes.iter().rev().for_each(|byte| state.ready.push_front(*byte));
    }
    /// Writes without the newline translation.
    pub(crate) fn write_raw(&self, bytes: &[u8]) {
        self.emit(bytes);
    }
}

#[async_trait]
impl Sink for Tty {
    async fn write(&self, bytes: &[u8]) -> Result<(), Closed> {
        let mut translated = Vec::with_capacity(bytes.len() + 8);
        for &byte in bytes {
            if byte == b'\n' {
                translated.push(b'\r');
            }
            translated.push(byte);
        }
        self.emit(&translated);
        Ok(())
    }
}
