//! `cargo xtask parity`: the same commands to our engine and to a real Docker, and what comes back compared.
//!
//! A transcript (tests/parity/NAME.txt) is a list of shell commands. What Docker answered is kept, normalised, in
//! NAME.expected, so that the comparison also runs where no Docker is. Every transcript is played to our engine twice:
//! through the real docker command line and through ours.

mod compare;
pub(crate) mod machine;
mod normalise;
mod transcript;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{progress, report::Outcome, setup};
use compare::{Comparison, Known};
use machine::{Client, Machine};
use transcript::{Answer, Transcript};

/// Plays transcripts. With `--record`, a real Docker's answers replace the kept ones first.
pub(crate) fn run(arguments: &[&str]) -> Result<bool> {
    let record = arguments.contains(&"--record");
    let named: Vec<PathBuf> =
        arguments.iter().filter(|argument| !argument.starts_with("--")).map(PathBuf::from).collect();
    let files = if named.is_empty() { transcripts()? } else { named };
    if !setup::is_root() {
        bail!("both engines need root. Type:  sudo -E cargo xtask parity");
    }
    let docklab = setup::build_docklab(false)?;
    let seed = setup::stand_ins(&docklab)?;
    if record {
        for file in &files {
            record_one(file, &docklab, &seed)?;
        }
    }
    let mut equal = true;
    for file in &files {
        for comparison in compare_one(file, &docklab, &seed)? {
            println!("{comparison}");
            equal &= comparison.unknown() == 0;
        }
    }
    Ok(equal)
}

/// The transcript whose scoreboard decides in CI: the commands and errors of the first lab. The others are shown.
const DECIDING: &str = "lab1";
/// Per cent of its steps that must be equal.
const BAR: usize = 95;

/// Compares all transcripts with what is on record, as one item of `cargo xtask test`.
pub(crate) fn recorded(docklab: &Path, seed: Option<&Path>) -> Result<Outcome> {
    if !setup::is_root() {
        return Ok(Outcome::skip("the engine needs root"));
    }
    let seed = seed.context("there are no images to play with")?;
    let mut outcome = Outcome::default();
    for file in transcripts()? {
        let decides = file.file_stem().is_some_and(|name| name == DECIDING);
        for comparison in compare_one(&file, docklab, seed)? {
            println!("  {}", comparison.to_string().lines().last().unwrap_or_default());
            let equal = comparison.steps() - comparison.unknown();
            outcome.passed += equal;
            // Below the bar every difference counts; above it they are shown, to be mended or listed.
            if decides && equal * 100 < comparison.steps() * BAR {
                outcome.failed += comparison.unknown();
            }
            outcome.details.push_str(&comparison.to_string());
        }
    }
    Ok(outcome)
}

fn transcripts() -> Result<Vec<PathBuf>> {
    let directory = progress::workspace_root().join("tests/parity");
    let mut files = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn record_one(file: &Path, docklab: &Path, seed: &Path) -> Result<()> {
    let transcript = Transcript::read(file)?;
    progress::step(&format!("{}: playing to a real Docker", file.display()));
    let machine = Machine::docker()?;
    machine.load(seed)?;
    let answers = transcript.play(&machine, &Client::real()?, docklab)?;
    let expected = file.with_extension("expected");
    fs::write(&expected, transcript::render(&answers)).with_context(|| format!("writing {}", expected.display()))
}

fn compare_one(file: &Path, docklab: &Path, seed: &Path) -> Result<Vec<Comparison>> {
    let transcript = Transcript::read(file)?;
    let expected = transcript::parse_answers(&read(&file.with_extension("expected"))?);
    let known = Known::read(&progress::workspace_root().join("tests/parity/known.toml"))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut comparisons = Vec::new();
    for client in [Client::real()?, Client::ours(docklab)] {
        progress::step(&format!("{name}: playing to our engine through {}", client.name));
        let machine = Machine::docklab(docklab)?;
        machine.load(seed)?;
        let answers: Vec<Answer> = transcript.play(&machine, &client, docklab)?;
        comparisons.push(Comparison::of(&name, client.name, &expected, &answers, &known));
    }
    Ok(comparisons)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("reading {}; `--record` writes it", file.display()))
}
