//! What only the Markdown itself shows: pictures without a text, commands and outputs that the tests do not play.

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

use crate::{
    diagnostic::{Fault, Reporter},
    document::{Block, Scenario, Step},
    parse,
    source::{Source, Span},
};

pub(super) fn lint(scenario: &Scenario, source: &Source<'_>, reporter: &mut Reporter<'_>) {
    let played = played(scenario);
    let mut image: Option<(Span, String)> = None;
    let mut fence: Option<(Span, String)> = None;
    for (event, range) in Parser::new_ext(source.text, parse::options()).into_offset_iter() {
        let span = Span::from(range);
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                fence = Some((span, info.to_string()));
            }
            Event::End(TagEnd::CodeBlock) => fence = None,
            Event::Text(text) if fence.is_some() => {
                if let Some((_, info)) = &fence {
                    fenced(info, &text, span, &played, reporter);
                }
            }
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
            Event::Text(text) => {
                if let Some((_, alt)) = &mut image {
                    alt.push_str(&text);
                }
            }
            Event::Html(html) | Event::InlineHtml(html) => raw_html(&html, span, reporter),
            // `docker run` names a command; three words and more are one to type.
            Event::Code(code) if is_command(&code) && code.split_whitespace().count() > 3 && !is_in(&code, &played) => {
                unplayed(span, reporter);
            }
            _ => {}
        }
    }
}

/// Everything that the tests type, with single blanks.
fn played(scenario: &Scenario) -> String {
    let mut text = String::new();
    for block in scenario.steps.iter().flat_map(Step::all_blocks) {
        if let Block::Run(commands) | Block::Also(commands) | Block::Wrong(commands) = block {
            text.push_str(&single_blanks(&commands.text.replace("\\\n", " ")));
            text.push('\n');
        }
    }
    text
}

fn single_blanks(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_command(text: &str) -> bool {
    matches!(text.split_whitespace().next(), Some("docker" | "curl"))
}

fn is_in(command: &str, played: &str) -> bool {
    played.contains(&single_blanks(command))
}

fn unplayed(span: Span, reporter: &mut Reporter<'_>) {
    reporter.push(
        Fault::warning("unplayed-command", span, "no run block plays this command, so nothing proves it")
            .fix("move it into a `sh run`, `also` or `wrong` block"),
    );
}

/// A fence that is only shown may hold a command or a transcript that nobody has tried.
fn fenced(info: &str, text: &str, span: Span, played: &str, reporter: &mut Reporter<'_>) {
    let mut words = info.split_whitespace();
    let language = words.next().unwrap_or("");
    if language == "output" && text.lines().all(|line| matches!(line.trim(), "" | "..." | "[..]")) {
        reporter.push(
            Fault::warning("empty-output", span, "this output fits everything").expected("a line that must be printed"),
        );
    }
    let is_shown_only = words.next().is_none() && matches!(language, "sh" | "bash" | "console" | "shell" | "text" | "");
    if !is_shown_only {
        return;
    }
    let mut offset = span.start;
    let mut has_prompt = false;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        let command = trimmed.strip_prefix("$ ").or_else(|| trimmed.strip_prefix("# ")).unwrap_or(trimmed);
        has_prompt |= command.len() != trimmed.len() && is_command(command);
        if is_command(command) && language != "text" && !is_in(command, played) {
            unplayed(Span::new(offset, offset + line.trim_end().len()), reporter);
        }
        offset += line.len();
    }
    if has_prompt && text.lines().count() > 1 {
        reporter.push(
            Fault::warning("unplayed-output", span, "nothing proves this transcript")
                .fix("write the commands as a `sh run` block and what they print as an `output` block below it"),
        );
    }
}

fn raw_html(html: &str, span: Span, reporter: &mut Reporter<'_>) {
    let html = html.trim();
    if html.is_empty() || html.starts_with("<!--") || html.ends_with("-->") || !html.starts_with('<') {
        return;
    }
    reporter.push(
        Fault::warning("raw-html", span, "raw HTML is shown as text")
            .fix("write it as Markdown, or `![what it shows](…)` for a picture"),
    );
}
