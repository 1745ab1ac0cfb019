use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ApiError;

/// The `filters` query parameter: a key with the values any of which may match.
///
/// Docker's clients send a map of maps (`{"label":{"a=b":true}}`), older ones and docker-py a map of lists
/// (`{"label":["a=b"]}`); both parse. Encoding uses the map of maps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Filters(pub BTreeMap<String, Vec<String>>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    Map(BTreeMap<String, bool>),
    List(Vec<String>),
}

impl Filters {
    /// No filter at all.
    pub fn new() -> Self {
        Self::default()
    }
    /// Adds one value; builder style.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.0.entry(key.to_owned()).or_default().push(value.into());
        self
    }
    /// True when nothing is filtered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// The values given for `key`; empty when the key is absent.
    pub fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }
    /// True when `key` is absent or one of its values satisfies `matches`.
    pub fn any(&self, key: &str, matches: impl Fn(&str) -> bool) -> bool {
        self.0.get(key).is_none_or(|values| values.iter().any(|value| matches(value)))
    }
    /// The value of a filter that is true or false; `None` when it is absent (moby `GetBoolOrDefault`).
    pub fn boolean(&self, key: &str) -> Result<Option<bool>, ApiError> {
        let truth = |value: &String| match value.as_str() {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        };
        match self.get(key) {
            [] => Ok(None),
            [value] if truth(value).is_some() => Ok(truth(value)),
            values => Err(ApiError::invalid(format!("invalid filter '{key}=[{}]'", values.join(" ")))),
        }
    }
    /// True when every value given for `key` satisfies `matches` (labels).
    pub fn all(&self, key: &str, matches: impl Fn(&str) -> bool) -> bool {
        self.get(key).iter().all(|value| matches(value))
    }
    /// Label filters: every `k` or `k=v` given must hold.
    pub fn labels<'a>(&self, lookup: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.all("label", |wanted| match wanted.split_once('=') {
            Some((key, value)) => lookup(key) == Some(value),
            None => lookup(wanted).is_some(),
        })
    }
    /// Reports the first unknown key in Docker's words (400).
    pub fn accept(&self, known: &[&str]) -> Result<(), ApiError> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(ApiError::invalid(format!("invalid filter '{key}'"))),
            None => Ok(()),
        }
    }
    /// Reads the query parameter; an empty string is no filter.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let raw: Option<BTreeMap<String, Values>> =
            serde_json::from_slice(text.as_bytes()).map_err(|_| ApiError::invalid("invalid filter"))?;
        let raw = raw.unwrap_or_default();
        Ok(Self(
            raw.into_iter()
                .map(|(key, values)| {
                    let values = match values {
                        Values::Map(map) => map.into_keys().collect(),
                        Values::List(list) => list,
                    };
                    (key, values)
                })
                .collect(),
        ))
    }
    /// The map-of-maps JSON that Docker's own client sends.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Wire<'a>(BTreeMap<&'a str, BTreeMap<&'a str, bool>>);
        let wire = Wire(
            self.0
                .iter()
                .map(|(key, values)| (key.as_str(), values.iter().map(|value| (value.as_str(), true)).collect()))
                .collect(),
        );
        serde_json::to_string(&wire).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_wire_forms_parse_alike() {
        let map = Filters::parse(r#"{"label":{"a=b":true}}"#);
        let list = Filters::parse(r#"{"label":["a=b"]}"#);
        assert_eq!(map, list);
        assert_eq!(map.unwrap_or_default().to_json(), r#"{"label":{"a=b":true}}"#);
    }

    #[test]
    fn what_is_no_map_of_values_is_refused() {
        assert_eq!(Filters::parse("null"), Ok(Filters::default()));
        for text in ["xx", "[]", r#"{"label":"a"}"#] {
            assert_eq!(Filters::parse(text).map_err(|error| error.message), Err("invalid filter".to_owned()));
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = Filters::new().with("nope", "x").accept(&["id"]).unwrap_err();
        assert_eq!((error.status, error.message.as_str()), (400, "invalid filter 'nope'"));
    }
}
