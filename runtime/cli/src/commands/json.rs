//! Reading fields out of the API's objects by JSON pointer.

use serde::Serialize;
use serde_json::Value;

/// An API object as JSON.
pub(crate) fn value<T: Serialize>(object: &T) -> Value {
    docklab_api::wire::to_value(object)
}

/// A string, or the empty string.
pub(crate) fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A number, or 0.
pub(crate) fn number(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

pub(crate) fn float(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0)
}

pub(crate) fn boolean(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

/// The elements of an array, or nothing.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The strings of an array.
pub(crate) fn strings(value: &Value, pointer: &str) -> Vec<String> {
    list(value, pointer).iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

/// `k=v` pairs of a map, sorted.
pub(crate) fn pairs(value: &Value, pointer: &str) -> Vec<String> {
    let mut pairs: Vec<String> = value
        .pointer(pointer)
        .and_then(Value::as_object)
        .map(|map| map.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect())
        .unwrap_or_default();
    pairs.sort();
    pairs
}

/// A map of labels, for the `Label` method of listings.
pub(crate) fn label_map(value: &Value, pointer: &str) -> crate::template::Value {
    let entries = value.pointer(pointer).and_then(Value::as_object).map(|map| {
        map.iter()
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().into()))
            .collect::<std::collections::BTreeMap<_, _>>()
    });
    crate::template::Value::Map(entries, crate::template::Element::Text)
}
