//! Output blocks: `[..]` stands for any text within a line, a line `...` for any number of lines.
//!
//! Nothing else is loosened, except what cannot be seen on a page: a terminal's carriage returns, blanks at the end of
//! a line and empty lines at the end of the text.

use serde::{Deserialize, Serialize};

/// Where output left its block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputMismatch {
    /// The pattern and the output line by line: ` ` in both, `-` wanted only, `+` printed only.
    pub diff: String,
}

/// Compares printed text with an output block.
pub fn match_output(pattern: &str, printed: &str) -> Result<(), OutputMismatch> {
    let wanted = lines(pattern);
    let found = lines(printed);
    // fits[i][j]: the first i pattern lines cover exactly the first j printed lines.
    let width = found.len() + 1;
    let mut fits = vec![false; (wanted.len() + 1) * width];
    fits[0] = true;
    for (row, line) in wanted.iter().enumerate() {
        for column in 0..width {
            let above = fits[row * width + column];
            fits[(row + 1) * width + column] = if *line == "..." {
                above || (column > 0 && fits[(row + 1) * width + column - 1])
            } else {
                column > 0 && fits[row * width + column - 1] && line_matches(line, found[column - 1])
            };
        }
    }
    if fits[wanted.len() * width + found.len()] { Ok(()) } else { Err(OutputMismatch { diff: diff(&wanted, &found) }) }
}

fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.split('\n').map(str::trim_end).collect();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines
}

fn line_matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("[..]");
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A longest-common-subsequence diff in which pattern lines count as equal to what they match.
fn diff(wanted: &[&str], found: &[&str]) -> String {
    let width = found.len() + 1;
    let mut longest = vec![0_usize; (wanted.len() + 1) * width];
    for row in (0..wanted.len()).rev() {
        for column in (0..found.len()).rev() {
            let at = row * width + column;
            longest[at] = if line_matches(wanted[row], found[column]) {
                longest[at + width + 1] + 1
            } else {
                longest[at + width].max(longest[at + 1])
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut text = String::new();
    let mut push = |sign: char, line: &str| text.push_str(&format!("{sign}{line}\n"));
    while row < wanted.len() || column < found.len() {
        let at = row * width + column;
        if row < wanted.len() && column < found.len() && line_matches(wanted[row], found[column]) {
            push(' ', found[column]);
            row += 1;
            column += 1;
        } else if row < wanted.len() && (column == found.len() || longest[at + width] >= longest[at + 1]) {
            push('-', wanted[row]);
            row += 1;
        } else {
            push('+', found[column]);
            column += 1;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elisions_cover_parts_of_lines_and_whole_lines() {
        assert!(match_output("[..]   top  [..]   Up [..]\n", "7d1a   top   x   Up 2 seconds\r\n").is_ok());
        assert!(match_output("a\n...\nz\n", "a\nb\nc\nz\n").is_ok());
        assert!(match_output("...\n", "").is_ok());
        assert!(match_output("a[..]b[..]b", "a1b").is_err());
        assert!(match_output("abc", "abcd").is_err());
    }

    #[test]
    fn a_mismatch_is_a_diff() {
        let mismatch = match_output("one\nt[..]o\nthree\n", "one\ntwo\nfour\n").unwrap_err();
        insta::assert_snapshot!(mismatch.diff, @r"
         one
         two
        -three
        +four
        ");
    }
}
