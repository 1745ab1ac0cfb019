//! Plays a scenario on real or simulated nodes and proves its checks: red before, green after.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    document::{Block, Commands, Mode, Scenario, Step},
    evaluate::{Evaluator, StepReport},
    output::match_output,
    workspace::Workspace,
};

/// Hands that type. Implemented for real nodes and for the simulator.
#[async_trait]
pub trait Player: Send {
    /// `docklab`, `sim` or `docker`: shown in reports.
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

/// What a route through a step is there to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteKind {
    Reference,
    Also,
    Wrong,
}

/// One route of one step: where it stands and which blocks of the step it plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub step: usize,
    pub kind: RouteKind,
    /// The index of its commands among [`Step::all_blocks`]; not used by the reference.
    pub block: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteReport {
    pub step: String,
    pub kind: RouteKind,
    /// First line of the route's commands.
    pub route: String,
    pub passed: bool,
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestReport {
    pub scenario: String,
    pub engine: String,
    pub routes: Vec<RouteReport>,
}

impl TestReport {
    pub fn passed(&self) -> bool {
        self.routes.iter().all(|route| route.passed)
    }
}

/// Every `also` and `wrong` route of a step, in the order of the text.
fn side_routes(step: &Step, index: usize) -> Vec<Route> {
    let blocks = step.all_blocks();
    let routes = blocks.iter().enumerate().filter_map(|(block, content)| match content {
        Block::Also(_) => Some(Route { step: index, kind: RouteKind::Also, block }),
        Block::Wrong(_) => Some(Route { step: index, kind: RouteKind::Wrong, block }),
        _ => None,
    });
    routes.collect()
}

/// Plays the whole scenario: first the reference solution from beginning to end, then each side route from a fresh
/// session in which only the steps before it have been played.
pub async fn test(scenario: &Scenario, player: &mut dyn Player) -> Result<TestReport, PlayError> {
    let evaluator = Evaluator::new();
    let mut routes = Vec::new();
    player.reset().await?;
    for step in &scenario.steps {
        routes.push(reference(step, &evaluator, player).await?);
    }
    for (index, step) in scenario.steps.iter().enumerate() {
        for route in side_routes(step, index) {
            player.reset().await?;
            for before in &scenario.steps[..index] {
                play_step(before, &evaluator, player).await?;
            }
            routes.push(side(step, route, &evaluator, player).await?);
        }
    }
    Ok(TestReport { scenario: scenario.meta.id.clone(), engine: player.engine().to_owned(), routes })
}

/// Plays a step's reference solution and waits until it is green: what "skip" does. Outputs are not compared.
pub async fn play_step(step: &Step, evaluator: &Evaluator, player: &mut dyn Player) -> Result<StepReport, PlayError> {
    for block in step.all_blocks() {
        match block {
            Block::Run(commands) => {
                run(commands, evaluator, player).await?;
            }
            Block::File { path, node, content, .. } => player.save(node.as_deref(), path, content).await?,
            _ => {}
        }
    }
    settle(step, evaluator, player, |report| report.passed).await
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

async fn reference(step: &Step, evaluator: &Evaluator, player: &mut dyn Player) -> Result<RouteReport, PlayError> {
    let mut problems = Vec::new();
    let workspace = player.workspace();
    for check in step.checks().filter(|check| !check.expectations.is_empty()) {
        let before = evaluator.evaluate_check(&step.slug, check, workspace.as_ref()).await;
        if before.passed {
            problems.push(format!("green before anything was done:\n{before}"));
        }
    }
    let mut first_line = None;
    let blocks = step.all_blocks();
    let mut printed: Option<Played> = None;
    for block in blocks {
        match block {
            Block::Run(commands) => {
                first_line.get_or_insert_with(|| first_line_of(commands));
                printed = Some(run(commands, evaluator, player).await?);
            }
            Block::Output { text } => compare(text, printed.take(), &mut problems),
            Block::File { path, node, content, .. } => player.save(node.as_deref(), path, content).await?,
            // An output below these belongs to them.
            Block::Also(_) | Block::Wrong(_) => printed = None,
            _ => {}
        }
    }
    let after = settle(step, evaluator, player, |report| report.passed).await?;
    if !after.passed {
        problems.push(format!("red after the reference solution:\n{after}"));
    }
    Ok(RouteReport {
        step: step.slug.clone(),
        kind: RouteKind::Reference,
        route: first_line.unwrap_or_default(),
        passed: problems.is_empty(),
        problems,
    })
}

async fn side(
    step: &Step,
    route: Route,
    evaluator: &Evaluator,
    player: &mut dyn Player,
) -> Result<RouteReport, PlayError> {
    let blocks = step.all_blocks();
    let mut problems = Vec::new();
    let mut line = String::new();
    // Files of the step that stand before the route are part of its ground.
    for block in &blocks[..route.block] {
        if let Block::File { path, node, content, .. } = block {
            player.save(node.as_deref(), path, content).await?;
        }
    }
    if let Some(Block::Also(commands) | Block::Wrong(commands)) = blocks.get(route.block) {
        line = first_line_of(commands);
        let played = run(commands, evaluator, player).await?;
        if let Some(Block::Output { text }) = blocks.get(route.block + 1) {
            compare(text, Some(played), &mut problems);
        }
    }
    if route.kind == RouteKind::Also {
        let report = settle(step, evaluator, player, |report| report.passed).await?;
        if !report.passed {
            problems.push(format!("red after another right route:\n{report}"));
        }
    } else {
        let knows_mistakes = step.checks().any(|check| !check.mistakes.is_empty());
        let report =
            settle(step, evaluator, player, |report| report.passed || (knows_mistakes && report.mistake.is_some()))
                .await?;
        if report.passed {
            problems.push(format!("green after a wrong route:\n{report}"));
        } else if report.mistake.is_none() {
            problems.push(format!("no mistake's text explains this wrong route:\n{report}"));
        }
    }
    Ok(RouteReport { step: step.slug.clone(), kind: route.kind, route: line, passed: problems.is_empty(), problems })
}

fn first_line_of(commands: &Commands) -> String {
    let line = commands.text.lines().next().unwrap_or("").to_owned();
    match commands.mode {
        Mode::Interrupt => format!("{line} (then Ctrl-C)"),
        _ => line,
    }
}

fn compare(pattern: &str, played: Option<Played>, problems: &mut Vec<String>) {
    let Some(played) = played else { return };
    if let Err(mismatch) = match_output(pattern, &played.output) {
        problems.push(format!("printed something else (- wanted, + printed):\n{}", mismatch.diff.trim_end()));
    }
}

impl fmt::Display for TestReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{} on {}", self.scenario, self.engine)?;
        for route in &self.routes {
            let kind = match route.kind {
                RouteKind::Reference => "reference",
                RouteKind::Also => "also",
                RouteKind::Wrong => "wrong",
            };
            let mark = if route.passed { "✓" } else { "✗" };
            writeln!(formatter, "{mark} {} · {kind} · {}", route.step, route.route)?;
            for problem in &route.problems {
                for line in problem.lines() {
                    writeln!(formatter, "    {line}")?;
                }
            }
        }
        let failed = self.routes.iter().filter(|route| !route.passed).count();
        write!(formatter, "{} routes passed, {failed} failed", self.routes.len() - failed)
    }
}
