//! What only the kernel knows of a connection.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use nix::libc;

/// Bytes (with the kernel's own beside them) that were sent on a unix socket and that its peer has not read yet (unix(7),
/// SIOCOUTQ).
pub fn unread_by_peer(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut unread: libc::c_int = 0;
    // SAFETY: TIOCOUTQ, which is SIOCOUTQ by another name, writes one int.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut unread) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u32::try_from(unread).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::{fd::AsFd as _, unix::net::UnixStream},
    };

    use super::*;

    #[test]
    fn nothing_is_unread_once_the_peer_has_read_it() {
        let (mut here, mut there) = UnixStream::pair().expect("a pair of sockets");
        assert_eq!(unread_by_peer(here.as_fd()).expect("asked"), 0);
        here.write_all(b"head").expect("sent");
        assert!(unread_by_peer(here.as_fd()).expect("asked") > 0);
        there.read_exact(&mut [0; 4]).expect("read");
        assert_eq!(unread_by_peer(here.as_fd()).expect("asked"), 0);
    }
}
