//! The functions of templates: Go's own and those Docker adds.

use std::cmp::Ordering;

use super::{
    print::{plain, sprint, sprintf},
    value::{Element, Value},
};

/// What a function takes at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    Text,
    Int,
    Texts,
    Any,
}

/// How a function is called.
#[derive(Debug)]
pub(super) struct Signature {
    pub fixed: &'static [Parameter],
    /// More arguments of any type may follow.
    pub variadic: bool,
}

/// The signature of a function; none when there is no such function.
pub(super) fn signature(name: &str) -> Option<Signature> {
    use Parameter::{Any, Int, Text, Texts};
    let (fixed, variadic): (&'static [Parameter], bool) = match name {
        "json" | "len" | "not" => (&[Any], false),
        "lower" | "title" | "upper" => (&[Text], false),
        "split" => (&[Text, Text], false),
        "join" => (&[Texts, Text], false),
        "pad" => (&[Text, Int, Int], false),
        "truncate" => (&[Text, Int], false),
        "and" | "call" | "eq" | "index" | "or" | "slice" => (&[Any], true),
        "ge" | "gt" | "le" | "lt" | "ne" => (&[Any, Any], false),
        "html" | "js" | "print" | "println" | "urlquery" => (&[], true),
        "printf" => (&[Text], true),
        _ => return None,
    };
    Some(Signature { fixed, variadic })
}

pub(super) fn exists(name: &str) -> bool {
    signature(name).is_some()
}

