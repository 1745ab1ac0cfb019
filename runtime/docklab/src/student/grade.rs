//! `docklab grade`: what was handed in, verified and walked again in the simulator.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use docklab_scenario::{SUBMISSION_FORMAT, Scenario, Submission};
use serde::Serialize;

use super::{
    identity::{Signed, is_genuine},
    report::digest,
};
use crate::lab::load;

/// Verify what students handed in, and replay their commands in the simulator.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  docklab grade handed-in/*.docklab.json
  docklab grade handed-in/*.docklab.json --csv > grades.csv
  docklab grade ada.docklab.json --details       which step did not turn green again, and why

SIGNATURE says whether a file was changed since it was written, and whether another student's file has the same key.
REPLAYED counts the steps that turn green again when the recorded commands are typed into the simulator.

Exit code: 0 when every file is genuine, 1 when one is not.")]
pub(crate) struct GradeArguments {
    /// Files that `docklab report` wrote.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Where the labs are.
    #[arg(long, value_name = "DIRECTORY", default_value = "labs")]
    labs: PathBuf,
    /// Print comma-separated values.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Tell of every step that did not turn green again.
    #[arg(long)]
    details: bool,
}

/// One line of the table.
#[derive(Debug, Default, Serialize)]
struct Grade {
    file: String,
    student: String,
    lab: String,
    engine: String,
    /// `ok`, or what is wrong.
    signature: String,
    steps: usize,
    done: usize,
    skipped: usize,
    attempts: u32,
    hints: u32,
    /// From the first step's beginning to the last one's end, in minutes.
    minutes: u64,
    /// Verifiable steps that the student did without skipping, and how many of them turned green again.
    to_replay: usize,
    replayed: usize,
    /// Of each step that did not, why.
    details: Vec<String>,
}

pub(crate) async fn grade(arguments: GradeArguments) -> Result<i32> {
    let labs = labs(&arguments.labs)?;
    let mut grades = Vec::new();
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in &arguments.files {
        let signed = read(file)?;
        keys.entry(signed.key.clone()).or_default().push(signed.submission.student.clone());
        grades.push((signed.key.clone(), graded(file, &signed, &labs).await));
    }
    for (key, grade) in &mut grades {
        let shared = keys.get(key).is_some_and(|students| students.iter().any(|student| *student != grade.student));
        if shared && grade.signature == "ok" {
            grade.signature = "shared key".to_owned();
        }
    }
    let grades: Vec<Grade> = grades.into_iter().map(|(_, grade)| grade).collect();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&grades)?);
    } else if arguments.csv {
        print!("{}", csv(&grades));
    } else {
        print!("{}", table(&grades));
        for grade in grades.iter().filter(|_| arguments.details) {
            for detail in &grade.details {
                println!("\n{} · {detail}", grade.student);
            }
        }
    }
    Ok(i32::from(grades.iter().any(|grade| grade.signature != "ok")))
}

fn read(file: &Path) -> Result<Signed> {
    let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let signed: Signed =
        serde_json::from_slice(&text).with_context(|| format!("{} is no file of `docklab report`", file.display()))?;
    if signed.submission.format != SUBMISSION_FORMAT {
        bail!(
            "{} has the format `{}`; this program reads {SUBMISSION_FORMAT}",
            file.display(),
            signed.submission.format
        );
    }
    Ok(signed)
}

/// Every lab of a directory, with its digest.
fn labs(directory: &Path) -> Result<Vec<(PathBuf, String, String)>> {
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("reading {}; --labs names the directory of the labs", directory.display()))?;
    let mut labs = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let id = docklab_scenario::parse("", &text).scenario.meta.id;
        labs.push((path.clone(), id, digest(&path)?));
    }
    // A translation has the id of its original; the digest decides, and otherwise the first one.
    labs.sort();
    Ok(labs)
}

async fn graded(file: &Path, signed: &Signed, labs: &[(PathBuf, String, String)]) -> Grade {
    let submission = &signed.submission;
    let mut grade = Grade {
        file: file.display().to_string(),
        student: submission.student.clone(),
        lab: submission.lab.clone(),
        engine: submission.engine.clone(),
        signature: if is_genuine(signed) { "ok".to_owned() } else { "CHANGED".to_owned() },
        ..Grade::default()
    };
    let steps = submission.progress.steps.values();
    grade.done = steps.clone().filter(|step| step.done.is_some()).count();
    grade.skipped = steps.clone().filter(|step| step.skipped).count();
    grade.attempts = steps.clone().map(|step| step.attempts).sum();
    grade.hints = steps.clone().map(|step| step.hints).sum();
    let begun = steps.clone().map(|step| step.begun).min();
    let ended = steps.filter_map(|step| step.done).max();
    grade.minutes = ended.zip(begun).map_or(0, |(ended, begun)| ended.saturating_sub(begun).div_ceil(60));
    let same = |known: &&(PathBuf, String, String)| known.1 == submission.lab;
    let exact = labs.iter().find(|known| known.2 == submission.lab_digest);
    let Some((path, _, known_digest)) = exact.or_else(|| labs.iter().find(same)) else {
        grade.details.push(format!("there is no lab `{}` to replay", submission.lab));
        return grade;
    };
    if *known_digest != submission.lab_digest {
        grade.details.push(format!("{} has changed since; the replay is of the new text", path.display()));
    }
    match load(path, &submission.variables) {
        Ok(scenario) => {
            grade.steps = scenario.steps.len();
            replay(&scenario, submission, &mut grade).await;
        }
        Err(error) => grade.details.push(format!("{error:#}")),
    }
    grade
}

async fn replay(scenario: &Scenario, submission: &Submission, grade: &mut Grade) {
    let outcomes = crate::lab::replay(scenario, submission).await;
    match outcomes {
        Ok(outcomes) => {
            grade.to_replay = outcomes.len();
            for (step, outcome) in outcomes {
                match outcome {
                    Ok(()) => grade.replayed += 1,
                    Err(reason) => grade.details.push(format!("{step}: {reason}")),
                }
            }
        }
        Err(error) => grade.details.push(format!("replaying: {error:#}")),
    }
}

fn cells(grade: &Grade) -> [String; 11] {
    [
        grade.student.clone(),
        grade.lab.clone(),
        grade.engine.clone(),
        grade.signature.clone(),
        grade.done.to_string(),
        grade.steps.to_string(),
        grade.skipped.to_string(),
        grade.attempts.to_string(),
        grade.hints.to_string(),
        grade.minutes.to_string(),
        format!("{}/{}", grade.replayed, grade.to_replay),
    ]
}

const HEADS: [&str; 11] =
    ["STUDENT", "LAB", "ENGINE", "SIGNATURE", "DONE", "STEPS", "SKIPPED", "ATTEMPTS", "HINTS", "MINUTES", "REPLAYED"];

fn table(grades: &[Grade]) -> String {
    let mut rows = vec![HEADS.map(str::to_owned)];
    rows.extend(grades.iter().map(cells));
    let widths: Vec<usize> =
        (0..HEADS.len()).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// RFC 4180.
fn csv(grades: &[Grade]) -> String {
    let quoted = |cell: &str| {
        // A spreadsheet takes what begins like this for a formula.
        let cell = if cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell.to_owned() };
        if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
    };
    let mut text = HEADS.map(str::to_lowercase).join(",") + "\r\n";
    for grade in grades {
        let cells: Vec<String> = cells(grade).iter().map(|cell| quoted(cell)).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Grade, csv};

    #[test]
    fn a_name_with_a_comma_is_one_cell_and_no_formula() {
        let grade = |student: &str| Grade { student: student.to_owned(), ..Grade::default() };
        let text = csv(&[grade("L., \"Ada\""), grade("=1+1")]);
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert!(lines[1].starts_with("\"L., \"\"Ada\"\"\",,"), "{text}");
        assert!(lines[2].starts_with("'=1+1,"), "{text}");
    }
}
