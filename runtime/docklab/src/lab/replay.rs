//! A student's commands, typed again into the simulator.

use anyhow::{Context as _, Result};
use docklab_scenario::{Commands, Evaluator, Mode, Player as _, Scenario, Span, Step, Submission, TypedCommand};

use super::sim::SimulatedPlayer;

/// Of each step that the student did, whether it turned green again.
pub(crate) type Outcomes = Vec<(String, std::result::Result<(), String>)>;

/// Replays a submission, step after step. A step that does not turn green is solved for the next one.
pub(crate) async fn replay(scenario: &Scenario, submission: &Submission) -> Result<Outcomes> {
    let (scenario, submission) = (scenario.clone(), submission.clone());
    tokio::task::spawn_blocking(move || play(&scenario, &submission)).await.context("replaying")?
}

fn play(scenario: &Scenario, submission: &Submission) -> Result<Outcomes> {
    let mut outcomes = Vec::new();
    let mut player = SimulatedPlayer::open(scenario, false)?;
    for (index, step) in scenario.steps.iter().enumerate() {
        let Some(way) = submission.progress.steps.get(&step.slug).filter(|way| way.done.is_some()) else { break };
        if way.skipped || !step.is_verifiable() {
            player.drive(async |player| solve(step, player).await)??;
            continue;
        }
        let outcome = player.drive(async |player| walk(step, submission, player).await);
        match outcome {
            Ok(Ok(None)) => outcomes.push((step.title.clone(), Ok(()))),
            Ok(Ok(Some(reason))) => {
                outcomes.push((step.title.clone(), Err(reason)));
                player.drive(async |player| solve(step, player).await)??;
            }
            // A command that the simulator cannot bring to its end: a fresh session, and the way up to here.
            Ok(Err(error)) => {
                outcomes.push((step.title.clone(), Err(error.to_string())));
                player.drive(async |player| catch_up(&scenario.steps[..=index], player).await)??;
            }
            Err(error) => return Err(error),
        }
    }
    player.close();
    Ok(outcomes)
}

type PlayResult<T> = std::result::Result<T, docklab_scenario::PlayError>;

async fn solve(step: &Step, player: &mut SimulatedPlayer) -> PlayResult<()> {
    docklab_scenario::play_step(step, &Evaluator::new(), player).await.map(|_| ())
}

async fn catch_up(steps: &[Step], player: &mut SimulatedPlayer) -> PlayResult<()> {
    player.reset().await?;
    let evaluator = Evaluator::new();
    for step in steps {
        docklab_scenario::play_step(step, &evaluator, player).await?;
    }
    Ok(())
}

/// Types a step's commands. `None` when it turns green, else what is missing.
async fn walk(step: &Step, submission: &Submission, player: &mut SimulatedPlayer) -> PlayResult<Option<String>> {
    for file in submission.files.get(&step.slug).into_iter().flatten() {
        player.save(Some(&file.node), &file.path, &file.content).await?;
    }
    let typed: Vec<&TypedCommand> = submission.commands.iter().filter(|command| command.step == step.slug).collect();
    for command in &typed {
        player.run(&commands(command, &submission.commands)).await?;
    }
    let evaluator = Evaluator::new();
    loop {
        let report = evaluator.evaluate(step, player.workspace().as_ref()).await;
        if report.passed {
            return Ok(None);
        }
        if !player.wait_for_change().await {
            let typed = if typed.is_empty() {
                "no command was recorded in the lab's shell\n".to_owned()
            } else {
                String::new()
            };
            return Ok(Some(format!("{typed}{report}")));
        }
    }
}

/// How a command is typed again: as it lived in its terminal.
fn commands(typed: &TypedCommand, all: &[TypedCommand]) -> Commands {
    let begun_meanwhile = |ended: u64| all.iter().any(|other| other.at > typed.at && other.at < ended);
    let mode = if typed.interrupted {
        Mode::Interrupt
    } else if !typed.inner.is_empty() {
        Mode::Interactive
    } else if typed.ended.is_none_or(begun_meanwhile) {
        Mode::Keep
    } else {
        Mode::Wait
    };
    let mut text = typed.line.clone();
    if mode == Mode::Interactive {
        for line in &typed.inner {
            text.push('\n');
            text.push_str(line);
        }
    }
    Commands { node: Some(typed.node.clone()), mode, text: text + "\n", capture: None, span: Span::new(0, 0) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use docklab_scenario::{Progress, SavedFile, Submission, TypedCommand, parse};

    use super::replay;

    const LAB: &str = "+++\nid = \"a\"\ntitle = \"A\"\n+++\n\n## One\n\n```sh run keep\ndocker run -t ubuntu top\n```\n\n```check\n[[container]]\nimage = \"ubuntu\"\nstate = \"running\"\n```\n\n## Two\n\n```sh run\ndocker exec $(docker ps -q) touch /x\n```\n\n```check\n[[container]]\nchanged = \"/x\"\n\n[[file]]\npath = \"a.txt\"\ncontent = \"hello*\"\n```\n";

    fn typed(step: &str, at: u64, line: &str) -> TypedCommand {
        TypedCommand {
            step: step.to_owned(),
            node: "node1".to_owned(),
            at,
            line: line.to_owned(),
            ended: Some(at),
            ..TypedCommand::default()
        }
    }

    fn submission(commands: Vec<TypedCommand>) -> Submission {
        let mut progress = Progress::new("a");
        progress.complete("one", false, 10);
        progress.complete("two", false, 20);
        let file = SavedFile { node: "node1".to_owned(), path: "a.txt".to_owned(), content: "hello\n".to_owned() };
        let files = BTreeMap::from([("two".to_owned(), vec![file])]);
        Submission { commands, progress, files, ..Submission::default() }
    }

    #[tokio::test]
    async fn what_was_typed_turns_the_steps_green_again() {
        let scenario = parse("a.md", LAB).scenario;
        let top = TypedCommand { ended: None, ..typed("one", 1, "docker run -t ubuntu top") };
        let exec = TypedCommand {
            inner: vec!["touch /x".to_owned(), "exit".to_owned()],
            ..typed("two", 12, "docker exec -it $(docker ps -q) bash")
        };
        let outcomes = replay(&scenario, &submission(vec![top, exec])).await.unwrap();
        assert!(outcomes.iter().all(|(_, outcome)| outcome.is_ok()) && outcomes.len() == 2, "{outcomes:?}");
    }

    #[tokio::test]
    async fn a_command_without_an_end_holds_nothing_up() {
        let scenario = parse("a.md", LAB).scenario;
        let outcomes = replay(&scenario, &submission(vec![typed("one", 1, "docker run -t ubuntu top")])).await.unwrap();
        assert!(outcomes[0].1.as_ref().is_err_and(|reason| reason.contains("did not end")), "{outcomes:?}");
    }

    #[tokio::test]
    async fn what_was_not_done_is_told_and_the_next_step_still_replayed() {
        let scenario = parse("a.md", LAB).scenario;
        let exec = typed("two", 12, "docker exec $(docker ps -q) touch /x");
        let outcomes = replay(&scenario, &submission(vec![exec])).await.unwrap();
        assert!(outcomes[0].1.as_ref().is_err_and(|reason| reason.contains("no command was recorded")), "{outcomes:?}");
        assert!(outcomes[1].1.is_ok(), "{outcomes:?}");
    }
}
