//! Labs in the simulator, in this process, on virtual time: minutes of waiting pass at once.

mod shell;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use docklab_api::{ApiResult, Events, SystemApi as _, models::EventMessage};
use docklab_scenario::{Commands, Mode, PlayError, Played, Player, Scenario, TestReport, Workspace};
use docklab_sim::World;
use docklab_simulator::{SimulatedNode, Simulator};
use futures::{FutureExt as _, StreamExt as _, future, stream, stream::BoxStream};

use shell::Shell;

/// How long after a command something may still change a check, in virtual time.
const PATIENCE: Duration = Duration::from_secs(8);
/// A server that has just started may answer a little later without any event.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Every run of the tests sees the same world.
const SEED: u64 = 1;

pub(super) async fn test(scenario: &Scenario, is_verbose: bool) -> Result<TestReport> {
    let scenario = scenario.clone();
    // The world runs on one thread until the test is through; nothing of it waits for this process.
    let report = tokio::task::spawn_blocking(move || play(&scenario, is_verbose)).await.context("playing the lab")?;
    Ok(report?)
}

fn play(scenario: &Scenario, is_verbose: bool) -> Result<TestReport> {
    let world = World::new(jiff::Timestamp::now(), SEED);
    let mut player = SimulatedPlayer {
        names: scenario.meta.nodes.clone(),
        session: world.block_on(open(&world, &scenario.meta.nodes))?,
        world: world.clone(),
        is_verbose,
    };
    let report = world.block_on(docklab_scenario::test(scenario, &mut player));
    world.shutdown();
    report.with_context(|| format!("playing {}", scenario.meta.title))
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
struct SimulatedPlayer {
    world: World,
    session: Opened,
    shells: Vec<(String, Shell)>,
    /// Virtual time after which nothing is expected any more.
    deadline: Duration,
    /// Tell on standard error what is being played.
    is_verbose: bool,
}
