use crate::{DirectiveError, Place, item, lab, quiz, reference};

/// Replaces every directive of ours that stands alone on its line. Others are left to mdBook (`{{#include …}}`).
pub(crate) fn replace_all(content: &str, place: &Place<'_>) -> Result<String, DirectiveError> {
    let mut text = String::with_capacity(content.len());
    let mut fence = None;
    for line in content.lines() {
        // A directive in a code block is an example of itself.
        if let Some(mark) = ["```", "~~~"].into_iter().find(|mark| line.trim_start().starts_with(mark)) {
            fence = if fence == Some(mark) { None } else { fence.or(Some(mark)) };
        }
        match directive(line).filter(|_| fence.is_none()) {
            Some((name, arguments)) => text.push_str(&replacement(name, &arguments, place)?),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    Ok(text)
}

/// Names of mdBook's own directives.
const FOREIGN: [&str; 5] = ["include", "rustdoc_include", "playground", "template", "title"];

fn directive(line: &str) -> Option<(&str, Vec<&str>)> {
    let inner = line.trim().strip_prefix("{{#")?.strip_suffix("}}")?;
    let mut words = inner.split_whitespace();
    let name = words.next()?;
    (!FOREIGN.contains(&name)).then(|| (name, words.collect()))
}

fn replacement(name: &str, arguments: &[&str], place: &Place<'_>) -> Result<String, DirectiveError> {
    let needs = |needs| DirectiveError::Arguments { directive: name.to_owned(), needs };
    match (name, arguments) {
        ("lab", [file]) => lab::render(&place.chapter.join(file), place.page.as_deref()),
        ("quiz", [file]) => quiz::render_all(&place.chapter.join(file)),
        ("item", [file, item]) => item::render(&place.code_root.join(file), item),
        ("checks", []) => Ok(reference::checks()),
        ("commands", []) => Ok(reference::commands()),
        ("routes", [directory]) => reference::routes(&place.code_root.join(directory)),
        ("lab" | "quiz", _) => Err(needs("the file of a lab")),
        ("item", _) => Err(needs("a Rust file and the name of an item")),
        ("routes", _) => Err(needs("a directory with the source of a server")),
        ("checks" | "commands", _) => Err(needs("nothing after its name")),
        _ => Err(DirectiveError::Unknown(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn place() -> Place<'static> {
        Place { chapter: Path::new("."), code_root: Path::new("."), page: None }
    }

    #[test]
    fn other_text_and_directives_of_mdbook_stay() {
        let text = "# A\n\n{{#include x.rs}}\n\na {{#lab}} b\n";
        assert_eq!(replace_all(text, &place()).unwrap(), text);
    }

    #[test]
    fn a_directive_in_a_code_block_is_an_example() {
        let text = "```text\n{{#lab x.md}}\n```\n";
        assert_eq!(replace_all(text, &place()).unwrap(), text);
    }

    #[test]
    fn what_cannot_be_replaced_is_named() {
        let error = |text: &str| replace_all(text, &place()).unwrap_err().to_string();
        assert_eq!(error("{{#labs}}"), "`{{#labs}}` is no directive of docklab");
        assert_eq!(error("{{#item a.rs}}"), "`{{#item}}` needs a Rust file and the name of an item");
        assert!(error("{{#lab nowhere.md}}").starts_with("reading ./nowhere.md: "));
    }
}
