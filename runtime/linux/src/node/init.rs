//! The first process of a node or a session. It makes the namespaces, says so, and from then on only collects what its
//! orphans leave: an engine that was killed, supervisors that have outlived theirs.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, IoSliceMut},
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
        unix::process::CommandExt as _,
    },
    path::PathBuf,
    process::{Command, Stdio},
};

use docklab_host::{HostError, HostResult};
use nix::{
    cmsg_space,
    errno::Errno,
    libc,
    sched::{CloneFlags, setns, unshare},
    sys::{
        signal::{SigSet, SigmaskHow, Signal, sigprocmask},
        socket::{
            AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixCredentials, recvmsg, setsockopt,
            socketpair, sockopt,
        },
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork, setsid, write},
};
use serde::{Deserialize, Serialize};

use super::{FirstProcess, NodeSpec, files};
use crate::{
    layers::io_error,
    namespaces::descriptor_of,
    network::{Netlink, refuse_ipv6_addresses},
};

/// The name (`argv[0]`) under which a binary is started to be a first process.
pub(super) const NAME: &str = "docklab-node";
/// What is sent when everything is ready; anything else is the reason why it is not.
const READY: &[u8] = b"ready";

/// What to begin.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Boot {
    /// The directory of what begins, for people who look at a list of processes.
    pub(super) label: PathBuf,
    /// The session's first process, as the machine numbers it.
    pub(super) beneath: Option<u32>,
    /// `None` begins a session.
    pub(super) node: Option<NodeSpec>,
}

/// Starts a first process and returns when its namespaces are ready.
pub(super) fn start(boot: &Boot) -> HostResult<FirstProcess> {
    let words = serde_json::to_string(boot).map_err(|error| HostError::other("describe a node", error))?;
    let failed = |error: nix::Error| HostError::other("make a node's report socket", error.desc());
    let (ours, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).map_err(failed)?;
    setsockopt(&ours, sockopt::PassCred, &true).map_err(failed)?;
    let mut launcher = Command::new("/proc/self/exe")
        .arg0(NAME)
        .arg(words)
        .env_clear()
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| io_error("start a node's first process", error))?;
    let report = receive(&ours);
    // It ends as soon as it has forked, or failed.
    launcher.wait().map_err(|error| io_error("wait for the start of a node", error))?;
    match report.map_err(|error| io_error("hear from a node's first process", error))? {
        (text, Some(pid)) if text == READY => FirstProcess::of(pid),
        (text, _) if text.is_empty() => {
            Err(HostError::Other("a node's first process has ended without a word".to_owned()))
        }
        (text, _) => Err(HostError::Other(String::from_utf8_lossy(&text).into_owned())),
    }
}

/// A report, and who sent it as *this* process's namespace numbers it: the kernel translates (unix(7), SCM_CREDENTIALS).
fn receive(socket: &OwnedFd) -> io::Result<(Vec<u8>, Option<u32>)> {
    let mut text = vec![0; 4096];
    let mut space = cmsg_space!(UnixCredentials);
    let (length, sender) = {
        let mut slices = [IoSliceMut::new(&mut text)];
        let message = loop {
            match recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                result => break result?,
            }
        };
        let sender = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmCredentials(credentials) => u32::try_from(credentials.pid()).ok(),
            _ => None,
        });
        (message.bytes, sender)
    };
    text.truncate(length);
    Ok((text, sender.filter(|pid| *pid > 0)))
}

/// In the new executable. Never returns.
pub(super) fn run(words: Option<OsString>) -> ! {
    // SAFETY: descriptor 0 is the socket that the starter gave us; std's stdin is never used in this process.
    let report = unsafe { OwnedFd::from_raw_fd(0) };
    let error = match begin(words, &report) {
        Ok(()) => std::process::exit(0),
        Err(error) => error,
    };
    tell(&report, error.to_string().as_bytes());
    std::process::exit(1)
}

fn tell(report: &OwnedFd, text: &[u8]) {
    // The starter may have been killed meanwhile; then nobody wants to know.
    let _ = write(report.as_fd(), &text[..text.len().min(4096)]);
}

/// Forks into the namespaces. A process that makes or joins a pid namespace does not enter it, only its children do, and it
/// cannot make another one before it has had one: hence the second fork.
fn begin(words: Option<OsString>, report: &OwnedFd) -> HostResult<()> {
    let words = words.unwrap_or_default();
    let boot: Boot = serde_json::from_slice(words.as_encoded_bytes())
        .map_err(|error| HostError::other("read what to begin", error))?;
    let machine_network =
        File::open("/proc/self/ns/net").map_err(|error| io_error("open the network namespace", error))?;
    if let Some(session) = boot.beneath {
        setns(descriptor_of(session)?, CloneFlags::CLONE_NEWPID)
            .map_err(|error| HostError::other("enter the session", error.desc()))?;
        if let ForkResult::Parent { child } = fork_here()? {
            // An orphan is inherited by the namespace of its dead *parent*: this one would be the machine's, and the session
            // could not end before the machine has collected it.
            let _ = waitpid(child, None);
            return Ok(());
        }
    }
    let mut namespaces = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID;
    if boot.node.is_some() {
        namespaces |= CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC;
    }
    unshare(namespaces).map_err(|error| HostError::other("make a node's namespaces", error.desc()))?;
    if let ForkResult::Parent { .. } = fork_here()? {
        return Ok(());
    }
    set_up(&boot, &machine_network)?;
    drop(machine_network);
    let all = SigSet::all();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), None)
        .map_err(|error| HostError::other("block signals", error.desc()))?;
    tell(report, READY);
    leave_streams().map_err(|error| io_error("leave the starter's streams", error))?;
    collect(&all)
}

fn fork_here() -> HostResult<ForkResult> {
    // SAFETY: this executable has one thread so far, so the child finds every lock free.
    unsafe { fork() }.map_err(|error| HostError::other("fork", error.desc()))
}

fn set_up(boot: &Boot, machine_network: &File) -> HostResult<()> {
    // A terminal's Ctrl-C and hang-up are for others.
    setsid().map_err(|error| HostError::other("leave the terminal", error.desc()))?;
    refuse_ipv6_addresses();
    let network = Netlink::open().and_then(|netlink| netlink.set_up(1));
    network.map_err(|error| io_error("set up loopback", error))?;
    match &boot.node {
        Some(node) => files::set_up(node, machine_network),
        None => Ok(()),
    }
}

/// Whoever reads what the starter prints must not wait for this process's end.
fn leave_streams() -> io::Result<()> {
    std::env::set_current_dir("/")?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for number in 0..3 {
        // SAFETY: dup2(2) takes numbers; nothing in this process uses the descriptors that it replaces, except the report
        // socket, which has served.
        if unsafe { libc::dup2(null.as_raw_fd(), number) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Collects orphans until somebody asks for the end.
fn collect(signals: &SigSet) -> ! {
    loop {
        loop {
            match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(_) => break,
                Ok(_) => {}
            }
        }
        if let Ok(Signal::SIGTERM) = signals.wait() {
            std::process::exit(0);
        }
    }
}
