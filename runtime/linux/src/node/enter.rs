//! A program that starts in a node. The process that the caller sees stays outside, waits, and ends as the program does.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use docklab_host::{HostError, HostResult};
use nix::{
    libc,
    sched::{CloneFlags, setns},
    sys::{
        signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, signal, sigprocmask},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork, setsid},
};
use serde::{Deserialize, Serialize};

use super::FirstProcess;
use crate::namespaces::descriptor_of;

/// The name (`argv[0]`) under which a binary is started to bring a program into a node.
pub(super) const NAME: &str = "docklab-enter";

/// How a program in a node belongs to whoever starts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attachment {
    /// The starter waits for it, and it ends with the starter.
    Foreground,
    /// As that, and standard input becomes its controlling terminal.
    Terminal,
    /// It belongs to the node: the starter returns at once.
    Background,
    /// As that, but only its life is the session's; it sees the machine's files and network.
    SessionService,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// The node's first process, as the machine numbers it.
    node: u32,
    attachment: Attachment,
    directory: PathBuf,
    /// Instead of a program: a signal for every process of the node.
    signal: Option<libc::c_int>,
}

fn start(entry: &Entry) -> Command {
    let mut command = Command::new("/proc/self/exe");
    // Numbers, an enum's name and a path: what JSON cannot hold of them is a path that is not UTF-8.
    command.arg0(NAME).arg(serde_json::to_string(entry).unwrap_or_default());
    command
}

pub(super) fn command(node: &FirstProcess, attachment: Attachment, directory: &Path, program: &str) -> Command {
    let entry = Entry { node: node.pid, attachment, directory: directory.to_path_buf(), signal: None };
    let mut command = start(&entry);
    command.arg(program);
    command
}

pub(super) fn signal_all(node: &FirstProcess, signal: libc::c_int) -> Command {
    let attachment = Attachment::Foreground;
    start(&Entry { node: node.pid, attachment, directory: PathBuf::from("/"), signal: Some(signal) })
}

/// In the new executable. Never returns.
pub(super) fn run(mut words: impl Iterator<Item = OsString>) -> ! {
    let entry = words.next().unwrap_or_default();
    let code = match serde_json::from_slice::<Entry>(entry.as_encoded_bytes()) {
        Ok(entry) => enter(&entry, words.collect()),
        Err(error) => Err(HostError::other("read which node to enter", error)),
    };
    std::process::exit(code.unwrap_or_else(|error| {
        eprintln!("docklab: {error}");
        125
    }))
}

fn enter(entry: &Entry, words: Vec<OsString>) -> HostResult<i32> {
    let node = descriptor_of(entry.node)?;
    let all = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWPID;
    let namespaces = if entry.attachment == Attachment::SessionService { CloneFlags::CLONE_NEWPID } else { all };
    setns(&node, namespaces).map_err(|error| HostError::other("enter the node", error.desc()))?;
    drop(node);
    // Before the fork, so that no signal is lost between the two.
    let watched =
        SigSet::from_iter([Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT]);
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&watched), Some(&mut before))
        .map_err(|error| HostError::other("block signals", error.desc()))?;
    match fork_here()? {
        ForkResult::Parent { child } => wait(child, &watched),
        ForkResult::Child => {
            let error = become_program(entry, words, &before);
            eprintln!("docklab: {error}");
            // 126 and 127: what a shell answers for a program that cannot be run.
            std::process::exit(127)
        }
    }
}

fn fork_here() -> HostResult<ForkResult> {
    // SAFETY: this executable has one thread, so the child finds every lock free.
    unsafe { fork() }.map_err(|error| HostError::other("fork", error.desc()))
}

/// Born in the node's pid namespace. Returns only an error.
fn become_program(entry: &Entry, words: Vec<OsString>, mask: &SigSet) -> HostError {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: nix::Error| HostError::other(what, error.desc())
    };
    if let Some(number) = entry.signal {
        let sent = Signal::try_from(number).and_then(|signal| kill(Pid::from_raw(-1), signal));
        return match sent {
            // Nobody else is there.
            Ok(()) | Err(nix::Error::ESRCH) => std::process::exit(0),
            Err(error) => failed("signal the node's processes")(error),
        };
    }
    match entry.attachment {
        Attachment::Foreground | Attachment::Terminal => {
            // SAFETY: PR_SET_PDEATHSIG takes numbers only.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGHUP, 0, 0, 0) };
            if entry.attachment == Attachment::Terminal {
                if let Err(error) = setsid() {
                    return failed("make a session")(error);
                }
                // SAFETY: TIOCSCTTY takes a descriptor and a number.
                if unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } < 0 {
                    return failed("take the terminal")(nix::Error::last());
                }
            }
        }
        // Orphaned *inside* the node, where its first process collects it; an orphan of the process outside would be
        // the machine's.
        Attachment::Background | Attachment::SessionService => {
            match fork_here() {
                Ok(ForkResult::Parent { .. }) => std::process::exit(0),
                Ok(ForkResult::Child) => {}
                Err(error) => return error,
            }
            if let Err(error) = setsid() {
                return failed("make a session")(error);
            }
        }
    }
    if let Err(error) = std::env::set_current_dir(&entry.directory) {
        return HostError::other(format!("enter {}", entry.directory.display()), error);
    }
    if let Err(error) = sigprocmask(SigmaskHow::SIG_SETMASK, Some(mask), None) {
        return failed("let signals through")(error);
    }
    // Rust's runtime ignores it, and a program would inherit that.
    // SAFETY: the default action runs no code of ours.
    if let Err(error) = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) } {
        return failed("reset SIGPIPE")(error);
    }
    let Some((program, arguments)) = words.split_first() else {
        return HostError::Other("no program to start in the node".to_owned());
    };
    let error = Command::new(program).args(arguments).exec();
    HostError::other(format!("start {}", program.to_string_lossy()), error)
}

/// Hands signals on until the program has ended; returns its exit code as a shell tells it.
fn wait(child: Pid, watched: &SigSet) -> HostResult<i32> {
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as i32),
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(HostError::other("wait for the program", error.desc())),
        }
        match watched.wait() {
            // Of the terminal: the program is in its foreground and hears of it itself.
            Ok(Signal::SIGCHLD | Signal::SIGINT | Signal::SIGQUIT) | Err(_) => {}
            Ok(signal) => {
                // It may have ended just now; the next round sees it.
                let _ = kill(child, signal);
            }
        }
    }
}
