//! A process of the container that the supervisor started, with our ends of its standard streams.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use docklab_host::{Exit, Standard};
use nix::{libc, unistd::Pid};

use crate::pty;

pub(super) struct Managed {
    /// `None` for the container's first process.
    pub(super) exec: Option<String>,
    pub(super) pid: Pid,
    pub(super) exit: Option<Exit>,
    /// Its end was told to the engine.
    pub(super) announced: bool,
    ended_at: Option<Instant>,
    terminal: Option<File>,
    stdin: Option<File>,
    stdout: Option<File>,
    stderr: Option<File>,
    pending: Vec<u8>,
    close_requested: bool,
}

impl Managed {
    pub(super) fn new(
        exec: Option<String>,
        pid: Pid,
        terminal: Option<OwnedFd>,
        pipes: [Option<OwnedFd>; 3],
    ) -> io::Result<Self> {
        let [stdin, stdout, stderr] = pipes;
        let file = |descriptor: Option<OwnedFd>| -> io::Result<Option<File>> {
            let Some(descriptor) = descriptor else { return Ok(None) };
            // SAFETY: F_SETFL takes a number; the descriptor is open. It never had flags that matter beside this one.
            if unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Some(File::from(descriptor)))
        };
        Ok(Self {
            exec,
            pid,
            exit: None,
            announced: false,
            ended_at: None,
            terminal: file(terminal)?,
            stdin: file(stdin)?,
            stdout: file(stdout)?,
            stderr: file(stderr)?,
            pending: Vec::new(),
            close_requested: false,
        })
    }

    pub(super) fn outputs(&self) -> impl Iterator<Item = (Standard, BorrowedFd<'_>)> {
        let terminal = self.terminal.as_ref().map(|file| (Standard::Stdout, file.as_fd()));
        let stdout = self.stdout.as_ref().map(|file| (Standard::Stdout, file.as_fd()));
        let stderr = self.stderr.as_ref().map(|file| (Standard::Stderr, file.as_fd()));
        [terminal, stdout, stderr].into_iter().flatten()
    }

    /// The next output, or `None` at its end (and when there was nothing after all, with the stream still open).
    pub(super) fn read(&mut self, stream: Standard) -> Option<Vec<u8>> {
        let is_terminal = self.terminal.is_some();
        let source = match (is_terminal, stream) {
            (true, _) => &mut self.terminal,
            (false, Standard::Stdout) => &mut self.stdout,
            (false, Standard::Stderr) => &mut self.stderr,
        };
        let file = source.as_mut()?;
        let mut buffer = [0; 16 * 1024];
        match file.read(&mut buffer) {
            Ok(0) => *source = None,
            Ok(length) => return Some(buffer[..length].to_vec()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Some(Vec::new());
            }
            // A terminal whose last user is gone says EIO.
            Err(_) => *source = None,
        }
        None
    }

    pub(super) fn stdin_backlog(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn queue_stdin(&mut self, bytes: &[u8]) {
        if self.stdin.is_some() || self.terminal.is_some() {
            self.pending.extend_from_slice(bytes);
            self.write_stdin();
        }
    }

    /// The end of input comes after what is still waiting. A terminal gets Ctrl-D, which its reader takes as the end.
    pub(super) fn close_stdin(&mut self) {
        if self.terminal.is_some() {
            self.queue_stdin(&[4]);
        } else {
            self.close_requested = true;
            self.write_stdin();
        }
    }

    /// Where to wait for room, if something is waiting.
    pub(super) fn writable_stdin(&self) -> Option<BorrowedFd<'_>> {
        if self.pending.is_empty() {
            return None;
        }
        self.stdin.as_ref().or(self.terminal.as_ref()).map(AsFd::as_fd)
    }

    pub(super) fn write_stdin(&mut self) {
        let Some(file) = self.stdin.as_mut().or(self.terminal.as_mut()) else {
            self.pending = Vec::new();
            return;
        };
        while !self.pending.is_empty() {
            match file.write(&self.pending) {
                Ok(written) => {
                    self.pending.drain(..written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Nobody reads any more.
                Err(_) => {
                    self.pending = Vec::new();
                    self.stdin = None;
                    return;
                }
            }
        }
        self.pending = Vec::new();
        if self.close_requested {
            self.stdin = None;
        }
    }

    pub(super) fn resize(&self, rows: u16, columns: u16) -> io::Result<()> {
        match &self.terminal {
            Some(terminal) => pty::resize(terminal.as_fd(), rows, columns),
            None => Ok(()),
        }
    }

    pub(super) fn end(&mut self, exit: Exit) {
        self.exit = Some(exit);
        self.ended_at = Some(Instant::now());
    }

    pub(super) fn output_is_complete(&self) -> bool {
        self.outputs().next().is_none()
    }

    pub(super) fn is_in_grace(&self) -> bool {
        self.exit.is_some() && !self.announced
    }

    pub(super) fn grace_is_over(&self, grace: Duration) -> bool {
        self.ended_at.is_some_and(|at| at.elapsed() > grace)
    }

    pub(super) fn close(&mut self) {
        self.terminal = None;
        self.stdin = None;
        self.stdout = None;
        self.stderr = None;
        self.pending = Vec::new();
    }
}
