//! Results of many tests of many kinds, added up.

use std::time::Duration;

/// What one named item of a run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Why each skipped test was skipped.
    pub(crate) skipped: Vec<String>,
    /// What the item printed, shown when something failed.
    pub(crate) details: String,
}

impl Outcome {
    pub(crate) fn of(succeeded: bool, details: impl Into<String>) -> Self {
        Self {
            passed: usize::from(succeeded),
            failed: usize::from(!succeeded),
            details: details.into(),
            ..Self::default()
        }
    }

    pub(crate) fn skip(reason: impl Into<String>) -> Self {
        Self { skipped: vec![reason.into()], ..Self::default() }
    }

    /// Reads the sums that cargo prints for each test binary. A build that failed prints none and counts as one
    /// failure.
    pub(crate) fn of_cargo_test(succeeded: bool, output: String) -> Self {
        let mut outcome = Self::default();
        for line in output.lines() {
            if let Some(sums) = line.trim().strip_prefix("test result: ") {
                outcome.passed += number_before(sums, " passed");
                outcome.failed += number_before(sums, " failed");
            } else if let Some(test) = line.trim().strip_prefix("test ")
                && let Some((name, reason)) = test.split_once(" ... ignored")
            {
                outcome.skipped.push(format!("{name}: {}", reason.trim_start_matches(", ")));
            }
        }
        if !succeeded && outcome.failed == 0 {
            outcome.failed = 1;
        }
        outcome.details = output;
        outcome
    }
}

/// `ok. 12 passed; 0 failed; …`
fn number_before(text: &str, word: &str) -> usize {
    let Some(end) = text.find(word) else { return 0 };
    let start = text[..end].rfind(|character: char| !character.is_ascii_digit()).map_or(0, |index| index + 1);
    text[start..end].parse().unwrap_or(0)
}

/// A whole run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    items: Vec<(String, Outcome, Duration)>,
}

impl Report {
    pub(crate) fn add(&mut self, name: &str, outcome: Outcome, took: Duration) {
        let mark = if outcome.failed > 0 {
            "FAILED"
        } else if outcome.passed == 0 {
            "skipped"
        } else {
            "ok"
        };
        eprintln!("  {mark:<8}{name} ({}, {:.1} s)", counts(&outcome), took.as_secs_f64());
        if outcome.failed > 0 {
            eprintln!("{}", outcome.details.trim_end());
        }
        self.items.push((name.to_owned(), outcome, took));
    }

    /// The end of the run: what failed, why something was skipped, and one line of sums.
    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        for (name, outcome, _) in &self.items {
            if outcome.failed > 0 {
                text.push_str(&format!("failed: {name} ({} of {})\n", outcome.failed, outcome.failed + outcome.passed));
            }
            for reason in &outcome.skipped {
                text.push_str(&format!("skipped: {name}: {reason}\n"));
            }
        }
        let (passed, failed, skipped) = self.sums();
        text.push_str(&format!("{passed} passed, {failed} failed, {skipped} skipped"));
        text
    }

    pub(crate) fn sums(&self) -> (usize, usize, usize) {
        self.items.iter().fold((0, 0, 0), |(passed, failed, skipped), (_, outcome, _)| {
            (passed + outcome.passed, failed + outcome.failed, skipped + outcome.skipped.len())
        })
    }
}

fn counts(outcome: &Outcome) -> String {
    match outcome.skipped.len() {
        0 => format!("{} passed", outcome.passed),
        skipped => format!("{} passed, {skipped} skipped", outcome.passed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
test a ... ok
test b ... ignored, needs a floppy drive
test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
";

    #[test]
    fn sums_of_all_test_binaries_are_added() {
        let outcome = Outcome::of_cargo_test(false, OUTPUT.to_owned());
        assert_eq!((outcome.passed, outcome.failed), (15, 2));
        assert_eq!(outcome.skipped, ["b: needs a floppy drive"]);
    }

    #[test]
    fn a_build_that_fails_is_a_failure() {
        assert_eq!(Outcome::of_cargo_test(false, "error: no such crate".to_owned()).failed, 1);
    }

    #[test]
    fn the_last_line_has_the_sums() {
        let mut report = Report::default();
        report.add("units", Outcome::of_cargo_test(true, OUTPUT.to_owned()), Duration::ZERO);
        report.add("browser", Outcome::skip("chromium is missing"), Duration::ZERO);
        let summary = report.summary();
        assert!(summary.ends_with("15 passed, 2 failed, 2 skipped"), "{summary}");
        assert!(summary.contains("skipped: browser: chromium is missing"), "{summary}");
    }
}
