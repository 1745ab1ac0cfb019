//! Labs in the simulator, in this process, on virtual time: minutes of waiting pass at once.

mod shell;

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use docklab_api::{ApiResult, Events, SystemApi as _, models::EventMessage};
use docklab_scenario::{
    Commands, Mode, Part, PlayError, Played, Player, RouteReport, Scenario, Scope, TestReport, Workspace,
};
use docklab_sim::World;
use docklab_simulator::{SimulatedNode, Simulator};
use futures::{
    StreamExt as _,
    future::{self, Either},
    stream::{self, BoxStream},
};

use shell::Shell;

/// How long after a command something may still change a check, in virtual time.
const PATIENCE: Duration = Duration::from_secs(8);
/// A server that has just started may answer a little later without any event.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
const ENGINE: &str = "sim";
/// Every run of the tests sees the same world.
const SEED: u64 = 1;

/// Plays a lab, `jobs` parts of it at a time, each in a world of its own.
pub(super) async fn test(scenario: &Scenario, scope: Scope, jobs: usize, is_verbose: bool) -> Result<TestReport> {
    let parts = Arc::new(docklab_scenario::plan(scenario, ENGINE, scope));
    let scenario = Arc::new(scenario.clone());
    let next = Arc::new(AtomicUsize::new(0));
    // A world runs on one thread until its parts are through; nothing of it waits for this process.
    let workers: Vec<_> = (0..jobs.min(parts.len()))
        .map(|_| {
            let (scenario, parts, next) = (scenario.clone(), parts.clone(), next.clone());
            tokio::task::spawn_blocking(move || play_parts(&scenario, &parts, &next, is_verbose))
        })
        .collect();
    let mut played = Vec::new();
    for worker in workers {
        played.extend(worker.await.context("playing the lab")??);
    }
    played.sort_by_key(|(index, _)| *index);
    let routes = played.into_iter().flat_map(|(_, routes)| routes).collect();
    Ok(TestReport { scenario: scenario.meta.id.clone(), engine: ENGINE.to_owned(), routes })
}

/// Plays what belongs to some steps, in one world: what an author has just edited.
pub(super) async fn test_steps(scenario: &Scenario, steps: &[usize], scope: Scope) -> Result<Vec<RouteReport>> {
    let parts = docklab_scenario::plan_steps(scenario, ENGINE, scope, steps);
    let scenario = scenario.clone();
    let played = tokio::task::spawn_blocking(move || play_parts(&scenario, &parts, &AtomicUsize::new(0), false));
    let played = played.await.context("playing the lab")??;
    Ok(played.into_iter().flat_map(|(_, routes)| routes).collect())
}

/// Takes parts that nobody else has taken until none is left.
fn play_parts(
    scenario: &Scenario,
    parts: &[Part],
    next: &AtomicUsize,
    is_verbose: bool,
) -> Result<Vec<(usize, Vec<RouteReport>)>> {
    let mut player = SimulatedPlayer::open(scenario, is_verbose)?;
    let mut played = Vec::new();
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(part) = parts.get(index) else { break };
        let routes = player.drive(async |player| docklab_scenario::play_part(scenario, part, player).await)?;
        played.push((index, routes.with_context(|| format!("playing {}", scenario.meta.title))?));
    }
    player.close();
    Ok(played)
}

/// A world that knows the lab's own images, too.
fn new_world(images: &[String]) -> Result<World> {
    let world = World::new(jiff::Timestamp::now(), SEED);
    for image in images {
        world.add_image(image).context("reading an image that the lab describes for the simulator")?;
    }
    Ok(world)
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs the current world, which a reset exchanges, until `future` is done. Virtual time passes whenever all wait for it.
fn drive<T>(current: &Mutex<World>, future: impl Future<Output = T>) -> Result<T> {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    let mut future = pin!(future);
    loop {
        if woken.0.swap(false, Ordering::AcqRel)
            && let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker))
        {
            return Ok(value);
        }
        let world = lock(current).clone();
        world.run_until_stalled();
        if !woken.0.load(Ordering::Acquire) && !world.step() {
            bail!("the simulated session is stuck: nothing in it waits for time");
        }
    }
}

/// A world's nodes, and the events of their engines.
struct Opened {
    simulator: Simulator,
    events: BoxStream<'static, ApiResult<EventMessage>>,
}

async fn open(world: &World, names: &[String]) -> ApiResult<Opened> {
    let simulator = Simulator::open(world.clone(), names).await?;
    let mut events = Vec::new();
    for node in simulator.nodes() {
        events.push(node.engine.events(Events::default()).await?);
    }
    Ok(Opened { simulator, events: stream::select_all(events).boxed() })
}

/// Plays a lab in shells of simulated nodes.
pub(super) struct SimulatedPlayer {
    /// The world that is being driven; [`SimulatedPlayer::world`] is the same one, except during a reset.
    current: Arc<Mutex<World>>,
    names: Vec<String>,
    /// Descriptions of images that only this lab has.
    images: Vec<String>,
    world: World,
    session: Opened,
    shells: Vec<(String, Shell)>,
    /// Virtual time after which nothing is expected any more.
    deadline: Duration,
    /// Tell on standard error what is being played.
    is_verbose: bool,
}

