//! Host on Linux: namespaces, overlayfs, cgroups v1 and v2, netlink.
//!
//! [`LinuxHost`] implements `docklab_host::Host` with nothing but the kernel's own interfaces. One file stands for one
//! mechanism, so that the crate can be read as a chapter on how containers work:
//!
//! * what a container is made of: `namespaces`, `mounts`, `devices`, `capabilities`, `seccomp`, `cgroup`, `user`, `pty`;
//! * what keeps it alive when the engine dies: `supervisor`, the small process beside every container;
//! * what the engine sees of it: `processes`;
//! * where its files come from: `layers`, `volumes`; and its packets: `network`;
//! * how one machine becomes several: `node`.
//!
//! A binary that uses this crate must call [`run_supervisor_if_asked`] as the very first thing in `main`, before any
//! thread starts: the supervisor is the same executable started again.
//!
//! # Directories
//!
//! | path | what | whose |
//! |---|---|---|
//! | `data_root/records/` | the engine's records | `records` |
//! | `data_root/containers/<id>/` | log, hosts, hostname, resolv.conf | `processes` |
//! | `data_root/layers/`, `data_root/rootfs/<id>/` | layers (unless shared), writable layers | `layers` |
//! | `data_root/volumes/` | named volumes | `volumes` |
//! | `run_root/containers/<id>/` | control socket, specification, exit code of a started container | `processes` |
//! | `run_root/network/` | what `network` must find again | `network` |
//!
//! Two engines on one machine differ in `data_root`, `run_root`, `cgroup_parent` and `name_prefix` and then never meet.

mod capabilities;
mod cgroup;
mod command;
mod devices;
mod init;
mod layers;
mod log_file;
mod machine;
mod mounts;
mod namespaces;
mod network;
mod node;
mod options;
mod processes;
mod pty;
mod records;
mod rlimits;
mod seccomp;
mod socket;
mod supervisor;
mod syscalls;
mod transport;
mod user;
mod volumes;

use std::{fs, sync::Arc};

use docklab_host::{HostError, HostResult};

pub use node::{
    Attachment, FirstProcess, Lan, MACHINE_NETWORK, NodeAddress, NodeSpec, original_destination, power_off,
};
pub use options::LinuxOptions;
pub use socket::unread_by_peer;
pub use supervisor::run_supervisor_if_asked;

/// A Linux machine (or a node's share of one) that can hold an engine. Cheap to clone.
#[derive(Clone)]
pub struct LinuxHost {
    pub(crate) inner: Arc<Inner>,
}

/// What the parts of the host share. Each part owns its field; the traits are implemented on [`LinuxHost`] in the
/// part's own module.
pub(crate) struct Inner {
    pub(crate) options: LinuxOptions,
    pub(crate) layers: layers::LayerStore,
    pub(crate) network: network::NetworkStore,
    pub(crate) volumes: volumes::VolumeStore,
    pub(crate) transport: transport::HttpTransport,
    pub(crate) processes: processes::ProcessTable,
}

impl LinuxHost {
    /// Makes the directories, and finds and clears what a crash left behind: cgroups and run directories of containers whose
    /// supervisor is dead. Containers that still run are left alone; [`docklab_host::Processes::reattach`] finds them.
    /// Must be called within a tokio runtime.
    pub async fn open(options: LinuxOptions) -> HostResult<Self> {
        for directory in [&options.data_root, &options.run_root] {
            fs::create_dir_all(directory)
                .map_err(|error| HostError::other(format!("create {}", directory.display()), error))?;
        }
        let inner = Inner {
            layers: layers::LayerStore::open(&options)?,
            network: network::NetworkStore::open(&options).await?,
            volumes: volumes::VolumeStore::open(&options)?,
            transport: transport::HttpTransport::open(&options)?,
            processes: processes::ProcessTable::open(&options)?,
            options,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Removes the cgroups of an engine whose containers have all ended: of a node that is gone, all that it leaves outside
    /// of its directory.
    pub fn remove_cgroups(options: &LinuxOptions) -> HostResult<()> {
        cgroup::remove_parent(&options.cgroup_parent)
    }

    /// Removes what an engine keeps outside its directories: links, firewall rules, cgroups. For an engine that has stopped,
    /// whose containers are gone, and that will not be opened again. Goes on after an error and reports all.
    pub fn purge(options: &LinuxOptions) -> HostResult<()> {
        let outcomes = [network::NetworkStore::purge(options), cgroup::remove_parent(&options.cgroup_parent)];
        let failures: Vec<String> =
            outcomes.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
        if failures.is_empty() { Ok(()) } else { Err(HostError::Other(failures.join("; "))) }
    }
}
