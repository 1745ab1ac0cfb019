//! Values as Go's reflection sees them.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Number, Value as Json};

/// What a template works on.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// An interface that holds nothing: null where no type says more.
    Nothing,
    /// A nil pointer to this type.
    NilPointer(String),
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A number of untyped JSON, which Go keeps as its text.
    Number(Number),
    Text(String),
    /// RFC 3339; printed in Go's own form.
    Time(String),
    /// Nanoseconds.
    Duration(i64),
    List(Option<Vec<Value>>),
    Map(Option<BTreeMap<String, Value>>, Element),
    Struct(Arc<Struct>),
    Row(Arc<Row>),
}

/// What a map holds, for the zero value of a key that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    Text,
    List,
    Other,
}

/// A Go struct with its fields in order.
#[derive(Debug)]
pub(crate) struct Struct {
    pub name: &'static str,
    pub fields: Vec<Field>,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub name: &'static str,
    pub json: &'static str,
    pub omit_empty: bool,
    /// Pointers are left out only when they are nil.
    pub pointer: bool,
    pub embedded: bool,
    pub value: Value,
}

/// One object of a listing: named columns, which in Go are methods of its context type.
#[derive(Debug)]
pub(crate) struct Row {
    /// `*formatter.ContainerContext`.
    pub type_name: &'static str,
    pub fields: Vec<(&'static str, Value)>,
    /// What `.Label "name"` looks in, for listings that have it.
    pub labels: Option<BTreeMap<String, String>>,
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::List(Some(items))
    }
}

impl Value {
    /// JSON without a type behind it, as Go decodes it into an interface.
    pub(crate) fn untyped(json: &Json) -> Self {
        match json {
            Json::Null => Self::Nothing,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::Number(number.clone()),
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(items) => Self::List(Some(items.iter().map(Self::untyped).collect())),
            Json::Object(map) => {
                let entries = map.iter().map(|(key, value)| (key.clone(), Self::untyped(value))).collect();
                Self::Map(Some(entries), Element::Other)
            }
        }
    }

    /// The type's name in Go's errors.
    pub(super) fn type_name(&self) -> String {
        match self {
            Self::Nothing => "interface {}".to_owned(),
            Self::NilPointer(name) => format!("*{name}"),
            Self::Bool(_) => "bool".to_owned(),
            Self::Int(_) => "int".to_owned(),
            Self::Float(_) => "float64".to_owned(),
            Self::Number(_) => "json.Number".to_owned(),
            Self::Text(_) => "string".to_owned(),
            Self::Time(_) => "time.Time".to_owned(),
            Self::Duration(_) => "time.Duration".to_owned(),
            Self::List(items) => match items.as_ref().and_then(|items| items.first()) {
                Some(Self::Text(_)) | None => "[]string".to_owned(),
                Some(Self::Struct(item)) => format!("[]{}", item.name),
                Some(_) => "[]interface {}".to_owned(),
            },
            Self::Map(_, Element::Text) => "map[string]string".to_owned(),
            Self::Map(..) => "map[string]interface {}".to_owned(),
            Self::Struct(object) => object.name.to_owned(),
            Self::Row(row) => row.type_name.to_owned(),
        }
    }

    /// Go's truth: not zero, not empty. A struct is always true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nothing | Self::NilPointer(_) => false,
            Self::Bool(value) => *value,
            Self::Int(value) | Self::Duration(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Number(_) | Self::Time(_) | Self::Struct(_) | Self::Row(_) => true,
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => items.as_ref().is_some_and(|items| !items.is_empty()),
            Self::Map(entries, _) => entries.as_ref().is_some_and(|entries| !entries.is_empty()),
        }
    }

    /// Empty as `omitempty` means it: a struct never is.
    fn is_empty(&self) -> bool {
        !self.is_true() && !matches!(self, Self::Struct(_))
    }

    /// As Go's encoder has it.
    pub(crate) fn json(&self) -> Json {
        match self {
            Self::Nothing | Self::NilPointer(_) => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(value) | Self::Duration(value) => Json::from(*value),
            #[allow(clippy::cast_possible_truncation)] // checked to be whole and small
            Self::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Json::from(*value as i64),
            Self::Float(value) => Json::from(*value),
            Self::Number(number) => Json::Number(number.clone()),
            Self::Text(text) => Json::from(text.as_str()),
            Self::Time(text) => Json::from(if text.is_empty() { ZERO_TIME } else { text }),
            Self::List(items) => items.as_ref().map_or(Json::Null, |items| items.iter().map(Self::json).collect()),
            Self::Map(entries, _) => entries.as_ref().map_or(Json::Null, |entries| {
                Json::Object(entries.iter().map(|(key, value)| (key.clone(), value.json())).collect())
            }),
            Self::Struct(object) => {
                let mut map = Map::new();
                object.write_json(&mut map);
                Json::Object(map)
            }
            Self::Row(row) => {
                let mut fields: Vec<&(&str, Value)> = row.fields.iter().collect();
                fields.sort_unstable_by_key(|(name, _)| *name);
                Json::Object(fields.into_iter().map(|(name, value)| ((*name).to_owned(), value.json())).collect())
            }
        }
    }
}

/// What a time that was never set is encoded as.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

impl Struct {
    fn write_json(&self, map: &mut Map<String, Json>) {
        for field in &self.fields {
            match &field.value {
                Value::Struct(inner) if field.embedded => inner.write_json(map),
                Value::NilPointer(_) if field.omit_empty => {}
                value if field.omit_empty && !field.pointer && value.is_empty() => {}
                value => {
                    map.insert(field.json.to_owned(), value.json());
                }
            }
        }
    }

    /// A field by its Go name, also of embedded structs.
    pub(super) fn field(&self, name: &str) -> Option<Value> {
        self.fields.iter().find(|field| !field.embedded && field.name == name).map(|field| field.value.clone()).or_else(
            || {
                self.fields.iter().filter(|field| field.embedded).find_map(|field| match &field.value {
                    Value::Struct(inner) => inner.field(name),
                    _ => None,
                })
            },
        )
    }
}
