//! Images without a tag or digest: what they are changes from day to day.

use std::collections::BTreeSet;

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag};

use crate::{
    diagnostic::{Fault, Reporter},
    document::{Block, Scenario, Step},
    mutants::{named_images, pulled_images},
    parse,
    source::{Source, Span},
};

/// Warns once an image: at the front matter if it stands there, else at its first use.
pub(super) fn lint(scenario: &Scenario, source: &Source<'_>, reporter: &mut Reporter<'_>) {
    let mut own = BTreeSet::new();
    let mut used: Vec<(String, Span)> = Vec::new();
    for image in &scenario.meta.images {
        used.push((image.clone(), find(source, &format!("\"{image}\""), Span::new(0, source.text.len()), 1)));
    }
    for block in scenario.steps.iter().flat_map(Step::all_blocks) {
        let (Block::Run(commands) | Block::Also(commands)) = block else { continue };
        own.extend(named_images(&commands.text));
        for image in pulled_images(&commands.text) {
            let span = find(source, &image, commands.span, 0);
            used.push((image, span));
        }
    }
    used.extend(bases(source));
    let mut told = BTreeSet::new();
    for (image, span) in used {
        let is_variable = image.contains('$');
        if is_variable || is_pinned(&image) || own.contains(repository(&image)) || !told.insert(image.clone()) {
            continue;
        }
        reporter.push(
            Fault::warning("unpinned", span, format!("`{image}` is another image tomorrow"))
                .expected("a tag or a digest"),
        );
    }
}

fn is_pinned(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or(image);
    image == "scratch" || image.contains('@') || name.split_once(':').is_some_and(|(_, tag)| tag != "latest")
}

fn repository(image: &str) -> &str {
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => image,
    }
}

/// The place of a word within a span, without `margin` bytes on either side.
fn find(source: &Source<'_>, word: &str, within: Span, margin: usize) -> Span {
    let text = source.text.get(within.start..within.end).unwrap_or("");
    text.find(word).map_or(within, |at| {
        let start = within.start + at;
        Span::new(start + margin, start + word.len() - margin)
    })
}

/// `FROM` of every Dockerfile that is shown.
fn bases(source: &Source<'_>) -> Vec<(String, Span)> {
    let mut found = Vec::new();
    for (event, range) in Parser::new_ext(source.text, parse::options()).into_offset_iter() {
        let Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) = event else { continue };
        if !info.to_ascii_lowercase().starts_with("dockerfile") && !info.contains("file=Dockerfile") {
            continue;
        }
        let mut stages = BTreeSet::new();
        let mut offset = range.start;
        for line in source.text.get(range).unwrap_or("").split_inclusive('\n') {
            let words: Vec<&str> = line.split_whitespace().filter(|word| !word.starts_with("--")).collect();
            if let [from, base, rest @ ..] = words.as_slice()
                && from.eq_ignore_ascii_case("from")
            {
                if !stages.contains(base) {
                    let at = offset + line.find(base).unwrap_or(0);
                    found.push(((*base).to_owned(), Span::new(at, at + base.len())));
                }
                if let [keyword, stage] = rest
                    && keyword.eq_ignore_ascii_case("as")
                {
                    stages.insert(*stage);
                }
            }
            offset += line.len();
        }
    }
    found
}
