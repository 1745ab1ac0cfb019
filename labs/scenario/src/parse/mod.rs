//! From Markdown to a [`Scenario`].

mod fence;
mod front_matter;
pub(crate) mod tree;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::{
    check::read::Context,
    diagnostic::{Diagnostics, Fault, Reporter},
    document::{Block, Meta, NoteKind, Scenario, Step},
    html,
    source::{Source, Span},
};

/// What reading a scenario gives: as much of it as could be read, and every fault.
#[derive(Debug, Clone)]
pub struct Parsed {
    pub scenario: Scenario,
    pub diagnostics: Diagnostics,
}

/// Reads a scenario; `name` is the file's name in diagnostics. Never fails: an unreadable file gives an empty
/// scenario and its faults.
pub fn parse(name: &str, text: &str) -> Parsed {
    let source = Source::new(name, text);
    let mut reporter = Reporter::new(&source);
    let (meta, body) = front_matter::read(text, &mut reporter);
    let mut builder = Builder {
        source: &source,
        reporter: &mut reporter,
        meta: &meta,
        introduction: Vec::new(),
        steps: Vec::new(),
        images: Vec::new(),
        note: None,
        prose: Vec::new(),
    };
    builder.read_body(body);
    let (introduction, steps, images) = builder.finish();
    if steps.is_empty() {
        reporter.push(
            Fault::error("no-step", Span::new(body, body), "this scenario has no step")
                .fix("begin each step with a `## ` heading"),
        );
    }
    Parsed { scenario: Scenario { meta, introduction, steps, images }, diagnostics: reporter.finish() }
}

/// The Markdown that scenarios may use.
pub(crate) fn options() -> Options {
    Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_FOOTNOTES
}

struct Note {
    kind: NoteKind,
    title: String,
    blocks: Vec<Block>,
    span: Span,
}

struct Builder<'a, 'r> {
    source: &'a Source<'a>,
    reporter: &'r mut Reporter<'a>,
    meta: &'r Meta,
    introduction: Vec<Block>,
    steps: Vec<Step>,
    images: Vec<String>,
    note: Option<Note>,
    prose: Vec<Event<'a>>,
}

