//! Words as the shell sees them: splitting at blanks, quotes, and the expansion of variables.

use docklab_api::{ApiError, ApiResult};

use super::configure::quoted;

/// Splits at blanks that are neither quoted nor escaped. Quotes and escapes stay.
pub(crate) fn split(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match quote {
            None if letter.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if matches!(letter, '"' | '\'') => quote = Some(letter),
            Some(open) if letter == open => quote = None,
            _ => {}
        }
        word.push(letter);
        if letter == escape
            && quote != Some('\'')
            && let Some(next) = letters.next()
        {
            word.push(next);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Variables by name.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Removes quotes and escapes and puts in variables.
pub(crate) fn expand(word: &str, escape: char, lookup: Lookup<'_>) -> ApiResult<String> {
    let letters: Vec<char> = word.chars().collect();
    let mut lexer = Lexer { letters: &letters, at: 0, escape, lookup };
    lexer.until(None).map_err(|reason| ApiError::invalid(format!("failed to process {}: {reason}", quoted(word))))
}

/// As [`expand`]; the result is split at blanks that did not stand in quotes.
pub(crate) fn expand_all(word: &str, escape: char, lookup: Lookup<'_>) -> ApiResult<Vec<String>> {
    let expanded = expand(word, escape, lookup)?;
    if word.contains(['"', '\'']) {
        return Ok(vec![expanded]);
    }
    Ok(expanded.split_whitespace().map(ToOwned::to_owned).collect())
}

/// Puts variables into a text in which quotes mean nothing.
pub(crate) fn expand_text(text: &str, escape: char, lookup: Lookup<'_>) -> ApiResult<String> {
    let letters: Vec<char> = text.chars().collect();
    let mut lexer = Lexer { letters: &letters, at: 0, escape, lookup };
    let mut expanded = String::new();
    while let Some(letter) = lexer.next() {
        match letter {
            '$' => {
                let value =
                    lexer.dollar().map_err(|reason| ApiError::invalid(format!("failed to process: {reason}")))?;
                expanded.push_str(&value);
            }
            letter if letter == escape && lexer.peek() == Some('$') => expanded.extend(lexer.next()),
            letter => expanded.push(letter),
        }
    }
    Ok(expanded)
}

struct Lexer<'a> {
    letters: &'a [char],
    at: usize,
    escape: char,
    lookup: Lookup<'a>,
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<char> {
        let letter = self.letters.get(self.at).copied();
        self.at += usize::from(letter.is_some());
        letter
    }
    fn peek(&self) -> Option<char> {
        self.letters.get(self.at).copied()
    }

    /// Up to `stop`, which is consumed; without it, to the end.
    fn until(&mut self, stop: Option<char>) -> Result<String, String> {
        let mut text = String::new();
        while let Some(letter) = self.next() {
            match letter {
                letter if Some(letter) == stop => return Ok(text),
                '\'' => self.single_quoted(&mut text)?,
                '"' => self.double_quoted(&mut text)?,
                '$' => text.push_str(&self.dollar()?),
                letter if letter == self.escape => text.extend(self.next()),
                letter => text.push(letter),
            }
        }
        match stop {
            Some(_) => Err("syntax error: missing '}'".to_owned()),
            None => Ok(text),
        }
    }

    fn single_quoted(&mut self, text: &mut String) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\'') => return Ok(()),
                Some(letter) => text.push(letter),
                None => return Err("unexpected end of statement while looking for matching single-quote".to_owned()),
            }
        }
    }

    fn double_quoted(&mut self, text: &mut String) -> Result<(), String> {
        loop {
            match self.next() {
                Some('"') => return Ok(()),
                Some('$') => text.push_str(&self.dollar()?),
                Some(letter) if letter == self.escape => match self.peek() {
                    Some(next) if matches!(next, '"' | '$') || next == self.escape => text.extend(self.next()),
                    _ => text.push(letter),
                },
                Some(letter) => text.push(letter),
                None => return Err("unexpected end of statement while looking for matching double-quote".to_owned()),
            }
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(letter) = self.peek() {
            let good = letter.is_ascii_alphabetic() || letter == '_' || (!name.is_empty() && letter.is_ascii_digit());
            if good {
                name.push(letter);
                self.at += 1;
            } else {
                break;
            }
        }
        if name.is_empty() {
            // A positional or special parameter; they are never set.
            match self.peek() {
                Some(letter) if letter.is_ascii_digit() => {
                    while let Some(digit) = self.peek().filter(char::is_ascii_digit) {
                        name.push(digit);
                        self.at += 1;
                    }
                }
                Some(letter) if "@*#?-$!".contains(letter) => {
                    name.push(letter);
                    self.at += 1;
                }
                _ => {}
            }
        }
        name
    }

    fn dollar(&mut self) -> Result<String, String> {
        if self.peek() != Some('{') {
            let name = self.name();
            return Ok(if name.is_empty() { "$".to_owned() } else { (self.lookup)(&name).unwrap_or_default() });
        }
        self.at += 1;
        if self.peek() == Some('}') {
            return Err("syntax error: bad substitution".to_owned());
        }
        let name = self.name();
        if name.is_empty() {
            return Err("syntax error: bad substitution".to_owned());
        }
        let value = (self.lookup)(&name);
        // At the end Go reads the rune -1, which prints as the replacement character.
        let modifier = self.next().unwrap_or('\u{fffd}');
        match modifier {
            '}' => Ok(value.unwrap_or_default()),
            ':' => {
                let operator = self.next().ok_or("syntax error: missing '}'")?;
                self.choose(operator, &name, value.filter(|value| !value.is_empty()))
            }
            '+' | '-' | '?' => self.choose(modifier, &name, value),
            '#' | '%' => {
                let greedy = self.peek() == Some(modifier);
                self.at += usize::from(greedy);
                let pattern = self.until(Some('}'))?;
                Ok(trimmed(&value.unwrap_or_default(), &pattern, modifier == '#', greedy))
            }
            '/' => {
                let all = self.peek() == Some('/');
                self.at += usize::from(all);
                let rest = self.until(Some('}'))?;
                let (pattern, replacement) = rest.split_once('/').unwrap_or((&rest, ""));
                Ok(replaced(&value.unwrap_or_default(), pattern, replacement, all))
            }
            other => Err(format!("unsupported modifier ({other}) in substitution")),
        }
    }

    fn choose(&mut self, operator: char, name: &str, value: Option<String>) -> Result<String, String> {
        let word = self.until(Some('}'))?;
        match operator {
            '-' => Ok(value.unwrap_or(word)),
            '+' => Ok(value.map(|_| word).unwrap_or_default()),
            '?' => value.ok_or_else(|| {
                let why = if word.is_empty() { "is not allowed to be unset".to_owned() } else { word };
                format!("{name}: {why}")
            }),
            other => Err(format!("unsupported modifier (:{other}) in substitution")),
        }
    }
}

