//! Version 2: one directory with all controllers (`Documentation/admin-guide/cgroup-v2.rst`).

use std::{
    fs::{self, File},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

use docklab_host::{HostError, HostResult, Limits, Stats};
use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{Cgroup, DeviceRules, cpu_quota, device_program, read_key, read_number, write};

const WANTED: [&str; 5] = ["memory", "pids", "cpu", "cpuset", "io"];

pub(super) fn directory(cgroup: &Cgroup) -> Option<PathBuf> {
    Some(cgroup.hierarchies.v2.as_ref()?.join(&cgroup.path))
}

fn existing(cgroup: &Cgroup) -> HostResult<PathBuf> {
    directory(cgroup).ok_or_else(|| HostError::Unsupported("no cgroup hierarchy is mounted on this machine".to_owned()))
}

/// A controller reaches a cgroup only when every ancestor passes it on in `cgroup.subtree_control`.
pub(super) fn create(cgroup: &Cgroup, limits: &Limits, devices: &DeviceRules) -> HostResult<()> {
    let Some(root) = &cgroup.hierarchies.v2 else { return Ok(()) };
    let mut current = root.clone();
    for component in Path::new(&cgroup.path) {
        for controller in WANTED {
            if cgroup.hierarchies.v2_controllers.iter().any(|name| name == controller) {
                // Refused where processes live in this cgroup beside ours. A limit that needs the controller fails below.
                let _ = write(&current, "cgroup.subtree_control", &format!("+{controller}"));
            }
        }
        current.push(component);
        match fs::create_dir(&current) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(HostError::other(format!("create cgroup {}", current.display()), error));
            }
            _ => {}
        }
    }
    if let DeviceRules::Standard(extra) = devices {
        let opened = File::open(&current).map_err(|error| HostError::other("open cgroup", error))?;
        device_program::attach(opened.as_fd(), extra)
            .map_err(|error| HostError::other("attach device rules to the cgroup", error))?;
    }
    set_limits(cgroup, limits)
}

pub(super) fn set_limits(cgroup: &Cgroup, limits: &Limits) -> HostResult<()> {
    let directory = existing(cgroup)?;
    let bytes = |value: u64| if value == u64::MAX { "max".to_owned() } else { value.to_string() };
    if let Some(memory) = limits.memory {
        write(&directory, "memory.max", &bytes(memory))?;
        // Version 2 counts swap alone, Docker memory and swap together.
        let swap = match limits.memory_swap {
            None => memory,
            Some(u64::MAX) => u64::MAX,
            Some(total) => total.saturating_sub(memory),
        };
        if directory.join("memory.swap.max").exists() {
            write(&directory, "memory.swap.max", &bytes(swap))?;
        }
    }
    if let Some(reservation) = limits.memory_reservation {
        write(&directory, "memory.low", &reservation.to_string())?;
    }
    if let Some(pids) = limits.pids {
        let value = if pids > 0 { pids.to_string() } else { "max".to_owned() };
        write(&directory, "pids.max", &value)?;
    }
    if let Some((quota, period)) = cpu_quota(limits) {
        let quota = if quota > 0 { quota.to_string() } else { "max".to_owned() };
        write(&directory, "cpu.max", &format!("{quota} {period}"))?;
    }
    if let Some(shares) = limits.cpu_shares.filter(|shares| *shares > 0) {
        write(&directory, "cpu.weight", &weight(shares).to_string())?;
    }
    if let Some(cpus) = &limits.cpuset_cpus {
        write(&directory, "cpuset.cpus", cpus)?;
    }
    Ok(())
}

/// Shares (2 to 262144) on the scale of weights (1 to 10000), as the OCI runtimes map them.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// The kernel announces a change of `cgroup.events` by POLLPRI.
pub(super) fn freeze(cgroup: &Cgroup, frozen: bool) -> HostResult<()> {
    let directory = existing(cgroup)?;
    let events = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_CLOEXEC)
        .open(directory.join("cgroup.events"))
        .map_err(|error| HostError::other("open cgroup.events", error))?;
    write(&directory, "cgroup.freeze", if frozen { "1" } else { "0" })?;
    for _ in 0..20 {
        if is_frozen(cgroup) == frozen {
            return Ok(());
        }
        let mut descriptors = [PollFd::new(events.as_fd(), PollFlags::POLLPRI)];
        poll(&mut descriptors, PollTimeout::from(100_u8))
            .map_err(|error| HostError::other("wait for cgroup", error))?;
    }
    Err(HostError::Other("the container's processes did not change their frozen state within two seconds".to_owned()))
}

pub(super) fn is_frozen(cgroup: &Cgroup) -> bool {
    directory(cgroup).and_then(|directory| read_key(&directory, "cgroup.events", "frozen")) == Some(1)
}

pub(super) fn out_of_memory_kills(cgroup: &Cgroup) -> u64 {
    directory(cgroup).and_then(|directory| read_key(&directory, "memory.events", "oom_kill")).unwrap_or_default()
}

pub(super) fn read_stats(cgroup: &Cgroup, stats: &mut Stats) {
    let Some(directory) = directory(cgroup) else { return };
    let microseconds = |key| read_key(&directory, "cpu.stat", key).unwrap_or_default() * 1000;
    stats.cpu_total = microseconds("usage_usec");
    stats.cpu_user = microseconds("user_usec");
    stats.cpu_system = microseconds("system_usec");
    stats.memory_usage = read_number(&directory, "memory.current").unwrap_or_default();
    if let Some(limit) = read_number(&directory, "memory.max") {
        stats.memory_limit = stats.memory_limit.min(limit);
    }
    stats.memory_inactive_file = read_key(&directory, "memory.stat", "inactive_file").unwrap_or_default();
    stats.pids = read_number(&directory, "pids.current").unwrap_or_default();
    let io = fs::read_to_string(directory.join("io.stat")).unwrap_or_default();
    let sum = |key: &str| io.split_whitespace().filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok()).sum();
    stats.block_read = sum("rbytes=");
    stats.block_written = sum("wbytes=");
}

#[cfg(test)]
mod tests {
    #[test]
    fn shares_map_onto_the_whole_scale_of_weights() {
        assert_eq!([2, 1024, 262_144].map(super::weight), [1, 39, 10_000]);
    }
}
