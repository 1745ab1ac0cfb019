//! Reference pages that are made from the code they describe.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use docklab_scenario::{FieldType, Kind};

use crate::{DirectiveError, read};

/// Every kind of check with its fields.
pub(crate) fn checks() -> String {
    let mut text = String::new();
    for kind in Kind::ALL {
        let _ = writeln!(text, "## `{}`\n\n| field | value | meaning |\n|---|---|---|", kind.noun());
        let required = kind.required();
        for field in kind.fields() {
            let star = if required.contains(&field.name) { ", required" } else { "" };
            let _ = writeln!(text, "| `{}` | {}{star} | {} |", field.name, values(field.kind), cell(field.help));
        }
        text.push_str("| `count` | number or range | how many there have to be; without it, at least one |\n");
        text.push_str("| `none` | `true` | there must be none |\n\n");
    }
    text
}

fn values(kind: FieldType) -> String {
    match kind {
        FieldType::Text => "text or glob".to_owned(),
        FieldType::Image => "image".to_owned(),
        FieldType::Number => "number or range".to_owned(),
        FieldType::Flag => "`true`, `false`".to_owned(),
        FieldType::List => "text or list".to_owned(),
        FieldType::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        FieldType::Steer => "text".to_owned(),
        FieldType::SteerNumber => "number".to_owned(),
        FieldType::Selector => "table of container fields".to_owned(),
    }
}

/// `|` ends a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Every command of the docker command line with its help.
pub(crate) fn commands() -> String {
    let mut text = String::new();
    for (command, help) in docklab_cli::reference() {
        let _ = writeln!(text, "## {command}\n\n```text\n{}\n```\n", help.trim_end());
    }
    text
}

/// The paths that a server's source answers: the arms `(Method::GET, ["containers", id, "json"])` of its matches. A file named
/// after a group of paths serves those below it.
pub(crate) fn routes(directory: &Path) -> Result<String, DirectiveError> {
    let failed = |reason| DirectiveError::Read { path: directory.to_owned(), reason };
    let mut routes = BTreeSet::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let source = read(&path)?;
            // What is handed the rest of the path without its first segment names only that rest.
            let prefix =
                if source.contains("segments: &[&str]") && is_group(&stem) { Some(stem.as_str()) } else { None };
            routes.extend(arms(&source).into_iter().map(|(method, segments)| (full(prefix, &segments), method)));
        }
    }
    let mut text = "| path | method |\n|---|---|\n".to_owned();
    for (path, method) in routes {
        let _ = writeln!(text, "| `{path}` | {method} |");
    }
    Ok(text)
}

fn is_group(stem: &str) -> bool {
    matches!(stem, "containers" | "exec" | "networks" | "volumes")
}

fn full(prefix: Option<&str>, segments: &[String]) -> String {
    let all = prefix.into_iter().map(str::to_owned).chain(segments.iter().cloned());
    format!("/{}", all.collect::<Vec<_>>().join("/"))
}

/// Method and path of each arm; a name that the arm binds stands in braces.
fn arms(source: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for line in source.lines() {
        let Some(rest) = line.trim().strip_prefix("(Method::") else { continue };
        let Some((methods, rest)) = rest.split_once(", [") else { continue };
        let Some((segments, _)) = rest.split_once(']') else { continue };
        let segments = segments.split(',').map(str::trim).filter(|segment| !segment.is_empty()).map(|segment| {
            match segment.strip_prefix('"').and_then(|segment| segment.strip_suffix('"')) {
                Some(literal) => literal.to_owned(),
                None if segment.contains("..") => "{name…}".to_owned(),
                None => format!("{{{segment}}}"),
            }
        });
        let segments: Vec<String> = segments.collect();
        for method in methods.split('|') {
            found.push((method.trim().trim_start_matches("Method::").to_owned(), segments.clone()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_become_paths() {
        let source = r#"
        (Method::GET | Method::HEAD, ["_ping"]) => ping(),
        (Method::POST, [id, "start"]) => {
        "#;
        let expected = vec![
            ("GET".to_owned(), vec!["_ping".to_owned()]),
            ("HEAD".to_owned(), vec!["_ping".to_owned()]),
            ("POST".to_owned(), vec!["{id}".to_owned(), "start".to_owned()]),
        ];
        assert_eq!(arms(source), expected);
    }

    #[test]
    fn every_kind_of_check_and_every_command_is_there() {
        let text = checks();
        assert!(text.contains("## `container`") && text.contains("| `publish` |"), "{text}");
        let text = commands();
        assert!(text.contains("## docker container run\n") && text.contains("--publish list"), "{text}");
    }
}
