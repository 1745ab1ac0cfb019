//! JSON as Go's `encoding/json` reads it, for clients that count on it: field names in any case, null and absent fields as
//! zero values, the last of two equal keys, one string where a command's list of words stands.

use serde::{
    Deserializer,
    de::{DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor, value},
    forward_to_deserialize_any,
};
use serde_json::{Map, Value};

/// Why a body is refused, in the words after `invalid JSON: ` or, where Docker checks a value itself, in Docker's.
pub(super) type Refusal = value::Error;

/// Fields that Docker declares as a list of words or one string.
const COMMANDS: [&str; 2] = ["Cmd", "Entrypoint"];

/// Reads `value` as a `T`.
pub(super) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Refusal> {
    T::deserialize(Go { value, path: String::new() })
}

/// One value and the fields that lead to it (`.HostConfig.Memory`), for error texts.
struct Go {
    value: Value,
    path: String,
}

impl Go {
    fn mismatch(&self, wanted: &str) -> Refusal {
        let found = match &self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::Number(number) if number.is_f64() || wanted.starts_with("uint") => format!("number {number}"),
            Value::Number(_) => "number".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
        };
        let place = if self.path.is_empty() { "Go value".to_owned() } else { format!("Go struct field {}", self.path) };
        Refusal::custom(format!("json: cannot unmarshal {found} into {place} of type {wanted}"))
    }

    fn last_field(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }
}

