/// Go's `path.Match`: `*` and `?` do not cross `/`, `[a-z]` and `[^a-z]` are classes, `\` escapes. A malformed pattern
/// matches nothing.
pub(crate) fn path_match(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    matches(&pattern, &text)
}

fn matches(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        (['*', rest @ ..], _) => {
            let end = text.iter().position(|letter| *letter == '/').unwrap_or(text.len());
            (0..=end).any(|skipped| matches(rest, &text[skipped..]))
        }
        (['?', rest @ ..], [letter, tail @ ..]) => *letter != '/' && matches(rest, tail),
        (['[', rest @ ..], [letter, tail @ ..]) => match class(rest, *letter) {
            Some((true, rest)) => matches(rest, tail),
            _ => false,
        },
        (['\\', escaped, rest @ ..], [letter, tail @ ..]) => escaped == letter && matches(rest, tail),
        ([wanted, rest @ ..], [letter, tail @ ..]) => *wanted != '\\' && wanted == letter && matches(rest, tail),
        _ => false,
    }
}

/// Reads a class behind its `[`; says whether `letter` is in it, and what follows.
fn class(pattern: &[char], letter: char) -> Option<(bool, &[char])> {
    let (negated, mut rest) = match pattern {
        ['^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let mut found = false;
    let mut first = true;
    loop {
        let (low, tail) = match rest {
            [']', tail @ ..] if !first => return Some((found != negated, tail)),
            ['\\', low, tail @ ..] => (*low, tail),
            ['-' | ']', ..] | [] => return None,
            [low, tail @ ..] => (*low, tail),
        };
        first = false;
        let (high, tail) = match tail {
            ['-', '\\', high, tail @ ..] => (*high, tail),
            ['-', high, tail @ ..] if *high != ']' => (*high, tail),
            _ => (low, tail),
        };
        found |= (low..=high).contains(&letter);
        rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_patterns() {
        for (pattern, text, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("a\\*b", "a*b", true),
            ("[]a]", "]", false),
            ("[a", "a", false),
            ("", "", true),
        ] {
            assert_eq!(path_match(pattern, text), expected, "{pattern} {text}");
        }
    }
}
