//! Compose files (version 3): variables filled in, files merged, short forms made long, unknown keys refused.

use serde_json::{Map, Value, json};

use super::yaml;
use crate::{
    commands::{container::ports, input, mount},
    context::Context,
    error::{CliError, CliResult},
    grammar::{parse_bytes, parse_duration},
};

const TOP: &[&str] = &["configs", "networks", "secrets", "services", "version", "volumes"];
const SERVICE: &[&str] = &[
    "build",
    "cap_add",
    "cap_drop",
    "cgroup_parent",
    "cgroupns_mode",
    "command",
    "configs",
    "container_name",
    "credential_spec",
    "depends_on",
    "deploy",
    "devices",
    "dns",
    "dns_search",
    "domainname",
    "entrypoint",
    "env_file",
    "environment",
    "expose",
    "external_links",
    "extra_hosts",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "ipc",
    "isolation",
    "labels",
    "links",
    "logging",
    "mac_address",
    "network_mode",
    "networks",
    "oom_score_adj",
    "pid",
    "ports",
    "privileged",
    "read_only",
    "restart",
    "secrets",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "sysctls",
    "tmpfs",
    "tty",
    "ulimits",
    "user",
    "userns_mode",
    "volumes",
    "working_dir",
];
const DEPLOY: &[&str] = &[
    "endpoint_mode",
    "labels",
    "mode",
    "placement",
    "replicas",
    "resources",
    "restart_policy",
    "rollback_config",
    "update_config",
];

/// Reads, fills in, merges and normalises the files that were named. Paths in a file are relative to the first one.
pub(crate) async fn load(context: &Context, files: &[String]) -> CliResult<Value> {
    if files.is_empty() {
        return Err(CliError::new("Specify a Compose file (with --compose-file)"));
    }
    let mut whole = Value::Null;
    for path in files {
        let bytes = if path == "-" {
            input::read_all(context.console.as_ref()).await
        } else {
            context.console.read_file(path).await?
        };
        let file = yaml::parse(&String::from_utf8_lossy(&bytes)).map_err(CliError::new)?;
        if !file.is_object() {
            return Err(CliError::new("top-level object must be a mapping"));
        }
        let mut file = file;
        interpolate(context, &mut file, "")?;
        check(&file)?;
        normalise(context, &mut file, &directory(context, &files[0])).await?;
        merge(&mut whole, file);
    }
    Ok(whole)
}

fn directory(context: &Context, path: &str) -> String {
    let working = context.console.working_directory();
    match path.rsplit_once('/') {
        Some((folder, _)) => mount::join(&working, if folder.is_empty() { "/" } else { folder }),
        None => working,
    }
}

