//! The JSON schema of check blocks, for editors that complete TOML by a schema.

use serde_json::{Map, Value, json};

use super::{FieldType, Kind};

/// A JSON schema (draft 2020-12) of what a check block may hold. It is made from the same table as the checks.
pub fn json_schema() -> Value {
    let kinds = |several: bool| -> Map<String, Value> {
        let entries = Kind::ALL.into_iter().map(|kind| {
            let table = json!({ "$ref": format!("#/$defs/{}", kind.noun()) });
            let list = json!({ "type": "array", "items": table });
            (kind.noun().to_owned(), if several { json!({ "anyOf": [table, list] }) } else { table })
        });
        entries.collect()
    };
    let mistake = json!({
        "type": "object",
        "properties": {
            "when": { "type": "object", "properties": kinds(true), "additionalProperties": false, "minProperties": 1 },
            "say": { "type": "string", "description": "what the student is told" },
        },
        "required": ["when", "say"],
        "additionalProperties": false,
    });
    let mut properties = kinds(true);
    properties.insert("mistake".to_owned(), json!({ "type": "array", "items": mistake }));
    let mut definitions: Map<String, Value> =
        Kind::ALL.into_iter().map(|kind| (kind.noun().to_owned(), table(kind))).collect();
    definitions.insert(
        "range".to_owned(),
        json!({ "type": ["integer", "string"], "description": "`2`, `\">= 2\"`, `\"< 5\"` or `\"2..5\"`" }),
    );
    definitions.insert(
        "matcher".to_owned(),
        json!({
            "type": "object",
            "description": "several keys must all fit",
            "properties": {
                "equal": { "type": "string" },
                "glob": { "type": "string", "description": "`*` is any run of characters, `?` one" },
                "regex": { "type": "string" },
                "contains": { "type": "string" },
                "none": { "const": true, "description": "there is no value" },
                "not": { "description": "any value or matcher, which must not fit" },
                "any": { "type": "array", "description": "one of them must fit" },
            },
            "additionalProperties": false,
            "minProperties": 1,
        }),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A check block of a docklab scenario",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "$defs": definitions,
    })
}

fn table(kind: Kind) -> Value {
    let mut properties: Map<String, Value> = kind
        .fields()
        .iter()
        .map(|field| {
            let mut schema = values(field.kind);
            schema["description"] = json!(field.help);
            (field.name.to_owned(), schema)
        })
        .collect();
    properties.insert("count".to_owned(), json!({ "$ref": "#/$defs/range" }));
    properties.insert("none".to_owned(), json!({ "const": true }));
    json!({
        "type": "object",
        "properties": properties,
        "required": kind.required(),
        "additionalProperties": false,
    })
}

fn values(kind: FieldType) -> Value {
    let plain = match kind {
        FieldType::Steer => return json!({ "type": "string" }),
        FieldType::SteerNumber => return json!({ "type": "integer", "minimum": 1, "maximum": 1000 }),
        FieldType::Selector => return json!({ "$ref": "#/$defs/container" }),
        FieldType::Number => json!({ "$ref": "#/$defs/range" }),
        FieldType::Flag => json!({ "type": "boolean" }),
        FieldType::Word(words) => json!({ "enum": words }),
        FieldType::Text | FieldType::Image | FieldType::List => json!({ "type": "string" }),
    };
    let several = match kind {
        FieldType::List => "one element each must fit",
        _ => "any of them fits",
    };
    json!({
        "anyOf": [
            plain,
            { "type": "array", "items": { "anyOf": [plain, { "$ref": "#/$defs/matcher" }] }, "description": several },
            { "$ref": "#/$defs/matcher" },
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::{Kind, json_schema};

    #[test]
    fn every_kind_and_field_has_its_place() {
        let schema = json_schema();
        for kind in Kind::ALL {
            for field in kind.fields() {
                let pointer = format!("/$defs/{}/properties/{}/description", kind.noun(), field.name);
                assert!(schema.pointer(&pointer).is_some(), "{pointer}");
            }
            assert!(schema.pointer(&format!("/properties/{}", kind.noun())).is_some());
        }
        assert_eq!(schema["$defs"]["http"]["required"], serde_json::json!(["url"]));
    }
}
