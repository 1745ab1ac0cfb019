//! Taste: what a scenario that can be played still owes its readers. Faults of form are found by [`crate::parse()`].

mod images;
mod prose;

use crate::{
    check::{Check, Kind, Matcher},
    diagnostic::{Diagnostics, Fault, Reporter, Severity},
    document::{Block, Commands, Meta, NoteKind, Quiz, Scenario, Step},
    parse::{self, Parsed},
    source::{Source, Span},
};

/// Rules of taste, which a front matter may set aside: `allow = { unpinned = "why" }`.
pub const RULES: &[(&str, &str)] = &[
    ("no-time", "the front matter says how long the lab takes"),
    ("no-summary", "the front matter has a summary for lists of labs"),
    ("no-solution", "a step with a check has commands or a file that turn it green"),
    ("no-check", "a step with commands has a check"),
    ("no-hint", "a step with a check has a hint"),
    ("no-mistake", "a check knows a mistake"),
    ("stub", "a check that was left to be written"),
    ("wrong-unverified", "a wrong route has a check that stays red"),
    ("check-in-note", "a check does not stand in a note that is only shown on one engine or system"),
    ("given-away", "neither a check nor a question tells its own answer"),
    ("unpinned", "images have a tag or a digest, so that they are the same tomorrow"),
    ("no-alt-text", "a picture has a text for who cannot see it"),
    ("raw-html", "raw HTML is shown as text"),
    ("unplayed-command", "a command to type stands in a block that the tests play"),
    ("unplayed-output", "output that is shown stands in an `output` block below its commands"),
    ("empty-output", "an `output` block demands something"),
    ("unknown-block", "a fence whose name is one slip away from a block"),
    ("unused-allow", "a rule that was set aside and is never broken"),
];

/// Everything [`crate::parse()`] reports, and warnings of taste, in the order of the file.
pub fn lint(name: &str, text: &str) -> Diagnostics {
    let Parsed { scenario, diagnostics } = parse::parse(name, text);
    let source = Source::new(name, text);
    let mut reporter = Reporter::new(&source);
    meta(&scenario.meta, &mut reporter);
    for step in &scenario.steps {
        lint_step(step, &scenario, &mut reporter);
    }
    images::lint(&scenario, &source, &mut reporter);
    prose::lint(&scenario, &source, &mut reporter);
    let mut all = Diagnostics(diagnostics.0.into_iter().chain(reporter.finish().0).collect());
    set_aside(&scenario.meta, &source, &mut all);
    all.sort();
    all
}

/// Takes out the warnings that the front matter allows.
fn set_aside(meta: &Meta, source: &Source<'_>, all: &mut Diagnostics) {
    let mut reporter = Reporter::new(source);
    for allowed in &meta.allow {
        let is_rule = RULES.iter().any(|(rule, _)| *rule == allowed.rule);
        let before = all.0.len();
        all.0.retain(|found| found.severity == Severity::Error || found.code != allowed.rule);
        if !is_rule {
            let known: Vec<&str> = RULES.iter().map(|(rule, _)| *rule).collect();
            reporter.push(
                Fault::warning("unused-allow", allowed.span, format!("there is no rule `{}`", allowed.rule))
                    .one_of(&allowed.rule, &known),
            );
        } else if before == all.0.len() {
            reporter.push(
                Fault::warning(
                    "unused-allow",
                    allowed.span,
                    format!("nothing here breaks the rule `{}`", allowed.rule),
                )
                .fix("take it out of `allow`"),
            );
        }
    }
    all.0.extend(reporter.finish().0);
}

fn meta(meta: &Meta, reporter: &mut Reporter<'_>) {
    let top = Span::new(0, 3);
    if meta.time == 0 {
        reporter.push(
            Fault::warning("no-time", top, "the front matter does not say how long the lab takes")
                .expected("`time = 30`, in minutes"),
        );
    }
    if meta.summary.is_empty() {
        reporter.push(
            Fault::warning("no-summary", top, "the front matter has no summary")
                .expected("`summary = \"…\"`, one sentence for lists of labs"),
        );
    }
}

