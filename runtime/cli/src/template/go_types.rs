//! Typed values out of JSON: the Go types behind `inspect --format`, read from a table.

use std::{collections::HashMap, sync::Arc, sync::LazyLock};

use serde_json::Value as Json;

use super::value::{Element, Field, Struct, Value};

#[derive(Debug)]
enum Type {
    Text,
    Bool,
    Int,
    Float,
    Time,
    Duration,
    Any,
    List(Box<Type>),
    Map(Box<Type>),
    Pointer(Box<Type>),
    Named(&'static str),
}

#[derive(Debug)]
struct Member {
    name: &'static str,
    json: &'static str,
    omit_empty: bool,
    embedded: bool,
    kind: Type,
}

static TYPES: LazyLock<HashMap<&'static str, Vec<Member>>> = LazyLock::new(|| read(include_str!("go_types.txt")));

fn read(table: &'static str) -> HashMap<&'static str, Vec<Member>> {
    let mut types: HashMap<&str, Vec<Member>> = HashMap::new();
    let mut current = "";
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("type ") {
            current = name;
            types.entry(name).or_default();
            continue;
        }
        let member = match line.strip_prefix('+') {
            Some(name) => Member { name, json: name, omit_empty: false, embedded: true, kind: Type::Named(name) },
            None => {
                let (head, kind) = line.split_once(' ').unwrap_or((line, "any"));
                let plain = head.trim_end_matches('?');
                let (name, json) = plain.split_once('=').unwrap_or((plain, plain));
                Member { name, json, omit_empty: head.ends_with('?'), embedded: false, kind: Type::parse(kind) }
            }
        };
        types.entry(current).or_default().push(member);
    }
    types
}

impl Type {
    fn parse(text: &'static str) -> Self {
        if let Some(element) = text.strip_prefix("[]") {
            return Self::List(Box::new(Self::parse(element)));
        }
        if let Some(element) = text.strip_prefix('*') {
            return Self::Pointer(Box::new(Self::parse(element)));
        }
        if let Some(element) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            return Self::Map(Box::new(Self::parse(element)));
        }
        match text {
            "s" => Self::Text,
            "b" => Self::Bool,
            "i" => Self::Int,
            "f" => Self::Float,
            "t" => Self::Time,
            "d" => Self::Duration,
            "any" => Self::Any,
            name => Self::Named(name),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Text => "string".to_owned(),
            Self::Bool => "bool".to_owned(),
            Self::Int => "int64".to_owned(),
            Self::Float => "float64".to_owned(),
            Self::Time => "time.Time".to_owned(),
            Self::Duration => "time.Duration".to_owned(),
            Self::Any => "interface {}".to_owned(),
            Self::List(element) => format!("[]{}", element.name()),
            Self::Map(element) => format!("map[string]{}", element.name()),
            Self::Pointer(element) => format!("*{}", element.name()),
            Self::Named(name) => (*name).to_owned(),
        }
    }

    /// A value of this type; what JSON leaves out has its zero value.
    fn value(&self, json: Option<&Json>) -> Value {
        let json = json.filter(|json| !json.is_null());
        match self {
            Self::Text => Value::Text(json.and_then(Json::as_str).unwrap_or_default().to_owned()),
            Self::Bool => Value::Bool(json.and_then(Json::as_bool).unwrap_or_default()),
            Self::Int => Value::Int(json.and_then(integer).unwrap_or_default()),
            Self::Float => Value::Float(json.and_then(Json::as_f64).unwrap_or_default()),
            Self::Time => Value::Time(json.and_then(Json::as_str).unwrap_or_default().to_owned()),
            Self::Duration => Value::Duration(json.and_then(integer).unwrap_or_default()),
            Self::Any => json.map_or(Value::Nothing, Value::untyped),
            Self::List(element) => Value::List(
                json.and_then(Json::as_array).map(|items| items.iter().map(|item| element.value(Some(item))).collect()),
            ),
            Self::Map(element) => Value::Map(
                json.and_then(Json::as_object)
                    .map(|map| map.iter().map(|(key, item)| (key.clone(), element.value(Some(item)))).collect()),
                match **element {
                    Self::Text => Element::Text,
                    Self::List(_) => Element::List,
                    _ => Element::Other,
                },
            ),
            Self::Pointer(element) => match json {
                None => Value::NilPointer(element.name()),
                some => element.value(some),
            },
            Self::Named(name) => typed_or_zero(name, json),
        }
    }
}

/// Numbers beyond an `i64` (a `u64` of Go) keep their bits.
fn integer(json: &Json) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation)] // a float that stands for an integer
    json.as_i64().or_else(|| json.as_f64().map(|float| float as i64))
}

fn typed_or_zero(name: &'static str, json: Option<&Json>) -> Value {
    let members = TYPES.get(name).map_or(&[][..], Vec::as_slice);
    let fields = members
        .iter()
        .map(|member| Field {
            name: member.name,
            json: member.json,
            omit_empty: member.omit_empty,
            pointer: matches!(member.kind, Type::Pointer(_)),
            embedded: member.embedded,
            // Go's decoder takes keys in any case.
            value: if member.embedded {
                member.kind.value(json)
            } else {
                member.kind.value(json.and_then(|json| json.get(member.json)))
            },
        })
        .collect();
    Value::Struct(Arc::new(Struct { name, fields }))
}

/// JSON as the Go type of this name.
pub(crate) fn typed(name: &'static str, json: &Json) -> Value {
    typed_or_zero(name, Some(json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_is_named_is_described() {
        fn named(kind: &Type) -> Option<&'static str> {
            match kind {
                Type::List(inner) | Type::Map(inner) | Type::Pointer(inner) => named(inner),
                Type::Named(name) => Some(name),
                _ => None,
            }
        }
        for member in TYPES.values().flatten() {
            if let Some(name) = named(&member.kind) {
                assert!(TYPES.contains_key(name), "{name}");
            }
        }
    }
}
