//! A place where processes live: a node, or a container on it.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Poll, Waker},
};

use docklab_host::{Exit, HostError, HostResult, Limits, User};
use futures::{
    FutureExt,
    future::{BoxFuture, Either, poll_fn, select},
};

use super::{Closed, Context, Environment, Executable, ProcessState, Streams, find_executable, signal};
use crate::{
    fs::View,
    net::Stack,
    node::Node,
    tools,
    world::{Inner, lock},
};

/// Processes, a file system, a network stack and limits.
pub struct Space {
    /// The container's ID, or the node's name.
    pub id: String,
    pub(crate) world: Arc<Inner>,
    pub(crate) node: Weak<Node>,
    pub(crate) hostname: Mutex<String>,
    pub(crate) view: View,
    pub(crate) stack: Arc<Stack>,
    container: bool,
    pub(crate) limits: Mutex<Limits>,
    pub(crate) oom_killed: AtomicBool,
    processes: Mutex<BTreeMap<u32, Arc<ProcessState>>>,
    next_pid: AtomicU32,
    next_tty: AtomicU32,
    gate: Mutex<Gate>,
}

#[derive(Default)]
struct Gate {
    paused: bool,
    wakers: Vec<Waker>,
}

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) home: String,
}

/// Looks a `user[:group]` up in /etc/passwd.
pub(crate) fn identity(view: &View, user: &User) -> HostResult<Identity> {
    let name = user.spec.split(':').next().unwrap_or_default();
    let name = if name.is_empty() { "0" } else { name };
    let passwd = view.read_text("/etc/passwd").unwrap_or_default();
    for line in passwd.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if fields.len() > 5 && (fields[0] == name || fields[2] == name) {
            let uid = fields[2].parse().unwrap_or(0);
            return Ok(Identity { name: fields[0].to_owned(), uid, home: fields[5].to_owned() });
        }
    }
    match name.parse() {
        Ok(0) => Ok(Identity { name: "root".into(), uid: 0, home: "/root".into() }),
        Ok(uid) => Ok(Identity { name: name.to_owned(), uid, home: "/".into() }),
        Err(_) => Err(HostError::NoSuchUser(name.to_owned())),
    }
}

/// A process to start.
pub(crate) struct SpawnSpec {
    pub(crate) argv: Vec<String>,
    pub(crate) env: Environment,
    pub(crate) cwd: String,
    pub(crate) streams: Streams,
    pub(crate) parent: u32,
    pub(crate) user: Identity,
}

impl Space {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        id: &str,
        world: Arc<Inner>,
        node: Weak<Node>,
        hostname: &str,
        view: View,
        stack: Arc<Stack>,
        container: bool,
        limits: Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: id.to_owned(),
            world,
            node,
            hostname: Mutex::new(hostname.to_owned()),
            view,
            stack,
            container,
            limits: Mutex::new(limits),
            oom_killed: AtomicBool::new(false),
            processes: Mutex::default(),
            next_pid: AtomicU32::new(if container { 1 } else { 300 }),
            next_tty: AtomicU32::new(0),
            gate: Mutex::default(),
        })
    }
    pub fn is_container(&self) -> bool {
        self.container
    }
    pub fn hostname(&self) -> String {
        lock(&self.hostname).clone()
    }
    /// Running processes, by pid.
    pub fn processes(&self) -> Vec<Arc<ProcessState>> {
        lock(&self.processes).values().cloned().collect()
    }
    pub fn process(&self, pid: u32) -> Option<Arc<ProcessState>> {
        lock(&self.processes).get(&pid).cloned()
    }
    pub(crate) fn next_tty(&self) -> u32 {
        self.next_tty.fetch_add(1, Ordering::Relaxed)
    }
    pub(crate) fn memory(&self) -> u64 {
        lock(&self.processes).values().map(|process| process.memory()).sum()
    }
    pub(super) fn check_memory(&self, process: &Arc<ProcessState>) {
        let limit = lock(&self.limits).memory;
        if limit.is_some_and(|limit| limit > 0 && self.memory() > limit) {
            self.oom_killed.store(true, Ordering::Relaxed);
            process.signal(signal::KILL);
        }
    }
    pub(crate) fn is_paused(&self) -> bool {
        lock(&self.gate).paused
    }
    /// Freezes or thaws every process: a frozen one is not polled.
    pub(crate) fn set_paused(&self, paused: bool) {
        let mut gate = lock(&self.gate);
        gate.paused = paused;
        gate.wakers.drain(..).for_each(Waker::wake);
    }

    /// Starts a program.
    pub(crate) fn spawn(self: &Arc<Self>, spec: SpawnSpec) -> HostResult<Arc<ProcessState>> {
        let executable = find_executable(&self.view, &spec.argv, &spec.env, &spec.cwd)?;
        Ok(self.spawn_found(executable, spec))
    }
    pub(crate) fn spawn_found(self: &Arc<Self>, executable: Executable, spec: SpawnSpec) -> Arc<ProcessState> {
        let Executable { program, argv } = executable;
        self.spawn_program(SpawnSpec { argv, ..spec }, move |context| tools::run(program, context))
    }
    /// Starts a program given as code.
    pub(crate) fn spawn_program(
        self: &Arc<Self>,
        spec: SpawnSpec,
        program: impl FnOnce(Context) -> BoxFuture<'static, Result<i32, Closed>> + Send + 'static,
    ) -> Arc<ProcessState> {
        let pid = self.next_pid.fetch_add(1, Ordering::Relaxed);
        let node_pid = if self.container { self.node.upgrade().map_or(pid, |node| node.next_pid()) } else { pid };
        let process = ProcessState::new(
            self.clone(),
            (pid, node_pid, spec.parent),
            (spec.user.name, spec.user.uid),
            spec.streams.tty.as_ref().map(|tty| tty.number),
            spec.argv.clone(),
        );
        lock(&self.processes).insert(pid, process.clone());
        let context =
            Context { process: process.clone(), argv: spec.argv, env: spec.env, cwd: spec.cwd, streams: spec.streams };
        let space = self.clone();
        let state = process.clone();
        self.world.spawn(
            async move {
                let code = {
                    let running = pin!(space.gated(program(context)));
                    let fatal = pin!(state.fatal());
                    match select(fatal, running).await {
                        Either::Left((number, _)) => 128 + number,
                        Either::Right((Ok(code), _)) => code & 0xFF,
                        Either::Right((Err(Closed), _)) => 128 + signal::PIPE,
                    }
                };
                space.ended(&state, code);
            }
            .boxed(),
        );
        process
    }
    async fn gated<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|context| {
            {
                let mut gate = lock(&self.gate);
                if gate.paused {
                    gate.wakers.push(context.waker().clone());
                    return Poll::Pending;
                }
            }
            future.as_mut().poll(context)
        })
        .await
    }
    fn ended(&self, process: &Arc<ProcessState>, code: i32) {
        let rest: Vec<_> = {
            let mut processes = lock(&self.processes);
            processes.remove(&process.pid);
            processes.values().cloned().collect()
        };
        if self.container && process.pid == 1 {
            rest.iter().for_each(|other| other.signal(signal::KILL));
        }
        let oom_killed = code == 137 && self.oom_killed.load(Ordering::Relaxed);
        process.set_exit(Exit { code, oom_killed, at: self.world.clock.now() });
    }
}
