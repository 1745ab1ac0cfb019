//! Nodes: several machines out of one, for a cluster on a laptop.
//!
//! A node is a set of namespaces with a first process in it: network (its own `eth0`), mount (its own `/etc`, `/run` and
//! `/proc`), uts (its host name), ipc and pid. As on a machine whose power fails, everything in a node ends with its first
//! process: containers, shells, mounts and cables.
//!
//! The nodes of one session hang on one switch, a bridge in a network namespace that belongs to nobody else: no firewall rule
//! of the machine's applies to what nodes say to each other, and no address of theirs can collide with the machine's. The
//! first process of *that* namespace is the session's: the nodes' pid namespaces are beneath its own, so that a session ends
//! as a whole, whatever it contains.
//!
//! | file | what |
//! |---|---|
//! | `init` | the first process |
//! | `enter` | a program that starts in a node: its engine, a student's shell |
//! | `lan` | the switch, its cables and what can go wrong with them |

mod enter;
mod files;
mod init;
mod lan;

use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    process::Command,
};

use docklab_host::{HostError, HostResult};
use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use serde::{Deserialize, Serialize};

pub use enter::Attachment;
pub use files::NodeSpec;
pub use lan::{Lan, NodeAddress, original_destination};

use crate::{layers::io_error, namespaces::descriptor_of, network::Namespace};

/// Where a node sees the network namespace of the machine that it is on.
pub const MACHINE_NETWORK: &str = "/run/docklab/machine-network";

/// The first process of a node, or of a session: what keeps the namespaces alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstProcess {
    /// As this machine numbers it.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did (proc_pid_stat(5)): a number alone may be another process's.
    started: u64,
}

impl FirstProcess {
    /// Begins a session: a network namespace for the switch and a pid namespace for all nodes.
    pub fn begin_session(label: &Path) -> HostResult<Self> {
        init::start(&init::Boot { label: label.to_path_buf(), beneath: None, node: None })
    }

    /// Boots a node beneath the session that this is.
    pub fn boot_node(&self, spec: &NodeSpec) -> HostResult<Self> {
        init::start(&init::Boot { label: spec.directory.clone(), beneath: Some(self.pid), node: Some(spec.clone()) })
    }

    fn of(pid: u32) -> HostResult<Self> {
        let started =
            start_time(pid).ok_or_else(|| HostError::Other("the first process has ended at once".to_owned()))?;
        Ok(Self { pid, started })
    }

    pub fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    fn descriptor(&self) -> HostResult<Option<OwnedFd>> {
        if !self.is_alive() {
            return Ok(None);
        }
        match descriptor_of(self.pid) {
            // Looked at again, because the number may have changed hands between the two.
            Ok(descriptor) => Ok(self.is_alive().then_some(descriptor)),
            Err(_) if !self.is_alive() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ends it, and with it every process of its pid namespace; returns when all have ended. Fine when it has ended before.
    pub fn kill(&self) -> HostResult<()> {
        let Some(process) = self.descriptor()? else { return Ok(()) };
        // SAFETY: pidfd_send_signal(2) takes numbers, and null for the optional information.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                process.as_raw_fd(),
                libc::SIGKILL,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        if sent < 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() == Some(libc::ESRCH) {
                return Ok(());
            }
            return Err(io_error("end a node", error));
        }
        // Readable when it has ended, which it does after the last process of its namespace.
        let mut waited = [PollFd::new(std::os::fd::AsFd::as_fd(&process), PollFlags::POLLIN)];
        loop {
            match poll(&mut waited, PollTimeout::NONE) {
                Err(nix::Error::EINTR) => {}
                result => {
                    return result.map(drop).map_err(|error| HostError::other("wait for a node's end", error.desc()));
                }
            }
        }
    }

    /// Stops every process of the node where it stands, or lets all go on.
    pub fn set_paused(&self, paused: bool) -> HostResult<()> {
        let signal = if paused { libc::SIGSTOP } else { libc::SIGCONT };
        let output = enter::signal_all(self, signal)
            .output()
            .map_err(|error| io_error("start the process that stops or continues a node", error))?;
        if output.status.success() {
            return Ok(());
        }
        Err(HostError::Other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }

    /// A command that starts `program` in the node, in `directory`. Its arguments, environment and streams are the caller's
    /// to add.
    pub fn command(&self, attachment: Attachment, directory: &Path, program: &str) -> Command {
        enter::command(self, attachment, directory, program)
    }

    /// Runs `work` on a thread inside the node's network namespace: sockets that it makes stay there.
    pub fn in_network<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        self.network()?.inside(work)
    }

    fn network(&self) -> io::Result<Namespace> {
        let namespace = Namespace::open(Path::new(&format!("/proc/{}/ns/net", self.pid)))?;
        if self.is_alive() {
            Ok(namespace)
        } else {
            Err(io::Error::new(io::ErrorKind::NotFound, "the node does not run"))
        }
    }
}

/// Switches off the node that this process is in: its first process ends, and everything with it. Does not return then.
pub fn power_off() -> HostResult<()> {
    let first = fs::read("/proc/1/cmdline").map_err(|error| io_error("look at the first process", error))?;
    if first.split(|byte| *byte == 0).next() != Some(init::NAME.as_bytes()) {
        return Err(HostError::Unsupported(
            "this is no node of docklab's, and switching off a machine is not its business".to_owned(),
        ));
    }
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(1), nix::sys::signal::Signal::SIGTERM)
        .map_err(|error| HostError::other("end the first process", error.desc()))?;
    nix::unistd::pause();
    Ok(())
}

/// Field 22 of /proc/PID/stat. The name before it may contain spaces and parentheses.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    // A zombie has ended.
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Becomes a first process, or a program in a node, if this process was started to be one; see
/// [`crate::run_supervisor_if_asked`].
pub(crate) fn run_if_asked() {
    let mut arguments = std::env::args_os();
    match arguments.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some(init::NAME) => init::run(arguments.next()),
        Some(enter::NAME) => enter::run(arguments),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_another_process_has_is_not_the_node() {
        let own = FirstProcess::of(std::process::id()).unwrap();
        assert!(own.is_alive());
        assert!(!FirstProcess { started: own.started + 1, ..own }.is_alive());
        // Must not end this test.
        FirstProcess { started: own.started + 1, ..own }.kill().unwrap();
    }
}
