//! Taste: what a scenario that can be played still owes its readers. Faults of form are found by [`crate::parse()`].

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

use crate::{
    diagnostic::{Diagnostics, Fault, Reporter},
    document::{Block, Meta, Scenario, Step},
    parse::{self, Parsed},
    source::{Source, Span},
};

/// Everything [`crate::parse()`] reports, and warnings of taste, in the order of the file.
pub fn lint(name: &str, text: &str) -> Diagnostics {
    let Parsed { scenario, diagnostics } = parse::parse(name, text);
    let source = Source::new(name, text);
    let mut reporter = Reporter::new(&source);
    meta(&scenario.meta, &mut reporter);
    for step in &scenario.steps {
        lint_step(step, &mut reporter);
    }
    prose(&scenario, &source, &mut reporter);
    let mut all = Diagnostics(diagnostics.0.into_iter().chain(reporter.finish().0).collect());
    all.sort();
    all
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

fn lint_step(step: &Step, reporter: &mut Reporter<'_>) {
    let blocks = step.all_blocks();
    let runs = blocks.iter().any(|block| matches!(block, Block::Run(_)));
    let has_quiz = blocks.iter().any(|block| matches!(block, Block::Quiz(_)));
    if step.is_verifiable() {
        if !runs && !blocks.iter().any(|block| matches!(block, Block::File { .. })) {
            reporter.push(
                Fault::warning("no-solution", step.span, format!("nothing in `{}` turns its check green", step.title))
                    .fix("add a `sh run` block: the tests play it, and students may skip with it"),
            );
        }
        if !blocks.iter().any(|block| matches!(block, Block::Hint { .. })) {
            reporter.push(
                Fault::warning("no-hint", step.span, format!("`{}` has no hint", step.title))
                    .expected("a `hint` block"),
            );
        }
        if step.checks().all(|check| check.mistakes.is_empty()) {
            reporter.push(
                Fault::warning("no-mistake", step.span, format!("the check of `{}` knows no mistake", step.title))
                    .expected("a `[[mistake]]` with `when` and `say`"),
            );
        }
    } else if runs || !has_quiz {
        reporter.push(
            Fault::warning("no-check", step.span, format!("nothing verifies `{}`", step.title))
                .fix("add a `check` block, or make the passage part of another step"),
        );
    }
    for block in &blocks {
        if let Block::Wrong(commands) = block
            && !step.is_verifiable()
        {
            reporter.push(Fault::warning(
                "wrong-unverified",
                commands.span,
                "a wrong route needs a check that stays red",
            ));
        }
    }
}

/// What only the Markdown itself shows: images without a text, commands that the tests do not play.
fn prose(scenario: &Scenario, source: &Source<'_>, reporter: &mut Reporter<'_>) {
    let played: String = scenario
        .steps
        .iter()
        .flat_map(Step::all_blocks)
        .filter_map(|block| match block {
            Block::Run(commands) | Block::Also(commands) | Block::Wrong(commands) => Some(commands.text.as_str()),
            _ => None,
        })
        .collect();
    let mut image: Option<(Span, String)> = None;
    let mut in_fence = false;
    for (event, range) in Parser::new_ext(source.text, parse::options()).into_offset_iter() {
        let span = Span::from(range);
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                in_fence = true;
                if info.starts_with("dockerfile") || info.starts_with("Dockerfile") {
                    unpinned(source, span, reporter);
                }
            }
            Event::End(TagEnd::CodeBlock) => in_fence = false,
            Event::Start(Tag::Image { .. }) => image = Some((span, String::new())),
            Event::End(TagEnd::Image) => {
                if let Some((span, text)) = image.take()
                    && text.trim().is_empty()
                {
                    reporter.push(
                        Fault::warning("no-alt-text", span, "this picture says nothing to who cannot see it")
                            .expected("`![what it shows](…)`"),
                    );
                }
            }
            Event::Text(text) if !in_fence => {
                if let Some((_, alt)) = &mut image {
                    alt.push_str(&text);
                }
            }
            Event::Code(code) => {
                let words: Vec<&str> = code.split_whitespace().collect();
                // `docker run` names a command; three words and more are one to type.
                if words.first() == Some(&"docker") && words.len() > 3 && !played.contains(code.as_ref()) {
                    reporter.push(
                        Fault::warning(
                            "unplayed-command",
                            span,
                            "no run block plays this command, so nothing proves it",
                        )
                        .fix("move it into a `sh run`, `also` or `wrong` block"),
                    );
                }
            }
            _ => {}
        }
    }
}

fn unpinned(source: &Source<'_>, fence: Span, reporter: &mut Reporter<'_>) {
    let text = source.text.get(fence.start..fence.end).unwrap_or("");
    let mut offset = fence.start;
    for line in text.split_inclusive('\n') {
        let base = line.trim().strip_prefix("FROM ").and_then(|rest| rest.split_whitespace().next());
        if let Some(base) = base
            && base != "scratch"
            && !base.contains([':', '@'])
        {
            let at = offset + line.find(base).unwrap_or(0);
            reporter.push(
                Fault::warning(
                    "unpinned",
                    Span::new(at, at + base.len()),
                    format!("`{base}` is another image tomorrow"),
                )
                .expected("a tag or a digest"),
            );
        }
        offset += line.len();
    }
}
