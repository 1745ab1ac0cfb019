//! A session inside this page: simulated nodes with engines, on virtual time that follows the browser's clock.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_api::{ApiResult, DockerApi};
use docklab_scenario::{HttpAnswer, HttpRequest, Workspace, WorkspaceError};
use docklab_sim::{NodeShell, World};
use docklab_simulator::{FaultError, NodeCondition, SimulatedNode, Simulator};
use futures::{
    FutureExt as _, StreamExt as _,
    channel::{mpsc, oneshot},
    future::{self, Either},
    stream::BoxStream,
};

use super::{EngineKind, Fault, NodePlace, NodeState, Session, SessionTime, TerminalInput, TerminalLink};
use crate::browser;

/// The most time that passes at once. A laptop that slept through the night does not have to catch up with it.
const LONGEST_LEAP: Duration = Duration::from_secs(60);

/// Simulated nodes. Their world ends with the last handle to the session.
pub(super) struct Simulated {
    simulator: Simulator,
    clockwork: Arc<Clockwork>,
    /// Dropping it ends the task that lets time pass.
    _running: oneshot::Sender<()>,
}

impl Simulated {
    /// Starts the nodes. The date in the world is `now`.
    /// `images` are descriptions of those that only this lab has.
    pub(super) fn start(
        names: &[String],
        images: &[String],
        now: jiff::Timestamp,
        seed: u64,
    ) -> Result<(Self, Pump), String> {
        let world = World::new(now, seed);
        for image in images {
            world.add_image(image).map_err(|error| format!("An image of this lab cannot be read ({error})."))?;
        }
        let (sender, wakes) = mpsc::channel(1);
        let clockwork = Arc::new(Clockwork { world: world.clone(), last: Mutex::new(0.0), wake: sender.clone() });
        world.set_wake_hook(move || {
            // One waiting wake is enough: it makes everything run that is ready.
            let _ = sender.clone().try_send(());
        });
        // Nothing here waits for the outside, so this returns at once.
        let simulator = world
            .block_on(Simulator::open(world.clone(), names))
            .map_err(|error| format!("The simulated nodes did not start ({error})."))?;
        let (running, stopped) = oneshot::channel();
        Ok((Self { simulator, clockwork: clockwork.clone(), _running: running }, Pump { clockwork, wakes, stopped }))
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.simulator.world().shutdown();
    }
}

/// A world and the browser's clock.
struct Clockwork {
    world: World,
    /// When the world was last told of the time (milliseconds of Unix time); 0 before the first time.
    last: Mutex<f64>,
    wake: mpsc::Sender<()>,
}

impl Clockwork {
    /// Lets the time pass that has gone by.
    fn catch_up(&self) {
        let now = browser::now();
        let last = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *last, now)
        };
        let passed = if last == 0.0 { 0.0 } else { (now - last).max(0.0) };
        self.world.pump(Duration::from_secs_f64(passed / 1000.0).min(LONGEST_LEAP));
    }
}

/// Lets a world run in the browser: at once when something is ready, and when its next timer is due.
pub(super) struct Pump {
    clockwork: Arc<Clockwork>,
    wakes: mpsc::Receiver<()>,
    stopped: oneshot::Receiver<()>,
}

impl Pump {
    /// Runs until the session is dropped.
    pub(super) async fn run(mut self) {
        loop {
            self.clockwork.catch_up();
            // Whatever woke the world until now has just run.
            while self.wakes.try_recv().is_ok() {}
            let world = &self.clockwork.world;
            let speed = world.speed();
            let next_timer = world.next_timer().filter(|_| speed > 0.0);
            let due = match next_timer {
                Some(wait) => Either::Left(browser::Timeout::after(wait.div_f64(speed))),
                None => Either::Right(future::pending()),
            };
            let woken = future::select(self.wakes.next(), due);
            if let Either::Left(_) = future::select(&mut self.stopped, woken).await {
                return;
            }
        }
    }
}

/// How far one step may go when nothing changes.
const LONGEST_STEP: Duration = Duration::from_secs(20);

impl SessionTime for Clockwork {
    fn now(&self) -> jiff::Timestamp {
        self.world.now()
    }
    fn speed(&self) -> f64 {
        self.world.speed()
    }
    fn set_speed(&self, speed: f64) {
        // What has gone by until now has gone by at the former speed.
        self.catch_up();
        self.world.set_speed(speed);
        // The pump then waits for the next timer in another way.
        let _ = self.wake.clone().try_send(());
    }
    fn step(&self) -> Duration {
        self.catch_up();
        let start = self.world.elapsed();
        self.world.step();
        self.world.elapsed() - start
    }
}

impl Simulated {
    /// Streams that have something to say when the swarm changes.
    fn changes(&self) -> Vec<BoxStream<'static, ApiResult<u64>>> {
        let mut changes = Vec::new();
        for (_, engine) in self.simulator.engines() {
            if let Some(Ok(mut told)) = engine.swarm_changes().now_or_never() {
                // The first item only says where it stands.
                let _ = told.next().now_or_never();
                changes.push(told);
            }
        }
        changes
    }
}

impl SessionTime for Simulated {
    fn now(&self) -> jiff::Timestamp {
        self.clockwork.now()
    }
    fn speed(&self) -> f64 {
        self.clockwork.speed()
    }
    fn set_speed(&self, speed: f64) {
        self.clockwork.set_speed(speed);
    }
    fn step(&self) -> Duration {
        let mut changes = self.changes();
        let mut passed = Duration::ZERO;
        loop {
            let step = self.clockwork.step();
            passed += step;
            let has_changed = changes.iter_mut().any(|told| told.next().now_or_never().is_some());
            if has_changed || changes.is_empty() || step.is_zero() || passed > LONGEST_STEP {
                return passed;
            }
        }
    }
}