/// A glob of the shell, in which `*` crosses every letter.
fn glob(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        (['*', rest @ ..], _) => (0..=text.len()).any(|skipped| glob(rest, &text[skipped..])),
        (['?', rest @ ..], [_, tail @ ..]) => glob(rest, tail),
        (['\\', escaped, rest @ ..], [letter, tail @ ..]) => escaped == letter && glob(rest, tail),
        ([wanted, rest @ ..], [letter, tail @ ..]) => wanted == letter && glob(rest, tail),
        _ => false,
    }
}

/// `${x#pattern}`, `${x##pattern}`, `${x%pattern}`, `${x%%pattern}`.
fn trimmed(value: &str, pattern: &str, prefix: bool, greedy: bool) -> String {
    let letters: Vec<char> = value.chars().collect();
    let pattern: Vec<char> = pattern.chars().collect();
    let count = letters.len();
    let mut lengths: Vec<usize> = (0..=count).collect();
    if greedy {
        lengths.reverse();
    }
    for length in lengths {
        let (removed, kept) = if prefix {
            letters.split_at(length)
        } else {
            let (kept, removed) = letters.split_at(count - length);
            (removed, kept)
        };
        if glob(&pattern, removed) {
            return kept.iter().collect();
        }
    }
    value.to_owned()
}

/// `${x/pattern/replacement}` and `${x//pattern/replacement}`; the longest match at each place.
fn replaced(value: &str, pattern: &str, replacement: &str, all: bool) -> String {
    let letters: Vec<char> = value.chars().collect();
    let pattern: Vec<char> = pattern.chars().collect();
    let mut text = String::new();
    let (mut at, mut done) = (0, false);
    while at < letters.len() {
        let end =
            if done { None } else { (at + 1..=letters.len()).rev().find(|end| glob(&pattern, &letters[at..*end])) };
        match end {
            Some(end) => {
                text.push_str(replacement);
                at = end;
                done = !all;
            }
            None => {
                text.push(letters[at]);
                at += 1;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "x" => Some("foo.tar.gz".to_owned()),
            "empty" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn expansions() {
        for (word, wanted) in [
            ("$x", "foo.tar.gz"),
            ("a${x}b", "afoo.tar.gzb"),
            ("'$x'", "$x"),
            ("\"$x y\"", "foo.tar.gz y"),
            ("\\$x", "$x"),
            ("\"\\$x \\a\"", "$x \\a"),
            ("${no:-d}", "d"),
            ("${empty:-d}", "d"),
            ("${empty-d}", ""),
            ("${no-$x}", "foo.tar.gz"),
            ("${x:+y}", "y"),
            ("${no:+y}", ""),
            ("${x#*.}", "tar.gz"),
            ("${x##*.}", "gz"),
            ("${x%.*}", "foo.tar"),
            ("${x%%.*}", "foo"),
            ("${x/o/0}", "f0o.tar.gz"),
            ("${x//o/0}", "f00.tar.gz"),
            ("$no-$", "-$"),
        ] {
            assert_eq!(expand(word, '\\', &lookup).as_deref(), Ok(wanted), "{word}");
        }
    }

    #[test]
    fn bad_expansions_say_why() {
        for (word, wanted) in [
            ("${x", "failed to process \"${x\": unsupported modifier (\u{fffd}) in substitution"),
            ("${x:z}", "failed to process \"${x:z}\": unsupported modifier (:z) in substitution"),
            ("${no:?gone}", "failed to process \"${no:?gone}\": no: gone"),
            ("'a", "failed to process \"'a\": unexpected end of statement while looking for matching single-quote"),
        ] {
            assert_eq!(expand(word, '\\', &lookup).map_err(|error| error.message), Err(wanted.to_owned()));
        }
    }

    #[test]
    fn words_split_outside_of_quotes() {
        assert_eq!(split("a=\"b c\" d\\ e 'f g'", '\\'), ["a=\"b c\"", "d\\ e", "'f g'"]);
    }
}
