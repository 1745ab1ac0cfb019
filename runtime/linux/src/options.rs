use std::{net::IpAddr, path::PathBuf};

/// Where an engine lives on the machine. Engines side by side need different values in every field but `shared_layers`.
#[derive(Debug, Clone)]
pub struct LinuxOptions {
    /// What must last: records, layers, logs, volumes. A real directory, not on an overlay.
    pub data_root: PathBuf,
    /// What may vanish at a reboot: sockets, exit codes.
    pub run_root: PathBuf,
    /// Begins the names of network interfaces and namespaces, e.g. `dl1`; at most six letters and digits (an interface's
    /// name has fifteen).
    pub name_prefix: String,
    /// Our directory in every cgroup hierarchy, relative to the hierarchy's mount, e.g. `docklab/node1`.
    pub cgroup_parent: String,
    /// The layer store that the engines of one session share; `None` keeps layers in the data root.
    pub shared_layers: Option<PathBuf>,
    /// The node's address on its LAN: where overlay networks leave from. `None` where there is no swarm.
    pub node_address: Option<IpAddr>,
    /// The network namespace (a file of nsfs) of the machine that this node is on: published ports open on its loopback, too.
    /// `None` where the engine is in the machine's own namespace, and for nodes whose ports stay theirs.
    pub machine_network: Option<PathBuf>,
    /// The executable to start as supervisor and the words that go before its own arguments. The default is the running
    /// executable, which must call `run_supervisor_if_asked`.
    pub supervisor: PathBuf,
    /// Waits for the disk at every record written. Off for throw-away engines: a crash of the *machine* may then lose the
    /// last records, a crash of the engine none.
    pub durable: bool,
}

impl LinuxOptions {
    /// Everything beneath one directory, for an engine named `name` (letters and digits).
    pub fn beneath(root: impl Into<PathBuf>, name: &str) -> Self {
        let root = root.into();
        Self {
            data_root: root.join("data"),
            run_root: root.join("run"),
            name_prefix: name.chars().take(6).collect(),
            cgroup_parent: format!("docklab/{name}"),
            shared_layers: None,
            node_address: None,
            machine_network: None,
            supervisor: PathBuf::from("/proc/self/exe"),
            durable: true,
        }
    }
}