/// Fills in `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:?message}`; `$$` is a dollar sign.
fn interpolate(context: &Context, value: &mut Value, path: &str) -> CliResult<()> {
    match value {
        Value::String(text) if text.contains('$') => {
            let filled = fill(context, text).map_err(|reason| {
                CliError::new(format!(
                    "invalid interpolation format for {path}: {reason}. You may need to escape any $ with another $"
                ))
            })?;
            *value = if matches!(yaml::parse(&filled), Ok(Value::Number(_) | Value::Bool(_))) && is_typed(path) {
                yaml::parse(&filled).map_err(CliError::new)?
            } else {
                Value::from(filled)
            };
        }
        Value::Array(items) => {
            for item in items {
                interpolate(context, item, &format!("{path}.[]"))?;
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                interpolate(context, item, &path)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Places whose values are no texts, so that what is filled in is read again.
fn is_typed(path: &str) -> bool {
    ["replicas", "parallelism", "max_attempts", "retries", "target", "published", "mode", "tty", "init", "read_only"]
        .iter()
        .any(|name| path.ends_with(&format!(".{name}")))
}

fn fill(context: &Context, text: &str) -> Result<String, String> {
    let mut output = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        output.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            output.push('$');
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('{') {
            let end = inner.find('}').ok_or_else(|| format!("{text:?}"))?;
            output.push_str(&variable(context, &inner[..end]).map_err(|reason| reason.unwrap_or(format!("{text:?}")))?);
            rest = &inner[end + 1..];
        } else {
            let length = name_length(rest);
            if length == 0 {
                return Err(format!("{text:?}"));
            }
            output.push_str(&context.console.variable(&rest[..length]).unwrap_or_default());
            rest = &rest[length..];
        }
    }
    output.push_str(rest);
    Ok(output)
}

fn name_length(text: &str) -> usize {
    let end = text.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')).unwrap_or(text.len());
    if text.starts_with(|first: char| first.is_ascii_digit()) { 0 } else { end }
}

/// What stands in braces. Without a reason the whole text is at fault.
fn variable(context: &Context, inner: &str) -> Result<String, Option<String>> {
    let (name, operator) = inner.split_at(name_length(inner));
    if name.is_empty() {
        return Err(None);
    }
    let value = context.console.variable(name);
    let filled = value.clone().filter(|value| !value.is_empty());
    let required = |message: &str| Err(Some(format!("required variable {name} is missing a value: {message}")));
    match operator {
        "" => Ok(value.unwrap_or_default()),
        _ => match (operator.get(..2), operator.get(..1)) {
            (Some(":-"), _) => Ok(filled.unwrap_or_else(|| operator[2..].to_owned())),
            (Some(":?"), _) => filled.map_or_else(|| required(&operator[2..]), Ok),
            (_, Some("-")) => Ok(value.unwrap_or_else(|| operator[1..].to_owned())),
            (_, Some("?")) => value.map_or_else(|| required(&operator[1..]), Ok),
            _ => Err(None),
        },
    }
}

/// Refuses what version 3 of the format does not have.
fn check(file: &Value) -> CliResult<()> {
    let unknown = |place: &str, map: &Map<String, Value>, known: &[&str]| match map
        .keys()
        .find(|key| !known.contains(&key.as_str()) && !key.starts_with("x-"))
    {
        Some(key) => Err(CliError::new(format!("{place} Additional property {key} is not allowed"))),
        None => Ok(()),
    };
    if let Some(map) = file.as_object() {
        unknown("(root)", map, TOP)?;
    }
    for section in ["services", "networks", "volumes", "secrets", "configs"] {
        match file.get(section) {
            None | Some(Value::Object(_)) => {}
            Some(Value::Null) if section != "services" => {}
            Some(_) => return Err(CliError::new(format!("{section} must be a mapping"))),
        }
    }
    for (name, service) in file["services"].as_object().into_iter().flatten() {
        let Some(service) = service.as_object() else {
            return Err(CliError::new(format!("services.{name} must be a mapping")));
        };
        unknown(&format!("services.{name}"), service, SERVICE)?;
        if let Some(deploy) = service.get("deploy").and_then(Value::as_object) {
            unknown(&format!("services.{name}.deploy"), deploy, DEPLOY)?;
        }
        if service.get("image").is_some_and(|image| !image.is_string()) {
            return Err(CliError::new(format!("services.{name}.image must be a string")));
        }
    }
    Ok(())
}

async fn normalise(context: &Context, file: &mut Value, directory: &str) -> CliResult<()> {
    for (_, service) in file["services"].as_object_mut().into_iter().flatten() {
        service_forms(context, service, directory).await?;
    }
    for section in ["secrets", "configs"] {
        for (_, object) in file.get_mut(section).and_then(Value::as_object_mut).into_iter().flatten() {
            if let Some(path) = object.get("file").and_then(Value::as_str) {
                object["file"] = json!(mount::join(directory, path));
            }
        }
    }
    for section in ["networks", "volumes", "secrets", "configs"] {
        for (name, object) in file.get_mut(section).and_then(Value::as_object_mut).into_iter().flatten() {
            if object.is_null() {
                *object = json!({});
            }
            // `external: {name: x}`, the old way to say it.
            if let Some(external) = object.get("external").filter(|external| external.is_object()).cloned() {
                object["name"] = external["name"].clone();
                object["external"] = json!(true);
            }
            if object.get("external") == Some(&json!(true)) && object.get("name").is_none_or(Value::is_null) {
                object["name"] = json!(name);
            }
            for key in ["labels", "driver_opts"] {
                if let Some(given) = object.get(key).cloned() {
                    object[key] = mapping(&given, |_| None);
                }
            }
        }
    }
    Ok(())
}

/// A list of `k=v` or a mapping as a mapping of texts; a key alone takes what `lookup` knows, else null.
fn mapping(value: &Value, lookup: impl Fn(&str) -> Option<String>) -> Value {
    let mut map = Map::new();
    match value {
        Value::Array(items) => {
            for item in items.iter().filter_map(Value::as_str) {
                match item.split_once('=') {
                    Some((key, value)) => map.insert(key.to_owned(), json!(value)),
                    None => map.insert(item.to_owned(), lookup(item).map_or(Value::Null, Value::from)),
                };
            }
        }
        Value::Object(entries) => {
            for (key, value) in entries {
                let value = match value {
                    Value::Null => lookup(key).map_or(Value::Null, Value::from),
                    Value::String(text) => json!(text),
                    other => json!(other.to_string()),
                };
                map.insert(key.clone(), value);
            }
        }
        _ => {}
    }
    Value::Object(map)
}

fn list(value: &Value) -> Value {
    match value {
        Value::Array(_) => value.clone(),
        other => json!([other]),
    }
}

async fn service_forms(context: &Context, service: &mut Value, directory: &str) -> CliResult<()> {
    for key in ["command", "entrypoint"] {
        if let Some(text) = service.get(key).and_then(Value::as_str) {
            service[key] = json!(crate::commands::service_flags::words(text)?);
        }
    }
    for key in ["dns", "dns_search", "tmpfs", "env_file"] {
        if let Some(given) = service.get(key).cloned() {
            service[key] = list(&given);
        }
    }
    let lookup = |name: &str| context.console.variable(name);
    let mut environment = Map::new();
    for path in service.get("env_file").and_then(Value::as_array).cloned().unwrap_or_default() {
        let path = mount::join(directory, path.as_str().unwrap_or_default());
        let bytes = context.console.read_file(&path).await?;
        let lines: Vec<Value> = String::from_utf8_lossy(&bytes)
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(Value::from)
            .collect();
        environment.extend(mapping(&Value::Array(lines), lookup).as_object().cloned().unwrap_or_default());
    }
    if let Some(given) = service.get("environment").cloned() {
        environment.extend(mapping(&given, lookup).as_object().cloned().unwrap_or_default());
    }
    if !environment.is_empty() {
        service["environment"] = Value::Object(environment);
    }
    for path in ["/labels", "/sysctls", "/deploy/labels", "/logging/options"] {
        if let Some(place) = service.pointer_mut(path) {
            *place = mapping(&place.clone(), |_| None);
        }
    }
    if let Some(hosts) = service.get("extra_hosts").and_then(Value::as_object).cloned() {
        let lines: Vec<String> =
            hosts.iter().map(|(name, address)| format!("{name}:{}", address.as_str().unwrap_or_default())).collect();
        service["extra_hosts"] = json!(lines);
    }
    if let Some(names) = service.get("networks").and_then(Value::as_array).cloned() {
        let map = names.iter().filter_map(Value::as_str).map(|name| (name.to_owned(), Value::Null)).collect();
        service["networks"] = Value::Object(map);
    }
    for key in ["secrets", "configs"] {
        for item in service.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(name) = item.as_str() {
                *item = json!({"source": name});
            }
        }
    }
    if let Some(test) = service.pointer("/healthcheck/test").and_then(Value::as_str) {
        service["healthcheck"]["test"] = json!(["CMD-SHELL", test]);
    }
    if let Some(given) = service.get("ports").and_then(Value::as_array).cloned() {
        service["ports"] = Value::Array(all_ports(&given)?);
    }
    for item in service.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        *item = volume(context, item, directory)?;
    }
    for path in ["/deploy/resources/limits/memory", "/deploy/resources/reservations/memory"] {
        if let Some(place) = service.pointer_mut(path) {
            let text = place.as_str().map_or_else(|| place.to_string(), ToOwned::to_owned);
            *place = json!(parse_bytes(&text).map_err(CliError::new)?.to_string());
        }
    }
    Ok(())
}

fn all_ports(given: &[Value]) -> CliResult<Vec<Value>> {
    let mut all = Vec::new();
    for port in given {
        if port.is_object() {
            all.push(port.clone());
            continue;
        }
        let text = port.as_str().map_or_else(|| port.to_string(), ToOwned::to_owned);
        let published = ports::parse(&text).map_err(|reason| {
            CliError::new(if reason.starts_with("invalid proto") {
                format!("invalid protocol: {}", text.rsplit('/').next().unwrap_or_default())
            } else {
                reason
            })
        })?;
        let (first, last) = published.container;
        for offset in 0..=(last - first) {
            let mut port = json!({"mode": "ingress", "target": first + offset});
            if let Some((low, _)) = published.host {
                port["published"] = json!(low + offset);
            }
            port["protocol"] = json!(published.protocol);
            all.push(port);
        }
    }
    Ok(all)
}

/// `[SOURCE:]TARGET[:ro]` in its long form; relative sources are made absolute.
fn volume(context: &Context, given: &Value, directory: &str) -> CliResult<Value> {
    let home = || context.console.variable("HOME").unwrap_or_default();
    let absolute = |source: &str| match source.strip_prefix('~') {
        Some(rest) => format!("{}{rest}", home()),
        None => mount::join(directory, source),
    };
    let Some(text) = given.as_str() else {
        let mut long = given.clone();
        if long["type"] == json!("bind")
            && let Some(source) = long["source"].as_str()
        {
            long["source"] = json!(absolute(source));
        }
        return Ok(long);
    };
    if text.is_empty() {
        return Err(CliError::new("invalid empty volume spec"));
    }
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => ("", *target, ""),
        [source, target] => (*source, *target, ""),
        [source, target, options, ..] => (*source, *target, *options),
        [] => ("", text, ""),
    };
    let is_path = source.starts_with(['/', '.', '~']);
    let mut volume = json!({"type": if is_path { "bind" } else { "volume" }});
    if !source.is_empty() {
        volume["source"] = json!(if is_path { absolute(source) } else { source.to_owned() });
    }
    volume["target"] = json!(target);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => volume["read_only"] = json!(true),
            "rw" => {}
            "nocopy" => volume["volume"] = json!({"nocopy": true}),
            propagation if is_path => volume["bind"] = json!({"propagation": propagation}),
            _ => {}
        }
    }
    Ok(volume)
}

