//! Version 1: a directory in the tree of every controller that is needed (`Documentation/admin-guide/cgroup-v1/`).

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use docklab_host::{HostError, HostResult, Limits, Stats};

use super::{Cgroup, DeviceRules, STANDARD_DEVICES, cpu_quota, read_key, read_number, write};

pub(super) const CONTROLLERS: [&str; 8] = ["devices", "freezer", "memory", "pids", "cpuacct", "cpu", "cpuset", "blkio"];
/// Joined by every container: for security, pause, statistics and the process count. The others cost time at each start
/// and are joined when a limit asks for them.
const ALWAYS: [&str; 5] = ["freezer", "devices", "memory", "pids", "cpuacct"];
/// As memory.limit_in_bytes shows "no limit".
const UNLIMITED: u64 = 1 << 62;

fn controller(cgroup: &Cgroup, name: &str) -> Option<PathBuf> {
    Some(cgroup.hierarchies.v1.get(name)?.join(&cgroup.path))
}

/// Name and directory of each hierarchy that the container has joined, the freezer first; one entry a directory.
pub(super) fn joined(cgroup: &Cgroup) -> Vec<(String, PathBuf)> {
    let mut names: Vec<&String> = cgroup.hierarchies.v1.keys().collect();
    names.sort_by_key(|name| name.as_str() != "freezer");
    let mut seen = BTreeSet::new();
    names
        .into_iter()
        .filter_map(|name| Some((name.clone(), controller(cgroup, name)?)))
        .filter(|(_, directory)| seen.insert(directory.clone()) && directory.is_dir())
        .collect()
}

pub(super) fn create(cgroup: &Cgroup, limits: &Limits, devices: &DeviceRules) -> HostResult<()> {
    for name in ALWAYS.into_iter().chain(needed(limits)) {
        make(cgroup, name)?;
    }
    if let (Some(directory), DeviceRules::Standard(extra)) = (controller(cgroup, "devices"), devices) {
        write(&directory, "devices.deny", "a")?;
        for rule in STANDARD_DEVICES.iter().chain(extra) {
            write(&directory, "devices.allow", &rule.text())?;
        }
    }
    set(cgroup, limits)
}

/// Controllers that these limits need beside the ones that every container joins.
fn needed(limits: &Limits) -> Vec<&'static str> {
    let mut names = Vec::new();
    if cpu_quota(limits).is_some() || limits.cpu_shares.is_some() {
        names.push("cpu");
    }
    if limits.cpuset_cpus.is_some() {
        names.push("cpuset");
    }
    names
}

fn make(cgroup: &Cgroup, name: &str) -> HostResult<()> {
    let Some(root) = cgroup.hierarchies.v1.get(name) else { return Ok(()) };
    let mut directory = root.clone();
    for component in Path::new(&cgroup.path) {
        let parent = directory.clone();
        directory.push(component);
        match fs::create_dir(&directory) {
            Ok(()) if name == "cpuset" => {
                // A new cpuset is empty and takes no process; it has to be filled from its parent's.
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    let value = fs::read_to_string(parent.join(file)).unwrap_or_default();
                    write(&directory, file, value.trim())?;
                }
            }
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(HostError::other(format!("create cgroup {}", directory.display()), error)),
        }
    }
    Ok(())
}

/// Joins controllers that a new limit needs, with every process of the container, then sets the limits.
pub(super) fn update_limits(cgroup: &Cgroup, limits: &Limits) -> HostResult<()> {
    for name in needed(limits) {
        let Some(directory) = controller(cgroup, name) else { continue };
        if !directory.is_dir() {
            make(cgroup, name)?;
            for pid in cgroup.processes() {
                // A process that ended meanwhile is no reason to give up.
                let _ = write(&directory, "cgroup.procs", &pid.to_string());
            }
        }
    }
    set(cgroup, limits)
}

