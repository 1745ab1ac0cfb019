//! What a student reads in the terminal.

use anyhow::Result;
use clap::Args;
use docklab_scenario::{Block, Step, StepReport, plain};

use super::Opened;

/// Tell which steps of the lab are done.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  docklab status\n  docklab status --json")]
pub(crate) struct StatusArguments {
    /// Print the progress as JSON.
    #[arg(long)]
    json: bool,
}

/// Columns for prose: a terminal's, at most 100.
pub(super) fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok().map(|size| usize::from(size.ws_col));
    size.filter(|columns| *columns > 0).unwrap_or(80).min(100)
}

/// A step's text with its commands.
pub(super) fn task(lab: &Opened, step: &Step) {
    let number = lab.scenario.steps.iter().position(|other| other.slug == step.slug).unwrap_or(0) + 1;
    println!("\n{}\n", lab.paint.bold(&format!("{number}. {}", step.title)));
    write_blocks(lab, &step.blocks);
    if step.is_verifiable() {
        println!("{}", lab.paint.faint("docklab check · hint · why · skip · status"));
    }
}

fn write_blocks(lab: &Opened, blocks: &[Block]) {
    let paint = lab.paint;
    let several_nodes = lab.scenario.meta.nodes.len() > 1;
    for block in blocks {
        match block {
            Block::Prose { html } => {
                let text = plain(html, width());
                if !text.is_empty() {
                    println!("{text}");
                }
            }
            Block::Run(commands) => {
                let prompt = match &commands.node {
                    Some(node) if several_nodes => format!("{node}$ "),
                    _ => "$ ".to_owned(),
                };
                for line in commands.text.lines() {
                    println!("    {}{}", paint.faint(&prompt), paint.notice(line));
                }
                println!();
            }
            Block::Output { text } => {
                for line in text.lines() {
                    let line = if line.trim() == "..." { "⋮".to_owned() } else { line.replace("[..]", "…") };
                    println!("    {}", paint.faint(&line));
                }
                println!();
            }
            Block::Code { text, .. } => {
                for line in text.lines() {
                    println!("    {}", paint.faint(line));
                }
                println!();
            }
            Block::File { path, content, .. } => {
                println!("    {}", paint.bold(path));
                for line in content.lines() {
                    println!("    │ {line}");
                }
                println!("    {}\n", paint.faint("docklab next --save writes it"));
            }
            Block::Quiz(quiz) => {
                println!("  {}", paint.bold(&quiz.question));
                for choice in &quiz.choices {
                    println!("    ○ {}", choice.text);
                }
                println!();
            }
            Block::Note { kind, title, blocks: inner } if kind.applies_to(lab.engine_name()) => {
                if !title.is_empty() {
                    println!("{}", paint.notice(title));
                }
                write_blocks(lab, inner);
            }
            Block::Check(_) | Block::Hint { .. } | Block::Also(_) | Block::Wrong(_) | Block::Note { .. } => {}
        }
    }
}

/// A step that is not done: its expectations, and the mistake if one is seen.
pub(super) fn red(lab: &Opened, step: &Step, report: &StepReport) {
    println!("{}", lab.paint.bold(&step.title));
    for expectation in &report.expectations {
        let line = format!("{} {}", if expectation.passed { "✓" } else { "✗" }, expectation.description);
        println!("{}", if expectation.passed { lab.paint.good(&line) } else { lab.paint.bad(&line) });
    }
    match &report.mistake {
        Some(mistake) => println!("{}", lab.paint.notice(&format!("→ {mistake}"))),
        None => println!("{}", lab.paint.faint("docklab why says what comes nearest; docklab hint helps")),
    }
}

/// Where nothing is to be checked.
pub(super) fn onwards(lab: &Opened) {
    match lab.state.current_step(&lab.scenario) {
        Some((_, step)) => println!("“{}” is only to be read. Go on with:  docklab next", step.title),
        None => {
            println!("{}", lab.paint.good(&format!("{}: all steps are done.", lab.scenario.meta.title)));
            println!("`docklab report` writes what you have done into a file for your instructor.");
        }
    }
}

pub(crate) async fn status(arguments: StatusArguments) -> Result<i32> {
    let lab = Opened::open().await?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&lab.state.progress)?);
        return Ok(0);
    }
    let current = lab.state.current_step(&lab.scenario).map(|(index, _)| index);
    let done = lab.scenario.steps.iter().filter(|step| lab.state.progress.is_done(&step.slug)).count();
    let head =
        format!("{}: {done} of {} steps, on {}", lab.scenario.meta.title, lab.scenario.steps.len(), lab.engine_name());
    println!("{}", lab.paint.bold(&head));
    for (index, step) in lab.scenario.steps.iter().enumerate() {
        let way = lab.state.progress.steps.get(&step.slug);
        let mut notes = Vec::new();
        if let Some(seconds) = lab.state.progress.duration(&step.slug) {
            notes.push(duration(seconds));
        }
        if let Some(way) = way {
            let counted = |number: u32, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
            if way.attempts > 0 {
                notes.push(counted(way.attempts, "attempt"));
            }
            if way.hints > 0 {
                notes.push(counted(way.hints, "hint"));
            }
            if way.skipped {
                notes.push("skipped".to_owned());
            }
        }
        let is_done = lab.state.progress.is_done(&step.slug);
        let mark = if is_done {
            "✓"
        } else if current == Some(index) {
            "→"
        } else {
            "·"
        };
        let line = format!("{mark} {}. {}", index + 1, step.title);
        let line = if is_done {
            lab.paint.good(&line)
        } else if current == Some(index) {
            lab.paint.bold(&line)
        } else {
            line
        };
        println!(
            "{line}{}",
            if notes.is_empty() { String::new() } else { lab.paint.faint(&format!("  {}", notes.join(", "))) }
        );
    }
    Ok(0)
}

fn duration(seconds: u64) -> String {
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) }
}
