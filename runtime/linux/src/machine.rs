//! What the machine is; its clock, tasks and randomness.

use std::{fs, time::Duration};

use async_trait::async_trait;
use docklab_host::{HostInfo, Machine};
use futures::future::BoxFuture;
use jiff::Timestamp;
use nix::{
    libc,
    sys::{sysinfo::sysinfo, utsname::uname},
};

use crate::LinuxHost;

#[async_trait]
impl Machine for LinuxHost {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn random(&self, buffer: &mut [u8]) {
        let mut filled = 0;
        while filled < buffer.len() {
            let rest = &mut buffer[filled..];
            // SAFETY: the pointer and the length describe `rest`, which is writable and lives through the call.
            let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
            // Only EINTR can happen here (getrandom(2)): the buffer is valid and no flag is set.
            filled += usize::try_from(got).unwrap_or(0);
        }
    }

    fn info(&self) -> HostInfo {
        let system = uname().ok();
        let word = |value: Option<&std::ffi::OsStr>| value.unwrap_or_default().to_string_lossy().into_owned();
        HostInfo {
            hostname: word(system.as_ref().map(|name| name.nodename())),
            operating_system: operating_system(&fs::read_to_string("/etc/os-release").unwrap_or_default()),
            kernel_version: word(system.as_ref().map(|name| name.release())),
            machine: word(system.as_ref().map(|name| name.machine())),
            cpus: std::thread::available_parallelism().map_or(1, |count| count.get() as u32),
            memory: sysinfo().map_or(0, |info| info.ram_total()),
            cgroup_version: self.inner.processes.cgroup_version(),
            root_dir: self.inner.options.data_root.display().to_string(),
            kind: "linux",
            warnings: self.inner.processes.warnings(),
        }
    }
}

/// `PRETTY_NAME` of os-release(5), unquoted.
fn operating_system(os_release: &str) -> String {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or_else(|| "Linux".to_owned(), |name| name.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_operating_system_is_os_releases_pretty_name() {
        let text = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(super::operating_system(text), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(super::operating_system(""), "Linux");
    }
}
