//! `--mount`: `type=bind,source=/a,target=/b,readonly`.

use serde_json::{Map, Value, json};

use crate::{
    csv,
    grammar::{parse_boolean, parse_bytes},
};

/// A mount as the API has it. The error is the client's, for a flag's value.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    let mut mount = Mount { kind: "volume".to_owned(), ..Mount::default() };
    for field in csv::fields(text)? {
        mount.field(&field)?;
    }
    mount.finish()
}

#[derive(Default)]
struct Mount {
    kind: String,
    source: String,
    target: String,
    read_only: bool,
    consistency: String,
    bind: Map<String, Value>,
    volume: Map<String, Value>,
    tmpfs: Map<String, Value>,
    image: Map<String, Value>,
}

impl Mount {
    fn field(&mut self, field: &str) -> Result<(), String> {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field, None),
        };
        let key = key.to_lowercase();
        let value = match (value, key.as_str()) {
            (Some(value), _) => value,
            (None, "readonly" | "ro" | "volume-nocopy" | "bind-nonrecursive" | "bind-create-src") => "true",
            (None, _) => return Err(format!("invalid field '{field}' must be a key=value pair")),
        };
        let boolean = || parse_boolean(value).map_err(|_| format!("invalid value for {key}: {value}"));
        let pair = || value.split_once('=').unwrap_or((value, ""));
        match key.as_str() {
            "type" => self.kind = value.to_lowercase(),
            "source" | "src" => self.source = source(value),
            "target" | "dst" | "destination" => value.clone_into(&mut self.target),
            "readonly" | "ro" => self.read_only = boolean()?,
            "consistency" => self.consistency = value.to_lowercase(),
            "bind-propagation" => {
                self.bind.insert("Propagation".to_owned(), json!(value.to_lowercase()));
            }
            "bind-nonrecursive" => {
                self.bind.insert("NonRecursive".to_owned(), json!(boolean()?));
            }
            "bind-create-src" => {
                self.bind.insert("CreateMountpoint".to_owned(), json!(boolean()?));
            }
            "bind-recursive" => match value {
                "enabled" => {}
                "disabled" => {
                    self.bind.insert("NonRecursive".to_owned(), json!(true));
                }
                "writable" => {
                    self.bind.insert("ReadOnlyNonRecursive".to_owned(), json!(true));
                }
                "readonly" => {
                    self.bind.insert("ReadOnlyForceRecursive".to_owned(), json!(true));
                }
                _ => {
                    return Err(format!(
                        "invalid value for {key}: {value} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
                    ));
                }
            },
            "volume-subpath" => {
                self.volume.insert("Subpath".to_owned(), json!(value));
            }
            "volume-nocopy" => {
                let no_copy = parse_boolean(value).map_err(|_| format!("invalid value for volume-nocopy: {value}"))?;
                self.volume.insert("NoCopy".to_owned(), json!(no_copy));
            }
            "volume-label" => {
                let (name, label) = pair();
                insert(&mut self.volume, &["Labels"], name, label);
            }
            "volume-driver" => {
                insert(&mut self.volume, &["DriverConfig"], "Name", value);
            }
            "volume-opt" => {
                let (name, option) = pair();
                insert(&mut self.volume, &["DriverConfig", "Options"], name, option);
            }
            "image-subpath" => {
                self.image.insert("Subpath".to_owned(), json!(value));
            }
            "tmpfs-size" => {
                let bytes = parse_bytes(value).map_err(|_| format!("invalid value for {key}: {value}"))?;
                self.tmpfs.insert("SizeBytes".to_owned(), json!(bytes));
            }
            "tmpfs-mode" => {
                let mode = u32::from_str_radix(value, 8).map_err(|_| format!("invalid value for {key}: {value}"))?;
                self.tmpfs.insert("Mode".to_owned(), json!(mode));
            }
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
        Ok(())
    }

    fn finish(self) -> Result<Value, String> {
        if self.kind.is_empty() {
            return Err("type is required".to_owned());
        }
        if self.target.is_empty() {
            return Err("target is required".to_owned());
        }
        for (kind, options) in
            [("volume", &self.volume), ("bind", &self.bind), ("tmpfs", &self.tmpfs), ("image", &self.image)]
        {
            if !options.is_empty() && self.kind != kind {
                return Err(format!("cannot mix '{kind}-*' options with mount type '{}'", self.kind));
            }
        }
        if self.bind.get("ReadOnlyNonRecursive") == Some(&json!(true)) && !self.read_only {
            return Err(
                "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction".to_owned()
            );
        }
        if self.bind.get("ReadOnlyForceRecursive") == Some(&json!(true)) {
            if !self.read_only {
                return Err(
                    "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction".to_owned()
                );
            }
            if self.bind.get("Propagation") != Some(&json!("rprivate")) {
                return Err("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction".to_owned());
            }
        }
        let mut mount = json!({"Type": self.kind, "Target": self.target});
        for (key, text) in [("Source", self.source), ("Consistency", self.consistency)] {
            if !text.is_empty() {
                mount[key] = json!(text);
            }
        }
        if self.read_only {
            mount["ReadOnly"] = json!(true);
        }
        for (key, options) in [
            ("BindOptions", self.bind),
            ("VolumeOptions", self.volume),
            ("TmpfsOptions", self.tmpfs),
            ("ImageOptions", self.image),
        ] {
            if !options.is_empty() {
                mount[key] = Value::Object(options);
            }
        }
        Ok(mount)
    }
}

/// A relative path begins with a dot; only the console knows where that is, so it is resolved later.
fn source(value: &str) -> String {
    value.to_owned()
}

fn insert(map: &mut Map<String, Value>, path: &[&str], key: &str, value: &str) {
    let mut at = map;
    for name in path {
        let next = at.entry((*name).to_owned()).or_insert_with(|| json!({}));
        let Some(next) = next.as_object_mut() else { return };
        at = next;
    }
    at.insert(key.to_owned(), json!(value));
}

/// Makes a mount's relative source absolute.
pub(crate) fn absolute(mount: &mut Value, directory: &str) {
    if mount["Type"] == json!("bind")
        && let Some(source) = mount["Source"].as_str().filter(|source| source.starts_with('.'))
    {
        mount["Source"] = json!(join(directory, source));
    }
}

/// A path from a directory, without dots.
pub(crate) fn join(directory: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
