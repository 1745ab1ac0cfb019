//! Control groups: what a container may use, what it does use, and how to stop all of it at once.
//!
//! There are two generations. Version 2 (`Documentation/admin-guide/cgroup-v2.rst`) is one tree with all controllers;
//! version 1 (`Documentation/admin-guide/cgroup-v1/`) has a tree for every controller, so a container is a directory in
//! each. *Hybrid* machines mount both; there a controller belongs to one of them, and we use version 1 unless version 2
//! has the controllers that matter.
//!
//! Moving *another* process by its number (`cgroup.procs`) takes a lock over all forks of the machine, which costs some ten
//! milliseconds when nobody has moved one for a while. A process with one thread that moves *itself* by writing 0 to `tasks`
//! needs no such lock (kernel/cgroup/cgroup.c, `cgroup_procs_write_start`) and is there in a tenth of a millisecond. So a
//! container's process joins its cgroup itself, before it leaves the machine's mounts.

mod device_program;
mod v1;
mod v2;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use docklab_host::{DeviceSpec, HostError, HostResult, Limits, Stats};
use serde::{Deserialize, Serialize};

/// Where the machine mounts its hierarchies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hierarchies {
    /// By controller; controllers that share a hierarchy have the same path.
    v1: BTreeMap<String, PathBuf>,
    v2: Option<PathBuf>,
    v2_controllers: Vec<String>,
}

