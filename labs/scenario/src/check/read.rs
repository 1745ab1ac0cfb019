//! From a check block's TOML to expectations, with a diagnostic for everything that does not fit.

use super::{Check, Expectation, FieldExpectation, FieldType, Kind, Matcher, Mistake, NumberRange, matcher::Pattern};
use crate::{
    diagnostic::{Fault, Reporter},
    parse::tree::{self, Entry, Node, Value},
    source::Span,
};

/// What the front matter lets checks refer to.
pub(crate) struct Context<'a> {
    pub(crate) nodes: &'a [String],
}

/// Reads the TOML of a check block that begins at `span.start`.
pub(crate) fn check(text: &str, span: Span, context: &Context<'_>, reporter: &mut Reporter<'_>) -> Check {
    let mut check = Check { span, ..Check::default() };
    for entry in tree::read(text, span.start, reporter) {
        if entry.key == "mistake" {
            for table in tables(&entry, reporter) {
                check.mistakes.extend(mistake(table, entry.key_span, context, reporter));
            }
            continue;
        }
        let Some(kind) = kind(&entry, true, reporter) else { continue };
        for (fields, span) in tables(&entry, reporter).into_iter().map(|fields| (fields, entry.key_span)) {
            check.expectations.push(expectation(kind, fields, span, context, reporter));
        }
    }
    check
}

fn kind(entry: &Entry, with_mistake: bool, reporter: &mut Reporter<'_>) -> Option<Kind> {
    let kind = Kind::from_noun(&entry.key);
    if kind.is_none() {
        let mut known: Vec<&str> = Kind::ALL.into_iter().map(Kind::noun).collect();
        if with_mistake {
            known.push("mistake");
        }
        reporter.push(
            Fault::error("unknown-kind", entry.key_span, format!("nothing called `{}` can be checked", entry.key))
                .one_of(&entry.key, &known),
        );
    }
    kind
}

/// `[[container]]` gives several tables, `[container]` one.
fn tables<'e>(entry: &'e Entry, reporter: &mut Reporter<'_>) -> Vec<&'e [Entry]> {
    let mut wrong = |node: &Node| {
        reporter.push(
            Fault::error(
                "not-a-table",
                node.span,
                format!("`{}` needs a table, this is {}", entry.key, node.describe()),
            )
            .expected(format!("`[[{}]]` on a line of its own", entry.key)),
        );
    };
    match &entry.node.value {
        Value::Table(fields) => vec![fields],
        Value::Array(items) => items
            .iter()
            .filter_map(|item| match &item.value {
                Value::Table(fields) => Some(fields.as_slice()),
                _ => {
                    wrong(item);
                    None
                }
            })
            .collect(),
        _ => {
            wrong(&entry.node);
            Vec::new()
        }
    }
}

fn mistake(entries: &[Entry], span: Span, context: &Context<'_>, reporter: &mut Reporter<'_>) -> Option<Mistake> {
    let (mut when, mut say) = (Vec::new(), None);
    for entry in entries {
        match (entry.key.as_str(), &entry.node.value) {
            ("say", Value::Text(text)) => say = Some(text.trim().to_owned()),
            ("when", Value::Table(kinds)) => {
                for condition in kinds {
                    let Some(kind) = kind(condition, false, reporter) else { continue };
                    for fields in tables(condition, reporter) {
                        when.push(expectation(kind, fields, condition.key_span, context, reporter));
                    }
                }
            }
            ("say", _) => reporter.push(
                Fault::error("wrong-type", entry.node.span, format!("`say` is {}", entry.node.describe()))
                    .expected("a string"),
            ),
            ("when", _) => reporter.push(
                Fault::error("wrong-type", entry.node.span, format!("`when` is {}", entry.node.describe()))
                    .expected("`when.container = { … }`"),
            ),
            (other, _) => reporter.push(
                Fault::error("unknown-field", entry.key_span, format!("a mistake has no `{other}`"))
                    .one_of(other, &["when", "say"]),
            ),
        }
    }
    let missing = if when.is_empty() {
        Some("when")
    } else if say.is_none() {
        Some("say")
    } else {
        None
    };
    if let Some(missing) = missing {
        reporter.push(
            Fault::error("missing-field", span, format!("this mistake has no `{missing}`"))
                .fix("give it `when.KIND = { … }`, what is seen, and `say`, what the student is told"),
        );
        return None;
    }
    say.map(|say| Mistake { when, say, span })
}

