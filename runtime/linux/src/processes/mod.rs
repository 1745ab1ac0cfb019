//! Containers as the engine sees them: starting supervisors, talking to them, and clearing away after them.

mod client;
mod logs;
mod top;

use std::{
    collections::HashMap,
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use docklab_host::{
    ContainerSpec, ExecSpec, Exit, HostError, HostResult, Limits, LogQuery, LogRecord, MountSource, NetworkMode,
    Process, ProcessList, Processes, Started, Stats,
};
use futures::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    LinuxHost, LinuxOptions,
    cgroup::{Cgroup, Hierarchies},
    mounts::Overlay,
    namespaces::Membership,
    records::{blocking, write_atomically},
    supervisor::protocol::{EXIT_FILE, Launch, Request},
};
use client::Handle;

/// The specification of a started container in its run directory.
const SPEC_FILE: &str = "spec.json";

/// The containers that this engine started or found again.
pub(crate) struct ProcessTable {
    hierarchies: Hierarchies,
    containers: PathBuf,
    runs: PathBuf,
    cgroup_parent: String,
    running: Mutex<HashMap<String, Arc<Handle>>>,
}

impl ProcessTable {
    /// Clears away what containers without a living supervisor left behind. Their exit codes stay to be asked for.
    pub(crate) fn open(options: &LinuxOptions) -> HostResult<Self> {
        let table = Self {
            hierarchies: Hierarchies::discover(),
            containers: options.data_root.join("containers"),
            runs: options.run_root.join("containers"),
            cgroup_parent: options.cgroup_parent.clone(),
            running: Mutex::new(HashMap::new()),
        };
        for directory in [&table.containers, &table.runs] {
            fs::create_dir_all(directory)
                .map_err(|error| HostError::other(format!("create {}", directory.display()), error))?;
        }
        let entries = fs::read_dir(&table.runs).map_err(|error| HostError::other("read run directory", error))?;
        for entry in entries.filter_map(Result::ok) {
            let id = entry.file_name().to_string_lossy().into_owned();
            if client::is_alive(&entry.path()) {
                continue;
            }
            if let Err(error) = table.clear_cgroup(&id) {
                tracing::warn!(container = id, %error, "cannot clear what a crash left behind");
            }
            if !entry.path().join(SPEC_FILE).exists() {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Ok(table)
    }

    /// The first process of a running container, as the host sees it: `/proc/<pid>/root` is the container's merged view,
    /// `/proc/<pid>/ns/net` its network namespace.
    pub(crate) fn pid(&self, container: &str) -> Option<u32> {
        self.running().get(container).filter(|handle| !handle.has_ended()).map(|handle| handle.pid())
    }

    pub(crate) fn cgroup_version(&self) -> u8 {
        self.hierarchies.version()
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.hierarchies.warnings()
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Arc<Handle>>> {
        // A panic elsewhere leaves the map whole: every use is a single insert, remove or look.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cgroup(&self, container: &str) -> Cgroup {
        Cgroup::new(&self.hierarchies, &self.cgroup_parent, container)
    }

    fn run_directory(&self, container: &str) -> PathBuf {
        self.runs.join(container)
    }

    fn directory(&self, container: &str) -> PathBuf {
        self.containers.join(container)
    }

    fn log_path(&self, container: &str) -> PathBuf {
        self.directory(container).join(format!("{container}-json.log"))
    }

    fn require_pid(&self, container: &str) -> HostResult<u32> {
        self.pid(container).ok_or_else(|| HostError::not_found("container", container))
    }

    /// Kills what is still in the cgroup and removes it. A killed process leaves its cgroup a moment later; there is no
    /// event for that in version 1, so removal is tried again for a second.
    fn clear_cgroup(&self, container: &str) -> HostResult<()> {
        let cgroup = self.cgroup(container);
        let mut last = Ok(());
        for round in 0..100_u64 {
            let left = cgroup.processes();
            for pid in &left {
                let _ = kill(Pid::from_raw(*pid as i32), Signal::SIGKILL);
            }
            if !left.is_empty() && cgroup.is_frozen() {
                cgroup.freeze(false)?;
            }
            last = cgroup.remove();
            if last.is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(round.min(20)));
        }
        last.map_err(|error| HostError::other("remove cgroup", error))
    }

    fn membership(&self, mode: &str, kind: &'static str) -> HostResult<Membership> {
        match mode {
            "host" => Ok(Membership::Host),
            _ => match mode.strip_prefix("container:") {
                Some(id) => self.require_pid(id).map(Membership::OfProcess).map_err(|_| {
                    HostError::Other(format!(
                        "cannot join {kind} namespace of a non running container: container {id} is not running"
                    ))
                }),
                None => Ok(Membership::Own),
            },
        }
    }
}

impl LinuxHost {
    async fn launch(&self, spec: &ContainerSpec) -> HostResult<Started> {
        let table = &self.inner.processes;
        let overlay = self.inner.layers.overlay_paths(&spec.id)?;
        let mut volumes = Vec::with_capacity(spec.mounts.len());
        for mount in &spec.mounts {
            volumes.push(match &mount.source {
                MountSource::Volume { name, .. } => Some(self.inner.volumes.directory(name)?),
                _ => None,
            });
        }
        let (pid, ipc, uts) = (
            table.membership(&spec.pid_mode, "PID")?,
            table.membership(&spec.ipc_mode, "IPC")?,
            table.membership(&spec.uts_mode, "UTS")?,
        );
        let peer = match &spec.network {
            NetworkMode::Container(id) => {
                let pid = table.require_pid(id)?;
                let file = fs::File::open(format!("/proc/{pid}/ns/net"))
                    .map_err(|error| HostError::other("open the other container's network namespace", error))?;
                Some(OwnedFd::from(file))
            }
            _ => None,
        };
        let run = table.run_directory(&spec.id);
        // What an earlier run of this container left is of no use to this one.
        match fs::remove_dir_all(&run) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(HostError::other(format!("clear {}", run.display()), error));
            }
            _ => {}
        }
        let directory = table.directory(&spec.id);
        for path in [&run, &directory] {
            fs::create_dir_all(path).map_err(|error| HostError::other(format!("create {}", path.display()), error))?;
        }
        // The supervisor starts (exec, dynamic linking) while the network is made.
        let supervisor = client::spawn(&self.inner.options.supervisor, &run)?;
        let network = self.inner.network.prepare(spec, peer).await?;
        for (name, content) in
            [("hosts", &network.hosts), ("hostname", &network.hostname), ("resolv.conf", &network.resolv_conf)]
        {
            let path = directory.join(name);
            fs::write(&path, content).map_err(|error| HostError::other(format!("write {}", path.display()), error))?;
        }
        let text = serde_json::to_vec(spec).map_err(|error| HostError::other("encode specification", error))?;
        write_atomically(&run.join(SPEC_FILE), &text, false)
            .map_err(|error| HostError::other("write specification", error))?;
        let launch = Launch {
            spec: spec.clone(),
            overlay: Overlay { lower: overlay.lower, upper: overlay.upper, work: overlay.work },
            volumes,
            log: spec.log.then(|| table.log_path(&spec.id)),
            directory,
            cgroup: table.cgroup(&spec.id),
            pid,
            ipc,
            uts,
        };
        let request = Request::Launch(Box::new(launch));
        let (handle, output) = client::launch(supervisor, &request, network.namespace.as_ref(), run).await?;
        table.running().insert(spec.id.clone(), handle.clone());
        Ok(Started { process: handle, output, ports: network.ports, warnings: network.warnings })
    }

