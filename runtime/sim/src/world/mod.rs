//! The world: virtual time, tasks, randomness, and the nodes that live in it.

mod clock;
mod executor;
mod life;
mod random;

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    future::BoxFuture,
    task::{ArcWake, waker},
};
use jiff::Timestamp;

pub(crate) use clock::Clock;
use executor::Executor;
pub(crate) use life::Life;
pub(crate) use random::Random;

use crate::{
    fs::LayerStore,
    images::{Catalogue, Description, DescriptionError},
    net::{Lan, WebServer},
    node::Node,
};

/// Locks, whether or not a panic elsewhere has poisoned the lock: every critical section here leaves its data whole.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A simulated world. Clones are handles to the same world.
#[derive(Clone)]
pub struct World(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) clock: Arc<Clock>,
    executor: Arc<Executor>,
    pub(crate) random: Random,
    pub(crate) layers: LayerStore,
    pub(crate) images: Catalogue,
    pub(crate) lan: Lan,
    nodes: Mutex<Vec<Arc<Node>>>,
    /// How many nodes there have ever been: an address is not given twice.
    addresses: AtomicUsize,
    speed: Mutex<f64>,
}

struct Flag(AtomicBool);

impl ArcWake for Flag {
    fn wake_by_ref(flag: &Arc<Self>) {
        flag.0.store(true, Ordering::Release);
    }
}

impl World {
    /// A world without nodes. `epoch` is its date at the start; the same `seed` and the same calls give the same world.
    pub fn new(epoch: Timestamp, seed: u64) -> Self {
        Self(Arc::new(Inner {
            clock: Clock::new(epoch),
            executor: Arc::default(),
            random: Random::new(seed),
            layers: LayerStore::default(),
            images: Catalogue::built_in(),
            lan: Lan::default(),
            nodes: Mutex::default(),
            addresses: AtomicUsize::new(0),
            speed: Mutex::new(1.0),
        }))
    }

    // --- time and tasks ---

    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
    /// Virtual time since the world began.
    pub fn elapsed(&self) -> Duration {
        self.0.clock.elapsed()
    }
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.executor.spawn(Box::pin(task));
    }
    /// Completes after `duration` of virtual time.
    pub fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.0.clock.sleep(duration))
    }
    /// Runs every task that can make progress without time passing. True when anything ran.
    pub fn run_until_stalled(&self) -> bool {
        self.0.executor.run()
    }
    /// How long until the next timer is due; `None` when nothing waits for time.
    pub fn next_timer(&self) -> Option<Duration> {
        self.0.clock.next_deadline().map(|deadline| deadline.saturating_sub(self.elapsed()))
    }
    /// Lets `duration` pass, timer by timer, running what each one wakes.
    pub fn advance(&self, duration: Duration) {
        let target = self.elapsed().saturating_add(duration);
        loop {
            self.run_until_stalled();
            match self.0.clock.next_deadline() {
                Some(deadline) if deadline <= target => self.0.clock.set_elapsed(deadline),
                _ => break,
            }
        }
        self.0.clock.set_elapsed(target);
        self.run_until_stalled();
    }
    /// Goes on to the next timer and runs what it wakes. False when nothing waits for time.
    pub fn step(&self) -> bool {
        self.run_until_stalled();
        let Some(wait) = self.next_timer() else { return false };
        self.advance(wait);
        true
    }
    /// Virtual seconds for each real second that [`World::pump`] is told of; 0 pauses.
    pub fn set_speed(&self, speed: f64) {
        *lock(&self.0.speed) = if speed.is_finite() { speed.clamp(0.0, 100_000.0) } else { 1.0 };
    }
    pub fn speed(&self) -> f64 {
        *lock(&self.0.speed)
    }
    /// For the page's frame callback: `real` time has gone by. Runs ready tasks even when time is paused.
    pub fn pump(&self, real: Duration) {
        self.advance(real.mul_f64(self.speed()));
    }
    /// Called whenever work becomes ready while none was, and whenever a timer becomes the next one: the page schedules
    /// a pump then. It must not call the world itself.
    pub fn set_wake_hook(&self, hook: impl Fn() + Send + Sync + 'static) {
        let hook: executor::WakeHook = Arc::new(hook);
        self.0.executor.set_hook(hook.clone());
        self.0.clock.set_hook(hook);
    }
    /// Runs the world until `future` is done, letting virtual time pass whenever everything waits for it. For native
    /// tests and tools.
    ///
    /// # Panics
    /// When nothing in the world can ever wake `future`.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = waker(flag.clone());
        let mut future = pin!(future);
        loop {
            if flag.0.swap(false, Ordering::AcqRel)
                && let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return value;
            }
            self.run_until_stalled();
            if flag.0.load(Ordering::Acquire) {
                continue;
            }
            match self.0.clock.next_deadline() {
                Some(deadline) => self.0.clock.set_elapsed(deadline),
                None => panic!("the simulated world is stuck: no task is ready and no timer is set"),
            }
        }
    }
    /// Drops nodes and tasks. A world holds itself alive through them until then.
    pub fn shutdown(&self) {
        self.0.executor.close();
        lock(&self.0.nodes).clear();
    }

    // --- nodes, links, images ---

    /// Adds a machine to the LAN, with the next free address of 192.168.0.0/24.
    pub fn add_node(&self, name: &str) -> Arc<Node> {
        let index = self.0.addresses.fetch_add(1, Ordering::Relaxed);
        let node = Node::create(self, name, index);
        lock(&self.0.nodes).push(node.clone());
        node
    }
    /// Kills a machine and takes it off the LAN for ever.
    pub fn remove_node(&self, name: &str) {
        let Some(node) = self.node(name) else { return };
        node.kill();
        lock(&self.0.nodes).retain(|node| node.name() != name);
    }
    pub fn nodes(&self) -> Vec<Arc<Node>> {
        lock(&self.0.nodes).clone()
    }
    pub fn node(&self, name: &str) -> Option<Arc<Node>> {
        lock(&self.0.nodes).iter().find(|node| node.name() == name).cloned()
    }
    /// The LAN between the nodes: cut, slow down and heal links.
    pub fn lan(&self) -> &Lan {
        &self.0.lan
    }
    /// Adds an image description (TOML, as in `runtime/sim/images`) to what `docker.io` holds.
    pub fn add_image(&self, description: &str) -> Result<(), DescriptionError> {
        self.0.images.add(Description::parse(description)?);
        Ok(())
    }
    /// Lets `server` answer what nodes ask `host` (`registry.example:5000`) over HTTP.
    pub fn add_web_server(&self, host: &str, server: Arc<dyn WebServer>) {
        self.0.lan.add_server(host, server);
    }
}

impl Inner {
    pub(crate) fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.executor.spawn(task);
    }
}

impl World {
    /// An HTTP request as a program on `node` would send it, for checks and for the preview of a published port.
    pub async fn http(
        &self,
        node: &str,
        method: &str,
        host: &str,
        port: u16,
        path: &str,
    ) -> Result<crate::net::Reply, crate::net::NetError> {
        let Some(node) = self.node(node) else { return Err(crate::net::NetError::NoSuchHost(node.to_owned())) };
        let request = crate::net::Request {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: vec![("Host".into(), format!("{host}:{port}")), ("User-Agent".into(), "docklab".into())],
            body: bytes::Bytes::new(),
        };
        crate::net::fetch(node.space(), host, port, request, Duration::from_secs(10)).await
    }
}