impl<'a> Builder<'a, '_> {
    fn read_body(&mut self, start: usize) {
        let body = self.source.text.get(start..).unwrap_or("");
        let mut depth = 0_usize;
        let mut block: Vec<(Event<'a>, Span)> = Vec::new();
        for (event, range) in Parser::new_ext(body, options()).into_offset_iter() {
            match &event {
                Event::Start(_) => depth += 1,
                Event::End(_) => depth = depth.saturating_sub(1),
                _ => {}
            }
            block.push((event, Span::from(range).shifted(start)));
            if depth == 0 {
                self.top_level(std::mem::take(&mut block));
            }
        }
    }

    /// Takes one complete block of the top level.
    fn top_level(&mut self, block: Vec<(Event<'a>, Span)>) {
        let Some((first, span)) = block.first().cloned() else { return };
        match first {
            Event::Start(Tag::Heading { level: HeadingLevel::H2, .. }) => {
                self.close_note();
                self.flush_prose();
                self.begin_step(&plain_text(&block), span);
            }
            Event::Start(Tag::Heading { level: HeadingLevel::H1, .. }) if plain_text(&block) == self.meta.title => {}
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                self.flush_prose();
                let content = content_span(&block, span);
                let text = self.source.text.get(content.start..content.end).unwrap_or("");
                // Not for readers: what an image is like that only the simulator has to know.
                if info.trim() == "image" {
                    self.images.push(text.to_owned());
                    return;
                }
                let fence = fence::Fence { info: &info, text, content, span };
                let block = fence::read(&fence, self.source, &Context { nodes: &self.meta.nodes }, self.reporter);
                self.place(&fence, block);
            }
            Event::Start(Tag::Paragraph) if self.text_of(span).trim_start().starts_with(":::") => {
                self.flush_prose();
                self.note_line(span);
            }
            _ => self.prose.extend(block.into_iter().map(|(event, _)| event)),
        }
    }

    fn text_of(&self, span: Span) -> &'a str {
        self.source.text.get(span.start..span.end).unwrap_or("")
    }

    fn place(&mut self, fence: &fence::Fence<'_>, block: Option<Block>) {
        let Some(block) = block else { return };
        let verifiable =
            !matches!(block, Block::Code { .. } | Block::Hint { .. } | Block::Quiz(_) | Block::File { .. });
        if verifiable && self.steps.is_empty() {
            self.reporter.push(
                Fault::error("outside-step", fence.span, "this block stands before the first step")
                    .fix("move it below a `## ` heading"),
            );
        }
        if matches!(block, Block::Output { .. })
            && !matches!(self.blocks().last(), Some(Block::Run(_) | Block::Also(_) | Block::Wrong(_)))
        {
            self.reporter.push(
                Fault::error("output-without-commands", fence.span, "no commands stand directly before this output")
                    .expected("a `sh run` block above it")
                    .fix("put the output right below its commands, or name the block `text` if it is only to be read"),
            );
        }
        self.blocks().push(block);
    }

    fn blocks(&mut self) -> &mut Vec<Block> {
        if let Some(note) = &mut self.note {
            return &mut note.blocks;
        }
        match self.steps.last_mut() {
            Some(step) => &mut step.blocks,
            None => &mut self.introduction,
        }
    }

    fn flush_prose(&mut self) {
        if self.prose.is_empty() {
            return;
        }
        let html = html::render(std::mem::take(&mut self.prose));
        if !html.trim().is_empty() {
            self.blocks().push(Block::Prose { html });
        }
    }

    fn begin_step(&mut self, title: &str, span: Span) {
        let base = slug(title);
        let mut slug = base.clone();
        let mut number = 2;
        while self.steps.iter().any(|step| step.slug == slug) {
            slug = format!("{base}-{number}");
            number += 1;
        }
        if title.is_empty() {
            self.reporter.push(
                Fault::error("empty-title", span, "this step has no title").expected("`## What the student does`"),
            );
        }
        self.steps.push(Step { title: title.to_owned(), slug, blocks: Vec::new(), span });
    }

    /// `::: kind Title` opens a note, `:::` closes it.
    fn note_line(&mut self, span: Span) {
        let text = self.text_of(span).trim();
        if text.contains('\n') {
            self.reporter.push(
                Fault::error("note-line", span, "`:::` shares its paragraph with other lines")
                    .fix("leave an empty line before and after each `:::` line"),
            );
            return;
        }
        let rest = text.trim_start_matches(':').trim();
        if rest.is_empty() {
            if self.note.is_none() {
                self.reporter.push(Fault::error("note-line", span, "this `:::` closes no note"));
            }
            self.close_note();
            return;
        }
        if self.note.is_some() {
            self.reporter.push(
                Fault::error("note-line", span, "a note cannot stand inside a note")
                    .fix("close the first one with `:::`"),
            );
            self.close_note();
        }
        let (word, title) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let kind = match word {
            "note" => NoteKind::Note,
            "warning" => NoteKind::Warning,
            "simulator" => NoteKind::Simulator,
            "docklab" => NoteKind::Docklab,
            "docker" => NoteKind::Docker,
            "linux" => NoteKind::Linux,
            "macos" => NoteKind::Macos,
            "windows" => NoteKind::Windows,
            _ => {
                self.reporter.push(
                    Fault::error("unknown-note", span, format!("there is no note of kind `{word}`")).one_of(
                        word,
                        &["note", "warning", "simulator", "docklab", "docker", "linux", "macos", "windows"],
                    ),
                );
                NoteKind::Note
            }
        };
        self.note = Some(Note { kind, title: title.trim().to_owned(), blocks: Vec::new(), span });
    }

    fn close_note(&mut self) {
        self.flush_prose();
        if let Some(Note { kind, title, blocks, .. }) = self.note.take() {
            self.blocks().push(Block::Note { kind, title, blocks });
        }
    }

    fn finish(mut self) -> (Vec<Block>, Vec<Step>, Vec<String>) {
        if let Some(note) = &self.note {
            self.reporter.push(
                Fault::error("note-line", note.span, "this note is never closed").fix("end it with a line `:::`"),
            );
        }
        self.close_note();
        (self.introduction, self.steps, self.images)
    }
}

/// The bytes of a fence's content; empty fences have none.
fn content_span(block: &[(Event<'_>, Span)], fence: Span) -> Span {
    let mut texts = block.iter().filter(|(event, _)| matches!(event, Event::Text(_))).map(|(_, span)| *span);
    let Some(first) = texts.next() else { return Span::new(fence.end, fence.end) };
    Span::new(first.start, texts.next_back().map_or(first.end, |last| last.end))
}

fn plain_text(block: &[(Event<'_>, Span)]) -> String {
    let mut text = String::new();
    for (event, _) in block {
        match event {
            Event::Text(part) | Event::Code(part) => text.push_str(part),
            Event::SoftBreak | Event::HardBreak => text.push(' '),
            Event::End(TagEnd::Heading(_)) => break,
            _ => {}
        }
    }
    text.trim().to_owned()
}

/// Lower case, words joined by hyphens; `step` when nothing is left.
pub(crate) fn slug(title: &str) -> String {
    let words: Vec<String> = title
        .to_lowercase()
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    if words.is_empty() { "step".to_owned() } else { words.join("-") }
}
