//! What each kind of route has to show.

use super::{PlayError, Played, Player, Route, play_before, play_solution, play_step, run, settle};
use crate::{
    document::{Block, Commands, Mode, Scenario, Step},
    evaluate::Evaluator,
    facts::state,
    mutants::{Mutant, only_reads},
    output::match_output,
    report::{Problem, ProblemKind, RouteKind, RouteReport},
};

fn problem(kind: ProblemKind, text: String) -> Problem {
    Problem { kind, text }
}

/// Red before, green after, and every output as written.
pub(super) async fn reference(
    step: &Step,
    evaluator: &Evaluator,
    player: &mut dyn Player,
) -> Result<RouteReport, PlayError> {
    let mut problems = Vec::new();
    let workspace = player.workspace();
    for check in step.checks().filter(|check| !check.expectations.is_empty()) {
        let before = evaluator.evaluate_check(&step.slug, check, workspace.as_ref()).await;
        if before.passed {
            problems.push(problem(ProblemKind::FalseGreen, format!("green before anything was done:\n{before}")));
        }
    }
    let mut first_line = None;
    let mut printed: Option<(&Commands, Played)> = None;
    let engine = player.engine().to_owned();
    for (_, block) in step.played_on(&engine) {
        match block {
            Block::Run(commands) => {
                first_line.get_or_insert_with(|| first_line_of(commands));
                printed = Some((commands, run(commands, evaluator, player).await?));
            }
            Block::Output { text } => {
                if let Some((commands, played)) = printed.take() {
                    let played = again_until(text, commands, played, evaluator, player).await?;
                    compare(text, &played, &mut problems);
                }
            }
            Block::File { path, node, content, .. } => player.save(node.as_deref(), path, content).await?,
            // An output below these belongs to them.
            Block::Also(_) | Block::Wrong(_) => printed = None,
            _ => {}
        }
    }
    let after = settle(step, evaluator, player, |report| report.passed).await?;
    if !after.passed {
        problems.push(problem(ProblemKind::FalseRed, format!("red after the reference solution:\n{after}")));
    }
    Ok(RouteReport {
        step: step.slug.clone(),
        kind: RouteKind::Reference,
        route: first_line.unwrap_or_default(),
        problems,
        is_harmless: false,
    })
}

/// Another right route turns the step green; a wrong one leaves it red, and a mistake explains it.
pub(super) async fn side(
    step: &Step,
    route: Route,
    evaluator: &Evaluator,
    player: &mut dyn Player,
) -> Result<RouteReport, PlayError> {
    let blocks = step.all_blocks();
    let mut problems = Vec::new();
    let mut line = String::new();
    let engine = player.engine().to_owned();
    // Files of the step that stand before the route are part of its ground.
    for (_, block) in step.played_on(&engine).into_iter().filter(|(index, _)| *index < route.block) {
        if let Block::File { path, node, content, .. } = block {
            player.save(node.as_deref(), path, content).await?;
        }
    }
    if let Some(Block::Also(commands) | Block::Wrong(commands)) = blocks.get(route.block) {
        line = first_line_of(commands);
        let played = run(commands, evaluator, player).await?;
        if let Some(Block::Output { text }) = blocks.get(route.block + 1) {
            compare(text, &played, &mut problems);
        }
    }
    if route.kind == RouteKind::Also {
        let report = settle(step, evaluator, player, |report| report.passed).await?;
        if !report.passed {
            problems.push(problem(ProblemKind::FalseRed, format!("red after another right route:\n{report}")));
        }
    } else {
        let knows_mistakes = step.checks().any(|check| !check.mistakes.is_empty());
        let report =
            settle(step, evaluator, player, |report| report.passed || (knows_mistakes && report.mistake.is_some()))
                .await?;
        if report.passed {
            problems.push(problem(ProblemKind::FalseGreen, format!("green after a wrong route:\n{report}")));
        } else if report.mistake.is_none() {
            let text = format!("no mistake's text explains this wrong route:\n{report}");
            problems.push(problem(ProblemKind::Unexplained, text));
        }
    }
    Ok(RouteReport { step: step.slug.clone(), kind: route.kind, route: line, problems, is_harmless: false })
}

/// A broken solution stays red, or leaves exactly what the right one does.
pub(super) async fn mutant(
    scenario: &Scenario,
    index: usize,
    mutant: &Mutant,
    evaluator: &Evaluator,
    player: &mut dyn Player,
) -> Result<RouteReport, PlayError> {
    let mut report = RouteReport {
        step: mutant.step.slug.clone(),
        kind: RouteKind::Mutant,
        route: format!("{}: {}", mutant.kind, mutant.description),
        problems: Vec::new(),
        is_harmless: false,
    };
    // Commands that do not come back are broken enough: nobody takes them for a solution.
    if play_solution(&mutant.step, evaluator, player).await.is_err() {
        return Ok(report);
    }
    // Green for a moment is not green: a container that is about to fail runs, too.
    rest(player).await;
    let step = &scenario.steps[index];
    let after = evaluator.evaluate(step, player.workspace().as_ref()).await;
    if !after.passed {
        return Ok(report);
    }
    let broken = state::state(scenario, mutant.file.as_deref(), player.workspace().as_ref()).await;
    let evaluator = Evaluator::new();
    player.reset().await?;
    play_before(scenario, index, &evaluator, player).await?;
    play_step(step, &evaluator, player).await?;
    rest(player).await;
    let right = state::state(scenario, mutant.file.as_deref(), player.workspace().as_ref()).await;
    if broken == right {
        report.is_harmless = true;
    } else {
        let text = format!(
            "green for a broken solution, which leaves something else (- right, + broken):\n{}",
            state::difference(&right, &broken).trim_end()
        );
        report.problems.push(problem(ProblemKind::FalseGreen, text));
    }
    Ok(report)
}

/// Waits until nothing is expected to change any more.
async fn rest(player: &mut dyn Player) {
    while player.wait_for_change().await {}
}

fn first_line_of(commands: &Commands) -> String {
    let line = commands.text.lines().next().unwrap_or("").to_owned();
    match commands.mode {
        Mode::Interrupt => format!("{line} (then Ctrl-C)"),
        _ => line,
    }
}

/// A server that has just been started may not listen yet, and a student would ask again. So are commands that only look.
async fn again_until(
    pattern: &str,
    commands: &Commands,
    mut played: Played,
    evaluator: &Evaluator,
    player: &mut dyn Player,
) -> Result<Played, PlayError> {
    const TIMES: usize = 6;
    for _ in 0..TIMES {
        let may_repeat = commands.mode == Mode::Wait && only_reads(&commands.text);
        if match_output(pattern, &played.output).is_ok() || !may_repeat || !player.wait_for_change().await {
            break;
        }
        played = run(commands, evaluator, player).await?;
    }
    Ok(played)
}

fn compare(pattern: &str, played: &Played, problems: &mut Vec<Problem>) {
    if let Err(mismatch) = match_output(pattern, &played.output) {
        let text = format!("printed something else (- wanted, + printed):\n{}", mismatch.diff.trim_end());
        problems.push(problem(ProblemKind::Output, text));
    }
}
