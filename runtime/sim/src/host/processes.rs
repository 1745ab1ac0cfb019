use async_trait::async_trait;
use docklab_host::{
    ContainerSpec, ExecSpec, HostError, HostResult, Limits, LogQuery, LogRecord, ProcessList, Processes, Started, Stats,
};
use futures::{StreamExt, stream::BoxStream};
use std::sync::{Arc, atomic::Ordering};

use super::{MEMORY, OutputHub, SimHost};
use crate::{
    tools::{clock_time, cpu_time},
    world::lock,
};

#[async_trait]
impl Processes for SimHost {
    async fn start(&self, spec: &ContainerSpec) -> HostResult<Started> {
        self.start_container(spec).await
    }
    async fn reattach(&self, container: &str) -> HostResult<Option<Started>> {
        let Some(found) = lock(&self.node.containers).get(container).cloned() else { return Ok(None) };
        Ok(Some(Started {
            process: found.process.clone(),
            output: found.hub.listen().boxed(),
            ports: found.ports.clone(),
            warnings: Vec::new(),
        }))
    }
    async fn cleanup(&self, container: &str) -> HostResult<()> {
        lock(&self.node.ports).retain(|(_, owner)| owner != container);
        let removed = lock(&self.node.containers).remove(container);
        if let Some(removed) = removed {
            removed.space.processes().iter().for_each(|process| process.signal(9));
        }
        Ok(())
    }
    async fn exec(&self, container: &str, spec: &ExecSpec) -> HostResult<Started> {
        let found = self.running(container)?;
        let mut process = spec.process.clone();
        if !process.env.iter().any(|line| line.starts_with("PATH="))
            && let Some(path) = found.environment.get("PATH")
        {
            process.env.push(format!("PATH={path}"));
        }
        let hub = OutputHub::new(self.node.world().clock.clone(), None);
        let output = hub.listen().boxed();
        let (_, process) = self.launch(&found.space, &process, &hub, false)?;
        Ok(Started { process: Arc::new(process), output, ports: Vec::new(), warnings: Vec::new() })
    }
    async fn pause(&self, container: &str) -> HostResult<()> {
        self.running(container)?.space.set_paused(true);
        Ok(())
    }
    async fn resume(&self, container: &str) -> HostResult<()> {
        self.running(container)?.space.set_paused(false);
        Ok(())
    }
    async fn update_limits(&self, container: &str, limits: &Limits) -> HostResult<()> {
        let found = self.running(container)?;
        if limits.memory.is_some_and(|limit| limit > 0 && limit < found.space.memory()) {
            return Err(HostError::Other("memory limit is below what the container uses".into()));
        }
        *lock(&found.space.limits) = limits.clone();
        Ok(())
    }
    async fn stats(&self, container: &str) -> HostResult<Stats> {
        let found = self.running(container)?;
        let processes = found.space.processes();
        let cpu_total: u64 = processes.iter().map(|process| process.cpu_time()).sum();
        let elapsed = self.node.world().clock.elapsed().as_nanos() as u64;
        let limit = lock(&found.space.limits).memory.filter(|limit| *limit > 0).unwrap_or(MEMORY);
        let traffic = *lock(&found.space.stack.traffic);
        let first = found.space.stack.interfaces().into_iter().next();
        Ok(Stats {
            cpu_total,
            cpu_user: cpu_total / 2,
            cpu_system: cpu_total - cpu_total / 2,
            machine_cpu_total: elapsed.saturating_mul(2),
            online_cpus: 2,
            memory_usage: found.space.memory(),
            memory_limit: limit,
            memory_inactive_file: 0,
            pids: processes.len() as u64,
            networks: first.map(|face| (face.name, traffic)).into_iter().collect(),
            block_read: 0,
            block_written: 0,
        })
    }
    async fn top(&self, container: &str, ps_args: &str) -> HostResult<ProcessList> {
        let found = self.running(container)?;
        let full = ps_args.is_empty() || ps_args.contains('f');
        let world = self.node.world();
        let mut list = ProcessList::default();
        let titles: &[&str] = if ps_args.contains("aux") || ps_args.contains('u') {
            &["USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND"]
        } else if full {
            &["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
        } else {
            &["PID", "TTY", "TIME", "CMD"]
        };
        list.titles = titles.iter().map(|title| (*title).to_owned()).collect();
        let shim = found.init.node_pid.saturating_sub(1);
        for process in found.space.processes() {
            let parent = found.space.process(process.parent).map_or(shim, |parent| parent.node_pid);
            let row = |title: &str| match title {
                "UID" | "USER" => process.user.clone(),
                "PID" => process.node_pid.to_string(),
                "PPID" => parent.to_string(),
                "C" => "0".into(),
                "%CPU" | "%MEM" => "0.0".into(),
                "VSZ" | "RSS" => (process.memory() / 1024).to_string(),
                "STAT" => "Ss".into(),
                "TTY" => process.tty.map_or("?".to_owned(), |tty| format!("pts/{tty}")),
                "STIME" | "START" => clock_time(world, process.started),
                "TIME" => cpu_time(process.cpu_time()),
                _ => process.argv().join(" "),
            };
            list.rows.push(titles.iter().map(|title| row(title)).collect());
        }
        Ok(list)
    }
    async fn logs(&self, container: &str, query: LogQuery) -> HostResult<BoxStream<'static, HostResult<LogRecord>>> {
        let log = lock(&self.node.logs).get(container).cloned();
        Ok(log.map_or_else(|| futures::stream::empty().boxed(), |log| log.read(&query)))
    }
    async fn remove_logs(&self, container: &str) -> HostResult<()> {
        lock(&self.node.logs).remove(container);
        Ok(())
    }
}

impl SimHost {
    /// Whether a container was killed for its memory.
    pub fn was_oom_killed(&self, container: &str) -> bool {
        lock(&self.node.containers)
            .get(container)
            .is_some_and(|container| container.space.oom_killed.load(Ordering::Relaxed))
    }
}
