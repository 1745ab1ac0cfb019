//! A connection of the engine's: frames in, frames out, never blocking.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use super::protocol::{self, Kind};

pub(super) struct Connection {
    stream: UnixStream,
    /// The process whose output goes here and whose input comes from here.
    pub(super) process: Option<usize>,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    sent: usize,
    closing: bool,
    closed: bool,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            process: None,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            sent: 0,
            closing: false,
            closed: false,
        })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    pub(super) fn backlog(&self) -> usize {
        self.outgoing.len() - self.sent
    }

    pub(super) fn has_output(&self) -> bool {
        self.backlog() > 0
    }

    /// Nothing is left to send.
    pub(super) fn is_drained(&self) -> bool {
        self.closed || !self.has_output()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed || (self.closing && !self.has_output())
    }

    pub(super) fn close_when_drained(&mut self) {
        self.closing = true;
        self.flush();
    }

    /// Appends to what is to be sent.
    pub(super) fn queue(&mut self, bytes: &[u8]) {
        self.outgoing.extend_from_slice(bytes);
        if self.backlog() < super::BACKLOG {
            return;
        }
        self.flush();
    }

    /// Sends as much as the socket takes now.
    pub(super) fn flush(&mut self) {
        while self.has_output() {
            match self.stream.write(&self.outgoing[self.sent..]) {
                Ok(0) => break,
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.closed = true;
                    break;
                }
            }
        }
        self.outgoing = Vec::new();
        self.sent = 0;
    }

    /// For the last words of a supervisor that has nothing else to do.
    pub(super) fn flush_within(&mut self, limit: Duration) {
        let prepared = self.stream.set_nonblocking(false).and_then(|()| self.stream.set_write_timeout(Some(limit)));
        if prepared.is_ok() {
            self.flush();
        }
    }

    /// Reads what has arrived.
    pub(super) fn fill(&mut self) {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.closed = true,
            Ok(length) => self.incoming.extend_from_slice(&buffer[..length]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.closed = true,
        }
    }

    pub(super) fn next_frame(&mut self) -> Option<(Kind, Vec<u8>)> {
        match protocol::take_frame(&mut self.incoming) {
            Ok(frame) => {
                if self.incoming.is_empty() {
                    self.incoming = Vec::new();
                }
                frame
            }
            Err(_) => {
                self.closed = true;
                None
            }
        }
    }
}
