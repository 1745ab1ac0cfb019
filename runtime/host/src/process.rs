use std::{net::IpAddr, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{EndpointSpec, HostResult, PortSpec};

/// Which of a process's output streams. With a terminal there is only `Stdout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standard {
    Stdout,
    Stderr,
}

/// A piece of live output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub stream: Standard,
    pub bytes: Bytes,
}

/// Who a process runs as: Docker's `user[:group]`, names or numbers. The host looks names up in the container's own
/// /etc/passwd and /etc/group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Empty is root.
    pub spec: String,
    /// Supplementary groups (`--group-add`).
    pub additional_groups: Vec<String>,
}

/// What to execute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    pub argv: Vec<String>,
    /// `KEY=value`, complete: PATH, HOSTNAME, TERM and the image's are in it. HOME is added by the host from passwd when absent.
    pub env: Vec<String>,
    /// Absolute; created when it does not exist.
    pub cwd: String,
    pub user: User,
    pub tty: bool,
    /// Rows and columns of the terminal at its start; 0 is unknown.
    pub console_size: (u16, u16),
    /// Keep standard input open for attachments; otherwise it is /dev/null.
    pub open_stdin: bool,
    pub privileged: bool,
}

/// Limits as cgroups know them; `None` is unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<u64>,
    /// Bytes of memory and swap together; `Some(u64::MAX)` is unlimited swap.
    pub memory_swap: Option<u64>,
    pub memory_reservation: Option<u64>,
    /// Billionths of a CPU.
    pub nano_cpus: Option<u64>,
    pub cpu_quota: Option<i64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    pub cpu_shares: Option<u64>,
    pub cpuset_cpus: Option<String>,
    pub pids: Option<i64>,
    /// `name`, soft, hard.
    pub ulimits: Vec<(String, i64, i64)>,
    pub oom_score_adj: Option<i32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TmpfsOptions {
    /// Bytes; `None` is the kernel's default of half the memory.
    pub size: Option<u64>,
    /// Permission bits; `None` is 0o1777.
    pub mode: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A path of the host. `create` makes a missing directory (`-v`), otherwise a missing source is an error (`--mount`).
    Bind {
        path: String,
        create: bool,
        /// `rprivate` (also when empty), `rshared`, `rslave` and their kinds without `r` (mount_namespaces(7)).
        propagation: String,
    },
    /// A named volume. On first use an empty one is filled with what the image has at the target, unless `no_copy`.
    Volume {
        name: String,
        no_copy: bool,
        /// A directory within the volume, which must be there; empty is the whole of it.
        subpath: String,
    },
    Tmpfs(TmpfsOptions),
    /// Content given here (secrets, configs): a file on a tmpfs.
    File {
        content: Vec<u8>,
        mode: u32,
        uid: u32,
        gid: u32,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    pub source: MountSource,
    /// Absolute path in the container.
    pub target: String,
    pub read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSpec {
    pub host_path: String,
    pub container_path: String,
    /// Some of `rwm`.
    pub permissions: String,
}

/// A container's network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkMode {
    /// Loopback only.
    None,
    /// The node's own.
    Host,
    /// Another container's, by ID.
    Container(String),
    /// Its own, with these endpoints; the first one that has a gateway gets the default route.
    Endpoints(Vec<EndpointSpec>),
}

/// Everything the host needs to start a container whose root file system exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// 64 hexadecimal digits.
    pub id: String,
    pub hostname: String,
    pub domainname: String,
    /// The image the container was made from, in its familiar form: the simulator looks its description up by it.
    pub image: String,
    pub labels: Vec<(String, String)>,
    pub process: ProcessSpec,
    pub limits: Limits,
    pub mounts: Vec<MountSpec>,
    pub network: NetworkMode,
    pub ports: Vec<PortSpec>,
    /// Servers for /etc/resolv.conf where there is no embedded DNS; empty is the host's own.
    pub dns: Vec<IpAddr>,
    pub dns_search: Vec<String>,
    pub dns_options: Vec<String>,
    /// Lines for /etc/hosts.
    pub extra_hosts: Vec<(String, String)>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub security_opt: Vec<String>,
    pub devices: Vec<DeviceSpec>,
    pub sysctls: Vec<(String, String)>,
    pub read_only_rootfs: bool,
    /// A small init as PID 1 that forwards signals and reaps (`--init`).
    pub init: bool,
    /// `host`, `container:<id>` or empty for its own.
    pub pid_mode: String,
    pub ipc_mode: String,
    pub uts_mode: String,
    /// Bytes.
    pub shm_size: u64,
    /// False for log driver `none`.
    pub log: bool,
}

