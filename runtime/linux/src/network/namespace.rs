//! Network namespaces: made by a thread that unshares and ends; what keeps one alive is an open file.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use nix::sched::{CloneFlags, setns, unshare};

use super::netlink::Netlink;

/// Ready namespaces that wait for a container. Few: each holds kernel memory.
const READY: usize = 2;

/// A network namespace with its loopback up.
#[derive(Debug)]
pub(crate) struct Namespace {
    file: OwnedFd,
    /// Opened inside.
    pub(crate) netlink: Netlink,
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Namespace {
    /// A new one.
    fn create() -> io::Result<Self> {
        on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            refuse_ipv6_addresses();
            let netlink = Netlink::open()?;
            netlink.set_up(1)?;
            Ok(Self { file: File::open("/proc/thread-self/ns/net")?.into(), netlink })
        })
    }

    /// The one of a process, or any other that is open.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file: OwnedFd = File::open(path)?.into();
        let netlink = inside(file.as_fd(), Netlink::open)?;
        Ok(Self { file, netlink })
    }

    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.file.try_clone()
    }

    /// Runs `work` on a thread that has entered this namespace: sockets it makes stay there.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        inside(self.as_fd(), work)
    }
}

/// Interfaces that come later into the caller's namespace have no IPv6 addresses of their own making, as Docker's; loopback
/// keeps ::1.
pub(crate) fn refuse_ipv6_addresses() {
    // A kernel without IPv6 has no such file.
    let _ = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
}

/// Lets one interface of the caller's namespace have the IPv6 addresses that it is given.
pub(super) fn allow_ipv6_addresses(interface: &str) -> io::Result<()> {
    fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"), "0")
}

fn inside<T: Send>(namespace: BorrowedFd<'_>, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    on_thread(|| {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        work()
    })
}

/// A namespace belongs to a thread, so the change must not happen on one that others use.
fn on_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| match thread::Builder::new().spawn_scoped(scope, work)?.join() {
        Ok(result) => result,
        Err(_) => Err(io::Error::other("the thread in the namespace panicked")),
    })
}

/// Namespaces made in advance.
#[derive(Clone, Default)]
pub(crate) struct Pool {
    ready: Arc<Mutex<Vec<Namespace>>>,
}

impl Pool {
    /// A ready namespace, or a new one; replaces it in the background. Within a tokio runtime.
    pub(crate) fn take(&self) -> io::Result<Namespace> {
        let ready = self.lock().pop();
        let pool = self.clone();
        tokio::task::spawn_blocking(move || pool.fill());
        match ready {
            Some(namespace) => Ok(namespace),
            None => Namespace::create(),
        }
    }

    pub(crate) fn fill(&self) {
        while self.lock().len() < READY {
            match Namespace::create() {
                Ok(namespace) => self.lock().push(namespace),
                // Whoever needs one next gets the error.
                Err(error) => return tracing::debug!("make a network namespace in advance: {error}"),
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Namespace>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