fn lint_step(step: &Step, scenario: &Scenario, reporter: &mut Reporter<'_>) {
    let blocks = step.all_blocks();
    let runs = blocks.iter().any(|block| matches!(block, Block::Run(_)));
    let stubs: Vec<&Check> = step.checks().filter(|check| check.expectations.is_empty()).collect();
    for stub in &stubs {
        reporter.push(
            Fault::warning("stub", stub.span, format!("the check of `{}` is still to be written", step.title))
                .expected("what must be true of containers, images, … when the step is done")
                .fix("`docklab schema` lists what can be checked"),
        );
    }
    if step.is_verifiable() {
        verifiable(step, &blocks, runs, reporter);
    } else if stubs.is_empty() && (runs || !blocks.iter().any(|block| matches!(block, Block::Quiz(_)))) {
        reporter.push(
            Fault::warning("no-check", step.span, format!("nothing verifies `{}`", step.title))
                .fix("add a `check` block, or make the passage part of another step"),
        );
    }
    for block in &blocks {
        match block {
            Block::Wrong(commands) => wrong_route(step, commands, reporter),
            Block::Note { kind, blocks, .. } => checks_of_one_engine(*kind, blocks, reporter),
            Block::Quiz(quiz) => question(quiz, step.span, reporter),
            Block::Check(check) => answers(check, scenario, reporter),
            _ => {}
        }
    }
}

fn verifiable(step: &Step, blocks: &[&Block], runs: bool, reporter: &mut Reporter<'_>) {
    if !runs && !blocks.iter().any(|block| matches!(block, Block::File { .. })) {
        reporter.push(
            Fault::warning("no-solution", step.span, format!("nothing in `{}` turns its check green", step.title))
                .fix("add a `sh run` block: the tests play it, and students may skip with it"),
        );
    }
    if !blocks.iter().any(|block| matches!(block, Block::Hint { .. })) {
        reporter.push(
            Fault::warning("no-hint", step.span, format!("`{}` has no hint", step.title)).expected("a `hint` block"),
        );
    }
    if step.checks().all(|check| check.mistakes.is_empty()) {
        reporter.push(
            Fault::warning("no-mistake", step.span, format!("the check of `{}` knows no mistake", step.title))
                .expected("a `[[mistake]]` with `when` and `say`"),
        );
    }
}

fn wrong_route(step: &Step, commands: &Commands, reporter: &mut Reporter<'_>) {
    if !step.is_verifiable() {
        reporter.push(Fault::warning("wrong-unverified", commands.span, "a wrong route needs a check that stays red"));
    }
}

fn checks_of_one_engine(kind: NoteKind, blocks: &[Block], reporter: &mut Reporter<'_>) {
    let everywhere = matches!(kind, NoteKind::Note | NoteKind::Warning);
    for block in blocks {
        if let Block::Check(check) = block
            && !everywhere
        {
            reporter.push(
                Fault::warning(
                    "check-in-note",
                    check.span,
                    "this check is only shown in one place, and counts everywhere",
                )
                .fix("move it out of the note"),
            );
        }
    }
}

/// A question must not be answered by its own form.
fn question(quiz: &Quiz, step: Span, reporter: &mut Reporter<'_>) {
    let asked = quiz.question.to_lowercase();
    let longest_wrong =
        quiz.choices.iter().filter(|choice| !choice.right).map(|choice| choice.text.chars().count()).max();
    for choice in quiz.choices.iter().filter(|choice| choice.right) {
        let length = choice.text.chars().count();
        let reason = if length >= 12 && asked.contains(&choice.text.to_lowercase()) {
            "contains its answer"
        } else if longest_wrong.is_some_and(|longest| length > 3 * longest.max(12)) {
            "is answered by length: the right choice is three times as long as any other"
        } else {
            continue;
        };
        reporter.push(
            Fault::warning("given-away", step, format!("the question “{}” {reason}", quiz.question))
                .fix("make the choices alike in length and words"),
        );
    }
}

/// A red check tells what it wants to see. Where that is the answer to a task, nothing is left to do.
fn answers(check: &Check, scenario: &Scenario, reporter: &mut Reporter<'_>) {
    let saved = |path: &str| {
        let mut blocks = scenario.steps.iter().flat_map(Step::all_blocks);
        blocks.any(|block| matches!(block, Block::File { path: saved, .. } if saved == path))
    };
    for expectation in check.expectations.iter().filter(|expectation| expectation.kind == Kind::File) {
        let Some(path) = expectation.text("path") else { continue };
        let Some(Matcher::Equal { text: wanted } | Matcher::Contains { part: wanted }) = expectation.field("content")
        else {
            continue;
        };
        if !saved(path) {
            reporter.push(
                Fault::warning(
                    "given-away",
                    expectation.span,
                    format!("while this check is red it tells the student to write `{wanted}` into `{path}`"),
                )
                .fix("ask with a `quiz`, check what the answer changes, or describe it with `regex`"),
            );
        }
    }
}
