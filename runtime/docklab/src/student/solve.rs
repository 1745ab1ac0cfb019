//! Steps that are played for the student: `skip` and `reset`.

use anyhow::{Context as _, Result, bail};
use clap::Args;
use docklab_scenario::{Block, Evaluator, Step};

use super::{Opened, belongings::Objects, show};
use crate::lab::{EngineKind, NativePlayer};

/// Let the current step's solution be played, and go on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  docklab skip")]
pub(crate) struct SkipArguments {
    /// Play it even if it removes what is not the lab's (`docker system prune` on your own Docker).
    #[arg(long)]
    force: bool,
}

/// Clear up what the lab has made, and play every step before this one again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  docklab reset 3                   as if you came to the third step for the first time
  docklab reset run-a-web-server
  docklab reset 1                   from the beginning

On docklab's own engine everything in the session goes, on your own Docker only what the lab's commands have created.")]
pub(crate) struct ResetArguments {
    /// A step's number, or its name in lower case with hyphens.
    step: String,
    /// Play solutions even if they remove what is not the lab's.
    #[arg(long)]
    force: bool,
}

/// Refuses to play what reaches beyond the lab on an engine that is not ours.
fn refuse_prune(lab: &Opened, step: &Step, force: bool) -> Result<()> {
    if lab.state.engine != EngineKind::Docker || force {
        return Ok(());
    }
    let pruned = step.played_on(lab.engine_name()).into_iter().find_map(|(_, block)| match block {
        Block::Run(commands) => commands.text.lines().find(|line| line.contains(" prune")).map(str::to_owned),
        _ => None,
    });
    match pruned {
        Some(line) => bail!(
            "the solution of “{}” contains `{}`, which removes everything unused on your Docker, not only what is the lab's. Type it yourself, or --force",
            step.title,
            line.trim()
        ),
        None => Ok(()),
    }
}

pub(crate) async fn skip(arguments: SkipArguments) -> Result<i32> {
    let mut lab = Opened::open().await?;
    let Some((_, step)) = lab.state.current_step(&lab.scenario) else {
        show::onwards(&lab);
        return Ok(0);
    };
    let step = step.clone();
    refuse_prune(&lab, &step, arguments.force)?;
    play(&lab, std::slice::from_ref(&step)).await?;
    lab.complete(&step, true).await?;
    println!("{}", lab.paint.good(&format!("✓ {} (skipped)", step.title)));
    match lab.state.current_step(&lab.scenario) {
        Some((_, next)) => show::task(&lab, next),
        None => show::onwards(&lab),
    }
    Ok(0)
}

/// Plays steps in shells of their own, beside the student's.
async fn play(lab: &Opened, steps: &[Step]) -> Result<()> {
    let mut player =
        NativePlayer::new(lab.engine_name(), lab.session.clone(), &lab.scenario.meta.images, false).await?;
    player.leave_running();
    let evaluator = Evaluator::new();
    for step in steps {
        let report = docklab_scenario::play_step(step, &evaluator, &mut player)
            .await
            .with_context(|| format!("playing “{}”", step.title))?;
        if !report.passed {
            let number = lab.scenario.steps.iter().position(|other| other.slug == step.slug).unwrap_or(0) + 1;
            bail!(
                "the solution of “{}” did not turn it green:\n{report}\n\nSomething else may be in its way: `docklab reset {number}` clears up and comes back to this step.",
                step.title
            );
        }
    }
    Ok(())
}

pub(crate) async fn reset(arguments: ResetArguments) -> Result<i32> {
    let mut lab = Opened::open().await?;
    let steps = lab.scenario.steps.clone();
    let wanted = arguments.step.trim();
    let found = match wanted.parse::<usize>() {
        Ok(number) => number.checked_sub(1).filter(|index| *index < steps.len()),
        Err(_) => steps.iter().position(|step| step.slug == wanted),
    };
    let Some(index) = found else {
        let known: Vec<String> =
            steps.iter().enumerate().map(|(index, step)| format!("  {}  {}", index + 1, step.slug)).collect();
        bail!("there is no step `{wanted}`; there are:\n{}", known.join("\n"));
    };
    for step in &steps[..index] {
        refuse_prune(&lab, step, arguments.force)?;
    }
    clear(&lab).await?;
    play(&lab, &steps[..index]).await?;
    for step in &steps[index..] {
        lab.state.progress.steps.remove(&step.slug);
        lab.state.files.remove(&step.slug);
    }
    let now = super::now();
    for step in &steps[..index] {
        // Steps that the student has not done himself were played for him.
        lab.state.progress.complete(&step.slug, true, now);
    }
    lab.state.progress.begin(&steps[index].slug, now);
    lab.save()?;
    show::task(&lab, &steps[index]);
    Ok(0)
}

/// Removes what the lab has made, and the lab's own files.
async fn clear(lab: &Opened) -> Result<()> {
    let belongings = lab.scenario.belongings();
    let nothing = Vec::new();
    for node in lab.session.nodes()? {
        let client = node.client();
        let held = lab.state.held.get(&node.name).unwrap_or(&nothing);
        if lab.state.engine == EngineKind::Docklab {
            // The session is the lab's alone.
            crate::session::clear(&client, &crate::session::Held::default()).await?;
        }
        Objects::of(&client).await?.of_lab(&belongings, held).remove(&client).await?;
        for step in &lab.scenario.steps {
            for block in step.all_blocks() {
                if let Block::File { path, .. } = block {
                    std::fs::remove_file(node.workspace().join(path)).ok();
                }
            }
        }
    }
    Ok(())
}