/// A later file over an earlier one: mappings are merged, lists of ports, volumes and the like are joined.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                match base.get_mut(&key) {
                    Some(Value::Array(known)) if !matches!(key.as_str(), "command" | "entrypoint" | "test") => {
                        for item in value.as_array().cloned().unwrap_or_default() {
                            let same = |known: &Value| {
                                known == &item || (item["target"].is_string() && known["target"] == item["target"])
                            };
                            known.retain(|known| !same(known));
                            known.push(item);
                        }
                    }
                    Some(known) => merge(known, value),
                    None => {
                        base.insert(key, value);
                    }
                }
            }
        }
        (base, over) => *base = over,
    }
}

/// Nanoseconds of a duration in a file.
pub(crate) fn nanoseconds(value: &Value) -> CliResult<i64> {
    let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    parse_duration(&text).map_err(CliError::new)
}

/// The whole configuration with its keys in Docker's order, for `docker stack config`.
pub(crate) fn ordered(file: &Value) -> Value {
    let mut output = Map::new();
    for key in ["version", "services", "networks", "volumes", "secrets", "configs"] {
        match file.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::Object(map)) => {
                let mut names: Vec<&String> = map.keys().collect();
                names.sort();
                let section: Map<String, Value> =
                    names.into_iter().map(|name| (name.clone(), in_order(&map[name], key))).collect();
                output.insert(key.to_owned(), Value::Object(section));
            }
            Some(other) => {
                output.insert(key.to_owned(), other.clone());
            }
        }
    }
    Value::Object(output)
}