fn refused(error: FaultError) -> WorkspaceError {
    WorkspaceError(error.to_string())
}

#[async_trait]
impl Workspace for Simulated {
    fn nodes(&self) -> Vec<(String, Arc<dyn DockerApi>)> {
        self.simulator.engines()
    }

    async fn http(&self, node: &str, request: HttpRequest) -> Result<HttpAnswer, WorkspaceError> {
        self.simulator.http(node, request).await
    }

    async fn read_file(&self, node: &str, path: &str) -> Result<Option<Bytes>, WorkspaceError> {
        self.simulator.read_file(node, path).await
    }
}

#[async_trait]
impl Session for Simulated {
    fn engine(&self) -> EngineKind {
        EngineKind::Simulator
    }

    fn open_terminal(&self, node: &str, columns: u16, rows: u16) -> Result<TerminalLink, WorkspaceError> {
        let found =
            self.simulator.node(Some(node)).ok_or_else(|| WorkspaceError(format!("there is no node {node}")))?;
        let (shell, mut shown) =
            NodeShell::open(&found.node, rows, columns).map_err(|error| WorkspaceError(error.to_string()))?;
        let (input, mut typed) = mpsc::unbounded();
        let (print, output) = mpsc::unbounded();
        self.simulator.world().spawn(async move {
            let incoming = async {
                while let Some(message) = typed.next().await {
                    match message {
                        TerminalInput::Bytes(bytes) => shell.write(&bytes),
                        TerminalInput::Resize { columns, rows } => shell.resize(rows, columns),
                    }
                }
                // The terminal was closed.
                shell.close();
            };
            let outgoing = async {
                while let Some(bytes) = shown.next().await {
                    if print.unbounded_send(bytes).is_err() {
                        break;
                    }
                }
            };
            let ended = future::select(Box::pin(incoming), Box::pin(outgoing));
            future::select(Box::pin(shell.exit()), ended).await;
            // What the shell has printed last.
            while let Some(Some(bytes)) = shown.next().now_or_never() {
                if print.unbounded_send(bytes).is_err() {
                    break;
                }
            }
        });
        Ok(TerminalLink { input, output })
    }

    async fn save_file(&self, node: &str, path: &str, content: &str) -> Result<(), WorkspaceError> {
        self.simulator.save_file(Some(node), path, content)
    }

    fn places(&self) -> Vec<NodePlace> {
        let place = |node: &SimulatedNode| {
            let condition = node.condition();
            let state = match condition {
                NodeCondition { killed: true, .. } => NodeState::Killed,
                NodeCondition { suspended: true, .. } => NodeState::Paused,
                NodeCondition { cut: true, .. } => NodeState::Cut,
                NodeCondition { slow: true, .. } => NodeState::Slow,
                NodeCondition { .. } => NodeState::Running,
            };
            NodePlace { name: node.node.name().to_owned(), state }
        };
        self.simulator.nodes().iter().map(place).collect()
    }

    async fn inflict(&self, node: &str, fault: Fault) -> Result<(), WorkspaceError> {
        match fault {
            Fault::Kill => self.simulator.kill(node),
            Fault::Pause => self.simulator.suspend(node),
            Fault::Resume => self.simulator.resume(node),
            Fault::Cut { other: None } => self.simulator.cut(node),
            Fault::Cut { other: Some(other) } => self.simulator.cut_link(node, &other),
            Fault::Slow { delay } => self.simulator.slow(node, Duration::from_millis(delay)),
            Fault::Heal => self.simulator.heal(node).await,
            Fault::Remove => self.simulator.remove(node),
        }
        .map_err(refused)
    }

    async fn add_node(&self) -> Result<(), WorkspaceError> {
        self.simulator.add_node().await.map(drop).map_err(refused)
    }

    fn time(&self) -> Option<&dyn SessionTime> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_runs_and_exit_ends_the_terminal() {
        let names = vec!["node1".to_owned()];
        let (session, _pump) = Simulated::start(&names, &[], jiff::Timestamp::UNIX_EPOCH, 1).unwrap();
        let link = session.open_terminal("node1", 80, 24).unwrap();
        let typed = TerminalInput::Bytes("docker run --rm ubuntu echo from-$((40 + 2))\rexit\r".into());
        link.input.unbounded_send(typed).unwrap();
        let printed: Vec<Bytes> = session.simulator.world().block_on(link.output.collect());
        let printed = String::from_utf8(printed.concat()).unwrap();
        assert!(printed.contains("\nfrom-42\r\n"), "{printed}");
        assert!(printed.ends_with("exit\r\n"), "{printed}");
    }

    #[test]
    fn a_saved_file_is_in_the_working_directory() {
        let names = vec!["node1".to_owned(), "node2".to_owned()];
        let (session, _pump) = Simulated::start(&names, &[], jiff::Timestamp::UNIX_EPOCH, 1).unwrap();
        let world = session.simulator.world().clone();
        world.block_on(session.save_file("node2", "app/app.py", "print(1)\n")).unwrap();
        let node = session.simulator.node(Some("node2")).unwrap().node;
        let (stdout, ..) = world.block_on(node.run_script("cat app/app.py"));
        assert_eq!(stdout, "print(1)\n");
        let read = world.block_on(session.read_file("node2", "app/app.py")).unwrap();
        assert_eq!(read.as_deref(), Some(b"print(1)\n".as_slice()));
        assert_eq!(world.block_on(session.read_file("node1", "app/app.py")).unwrap(), None);
    }
}
