//! Passages that several labs share: a line `{{#include parts/clean-up.md}}` stands for the text of that file.

use thiserror::Error;

use crate::{diagnostic::Diagnostics, parse::parse};

/// How deep includes may stand inside each other.
const DEPTH: usize = 8;

/// A lab with what it includes, and where each of its lines comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expanded {
    pub text: String,
    /// Files by their paths, relative to the lab's directory; the first is the lab itself.
    pub files: Vec<String>,
    /// Of each line, the index of its file and its number there, counted from 1.
    lines: Vec<(usize, usize)>,
}

/// Why a lab cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IncludeError {
    #[error("{file}:{line}: `{path}` cannot be included: there is no such file")]
    Missing { file: String, line: usize, path: String },
    #[error("{file}:{line}: `{path}` cannot be included: an include stays beneath the lab's directory")]
    Outside { file: String, line: usize, path: String },
    #[error(
        "{file}:{line}: `{path}` cannot be included: files include each other, or are nested more than {DEPTH} deep"
    )]
    TooDeep { file: String, line: usize, path: String },
}

fn includes(text: &str) -> Vec<&str> {
    text.lines().filter_map(included).collect()
}

/// The files, by their paths, that a text asks for directly: what it includes, and images that it describes for the
/// simulator.
pub fn wanted(text: &str) -> Vec<String> {
    let mut paths: Vec<String> = includes(text).into_iter().map(str::to_owned).collect();
    if text.starts_with("+++") {
        paths.extend(parse("", text).scenario.meta.simulator);
    }
    paths
}

fn included(line: &str) -> Option<&str> {
    let path = line.trim_end().strip_prefix("{{#include ")?.strip_suffix("}}")?.trim();
    (!path.is_empty()).then_some(path)
}

/// Replaces every include by the text of its file, also inside what is included. `read` gives a file's text by its path
/// relative to the lab's directory.
///
/// # Errors
/// The first include that has no file, leads out of the directory or never ends.
pub fn expand(name: &str, text: &str, read: &dyn Fn(&str) -> Option<String>) -> Result<Expanded, IncludeError> {
    let mut expanded = Expanded { text: String::new(), files: vec![name.to_owned()], lines: Vec::new() };
    // A lab that needs no other file stays byte for byte what it is.
    if wanted(text).is_empty() {
        text.clone_into(&mut expanded.text);
        expanded.lines = (1..=text.lines().count().max(1)).map(|line| (0, line)).collect();
        return Ok(expanded);
    }
    add(&mut expanded, 0, text, read, 0)?;
    for path in parse(name, &expanded.text).scenario.meta.simulator {
        let Some(description) = read(&path) else {
            return Err(IncludeError::Missing { file: name.to_owned(), line: 1, path });
        };
        expanded.files.push(path);
        let file = expanded.files.len() - 1;
        for (index, line) in ["", "```image"].into_iter().chain(description.lines()).chain(["```"]).enumerate() {
            expanded.text.push_str(line);
            expanded.text.push('\n');
            expanded.lines.push((file, index.saturating_sub(1).max(1)));
        }
    }
    Ok(expanded)
}

fn add(
    expanded: &mut Expanded,
    file: usize,
    text: &str,
    read: &dyn Fn(&str) -> Option<String>,
    depth: usize,
) -> Result<(), IncludeError> {
    for (index, line) in text.lines().enumerate() {
        let Some(path) = included(line) else {
            expanded.text.push_str(line);
            expanded.text.push('\n');
            expanded.lines.push((file, index + 1));
            continue;
        };
        let place = || (expanded.files[file].clone(), index + 1, path.to_owned());
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            let (file, line, path) = place();
            return Err(IncludeError::Outside { file, line, path });
        }
        if depth == DEPTH {
            let (file, line, path) = place();
            return Err(IncludeError::TooDeep { file, line, path });
        }
        let Some(inner) = read(path) else {
            let (file, line, path) = place();
            return Err(IncludeError::Missing { file, line, path });
        };
        expanded.files.push(path.to_owned());
        let inner_file = expanded.files.len() - 1;
        add(expanded, inner_file, &inner, read, depth + 1)?;
    }
    Ok(())
}

impl Expanded {
    /// Puts faults of the whole to where their lines were written.
    pub fn locate(&self, faults: &mut Diagnostics) {
        for fault in &mut faults.0 {
            if let Some((file, line)) = fault.line.checked_sub(1).and_then(|line| self.lines.get(line))
                && *file > 0
            {
                fault.file.clone_from(&self.files[*file]);
                fault.line = *line;
            } else if let Some((_, line)) = fault.line.checked_sub(1).and_then(|line| self.lines.get(line)) {
                fault.line = *line;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IncludeError, expand};
    use crate::lint;

    const FRONT: &str = "+++\nid = \"a\"\ntitle = \"A\"\nsummary = \"s\"\ntime = 1\n+++\n\n";

    fn read(path: &str) -> Option<String> {
        let text = match path {
            "parts/end.md" => "## End\n\n{{#include parts/quiz.md}}\n",
            "parts/quiz.md" => "```quiz\nquestion = \"q\"\n```\n",
            "loop.md" => "{{#include loop.md}}\n",
            _ => return None,
        };
        Some(text.to_owned())
    }

    #[test]
    fn a_fault_is_told_of_the_file_that_has_it() {
        let text = format!("{FRONT}## S\n\n{{{{#include parts/end.md}}}}\n\n```chekc\n```\n");
        let expanded = expand("labs/a.md", &text, &read).unwrap();
        let mut faults = lint("labs/a.md", &expanded.text);
        expanded.locate(&mut faults);
        let places: Vec<String> =
            faults.iter().map(|fault| format!("{}:{} {}", fault.file, fault.line, fault.code)).collect();
        insta::assert_debug_snapshot!(places, @r#"
        [
            "labs/a.md:8 no-check",
            "parts/end.md:1 no-check",
            "parts/quiz.md:1 missing-field",
            "labs/a.md:12 unknown-block",
        ]
        "#);
    }

    #[test]
    fn what_leads_out_or_never_ends_is_refused() {
        let error = |path: &str| expand("a.md", &format!("{{{{#include {path}}}}}\n"), &read).unwrap_err();
        assert!(matches!(error("../x.md"), IncludeError::Outside { line: 1, .. }));
        assert!(matches!(error("loop.md"), IncludeError::TooDeep { .. }));
        assert!(matches!(error("none.md"), IncludeError::Missing { .. }));
    }

    #[test]
    fn images_for_the_simulator_come_with_the_lab() {
        let text = "+++\nid = \"a\"\ntitle = \"A\"\nsimulator = [\"assets/shop.toml\"]\n+++\n\n## S\n\ntext\n";
        let read = |path: &str| (path == "assets/shop.toml").then(|| "name = \"shop\"\n[tags.latest]\n".to_owned());
        let scenario = crate::parse("a.md", &expand("a.md", text, &read).unwrap().text).scenario;
        assert_eq!(scenario.images, ["name = \"shop\"\n[tags.latest]\n"]);
        assert_eq!(scenario.steps[0].blocks.len(), 1);
        assert!(expand("a.md", text, &|_| None).is_err());
    }

    #[test]
    fn a_lab_without_includes_stays_as_it_is() {
        let text = "a\r\nb";
        assert_eq!(expand("a.md", text, &read).unwrap().text, text);
    }
}
