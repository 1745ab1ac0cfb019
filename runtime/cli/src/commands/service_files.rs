//! `--secret` and `--config` of services: what is mounted where, and as whose.

use docklab_api::Filters;
use serde_json::{Value, json};

use crate::{
    commands::json::{list, text, value},
    context::{Context, Invocation},
    csv,
    error::{CliError, CliResult},
};

/// `NAME` or `source=NAME,target=FILE,uid=0,gid=0,mode=0444`; the mode is octal. Returns the name and the file.
pub(crate) fn parse(kind: &str, given: &str) -> Result<(String, Value), String> {
    let (mut source, mut target) = (String::new(), String::new());
    let (mut user, mut group, mut mode) = ("0".to_owned(), "0".to_owned(), 0o444);
    let fields = csv::fields(given)?;
    if let [name] = fields.as_slice()
        && !name.contains('=')
    {
        name.clone_into(&mut source);
    } else {
        for field in &fields {
            let (key, value) = field
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| format!("invalid field '{field}' must be a key=value pair"))?;
            match key.to_lowercase().as_str() {
                "source" | "src" => value.clone_into(&mut source),
                "target" => value.clone_into(&mut target),
                "uid" => value.clone_into(&mut user),
                "gid" => value.clone_into(&mut group),
                "mode" => {
                    mode = file_mode(value).ok_or("invalid mode specified: invalid syntax")?;
                }
                _ if kind == "secret" => return Err(format!("invalid field in secret request: {key}")),
                _ => return Err(format!("invalid field in config request: {key}")),
            }
        }
    }
    if source.is_empty() {
        return Err("source is required".to_owned());
    }
    if target.is_empty() {
        target.clone_from(&source);
    }
    Ok((source, json!({"Name": target, "UID": user, "GID": group, "Mode": mode})))
}

/// A number as Go reads it with any base: octal behind a zero, else decimal.
fn file_mode(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => match text.strip_prefix("0o").or_else(|| text.strip_prefix('0')) {
            Some(digits) if !digits.is_empty() => u32::from_str_radix(digits, 8).ok(),
            _ => text.parse().ok(),
        },
    }
}

/// Adds and removes what the flags name. The engine wants both the ID and the name, so each name is looked up.
pub(crate) async fn apply(context: &Context, call: &Invocation, spec: &mut Value) -> CliResult<()> {
    for (kind, section, id_key, name_key) in
        [("secret", "Secrets", "SecretID", "SecretName"), ("config", "Configs", "ConfigID", "ConfigName")]
    {
        let added: Vec<String> =
            call.flags.list(kind).into_iter().chain(call.flags.list(&format!("{kind}-add"))).collect();
        let removed = call.flags.list(&format!("{kind}-rm"));
        if added.is_empty() && removed.is_empty() {
            continue;
        }
        let mut all = list(spec, &format!("/TaskTemplate/ContainerSpec/{section}")).to_vec();
        all.retain(|known| !removed.contains(&text(known, &format!("/{name_key}"))));
        let mut targets: Vec<String> = Vec::new();
        for given in added {
            let (name, file) = parse(kind, &given).map_err(CliError::new)?;
            let target = text(&file, "/Name");
            if targets.contains(&target) {
                return Err(CliError::new(format!("duplicate {kind} target for {name} not allowed")));
            }
            targets.push(target);
            let id = identify(context, kind, &name).await?;
            all.retain(|known| known["File"]["Name"] != file["Name"]);
            all.push(json!({"File": file, id_key: id, name_key: name}));
        }
        spec["TaskTemplate"]["ContainerSpec"][section] = json!(all);
    }
    Ok(())
}

/// The ID of a secret or config by its name.
pub(crate) async fn identify(context: &Context, kind: &str, name: &str) -> CliResult<String> {
    let filters = Filters::new().with("name", name);
    let found: Vec<Value> = if kind == "secret" {
        context.api.list_secrets(filters).await?.iter().map(value).collect()
    } else {
        context.api.list_configs(filters).await?.iter().map(value).collect()
    };
    // The filter matches beginnings of names.
    found
        .iter()
        .find(|object| text(object, "/Spec/Name") == name)
        .map(|object| text(object, "/ID"))
        .ok_or_else(|| CliError::new(format!("{kind} not found: {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_a_short_and_a_long_form() {
        let (name, short) = parse("secret", "key").unwrap();
        assert_eq!((name.as_str(), short), ("key", json!({"Name": "key", "UID": "0", "GID": "0", "Mode": 0o444})));
        let (name, long) = parse("secret", "source=key,target=other,uid=7,mode=0400").unwrap();
        assert_eq!((name.as_str(), long), ("key", json!({"Name": "other", "UID": "7", "GID": "0", "Mode": 0o400})));
        assert!(parse("secret", "source=key,mode=09").is_err());
        assert!(parse("secret", "target=x").is_err());
    }
}
