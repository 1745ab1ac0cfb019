//! The supervisor: one small process beside every container.
//!
//! It owns what must outlive the engine: the container's terminal or pipes, its log, its exit code (only a parent learns
//! that). It is the same executable as the engine's, started again; it has one thread and one poll(2) loop, and listens on
//! a socket in its run directory, where a restarted engine finds it. If the engine dies, nothing is lost: output goes into
//! the log before it goes anywhere else.

pub(crate) mod child;
mod connection;
mod launch;
mod managed;
pub(crate) mod protocol;

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, FromRawFd, OwnedFd},
        unix::{fs::PermissionsExt, net::UnixListener},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use docklab_host::{Exit, HostError, Standard};
use jiff::Timestamp;
use nix::{
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, signal, sigprocmask},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, setsid},
};

use crate::{log_file::LogWriter, records::write_atomically};
use connection::Connection;
use managed::Managed;
use protocol::{EXIT_FILE, Failure, Kind, Launch, Request, SOCKET, exit_frame, json_frame};

/// The name (`argv[0]`) under which a binary is started to be a supervisor.
pub(crate) const NAME: &str = "docklab-supervisor";
/// How long output may go on after a process has ended: somebody else may have inherited its pipes.
const GRACE: Duration = Duration::from_secs(2);
/// How long an engine may take to read the rest of the output before the supervisor leaves.
const FAREWELL: Duration = Duration::from_secs(10);
/// Output that an engine has not read yet; beyond it the container waits.
const BACKLOG: usize = 64 * 1024;

/// Becomes a container's supervisor, a node's first process or a program in a node, and never returns, if this process was
/// started to be one; otherwise returns at once.
///
/// Every binary that opens a [`crate::LinuxHost`] calls this as the first thing in `main`, before any thread (and any async
/// runtime) starts: the supervisor forks, and a fork copies only the thread that calls it.
pub fn run_supervisor_if_asked() {
    crate::node::run_if_asked();
    let mut arguments = std::env::args_os();
    if arguments.next().as_deref() != Some(OsStr::new(NAME)) {
        return;
    }
    let code = match arguments.next().map(PathBuf::from) {
        Some(directory) => match supervise(&directory) {
            Ok(()) => 0,
            Err(error) => {
                // Into the file that the engine has made of standard error.
                eprintln!("{error}");
                1
            }
        },
        None => 2,
    };
    std::process::exit(code);
}

fn supervise(directory: &Path) -> io::Result<()> {
    // The engine's terminal must not reach us: no Ctrl-C, no hang-up.
    setsid()?;
    for number in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGPIPE] {
        // SAFETY: to ignore a signal runs no code of ours.
        unsafe { signal(number, SigHandler::SigIgn) }?;
    }
    // Between fork and exec a child is this executable inside the container. Not dumpable, its /proc/<pid>/exe cannot be
    // opened from there, and the executable not be overwritten (CVE-2019-5736).
    // SAFETY: PR_SET_DUMPABLE takes plain numbers and touches no memory of ours.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    std::env::set_current_dir(directory)?;
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&mask), None)?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let listener = UnixListener::bind(SOCKET)?;
    std::fs::set_permissions(SOCKET, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    // SAFETY: descriptor 0 is the socket that the engine gave us; std's stdin is never used in this process.
    let engine = unsafe { OwnedFd::from_raw_fd(0) };
    let (launch, network) = launch::receive(&engine)?;
    let mut connection = Connection::new(engine.into())?;
    let started = launch::start(&launch, network.as_ref());
    drop(network);
    let first = match started {
        Ok(first) => first,
        Err(error) => {
            connection.queue(&json_frame(Kind::Failed, &Failure::from(error))?);
            connection.flush_within(FAREWELL);
            return Ok(());
        }
    };
    connection.queue(&json_frame(Kind::Started, &first.pid.as_raw())?);
    connection.process = Some(0);
    let log = launch.log.as_deref().and_then(|path| LogWriter::open(path).ok());
    let mut supervisor =
        Supervisor { launch, log, processes: vec![first], connections: vec![connection], ended_at: None };
    supervisor.run(&listener, &signals)
}

struct Supervisor {
    launch: Launch,
    log: Option<LogWriter>,
    /// The first process, then execs. Never shortened while connections refer to them by index.
    processes: Vec<Managed>,
    connections: Vec<Connection>,
    /// When the first process's end was written down.
    ended_at: Option<Instant>,
}

