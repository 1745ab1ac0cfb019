//! `*`, `?` and `[…]`.

/// Whether a whole text matches a pattern. A backslash takes the next character as it is.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    matches_from(&pattern, &text)
}

fn matches_from(pattern: &[char], text: &[char]) -> bool {
    match pattern.first() {
        None => text.is_empty(),
        Some('*') => (0..=text.len()).any(|skip| matches_from(&pattern[1..], &text[skip..])),
        Some('?') => !text.is_empty() && matches_from(&pattern[1..], &text[1..]),
        Some('\\') if pattern.len() > 1 => text.first() == Some(&pattern[1]) && matches_from(&pattern[2..], &text[1..]),
        Some('[') => match pattern.iter().skip(2).position(|c| *c == ']').map(|end| end + 2) {
            Some(end) => {
                let Some(&c) = text.first() else { return false };
                let set = &pattern[1..end];
                let (negated, set) = match set.first() {
                    Some('!' | '^') => (true, &set[1..]),
                    _ => (false, set),
                };
                in_set(set, c) != negated && matches_from(&pattern[end + 1..], &text[1..])
            }
            None => text.first() == Some(&'[') && matches_from(&pattern[1..], &text[1..]),
        },
        Some(c) => text.first() == Some(c) && matches_from(&pattern[1..], &text[1..]),
    }
}

fn in_set(set: &[char], c: char) -> bool {
    let mut at = 0;
    while at < set.len() {
        if at + 2 < set.len() && set[at + 1] == '-' {
            if (set[at]..=set[at + 2]).contains(&c) {
                return true;
            }
            at += 3;
        } else {
            if set[at] == c {
                return true;
            }
            at += 1;
        }
    }
    false
}
