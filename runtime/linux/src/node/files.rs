//! What a node sees of the machine's files: everything, with an `/etc` of its own that begins as the machine's, and an empty
//! `/run`.

use std::{
    fs::{self, File},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use docklab_host::{HostError, HostResult};
use nix::{
    mount::{MsFlags, mount},
    unistd::sethostname,
};
use serde::{Deserialize, Serialize};

use super::MACHINE_NETWORK;
use crate::{layers::io_error, mounts};

/// A node to boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    pub hostname: String,
    /// Everything of the node's that lasts. On a file system that can carry overlayfs's writable layer.
    pub directory: PathBuf,
    /// Becomes `/etc/hosts`; what is written to it later shows in the node.
    pub hosts: PathBuf,
    /// Becomes `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    /// The engine's socket, also found as `/run/docker.sock`.
    pub socket: PathBuf,
}

pub(super) fn set_up(node: &NodeSpec, machine_network: &File) -> HostResult<()> {
    sethostname(&node.hostname).map_err(|error| HostError::other("set the host name", error.desc()))?;
    mounts::separate()?;
    own_etc(node)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mounted("/proc", mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>))?;
    own_sys(flags)?;
    own_run(node, machine_network)
}

fn mounted(what: &str, outcome: nix::Result<()>) -> HostResult<()> {
    outcome.map_err(|error| HostError::other(format!("mount a node's {what}"), error.desc()))
}

fn bind(source: &Path, target: &Path) -> HostResult<()> {
    let outcome = mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>);
    mounted(&target.display().to_string(), outcome)
}

fn own_etc(node: &NodeSpec) -> HostResult<()> {
    let [upper, work] = ["etc", "etc-work"].map(|name| node.directory.join(name));
    // A volatile overlay leaves a mark there, and is refused where one is.
    match fs::remove_dir_all(&work) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(io_error(format!("clear {}", work.display()), error));
        }
        _ => {}
    }
    for directory in [&upper, &work] {
        fs::create_dir_all(directory).map_err(|error| io_error(format!("create {}", directory.display()), error))?;
    }
    let options = format!("lowerdir=/etc,upperdir={},workdir={}", upper.display(), work.display());
    // Volatile: the end of a node does not wait until all of the machine's files are on the disk. Older kernels know no such
    // option.
    let volatile = format!("{options},volatile");
    let overlay = |options: &str| mount(Some("overlay"), "/etc", Some("overlay"), MsFlags::empty(), Some(options));
    mounted("/etc", overlay(&volatile).or_else(|_| overlay(&options)))?;
    let replace = |path: &str, content: &str| {
        // The machine's may be a link to somewhere else.
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => fs::write(path, content),
        }
        .map_err(|error| io_error(format!("write a node's {path}"), error))
    };
    replace("/etc/hostname", &format!("{}\n", node.hostname))?;
    for (source, target) in [(&node.hosts, "/etc/hosts"), (&node.resolv_conf, "/etc/resolv.conf")] {
        replace(target, "")?;
        bind(source, Path::new(target))?;
    }
    Ok(())
}

/// A /sys that shows the node's own network, with the machine's cgroups in it.
fn own_sys(flags: MsFlags) -> HostResult<()> {
    let cgroups = Path::new("/sys/fs/cgroup");
    let tree = mounts::open_tree(cgroups).map_err(|error| io_error("open the machine's cgroups", error))?;
    mounted("/sys", mount(Some("sysfs"), "/sys", Some("sysfs"), flags, None::<&str>))?;
    mounts::move_mount(&tree, cgroups).map_err(|error| io_error("mount a node's cgroups", error))
}

/// Sockets and locks of the machine's services are none of the node's.
fn own_run(node: &NodeSpec, machine_network: &File) -> HostResult<()> {
    if !node.directory.starts_with("/run") && !node.directory.starts_with("/var/run") {
        let options = "mode=755";
        mounted("/run", mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::MS_NOSUID, Some(options)))?;
        std::os::unix::fs::symlink(&node.socket, "/run/docker.sock")
            .map_err(|error| io_error("create a node's /run/docker.sock", error))?;
    }
    let target = Path::new(MACHINE_NETWORK);
    let made = target.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(target, ""));
    made.map_err(|error| io_error(format!("create a node's {MACHINE_NETWORK}"), error))?;
    bind(Path::new(&format!("/proc/self/fd/{}", machine_network.as_raw_fd())), target)
}