impl Hierarchies {
    /// Reads the mounts that this process sees.
    pub(crate) fn discover() -> Self {
        let mut found = Self::parse(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
        if let Some(root) = &found.v2 {
            let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
            found.v2_controllers = controllers.split_whitespace().map(str::to_owned).collect();
        }
        found
    }

    /// proc(5): the mount point is the fifth field; after a lone `-` come the type, the source and the super options.
    fn parse(mountinfo: &str) -> Self {
        let mut found = Self::default();
        for line in mountinfo.lines() {
            let Some((mount, file_system)) = line.split_once(" - ") else { continue };
            let Some(point) = mount.split(' ').nth(4).map(PathBuf::from) else { continue };
            let mut fields = file_system.split(' ');
            match fields.next() {
                Some("cgroup2") => found.v2 = found.v2.or(Some(point)),
                Some("cgroup") => {
                    for option in fields.nth(1).unwrap_or_default().split(',') {
                        if v1::CONTROLLERS.contains(&option) {
                            found.v1.entry(option.to_owned()).or_insert_with(|| point.clone());
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// 1 or 2: which generation our containers use.
    pub(crate) fn version(&self) -> u8 {
        let unified = self.v2_controllers.iter().any(|name| name == "memory" || name == "pids");
        if unified || (self.v1.is_empty() && self.v2.is_some()) { 2 } else { 1 }
    }

    /// What is missing, in the words of `docker info`.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let has =
            |name: &str| self.v1.contains_key(name) || self.v2_controllers.iter().any(|controller| controller == name);
        let mut warnings = Vec::new();
        for (controller, text) in [
            ("memory", "WARNING: No memory limit support"),
            ("cpu", "WARNING: No cpu cfs quota support"),
            ("pids", "WARNING: No pids limit support"),
            ("cpuset", "WARNING: No cpuset support"),
        ] {
            if !has(controller) {
                warnings.push(text.to_owned());
            }
        }
        warnings
    }
}

/// One container's cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cgroup {
    hierarchies: Hierarchies,
    /// Relative to each hierarchy's mount: our parent, then the container's ID.
    path: String,
}

impl Cgroup {
    pub(crate) fn new(hierarchies: &Hierarchies, parent: &str, container: &str) -> Self {
        Self { hierarchies: hierarchies.clone(), path: format!("{}/{container}", parent.trim_matches('/')) }
    }

    pub(crate) fn version(&self) -> u8 {
        self.hierarchies.version()
    }

    /// Makes the directories and sets limits and device rules; no process is in it yet.
    pub(crate) fn create(&self, limits: &Limits, devices: &DeviceRules) -> HostResult<()> {
        match self.version() {
            2 => v2::create(self, limits, devices),
            _ => v1::create(self, limits, devices),
        }
    }

    /// Moves the calling process, which must have a single thread, in; its children will be born there.
    pub(crate) fn join(&self) -> HostResult<()> {
        // Version 2 has `cgroup.threads` for single threads only within one domain, so there the whole process moves.
        let file = if self.version() == 2 { "cgroup.procs" } else { "tasks" };
        for directory in self.directories() {
            write(&directory, file, "0")?;
        }
        Ok(())
    }

    /// Changes the limits that are `Some`.
    pub(crate) fn set_limits(&self, limits: &Limits) -> HostResult<()> {
        match self.version() {
            2 => v2::set_limits(self, limits),
            _ => v1::update_limits(self, limits),
        }
    }

    /// Stops every process in the cgroup where it stands, or lets them go on. Waits until that is so.
    pub(crate) fn freeze(&self, frozen: bool) -> HostResult<()> {
        match self.version() {
            2 => v2::freeze(self, frozen),
            _ => v1::freeze(self, frozen),
        }
    }

    pub(crate) fn is_frozen(&self) -> bool {
        match self.version() {
            2 => v2::is_frozen(self),
            _ => v1::is_frozen(self),
        }
    }

    /// How often the kernel killed a process here for want of memory.
    pub(crate) fn out_of_memory_kills(&self) -> u64 {
        match self.version() {
            2 => v2::out_of_memory_kills(self),
            _ => v1::out_of_memory_kills(self),
        }
    }

    /// Processor, memory, block devices and process count; the rest of the sample is left as it is.
    pub(crate) fn read_stats(&self, stats: &mut Stats) {
        match self.version() {
            2 => v2::read_stats(self, stats),
            _ => v1::read_stats(self, stats),
        }
    }

    /// The processes in it, as the reader's PID namespace numbers them.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let Some(directory) = self.directories().into_iter().next() else { return Vec::new() };
        let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Removes the directories. A cgroup with a process in it cannot be removed: the caller kills first.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let mut failure = None;
        for directory in self.directories() {
            match remove_tree(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => failure = Some(error),
                _ => {}
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// The controllers of version 1 that the container has joined, for mounting them inside.
    pub(crate) fn mounted_names(&self) -> Vec<String> {
        match self.version() {
            2 => Vec::new(),
            _ => v1::joined(self).into_iter().map(|(name, _)| name).collect(),
        }
    }

    fn directories(&self) -> Vec<PathBuf> {
        match self.version() {
            2 => v2::directory(self).into_iter().filter(|path| path.exists()).collect(),
            _ => v1::joined(self).into_iter().map(|(_, directory)| directory).collect(),
        }
    }
}

/// Removes an engine's own directory from every hierarchy.
pub(crate) fn remove_parent(parent: &str) -> HostResult<()> {
    let hierarchies = Hierarchies::discover();
    for mount in hierarchies.v1.values().chain(hierarchies.v2.as_ref()) {
        let directory = mount.join(parent.trim_matches('/'));
        match remove_tree(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(HostError::other(format!("remove cgroup {}", directory.display()), error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Children first: a container may have made cgroups of its own.
fn remove_tree(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(directory)
}

/// Which device nodes may be opened and made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeviceRules {
    /// `--privileged`.
    All,
    /// The standard ones, and these.
    Standard(Vec<DeviceRule>),
}

/// One allowed device; `None` is any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeviceRule {
    /// `b` or `c`.
    pub(crate) kind: char,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) make: bool,
}

impl DeviceRule {
    const fn new(kind: char, major: Option<u32>, minor: Option<u32>) -> Self {
        Self { kind, major, minor, read: true, write: true, make: true }
    }

    const fn make_only(kind: char) -> Self {
        Self { kind, major: None, minor: None, read: false, write: false, make: true }
    }

    pub(crate) fn for_device(device: &DeviceSpec, kind: char, major: u32, minor: u32) -> Self {
        let has = |letter| device.permissions.contains(letter);
        Self { kind, major: Some(major), minor: Some(minor), read: has('r'), write: has('w'), make: has('m') }
    }

    /// Version 1's notation: `c 1:3 rwm`.
    fn text(&self) -> String {
        let number = |value: Option<u32>| value.map_or_else(|| "*".to_owned(), |value| value.to_string());
        let mut text = format!("{} {}:{} ", self.kind, number(self.major), number(self.minor));
        for (allowed, letter) in [(self.read, 'r'), (self.write, 'w'), (self.make, 'm')] {
            if allowed {
                text.push(letter);
            }
        }
        text
    }
}

/// Any node may be made (and then not opened); open are null, zero, full, random, urandom, tty, console, ptmx and
/// pseudo-terminals.
const STANDARD_DEVICES: [DeviceRule; 11] = [
    DeviceRule::make_only('c'),
    DeviceRule::make_only('b'),
    DeviceRule::new('c', Some(1), Some(3)),
    DeviceRule::new('c', Some(1), Some(5)),
    DeviceRule::new('c', Some(1), Some(7)),
    DeviceRule::new('c', Some(1), Some(8)),
    DeviceRule::new('c', Some(1), Some(9)),
    DeviceRule::new('c', Some(5), Some(0)),
    DeviceRule::new('c', Some(5), Some(1)),
    DeviceRule::new('c', Some(5), Some(2)),
    DeviceRule::new('c', Some(136), None),
];

/// Docker's `--cpus`: billionths of a CPU as a quota in a period of 100 ms.
fn cpu_quota(limits: &Limits) -> Option<(i64, u64)> {
    const PERIOD: u64 = 100_000;
    match limits.nano_cpus {
        Some(nano) if nano > 0 => Some(((nano * PERIOD / 1_000_000_000) as i64, PERIOD)),
        _ => match (limits.cpu_quota, limits.cpu_period) {
            (None, None) => None,
            (quota, period) => Some((quota.unwrap_or(-1), period.unwrap_or(PERIOD))),
        },
    }
}

fn write(directory: &Path, file: &str, value: &str) -> HostResult<()> {
    let path = directory.join(file);
    fs::write(&path, value).map_err(|error| HostError::other(format!("write \"{value}\" to {}", path.display()), error))
}

fn read_number<T: FromStr>(directory: &Path, file: &str) -> Option<T> {
    fs::read_to_string(directory.join(file)).ok()?.trim().parse().ok()
}

/// A value of a file of `key value` lines.
fn read_key(directory: &Path, file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(directory.join(file)).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_read_from_mountinfo() {
        let found = Hierarchies::parse(
            "30 24 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
             31 24 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
             32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n",
        );
        assert_eq!(found.v1.keys().collect::<Vec<_>>(), ["cpu", "cpuacct"]);
        assert_eq!(found.v2, Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(found.version(), 1);
        let unified = Hierarchies::parse("32 24 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        assert_eq!(unified.version(), 2);
    }

    #[test]
    fn cpus_become_a_quota_of_a_tenth_of_a_second() {
        assert_eq!(
            cpu_quota(&Limits { nano_cpus: Some(1_500_000_000), ..Limits::default() }),
            Some((150_000, 100_000))
        );
        assert_eq!(cpu_quota(&Limits { cpu_quota: Some(5000), ..Limits::default() }), Some((5000, 100_000)));
        assert_eq!(cpu_quota(&Limits::default()), None);
    }

    #[test]
    fn device_rules_are_written_as_version_1_reads_them() {
        assert_eq!(STANDARD_DEVICES[0].text(), "c *:* m");
        assert_eq!(STANDARD_DEVICES[2].text(), "c 1:3 rwm");
        assert_eq!(STANDARD_DEVICES[10].text(), "c 136:* rwm");
    }
}
