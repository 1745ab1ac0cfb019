//! What playing a scenario has shown.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

/// What a route through a step is there to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteKind {
    /// The step's own solution: red before it, green after.
    Reference,
    /// Another right solution: green.
    Also,
    /// A wrong one: red, and a mistake's text explains it.
    Wrong,
    /// The solution, broken in one place: red.
    Mutant,
}

impl fmt::Display for RouteKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Reference => "reference",
            Self::Also => "also",
            Self::Wrong => "wrong",
            Self::Mutant => "mutant",
        })
    }
}

/// What a route has shown to be wrong with the scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// A check was green for a solution that is none, or before anything was done.
    FalseGreen,
    /// A check was red for a right solution.
    FalseRed,
    /// The commands printed something else than the output block says.
    Output,
    /// No mistake explains a wrong route.
    Unexplained,
}

impl ProblemKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::FalseGreen => "false-green",
            Self::FalseRed => "false-red",
            Self::Output => "output",
            Self::Unexplained => "unexplained",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub kind: ProblemKind,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteReport {
    pub step: String,
    pub kind: RouteKind,
    /// First line of the route's commands; of a mutant, what was changed.
    pub route: String,
    pub problems: Vec<Problem>,
    /// Of a mutant: it left everything as the right solution does, so that no check can tell and none needs to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_harmless: bool,
}

impl RouteReport {
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }
    pub(crate) fn has(&self, kind: ProblemKind) -> bool {
        self.problems.iter().any(|problem| problem.kind == kind)
    }
}

/// Everything that was played of one scenario on one engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestReport {
    pub scenario: String,
    pub engine: String,
    pub routes: Vec<RouteReport>,
}

/// Sums of a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub steps: usize,
    /// Right ones: reference and others.
    pub routes: usize,
    pub wrong_routes: usize,
    pub mutants: usize,
    /// Mutants that changed nothing.
    pub harmless: usize,
    pub false_green: usize,
    pub false_red: usize,
    /// Routes with any problem.
    pub failed: usize,
}

impl TestReport {
    pub fn passed(&self) -> bool {
        self.routes.iter().all(RouteReport::passed)
    }

    pub fn tally(&self) -> Tally {
        let of_kind = |kinds: &[RouteKind]| self.routes.iter().filter(|route| kinds.contains(&route.kind)).count();
        let having = |kind| self.routes.iter().filter(|route| route.has(kind)).count();
        let steps: BTreeSet<&str> = self.routes.iter().map(|route| route.step.as_str()).collect();
        Tally {
            steps: steps.len(),
            routes: of_kind(&[RouteKind::Reference, RouteKind::Also]),
            wrong_routes: of_kind(&[RouteKind::Wrong]),
            mutants: of_kind(&[RouteKind::Mutant]),
            harmless: self.routes.iter().filter(|route| route.is_harmless).count(),
            false_green: having(ProblemKind::FalseGreen),
            false_red: having(ProblemKind::FalseRed),
            failed: self.routes.iter().filter(|route| !route.passed()).count(),
        }
    }
}

/// One line a report, below a line of headings.
pub fn table(reports: &[TestReport]) -> String {
    let mut rows = vec![
        ["LAB", "ENGINE", "STEPS", "ROUTES", "WRONG", "MUTANTS", "HARMLESS", "FALSE GREEN", "FALSE RED", "FAILED"]
            .map(str::to_owned),
    ];
    rows.extend(reports.iter().map(|report| {
        let tally = report.tally();
        let counts = [
            tally.steps,
            tally.routes,
            tally.wrong_routes,
            tally.mutants,
            tally.harmless,
            tally.false_green,
            tally.false_red,
            tally.failed,
        ];
        let mut row = [const { String::new() }; 10];
        row[0].clone_from(&report.scenario);
        row[1].clone_from(&report.engine);
        for (cell, count) in row[2..].iter_mut().zip(counts) {
            *cell = count.to_string();
        }
        row
    }));
    let widths: Vec<usize> =
        (0..10).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                let width = *width;
                if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

impl fmt::Display for TestReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{} on {}", self.scenario, self.engine)?;
        for route in &self.routes {
            // A mutant that was caught is nothing to read about.
            if route.kind == RouteKind::Mutant && route.passed() {
                continue;
            }
            let mark = if route.passed() { "✓" } else { "✗" };
            writeln!(formatter, "{mark} {} · {} · {}", route.step, route.kind, route.route)?;
            for line in route.problems.iter().flat_map(|problem| problem.text.lines()) {
                writeln!(formatter, "    {line}")?;
            }
        }
        let tally = self.tally();
        let played = self.routes.len() - tally.mutants;
        let failed = self.routes.iter().filter(|route| route.kind != RouteKind::Mutant && !route.passed()).count();
        write!(formatter, "{} routes passed, {failed} failed", played - failed)?;
        if tally.mutants > 0 {
            let survived = tally.failed - failed;
            let caught = tally.mutants - survived - tally.harmless;
            write!(formatter, "; {caught} mutants caught, {survived} not, {} harmless", tally.harmless)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_a_report() {
        let route = |kind, problem: Option<ProblemKind>, is_harmless| RouteReport {
            step: "a".to_owned(),
            kind,
            route: "docker run x".to_owned(),
            problems: problem.into_iter().map(|kind| Problem { kind, text: "t".to_owned() }).collect(),
            is_harmless,
        };
        let report = TestReport {
            scenario: "lab".to_owned(),
            engine: "sim".to_owned(),
            routes: vec![
                route(RouteKind::Reference, Some(ProblemKind::FalseRed), false),
                route(RouteKind::Wrong, None, false),
                route(RouteKind::Mutant, Some(ProblemKind::FalseGreen), false),
                route(RouteKind::Mutant, None, true),
            ],
        };
        insta::assert_snapshot!(table(&[report]), @r#"
        LAB  ENGINE  STEPS  ROUTES  WRONG  MUTANTS  HARMLESS  FALSE GREEN  FALSE RED  FAILED
        lab  sim         1       1      1        2         1            1          1       2
        "#);
    }
}
