//! `--init`: a process 1 that does what every process 1 owes the system.
//!
//! The kernel gives orphans to process 1 of their PID namespace, and only their parent can clear them away. It also
//! protects process 1: a signal without a handler is ignored. A program that knows nothing of this collects zombies and
//! cannot be stopped with SIGTERM. This init passes signals on to the one child it has and reaps every other.

use nix::{
    errno::Errno,
    libc,
    sys::{
        signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// Forwards and reaps until `child` has ended, and returns how it ended, as a shell tells it.
pub(crate) fn run(child: Pid) -> i32 {
    let all = SigSet::all();
    // From here on signals wait until we ask for them: no handler, no race.
    if sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), None).is_err() {
        return 1;
    }
    loop {
        loop {
            match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == child => return code,
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => return 128 + signal as i32,
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => break,
                _ => {}
            }
        }
        match all.wait() {
            // Of the terminal's job control: the child is in its foreground and hears of it itself.
            Ok(Signal::SIGCHLD | Signal::SIGTTIN | Signal::SIGTTOU) | Err(_) => {}
            Ok(signal) => {
                // The child may have ended just now; the next round reaps it.
                let _ = kill(child, signal);
            }
        }
    }
}

/// Shows itself under the name that Docker's init has.
pub(crate) fn take_name() {
    // SAFETY: PR_SET_NAME reads a string that ends with NUL; the literal does and is static.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"docker-init".as_ptr()) };
}
