//! Items of Rust files, found by name.

use std::path::Path;

use crate::{DirectiveError, read};

/// The item with its documentation, as a code block that says where it stands.
pub(crate) fn render(path: &Path, name: &str) -> Result<String, DirectiveError> {
    let source = read(path)?;
    let item =
        find(&source, name).ok_or_else(|| DirectiveError::Item { path: path.to_owned(), name: name.to_owned() })?;
    // Rust's own playground would be offered for `rust`.
    Ok(format!("```rust,ignore\n{}\n```\n", item.trim_end()))
}

/// From the first line of its documentation to the line that closes it. Relies on the layout that rustfmt gives.
fn find<'a>(source: &'a str, name: &str) -> Option<&'a str> {
    let mut offset = 0;
    let mut lines = Vec::new();
    for line in source.split_inclusive('\n') {
        lines.push((offset, line));
        offset += line.len();
    }
    let head = lines.iter().position(|(_, line)| declares(line, name))?;
    let indent = indentation(lines[head].1);
    let belongs = |line: &str| {
        let text = line.trim_start();
        indentation(line) == indent && (text.starts_with("///") || text.starts_with("#["))
    };
    let first = (0..head).rev().take_while(|index| belongs(lines[*index].1)).last().unwrap_or(head);
    let last = if lines[head].1.trim_end().ends_with(';') {
        head
    } else {
        let closes = |line: &str| indentation(line) == indent && line.trim_start().starts_with(['}', ']', ')']);
        (head + 1..lines.len()).find(|index| closes(lines[*index].1) && ends_item(lines[*index].1))?
    };
    Some(&source[lines[first].0..lines[last].0 + lines[last].1.len()])
}

/// `) -> Result<()> {` closes the arguments and opens the body.
fn ends_item(line: &str) -> bool {
    !line.trim_end().ends_with('{')
}

fn declares(line: &str, name: &str) -> bool {
    let mut words = line.split(|character: char| !character.is_alphanumeric() && character != '_');
    words.any(|word| matches!(word, "fn" | "const" | "static" | "struct" | "enum" | "trait"))
        && words.next() == Some(name)
        && !line.trim_start().starts_with("//")
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
use a::b;

/// Adds.
///
/// Twice.
#[must_use]
pub(crate) fn add(
    a: u32,
) -> u32 {
    if a > 0 {
        a
    }
}

/// Names.
const NAMES: [&str; 2] = [
    \"fn add\",
    \"b\",
];

const ONE: u8 = 1;
";

    #[test]
    fn a_function_comes_with_its_documentation() {
        let found = find(SOURCE, "add").unwrap();
        assert!(found.starts_with("/// Adds.\n") && found.ends_with("    }\n}\n"), "{found}");
    }

    #[test]
    fn constants_of_one_line_and_of_many() {
        assert!(find(SOURCE, "NAMES").unwrap().ends_with("];\n"));
        assert_eq!(find(SOURCE, "ONE"), Some("const ONE: u8 = 1;\n"));
    }

    #[test]
    fn an_item_that_is_gone_is_not_found() {
        assert_eq!(find(SOURCE, "sub"), None);
    }
}
