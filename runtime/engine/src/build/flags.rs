//! Options between an instruction's name and its arguments.

use super::instruction::{Parsed, wrong};

/// Options before the arguments: `--name` or `--name=value`.
pub(super) struct Flags {
    given: Vec<(String, Option<String>)>,
}

impl Flags {
    /// Refuses what Docker does not know; the result is the first option that is BuildKit's alone.
    pub(super) fn accept(&self, known: &[&str], foreign: &[&str]) -> Parsed<Option<String>> {
        let mut first = None;
        for (index, (name, _)) in self.given.iter().enumerate() {
            if foreign.contains(&name.as_str()) {
                first = first.or_else(|| Some(name.clone()));
                continue;
            }
            if !known.contains(&name.as_str()) {
                return wrong(format!("unknown flag: --{name}"));
            }
            if self.given[..index].iter().any(|(other, _)| other == name) {
                return wrong(format!("duplicate flag specified: --{name}"));
            }
        }
        Ok(first)
    }

    /// An option that is on or off.
    pub(super) fn switch(&self, name: &str) -> Parsed<bool> {
        match self.given.iter().find(|(other, _)| other == name) {
            None => Ok(false),
            Some((_, None)) => Ok(true),
            Some((_, Some(value))) => match value.to_ascii_lowercase().as_str() {
                "" | "true" => Ok(true),
                "false" => Ok(false),
                _ => wrong(format!("expecting boolean value for flag --{name}, not: {value}")),
            },
        }
    }

    pub(super) fn value(&self, name: &str) -> Parsed<Option<String>> {
        match self.given.iter().find(|(other, _)| other == name) {
            None => Ok(None),
            Some((_, Some(value))) => Ok(Some(value.clone())),
            Some((_, None)) => wrong(format!("missing a value on flag: --{name}")),
        }
    }
}

/// Takes the options off the front.
pub(super) fn flags(mut rest: &str) -> (Flags, &str) {
    let mut given = Vec::new();
    loop {
        rest = rest.trim_start();
        let Some(flag) = rest.strip_prefix("--") else { return (Flags { given }, rest) };
        let end = flag.find(char::is_whitespace).unwrap_or(flag.len());
        let (word, tail) = flag.split_at(end);
        rest = tail;
        if word.is_empty() {
            return (Flags { given }, rest.trim_start());
        }
        given.push(match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word.to_owned(), None),
        });
    }
}
