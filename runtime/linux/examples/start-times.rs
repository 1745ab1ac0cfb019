//! How long a start takes: `start-times DIRECTORY [COUNT] [PAUSE_MS]` as root, with a static /bin/busybox. Prints medians
//! in milliseconds and the private memory of one supervisor.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use docklab_host::{Compression, ContainerSpec, ExecSpec, Layers, Processes};
use docklab_linux::{LinuxHost, LinuxOptions, run_supervisor_if_asked};
use futures::StreamExt;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    run_supervisor_if_asked();
    let mut arguments = std::env::args().skip(1);
    let root = PathBuf::from(arguments.next().ok_or("usage: start-times DIRECTORY [COUNT] [PAUSE_MS]")?);
    let count = arguments.next().map_or(Ok(40), |word| word.parse())?;
    let pause = Duration::from_millis(arguments.next().map_or(Ok(80), |word| word.parse())?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(root, count, pause))
}

async fn measure(root: PathBuf, count: usize, pause: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let host = LinuxHost::open(LinuxOptions { durable: false, ..LinuxOptions::beneath(&root, "times") }).await?;
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_path_with_name("/bin/busybox", "bin/busybox")?;
    let content = futures::stream::iter([Ok(archive.into_inner()?.into())]).boxed();
    let layer = host.unpack(None, Compression::None, content).await?;
    let (mut starts, mut runs, mut execs) = (Vec::new(), Vec::new(), Vec::new());
    let spec: ContainerSpec = serde_json::from_value(serde_json::json!({
        "id": "1".repeat(64), "hostname": "times", "domainname": "", "image": "", "labels": [],
        "process": { "argv": ["/bin/busybox", "true"], "env": ["PATH=/bin"], "cwd": "/", "user": { "spec": "",
            "additional_groups": [] }, "tty": false, "console_size": [0, 0], "open_stdin": false, "privileged": false },
        "limits": { "ulimits": [] }, "mounts": [], "network": "None", "ports": [], "dns": [], "dns_search": [],
        "dns_options": [], "extra_hosts": [], "cap_add": [], "cap_drop": [], "security_opt": [], "devices": [],
        "sysctls": [], "read_only_rootfs": false, "init": false, "pid_mode": "", "ipc_mode": "", "uts_mode": "",
        "shm_size": 0, "log": true
    }))?;
    for _ in 0..count {
        tokio::time::sleep(pause).await;
        let begin = Instant::now();
        host.create_rootfs(&spec.id, Some(&layer.chain_id)).await?;
        let started = host.start(&spec).await?;
        starts.push(begin.elapsed());
        started.process.wait().await?;
        runs.push(begin.elapsed());
        host.cleanup(&spec.id).await?;
        host.remove_rootfs(&spec.id).await?;
    }
    let mut sleeper = spec.clone();
    sleeper.process.argv = vec!["/bin/busybox".to_owned(), "sleep".to_owned(), "1000".to_owned()];
    host.create_rootfs(&spec.id, Some(&layer.chain_id)).await?;
    let started = host.start(&sleeper).await?;
    for number in 0..count {
        tokio::time::sleep(pause).await;
        let begin = Instant::now();
        let exec = ExecSpec { id: number.to_string(), process: spec.process.clone() };
        host.exec(&spec.id, &exec).await?.process.wait().await?;
        execs.push(begin.elapsed());
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", started.process.pid()))?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).map(str::trim).unwrap_or("self");
    let memory = std::fs::read_to_string(format!("/proc/{parent}/smaps_rollup"))?;
    host.cleanup(&spec.id).await?;
    host.remove_rootfs(&spec.id).await?;
    for (name, mut times) in [("create and start", starts), ("until its end", runs), ("exec until its end", execs)] {
        times.sort();
        println!("{name}: {:.2} ms", times[times.len() / 2].as_secs_f64() * 1000.0);
    }
    memory.lines().filter(|line| line.starts_with("Private")).for_each(|line| println!("supervisor {line}"));
    Ok(())
}