/// What a descriptor in the poll set belongs to.
enum Source {
    Signals,
    Listener,
    Connection(usize),
    Output(usize, Standard),
    Stdin(usize),
}

impl Supervisor {
    fn run(&mut self, listener: &UnixListener, signals: &SignalFd) -> io::Result<()> {
        loop {
            if let Some(ended_at) = self.ended_at
                && (self.connections.iter().all(Connection::is_drained) || ended_at.elapsed() > FAREWELL)
            {
                return Ok(());
            }
            let (ready, sources) = self.wait(listener, signals)?;
            for (flags, source) in ready.into_iter().zip(sources) {
                if flags.is_empty() {
                    continue;
                }
                match source {
                    Source::Signals => while let Ok(Some(_)) = signals.read_signal() {},
                    Source::Listener => {
                        if let Ok((stream, _)) = listener.accept() {
                            self.connections.push(Connection::new(stream)?);
                        }
                    }
                    Source::Connection(index) => self.serve(index, flags),
                    Source::Output(process, stream) => self.read_output(process, stream),
                    Source::Stdin(process) => self.processes[process].write_stdin(),
                }
            }
            self.reap();
            self.finish_processes();
            self.connections.retain(|connection| !connection.is_closed());
        }
    }

    fn wait(&self, listener: &UnixListener, signals: &SignalFd) -> io::Result<(Vec<PollFlags>, Vec<Source>)> {
        let mut sources = vec![Source::Signals, Source::Listener];
        let mut descriptors =
            vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        for (index, connection) in self.connections.iter().enumerate() {
            let mut flags = PollFlags::empty();
            let stdin_is_full =
                connection.process.is_some_and(|process| self.processes[process].stdin_backlog() > BACKLOG);
            if !stdin_is_full {
                flags |= PollFlags::POLLIN;
            }
            if connection.has_output() {
                flags |= PollFlags::POLLOUT;
            }
            sources.push(Source::Connection(index));
            descriptors.push(PollFd::new(connection.as_fd(), flags));
        }
        for (index, process) in self.processes.iter().enumerate() {
            let congested = self
                .connections
                .iter()
                .any(|connection| connection.process == Some(index) && connection.backlog() > BACKLOG);
            for (stream, descriptor) in process.outputs() {
                if !congested {
                    sources.push(Source::Output(index, stream));
                    descriptors.push(PollFd::new(descriptor, PollFlags::POLLIN));
                }
            }
            if let Some(descriptor) = process.writable_stdin() {
                sources.push(Source::Stdin(index));
                descriptors.push(PollFd::new(descriptor, PollFlags::POLLOUT));
            }
        }
        // Only a deadline needs a timeout: everything else is an event.
        let waiting = self.ended_at.is_some() || self.processes.iter().any(|process| process.is_in_grace());
        let timeout = if waiting { PollTimeout::from(200_u8) } else { PollTimeout::NONE };
        match poll(&mut descriptors, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = descriptors.iter().map(|descriptor| descriptor.revents().unwrap_or(PollFlags::empty())).collect();
        Ok((ready, sources))
    }

    fn read_output(&mut self, index: usize, stream: Standard) {
        let Some(bytes) = self.processes[index].read(stream) else {
            if index == 0
                && let Some(log) = &mut self.log
            {
                // A full disk must not stop the container; what follows is tried again.
                let _ = log.finish(stream);
            }
            return;
        };
        if index == 0
            && let Some(log) = &mut self.log
        {
            let _ = log.append(stream, &bytes);
        }
        let kind = match stream {
            Standard::Stdout => Kind::Stdout,
            Standard::Stderr => Kind::Stderr,
        };
        for connection in self.connections.iter_mut().filter(|connection| connection.process == Some(index)) {
            connection.queue(&protocol::header(kind, bytes.len()));
            connection.queue(&bytes);
        }
    }

    /// Every child that has ended, ours or (with the machine's PID namespace) one we do not know.
    fn reap(&mut self) {
        loop {
            let (pid, code) = match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => continue,
            };
            let oom_killed = self.launch.cgroup.out_of_memory_kills() > 0;
            if let Some(process) =
                self.processes.iter_mut().find(|process| process.pid == pid && process.exit.is_none())
            {
                process.end(Exit { code, oom_killed, at: Timestamp::now() });
            }
        }
    }

