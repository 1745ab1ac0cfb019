use std::fmt;

use docklab_api::Reference;
use serde::{Deserialize, Serialize};

use super::Expectation;

/// What a field's value must be.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Matcher {
    Equal {
        text: String,
    },
    /// `*` is any run of characters, `?` one; line ends included.
    Glob {
        pattern: String,
    },
    Regex {
        pattern: Pattern,
    },
    Contains {
        part: String,
    },
    /// An image reference, compared by repository and, where given, tag.
    Image {
        reference: String,
    },
    Number {
        range: NumberRange,
    },
    Flag {
        value: bool,
    },
    /// There is no value.
    None,
    Not {
        inner: Box<Matcher>,
    },
    /// Any of them.
    Any {
        of: Vec<Matcher>,
    },
    /// Every one, each by some element of the list.
    All {
        of: Vec<Matcher>,
    },
    /// Which containers (for exec).
    Container {
        expectation: Box<Expectation>,
    },
}

/// A regular expression that has been tried when the scenario was read.
#[derive(Clone)]
pub struct Pattern(pub(crate) regex_lite::Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}
impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "/{}/", self.0.as_str())
    }
}
impl Serialize for Pattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

/// Numbers from `least` to `most`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberRange {
    pub least: Option<i64>,
    pub most: Option<i64>,
}

impl NumberRange {
    pub fn exactly(number: i64) -> Self {
        Self { least: Some(number), most: Some(number) }
    }
    pub fn contains(self, number: i64) -> bool {
        self.least.is_none_or(|least| number >= least) && self.most.is_none_or(|most| number <= most)
    }
    /// Reads `>= 2`, `> 2`, `<= 2`, `< 2`, `= 2`, `2` and `2..5`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let number = |text: &str| text.trim().parse::<i64>().ok();
        if let Some(rest) = text.strip_prefix(">=") {
            return Some(Self { least: Some(number(rest)?), most: None });
        }
        if let Some(rest) = text.strip_prefix("<=") {
            return Some(Self { least: None, most: Some(number(rest)?) });
        }
        if let Some(rest) = text.strip_prefix('>') {
            return Some(Self { least: Some(number(rest)?.checked_add(1)?), most: None });
        }
        if let Some(rest) = text.strip_prefix('<') {
            return Some(Self { least: None, most: Some(number(rest)?.checked_sub(1)?) });
        }
        if let Some((least, most)) = text.split_once("..") {
            return Some(Self { least: Some(number(least)?), most: Some(number(most)?) });
        }
        number(text.strip_prefix('=').unwrap_or(text)).map(Self::exactly)
    }
}

impl fmt::Display for NumberRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.least, self.most) {
            (Some(least), Some(most)) if least == most => write!(formatter, "{least}"),
            (Some(least), Some(most)) => write!(formatter, "{least} to {most}"),
            (Some(least), None) => write!(formatter, "at least {least}"),
            (None, Some(most)) => write!(formatter, "at most {most}"),
            (None, None) => formatter.write_str("any number of"),
        }
    }
}

/// A value that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actual {
    Text(String),
    Number(i64),
    Flag(bool),
    List(Vec<String>),
    Absent,
}

impl fmt::Display for Actual {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(formatter, "`{}`", shorten(text)),
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Flag(true) => formatter.write_str("yes"),
            Self::Flag(false) => formatter.write_str("no"),
            Self::List(items) if items.is_empty() => formatter.write_str("none"),
            Self::List(items) => {
                let shown: Vec<String> = items.iter().take(6).map(|item| format!("`{}`", shorten(item))).collect();
                formatter.write_str(&shown.join(", "))?;
                if items.len() > shown.len() {
                    write!(formatter, " and {} more", items.len() - shown.len())
                } else {
                    Ok(())
                }
            }
            Self::Absent => formatter.write_str("none"),
        }
    }
}

/// A value in a report: one line of at most 120 characters.
fn shorten(text: &str) -> String {
    let line = text.trim_end().replace('\n', "⏎");
    if line.chars().count() <= 120 { line } else { line.chars().take(119).chain(['…']).collect() }
}