/// A command for a running container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecSpec {
    /// The exec's ID.
    pub id: String,
    pub process: ProcessSpec,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// 0–255; 128 + signal for a death by signal.
    pub code: i32,
    pub oom_killed: bool,
    pub at: Timestamp,
}

/// One sample of a container's use of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Nanoseconds of CPU time.
    pub cpu_total: u64,
    pub cpu_user: u64,
    pub cpu_system: u64,
    /// The whole machine's CPU time in nanoseconds at the same moment.
    pub machine_cpu_total: u64,
    pub online_cpus: u32,
    /// Bytes.
    pub memory_usage: u64,
    pub memory_limit: u64,
    pub memory_inactive_file: u64,
    pub pids: u64,
    /// By interface: received bytes and packets, sent bytes and packets.
    pub networks: Vec<(String, [u64; 4])>,
    pub block_read: u64,
    pub block_written: u64,
}

/// `docker top`: column titles and rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessList {
    pub titles: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// Which log lines to read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogQuery {
    /// The last N lines; `None` is all.
    pub tail: Option<u64>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// Go on until the container ends.
    pub follow: bool,
}

/// One line (or, past 16 KiB, a piece of one) as it was written. `bytes` keeps the newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    pub at: Timestamp,
    pub stream: Standard,
    pub bytes: Bytes,
}

/// A running process of a container: its PID 1, or an exec.
#[async_trait]
pub trait Process: Send + Sync {
    /// As the host sees it.
    fn pid(&self) -> u32;
    /// Ends when the process has ended and its output is complete. May be called any number of times.
    async fn wait(&self) -> HostResult<Exit>;
    /// Sends a Linux signal number.
    async fn signal(&self, signal: i32) -> HostResult<()>;
    async fn resize(&self, rows: u16, columns: u16) -> HostResult<()>;
    async fn write_stdin(&self, bytes: Bytes) -> HostResult<()>;
    /// Delivers end of file (with a terminal: hangs up the input).
    async fn close_stdin(&self) -> HostResult<()>;
}

/// A process with its live output. The stream of a started process begins with its first byte; that of one that was
/// found again, now. It ends with the process.
pub struct Started {
    pub process: Arc<dyn Process>,
    pub output: BoxStream<'static, Output>,
    /// Ports as they were really opened, in the order of the specification's; empty for an exec.
    pub ports: Vec<crate::PublishedPort>,
    /// What the log of `docker start` should warn about; mostly empty.
    pub warnings: Vec<String>,
}

/// Containers as processes. Every method takes the container's ID.
#[async_trait]
pub trait Processes: Send + Sync {
    /// Mounts, namespaces, limits, network, ports, then exec. On an error nothing of the container's stays behind but its
    /// root file system.
    async fn start(&self, spec: &ContainerSpec) -> HostResult<Started>;
    /// Finds a container that a former engine started: still running, or ended meanwhile ([`Process::wait`] then returns
    /// at once). `None` when the host knows nothing of it (a reboot).
    async fn reattach(&self, container: &str) -> HostResult<Option<Started>>;
    /// Releases what a container that has ended still holds: mounts, cgroup, network namespace, supervisor, ports. Goes on
    /// after an error and reports all.
    async fn cleanup(&self, container: &str) -> HostResult<()>;
    async fn exec(&self, container: &str, spec: &ExecSpec) -> HostResult<Started>;
    async fn pause(&self, container: &str) -> HostResult<()>;
    async fn resume(&self, container: &str) -> HostResult<()>;
    async fn update_limits(&self, container: &str, limits: &Limits) -> HostResult<()>;
    async fn stats(&self, container: &str) -> HostResult<Stats>;
    /// `ps_args` are options for ps (`-ef` when empty).
    async fn top(&self, container: &str, ps_args: &str) -> HostResult<ProcessList>;
    /// The container's log, oldest first.
    async fn logs(&self, container: &str, query: LogQuery) -> HostResult<BoxStream<'static, HostResult<LogRecord>>>;
    async fn remove_logs(&self, container: &str) -> HostResult<()>;
}
