//! As much of a shell's grammar as is needed to change one word of a command, or to leave a command out.

use std::ops::Range;

/// Commands of a block as byte ranges, each with its line end: continued lines, here-documents and compound commands
/// stay together.
pub(super) fn commands(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut start, mut at) = (0, 0);
    let mut depth = 0_usize;
    let mut here_document: Option<String> = None;
    for line in text.split_inclusive('\n') {
        at += line.len();
        let trimmed = line.trim();
        if let Some(end) = &here_document {
            if trimmed == end {
                here_document = None;
            } else {
                continue;
            }
        } else {
            here_document = here_document_end(line);
            for (index, word) in trimmed.split([' ', '\t', ';']).filter(|word| !word.is_empty()).enumerate() {
                match word {
                    "for" | "while" | "until" | "if" | "case" if index == 0 || depth > 0 => depth += 1,
                    "done" | "fi" | "esac" => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
        }
        if depth == 0 && here_document.is_none() && !trimmed.ends_with('\\') {
            if !text[start..at].trim().is_empty() {
                found.push(start..at);
            }
            start = at;
        }
    }
    if !text[start..].trim().is_empty() {
        found.push(start..text.len());
    }
    found
}

fn here_document_end(line: &str) -> Option<String> {
    let rest = line.split_once("<<")?.1.trim_start_matches('-').trim_start();
    let word: String = rest.chars().take_while(|letter| !letter.is_whitespace()).collect();
    let word = word.trim_matches(['\'', '"']).to_owned();
    (!word.is_empty() && !word.starts_with('<')).then_some(word)
}

/// Words of a text as byte ranges, quotation marks included. Operators that end a command are words of their own.
pub(super) fn words(text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start: Option<usize> = None;
    let mut quote: Option<char> = None;
    let mut depth = 0_usize;
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if let Some(open) = quote {
            if letter == open {
                quote = None;
            }
            continue;
        }
        let is_operator = depth == 0 && matches!(letter, ';' | '|' | '&' | '\n');
        if is_operator || (depth == 0 && (letter.is_whitespace() || letter == '\\')) {
            if let Some(start) = start.take() {
                words.push(start..at);
            }
            if is_operator {
                words.push(at..at + letter.len_utf8());
            } else if letter == '\\' {
                letters.next();
            }
            continue;
        }
        start.get_or_insert(at);
        match letter {
            '\'' | '"' => quote = Some(letter),
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    if let Some(start) = start {
        words.push(start..text.len());
    }
    words
}

/// True for a word that ends a simple command.
pub(super) fn is_operator(word: &str) -> bool {
    matches!(word, ";" | "|" | "&" | "\n")
}

#[cfg(test)]
mod tests {
    use super::{commands, words};

    fn split(text: &str) -> Vec<&str> {
        commands(text).into_iter().map(|range| text[range].trim_end()).collect()
    }

    #[test]
    fn what_belongs_together_is_one_command() {
        assert_eq!(split("a\n\nb \\\n  c\n"), ["a", "b \\\n  c"]);
        assert_eq!(split("for i in 1 2; do x; done\ny\n"), ["for i in 1 2; do x; done", "y"]);
        assert_eq!(split("for i in 1\ndo\n x\ndone\ny"), ["for i in 1\ndo\n x\ndone", "y"]);
        assert_eq!(split("cat > f <<'EOF'\na\nb\nEOF\ny\n"), ["cat > f <<'EOF'\na\nb\nEOF", "y"]);
    }

    #[test]
    fn quotes_and_substitutions_are_one_word() {
        let text = "a 'b c' $(d e) f=\"g h\";i";
        let found: Vec<&str> = words(text).into_iter().map(|range| &text[range]).collect();
        assert_eq!(found, ["a", "'b c'", "$(d e)", "f=\"g h\"", ";", "i"]);
    }
}
