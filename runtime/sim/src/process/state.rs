//! One process: who it is, its signals and its end.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use docklab_host::Exit;
use futures::future::poll_fn;

use super::Space;
use crate::world::lock;

/// Linux signal numbers.
pub(crate) mod signal {
    pub(crate) const HUP: i32 = 1;
    pub(crate) const INT: i32 = 2;
    pub(crate) const QUIT: i32 = 3;
    pub(crate) const KILL: i32 = 9;
    pub(crate) const PIPE: i32 = 13;
    pub(crate) const TERM: i32 = 15;
    pub(crate) const CHLD: i32 = 17;
    pub(crate) const CONT: i32 = 18;
    pub(crate) const STOP: i32 = 19;
    pub(crate) const TSTP: i32 = 20;
    pub(crate) const URG: i32 = 23;
    pub(crate) const WINCH: i32 = 28;

    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    /// From a number or a name with or without `SIG`.
    pub(crate) fn parse(text: &str) -> Option<i32> {
        if let Ok(number) = text.parse::<i32>() {
            return (0..=64).contains(&number).then_some(number);
        }
        let name = text.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        NAMES.iter().position(|known| *known == name).map(|index| index as i32 + 1)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disposition {
    Ignore,
    Handle,
}

#[derive(Default)]
struct Signals {
    dispositions: BTreeMap<i32, Disposition>,
    pending: VecDeque<i32>,
    fatal: Option<i32>,
    exit: Option<Exit>,
    wakers: Vec<Waker>,
}

impl Signals {
    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

/// A process of the simulator.
pub struct ProcessState {
    pub space: Arc<Space>,
    /// In its own pid namespace.
    pub pid: u32,
    /// As its node sees it.
    pub node_pid: u32,
    pub parent: u32,
    pub user: String,
    pub uid: u32,
    /// Number of its terminal.
    pub tty: Option<u32>,
    /// World time of its start.
    pub started: Duration,
    argv: Mutex<Vec<String>>,
    /// Bytes it says it uses.
    memory: AtomicU64,
    /// Share of one CPU it says it uses, in billionths.
    cpu: AtomicU64,
    signals: Mutex<Signals>,
}

impl ProcessState {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        space: Arc<Space>,
        (pid, node_pid, parent): (u32, u32, u32),
        (user, uid): (String, u32),
        tty: Option<u32>,
        argv: Vec<String>,
    ) -> Arc<Self> {
        let started = space.world.clock.elapsed();
        Arc::new(Self {
            space,
            pid,
            node_pid,
            parent,
            user,
            uid,
            tty,
            started,
            argv: Mutex::new(argv),
            memory: AtomicU64::new(1 << 20),
            cpu: AtomicU64::new(0),
            signals: Mutex::default(),
        })
    }
    pub fn argv(&self) -> Vec<String> {
        lock(&self.argv).clone()
    }
    pub(crate) fn set_argv(&self, argv: Vec<String>) {
        *lock(&self.argv) = argv;
    }
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }
    /// The process says how much memory it uses; past the space's limit it is killed.
    pub fn set_memory(self: &Arc<Self>, bytes: u64) {
        self.memory.store(bytes, Ordering::Relaxed);
        self.space.check_memory(self);
    }
    pub fn set_cpu(&self, billionths: u64) {
        self.cpu.store(billionths, Ordering::Relaxed);
    }
    pub(crate) fn cpu(&self) -> u64 {
        self.cpu.load(Ordering::Relaxed)
    }
    /// Nanoseconds of CPU time so far: what it says it uses over the time it has run.
    pub fn cpu_time(&self) -> u64 {
        let ran = self.space.world.clock.elapsed().saturating_sub(self.started);
        2_000_000 + (ran.as_nanos() * u128::from(self.cpu()) / 1_000_000_000) as u64
    }

    /// Delivers a signal: to the program when it handles it; else the default action, which PID 1 of a container is
    /// protected from (pid_namespaces(7)), except SIGKILL.
    pub fn signal(&self, number: i32) {
        let mut signals = lock(&self.signals);
        if signals.exit.is_some() || number == 0 {
            return;
        }
        match signals.dispositions.get(&number) {
            _ if number == signal::KILL => signals.fatal = Some(number),
            Some(Disposition::Ignore) => {}
            Some(Disposition::Handle) => signals.pending.push_back(number),
            None => {
                let harmless = [signal::CHLD, signal::CONT, signal::STOP, signal::TSTP, signal::URG, signal::WINCH];
                let protected = self.pid == 1 && self.space.is_container();
                if !harmless.contains(&number) && !protected {
                    signals.fatal = Some(number);
                }
            }
        }
        signals.wake();
    }
    /// From now on these come through [`ProcessState::next_signal`].
    pub fn handle(&self, numbers: &[i32]) {
        let mut signals = lock(&self.signals);
        for number in numbers {
            signals.dispositions.insert(*number, Disposition::Handle);
        }
    }
    pub fn ignore(&self, numbers: &[i32]) {
        let mut signals = lock(&self.signals);
        for number in numbers {
            signals.dispositions.insert(*number, Disposition::Ignore);
        }
    }
    pub fn default_action(&self, numbers: &[i32]) {
        let mut signals = lock(&self.signals);
        for number in numbers {
            signals.dispositions.remove(number);
        }
    }
    pub(crate) fn take_signal(&self) -> Option<i32> {
        lock(&self.signals).pending.pop_front()
    }
    pub async fn next_signal(&self) -> i32 {
        self.until(|signals| signals.pending.pop_front()).await
    }
    pub(super) async fn fatal(&self) -> i32 {
        self.until(|signals| signals.fatal).await
    }
    /// How it ended, once it has.
    pub async fn exit(&self) -> Exit {
        self.until(|signals| signals.exit).await
    }
    pub fn try_exit(&self) -> Option<Exit> {
        lock(&self.signals).exit
    }
    pub(super) fn set_exit(&self, exit: Exit) {
        let mut signals = lock(&self.signals);
        signals.exit = Some(exit);
        signals.wake();
    }
    async fn until<T>(&self, mut test: impl FnMut(&mut Signals) -> Option<T>) -> T {
        poll_fn(|context| {
            let mut signals = lock(&self.signals);
            match test(&mut signals) {
                Some(value) => Poll::Ready(value),
                None => {
                    signals.wakers.push(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}
