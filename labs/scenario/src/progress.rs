use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A student's way through one scenario. Times are seconds since 1970 that the caller brings; this crate has no clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub scenario: String,
    /// By slug.
    pub steps: BTreeMap<String, StepProgress>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepProgress {
    /// First shown.
    #[serde(default)]
    pub begun: u64,
    /// First green; `None` while red.
    #[serde(default)]
    pub done: Option<u64>,
    /// How often "why not?" was asked, or a check failed on request.
    #[serde(default)]
    pub attempts: u32,
    /// The reference solution was played for the student.
    #[serde(default)]
    pub skipped: bool,
    #[serde(default)]
    pub hints: u32,
}

impl Progress {
    pub fn new(scenario: impl Into<String>) -> Self {
        Self { scenario: scenario.into(), steps: BTreeMap::new() }
    }
    fn step(&mut self, slug: &str, now: u64) -> &mut StepProgress {
        self.steps.entry(slug.to_owned()).or_insert_with(|| StepProgress { begun: now, ..StepProgress::default() })
    }
    pub fn begin(&mut self, slug: &str, now: u64) {
        self.step(slug, now);
    }
    pub fn attempt(&mut self, slug: &str, now: u64) {
        let step = self.step(slug, now);
        step.attempts = step.attempts.saturating_add(1);
    }
    pub fn hint(&mut self, slug: &str, now: u64) {
        let step = self.step(slug, now);
        step.hints = step.hints.saturating_add(1);
    }
    /// A step that is done stays done: later steps may undo what it built.
    pub fn complete(&mut self, slug: &str, skipped: bool, now: u64) {
        let step = self.step(slug, now);
        if step.done.is_none() {
            step.done = Some(now);
            step.skipped = skipped;
        }
    }
    pub fn is_done(&self, slug: &str) -> bool {
        self.steps.get(slug).is_some_and(|step| step.done.is_some())
    }
    /// Seconds from first sight to green.
    pub fn duration(&self, slug: &str) -> Option<u64> {
        let step = self.steps.get(slug)?;
        Some(step.done?.saturating_sub(step.begun))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_is_done_stays_done() {
        let mut progress = Progress::new("lab");
        progress.begin("a", 10);
        progress.attempt("a", 12);
        progress.complete("a", false, 15);
        progress.complete("a", true, 99);
        assert_eq!(progress.duration("a"), Some(5));
        assert_eq!(progress.steps["a"].attempts, 1);
        assert!(!progress.steps["a"].skipped);
    }
}