fn set(cgroup: &Cgroup, limits: &Limits) -> HostResult<()> {
    let wanted = |name: &str| {
        controller(cgroup, name).ok_or_else(|| {
            HostError::Unsupported(format!("this kernel has no {name} cgroup: the limit cannot be kept"))
        })
    };
    if let Some(memory) = limits.memory {
        let directory = wanted("memory")?;
        // Docker: swap is as much again unless it is said.
        let total = limits.memory_swap.unwrap_or(memory.saturating_mul(2));
        let text = |value: u64| if value == u64::MAX { "-1".to_owned() } else { value.to_string() };
        // The total may never be below the memory limit, so the order depends on the direction.
        let current: u64 = read_number(&directory, "memory.memsw.limit_in_bytes").unwrap_or(UNLIMITED);
        let with_swap = directory.join("memory.memsw.limit_in_bytes").exists();
        if with_swap && total > current {
            write(&directory, "memory.memsw.limit_in_bytes", &text(total))?;
        }
        write(&directory, "memory.limit_in_bytes", &text(memory))?;
        if with_swap && total <= current {
            write(&directory, "memory.memsw.limit_in_bytes", &text(total))?;
        }
    }
    if let Some(reservation) = limits.memory_reservation {
        write(&wanted("memory")?, "memory.soft_limit_in_bytes", &reservation.to_string())?;
    }
    if let Some(pids) = limits.pids {
        let value = if pids > 0 { pids.to_string() } else { "max".to_owned() };
        write(&wanted("pids")?, "pids.max", &value)?;
    }
    if let Some((quota, period)) = cpu_quota(limits) {
        let directory = wanted("cpu")?;
        write(&directory, "cpu.cfs_period_us", &period.to_string())?;
        write(&directory, "cpu.cfs_quota_us", &quota.to_string())?;
    }
    if let Some(shares) = limits.cpu_shares {
        write(&wanted("cpu")?, "cpu.shares", &shares.to_string())?;
    }
    if let Some(cpus) = &limits.cpuset_cpus {
        write(&wanted("cpuset")?, "cpuset.cpus", cpus)?;
    }
    Ok(())
}

/// Bytes read from and written to all block devices, the cgroup's children included where the kernel counts them
/// (blkio-controller.rst: `<major>:<minor> Read <bytes>`).
fn block_bytes(directory: &Path) -> (u64, u64) {
    let counted = ["blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"]
        .iter()
        .find_map(|file| std::fs::read_to_string(directory.join(file)).ok())
        .unwrap_or_default();
    let sum = |operation: &str| {
        let of_operation = counted.lines().filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (_device, kind, bytes) = (fields.next()?, fields.next()?, fields.next()?);
            (kind == operation).then(|| bytes.parse::<u64>().ok())?
        });
        of_operation.sum()
    };
    (sum("Read"), sum("Write"))
}

/// freezer-subsystem.rst: a write asks, and the state reads FREEZING until every process has stopped. There is no event
/// for that, so we ask again; it takes microseconds unless a process is deep in the kernel.
pub(super) fn freeze(cgroup: &Cgroup, frozen: bool) -> HostResult<()> {
    let directory = controller(cgroup, "freezer").ok_or_else(|| {
        HostError::Unsupported("pausing needs the freezer cgroup, which this kernel does not have".to_owned())
    })?;
    let state = if frozen { "FROZEN" } else { "THAWED" };
    for round in 0..1000_u64 {
        write(&directory, "freezer.state", state)?;
        if read_number::<String>(&directory, "freezer.state").as_deref() == Some(state) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_micros(10 * round.min(200)));
    }
    if frozen {
        write(&directory, "freezer.state", "THAWED")?;
    }
    Err(HostError::Other(format!("the container's processes did not become {state} within a second")))
}

pub(super) fn is_frozen(cgroup: &Cgroup) -> bool {
    controller(cgroup, "freezer")
        .and_then(|directory| read_number::<String>(&directory, "freezer.state"))
        .is_some_and(|state| state != "THAWED")
}

pub(super) fn out_of_memory_kills(cgroup: &Cgroup) -> u64 {
    controller(cgroup, "memory")
        .and_then(|directory| read_key(&directory, "memory.oom_control", "oom_kill"))
        .unwrap_or_default()
}

pub(super) fn read_stats(cgroup: &Cgroup, stats: &mut Stats) {
    if let Some(directory) = controller(cgroup, "cpuacct") {
        stats.cpu_total = read_number(&directory, "cpuacct.usage").unwrap_or_default();
        // In USER_HZ, which is a hundredth of a second on every architecture we run on.
        let ticks = |key| read_key(&directory, "cpuacct.stat", key).unwrap_or_default() * 10_000_000;
        stats.cpu_user = ticks("user");
        stats.cpu_system = ticks("system");
    }
    if let Some(directory) = controller(cgroup, "memory") {
        stats.memory_usage = read_number(&directory, "memory.usage_in_bytes").unwrap_or_default();
        let limit: u64 = read_number(&directory, "memory.limit_in_bytes").unwrap_or(UNLIMITED);
        stats.memory_limit = stats.memory_limit.min(limit);
        stats.memory_inactive_file = read_key(&directory, "memory.stat", "total_inactive_file").unwrap_or_default();
    }
    if let Some(directory) = controller(cgroup, "blkio") {
        (stats.block_read, stats.block_written) = block_bytes(&directory);
    }
    if let Some(directory) = controller(cgroup, "pids") {
        stats.pids = read_number(&directory, "pids.current").unwrap_or_default();
    }
}
