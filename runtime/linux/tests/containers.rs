//! Containers on the real kernel: needs root and a static busybox at /bin/busybox. Each test has an engine of its own, and
//! fails when a process, a cgroup or a mount of it stays behind.

use std::{fs, future::Future, path::PathBuf, pin::Pin};

use docklab_host::{
    ContainerSpec, ExecSpec, HostError, Layers, Limits, LogQuery, MountSource, MountSpec, NetworkMode, Output,
    ProcessSpec, Processes, Standard, Started, TmpfsOptions, User,
};
use docklab_linux::{LinuxHost, LinuxOptions, run_supervisor_if_asked};
use futures::{StreamExt, stream::BoxStream};

type Test = (&'static str, fn(Engine) -> Pin<Box<dyn Future<Output = ()>>>);

macro_rules! tests {
    ($($name:ident)*) => { &[$((stringify!($name), |engine| Box::pin($name(engine)))),*] };
}

const TESTS: &[Test] = tests! {
    output_and_exit_code_arrive
    a_command_that_does_not_exist_is_told_before_start_returns
    the_container_is_confined
    a_terminal_is_the_containers_own
    standard_input_reaches_the_process_and_ends
    exec_joins_the_container
    a_restarted_engine_finds_its_containers
    signals_pause_and_limits_work
    users_are_looked_up_in_the_container
    init_reaps_and_forwards_signals
    mounts_appear_where_they_should
};

/// An engine beneath a directory of its own.
struct Engine {
    host: LinuxHost,
    root: PathBuf,
    name: String,
}

fn main() {
    run_supervisor_if_asked();
    if !nix::unistd::geteuid().is_root() || !PathBuf::from("/bin/busybox").exists() {
        println!("skipped: needs root and /bin/busybox (package busybox-static)");
        return;
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if std::env::args().any(|word| word == "--list") {
        TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    let mut failed = 0;
    for (index, (name, test)) in TESTS.iter().enumerate() {
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let result = std::panic::catch_unwind(|| run(&runtime, index, *test));
        println!("test {name} ... {}", if result.is_ok() { "ok" } else { "FAILED" });
        failed += usize::from(result.is_err());
    }
    assert_eq!(failed, 0, "{failed} tests failed");
}

fn run(runtime: &tokio::runtime::Runtime, index: usize, test: fn(Engine) -> Pin<Box<dyn Future<Output = ()>>>) {
    let name = format!("t{}x{index}", std::process::id() % 1000);
    let root = PathBuf::from(format!("/var/tmp/docklab-linux-{name}"));
    let before = mounts();
    let result = std::panic::catch_unwind(|| {
        runtime.block_on(async {
            let host = open(&root, &name).await;
            test(Engine { host, root: root.clone(), name: name.clone() }).await;
        });
    });
    let runs: Vec<_> =
        fs::read_dir(root.join("run/containers")).map(|runs| runs.flatten().collect()).unwrap_or_default();
    let cgroups = cgroups_of(&name);
    let after = mounts();
    let processes = processes_of(&root);
    for group in &cgroups {
        // A test that failed half-way: nothing of it may stay on the machine, whatever is reported below.
        for pid in fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default().lines() {
            if let Ok(pid) = pid.parse() {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
            }
        }
    }
    fs::remove_dir_all(&root).expect("remove the engine's directory");
    remove_parents(&name);
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
    assert!(runs.is_empty(), "run directories stay behind: {runs:?}");
    assert!(cgroups.is_empty(), "cgroups stay behind: {cgroups:?}");
    assert!(processes.is_empty(), "processes stay behind: {processes:?}");
    assert_eq!(before, after, "mounts stay behind");
}

async fn open(root: &std::path::Path, name: &str) -> LinuxHost {
    let options = LinuxOptions { durable: false, ..LinuxOptions::beneath(root, name) };
    LinuxHost::open(options).await.expect("open the host")
}

/// Of this engine only: other engines may work beside the tests.
fn mounts() -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    text.lines().filter(|line| line.contains("docklab-linux-t")).map(str::to_owned).collect()
}

fn hierarchies() -> Vec<PathBuf> {
    fs::read_dir("/sys/fs/cgroup")
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default()
}

fn cgroups_of(name: &str) -> Vec<PathBuf> {
    let mut parents: Vec<PathBuf> = hierarchies().into_iter().map(|path| path.join("docklab").join(name)).collect();
    parents.push(PathBuf::from("/sys/fs/cgroup/docklab").join(name));
    parents
        .iter()
        .filter_map(|parent| fs::read_dir(parent).ok())
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

fn remove_parents(name: &str) {
    for path in hierarchies() {
        let _ = fs::remove_dir(path.join("docklab").join(name));
    }
}

/// Supervisors have their run directory as an argument.
/// Supervisors that do not leave by themselves: one may still be on its way out when its container has been cleared away.
fn processes_of(root: &std::path::Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let line = fs::read_to_string(entry.path().join("cmdline")).ok()?;
            let ours = line.starts_with("docklab-supervisor") && line.contains(&*root.to_string_lossy());
            let pid = entry.file_name().to_str()?.parse().ok()?;
            (ours && !ends_within_seconds(pid)).then_some(line)
        })
        .collect()
}

fn ends_within_seconds(pid: i32) -> bool {
    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        process::{Pid, PidfdFlags, pidfd_open},
    };
    let Some(descriptor) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return true;
    };
    let patience = Timespec { tv_sec: 5, tv_nsec: 0 };
    matches!(poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&patience)), Ok(1))
}

