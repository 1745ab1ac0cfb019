use std::fmt;

use serde::{Deserialize, Serialize};

use crate::source::{Source, Span};

/// How bad an authoring fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The scenario works; a reader would be served better.
    Warning,
    /// The scenario cannot be used as it is.
    Error,
}

/// One authoring fault with its place, what was expected and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    pub severity: Severity,
    /// A short stable name for filters and machines: `unknown-field`.
    pub code: String,
    pub message: String,
    pub file: String,
    /// Counts from 1.
    pub line: usize,
    /// Counts from 1, in characters.
    pub column: usize,
    /// In characters, on the first line of the fault.
    pub length: usize,
    pub span: Span,
    /// What would have been right here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The known word nearest to what was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The source line, so that the text form needs no file.
    pub excerpt: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let gutter = " ".repeat(self.line.to_string().len());
        writeln!(formatter, "{severity}[{}]: {}", self.code, self.message)?;
        writeln!(formatter, "{gutter}--> {}:{}:{}", self.file, self.line, self.column)?;
        writeln!(formatter, "{gutter} |")?;
        writeln!(formatter, "{} | {}", self.line, self.excerpt.replace('\t', " "))?;
        let marker = format!("{}{}", " ".repeat(self.column.saturating_sub(1)), "^".repeat(self.length.max(1)));
        write!(formatter, "{gutter} | {marker}")?;
        if let Some(expected) = &self.expected {
            write!(formatter, " expected {expected}")?;
        }
        if let Some(nearest) = &self.nearest {
            write!(formatter, "\n{gutter} = did you mean `{nearest}`?")?;
        }
        if let Some(fix) = &self.fix {
            write!(formatter, "\n{gutter} = fix: {fix}")?;
        }
        Ok(())
    }
}

/// All faults of one run, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
    pub(crate) fn sort(&mut self) {
        self.0.sort_by_key(|diagnostic| diagnostic.span.start);
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n\n")?;
            }
            write!(formatter, "{diagnostic}")?;
        }
        Ok(())
    }
}

/// Collects faults while a file is read.
pub(crate) struct Reporter<'a> {
    source: &'a Source<'a>,
    found: Vec<Diagnostic>,
}

/// A fault under construction; it is recorded by [`Reporter::push`].
pub(crate) struct Fault {
    severity: Severity,
    code: &'static str,
    span: Span,
    message: String,
    expected: Option<String>,
    nearest: Option<String>,
    fix: Option<String>,
}

impl Fault {
    pub(crate) fn error(code: &'static str, span: impl Into<Span>, message: impl Into<String>) -> Self {
        let (span, message) = (span.into(), message.into());
        Self { severity: Severity::Error, code, span, message, expected: None, nearest: None, fix: None }
    }
    pub(crate) fn warning(code: &'static str, span: impl Into<Span>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }
    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }
    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
    /// Names the words that are allowed and the nearest of them.
    pub(crate) fn one_of(mut self, written: &str, known: &[&str]) -> Self {
        self.nearest = nearest(written, known).map(str::to_owned);
        self.expected = Some(list_words(known));
        self
    }
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(source: &'a Source<'a>) -> Self {
        Self { source, found: Vec::new() }
    }
    pub(crate) fn push(&mut self, fault: Fault) {
        let position = self.source.position(fault.span.start);
        self.found.push(Diagnostic {
            severity: fault.severity,
            code: fault.code.to_owned(),
            message: fault.message,
            file: self.source.name.to_owned(),
            line: position.line,
            column: position.column,
            length: self.source.width(fault.span),
            span: fault.span,
            expected: fault.expected,
            nearest: fault.nearest,
            fix: fault.fix,
            excerpt: self.source.line(position.line).to_owned(),
        });
    }
    pub(crate) fn finish(self) -> Diagnostics {
        let mut diagnostics = Diagnostics(self.found);
        diagnostics.sort();
        diagnostics
    }
}

/// `a`, `b` or `c`.
pub(crate) fn list_words(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

/// The known word at the smallest edit distance, if it is near enough to be a slip of the hand.
pub(crate) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let limit = (written.chars().count() / 2).clamp(1, 3);
    known
        .iter()
        .map(|word| (edit_distance(&written.to_lowercase(), word), *word))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Damerau-Levenshtein distance with adjacent transpositions (optimal string alignment).
fn edit_distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().take(64).collect();
    let right: Vec<char> = right.chars().take(64).collect();
    let width = right.len() + 1;
    let mut table = vec![0_usize; (left.len() + 1) * width];
    for row in 0..=left.len() {
        for column in 0..=right.len() {
            let at = row * width + column;
            if row == 0 || column == 0 {
                table[at] = row + column;
                continue;
            }
            let same = left[row - 1] == right[column - 1];
            let mut best =
                (table[at - width] + 1).min(table[at - 1] + 1).min(table[at - width - 1] + usize::from(!same));
            if row > 1 && column > 1 && left[row - 1] == right[column - 2] && left[row - 2] == right[column - 1] {
                best = best.min(table[at - 2 * width - 2] + 1);
            }
            table[at] = best;
        }
    }
    table[left.len() * width + right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swapped_pair_is_one_slip() {
        assert_eq!(edit_distance("sate", "state"), 1);
        assert_eq!(edit_distance("iamge", "image"), 1);
        assert_eq!(nearest("iamge", &["image", "name"]), Some("image"));
        assert_eq!(nearest("colour", &["image", "name"]), None);
    }

    #[test]
    fn positions_count_characters_from_one() {
        let source = Source::new("a.md", "é\nab\n");
        let position = source.position(4);
        assert_eq!((position.line, position.column), (2, 2));
        assert_eq!(source.line(2), "ab");
    }
}
