use std::cmp::Ordering;

use serde_json::Value;

use crate::format::{json_text, truncate};

const NAMES: &[&str] = &[
    "and", "eq", "ge", "gt", "html", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not", "or", "pad",
    "print", "printf", "println", "slice", "split", "title", "truncate", "upper",
];

pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

/// How Go prints a value in a template.
pub(super) fn print(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(inner).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().map(|(key, value)| format!("{key}:{}", inner(value))).collect();
            entries.sort_unstable();
            format!("map[{}]", entries.join(" "))
        }
        other => other.to_string(),
    }
}

fn inner(value: &Value) -> String {
    if value.is_null() { "<nil>".to_owned() } else { print(value) }
}

/// Go's truth: not zero, not empty.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

pub(super) fn call(name: &str, arguments: Vec<Value>, headers: bool) -> Result<Value, String> {
    let first = arguments.first().cloned().unwrap_or(Value::Null);
    if headers && matches!(name, "json" | "lower" | "upper" | "title" | "truncate" | "split" | "join") {
        return Ok(first);
    }
    let text = |index: usize| arguments.get(index).map(print).unwrap_or_default();
    Ok(match name {
        "json" => Value::from(json_text(&first)),
        "lower" => Value::from(text(0).to_lowercase()),
        "upper" => Value::from(text(0).to_uppercase()),
        "title" => {
            let text = text(0);
            let mut letters = text.chars();
            Value::from(
                letters
                    .next()
                    .map(|letter| letter.to_uppercase().chain(letters).collect::<String>())
                    .unwrap_or_default(),
            )
        }
        "join" => {
            let items = first.as_array().map(|items| items.iter().map(print).collect::<Vec<_>>()).unwrap_or_default();
            Value::from(items.join(&text(1)))
        }
        "split" => Value::from(text(0).split(text(1).as_str()).map(Value::from).collect::<Vec<_>>()),
        "truncate" => Value::from(truncate(&text(0), count(arguments.get(1)))),
        "pad" => {
            let (before, after) = (count(arguments.get(1)), count(arguments.get(2)));
            Value::from(if text(0).is_empty() {
                String::new()
            } else {
                format!("{}{}{}", " ".repeat(before), text(0), " ".repeat(after))
            })
        }
        "len" => match &first {
            Value::String(text) => Value::from(text.len()),
            Value::Array(items) => Value::from(items.len()),
            Value::Object(map) => Value::from(map.len()),
            _ => Value::from(0),
        },
        "index" => arguments[1..].iter().try_fold(first, |value, key| index(&value, key))?,
        "slice" => {
            let text = text(0);
            let start = count(arguments.get(1)).min(text.len());
            let end = arguments.get(2).map_or(text.len(), |end| count(Some(end))).clamp(start, text.len());
            Value::from(text.get(start..end).unwrap_or_default())
        }
        "print" | "html" => Value::from(arguments.iter().map(print).collect::<Vec<_>>().concat()),
        "println" => Value::from(format!("{}\n", arguments.iter().map(print).collect::<Vec<_>>().join(" "))),
        "printf" => Value::from(printf(&text(0), arguments.get(1..).unwrap_or_default())),
        "not" => Value::Bool(!is_true(&first)),
        "and" => arguments.iter().find(|value| !is_true(value)).or(arguments.last()).cloned().unwrap_or(Value::Null),
        "or" => arguments.iter().find(|value| is_true(value)).or(arguments.last()).cloned().unwrap_or(Value::Null),
        "eq" => Value::Bool(arguments.iter().skip(1).any(|other| compare(&first, other) == Some(Ordering::Equal))),
        "ne" => Value::Bool(compare(&first, arguments.get(1).unwrap_or(&Value::Null)) != Some(Ordering::Equal)),
        "lt" | "le" | "gt" | "ge" => {
            let order = compare(&first, arguments.get(1).unwrap_or(&Value::Null));
            Value::Bool(order.is_some_and(|order| match name {
                "lt" => order.is_lt(),
                "le" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            }))
        }
        _ => return Err(format!("function {name:?} not defined")),
    })
}

fn count(value: Option<&Value>) -> usize {
    value.and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => (left == right).then_some(Ordering::Equal),
    }
}

fn index(value: &Value, key: &Value) -> Result<Value, String> {
    match (value, key) {
        (Value::Array(items), Value::Number(_)) => {
            let position = count(Some(key));
            items.get(position).cloned().ok_or_else(|| {
                format!("template: :1: executing \"\" at <index>: error calling index: reflect: slice index out of range ({position})")
            })
        }
        (Value::Object(map), key) => Ok(map.get(&print(key)).cloned().unwrap_or(Value::from(""))),
        (Value::Null, _) => {
            Err("template: :1: executing \"\" at <index>: error calling index: index of untyped nil".to_owned())
        }
        _ => Err(format!(
            "template: :1: executing \"\" at <index>: error calling index: can't index item {}",
            print(key)
        )),
    }
}

/// `%s`, `%v`, `%d`, `%q` with width and `-`; `%.2f`.
fn printf(format: &str, arguments: &[Value]) -> String {
    let mut output = String::new();
    let mut arguments = arguments.iter();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            output.push(letter);
            continue;
        }
        let mut modifiers = String::new();
        while let Some(next) =
            letters.peek().copied().filter(|next| next.is_ascii_digit() || matches!(next, '-' | '.' | '+'))
        {
            modifiers.push(next);
            letters.next();
        }
        let Some(verb) = letters.next() else { break };
        if verb == '%' {
            output.push('%');
            continue;
        }
        let Some(value) = arguments.next() else {
            output.push_str(&format!("%!{verb}(MISSING)"));
            continue;
        };
        let (width, precision) = modifiers.split_once('.').unwrap_or((&modifiers, ""));
        let text = match verb {
            'q' => crate::format::quote(&print(value)),
            'f' => format!("{:.*}", precision.parse().unwrap_or(6), value.as_f64().unwrap_or(0.0)),
            _ => print(value),
        };
        let left = width.starts_with('-');
        let width: usize = width.trim_start_matches(['-', '+']).parse().unwrap_or(0);
        let padding = " ".repeat(width.saturating_sub(text.chars().count()));
        output.push_str(&if left { format!("{text}{padding}") } else { format!("{padding}{text}") });
    }
    output
}
