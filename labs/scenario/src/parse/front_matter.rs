use super::tree::{self, Entry, Node, Value};
use crate::{
    diagnostic::{Fault, Reporter},
    document::{Allowed, Diagram, Level, Meta},
    source::Span,
};

const KEYS: &[&str] = &[
    "id",
    "title",
    "summary",
    "nodes",
    "images",
    "time",
    "level",
    "language",
    "variables",
    "diagram",
    "allow",
    "simulator",
];

/// Reads what stands between the `+++` lines; returns it with the offset at which the Markdown begins.
pub(super) fn read(text: &str, reporter: &mut Reporter<'_>) -> (Meta, usize) {
    let mut meta = Meta {
        id: String::new(),
        title: String::new(),
        summary: String::new(),
        nodes: vec!["node1".to_owned()],
        images: Vec::new(),
        time: 0,
        level: Level::default(),
        language: "en".to_owned(),
        variables: Vec::new(),
        diagram: None,
        allow: Vec::new(),
        simulator: Vec::new(),
    };
    let mut lines = text.split_inclusive('\n');
    let Some(first) = lines.next().filter(|line| line.trim_start_matches('\u{feff}').trim_end() == "+++") else {
        let end = text.find('\n').unwrap_or(text.len());
        reporter.push(
            Fault::error("front-matter", Span::new(0, end), "this scenario has no front matter")
                .expected("a first line `+++`")
                .fix("begin the file with `+++`, the keys `id` and `title`, and `+++` again"),
        );
        return (meta, 0);
    };
    let start = first.len();
    let mut end = start;
    let mut body = None;
    for line in lines {
        if line.trim_end() == "+++" {
            body = Some(end + line.len());
            break;
        }
        end += line.len();
    }
    let Some(body) = body else {
        reporter.push(
            Fault::error("front-matter", Span::new(0, 3), "the front matter is never closed")
                .fix("add a line `+++` below its last key"),
        );
        return (meta, text.len());
    };
    for entry in tree::read(text.get(start..end).unwrap_or(""), start, reporter) {
        key(&entry, &mut meta, reporter);
    }
    for (name, value) in [("id", &meta.id), ("title", &meta.title)] {
        if value.is_empty() {
            reporter.push(
                Fault::error("missing-field", Span::new(0, 3), format!("the front matter has no `{name}`"))
                    .expected(format!("`{name} = \"…\"`")),
            );
        }
    }
    (meta, body)
}

fn key(entry: &Entry, meta: &mut Meta, reporter: &mut Reporter<'_>) {
    let node = &entry.node;
    match entry.key.as_str() {
        "id" => {
            if let Some(id) = text(node, reporter) {
                if super::slug(&id) != id {
                    reporter.push(
                        Fault::error("id", node.span, "an id is made of lower-case words and hyphens")
                            .fix(format!("write `{}`", super::slug(&id))),
                    );
                }
                meta.id = id;
            }
        }
        "title" => meta.title = text(node, reporter).unwrap_or_default(),
        "summary" => meta.summary = text(node, reporter).unwrap_or_default(),
        "language" => meta.language = text(node, reporter).unwrap_or_default(),
        "nodes" => {
            if let Some(nodes) = texts(node, reporter) {
                if nodes.is_empty() {
                    reporter.push(Fault::error("nodes", node.span, "a lab needs a node").expected("`[\"node1\"]`"));
                } else {
                    meta.nodes = nodes;
                }
            }
        }
        "images" => meta.images = texts(node, reporter).unwrap_or_default(),
        "time" => match &node.value {
            Value::Integer(minutes) if (1..=600).contains(minutes) => meta.time = u32::try_from(*minutes).unwrap_or(0),
            _ => wrong_type(node, "minutes, from 1 to 600", reporter),
        },
        "level" => {
            if let Some(word) = text(node, reporter) {
                match word.as_str() {
                    "beginner" => meta.level = Level::Beginner,
                    "intermediate" => meta.level = Level::Intermediate,
                    "advanced" => meta.level = Level::Advanced,
                    _ => reporter.push(
                        Fault::error("unknown-word", node.span, format!("there is no level `{word}`"))
                            .one_of(&word, &["beginner", "intermediate", "advanced"]),
                    ),
                }
            }
        }
        "diagram" => {
            if let Some(word) = text(node, reporter) {
                const DIAGRAMS: [Diagram; 3] = [Diagram::Host, Diagram::Layers, Diagram::Swarm];
                meta.diagram = DIAGRAMS.into_iter().find(|diagram| diagram.as_str() == word);
                if meta.diagram.is_none() {
                    reporter.push(
                        Fault::error("unknown-word", node.span, format!("there is no diagram `{word}`"))
                            .one_of(&word, &DIAGRAMS.map(Diagram::as_str)),
                    );
                }
            }
        }
        "variables" => match &node.value {
            Value::Table(entries) => {
                for variable in entries {
                    match text(&variable.node, reporter) {
                        Some(value) if !value.trim().is_empty() => meta.variables.push((variable.key.clone(), value)),
                        Some(_) => wrong_type(&variable.node, "a text that is found in the lab", reporter),
                        None => {}
                    }
                }
            }
            _ => wrong_type(node, "a table such as `{ repository = \"student/app\" }`", reporter),
        },
        "simulator" => meta.simulator = texts(node, reporter).unwrap_or_default(),
        "allow" => match &node.value {
            Value::Table(entries) => {
                for allowed in entries {
                    let Some(because) = text(&allowed.node, reporter) else { continue };
                    meta.allow.push(Allowed { rule: allowed.key.clone(), because, span: allowed.key_span });
                }
            }
            _ => wrong_type(node, "a table such as `{ unpinned = \"why\" }`", reporter),
        },
        other => reporter.push(
            Fault::error("unknown-field", entry.key_span, format!("the front matter has no `{other}`"))
                .one_of(other, KEYS),
        ),
    }
}

fn wrong_type(node: &Node, expected: &str, reporter: &mut Reporter<'_>) {
    reporter.push(Fault::error("wrong-type", node.span, format!("this is {}", node.describe())).expected(expected));
}

pub(super) fn text(node: &Node, reporter: &mut Reporter<'_>) -> Option<String> {
    if let Value::Text(text) = &node.value {
        return Some(text.clone());
    }
    wrong_type(node, "a string", reporter);
    None
}

pub(super) fn texts(node: &Node, reporter: &mut Reporter<'_>) -> Option<Vec<String>> {
    if let Value::Array(items) = &node.value {
        return Some(items.iter().filter_map(|item| text(item, reporter)).collect());
    }
    wrong_type(node, "an array of strings", reporter);
    None
}
