//! What is equal, what differs, and which differences are known.

use std::{fmt, fs, path::Path};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::transcript::Answer;

/// tests/parity/known.toml.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Known {
    #[serde(default)]
    known: Vec<KnownDifference>,
}

/// A difference that is meant, or not yet mended.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownDifference {
    transcript: String,
    command: String,
    /// Only through this client; without it, through both.
    client: Option<String>,
    reason: String,
}

impl Known {
    pub(super) fn read(file: &Path) -> Result<Self> {
        if !file.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        toml::from_str(&text).with_context(|| format!("reading {}", file.display()))
    }

    fn reason(&self, transcript: &str, client: &str, command: &str) -> Option<&str> {
        let found = self.known.iter().find(|known| {
            known.transcript == transcript
                && known.command == command
                && known.client.as_deref().is_none_or(|only| only == client)
        });
        found.map(|known| known.reason.as_str())
    }
}

#[derive(Debug)]
struct Difference {
    command: String,
    lines: Vec<String>,
    reason: Option<String>,
}

/// One transcript through one client.
#[derive(Debug)]
pub(super) struct Comparison {
    transcript: String,
    client: &'static str,
    steps: usize,
    differences: Vec<Difference>,
}

impl Comparison {
    pub(super) fn of(
        transcript: &str,
        client: &'static str,
        expected: &[Answer],
        actual: &[Answer],
        known: &Known,
    ) -> Self {
        let mut differences = Vec::new();
        for (index, answer) in actual.iter().enumerate() {
            let lines = match expected.get(index) {
                Some(expected) if expected.command == answer.command => difference(expected, answer),
                _ => vec!["  not on record; `--record` plays the transcript to a real Docker again".to_owned()],
            };
            if !lines.is_empty() {
                let reason = known.reason(transcript, client, &answer.command).map(ToOwned::to_owned);
                differences.push(Difference { command: answer.command.clone(), lines, reason });
            }
        }
        Self { transcript: transcript.to_owned(), client, steps: actual.len(), differences }
    }

    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// Differences that nobody has explained.
    pub(super) fn unknown(&self) -> usize {
        self.differences.iter().filter(|difference| difference.reason.is_none()).count()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for difference in &self.differences {
            match &difference.reason {
                Some(reason) => writeln!(formatter, "$ {}\n  known: {reason}", difference.command)?,
                None => writeln!(formatter, "$ {}\n{}", difference.command, difference.lines.join("\n"))?,
            }
        }
        let equal = self.steps - self.differences.len();
        let known = self.differences.len() - self.unknown();
        writeln!(
            formatter,
            "{} through {}: {equal} / {} equal, {known} known differences, {} others",
            self.transcript,
            self.client,
            self.steps,
            self.unknown()
        )
    }
}

/// Lines with `-` are Docker's, lines with `+` ours.
fn difference(expected: &Answer, actual: &Answer) -> Vec<String> {
    let mut lines = Vec::new();
    for (stream, expected, actual) in
        [("stdout", &expected.stdout, &actual.stdout), ("stderr", &expected.stderr, &actual.stderr)]
    {
        if expected != actual {
            lines.push(format!("  {stream}:"));
            lines.extend(
                expected
                    .lines()
                    .filter(|line| !actual.lines().any(|other| other == *line))
                    .map(|line| format!("  - {line}")),
            );
            lines.extend(
                actual
                    .lines()
                    .filter(|line| !expected.lines().any(|other| other == *line))
                    .map(|line| format!("  + {line}")),
            );
        }
    }
    if expected.exit != actual.exit {
        lines.push(format!("  exit: - {} + {}", expected.exit, actual.exit));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(stdout: &str, exit: i32) -> Answer {
        Answer { command: "docker ps".to_owned(), stdout: stdout.to_owned(), stderr: String::new(), exit }
    }

    #[test]
    fn a_difference_names_both_sides() {
        let comparison =
            Comparison::of("lab1", "docker", &[answer("a\nb\n", 0)], &[answer("a\nc\n", 1)], &Known::default());
        assert_eq!(comparison.unknown(), 1);
        let text = comparison.to_string();
        assert!(text.contains("  - b\n  + c\n  exit: - 0 + 1"), "{text}");
        assert!(text.contains("0 / 1 equal"), "{text}");
    }

    #[test]
    fn a_known_difference_counts_apart() {
        let known: Known =
            toml::from_str("[[known]]\ntranscript = \"lab1\"\ncommand = \"docker ps\"\nreason = \"it is meant\"\n")
                .expect("valid TOML");
        let comparison = Comparison::of("lab1", "docker", &[answer("a\n", 0)], &[answer("b\n", 0)], &known);
        assert_eq!(comparison.unknown(), 0);
        assert!(comparison.to_string().contains("it is meant"));
    }
}