macro_rules! number {
    ($($method:ident $visit:ident $take:ident $name:literal),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            match &self.value {
                Value::Null => visitor.$visit(Default::default()),
                Value::Number(number) => match number.$take() {
                    Some(number) => visitor.$visit(number),
                    None => Err(self.mismatch($name)),
                },
                _ => Err(self.mismatch($name)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Go {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), ..) => visitor.visit_u64(number),
                (_, Some(number), _) => visitor.visit_i64(number),
                (.., float) => visitor.visit_f64(float.unwrap_or_default()),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(_) => self.deserialize_seq(visitor),
            Value::Object(_) => self.deserialize_map(visitor),
        }
    }

    number! {
        deserialize_i8 visit_i64 as_i64 "int8", deserialize_i16 visit_i64 as_i64 "int16",
        deserialize_i32 visit_i64 as_i64 "int32", deserialize_i64 visit_i64 as_i64 "int64",
        deserialize_u8 visit_u64 as_u64 "uint8", deserialize_u16 visit_u64 as_u64 "uint16",
        deserialize_u32 visit_u64 as_u64 "uint32", deserialize_u64 visit_u64 as_u64 "uint64",
        deserialize_f32 visit_f64 as_f64 "float32", deserialize_f64 visit_f64 as_f64 "float64"
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.value {
            Value::Null => visitor.visit_bool(false),
            Value::Bool(value) => visitor.visit_bool(value),
            _ => Err(self.mismatch("bool")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.value {
            Value::Null => visitor.visit_str(""),
            Value::String(text) => visitor.visit_string(text),
            _ => Err(self.mismatch("string")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let is_command = COMMANDS.contains(&self.last_field());
        let list = match self.value {
            Value::Null => Vec::new(),
            Value::Array(list) => list,
            Value::String(word) if is_command => vec![Value::String(word)],
            _ => return Err(self.mismatch("[]string")),
        };
        visitor.visit_seq(List { items: list.into_iter(), path: self.path })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let map = match self.value {
            Value::Null => Map::new(),
            Value::Object(map) => map,
            _ => return Err(self.mismatch("map[string]string")),
        };
        visitor.visit_map(Fields::new(map.into_iter().collect(), self.path))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let map = match self.value {
            Value::Null => Map::new(),
            Value::Object(map) => map,
            _ => return Err(self.mismatch(name)),
        };
        let mut known: Vec<(String, Value)> = Vec::with_capacity(fields.len());
        for (key, value) in map {
            let exact = fields.iter().find(|field| **field == key);
            let field = exact.or_else(|| fields.iter().find(|field| field.eq_ignore_ascii_case(&key)));
            // Go passes over fields that it does not know.
            let Some(field) = field else { continue };
            match known.iter_mut().find(|(name, _)| name == field) {
                // A null never replaces what an earlier key has set.
                Some(_) if value.is_null() => {}
                Some((_, earlier)) => *earlier = value,
                None => known.push(((*field).to_owned(), value)),
            }
        }
        for field in fields {
            if !known.iter().any(|(name, _)| name == field) {
                known.push(((*field).to_owned(), Value::Null));
            }
        }
        visitor.visit_map(Fields::new(known, self.path))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let text = match &self.value {
            Value::Null => "",
            Value::String(text) => text.as_str(),
            _ => return Err(self.mismatch("string")),
        };
        if !variants.contains(&text) {
            return Err(Refusal::custom(unknown_value(name, text)));
        }
        let variant: value::StringDeserializer<Refusal> = text.to_owned().into_deserializer();
        visitor.visit_enum(variant)
    }

    forward_to_deserialize_any! { i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any }
}

/// The models hold what Docker checks only after it has read a body as closed sets, so the check's words belong here.
fn unknown_value(model: &str, text: &str) -> String {
    match model {
        "RestartPolicyNameEnum" => format!(
            "invalid restart policy: unknown policy '{text}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        ),
        "MountTypeEnum" => format!("invalid mount config for type \"{text}\": mount type unknown"),
        "MountBindOptionsPropagationEnum" => {
            format!("invalid mount config for type \"bind\": invalid propagation mode: {text}")
        }
        "HostConfigCgroupnsModeEnum" => format!("invalid cgroup namespace mode: {text}"),
        "HostConfigIsolationEnum" => format!("invalid isolation ({text}): linux only supports 'default'"),
        _ => format!("invalid value: \"{text}\""),
    }
}

struct List {
    items: std::vec::IntoIter<Value>,
    path: String,
}

impl<'de> SeqAccess<'de> for List {
    type Error = Refusal;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refusal> {
        self.items.next().map(|value| seed.deserialize(Go { value, path: self.path.clone() })).transpose()
    }
}

struct Fields {
    entries: std::vec::IntoIter<(String, Value)>,
    value: Option<Go>,
    path: String,
}

impl Fields {
    fn new(entries: Vec<(String, Value)>, path: String) -> Self {
        Self { entries: entries.into_iter(), value: None, path }
    }
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Refusal;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some(Go { value, path: format!("{}.{key}", self.path) });
        let key: value::StringDeserializer<Refusal> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        match self.value.take() {
            Some(value) => seed.deserialize(value),
            None => Err(Refusal::custom("a value was asked for before its key")),
        }
    }
}

#[cfg(test)]
mod tests {
    use docklab_api::models::{ConfigSpec, ContainerCreateBody, NetworkCreateRequest, ServiceSpec};
    use serde_json::json;

    use super::*;

    fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
        from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn field_names_are_read_in_any_case_and_exact_ones_win() {
        let body: ContainerCreateBody =
            read(json!({"image": "a", "hostconfig": {"networkmode": "none", "BINDS": null}})).expect("reads");
        assert_eq!(body.image.as_deref(), Some("a"));
        let host_config = body.host_config.expect("a host configuration");
        assert_eq!((host_config.network_mode.as_deref(), host_config.binds), (Some("none"), None));
        let service: ServiceSpec = read(json!({"Mode": {"global": {}}})).expect("reads");
        assert!(service.mode.is_some_and(|mode| mode.global.is_some()));
        let config: ConfigSpec = read(json!({"Name": "x", "Templating": {"name": "golang"}})).expect("reads");
        assert_eq!(config.templating.map(|driver| driver.name).as_deref(), Some("golang"));
    }

    #[test]
    fn what_is_missing_or_null_is_a_zero_value() {
        let network: NetworkCreateRequest = read(json!({"Name": null})).expect("reads");
        assert_eq!(network.name, "");
        let network: NetworkCreateRequest = read(Value::Null).expect("reads");
        assert_eq!(network.name, "");
    }

    #[test]
    fn keys_of_maps_keep_their_case() {
        let body: ContainerCreateBody = read(json!({"Labels": {"Image": "x", "image": "y"}})).expect("reads");
        assert_eq!(body.labels.map(|labels| labels.len()), Some(2));
    }

    #[test]
    fn a_command_may_be_one_string() {
        let body: ContainerCreateBody = read(json!({"Cmd": "true", "Entrypoint": ["a", "b"]})).expect("reads");
        assert_eq!(body.cmd, Some(vec!["true".to_owned()]));
        assert!(read::<ContainerCreateBody>(json!({"Env": "A=b"})).is_err());
    }

    #[test]
    fn a_value_of_another_kind_is_refused_with_its_place() {
        let refusal = |value| read::<ContainerCreateBody>(value).unwrap_err();
        assert_eq!(
            refusal(json!({"Image": 5})),
            "json: cannot unmarshal number into Go struct field .Image of type string"
        );
        assert_eq!(
            refusal(json!({"HostConfig": {"Memory": 4.5}})),
            "json: cannot unmarshal number 4.5 into Go struct field .HostConfig.Memory of type int64"
        );
        assert_eq!(
            refusal(json!({"HostConfig": {"RestartPolicy": {"Name": "foo"}}})),
            "invalid restart policy: unknown policy 'foo'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        );
    }
}
