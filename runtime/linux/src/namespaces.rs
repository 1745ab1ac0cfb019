//! Namespaces: what a process sees of the machine (namespaces(7)).
//!
//! | namespace | what is separate |
//! |---|---|
//! | pid | process numbers: the container's first process is 1 |
//! | mount | the tree of mounts |
//! | uts | host name |
//! | ipc | System V queues and semaphores, POSIX message queues |
//! | network | interfaces, routes, ports |
//! | cgroup | which cgroup looks like the root |
//!
//! A namespace lives as long as a process is in it (or a descriptor of it is open), so nothing has to be deleted.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, FromRawFd, OwnedFd},
};

use docklab_host::{HostError, HostResult};
use nix::{
    libc,
    sched::{CloneFlags, setns, unshare},
};
use serde::{Deserialize, Serialize};

/// Where a container's namespace of one kind comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Membership {
    /// A new one.
    Own,
    /// The machine's (or node's): the one we are in.
    Host,
    /// Another container's, by its first process.
    OfProcess(u32),
}

/// A PID namespace is never entered by the process that asks for it: only its *children* are born there. The supervisor
/// stays outside, where it sees the container's processes as the machine numbers them, and forks the first process and
/// every exec into it.
pub(crate) fn choose_pid_namespace_of_children(membership: Membership) -> HostResult<()> {
    match membership {
        Membership::Own => {
            unshare(CloneFlags::CLONE_NEWPID).map_err(|error| HostError::other("make PID namespace", error.desc()))
        }
        Membership::Host => Ok(()),
        Membership::OfProcess(pid) => enter(&open(pid, "pid")?, CloneFlags::CLONE_NEWPID),
    }
}

/// For the container's first process: makes or enters all namespaces but pid (it was born in the right one) and cgroup
/// (which takes the cgroup at its making for the root, so the process must be in it first).
pub(crate) fn enter_own(ipc: Membership, uts: Membership, network: Option<&OwnedFd>) -> HostResult<()> {
    let mut new = CloneFlags::CLONE_NEWNS;
    for (membership, name, flag) in [(ipc, "ipc", CloneFlags::CLONE_NEWIPC), (uts, "uts", CloneFlags::CLONE_NEWUTS)] {
        match membership {
            Membership::Own => new |= flag,
            Membership::Host => {}
            Membership::OfProcess(pid) => enter(&open(pid, name)?, flag)?,
        }
    }
    if let Some(network) = network {
        enter(network, CloneFlags::CLONE_NEWNET)?;
    }
    unshare(new).map_err(|error| HostError::other("make namespaces", error.desc()))
}

/// The cgroup that the process is in becomes `/` for it.
pub(crate) fn new_cgroup_namespace() -> HostResult<()> {
    unshare(CloneFlags::CLONE_NEWCGROUP).map_err(|error| HostError::other("make cgroup namespace", error.desc()))
}

/// A descriptor of a process. Opened before the fork of an exec: the child is born in the container's PID namespace, where
/// the machine's number for the process means nothing.
pub(crate) fn descriptor_of(pid: u32) -> HostResult<OwnedFd> {
    // SAFETY: pidfd_open(2) takes numbers only.
    let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if opened < 0 {
        return Err(HostError::other("find the container's process", io::Error::last_os_error()));
    }
    // SAFETY: the kernel has just returned this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(opened as libc::c_int) })
}

/// For an exec: enters everything that a container's process is in, at once (setns(2) with a pidfd, Linux 5.8). The new
/// root and working directory are the container's.
pub(crate) fn enter_all_of(process: &OwnedFd) -> HostResult<()> {
    let all = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWCGROUP;
    enter(process, all)
}

fn open(pid: u32, name: &str) -> HostResult<OwnedFd> {
    File::open(format!("/proc/{pid}/ns/{name}"))
        .map(OwnedFd::from)
        .map_err(|error| HostError::other(format!("open the other container's {name} namespace"), error))
}

fn enter(namespace: &OwnedFd, kind: CloneFlags) -> HostResult<()> {
    setns(namespace.as_fd(), kind).map_err(|error| HostError::other("enter namespace", error.desc()))
}
