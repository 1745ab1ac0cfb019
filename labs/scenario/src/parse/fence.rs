//! Fenced blocks: what their info string makes of them.

use pulldown_cmark::Parser;

use super::{front_matter, tree};
use crate::{
    check::read::{self, Context},
    diagnostic::{Fault, Reporter, nearest},
    document::{Block, Choice, Commands, Mode, Quiz},
    html,
    source::{Source, Span},
};

pub(super) struct Fence<'t> {
    pub(super) info: &'t str,
    pub(super) text: &'t str,
    pub(super) content: Span,
    pub(super) span: Span,
}

/// Languages that are one slip away from a block of ours.
const LOOKALIKES: &[&str] = &["text", "http", "html"];
const TYPED: &[&str] = &["check", "hint", "output", "quiz"];
const ROLES: &[&str] = &["run", "also", "wrong"];
const MODES: &[&str] = &["keep", "interrupt", "interactive"];

pub(super) fn read(
    fence: &Fence<'_>,
    source: &Source<'_>,
    context: &Context<'_>,
    reporter: &mut Reporter<'_>,
) -> Option<Block> {
    let mut words = fence.info.split_whitespace();
    let language = words.next().unwrap_or("").to_owned();
    let words: Vec<&str> = words.collect();
    let info_span = info_span(fence, source);
    match language.as_str() {
        "check" => Some(Block::Check(read::check(fence.text, fence.content, context, reporter))),
        "output" => Some(Block::Output { text: fence.text.to_owned() }),
        "hint" => Some(Block::Hint { html: html::render(Parser::new_ext(fence.text, super::options())) }),
        "quiz" => quiz(fence, reporter).map(Block::Quiz),
        "sh" | "bash" | "console" | "shell" if !words.is_empty() && !words[0].contains('=') => {
            commands(fence, &words, info_span, context, reporter)
        }
        _ => {
            if words.iter().any(|word| word.starts_with("file=")) {
                return file(fence, language, &words, info_span, context, reporter);
            }
            if !LOOKALIKES.contains(&language.as_str())
                && let Some(near) = nearest(&language, TYPED)
            {
                reporter.push(
                    Fault::warning("unknown-block", info_span, format!("`{language}` is shown as plain code"))
                        .one_of(&language, TYPED)
                        .fix(format!("write `{near}` if it is to be verified")),
                );
            }
            Some(Block::Code { language, text: fence.text.to_owned() })
        }
    }
}

/// The info string's place, for faults in it.
fn info_span(fence: &Fence<'_>, source: &Source<'_>) -> Span {
    let text = source.text.get(fence.span.start..fence.span.end).unwrap_or("");
    let line = text.split('\n').next().unwrap_or("");
    match line.find(fence.info).filter(|_| !fence.info.is_empty()) {
        Some(at) => Span::new(fence.span.start + at, fence.span.start + at + fence.info.len()),
        None => Span::new(fence.span.start, fence.span.start + line.len()),
    }
}

/// The place of one word of the info string.
fn word_span(info: Span, fence: &Fence<'_>, word: &str) -> Span {
    fence.info.find(word).map_or(info, |at| Span::new(info.start + at, info.start + at + word.len()))
}

fn commands(
    fence: &Fence<'_>,
    words: &[&str],
    info: Span,
    context: &Context<'_>,
    reporter: &mut Reporter<'_>,
) -> Option<Block> {
    let role = words[0];
    if !ROLES.contains(&role) {
        reporter.push(
            Fault::error("unknown-role", word_span(info, fence, role), format!("commands cannot be `{role}`"))
                .one_of(role, ROLES)
                .fix("leave the word out if the commands are only to be read"),
        );
        return None;
    }
    let mut commands =
        Commands { node: None, mode: Mode::Wait, text: fence.text.to_owned(), capture: None, span: fence.span };
    for word in &words[1..] {
        match *word {
            "keep" => commands.mode = Mode::Keep,
            "interrupt" => commands.mode = Mode::Interrupt,
            "interactive" => commands.mode = Mode::Interactive,
            word if word.starts_with("capture=") => {
                let name = &word["capture=".len()..];
                let fits = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
                if fits {
                    commands.capture = Some(name.to_owned());
                } else {
                    reporter.push(
                        Fault::error("capture", word_span(info, fence, word), "this cannot be the name of a value")
                            .expected("capital letters and underscores, as in `capture=TOKEN`"),
                    );
                }
            }
            node if context.nodes.iter().any(|known| known == node) => commands.node = Some(node.to_owned()),
            other => {
                let known: Vec<&str> = context.nodes.iter().map(String::as_str).chain(MODES.iter().copied()).collect();
                reporter.push(
                    Fault::error(
                        "unknown-word",
                        word_span(info, fence, other),
                        format!("`{other}` is no node or mode"),
                    )
                    .one_of(other, &known),
                );
            }
        }
    }
    if fence.text.trim().is_empty() {
        reporter.push(Fault::error("empty-block", fence.span, "this block has no command"));
    }
    Some(match role {
        "run" => Block::Run(commands),
        "also" => Block::Also(commands),
        _ => Block::Wrong(commands),
    })
}