    async fn clean_up(&self, container: &str) -> HostResult<()> {
        let mut failures = Vec::new();
        if let Err(error) = self.inner.network.release(container).await {
            failures.push(error.to_string());
        }
        let host = self.clone();
        let id = container.to_owned();
        let cleared = blocking(move || host.inner.processes.clear_cgroup(&id)).await;
        if let Err(error) = cleared {
            failures.push(error.to_string());
        }
        match fs::remove_dir_all(self.inner.processes.run_directory(container)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                failures.push(format!("remove run directory: {error}"));
            }
            _ => {}
        }
        if failures.is_empty() { Ok(()) } else { Err(HostError::Other(failures.join("; "))) }
    }

    /// The handle and, unless another engine's memory has it, the way back to the container.
    fn handle(&self, container: &str) -> HostResult<Arc<Handle>> {
        self.inner
            .processes
            .running()
            .get(container)
            .filter(|handle| !handle.has_ended())
            .cloned()
            .ok_or_else(|| HostError::not_found("container", container))
    }
}

#[async_trait]
impl Processes for LinuxHost {
    async fn start(&self, spec: &ContainerSpec) -> HostResult<Started> {
        match self.launch(spec).await {
            Ok(started) => Ok(started),
            Err(error) => {
                if let Err(other) = self.clean_up(&spec.id).await {
                    tracing::warn!(container = spec.id, error = %other, "cannot clear away after a failed start");
                }
                Err(error)
            }
        }
    }

    async fn reattach(&self, container: &str) -> HostResult<Option<Started>> {
        let run = self.inner.processes.run_directory(container);
        let Ok(text) = fs::read(run.join(SPEC_FILE)) else { return Ok(None) };
        let spec: ContainerSpec =
            serde_json::from_slice(&text).map_err(|error| HostError::other("read specification", error))?;
        let request = Request::Attach;
        let (handle, output) = match client::connect(&run, None, &request).await {
            Ok(found) => found,
            Err(_) => {
                // The supervisor is gone: with a written exit code in peace, without one by force.
                let exit = read_exit(&run).unwrap_or(Exit { code: 137, oom_killed: false, at: Timestamp::now() });
                return Ok(Some(Started {
                    process: Arc::new(Handle::ended(exit, run)),
                    output: stream::empty().boxed(),
                    ports: Vec::new(),
                    warnings: Vec::new(),
                }));
            }
        };
        let ports = self.inner.network.reattach(&spec, handle.pid()).await?;
        self.inner.processes.running().insert(container.to_owned(), handle.clone());
        Ok(Some(Started { process: handle, output, ports, warnings: Vec::new() }))
    }

