//! `--env`, `--env-file`, `--label` and `--label-file`.

use serde_json::{Map, Value, json};

use crate::{
    context::{Context, Invocation},
    error::{CliError, CliResult},
};

/// `k=v` texts as a map; a key alone has an empty value.
pub(crate) fn labels(texts: &[String]) -> Map<String, Value> {
    texts
        .iter()
        .map(|text| {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            (key.to_owned(), json!(value))
        })
        .collect()
}

/// Labels of files, then those of flags.
pub(crate) async fn all_labels(context: &Context, call: &Invocation) -> CliResult<Map<String, Value>> {
    let mut texts = Vec::new();
    for path in call.flags.list("label-file") {
        texts.extend(lines(context, &path).await?);
    }
    texts.extend(call.flags.list("label"));
    Ok(labels(&texts))
}

/// `--env-file` first, then `--env`; a bare name takes the client's own value. Null when there is nothing.
pub(crate) async fn environment(context: &Context, call: &Invocation) -> CliResult<Value> {
    let mut texts = Vec::new();
    for path in call.flags.list("env-file") {
        texts.extend(lines(context, &path).await?);
    }
    texts.extend(call.flags.list("env"));
    let variables: Vec<String> = texts
        .into_iter()
        .filter_map(|text| {
            if text.contains('=') {
                return Some(text);
            }
            context.console.variable(&text).map(|value| format!("{text}={value}"))
        })
        .collect();
    Ok(if variables.is_empty() { Value::Null } else { json!(variables) })
}

/// The meaningful lines of a file of variables.
async fn lines(context: &Context, path: &str) -> CliResult<Vec<String>> {
    let bytes = context.console.read_file(path).await?;
    let invalid = |reason: String| CliError::new(format!("invalid env file ({path}): {reason}"));
    let mut lines = Vec::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = std::str::from_utf8(line)
            .map_err(|_| invalid(format!("env file {path} contains invalid utf8 bytes at line {}", number + 1)))?;
        let line = if number == 0 { line.trim_start_matches('\u{feff}') } else { line };
        let line = line.trim_end_matches('\r').trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split('=').next().unwrap_or_default();
        if name.contains([' ', '\t']) {
            return Err(invalid(format!("variable '{}' contains whitespaces", name.trim_end())));
        }
        if name.is_empty() {
            return Err(invalid(format!("no variable name on line '{line}'")));
        }
        lines.push(line.to_owned());
    }
    Ok(lines)
}

/// Proxies of the configuration, which containers and builds get as variables unless they have their own.
pub(crate) fn proxies(context: &Context) -> Vec<(String, String)> {
    let Some(proxies) = context.config.map("proxies") else { return Vec::new() };
    let host = context.console.variable("DOCKER_HOST").unwrap_or_default();
    let Some(settings) = proxies.get(&host).or_else(|| proxies.get("default")) else { return Vec::new() };
    [
        ("httpProxy", "HTTP_PROXY"),
        ("httpsProxy", "HTTPS_PROXY"),
        ("noProxy", "NO_PROXY"),
        ("ftpProxy", "FTP_PROXY"),
        ("allProxy", "ALL_PROXY"),
    ]
    .into_iter()
    .filter_map(|(key, name)| settings.get(key).and_then(Value::as_str).map(|value| (name, value)))
    .filter(|(_, value)| !value.is_empty())
    .flat_map(|(name, value)| [(name.to_owned(), value.to_owned()), (name.to_lowercase(), value.to_owned())])
    .collect()
}