impl Engine {
    /// A container with busybox as its only program, and a user database.
    async fn container(&self, command: &[&str]) -> ContainerSpec {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let id = format!("{:064x}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content) in [
            ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\n"),
            ("etc/group", "root:x:0:\nusers:x:100:\naudio:x:29:ann\n"),
        ] {
            let mut header = plain_header();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, path, content.as_bytes()).expect("append");
        }
        archive.append_path_with_name("/bin/busybox", "bin/busybox").expect("append busybox");
        for applet in [
            "sh", "echo", "cat", "id", "sleep", "ps", "mount", "mknod", "tty", "stty", "hostname", "touch", "kill",
            "ls", "head", "unshare", "readlink", "grep", "dd",
        ] {
            let mut header = plain_header();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            archive.append_link(&mut header, format!("bin/{applet}"), "busybox").expect("append link");
        }
        let bytes = bytes::Bytes::from(archive.into_inner().expect("finish"));
        let content = futures::stream::iter([Ok(bytes)]).boxed();
        let layer = self.host.unpack(None, docklab_host::Compression::None, content).await.expect("unpack");
        self.host.create_rootfs(&id, Some(&layer.chain_id)).await.expect("create rootfs");
        ContainerSpec {
            hostname: id[52..].to_owned(),
            id,
            domainname: String::new(),
            image: "busybox".to_owned(),
            labels: Vec::new(),
            process: process(command),
            limits: Limits::default(),
            mounts: Vec::new(),
            network: NetworkMode::None,
            ports: Vec::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_options: Vec::new(),
            extra_hosts: Vec::new(),
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            security_opt: Vec::new(),
            devices: Vec::new(),
            sysctls: Vec::new(),
            read_only_rootfs: false,
            init: false,
            pid_mode: String::new(),
            ipc_mode: String::new(),
            uts_mode: String::new(),
            shm_size: 64 << 20,
            log: true,
        }
    }

    /// Runs to the end and clears away: exit code, standard output, standard error.
    async fn run(&self, spec: &ContainerSpec) -> (i32, String, String) {
        let started = self.host.start(spec).await.expect("start");
        let (out, err) = collect(started.output).await;
        let exit = started.process.wait().await.expect("wait");
        self.host.cleanup(&spec.id).await.expect("clean up");
        (exit.code, out, err)
    }

    async fn sh(&self, script: &str) -> (i32, String, String) {
        let spec = self.container(&["sh", "-c", script]).await;
        self.run(&spec).await
    }

    async fn stop(&self, started: Started, id: &str) -> i32 {
        started.process.signal(9).await.expect("kill");
        let exit = started.process.wait().await.expect("wait");
        self.host.cleanup(id).await.expect("clean up");
        exit.code
    }
}

fn process(command: &[&str]) -> ProcessSpec {
    ProcessSpec {
        argv: command.iter().map(|word| (*word).to_owned()).collect(),
        env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
        cwd: "/".to_owned(),
        ..ProcessSpec::default()
    }
}

