//! seccomp: which system calls a container may make (seccomp(2), `Documentation/userspace-api/seccomp_filter.rst`).
//!
//! A filter is a small BPF program that the kernel runs at every system call. The default profile is Docker's: a list of
//! what is allowed, EPERM for the rest; some calls are allowed only with the capability that makes them useful, and
//! clone(2) only without the flags that make namespaces.
//!
//! clone3(2) hides its flags behind a pointer, which a filter cannot follow. It has to fail with ENOSYS, so that the C
//! library falls back to clone(2). One filter has one answer for what matches, therefore there are two: the kernel runs
//! all of them and the strictest answer wins.

use std::{collections::BTreeMap, io};

use docklab_host::{HostError, HostResult};
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::{capabilities::CapabilitySet, syscalls};

/// Compiled filters, to be installed in a process that is about to run a container's program.
pub(crate) struct Profile(Vec<BpfProgram>);

impl Profile {
    /// Docker's default profile for a container with these capabilities.
    pub(crate) fn default_for(capabilities: CapabilitySet) -> HostResult<Self> {
        let failed = |error: seccompiler::BackendError| HostError::other("compile seccomp profile", error);
        let architecture =
            TargetArch::try_from(std::env::consts::ARCH).map_err(|error| HostError::other("seccomp", error))?;
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
            syscalls::always().map(|number| (number, Vec::new())).collect();
        for (capability, numbers) in syscalls::WITH_CAPABILITY {
            if capabilities.has(capability) {
                rules.extend(numbers.iter().map(|number| (*number, Vec::new())));
            }
        }
        let condition = |argument, length, operator, value| {
            SeccompCondition::new(argument, length, operator, value)
                .and_then(|condition| SeccompRule::new(vec![condition]))
                .map_err(failed)
        };
        let personalities = [0x0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff]
            .into_iter()
            .map(|value| condition(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value))
            .collect::<HostResult<Vec<_>>>()?;
        rules.insert(libc::SYS_personality, personalities);
        // A virtual machine's host is not the container's business.
        let not_vsock = condition(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, libc::AF_VSOCK as u64)?;
        rules.insert(libc::SYS_socket, vec![not_vsock]);
        let mut programs = Vec::with_capacity(2);
        if !capabilities.has("SYS_ADMIN") {
            let no_namespaces =
                condition(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(syscalls::NAMESPACE_FLAGS), 0)?;
            rules.insert(libc::SYS_clone, vec![no_namespaces]);
            let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
            programs.push(
                SeccompFilter::new(
                    clone3,
                    SeccompAction::Allow,
                    SeccompAction::Errno(libc::ENOSYS as u32),
                    architecture,
                )
                .and_then(BpfProgram::try_from)
                .map_err(failed)?,
            );
        }
        programs.push(
            SeccompFilter::new(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow, architecture)
                .and_then(BpfProgram::try_from)
                .map_err(failed)?,
        );
        Ok(Self(programs))
    }

    /// Installs the filters for this process and all it will ever start. Needs CAP_SYS_ADMIN or no_new_privs: without
    /// either, a filter could deceive a setuid program.
    pub(crate) fn install(&self) -> io::Result<()> {
        for program in &self.0 {
            let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut().cast() };
            // SAFETY: `filter` describes `program`, which lives through the call; the kernel copies and never writes it.
            // seccompiler's instruction has the layout of the kernel's `struct sock_filter`.
            let installed =
                unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter) };
            if installed != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_may_administer_needs_no_second_filter() {
        let plain = CapabilitySet::for_container(false, &[], &[]).expect("default set");
        assert_eq!(Profile::default_for(plain).expect("compiles").0.len(), 2);
        let administrator = CapabilitySet::for_container(false, &["SYS_ADMIN".to_owned()], &[]).expect("known name");
        assert_eq!(Profile::default_for(administrator).expect("compiles").0.len(), 1);
    }
}
