//! Compares expectations with what is there, and explains the difference.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Mutex, PoisonError},
};

use docklab_api::models::EventMessage;
use serde::{Deserialize, Serialize};

use crate::{
    capture::Captured,
    check::{Check, Expectation, NumberRange},
    document::Step,
    facts::{self, Subject},
    workspace::Workspace,
};

/// Evaluates checks. It remembers the commands it runs inside containers, so that the events these cause are not
/// taken for the student's doing.
#[derive(Debug, Default)]
pub struct Evaluator {
    own: OwnExecs,
    pub(crate) captured: Captured,
}

#[derive(Debug, Default)]
pub(crate) struct OwnExecs(Mutex<BTreeSet<String>>);

impl OwnExecs {
    pub(crate) fn remember(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
    }
    fn contains(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}

/// How a step stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    pub step: String,
    pub passed: bool,
    pub expectations: Vec<ExpectationReport>,
    /// What to tell the student: the first known mistake that is seen.
    pub mistake: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectationReport {
    pub passed: bool,
    pub description: String,
    /// The objects that fit, as labels.
    pub found: Vec<String>,
    /// Of a failed expectation: the object that fits best, and where it differs.
    pub nearest: Option<Candidate>,
    /// What could not be looked at, and other reasons in words.
    pub trouble: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    pub label: String,
    pub differences: Vec<Difference>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    pub field: String,
    pub expected: String,
    pub actual: String,
}

impl Evaluator {
    pub fn new() -> Self {
        Self::default()
    }

    /// Evaluates every check of a step. A step without expectations is passed.
    pub async fn evaluate(&self, step: &Step, workspace: &dyn Workspace) -> StepReport {
        let mut report = StepReport { step: step.slug.clone(), passed: true, expectations: Vec::new(), mistake: None };
        for check in step.checks() {
            let part = self.evaluate_check(&step.slug, check, workspace).await;
            report.passed &= part.passed;
            report.expectations.extend(part.expectations);
            report.mistake = report.mistake.or(part.mistake);
        }
        report
    }

    /// Evaluates one check. Mistakes are looked for only when it is red.
    pub async fn evaluate_check(&self, step: &str, check: &Check, workspace: &dyn Workspace) -> StepReport {
        let mut expectations = Vec::new();
        for expectation in &check.expectations {
            expectations.push(self.evaluate_expectation(expectation, workspace).await);
        }
        let passed = expectations.iter().all(|expectation| expectation.passed);
        let mut mistake = None;
        if !passed {
            for known in &check.mistakes {
                if self.holds(&known.when, workspace).await {
                    mistake = Some(known.say.clone());
                    break;
                }
            }
        }
        StepReport { step: step.to_owned(), passed, expectations, mistake }
    }

    /// True for an event that this evaluator's own commands caused.
    pub fn caused(&self, event: &EventMessage) -> bool {
        let attributes = event.actor.as_ref().and_then(|actor| actor.attributes.as_ref());
        attributes.and_then(|attributes| attributes.get("execID")).is_some_and(|id| self.own.contains(id))
    }

    async fn holds(&self, expectations: &[Expectation], workspace: &dyn Workspace) -> bool {
        for expectation in expectations {
            if !self.evaluate_expectation(expectation, workspace).await.passed {
                return false;
            }
        }
        true
    }

    async fn evaluate_expectation(&self, expectation: &Expectation, workspace: &dyn Workspace) -> ExpectationReport {
        let gathered = facts::gather(expectation, workspace, &self.own).await;
        let fitting: Vec<&Subject> = gathered.subjects.iter().filter(|subject| subject.fits(expectation)).collect();
        let wanted = expectation.count.unwrap_or(NumberRange { least: Some(1), most: None });
        let enough = wanted.contains(i64::try_from(fitting.len()).unwrap_or(i64::MAX));
        // "None of them" must not be proven by an engine that does not answer.
        let blind = expectation.count.is_some() && gathered.subjects.is_empty() && !gathered.trouble.is_empty();
        let passed = enough && !blind;
        let found: Vec<String> = fitting.iter().map(|subject| subject.label.clone()).collect();
        let mut trouble = if passed { Vec::new() } else { gathered.trouble };
        if !passed && expectation.count.is_some() && !blind {
            trouble.push(match found.len() {
                0 => "there is none".to_owned(),
                number => format!("found {number}: {}", found.join(", ")),
            });
        }
        let too_few = wanted.least.is_some_and(|least| i64::try_from(found.len()).is_ok_and(|found| found < least));
        let nearest = if passed || !too_few { None } else { nearest(expectation, &gathered.subjects) };
        if !passed && nearest.is_none() && trouble.is_empty() {
            trouble.push(amount(gathered.subjects.len(), expectation));
        }
        ExpectationReport { passed, description: expectation.describe(), found, nearest, trouble }
    }
}

fn amount(number: usize, expectation: &Expectation) -> String {
    let noun = expectation.kind.noun();
    match number {
        0 => format!("there is no {noun} at all"),
        1 => format!("there is 1 {noun}, unlike this one in everything"),
        _ => format!("there are {number} {noun}s, none of them like it in anything"),
    }
}

/// How much a field says about which object was meant.
fn weight(field: &str) -> usize {
    match field {
        "name" | "image" | "service" => 4,
        // Of one service's tasks, the slot says which.
        "slot" => 6,
        "command" => 3,
        "node" => 1,
        _ => 2,
    }
}

/// The subject that shares most with the expectation; the first (newest) of several. Nothing when nothing is shared.
fn nearest(expectation: &Expectation, subjects: &[Subject]) -> Option<Candidate> {
    let compared: Vec<_> = expectation.fields.iter().filter(|field| !expectation.kind.steers(&field.field)).collect();
    let mut best: Option<(usize, &Subject)> = None;
    for subject in subjects.iter().filter(|subject| !subject.fits(expectation)) {
        let score = compared
            .iter()
            .filter(|field| field.matcher.matches(subject.get(&field.field)))
            .map(|field| weight(&field.field))
            .sum();
        if best.is_none_or(|(most, _)| score > most) {
            best = Some((score, subject));
        }
    }
    let (score, subject) = best?;
    let only_one_observed = !expectation.kind.required().is_empty();
    if score == 0 && compared.len() > 1 && !only_one_observed {
        return None;
    }
    let differences = compared
        .iter()
        .filter(|field| !field.matcher.matches(subject.get(&field.field)))
        .map(|field| Difference {
            field: field.field.replace('_', " "),
            expected: field.matcher.to_string(),
            actual: subject.get(&field.field).to_string(),
        })
        .collect();
    Some(Candidate { label: subject.label.clone(), differences })
}

impl fmt::Display for StepReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, expectation) in self.expectations.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{expectation}")?;
        }
        if let Some(mistake) = &self.mistake {
            write!(formatter, "\n→ {mistake}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ExpectationReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.passed {
            return write!(formatter, "✓ {}", self.description);
        }
        write!(formatter, "✗ {}", self.description)?;
        if let Some(nearest) = &self.nearest {
            write!(formatter, "\n  nearest: {}", nearest.label)?;
            for difference in &nearest.differences {
                write!(
                    formatter,
                    "\n    {}: expected {}, found {}",
                    difference.field, difference.expected, difference.actual
                )?;
            }
        }
        for trouble in &self.trouble {
            write!(formatter, "\n  {trouble}")?;
        }
        Ok(())
    }
}