async fn collect(mut output: BoxStream<'static, Output>) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(piece) = output.next().await {
        match piece.stream {
            Standard::Stdout => out.extend_from_slice(&piece.bytes),
            Standard::Stderr => err.extend_from_slice(&piece.bytes),
        }
    }
    (String::from_utf8_lossy(&out).into_owned(), String::from_utf8_lossy(&err).into_owned())
}

fn plain_header() -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_mode(0o755);
    header
}

/// Reads until `text` has come.
async fn wait_for(output: &mut BoxStream<'static, Output>, text: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        let piece = output.next().await.unwrap_or_else(|| panic!("ended without {text:?}: {seen:?}"));
        seen.push_str(&String::from_utf8_lossy(&piece.bytes));
    }
    seen
}

async fn output_and_exit_code_arrive(engine: Engine) {
    let spec = engine.container(&["sh", "-c", "echo out; echo err >&2; exit 7"]).await;
    assert_eq!(engine.run(&spec).await, (7, "out\n".to_owned(), "err\n".to_owned()));
    let query = LogQuery { tail: Some(1), ..LogQuery::default() };
    let logged: Vec<_> = engine.host.logs(&spec.id, query).await.expect("logs").collect().await;
    assert_eq!(logged.len(), 1);
    let all: Vec<_> = engine.host.logs(&spec.id, LogQuery::default()).await.expect("logs").collect().await;
    assert_eq!(all.len(), 2);
    // The kernel protects process 1 from its own namespace, not its children.
    let (code, out, err) = engine.sh("kill -9 $$; echo $$; sh -c 'kill -9 $$'; exit $?").await;
    assert_eq!((code, out.as_str(), err.as_str()), (137, "1\n", "Killed\n"));
}

async fn a_command_that_does_not_exist_is_told_before_start_returns(engine: Engine) {
    for (command, expected) in [
        ("nosuch", HostError::CommandNotFound("nosuch".to_owned())),
        ("/nosuch", HostError::CommandPathNotFound("/nosuch".to_owned())),
        (
            "/etc",
            HostError::CommandNotExecutable {
                command: "/etc".to_owned(),
                reason: "is a directory: permission denied".to_owned(),
            },
        ),
        (
            "/etc/passwd",
            HostError::CommandNotExecutable {
                command: "/etc/passwd".to_owned(),
                reason: "permission denied".to_owned(),
            },
        ),
    ] {
        let spec = engine.container(&[command]).await;
        assert_eq!(engine.host.start(&spec).await.err(), Some(expected));
    }
    let mut spec = engine.container(&["id"]).await;
    spec.process.user = User { spec: "eve".to_owned(), ..User::default() };
    assert_eq!(engine.host.start(&spec).await.err(), Some(HostError::NoSuchUser("eve".to_owned())));
}

async fn the_container_is_confined(engine: Engine) {
    let (_, out, _) = engine.sh("grep -E 'Cap(Bnd|Eff|Inh)|Seccomp:|NoNewPrivs' /proc/self/status").await;
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!(
        words,
        [
            "CapInh:",
            "0000000000000000",
            "CapEff:",
            "00000000a80425fb",
            "CapBnd:",
            "00000000a80425fb",
            "NoNewPrivs:",
            "0",
            "Seccomp:",
            "2",
        ]
    );
    let script = "echo $$; cat /proc/kcore | head -c1; ls /sys/firmware; echo 1 >/proc/sys/kernel/panic; \
                  unshare -m true; mknod /dev/disk b 254 0 && dd if=/dev/disk count=1; ps | grep -c .; ls /proc/1/fd | grep -c .";
    let (_, out, err) = engine.sh(script).await;
    assert!(out.starts_with("1\n"), "{out}");
    for refused in ["Read-only file system", "unshare", "dd: can't open '/dev/disk': Operation not permitted"] {
        assert!(err.contains(refused), "{refused}: {err}");
    }
    let mut privileged = engine.container(&["sh", "-c", "grep Seccomp: /proc/self/status; unshare -m echo yes"]).await;
    privileged.process.privileged = true;
    let (_, out, _) = engine.run(&privileged).await;
    assert_eq!(out, "Seccomp:\t0\nyes\n");
}