impl Matcher {
    /// Whether the value fits.
    pub fn matches(&self, actual: &Actual) -> bool {
        match self {
            Self::None => match actual {
                Actual::Absent => true,
                Actual::Text(text) => text.is_empty(),
                Actual::List(items) => items.is_empty(),
                Actual::Number(_) | Actual::Flag(_) => false,
            },
            Self::Not { inner } => !inner.matches(actual),
            Self::Any { of } => of.iter().any(|matcher| matcher.matches(actual)),
            Self::All { of } => of.iter().all(|matcher| matcher.matches(actual)),
            Self::Flag { value } => *actual == Actual::Flag(*value),
            Self::Number { range } => match actual {
                Actual::Number(number) => range.contains(*number),
                _ => false,
            },
            Self::Container { .. } => true,
            Self::Equal { .. }
            | Self::Glob { .. }
            | Self::Regex { .. }
            | Self::Contains { .. }
            | Self::Image { .. } => match actual {
                Actual::Text(text) => self.matches_text(text),
                Actual::List(items) => items.iter().any(|item| self.matches_text(item)),
                Actual::Number(number) => self.matches_text(&number.to_string()),
                Actual::Flag(_) | Actual::Absent => false,
            },
        }
    }

    fn matches_text(&self, text: &str) -> bool {
        match self {
            Self::Equal { text: wanted } => wanted == text,
            Self::Glob { pattern } => glob(pattern, text),
            Self::Regex { pattern } => pattern.0.is_match(text),
            Self::Contains { part } => text.contains(part.as_str()),
            Self::Image { reference } => same_image(reference, text),
            _ => false,
        }
    }
}

/// Without a tag every tag of the repository fits; a digest behind the tag is not looked at.
fn same_image(wanted: &str, actual: &str) -> bool {
    if wanted.contains(['*', '?']) {
        return glob(wanted, actual);
    }
    let tagged = |text: &str| text.split('@').next().unwrap_or(text).to_owned();
    let (Ok(wanted), Ok(actual)) = (Reference::parse(wanted), Reference::parse(&tagged(actual))) else {
        return wanted == actual;
    };
    let tag = |reference: &Reference| {
        let familiar = reference.clone().with_default_tag().familiar();
        familiar.rsplit_once(':').map(|(_, tag)| tag.to_owned())
    };
    let any_tag = wanted.familiar() == wanted.familiar_name();
    wanted.name() == actual.name() && (any_tag || tag(&wanted) == tag(&actual))
}

/// Linear in time: remembers only the last `*`.
fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at_pattern, mut at_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at_text < text.len() {
        match pattern.get(at_pattern) {
            Some('*') => {
                star = Some((at_pattern, at_text));
                at_pattern += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == text[at_text] => {
                at_pattern += 1;
                at_text += 1;
            }
            _ => {
                let Some((star_pattern, star_text)) = star else { return false };
                at_pattern = star_pattern + 1;
                at_text = star_text + 1;
                star = Some((star_pattern, at_text));
            }
        }
    }
    pattern[at_pattern..].iter().all(|rest| *rest == '*')
}

impl fmt::Display for Matcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |of: &[Self], word: &str| of.iter().map(ToString::to_string).collect::<Vec<_>>().join(word);
        match self {
            Self::Equal { text } => write!(formatter, "`{}`", shorten(text)),
            Self::Glob { pattern } => write!(formatter, "like `{}`", shorten(pattern)),
            Self::Regex { pattern } => write!(formatter, "{pattern:?}"),
            Self::Contains { part } => write!(formatter, "containing `{}`", shorten(part)),
            Self::Image { reference } => write!(formatter, "`{reference}`"),
            Self::Number { range } => write!(formatter, "{range}"),
            Self::Flag { value } => formatter.write_str(if *value { "yes" } else { "no" }),
            Self::None => formatter.write_str("none"),
            Self::Not { inner } => write!(formatter, "not {inner}"),
            Self::Any { of } => formatter.write_str(&join(of, " or ")),
            Self::All { of } => formatter.write_str(&join(of, " and ")),
            Self::Container { expectation } => formatter.write_str(&expectation.describe()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_span_lines_and_backtrack() {
        assert!(glob("*nginx!*", "<h1>Welcome\nto nginx!</h1>"));
        assert!(glob("top*", "top"));
        assert!(!glob("to?", "to"));
        assert!(glob("*a*b", "aab"));
    }

    #[test]
    fn an_image_without_a_tag_fits_every_tag() {
        assert!(same_image("ubuntu", "ubuntu:22.04"));
        assert!(same_image("ubuntu", "docker.io/library/ubuntu"));
        assert!(same_image(
            "nginx:1.12",
            "nginx:1.12@sha256:0000000000000000000000000000000000000000000000000000000000000000"
        ));
        assert!(!same_image("mongo:3.4", "mongo"));
        assert!(!same_image("ubuntu", "nginx"));
    }

    #[test]
    fn comparisons_read_as_written() {
        assert_eq!(NumberRange::parse(">= 2").map(|range| range.to_string()).as_deref(), Some("at least 2"));
        assert_eq!(NumberRange::parse("2..5").map(|range| (range.contains(5), range.contains(6))), Some((true, false)));
        assert_eq!(NumberRange::parse("many"), None);
    }
}
