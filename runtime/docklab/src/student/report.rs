//! `docklab report`: what a student hands in.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use docklab_scenario::{SUBMISSION_FORMAT, Submission};

use super::{Opened, identity};

/// Write what was done in a lab into one signed file.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  docklab report --name \"Ada L.\"               writes <lab>.docklab.json
  docklab report --output - | less              see first what it contains

The file holds the steps with their times, the commands of the lab's shell with what was typed into them, and the lab's
files. Passwords that a terminal hides are not in it.")]
pub(crate) struct ReportArguments {
    /// How your instructor knows you.
    #[arg(long, env = "USER")]
    name: String,
    /// The file to write; `-` is standard output.
    #[arg(short, long)]
    output: Option<PathBuf>,
}

pub(crate) async fn report(arguments: ReportArguments) -> Result<i32> {
    let lab = Opened::open().await?;
    let submission = Submission {
        format: SUBMISSION_FORMAT.to_owned(),
        student: arguments.name,
        lab: lab.scenario.meta.id.clone(),
        lab_digest: digest(&lab.state.file)?,
        engine: lab.engine_name().to_owned(),
        variables: lab.state.variables.clone(),
        progress: lab.state.progress.clone(),
        commands: lab.place.commands()?,
        files: lab.state.files.clone(),
    };
    let signed = identity::sign(submission, &crate::console::home())?;
    let text = serde_json::to_string_pretty(&signed)?;
    let file = arguments.output.unwrap_or_else(|| format!("{}.docklab.json", lab.scenario.meta.id).into());
    if file.as_os_str() == "-" {
        println!("{text}");
    } else {
        std::fs::write(&file, text + "\n").with_context(|| format!("writing {}", file.display()))?;
        println!("{} is written. `docklab grade` reads it.", file.display());
    }
    Ok(0)
}

/// SHA-256 of a file, in hexadecimal digits.
pub(super) fn digest(file: &std::path::Path) -> Result<String> {
    use sha2::Digest as _;
    let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(hex::encode(sha2::Sha256::digest(text)))
}