/// Calls a function with checked arguments. The error is what the function itself would return.
pub(super) fn call(name: &str, arguments: &[Value], headers: bool) -> Result<Value, String> {
    let first = || arguments.first().cloned().unwrap_or(Value::Nothing);
    if headers && matches!(name, "json" | "lower" | "upper" | "title" | "truncate") {
        return Ok(first());
    }
    let text = |index: usize| match arguments.get(index) {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let count = |index: usize| match arguments.get(index) {
        Some(Value::Int(number)) => usize::try_from(*number).unwrap_or(0),
        _ => 0,
    };
    Ok(match name {
        "json" => Value::Text(encoded(&first())),
        "lower" => Value::Text(text(0).to_lowercase()),
        "upper" => Value::Text(text(0).to_uppercase()),
        "title" => Value::Text(title(&text(0))),
        "join" => match first() {
            Value::List(items) => Value::Text(items.iter().flatten().map(plain).collect::<Vec<_>>().join(&text(1))),
            _ => Value::Text(String::new()),
        },
        "split" => split(&text(0), &text(1)),
        "truncate" => Value::Text(text(0).get(..count(1)).map_or_else(|| text(0), ToOwned::to_owned)),
        "pad" if text(0).is_empty() => Value::Text(String::new()),
        "pad" => Value::Text(format!("{}{}{}", " ".repeat(count(1)), text(0), " ".repeat(count(2)))),
        "len" => Value::Int(length(&first())?),
        "index" => arguments.get(1..).unwrap_or_default().iter().try_fold(first(), |value, key| index(&value, key))?,
        "slice" => slice(&first(), arguments.get(1..).unwrap_or_default())?,
        "print" => Value::Text(sprint(arguments)),
        "println" => Value::Text(format!("{}\n", arguments.iter().map(plain).collect::<Vec<_>>().join(" "))),
        "printf" => Value::Text(sprintf(&text(0), arguments.get(1..).unwrap_or_default())),
        "html" => Value::Text(html(&sprint(arguments))),
        "js" => Value::Text(javascript(&sprint(arguments))),
        "urlquery" => Value::Text(query(&sprint(arguments))),
        "not" => Value::Bool(!first().is_true()),
        "and" => arguments.iter().find(|value| !value.is_true()).or(arguments.last()).cloned().unwrap_or_else(first),
        "or" => arguments.iter().find(|value| value.is_true()).or(arguments.last()).cloned().unwrap_or_else(first),
        "call" => return Err(format!("non-function {} of type {}", "{}", first().type_name())),
        "eq" => {
            let others = arguments.get(1..).unwrap_or_default();
            if others.is_empty() {
                return Err("missing argument for comparison".to_owned());
            }
            let first = first();
            let mut found = false;
            for other in others {
                found |= equal(&first, other)?;
            }
            Value::Bool(found)
        }
        "ne" => Value::Bool(!equal(&first(), &arguments[1])?),
        _ => {
            let order = order(&first(), &arguments[1])?;
            Value::Bool(match name {
                "lt" => order.is_lt(),
                "le" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            })
        }
    })
}

/// A listing's row is encoded by its own method, which escapes for HTML; everything else is not escaped.
fn encoded(value: &Value) -> String {
    let text = value.json().to_string();
    if matches!(value, Value::Row(_)) { crate::format::escape_html(&text) } else { text }
}

/// Go's `strings.Title`: the first letter of every word.
fn title(text: &str) -> String {
    let mut previous = ' ';
    text.chars()
        .flat_map(|letter| {
            let starts = !(previous.is_alphanumeric() || previous == '_' || previous == '\'');
            previous = letter;
            if starts { letter.to_uppercase().collect::<Vec<_>>() } else { vec![letter] }
        })
        .collect()
}

fn split(text: &str, separator: &str) -> Value {
    let parts: Vec<Value> = if separator.is_empty() {
        text.chars().map(|letter| Value::Text(letter.to_string())).collect()
    } else {
        text.split(separator).map(Value::from).collect()
    };
    Value::List(Some(parts))
}

fn size_of(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn length(value: &Value) -> Result<i64, String> {
    match value {
        Value::Text(text) => Ok(size_of(text.len())),
        Value::Number(number) => Ok(size_of(number.to_string().len())),
        Value::List(items) => Ok(size_of(items.as_ref().map_or(0, Vec::len))),
        Value::Map(entries, _) => Ok(size_of(entries.as_ref().map_or(0, std::collections::BTreeMap::len))),
        Value::Nothing => Err("len of nil pointer".to_owned()),
        Value::NilPointer(_) => Err("len of nil pointer".to_owned()),
        other => Err(format!("len of type {}", other.type_name())),
    }
}

/// A place in something of this length. One past the end passes, as it does in Go's check.
fn position(key: &Value, length: usize) -> Result<usize, String> {
    match key {
        Value::Int(number) => usize::try_from(*number)
            .ok()
            .filter(|position| *position <= length)
            .ok_or_else(|| format!("index out of range: {number}")),
        Value::Nothing => Err("cannot index slice/array with nil".to_owned()),
        other => Err(format!("cannot index slice/array with type {}", other.type_name())),
    }
}

fn index(value: &Value, key: &Value) -> Result<Value, String> {
    match value {
        Value::List(items) => {
            let items = items.as_deref().unwrap_or_default();
            let position = position(key, items.len())?;
            items.get(position).cloned().ok_or_else(|| "reflect: slice index out of range".to_owned())
        }
        Value::Text(text) => {
            let position = position(key, text.len())?;
            text.as_bytes()
                .get(position)
                .map(|byte| Value::Int(i64::from(*byte)))
                .ok_or_else(|| "reflect: string index out of range".to_owned())
        }
        Value::Map(entries, element) => {
            let Value::Text(key) = key else {
                return Err(format!("value has type {}; should be string", key.type_name()));
            };
            Ok(entries.as_ref().and_then(|entries| entries.get(key)).cloned().unwrap_or(match element {
                Element::Text => Value::Text(String::new()),
                Element::List => Value::List(None),
                Element::Other => Value::Nothing,
            }))
        }
        Value::Nothing => Err("index of untyped nil".to_owned()),
        Value::NilPointer(_) => Err("index of nil pointer".to_owned()),
        other => Err(format!("can't index item of type {}", other.type_name())),
    }
}

fn slice(value: &Value, keys: &[Value]) -> Result<Value, String> {
    if keys.len() > 3 {
        return Err(format!("too many slice indexes: {}", keys.len()));
    }
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.as_ref().map_or(0, Vec::len),
        Value::Nothing => return Err("slice of untyped nil".to_owned()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    if matches!(value, Value::Text(_)) && keys.len() == 3 {
        return Err("cannot 3-index slice a string".to_owned());
    }
    let start = keys.first().map_or(Ok(0), |key| position(key, length))?;
    let end = keys.get(1).map_or(Ok(length), |key| position(key, length))?;
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}"));
    }
    Ok(match value {
        Value::Text(text) => {
            Value::Text(String::from_utf8_lossy(text.as_bytes().get(start..end).unwrap_or_default()).into_owned())
        }
        Value::List(items) => {
            Value::List(items.as_ref().map(|items| items.get(start..end).unwrap_or_default().to_vec()))
        }
        _ => Value::Nothing,
    })
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn equal(one: &Value, other: &Value) -> Result<bool, String> {
    match (one, other) {
        (Value::Nothing | Value::NilPointer(_), other) => Ok(matches!(other, Value::Nothing | Value::NilPointer(_))),
        (_, Value::Nothing | Value::NilPointer(_)) => Ok(false),
        (Value::Bool(one), Value::Bool(other)) => Ok(one == other),
        (Value::List(_) | Value::Map(..), _) => Err(format!("non-comparable type {}: {}", plain(one), one.type_name())),
        (_, Value::List(_) | Value::Map(..)) => {
            Err(format!("non-comparable type {}: {}", plain(other), other.type_name()))
        }
        _ => order(one, other).map(Ordering::is_eq).map_err(|_| "incompatible types for comparison".to_owned()),
    }
}

fn order(one: &Value, other: &Value) -> Result<Ordering, String> {
    if let (Some(one), Some(other)) = (text_of(one), text_of(other)) {
        return Ok(one.cmp(&other));
    }
    match (one, other) {
        (Value::Int(one) | Value::Duration(one), Value::Int(other) | Value::Duration(other)) => Ok(one.cmp(other)),
        (Value::Float(one), Value::Float(other)) => Ok(one.total_cmp(other)),
        (Value::Bool(_) | Value::List(_) | Value::Map(..), _) => Err("invalid type for comparison".to_owned()),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

fn html(text: &str) -> String {
    text.chars().fold(String::new(), |mut output, letter| {
        match letter {
            '"' => output.push_str("&#34;"),
            '\'' => output.push_str("&#39;"),
            '&' => output.push_str("&amp;"),
            '<' => output.push_str("&lt;"),
            '>' => output.push_str("&gt;"),
            letter => output.push(letter),
        }
        output
    })
}

fn javascript(text: &str) -> String {
    text.chars().fold(String::new(), |mut output, letter| {
        match letter {
            '\\' => output.push_str("\\\\"),
            '\'' => output.push_str("\\'"),
            '"' => output.push_str("\\\""),
            '<' => output.push_str("\\u003C"),
            '>' => output.push_str("\\u003E"),
            '&' => output.push_str("\\u0026"),
            '=' => output.push_str("\\u003D"),
            letter if letter < ' ' => output.push_str(&format!("\\u{:04X}", letter as u32)),
            letter => output.push(letter),
        }
        output
    })
}

fn query(text: &str) -> String {
    text.bytes().fold(String::new(), |mut output, byte| {
        match byte {
            b' ' => output.push('+'),
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') => {
                output.push(char::from(byte));
            }
            byte => output.push_str(&format!("%{byte:02X}")),
        }
        output
    })
}
