//! Pseudo-terminals for shells: the page's terminals and the hands that play a lab.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    process::{Child, Command, Stdio},
};

use docklab_linux::Attachment;
use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize},
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::session::Node;

/// A program on a terminal of its own. Dropping it hangs the terminal up, which ends the program.
pub(crate) struct Pty {
    controller: AsyncFd<OwnedFd>,
    /// Taken when the terminal is dropped.
    child: Option<Child>,
}

/// How to start the program.
pub(crate) struct PtyCommand<'a> {
    pub(crate) node: &'a Node,
    pub(crate) program: &'a str,
    pub(crate) arguments: &'a [&'a str],
    pub(crate) environment: &'a BTreeMap<String, String>,
    pub(crate) directory: &'a Path,
    /// Rows and columns.
    pub(crate) size: (u16, u16),
    /// Whether the terminal shows what is typed.
    pub(crate) echo: bool,
}

impl Pty {
    pub(crate) fn spawn(command: &PtyCommand<'_>) -> io::Result<Self> {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&controller)?;
        unlockpt(&controller)?;
        let path = ptsname(&controller, Vec::new())?;
        let terminal =
            rustix::fs::open(&path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
        tcsetwinsize(&controller, window(command.size))?;
        if !command.echo {
            let mut settings = tcgetattr(&terminal)?;
            settings.local_modes.remove(LocalModes::ECHO);
            tcsetattr(&terminal, OptionalActions::Now, &settings)?;
        }
        let mut starter = if command.node.place.is_some() {
            let entered = command.node.command(Attachment::Terminal, command.directory, command.program);
            entered.map_err(io::Error::other)?
        } else {
            // util-linux's setsid makes the terminal the controlling one, which this program could only do in a fork of its
            // own.
            let mut starter = Command::new("setsid");
            starter.args(["--ctty", "--wait", command.program]).current_dir(command.directory);
            starter
        };
        let child = starter
            .args(command.arguments)
            .env_clear()
            .envs(command.environment)
            .stdin(Stdio::from(terminal.try_clone()?))
            .stdout(Stdio::from(terminal.try_clone()?))
            .stderr(Stdio::from(terminal))
            .spawn()?;
        let flags = fcntl_getfl(controller.as_fd())?;
        fcntl_setfl(controller.as_fd(), flags | OFlags::NONBLOCK)?;
        // An owned descriptor stays the same open file for as long as it is registered, which is what the warning is about.
        #[expect(deprecated, reason = "the replacement is unsafe, and an owned descriptor needs no promise")]
        let controller = AsyncFd::new(controller)?;
        Ok(Self { controller, child: Some(child) })
    }

    /// Reads what the program has printed; 0 bytes is its end.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self
            .controller
            .async_io(Interest::READABLE, |controller| rustix::io::read(controller, &mut *buffer).map_err(Into::into))
            .await;
        match read {
            // A terminal that nobody has open any more answers EIO.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Ok(0),
            other => other,
        }
    }

    /// Types.
    pub(crate) async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = self
                .controller
                .async_io(Interest::WRITABLE, |controller| rustix::io::write(controller, bytes).map_err(Into::into))
                .await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// True while a program reads a line without showing it: a password.
    pub(crate) fn hides_input(&self) -> bool {
        tcgetattr(self.controller.get_ref()).is_ok_and(|settings| {
            settings.local_modes.contains(LocalModes::ICANON) && !settings.local_modes.contains(LocalModes::ECHO)
        })
    }

    pub(crate) fn resize(&self, size: (u16, u16)) -> io::Result<()> {
        tcsetwinsize(self.controller.get_ref(), window(size)).map_err(Into::into)
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // The shell gets a hang-up when the controller closes; who waits for it outside must be told.
        if let Some(leader) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(leader, rustix::process::Signal::TERM).ok();
        }
        // Reaping may take as long as the program takes to end.
        std::thread::spawn(move || child.wait());
    }
}

fn window((rows, columns): (u16, u16)) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