fn file(
    fence: &Fence<'_>,
    language: String,
    words: &[&str],
    info: Span,
    context: &Context<'_>,
    reporter: &mut Reporter<'_>,
) -> Option<Block> {
    let (mut path, mut node) = (None, None);
    for word in words {
        match word.split_once('=') {
            Some(("file", name)) => path = Some(name.to_owned()),
            _ if context.nodes.iter().any(|known| known == word) => node = Some((*word).to_owned()),
            _ => reporter.push(
                Fault::error("unknown-word", word_span(info, fence, word), format!("`{word}` is not for a file block"))
                    .expected("`file=NAME` and a node"),
            ),
        }
    }
    let path = path?;
    if path.is_empty() || path.starts_with('/') || path.split('/').any(|part| part == "..") {
        reporter.push(
            Fault::error("file-path", word_span(info, fence, "file="), "a file block stays inside the workspace")
                .expected("a relative path such as `file=app.py`"),
        );
        return None;
    }
    Some(Block::File { path, node, language, content: fence.text.to_owned() })
}

fn quiz(fence: &Fence<'_>, reporter: &mut Reporter<'_>) -> Option<Quiz> {
    let (mut question, mut explanation, mut choices, mut right) = (None, None, Vec::new(), Vec::new());
    for entry in tree::read(fence.text, fence.content.start, reporter) {
        match entry.key.as_str() {
            "question" => question = front_matter::text(&entry.node, reporter),
            "explain" => explanation = front_matter::text(&entry.node, reporter),
            "choices" => choices = front_matter::texts(&entry.node, reporter).unwrap_or_default(),
            "right" => right = right_choices(&entry.node, reporter),
            other => reporter.push(
                Fault::error("unknown-field", entry.key_span, format!("a quiz has no `{other}`"))
                    .one_of(other, &["question", "choices", "right", "explain"]),
            ),
        }
    }
    let missing = match (&question, &explanation) {
        (None, _) => Some("question"),
        (_, None) => Some("explain"),
        _ if choices.len() < 2 => Some("choices"),
        _ if right.is_empty() => Some("right"),
        _ => None,
    };
    if let Some(missing) = missing {
        reporter.push(
            Fault::error("missing-field", fence.span, format!("this quiz has no usable `{missing}`"))
                .expected("`question`, at least two `choices`, `right` (their numbers, from 1) and `explain`"),
        );
        return None;
    }
    for (number, span) in &right {
        if !(1..=choices.len()).contains(number) {
            reporter.push(
                Fault::error("quiz-right", *span, format!("there is no choice {number}"))
                    .expected(format!("a number from 1 to {}", choices.len())),
            );
        }
    }
    let choices = choices
        .into_iter()
        .enumerate()
        .map(|(index, text)| Choice { text, right: right.iter().any(|(number, _)| *number == index + 1) })
        .collect();
    Some(Quiz { question: question?, choices, explanation: explanation? })
}

fn right_choices(node: &tree::Node, reporter: &mut Reporter<'_>) -> Vec<(usize, Span)> {
    match &node.value {
        tree::Value::Integer(number) => vec![(usize::try_from(*number).unwrap_or(0), node.span)],
        tree::Value::Array(items) => items.iter().flat_map(|item| right_choices(item, reporter)).collect(),
        _ => {
            reporter.push(
                Fault::error("wrong-type", node.span, format!("this is {}", node.describe()))
                    .expected("a number or an array of numbers"),
            );
            Vec::new()
        }
    }
}