/// Reads one expectation's fields.
fn expectation(
    kind: Kind,
    entries: &[Entry],
    span: Span,
    context: &Context<'_>,
    reporter: &mut Reporter<'_>,
) -> Expectation {
    let (mut fields, mut count) = (Vec::new(), None);
    for entry in entries {
        if entry.key == "count" {
            count = number(&entry.node, reporter);
            continue;
        }
        if entry.key == "none" {
            match entry.node.value {
                Value::Boolean(true) => count = Some(NumberRange::exactly(0)),
                _ => reporter.push(
                    Fault::error("wrong-type", entry.node.span, "`none` has one value")
                        .expected("`none = true`")
                        .fix("leave it out to demand at least one"),
                ),
            }
            continue;
        }
        let Some(field) = kind.field(&entry.key) else {
            let mut known: Vec<&str> = kind.fields().iter().map(|field| field.name).collect();
            known.extend(["count", "none"]);
            reporter.push(
                Fault::error(
                    "unknown-field",
                    entry.key_span,
                    format!("{} {} has no `{}`", kind.article(), kind.noun(), entry.key),
                )
                .one_of(&entry.key, &known),
            );
            continue;
        };
        if let Some(matcher) = matcher(field.kind, &entry.node, context, reporter) {
            check_node(field.name, &matcher, entry.node.span, context, reporter);
            fields.push(FieldExpectation { field: field.name.to_owned(), matcher });
        }
    }
    for required in kind.required() {
        if !fields.iter().any(|field| field.field == *required) && !entries.iter().any(|entry| entry.key == *required) {
            let help = kind.field(required).map_or("", |field| field.help);
            reporter.push(
                Fault::error("missing-field", span, format!("{} {} needs `{required}`", kind.article(), kind.noun()))
                    .expected(format!("`{required}`: {help}")),
            );
        }
    }
    Expectation { kind, fields, count, span }
}

/// `node`, `from` and `on` name nodes of the front matter.
fn check_node(field: &str, matcher: &Matcher, span: Span, context: &Context<'_>, reporter: &mut Reporter<'_>) {
    let Matcher::Equal { text } = matcher else { return };
    if matches!(field, "node" | "from" | "on") && !context.nodes.iter().any(|node| node == text) {
        let known: Vec<&str> = context.nodes.iter().map(String::as_str).collect();
        reporter.push(
            Fault::error("unknown-node", span, format!("the front matter has no node `{text}`")).one_of(text, &known),
        );
    }
}

fn number(node: &Node, reporter: &mut Reporter<'_>) -> Option<NumberRange> {
    let range = match &node.value {
        Value::Integer(number) => Some(NumberRange::exactly(*number)),
        Value::Text(text) => NumberRange::parse(text),
        _ => None,
    };
    if range.is_none() {
        reporter.push(
            Fault::error("wrong-type", node.span, "this is not a number or a comparison")
                .expected("`2`, `\">= 2\"`, `\"< 5\"` or `\"2..5\"`"),
        );
    }
    range
}

fn matcher(kind: FieldType, node: &Node, context: &Context<'_>, reporter: &mut Reporter<'_>) -> Option<Matcher> {
    match kind {
        FieldType::Steer => return steer(node, reporter),
        FieldType::SteerNumber => {
            return match node.value {
                Value::Integer(number) if (1..=1000).contains(&number) => {
                    Some(Matcher::Equal { text: number.to_string() })
                }
                _ => {
                    reporter.push(
                        Fault::error("wrong-type", node.span, "this is out of range")
                            .expected("a number from 1 to 1000"),
                    );
                    None
                }
            };
        }
        FieldType::Selector => {
            let Value::Table(fields) = &node.value else {
                reporter.push(
                    Fault::error("wrong-type", node.span, format!("this is {}", node.describe()))
                        .expected("a table such as `{ image = \"ubuntu\", state = \"running\" }`"),
                );
                return None;
            };
            let expectation = expectation(Kind::Container, fields, node.span, context, reporter);
            return Some(Matcher::Container { expectation: Box::new(expectation) });
        }
        _ => {}
    }
    match &node.value {
        Value::Table(entries) => table_matcher(kind, node, entries, context, reporter),
        Value::Array(items) => {
            let of: Vec<Matcher> = items.iter().filter_map(|item| matcher(kind, item, context, reporter)).collect();
            if kind == FieldType::List { Some(Matcher::All { of }) } else { Some(Matcher::Any { of }) }
        }
        _ => plain_matcher(kind, node, reporter),
    }
}

