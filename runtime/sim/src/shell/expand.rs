//! Words into arguments: parameters, commands, arithmetic, splitting, patterns.

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};

use super::{
    arithmetic,
    evaluate::{Flow, Shell},
    matches,
    syntax::{Piece, Word},
};
use crate::{
    fs::join,
    process::{Collect, Streams},
};

/// Expanded text with, for each character, whether it was quoted.
#[derive(Default)]
struct Field {
    text: String,
    pattern: String,
    has_pattern: bool,
    present: bool,
}

impl Field {
    fn quoted(&mut self, text: &str) {
        self.present = true;
        self.text += text;
        for c in text.chars() {
            if "*?[]\\".contains(c) {
                self.pattern.push('\\');
            }
            self.pattern.push(c);
        }
    }
    fn bare(&mut self, text: &str) {
        self.present |= !text.is_empty();
        self.text += text;
        self.pattern += text;
        self.has_pattern |= text.contains(['*', '?', '[']);
    }
}

impl Shell {
    fn special(&self, name: &str) -> Option<String> {
        match name {
            "?" => Some(self.status.to_string()),
            "$" => Some(self.shell_pid.to_string()),
            "#" => Some((self.arguments.len() - 1).to_string()),
            "@" | "*" => Some(self.arguments[1..].join(" ")),
            "-" => Some(String::new()),
            "RANDOM" => Some((self.process.space.world.random.next() % 32768).to_string()),
            "HOSTNAME" if self.get(name).is_none() => Some(self.process.space.hostname()),
            _ if name.chars().all(|c| c.is_ascii_digit()) => self.arguments.get(name.parse::<usize>().ok()?).cloned(),
            _ => self.get(name).map(str::to_owned),
        }
    }
    async fn parameter(
        &mut self,
        name: &str,
        operation: Option<&(String, Word)>,
        io: &Streams,
    ) -> Result<String, Flow> {
        let value = self.special(name);
        let Some((operator, word)) = operation else { return Ok(value.unwrap_or_default()) };
        let unset = match operator.strip_prefix(':') {
            Some(_) => value.as_deref().is_none_or(str::is_empty),
            None => value.is_none(),
        };
        let text = value.clone().unwrap_or_default();
        match operator.as_str() {
            "length" => Ok(text.chars().count().to_string()),
            ":-" | "-" => {
                if unset {
                    self.expand_one(word, io).await
                } else {
                    Ok(text)
                }
            }
            ":+" | "+" => {
                if unset {
                    Ok(String::new())
                } else {
                    self.expand_one(word, io).await
                }
            }
            ":=" | "=" => {
                if !unset {
                    return Ok(text);
                }
                let text = self.expand_one(word, io).await?;
                self.set(name, &text, false);
                Ok(text)
            }
            ":?" | "?" => {
                if !unset {
                    return Ok(text);
                }
                let message = self.expand_one(word, io).await?;
                let message = if message.is_empty() { "parameter null or not set" } else { &message };
                self.complain(io, &format!("{name}: {message}")).await?;
                Err(Flow::Exit(1))
            }
            ":" => {
                let range = self.expand_one(word, io).await?;
                let (from, length) = range.split_once(':').map_or((range.as_str(), None), |(f, l)| (f, Some(l)));
                let from = from.trim().parse().unwrap_or(0);
                let length = length.and_then(|length| length.trim().parse().ok()).unwrap_or(usize::MAX);
                Ok(text.chars().skip(from).take(length).collect())
            }
            "/" | "//" => {
                let both = self.expand_one(word, io).await?;
                let (from, to) = both.split_once('/').unwrap_or((&both, ""));
                Ok(if operator == "/" { text.replacen(from, to, 1) } else { text.replace(from, to) })
            }
            operator => {
                let pattern = self.expand_pattern(word, io).await?;
                let mut cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
                if matches!(operator, "##" | "%") {
                    cuts.reverse();
                }
                let found = cuts.into_iter().find(|at| {
                    let part = if operator.starts_with('#') { &text[..*at] } else { &text[*at..] };
                    matches(&pattern, part)
                });
                Ok(match found {
                    None => text,
                    Some(at) if operator.starts_with('#') => text[at..].to_owned(),
                    Some(at) => text[..at].to_owned(),
                })
            }
        }
    }
    fn piece<'a>(&'a mut self, piece: &'a Piece, io: &'a Streams) -> BoxFuture<'a, Result<String, Flow>> {
        async move {
            match piece {
                Piece::Bare(text) | Piece::Quoted(text) => Ok(text.clone()),
                Piece::Parameter { name, operation, .. } => self.parameter(name, operation.as_ref(), io).await,
                Piece::Command { list, .. } => {
                    let output = Arc::new(Collect::default());
                    let mut subshell = self.clone();
                    subshell.interactive = false;
                    let streams = Streams { stdout: output.clone(), ..io.clone() };
                    self.status = match subshell.list(list, &streams).await {
                        Ok(code) | Err(Flow::Exit(code) | Flow::Return(code)) => code,
                        Err(other) => return Err(other),
                    };
                    Ok(String::from_utf8_lossy(&output.take()).trim_end_matches('\n').to_owned())
                }
                Piece::Arithmetic { expression, .. } => {
                    let text = self.expand_one(expression, io).await?;
                    let lookup = |name: &str| self.special(name).and_then(|text| text.trim().parse().ok()).unwrap_or(0);
                    match arithmetic::evaluate(&text, &lookup) {
                        Ok(value) => Ok(value.to_string()),
                        Err(message) => {
                            self.complain(io, &message).await?;
                            Err(Flow::Exit(1))
                        }
                    }
                }
            }
        }
        .boxed()
    }
    fn tilde(&self, text: &str) -> Option<String> {
        let rest = text.strip_prefix('~')?;
        let home = self.get("HOME").unwrap_or(&self.user.home);
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{home}{rest}"))
    }
    /// A word as one text, without splitting.
    pub(super) async fn expand_one(&mut self, word: &Word, io: &Streams) -> Result<String, Flow> {
        let mut text = String::new();
        for (number, piece) in word.iter().enumerate() {
            match piece {
                Piece::Bare(bare) if number == 0 => text += &self.tilde(bare).unwrap_or_else(|| bare.clone()),
                piece => text += &self.piece(piece, io).await?,
            }
        }
        Ok(text)
    }
    /// A word as a pattern: what was quoted stands for itself.
    pub(super) async fn expand_pattern(&mut self, word: &Word, io: &Streams) -> Result<String, Flow> {
        let mut field = Field::default();
        for piece in word {
            let text = self.piece(piece, io).await?;
            match piece {
                Piece::Quoted(_) => field.quoted(&text),
                Piece::Parameter { quoted: true, .. } | Piece::Command { quoted: true, .. } => field.quoted(&text),
                _ => field.bare(&text),
            }
        }
        Ok(field.pattern)
    }
    /// Words as a command's arguments.
    pub(super) async fn expand_all(&mut self, words: &[Word], io: &Streams) -> Result<Vec<String>, Flow> {
        let mut arguments = Vec::new();
        for word in words {
            for word in braces(word) {
                self.expand_word(&word, io, &mut arguments).await?;
            }
        }
        Ok(arguments)
    }
    async fn expand_word(&mut self, word: &Word, io: &Streams, arguments: &mut Vec<String>) -> Result<(), Flow> {
        let mut fields = vec![Field::default()];
        for (number, piece) in word.iter().enumerate() {
            let quoted = match piece {
                Piece::Bare(text) => {
                    let text = self.tilde(text).filter(|_| number == 0).unwrap_or_else(|| text.clone());
                    current(&mut fields).bare(&text);
                    continue;
                }
                Piece::Quoted(text) => {
                    current(&mut fields).quoted(text);
                    continue;
                }
                Piece::Parameter { name, operation: None, quoted: true } if name == "@" => {
                    let values = self.arguments[1..].to_vec();
                    // "$@" of nothing is no argument at all, although it is quoted.
                    if values.is_empty()
                        && word.iter().all(|piece| {
                            *piece == Piece::Quoted(String::new()) || matches!(piece, Piece::Parameter { .. })
                        })
                    {
                        current(&mut fields).present = false;
                    }
                    for (number, value) in values.iter().enumerate() {
                        if number > 0 {
                            fields.push(Field::default());
                        }
                        current(&mut fields).quoted(value);
                    }
                    continue;
                }
                Piece::Parameter { quoted, .. } | Piece::Command { quoted, .. } | Piece::Arithmetic { quoted, .. } => {
                    *quoted
                }
            };
            let text = self.piece(piece, io).await?;
            if quoted {
                current(&mut fields).quoted(&text);
                continue;
            }
            let separators = self.get("IFS").unwrap_or(" \t\n").to_owned();
            if text.starts_with(|c| separators.contains(c)) && current(&mut fields).present {
                fields.push(Field::default());
            }
            for (number, part) in text.split(|c| separators.contains(c)).filter(|part| !part.is_empty()).enumerate() {
                if number > 0 {
                    fields.push(Field::default());
                }
                current(&mut fields).bare(part);
            }
            if text.ends_with(|c| separators.contains(c)) && current(&mut fields).present {
                fields.push(Field::default());
            }
        }
        for field in fields.into_iter().filter(|field| field.present) {
            let found = if field.has_pattern { self.files(&field.pattern) } else { Vec::new() };
            if found.is_empty() {
                arguments.push(field.text);
            } else {
                arguments.extend(found);
            }
        }
        Ok(())
    }
    /// Paths that match a pattern, sorted.
    fn files(&self, pattern: &str) -> Vec<String> {
        let absolute = pattern.starts_with('/');
        let mut found = vec![if absolute { "/".to_owned() } else { String::new() }];
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            let mut next = Vec::new();
            for base in &found {
                let directory = join(&self.cwd, base);
                let Ok(mut names) = self.process.space.view.list(&directory) else { continue };
                names.extend([".".to_owned(), "..".to_owned()].into_iter().filter(|name| name == part));
                for name in names {
                    if (!name.starts_with('.') || part.starts_with('.')) && matches(part, &name) {
                        let separator = if base.is_empty() || base.ends_with('/') { "" } else { "/" };
                        next.push(format!("{base}{separator}{name}"));
                    }
                }
            }
            found = next;
        }
        found
    }
}

