//! Plays a scenario on real or simulated nodes and proves its checks: red before, green after.

mod routes;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    document::{Block, Commands, Scenario, Step},
    evaluate::{Evaluator, StepReport},
    mutants::{Mutant, mutants},
    report::{RouteKind, RouteReport, TestReport},
    workspace::Workspace,
};

/// Hands that type. Implemented for real nodes and for the simulator.
#[async_trait]
pub trait Player: Send {
    /// `docklab`, `sim` or `docker`: shown in reports, and decides which notes are played.
    fn engine(&self) -> &str;
    /// What the checks look at. Asked again after every reset.
    fn workspace(&self) -> Arc<dyn Workspace>;
    /// Back to a fresh session: no containers, no terminals, no files; images may stay.
    async fn reset(&mut self) -> Result<(), PlayError>;
    /// Types the commands into a free terminal of their node ([`Commands::node`], else the first one).
    ///
    /// - [`Mode::Wait`]: returns when all of them have ended.
    /// - [`Mode::Keep`]: returns when the last one has printed something; it stays in the foreground of its terminal.
    /// - [`Mode::Interrupt`]: as `Keep`, then presses Ctrl-C and returns when the prompt is back.
    /// - [`Mode::Interactive`]: types each line into what the lines before opened, and returns when the outermost
    ///   command has ended.
    ///
    /// [`Mode::Wait`]: crate::Mode::Wait
    /// [`Mode::Keep`]: crate::Mode::Keep
    /// [`Mode::Interrupt`]: crate::Mode::Interrupt
    /// [`Mode::Interactive`]: crate::Mode::Interactive
    async fn run(&mut self, commands: &Commands) -> Result<Played, PlayError>;
    /// Writes a file block into the workspace of a node (`None`: the first one).
    async fn save(&mut self, node: Option<&str>, path: &str, content: &str) -> Result<(), PlayError>;
    /// Waits for something that may change a check. False when nothing will: the player's patience is at its end.
    /// The patience begins anew with every `run`.
    async fn wait_for_change(&mut self) -> bool;
}

/// What a block of commands left in its terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Played {
    /// Output of the commands without prompts and echoed input.
    pub output: String,
    /// Exit code of the last command; `None` while it runs.
    pub exit: Option<i32>,
}

/// The player itself failed: nothing is known about the scenario.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cannot {operation}: {reason}")]
pub struct PlayError {
    pub operation: String,
    pub reason: String,
}

/// One route of one step: where it stands and which blocks of the step it plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub step: usize,
    pub kind: RouteKind,
    /// The index of its commands among [`Step::all_blocks`]; not used by the reference.
    pub block: usize,
}

/// Which routes are played.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Break every solution, and demand that its check notices.
    pub mutants: bool,
}

/// A part of a test that begins with a fresh session, so that parts may be played beside each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Part(Content);

#[derive(Debug, Clone, PartialEq)]
enum Content {
    /// The reference solution from beginning to end.
    Reference,
    Side(Route),
    Mutant(usize, Box<Mutant>),
    /// The reference solution of one step, behind those before it.
    Step(usize),
}

/// All parts of a test, in the order of its report.
pub fn plan(scenario: &Scenario, engine: &str, scope: Scope) -> Vec<Part> {
    let mut parts = vec![Part(Content::Reference)];
    for (index, step) in scenario.steps.iter().enumerate() {
        parts.extend(side_routes(step, index, engine).into_iter().map(|route| Part(Content::Side(route))));
    }
    if scope.mutants {
        for index in 0..scenario.steps.len() {
            let mutants = mutants(scenario, index).into_iter();
            parts.extend(mutants.map(|mutant| Part(Content::Mutant(index, Box::new(mutant)))));
        }
    }
    parts
}

/// The parts that are about some steps, by index.
pub fn plan_steps(scenario: &Scenario, engine: &str, scope: Scope, steps: &[usize]) -> Vec<Part> {
    let of_steps = |part: &Part| match &part.0 {
        Content::Reference => false,
        Content::Side(Route { step, .. }) | Content::Mutant(step, _) | Content::Step(step) => steps.contains(step),
    };
    let references =
        steps.iter().filter(|index| **index < scenario.steps.len()).map(|index| Part(Content::Step(*index)));
    references.chain(plan(scenario, engine, scope).into_iter().filter(of_steps)).collect()
}