fn steer(node: &Node, reporter: &mut Reporter<'_>) -> Option<Matcher> {
    if let Value::Text(text) = &node.value {
        return Some(Matcher::Equal { text: text.clone() });
    }
    reporter.push(Fault::error("wrong-type", node.span, format!("this is {}", node.describe())).expected("a string"));
    None
}

fn plain_matcher(kind: FieldType, node: &Node, reporter: &mut Reporter<'_>) -> Option<Matcher> {
    let expected = match (kind, &node.value) {
        (FieldType::Number, _) => return number(node, reporter).map(|range| Matcher::Number { range }),
        (FieldType::Flag, Value::Boolean(value)) => return Some(Matcher::Flag { value: *value }),
        (FieldType::Flag, _) => "`true` or `false`",
        (FieldType::Word(words), Value::Text(text)) => {
            if words.contains(&text.as_str()) {
                return Some(Matcher::Equal { text: text.clone() });
            }
            reporter.push(
                Fault::error("unknown-word", node.span, format!("`{text}` is not a value of this field"))
                    .one_of(text, words),
            );
            return None;
        }
        (FieldType::Image, Value::Text(text)) => return Some(Matcher::Image { reference: text.clone() }),
        (FieldType::Text | FieldType::List, Value::Text(text)) => {
            return Some(if text.contains(['*', '?']) {
                Matcher::Glob { pattern: text.clone() }
            } else {
                Matcher::Equal { text: text.clone() }
            });
        }
        (FieldType::Text | FieldType::List, Value::Integer(number)) => {
            return Some(Matcher::Equal { text: number.to_string() });
        }
        _ => "a string",
    };
    reporter.push(Fault::error("wrong-type", node.span, format!("this is {}", node.describe())).expected(expected));
    None
}

/// `{ regex = "…" }` and the like; several keys must all fit.
fn table_matcher(
    kind: FieldType,
    node: &Node,
    entries: &[Entry],
    context: &Context<'_>,
    reporter: &mut Reporter<'_>,
) -> Option<Matcher> {
    let mut of = Vec::new();
    for entry in entries {
        let value = &entry.node;
        match (entry.key.as_str(), &value.value) {
            ("equal", Value::Text(text)) => of.push(Matcher::Equal { text: text.clone() }),
            ("glob", Value::Text(text)) => of.push(Matcher::Glob { pattern: text.clone() }),
            ("regex", Value::Text(text)) => match regex_lite::Regex::new(text) {
                Ok(regex) => of.push(Matcher::Regex { pattern: Pattern(regex) }),
                Err(error) => {
                    reporter.push(Fault::error(
                        "regex",
                        value.span,
                        format!("this regular expression cannot be read: {error}"),
                    ));
                    return None;
                }
            },
            ("contains", Value::Text(text)) => of.push(Matcher::Contains { part: text.clone() }),
            ("none", Value::Boolean(true)) => of.push(Matcher::None),
            ("not", _) => {
                let inner = matcher(kind, value, context, reporter)?;
                of.push(Matcher::Not { inner: Box::new(inner) });
            }
            ("any", Value::Array(items)) => {
                let any = items.iter().filter_map(|item| matcher(kind, item, context, reporter)).collect();
                of.push(Matcher::Any { of: any });
            }
            (other, _) => {
                let known = ["equal", "glob", "regex", "contains", "none", "not", "any"];
                let fault = if known.contains(&other) {
                    Fault::error("wrong-type", value.span, format!("`{other}` cannot be {}", value.describe()))
                        .expected(match other {
                            "none" => "`true`",
                            "any" => "an array",
                            _ => "a string",
                        })
                } else {
                    Fault::error("unknown-matcher", entry.key_span, format!("there is no matcher `{other}`"))
                        .one_of(other, &known)
                };
                reporter.push(fault);
                return None;
            }
        }
    }
    match of.len() {
        0 => {
            reporter.push(
                Fault::error("empty-matcher", node.span, "this matcher is empty")
                    .expected("such as `{ regex = \"^a\" }`"),
            );
            None
        }
        1 => of.pop(),
        _ => Some(Matcher::All { of }),
    }
}
