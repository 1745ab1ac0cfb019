//! TOML as a tree that knows the place of every key and value in the scenario's file.

use toml::de::{DeTable, DeValue};

use crate::{
    diagnostic::{Fault, Reporter},
    source::Span,
};

pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    Array(Vec<Node>),
    Table(Vec<Entry>),
    /// Dates and fractions: valid TOML that nothing here takes.
    Other,
}

pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) node: Node,
}

impl Node {
    /// What the author wrote, in words.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "a string",
            Value::Integer(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::Array(_) => "an array",
            Value::Table(_) => "a table",
            Value::Other => "a date or a fraction",
        }
    }
}

/// Reads TOML that begins `offset` bytes into the file; syntax faults are reported, what could be read is returned.
pub(crate) fn read(text: &str, offset: usize, reporter: &mut Reporter<'_>) -> Vec<Entry> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().map_or_else(|| Span::new(0, 1), Span::from).shifted(offset);
        reporter.push(Fault::error("toml", span, format!("this is not valid TOML: {}", error.message())));
    }
    entries(table.get_ref(), offset)
}

fn entries(table: &DeTable<'_>, offset: usize) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_span: Span::from(key.span()).shifted(offset),
            node: node(value.get_ref(), Span::from(value.span()), offset),
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_span.start);
    entries
}

fn node(value: &DeValue<'_>, span: Span, offset: usize) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Other, Value::Integer)
        }
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Array(items) => {
            Value::Array(items.iter().map(|item| node(item.get_ref(), item.span().into(), offset)).collect())
        }
        DeValue::Table(table) => Value::Table(entries(table, offset)),
        DeValue::Float(_) | DeValue::Datetime(_) => Value::Other,
    };
    Node { span: span.shifted(offset), value }
}
