use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use docklab_api::models::{ContainerConfig, HealthStatusEnum, HealthcheckResult, HostConfig};
use docklab_host::{Ipv6Endpoint, PublishedPort, TmpfsOptions};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything durable about one container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    /// Without the leading slash that the API shows.
    pub(crate) name: String,
    pub(crate) created: Timestamp,
    pub(crate) path: String,
    pub(crate) args: Vec<String>,
    /// `sha256:…`.
    pub(crate) image_id: String,
    /// The image's familiar reference when the container was made.
    pub(crate) image_familiar: String,
    pub(crate) config: ContainerConfig,
    pub(crate) host_config: HostConfig,
    pub(crate) mounts: Vec<Mountpoint>,
    /// By network name.
    pub(crate) endpoints: BTreeMap<String, Endpoint>,
    pub(crate) state: State,
    pub(crate) restart_count: u32,
    /// `docker stop` or `docker kill` ended it: restart policies leave it alone.
    pub(crate) manually_stopped: bool,
    /// As opened by the host; empty unless running.
    pub(crate) ports: Vec<PublishedPort>,
    /// 64 hexadecimal digits while it has a network namespace.
    pub(crate) sandbox: String,
    /// Of a container on the default bridge; on user networks endpoints have them.
    #[serde(default)]
    pub(crate) links: Vec<Link>,
}

/// Another container under a name of this one's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// The other's ID.
    pub(crate) child: String,
    pub(crate) alias: String,
}

/// Docker's state flags. They are not exclusive: a paused container is running, and so is a restarting one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) running: bool,
    pub(crate) paused: bool,
    pub(crate) restarting: bool,
    pub(crate) removing: bool,
    pub(crate) dead: bool,
    pub(crate) oom_killed: bool,
    pub(crate) pid: u32,
    pub(crate) exit_code: i32,
    pub(crate) error: String,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    /// Not durable: health starts anew with the monitor.
    #[serde(skip)]
    pub(crate) health: Option<HealthState>,
}

/// What the health monitor found so far.
#[derive(Debug, Clone)]
pub(crate) struct HealthState {
    pub(crate) status: HealthStatusEnum,
    pub(crate) failing_streak: i64,
    /// The last five results, oldest first.
    pub(crate) log: Vec<HealthcheckResult>,
}

impl State {
    /// The API's `State` word.
    pub(crate) fn word(&self) -> &'static str {
        if self.running {
            return if self.paused {
                "paused"
            } else if self.restarting {
                "restarting"
            } else {
                "running"
            };
        }
        if self.removing {
            "removing"
        } else if self.dead {
            "dead"
        } else if self.started_at.is_none() {
            "created"
        } else {
            "exited"
        }
    }

    /// True while it has a process.
    pub(crate) fn has_process(&self) -> bool {
        self.running && !self.restarting
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MountKind {
    Bind,
    Volume,
    Tmpfs,
}

/// One resolved mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mountpoint {
    pub(crate) kind: MountKind,
    /// The volume's name.
    pub(crate) name: String,
    /// The host path of a bind, the mount point of a volume.
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) read_only: bool,
    /// The options as given: `ro`, `z`, empty.
    pub(crate) mode: String,
    pub(crate) no_copy: bool,
    /// The directory of the volume that is mounted; empty is the whole volume.
    #[serde(default)]
    pub(crate) subpath: String,
    /// Of a bind: `rprivate`, `rshared`, …
    #[serde(default)]
    pub(crate) propagation: String,
    /// From `--tmpfs`: inspect shows it in the host configuration only.
    #[serde(default)]
    pub(crate) hidden: bool,
    /// Make a missing bind source (`-v`).
    pub(crate) create: bool,
    /// Goes away with `docker rm -v` and `--rm`.
    pub(crate) anonymous: bool,
    pub(crate) tmpfs: TmpfsOptions,
}

/// A container's attachment to a network: what was asked for, and while it runs, what it got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// Empty until the network was looked up.
    pub(crate) network_id: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) links: Vec<String>,
    pub(crate) wanted_address: Option<IpAddr>,
    #[serde(default)]
    pub(crate) wanted_ipv6: Option<Ipv6Addr>,
    #[serde(default)]
    pub(crate) link_local: Vec<IpAddr>,
    pub(crate) wanted_mac: String,
    pub(crate) driver_opts: BTreeMap<String, String>,
    pub(crate) gateway_priority: i64,
    /// 64 hexadecimal digits; empty while not attached.
    pub(crate) endpoint_id: String,
    pub(crate) address: Option<IpAddr>,
    pub(crate) prefix_length: u8,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) mac: String,
    #[serde(default)]
    pub(crate) ipv6: Option<Ipv6Endpoint>,
}

impl Endpoint {
    /// Forgets what the running container had.
    pub(crate) fn detach(&mut self) {
        self.endpoint_id.clear();
        self.address = None;
        self.prefix_length = 0;
        self.gateway = None;
        self.mac.clear();
        self.ipv6 = None;
    }
}
