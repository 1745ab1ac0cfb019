//! Capabilities: root's power in pieces, and which pieces a container keeps (capabilities(7)).
//!
//! What limits a container's root is the *bounding set*: execve(2) gives a program run by uid 0 every capability that is
//! in it, and none beside. Dropping from the bounding set cannot be undone, not even by a setuid program.

use std::io;

use docklab_host::{HostError, HostResult};
use nix::{errno::Errno, libc};

/// In the kernel's numbering (`include/uapi/linux/capability.h`).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What Docker leaves to a container that asks for nothing (moby, `oci/caps/defaults.go`).
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// A set of capabilities, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CapabilitySet(u64);

impl CapabilitySet {
    const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// The set for `--cap-add`, `--cap-drop` and `--privileged`. Names go with or without `CAP_`, in any case; `ALL` in
    /// either list means every capability.
    pub(crate) fn for_container(privileged: bool, add: &[String], drop: &[String]) -> HostResult<Self> {
        if privileged {
            return Ok(Self::ALL);
        }
        let is_all = |name: &String| name.eq_ignore_ascii_case("ALL");
        let mut set = if add.iter().any(is_all) {
            Self::ALL
        } else if drop.iter().any(is_all) {
            Self(0)
        } else {
            DEFAULT.iter().try_fold(Self(0), |set, name| bit(name).map(|bit| Self(set.0 | bit)))?
        };
        for name in drop.iter().filter(|name| !is_all(name)) {
            set.0 &= !bit(name)?;
        }
        for name in add.iter().filter(|name| !is_all(name)) {
            set.0 |= bit(name)?;
        }
        Ok(set)
    }

    pub(crate) fn has(self, name: &str) -> bool {
        bit(name).is_ok_and(|bit| self.0 & bit != 0)
    }

    /// Takes every capability outside the set out of the bounding set and empties the ambient set. Needs CAP_SETPCAP, so
    /// it comes before the user is changed.
    pub(crate) fn limit_bounding_set(self) -> io::Result<()> {
        for number in 0..NAMES.len() as libc::c_ulong {
            if self.0 & (1 << number) == 0 {
                // SAFETY: PR_CAPBSET_DROP takes plain numbers and touches no memory of ours.
                let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
                // EINVAL: an older kernel that does not know this capability; then nobody can have it.
                if dropped != 0 && Errno::last() != Errno::EINVAL {
                    return Err(io::Error::last_os_error());
                }
            }
        }
        // SAFETY: PR_CAP_AMBIENT_CLEAR_ALL takes plain numbers and touches no memory of ours.
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
        Ok(())
    }

    /// Makes the set the effective and permitted one and empties the inheritable one, as Docker does since a non-empty
    /// inheritable set let files with inheritable capabilities raise theirs (CVE-2022-24769). For root; any other user
    /// loses them all by setuid(2).
    pub(crate) fn make_effective(self) -> io::Result<()> {
        #[repr(C)]
        struct Header {
            version: u32,
            pid: i32,
        }
        #[repr(C)]
        #[derive(Clone, Copy)]
        struct Data {
            effective: u32,
            permitted: u32,
            inheritable: u32,
        }
        /// `_LINUX_CAPABILITY_VERSION_3`: sixty-four bits in two structures.
        const VERSION_3: u32 = 0x2008_0522;
        let mut header = Header { version: VERSION_3, pid: 0 };
        let mut current = [Data { effective: 0, permitted: 0, inheritable: 0 }; 2];
        // SAFETY: capget(2) writes two `Data` for version 3; both structures have the kernel's layout.
        if unsafe { libc::syscall(libc::SYS_capget, &raw mut header, current.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut wanted = current;
        for (half, data) in wanted.iter_mut().enumerate() {
            // Nobody can permit himself what he lacks; a machine may withhold some even from root.
            let bits = (self.0 >> (32 * half)) as u32 & current[half].permitted;
            *data = Data { effective: bits, permitted: bits, inheritable: 0 };
        }
        header.version = VERSION_3;
        // SAFETY: capset(2) reads a header and two `Data` for version 3; both live through the call.
        if unsafe { libc::syscall(libc::SYS_capset, &raw const header, wanted.as_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

fn bit(name: &str) -> HostResult<u64> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES
        .iter()
        .position(|known| *known == short)
        .map(|number| 1 << number)
        .ok_or_else(|| HostError::Other(format!("unknown capability: \"CAP_{short}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(add: &[&str], drop: &[&str]) -> CapabilitySet {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        CapabilitySet::for_container(false, &owned(add), &owned(drop)).expect("known names")
    }

    #[test]
    fn the_default_set_is_the_one_that_dockers_containers_show() {
        assert_eq!(format!("{:016x}", set(&[], &[]).0), "00000000a80425fb");
    }

    #[test]
    fn adding_and_dropping_follow_docker() {
        assert_eq!(set(&["all"], &["CAP_CHOWN"]).0, CapabilitySet::ALL.0 & !1);
        assert_eq!(set(&["NET_ADMIN"], &["ALL"]).0, 1 << 12);
        assert_eq!(set(&["cap_sys_admin"], &["mknod"]).0, 0xa804_25fb & !(1 << 27) | 1 << 21);
        assert!(CapabilitySet::for_container(false, &["FLY".to_owned()], &[]).is_err());
    }
}