fn failed(operation: &str, error: impl std::fmt::Display) -> PlayError {
    PlayError { operation: operation.to_owned(), reason: error.to_string() }
}

impl SimulatedPlayer {
    /// A player in a world of its own.
    pub(super) fn open(scenario: &Scenario, is_verbose: bool) -> Result<Self> {
        let (names, images) = (&scenario.meta.nodes, scenario.images.clone());
        let world = new_world(&images)?;
        let current = Arc::new(Mutex::new(world.clone()));
        let session = drive(&current, open(&world, names))??;
        let names = names.clone();
        Ok(Self { current, names, images, world, session, shells: Vec::new(), deadline: Duration::ZERO, is_verbose })
    }

    /// Lets the player work while its world goes on.
    ///
    /// # Errors
    /// When everything in the world waits for something that will not come.
    pub(super) fn drive<T>(&mut self, work: impl AsyncFnOnce(&mut Self) -> T) -> Result<T> {
        let current = self.current.clone();
        drive(&current, work(self))
    }

    pub(super) fn close(mut self) {
        self.shells.clear();
        lock(&self.current).shutdown();
    }

    fn node(&self, name: Option<&str>) -> Result<SimulatedNode, PlayError> {
        let found = self.session.simulator.node(name);
        found.ok_or_else(|| failed("choose a node", format!("there is no node `{}`", name.unwrap_or("node1"))))
    }

    /// A terminal of the node in which nothing runs.
    async fn free_shell(&mut self, node: &SimulatedNode) -> Result<&mut Shell, PlayError> {
        let free = self.shells.iter().position(|(name, shell)| name == node.node.name() && !shell.is_busy);
        let index = match free {
            Some(index) => index,
            None => {
                let shell = Shell::open(&self.world, node).await.map_err(|error| failed("open a terminal", error))?;
                self.shells.push((node.node.name().to_owned(), shell));
                self.shells.len() - 1
            }
        };
        Ok(&mut self.shells[index].1)
    }
}

#[async_trait]
impl Player for SimulatedPlayer {
    fn engine(&self) -> &str {
        ENGINE
    }

    fn workspace(&self) -> Arc<dyn Workspace> {
        Arc::new(self.session.simulator.clone())
    }

    async fn reset(&mut self) -> Result<(), PlayError> {
        if self.is_verbose {
            eprintln!("(a fresh session)");
        }
        self.shells.clear();
        let world = new_world(&self.images).map_err(|error| failed("open a session", error))?;
        // Whoever drives this future goes on with the new world.
        let former = std::mem::replace(&mut *lock(&self.current), world.clone());
        former.shutdown();
        self.session = open(&world, &self.names).await.map_err(|error| failed("open a session", error))?;
        self.world = world;
        Ok(())
    }

    async fn run(&mut self, commands: &Commands) -> Result<Played, PlayError> {
        let node = self.node(commands.node.as_deref())?;
        let (is_verbose, world) = (self.is_verbose, self.world.clone());
        let started = world.elapsed();
        if is_verbose {
            eprint!("{}$ {}", node.node.name(), commands.text.lines().collect::<Vec<_>>().join("; "));
        }
        let shell = self.free_shell(&node).await?;
        let played = match commands.mode {
            Mode::Wait => shell.run(&commands.text).await.map(|(output, status)| (output, Some(status))),
            Mode::Keep => shell.keep(&commands.text).await,
            Mode::Interrupt => match shell.keep(&commands.text).await {
                Ok((output, None)) => shell.interrupt().await.map(|(rest, status)| (output + &rest, Some(status))),
                ended => ended,
            },
            Mode::Interactive => shell.interact(&commands.text).await.map(|(output, status)| (output, Some(status))),
        };
        if is_verbose {
            eprintln!("  ({:.1} simulated s)", (world.elapsed() - started).as_secs_f64());
        }
        let (output, exit) = match played {
            // `exit` was typed into the outermost shell. It stays marked as busy, so that nobody uses it again.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => (error.to_string(), None),
            other => other.map_err(|error| failed("play the commands", error))?,
        };
        self.deadline = world.elapsed() + PATIENCE;
        Ok(Played { output, exit })
    }

    async fn save(&mut self, node: Option<&str>, path: &str, content: &str) -> Result<(), PlayError> {
        self.session.simulator.save_file(node, path, content).map_err(|error| failed("save the file", error))
    }

    async fn wait_for_change(&mut self) -> bool {
        let left = self.deadline.saturating_sub(self.world.elapsed());
        let event = self.session.events.next();
        match future::select(event, self.world.sleep(left.min(LOOK_AGAIN))).await {
            Either::Left((None, _)) => false,
            _ => self.world.elapsed() < self.deadline,
        }
    }
}
