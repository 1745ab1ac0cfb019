//! Faults of lab files.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;

use super::files::report_faults;

/// Report every fault of lab files, with its place.
#[derive(Debug, Args)]
pub(crate) struct LintArguments {
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print the faults as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn lint(arguments: &LintArguments) -> Result<i32> {
    let mut clean = true;
    let mut found = Vec::new();
    for file in &arguments.files {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let name = file.display().to_string();
        let diagnostics = docklab_scenario::lint(&name, &text);
        clean &= diagnostics.is_empty();
        if !arguments.json {
            report_faults(&diagnostics);
        }
        found.extend(diagnostics.0);
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    }
    Ok(i32::from(!clean))
}

pub(crate) fn schema() -> Result<i32> {
    println!("{}", serde_json::to_string_pretty(&docklab_scenario::json_schema())?);
    Ok(0)
}