/// Services' own keys are sorted; below them and elsewhere Go's fields have their order.
fn in_order(value: &Value, place: &str) -> Value {
    const FIELDS: &[&str] = &[
        "mode_",
        "replicas",
        "labels",
        "update_config",
        "rollback_config",
        "parallelism",
        "delay",
        "failure_action",
        "monitor",
        "max_failure_ratio",
        "order",
        "resources",
        "limits",
        "reservations",
        "cpus",
        "memory",
        "restart_policy",
        "condition",
        "max_attempts",
        "window",
        "placement",
        "constraints",
        "preferences",
        "max_replicas_per_node",
        "endpoint_mode",
        "test",
        "timeout",
        "interval",
        "retries",
        "start_period",
        "type",
        "source",
        "name",
        "file",
        "external",
        "driver",
        "driver_opts",
        "options",
        "ipam",
        "internal",
        "attachable",
    ];
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            match place {
                "services" => keys.sort(),
                "environment" | "labels" | "networks_of_service" => keys.sort(),
                _ => {
                    keys.sort_by_key(|key| FIELDS.iter().position(|field| field == key).unwrap_or(FIELDS.len()));
                }
            }
            Value::Object(keys.into_iter().map(|key| (key.clone(), in_order(&map[key], key))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| in_order(item, place)).collect()),
        other => other.clone(),
    }
}
