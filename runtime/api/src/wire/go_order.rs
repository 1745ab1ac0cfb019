//! Objects as the daemon writes them: keys in Go's field order, empty fields present (moby `api/types`).
//!
//! A template per kind of object says the order and what stands for an absent field. In a template
//!
//! * a scalar, null, `[]` or `{}` is the value of an absent field;
//! * `"$omit"` leaves an absent field out;
//! * an object is a struct that is always there;
//! * `{"$struct": …, "$default": …}` is a struct that may be absent;
//! * `{"$each": …, "$default": …}` is a list, `{"$map": …, "$default": …}` a map of such elements.
//!
//! Maps whose keys are data are sorted, as Go's encoder sorts them. Fields that a template does not know come last.

use std::sync::LazyLock;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::models::{ContainerInspectResponse, ContainerSummary, ImageInspect, Network, Node, Service, Task, Volume};

const OMIT: &str = "$omit";

macro_rules! template {
    ($name:ident, $file:literal) => {
        static $name: LazyLock<Value> =
            LazyLock::new(|| serde_json::from_str(include_str!(concat!("templates/", $file))).unwrap_or_default());
    };
}

template!(CONTAINER, "container.json");
template!(IMAGE, "image.json");
template!(NETWORK, "network.json");
template!(NODE, "node.json");
template!(SERVICE, "service.json");
template!(TASK, "task.json");
template!(VOLUME, "volume.json");

fn plain<T: Serialize>(object: &T) -> Value {
    super::to_value(object)
}

/// Sorts the keys of maps that no template describes, and writes whole floats as Go does: without a fraction.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_by(|one, other| one.0.cmp(&other.0));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        // Ratios: beyond 2^53 a float is not exact anyway.
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            #[allow(clippy::cast_possible_truncation)] // checked to be whole and small
            Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => Value::from(float as i64),
            _ => Value::Number(number),
        },
        scalar => scalar,
    }
}

/// Brings a struct's fields into the template's order.
fn ordered_struct(template: &Map<String, Value>, mut actual: Map<String, Value>) -> Value {
    let mut result = Map::new();
    for (key, field) in template {
        if let Some(value) = ordered(field, actual.shift_remove(key)) {
            result.insert(key.clone(), value);
        }
    }
    for (key, value) in actual {
        result.insert(key, sorted(value));
    }
    Value::Object(result)
}

/// One value by its template; `None` leaves it out.
fn ordered(template: &Value, actual: Option<Value>) -> Option<Value> {
    let actual = actual.filter(|value| !value.is_null());
    let Value::Object(shape) = template else {
        return actual.map(sorted).or_else(|| (template.as_str() != Some(OMIT)).then(|| template.clone()));
    };
    if shape.is_empty() {
        return Some(actual.map_or_else(|| template.clone(), sorted));
    }
    let default = || shape.get("$default").filter(|default| default.as_str() != Some(OMIT)).cloned();
    let element = |template: &Value, value: Value| ordered(template, Some(value)).unwrap_or_default();
    if let Some(inner) = shape.get("$struct") {
        return match actual {
            Some(actual) => ordered(inner, Some(actual)),
            None => default(),
        };
    }
    if let Some(inner) = shape.get("$each") {
        return match actual {
            Some(Value::Array(list)) => {
                Some(Value::Array(list.into_iter().map(|value| element(inner, value)).collect()))
            }
            Some(other) => Some(other),
            None => default(),
        };
    }
    if let Some(inner) = shape.get("$map") {
        return match actual.map(sorted) {
            Some(Value::Object(map)) => {
                Some(Value::Object(map.into_iter().map(|(key, value)| (key, element(inner, value))).collect()))
            }
            Some(other) => Some(other),
            None => default(),
        };
    }
    match actual {
        Some(Value::Object(actual)) => Some(ordered_struct(shape, actual)),
        Some(other) => Some(other),
        None => Some(ordered_struct(shape, Map::new())),
    }
}

fn go<T: Serialize>(template: &Value, object: &T) -> Value {
    ordered(template, Some(plain(object))).unwrap_or_default()
}

/// `GET /containers/{id}/json`.
pub fn container_inspect_json(container: &ContainerInspectResponse) -> Value {
    go(&CONTAINER, container)
}

/// One element of `GET /containers/json`.
pub fn container_summary_json(container: &ContainerSummary) -> Value {
    plain(container)
}

/// `GET /images/{name}/json`.
pub fn image_inspect_json(image: &ImageInspect) -> Value {
    go(&IMAGE, image)
}

/// `GET /networks/{id}`.
pub fn network_json(network: &Network) -> Value {
    go(&NETWORK, network)
}

/// `GET /nodes/{id}`.
pub fn node_json(node: &Node) -> Value {
    go(&NODE, node)
}

/// `GET /services/{id}`.
pub fn service_json(service: &Service) -> Value {
    go(&SERVICE, service)
}

/// `GET /tasks/{id}`.
pub fn task_json(task: &Task) -> Value {
    go(&TASK, task)
}

/// `GET /volumes/{name}`. The model cannot say that there are no labels or options; Docker writes null then.
pub fn volume_json(volume: &Volume) -> Value {
    let mut value = plain(volume);
    if let Value::Object(fields) = &mut value {
        for key in ["Labels", "Options"] {
            if fields.get(key).and_then(Value::as_object).is_some_and(Map::is_empty) {
                fields.shift_remove(key);
            }
        }
    }
    ordered(&VOLUME, Some(value)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_template_is_valid() {
        for template in [&CONTAINER, &IMAGE, &NETWORK, &NODE, &SERVICE, &TASK, &VOLUME] {
            assert!(template.is_object());
        }
    }

    #[test]
    fn fields_stand_in_the_templates_order_with_their_defaults() {
        let template = json!({"B": null, "A": 0, "C": "$omit", "M": {"$map": {"Y": "", "X": 1}, "$default": {}},
            "L": {"$each": {"K": 0}, "$default": []}, "S": {"$struct": {"T": 1}, "$default": null}});
        let actual = json!({"A": 2, "Z": 1, "M": {"b": {"X": 3}, "a": {}}});
        assert_eq!(
            ordered(&template, Some(actual)).unwrap_or_default().to_string(),
            r#"{"B":null,"A":2,"M":{"a":{"Y":"","X":1},"b":{"Y":"","X":3}},"L":[],"S":null,"Z":1}"#
        );
    }

    #[test]
    fn a_container_begins_and_ends_as_dockers() {
        let value = container_inspect_json(&ContainerInspectResponse::default());
        let keys: Vec<&str> = value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys[..5], ["Id", "Created", "Path", "Args", "State"]);
        assert_eq!(keys[keys.len() - 3..], ["Mounts", "Config", "NetworkSettings"]);
        assert_eq!(value["ExecIDs"], Value::Null);
        assert_eq!(value["NetworkSettings"]["Ports"], json!({}));
    }
}