    fn finish_processes(&mut self) {
        for index in 0..self.processes.len() {
            let process = &mut self.processes[index];
            let Some(exit) = process.exit else { continue };
            if process.announced || !(process.output_is_complete() || process.grace_is_over(GRACE)) {
                continue;
            }
            process.announced = true;
            process.close();
            if index == 0 {
                if let Some(log) = &mut self.log {
                    let _ = log.finish(Standard::Stdout);
                    let _ = log.finish(Standard::Stderr);
                }
                // The exit code is on disk before anybody hears of it.
                let text = serde_json::to_vec(&exit).unwrap_or_default();
                if let Err(error) = write_atomically(Path::new(EXIT_FILE), &text, false) {
                    eprintln!("write exit code: {error}");
                }
                self.ended_at = Some(Instant::now());
                // In the machine's PID namespace nothing else ends what the first process has left.
                if self.launch.pid != crate::namespaces::Membership::Own {
                    for pid in self.launch.cgroup.processes() {
                        let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
                    }
                }
            }
            for connection in self.connections.iter_mut().filter(|connection| connection.process == Some(index)) {
                connection.queue(&exit_frame(&exit));
                connection.close_when_drained();
            }
        }
    }

    fn serve(&mut self, index: usize, flags: PollFlags) {
        if flags.contains(PollFlags::POLLOUT) {
            self.connections[index].flush();
        }
        if !flags.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
            return;
        }
        self.connections[index].fill();
        while let Some((kind, payload)) = self.connections[index].next_frame() {
            match kind {
                Kind::Request => self.answer(index, &payload),
                Kind::Stdin => {
                    if let Some(process) = self.connections[index].process {
                        self.processes[process].queue_stdin(&payload);
                    }
                }
                Kind::CloseStdin => {
                    if let Some(process) = self.connections[index].process {
                        self.processes[process].close_stdin();
                    }
                }
                _ => {}
            }
        }
        self.connections[index].flush();
    }

    fn answer(&mut self, index: usize, payload: &[u8]) {
        let result = match protocol::decode::<Request>(payload) {
            Ok(Request::Attach) => {
                let pid = self.processes[0].pid.as_raw();
                self.connections[index].process = Some(0);
                match self.processes[0].exit {
                    Some(exit) if self.processes[0].announced => {
                        self.connections[index].queue(&json_frame(Kind::Started, &pid).unwrap_or_default());
                        self.connections[index].queue(&exit_frame(&exit));
                        self.connections[index].close_when_drained();
                        return;
                    }
                    _ => json_frame(Kind::Started, &pid).map_err(|error| HostError::other("attach", error)),
                }
            }
            Ok(Request::Exec(spec)) => {
                let first = self.processes[0].pid.as_raw() as u32;
                launch::exec(&self.launch, first, spec).and_then(|managed| {
                    let pid = managed.pid.as_raw();
                    self.processes.push(managed);
                    self.connections[index].process = Some(self.processes.len() - 1);
                    json_frame(Kind::Started, &pid).map_err(|error| HostError::other("exec", error))
                })
            }
            Ok(Request::Signal { exec, signal }) => self.find(exec).and_then(|process| {
                // A process that we have not reaped keeps its number: it cannot be another's. One that has ended is fine.
                if self.processes[process].exit.is_none() {
                    // SAFETY: kill(2) takes numbers only.
                    unsafe { libc::kill(self.processes[process].pid.as_raw(), signal) };
                    if signal == libc::SIGKILL && self.launch.cgroup.is_frozen() {
                        // Version 1 delivers not even SIGKILL to a frozen process.
                        self.launch.cgroup.freeze(false)?;
                    }
                }
                Ok(protocol::header(Kind::Done, 0).to_vec())
            }),
            Ok(Request::Resize { exec, rows, columns }) => self.find(exec).and_then(|process| {
                self.processes[process]
                    .resize(rows, columns)
                    .map_err(|error| HostError::other("resize the terminal", error))?;
                Ok(protocol::header(Kind::Done, 0).to_vec())
            }),
            Ok(Request::Launch(_)) => Err(HostError::Other("this supervisor has its container already".to_owned())),
            Err(error) => Err(HostError::other("read request", error)),
        };
        let connection = &mut self.connections[index];
        match result {
            Ok(frame) => connection.queue(&frame),
            Err(error) => {
                connection.queue(&json_frame(Kind::Failed, &Failure::from(error)).unwrap_or_default());
                connection.close_when_drained();
            }
        }
    }

    fn find(&self, exec: Option<String>) -> Result<usize, HostError> {
        match exec {
            None => Ok(0),
            Some(id) => self
                .processes
                .iter()
                .position(|process| process.exec.as_deref() == Some(&id))
                .ok_or_else(|| HostError::not_found("exec", id)),
        }
    }
}