/// Plays one part.
pub async fn play_part(
    scenario: &Scenario,
    part: &Part,
    player: &mut dyn Player,
) -> Result<Vec<RouteReport>, PlayError> {
    let evaluator = Evaluator::new();
    player.reset().await?;
    match &part.0 {
        Content::Reference => {
            let mut routes = Vec::new();
            for step in &scenario.steps {
                routes.push(routes::reference(step, &evaluator, player).await?);
            }
            Ok(routes)
        }
        Content::Step(index) => {
            play_before(scenario, *index, &evaluator, player).await?;
            Ok(vec![routes::reference(&scenario.steps[*index], &evaluator, player).await?])
        }
        Content::Side(route) => {
            play_before(scenario, route.step, &evaluator, player).await?;
            Ok(vec![routes::side(&scenario.steps[route.step], *route, &evaluator, player).await?])
        }
        Content::Mutant(index, mutant) => {
            play_before(scenario, *index, &evaluator, player).await?;
            Ok(vec![routes::mutant(scenario, *index, mutant, &evaluator, player).await?])
        }
    }
}

/// Plays the whole scenario, one part after another.
pub async fn test(scenario: &Scenario, scope: Scope, player: &mut dyn Player) -> Result<TestReport, PlayError> {
    let engine = player.engine().to_owned();
    let mut routes = Vec::new();
    for part in plan(scenario, &engine, scope) {
        routes.extend(play_part(scenario, &part, player).await?);
    }
    Ok(TestReport { scenario: scenario.meta.id.clone(), engine, routes })
}

/// Plays the steps before one.
pub async fn play_before(
    scenario: &Scenario,
    index: usize,
    evaluator: &Evaluator,
    player: &mut dyn Player,
) -> Result<(), PlayError> {
    for step in &scenario.steps[..index] {
        play_step(step, evaluator, player).await?;
    }
    Ok(())
}

/// Plays a step's reference solution and waits until it is green: what "skip" does. Outputs are not compared.
pub async fn play_step(step: &Step, evaluator: &Evaluator, player: &mut dyn Player) -> Result<StepReport, PlayError> {
    play_solution(step, evaluator, player).await?;
    settle(step, evaluator, player, |report| report.passed).await
}

async fn play_solution(step: &Step, evaluator: &Evaluator, player: &mut dyn Player) -> Result<(), PlayError> {
    let engine = player.engine().to_owned();
    for (_, block) in step.played_on(&engine) {
        match block {
            Block::Run(commands) => {
                run(commands, evaluator, player).await?;
            }
            Block::File { path, node, content, .. } => player.save(node.as_deref(), path, content).await?,
            _ => {}
        }
    }
    Ok(())
}

/// Every `also` and `wrong` route of a step, in the order of the text.
fn side_routes(step: &Step, index: usize, engine: &str) -> Vec<Route> {
    let routes = step.played_on(engine).into_iter().filter_map(|(block, content)| match content {
        Block::Also(_) => Some(Route { step: index, kind: RouteKind::Also, block }),
        Block::Wrong(_) => Some(Route { step: index, kind: RouteKind::Wrong, block }),
        _ => None,
    });
    routes.collect()
}

/// Plays one block with the values that blocks before it have captured.
async fn run(commands: &Commands, evaluator: &Evaluator, player: &mut dyn Player) -> Result<Played, PlayError> {
    let played = player.run(&evaluator.captured.fill(commands)).await?;
    evaluator.captured.keep(commands, &played.output);
    Ok(played)
}

/// Evaluates until `enough` or until nothing changes any more.
async fn settle(
    step: &Step,
    evaluator: &Evaluator,
    player: &mut dyn Player,
    enough: impl Fn(&StepReport) -> bool,
) -> Result<StepReport, PlayError> {
    loop {
        let report = evaluator.evaluate(step, player.workspace().as_ref()).await;
        if enough(&report) || !player.wait_for_change().await {
            return Ok(report);
        }
    }
}
