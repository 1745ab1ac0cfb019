//! Device nodes in /dev (null(4), random(4), pts(4)).

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, symlink},
    path::Path,
};

use docklab_host::{DeviceSpec, HostError, HostResult};
use nix::{
    errno::Errno,
    sys::stat::{Mode, SFlag, major, makedev, minor, mknod},
    unistd::{Gid, Uid, chown},
};
use serde::{Deserialize, Serialize};

use crate::cgroup::{DeviceRule, DeviceRules};

/// A device node to make in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeviceNode {
    path: String,
    block: bool,
    major: u32,
    minor: u32,
    mode: u32,
    uid: u32,
    gid: u32,
}

/// The nodes for `--device`, and what the cgroup has to allow for them. With `privileged` every device of the machine.
/// Reads the machine's /dev, so it runs before the root is changed.
pub(crate) fn plan(devices: &[DeviceSpec], privileged: bool) -> HostResult<(Vec<DeviceNode>, DeviceRules)> {
    let mut nodes = Vec::new();
    let mut rules = Vec::new();
    for device in devices {
        let failed = |cause: &dyn std::fmt::Display| {
            HostError::Other(format!(
                "error gathering device information while adding custom device \"{}\": {cause}",
                device.host_path
            ))
        };
        let metadata = fs::metadata(&device.host_path).map_err(|_| failed(&"no such file or directory"))?;
        let node = DeviceNode::like(&device.container_path, &metadata).ok_or_else(|| failed(&"not a device node"))?;
        let kind = if node.block { 'b' } else { 'c' };
        rules.push(DeviceRule::for_device(device, kind, node.major, node.minor));
        nodes.push(node);
    }
    if !privileged {
        return Ok((nodes, DeviceRules::Standard(rules)));
    }
    collect(Path::new("/dev"), &mut nodes);
    Ok((nodes, DeviceRules::All))
}

/// All device nodes beneath `directory`, but for those that every container has of its own.
fn collect(directory: &Path, nodes: &mut Vec<DeviceNode>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let own = ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/console", "/dev/ptmx"];
        if own.iter().any(|name| path == Path::new(name)) {
            continue;
        }
        if metadata.is_dir() {
            collect(&path, nodes);
        } else if let Some(node) = DeviceNode::like(&path.to_string_lossy(), &metadata) {
            nodes.push(node);
        }
    }
}

impl DeviceNode {
    fn like(path: &str, metadata: &fs::Metadata) -> Option<Self> {
        let kind = metadata.file_type();
        if !kind.is_block_device() && !kind.is_char_device() {
            return None;
        }
        Some(Self {
            path: path.to_owned(),
            block: kind.is_block_device(),
            major: major(metadata.rdev()) as u32,
            minor: minor(metadata.rdev()) as u32,
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
        })
    }

    fn make(&self) -> HostResult<()> {
        let failed = |cause: &dyn std::fmt::Display| HostError::other(format!("make device {}", self.path), cause);
        let path = Path::new(&self.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| failed(&error))?;
        }
        let kind = if self.block { SFlag::S_IFBLK } else { SFlag::S_IFCHR };
        match mknod(path, kind, Mode::from_bits_truncate(self.mode), makedev(self.major.into(), self.minor.into())) {
            Ok(()) => chown(path, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))
                .map_err(|error| failed(&error.desc())),
            Err(Errno::EEXIST) => Ok(()),
            Err(error) => Err(failed(&error.desc())),
        }
    }
}

/// Fills a container's fresh /dev.
pub(crate) fn make_nodes(extra: &[DeviceNode]) -> HostResult<()> {
    for (name, minor) in [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)] {
        standard(name, 1, minor).make()?;
    }
    standard("tty", 5, 0).make()?;
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("core", "/proc/kcore"),
        // devpts has a ptmx of its own, which makes terminals of that instance.
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(target, Path::new("/dev").join(name))
            .map_err(|error| HostError::other(format!("link /dev/{name}"), error))?;
    }
    extra.iter().try_for_each(DeviceNode::make)
}

fn standard(name: &str, major: u32, minor: u32) -> DeviceNode {
    DeviceNode { path: format!("/dev/{name}"), block: false, major, minor, mode: 0o666, uid: 0, gid: 0 }
}