fn current(fields: &mut Vec<Field>) -> &mut Field {
    if fields.is_empty() {
        fields.push(Field::default());
    }
    let last = fields.len() - 1;
    &mut fields[last]
}

/// `{a,b}` and `{1..3}` in a word's bare text.
fn braces(word: &Word) -> Vec<Word> {
    for (number, piece) in word.iter().enumerate() {
        let Piece::Bare(text) = piece else { continue };
        let Some(open) = text.find('{') else { continue };
        let Some(close) = text[open..].find('}').map(|at| open + at) else { continue };
        let inner = &text[open + 1..close];
        let choices: Vec<String> = if let Some((from, to)) = inner.split_once("..")
            && let (Ok(from), Ok(to)) = (from.parse::<i64>(), to.parse::<i64>())
            && (to - from).abs() < 100_000
        {
            if from <= to {
                (from..=to).map(|n| n.to_string()).collect()
            } else {
                (to..=from).rev().map(|n| n.to_string()).collect()
            }
        } else if inner.contains(',') {
            inner.split(',').map(str::to_owned).collect()
        } else {
            continue;
        };
        return choices
            .into_iter()
            .flat_map(|choice| {
                let mut word = word.clone();
                word[number] = Piece::Bare(format!("{}{choice}{}", &text[..open], &text[close + 1..]));
                braces(&word)
            })
            .collect();
    }
    vec![word.clone()]
}