async fn a_terminal_is_the_containers_own(engine: Engine) {
    let mut spec = engine.container(&["sh", "-c", "tty; stty size; read line; stty size"]).await;
    spec.process.tty = true;
    spec.process.open_stdin = true;
    spec.process.console_size = (24, 80);
    let mut started = engine.host.start(&spec).await.expect("start");
    wait_for(&mut started.output, "/dev/pts/0\r\n24 80\r\n").await;
    started.process.resize(50, 132).await.expect("resize");
    started.process.write_stdin("x\r".into()).await.expect("write");
    let (out, _) = collect(started.output).await;
    assert!(out.ends_with("50 132\r\n"), "{out:?}");
    assert_eq!(started.process.wait().await.expect("wait").code, 0);
    engine.host.cleanup(&spec.id).await.expect("clean up");
}

async fn standard_input_reaches_the_process_and_ends(engine: Engine) {
    let mut spec = engine.container(&["cat"]).await;
    spec.process.open_stdin = true;
    let started = engine.host.start(&spec).await.expect("start");
    let sent = "0123456789abcdef".repeat(32 * 1024);
    let (written, (out, _)) = futures::join!(
        async {
            started.process.write_stdin(sent.clone().into()).await?;
            started.process.close_stdin().await
        },
        collect(started.output)
    );
    written.expect("write");
    assert!(out == sent, "{} of {} bytes came back", out.len(), sent.len());
    engine.host.cleanup(&spec.id).await.expect("clean up");
}

async fn exec_joins_the_container(engine: Engine) {
    let spec = engine.container(&["sleep", "1000"]).await;
    let started = engine.host.start(&spec).await.expect("start");
    let exec = |id: &str, script: &str| ExecSpec { id: id.to_owned(), process: process(&["sh", "-c", script]) };
    let first = engine.host.exec(&spec.id, &exec("one", "hostname; ps; exit 3")).await.expect("exec");
    let (out, _) = collect(first.output).await;
    assert!(out.starts_with(&spec.hostname) && out.contains("sleep 1000"), "{out}");
    assert_eq!(first.process.wait().await.expect("wait").code, 3);
    let missing = ExecSpec { id: "two".to_owned(), process: process(&["nosuch"]) };
    let error = engine.host.exec(&spec.id, &missing).await.err();
    assert_eq!(error, Some(HostError::CommandNotFound("nosuch".to_owned())));
    let mut terminal = exec("three", "tty; read x");
    terminal.process.tty = true;
    let mut third = engine.host.exec(&spec.id, &terminal).await.expect("exec with a terminal");
    wait_for(&mut third.output, "/dev/pts/0").await;
    let list = engine.host.top(&spec.id, "").await.expect("top");
    assert!(list.rows.iter().any(|row| row.last().is_some_and(|command| command == "sleep 1000")), "{list:?}");
    assert_eq!(engine.stop(started, &spec.id).await, 137);
    assert_eq!(third.process.wait().await.expect("an exec ends with its container").code, 137);
}

async fn a_restarted_engine_finds_its_containers(engine: Engine) {
    let mut spec = engine.container(&["sh", "-c", "echo one; read x; echo $x; exit 5"]).await;
    spec.process.open_stdin = true;
    let mut started = engine.host.start(&spec).await.expect("start");
    wait_for(&mut started.output, "one").await;
    drop(started);
    let second = open(&engine.root, &engine.name).await;
    let found = second.reattach(&spec.id).await.expect("reattach").expect("runs");
    let follow = second.logs(&spec.id, LogQuery { follow: true, ..LogQuery::default() }).await.expect("logs");
    found.process.write_stdin("two\n".into()).await.expect("write");
    let lines: Vec<String> =
        follow.map(|record| String::from_utf8_lossy(&record.expect("record").bytes).into_owned()).collect().await;
    assert_eq!(lines, ["one\n", "two\n"]);
    assert_eq!(found.process.wait().await.expect("wait").code, 5);
    let third = open(&engine.root, &engine.name).await;
    let ended = third.reattach(&spec.id).await.expect("reattach").expect("its exit code is known");
    assert_eq!(ended.process.wait().await.expect("wait").code, 5);
    third.cleanup(&spec.id).await.expect("clean up");
    assert!(third.reattach(&spec.id).await.expect("reattach").is_none());
}

