//! YAML into JSON's values: anchors and aliases are followed, merge keys (`<<`) are merged.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// The first document of a text. The error is in the words of Docker's YAML reader.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    let mut reader = Reader { events: Vec::new(), at: 0, anchors: HashMap::new() };
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| broken(text, &error))?;
        if matches!(event, Event::DocumentEnd) {
            break;
        }
        if !matches!(event, Event::StreamStart | Event::DocumentStart(_) | Event::Nothing | Event::StreamEnd) {
            reader.events.push(event);
        }
    }
    if reader.events.is_empty() {
        return Ok(Value::Null);
    }
    reader.node()
}

/// The end of a text is on its last line.
fn broken(text: &str, error: &saphyr_parser::ScanError) -> String {
    let reason = error.info();
    let reason = reason.strip_prefix("while ").and_then(|rest| rest.split_once(", ")).map_or(reason, |(_, rest)| rest);
    format!("yaml: line {}: {reason}", error.marker().line().min(text.lines().count().max(1)))
}

struct Reader<'a> {
    events: Vec<Event<'a>>,
    at: usize,
    anchors: HashMap<usize, Value>,
}

impl Reader<'_> {
    fn node(&mut self) -> Result<Value, String> {
        let Some(event) = self.events.get(self.at).cloned() else { return Err("yaml: unexpected end".to_owned()) };
        self.at += 1;
        let (anchor, value) = match event {
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                return known.ok_or_else(|| "yaml: unknown anchor referenced".to_owned());
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                (anchor, if plain { scalar(&text) } else { Value::from(text.as_ref()) })
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                while !matches!(self.events.get(self.at), None | Some(Event::SequenceEnd)) {
                    items.push(self.node()?);
                }
                self.at += 1;
                (anchor, Value::Array(items))
            }
            Event::MappingStart(anchor, _) => {
                let mut map = Map::new();
                let mut merged = Vec::new();
                while !matches!(self.events.get(self.at), None | Some(Event::MappingEnd)) {
                    let key = match self.node()? {
                        Value::String(key) => key,
                        other => other.to_string(),
                    };
                    let value = self.node()?;
                    match (key.as_str(), value) {
                        ("<<", Value::Array(items)) => merged.extend(items),
                        ("<<", value) => merged.push(value),
                        (_, value) => {
                            map.insert(key, value);
                        }
                    }
                }
                self.at += 1;
                // What stands in the mapping itself wins.
                for value in merged {
                    for (key, value) in value.as_object().cloned().unwrap_or_default() {
                        map.entry(key).or_insert(value);
                    }
                }
                (anchor, Value::Object(map))
            }
            _ => return Err("yaml: unexpected structure".to_owned()),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }
}

/// A plain scalar by YAML's core schema. Octal numbers are those of modes: `0444`.
fn scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let octal = text.strip_prefix("0o").or_else(|| text.strip_prefix('0').filter(|rest| !rest.is_empty()));
    if let Some(number) = octal.and_then(|digits| i64::from_str_radix(digits, 8).ok()) {
        return Value::from(number);
    }
    if let Ok(number) = text.parse::<i64>() {
        return Value::from(number);
    }
    let is_number = text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '-' | '+' | '.'));
    match text.parse::<f64>() {
        Ok(number) if is_number && number.is_finite() => Value::from(number),
        _ => Value::from(text),
    }
}

/// As Docker writes YAML: two spaces, lists indented, texts quoted where they would read as something else.
pub(crate) fn write(value: &Value) -> String {
    let mut output = String::new();
    block(value, 0, &mut output);
    output
}

fn block(value: &Value, depth: usize, output: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                output.push_str(&format!("{indent}{}:", quoted(key)));
                entry(value, depth, output);
            }
        }
        Value::Array(items) => {
            for item in items {
                output.push_str(&format!("{indent}-"));
                let mut nested = String::new();
                if matches!(item, Value::Object(map) if !map.is_empty()) {
                    block(item, depth + 1, &mut nested);
                    output.push_str(&format!(" {}", nested.trim_start()));
                } else {
                    entry(item, depth, output);
                }
            }
        }
        scalar => output.push_str(&format!("{indent}{}\n", inline(scalar))),
    }
}

/// What follows a key or a dash.
fn entry(value: &Value, depth: usize, output: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            output.push('\n');
            block(value, depth + 1, output);
        }
        Value::Array(items) if !items.is_empty() => {
            output.push('\n');
            block(value, depth + 1, output);
        }
        Value::String(text) if text.contains('\n') => {
            output.push_str(if text.ends_with('\n') { " |\n" } else { " |-\n" });
            let indent = "  ".repeat(depth + 1);
            for line in text.trim_end_matches('\n').split('\n') {
                output.push_str(&format!("{indent}{line}\n"));
            }
        }
        scalar => output.push_str(&format!(" {}\n", inline(scalar))),
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    let reads_as_text =
        matches!(scalar(text), Value::String(_)) && !matches!(text, "y" | "n" | "yes" | "no" | "on" | "off");
    let begins_badly = text
        .starts_with([' ', '?', ':', ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`']);
    let is_structure = text == "-" || text.starts_with("- ") || text.ends_with([' ', ':']);
    let has_marks = text.contains(": ") || text.contains(" #");
    let plain = reads_as_text && !begins_badly && !is_structure && !has_marks;
    if plain {
        text.to_owned()
    } else if matches!(scalar(text), Value::String(_)) && !text.contains('\'') && !text.is_empty() {
        format!("'{text}'")
    } else {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn anchors_merge_keys_and_core_types_are_read() {
        let text = "a: &x {p: 1, q: two}\nb:\n  <<: *x\n  q: 3\nc: [yes, 'no', 0440, 1.5, ~, true]\nd: |\n  l1\n  l2\n";
        let read = parse(text).unwrap();
        assert_eq!(
            read,
            json!({"a": {"p": 1, "q": "two"}, "b": {"q": 3, "p": 1},
                "c": ["yes", "no", 288, 1.5, null, true], "d": "l1\nl2\n"})
        );
        assert_eq!(parse(&write(&read)).unwrap(), read);
    }

    #[test]
    fn a_broken_text_names_its_line() {
        assert!(parse("a: [\n").unwrap_err().starts_with("yaml: line "));
    }
}
