//! Pseudo-terminals (pty(7)). The terminal comes from the *container's* devpts, so that its name there is /dev/pts/0 and
//! `tty` can find it; the master end travels to the supervisor over a socket.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
};

use nix::libc;

/// Master and terminal, opened in the devpts that is mounted at /dev/pts.
pub(crate) fn open() -> io::Result<(OwnedFd, File)> {
    let flags = libc::O_NOCTTY | libc::O_CLOEXEC;
    let master = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/pts/ptmx")?;
    let unlocked: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int.
    if unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut number: libc::c_uint = 0;
    // SAFETY: TIOCGPTN writes one unsigned int.
    if unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let terminal = OpenOptions::new().read(true).write(true).custom_flags(flags).open(format!("/dev/pts/{number}"))?;
    Ok((master.into(), terminal))
}

/// Makes the terminal the controlling one of this process, which must lead a session (setsid(2)) without one.
pub(crate) fn control(terminal: &File) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes a plain number.
    if unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Tells the terminal its size; the kernel sends SIGWINCH to the foreground processes.
pub(crate) fn resize(master: BorrowedFd<'_>, rows: u16, columns: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize.
    if unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