async fn signals_pause_and_limits_work(engine: Engine) {
    let mut spec =
        engine.container(&["sh", "-c", "trap 'echo got; exit 4' TERM; echo ready; while :; do sleep 0.01; done"]).await;
    spec.limits.memory = Some(64 << 20);
    spec.limits.pids = Some(32);
    spec.limits.nano_cpus = Some(500_000_000);
    let mut started = engine.host.start(&spec).await.expect("start");
    wait_for(&mut started.output, "ready").await;
    let stats = engine.host.stats(&spec.id).await.expect("stats");
    assert_eq!(stats.memory_limit, 64 << 20);
    assert!(stats.pids >= 1 && stats.memory_usage > 0, "{stats:?}");
    engine.host.pause(&spec.id).await.expect("pause");
    engine.host.resume(&spec.id).await.expect("resume");
    engine.host.update_limits(&spec.id, &Limits { memory: Some(32 << 20), ..Limits::default() }).await.expect("update");
    assert_eq!(engine.host.stats(&spec.id).await.expect("stats").memory_limit, 32 << 20);
    started.process.signal(15).await.expect("signal");
    assert_eq!(started.process.wait().await.expect("wait").code, 4);
    engine.host.cleanup(&spec.id).await.expect("clean up");
    let spec = engine.container(&["sleep", "1000"]).await;
    let started = engine.host.start(&spec).await.expect("start");
    engine.host.pause(&spec.id).await.expect("pause");
    assert_eq!(engine.stop(started, &spec.id).await, 137);
    let mut spec = engine.container(&["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"]).await;
    spec.limits.memory = Some(16 << 20);
    let started = engine.host.start(&spec).await.expect("start");
    let exit = started.process.wait().await.expect("wait");
    assert_eq!((exit.code, exit.oom_killed), (137, true));
    engine.host.cleanup(&spec.id).await.expect("clean up");
}

async fn users_are_looked_up_in_the_container(engine: Engine) {
    let mut spec = engine
        .container(&["sh", "-c", "id; echo $HOME; grep CapEff /proc/self/status; echo to-stderr >/dev/stderr"])
        .await;
    spec.process.user = User { spec: "ann".to_owned(), additional_groups: vec![] };
    spec.process.cwd = "/made/here".to_owned();
    let (code, out, err) = engine.run(&spec).await;
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (
            0,
            "uid=1000(ann) gid=100(users) groups=29(audio),100(users)\n/home/ann\nCapEff:\t0000000000000000\n",
            "to-stderr\n"
        )
    );
}

async fn init_reaps_and_forwards_signals(engine: Engine) {
    let mut spec = engine.container(&["sleep", "1000"]).await;
    spec.init = true;
    let started = engine.host.start(&spec).await.expect("start");
    started.process.signal(15).await.expect("signal");
    assert_eq!(started.process.wait().await.expect("wait").code, 143);
    engine.host.cleanup(&spec.id).await.expect("clean up");
}

async fn mounts_appear_where_they_should(engine: Engine) {
    let mut spec = engine
        .container(&["sh", "-c", "cat /run/secrets/key; cat /bound/file; touch /bound/new; touch /t/x && echo tmpfs; touch /r; cat /etc/hostname"])
        .await;
    let bound = engine.root.join("bound");
    fs::create_dir_all(&bound).expect("make directory");
    fs::write(bound.join("file"), "from outside\n").expect("write");
    let mount = |source, target: &str, read_only| MountSpec { source, target: target.to_owned(), read_only };
    spec.mounts = vec![
        mount(
            MountSource::Bind { path: bound.display().to_string(), create: false, propagation: String::new() },
            "/bound",
            true,
        ),
        mount(MountSource::Tmpfs(TmpfsOptions { size: Some(1 << 20), mode: None }), "/t", false),
        mount(
            MountSource::File { content: b"secret\n".to_vec(), mode: 0o400, uid: 0, gid: 0 },
            "/run/secrets/key",
            true,
        ),
    ];
    spec.read_only_rootfs = true;
    let (_, out, err) = engine.run(&spec).await;
    assert_eq!(out, format!("secret\nfrom outside\ntmpfs\n{}\n", spec.hostname));
    assert_eq!(err.matches("Read-only file system").count(), 2, "{err}");
    spec.mounts = vec![mount(
        MountSource::Bind { path: "/no/such".to_owned(), create: false, propagation: String::new() },
        "/bound",
        true,
    )];
    let error = engine.host.start(&spec).await.err().expect("must fail").to_string();
    assert_eq!(error, "invalid mount config for type \"bind\": bind source path does not exist: /no/such");
}