    async fn cleanup(&self, container: &str) -> HostResult<()> {
        let handle = self.inner.processes.running().remove(container);
        if let Some(handle) = handle.filter(|handle| !handle.has_ended()) {
            // Asked to clear away what still runs: it ends first, and its supervisor with it.
            handle.signal(9).await?;
            handle.wait().await?;
        }
        self.clean_up(container).await
    }

    async fn exec(&self, container: &str, spec: &ExecSpec) -> HostResult<Started> {
        self.handle(container)?;
        let run = self.inner.processes.run_directory(container);
        let (handle, output) = client::connect(&run, Some(spec.id.clone()), &Request::Exec(spec.clone())).await?;
        Ok(Started { process: handle, output, ports: Vec::new(), warnings: Vec::new() })
    }

    async fn pause(&self, container: &str) -> HostResult<()> {
        self.handle(container)?;
        let cgroup = self.inner.processes.cgroup(container);
        blocking(move || cgroup.freeze(true)).await
    }

    async fn resume(&self, container: &str) -> HostResult<()> {
        self.handle(container)?;
        let cgroup = self.inner.processes.cgroup(container);
        blocking(move || cgroup.freeze(false)).await
    }

    async fn update_limits(&self, container: &str, limits: &Limits) -> HostResult<()> {
        self.handle(container)?;
        let cgroup = self.inner.processes.cgroup(container);
        let limits = limits.clone();
        blocking(move || cgroup.set_limits(&limits)).await
    }

    async fn stats(&self, container: &str) -> HostResult<Stats> {
        let pid = self.handle(container)?.pid();
        let machine_memory = nix::sys::sysinfo::sysinfo().map_or(0, |info| info.ram_total());
        let mut stats = Stats { memory_limit: machine_memory, ..Stats::default() };
        self.inner.processes.cgroup(container).read_stats(&mut stats);
        (stats.machine_cpu_total, stats.online_cpus) =
            machine_cpu(&fs::read_to_string("/proc/stat").unwrap_or_default());
        stats.networks = interfaces(&fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default());
        Ok(stats)
    }

    async fn top(&self, container: &str, ps_args: &str) -> HostResult<ProcessList> {
        self.handle(container)?;
        let pids = self.inner.processes.cgroup(container).processes();
        let arguments = ps_args.to_owned();
        blocking(move || top::list(&pids, &arguments)).await
    }

    async fn logs(&self, container: &str, query: LogQuery) -> HostResult<BoxStream<'static, HostResult<LogRecord>>> {
        let path = self.inner.processes.log_path(container);
        let handle = self.inner.processes.running().get(container).cloned();
        logs::read(&path, query, handle)
    }

    async fn remove_logs(&self, container: &str) -> HostResult<()> {
        match fs::remove_dir_all(self.inner.processes.directory(container)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(HostError::other("remove logs", error)),
            _ => Ok(()),
        }
    }
}

/// The exit code that the supervisor wrote.
fn read_exit(run: &Path) -> Option<Exit> {
    serde_json::from_slice(&fs::read(run.join(EXIT_FILE)).ok()?).ok()
}

/// proc_stat(5): the sum of the first line in nanoseconds, and how many processors have a line.
fn machine_cpu(text: &str) -> (u64, u32) {
    let ticks: u64 = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        // Guest time, from the ninth on, is counted in user time already.
        .take(8)
        .filter_map(|word| word.parse::<u64>().ok())
        .sum();
    let processors = text.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count();
    (ticks * 10_000_000, processors as u32)
}

/// proc_pid_net(5): bytes and packets received are the first two of sixteen columns, sent the ninth and tenth.
fn interfaces(text: &str) -> Vec<(String, [u64; 4])> {
    text.lines()
        .skip(2)
        .filter_map(|line| {
            let (name, numbers) = line.split_once(':')?;
            let numbers: Vec<u64> = numbers.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            let counters = [*numbers.first()?, *numbers.get(1)?, *numbers.get(8)?, *numbers.get(9)?];
            Some((name.trim().to_owned(), counters))
        })
        .filter(|(name, _)| name != "lo")
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn machine_time_and_interfaces_are_read_from_proc() {
        let stat = "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n";
        assert_eq!(super::machine_cpu(stat), (360_000_000, 2));
        let dev =
            "Inter-|\n face |\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 10 2 0 0 0 0 0 0 30 4 0 0 0 0 0 0\n";
        assert_eq!(super::interfaces(dev), [("eth0".to_owned(), [10, 2, 30, 4])]);
    }
}
