//! Values of `--ulimit`, `--device`, `--gpus` and the block device flags.

use serde_json::{Map, Value, json};

use crate::{csv, grammar::parse_bytes};

/// `nofile=SOFT[:HARD]`.
pub(crate) fn ulimit(text: &str) -> Result<Value, String> {
    const NAMES: [&str; 15] = [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    let (name, limits) = text.split_once('=').ok_or_else(|| format!("invalid ulimit argument: {text}"))?;
    if !NAMES.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let parts: Vec<&str> = limits.split(':').collect();
    if parts.len() > 2 {
        return Err(format!("too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`"));
    }
    let number = |text: &str| {
        text.parse::<i64>()
            .map_err(|_| format!("strconv.ParseInt: parsing {}: invalid syntax", crate::format::quote(text)))
    };
    let soft = number(parts[0])?;
    let hard = parts.get(1).map_or(Ok(soft), |hard| number(hard))?;
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(format!("ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"));
    }
    Ok(json!({"Name": name, "Hard": hard, "Soft": soft}))
}

/// Capabilities in their full names, sorted, each once.
pub(crate) fn capabilities(given: &[String]) -> Vec<String> {
    let mut names: Vec<String> = given
        .iter()
        .map(|name| {
            let name = name.trim().to_uppercase();
            if name == "ALL" || name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

fn device_and(text: &str) -> Result<(&str, &str), String> {
    let (path, value) =
        text.split_once(':').filter(|(path, _)| !path.is_empty()).ok_or(format!("bad format: {text}"))?;
    if !path.starts_with("/dev/") {
        return Err(format!("bad format for device path: {text}"));
    }
    Ok((path, value))
}

/// `/dev/sda:100`: a weight of 10 to 1000, or 0.
pub(crate) fn weight(text: &str) -> Result<Value, String> {
    let (path, value) = device_and(text)?;
    let weight = value.parse::<u16>().ok().filter(|weight| *weight == 0 || (10..=1000).contains(weight));
    let weight = weight.ok_or(format!("invalid weight for device: {text}"))?;
    Ok(json!({"Path": path, "Weight": weight}))
}

/// `/dev/sda:1mb`, or a number of operations where there are no units.
pub(crate) fn rate(text: &str, bytes: bool) -> Result<Value, String> {
    let (path, value) = device_and(text)?;
    let rate = if bytes { parse_bytes(value).ok() } else { value.parse().ok() };
    let Some(rate) = rate.filter(|rate| *rate >= 0) else {
        return Err(if bytes {
            format!(
                "invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
            )
        } else {
            format!(
                "invalid rate for device: {text}. The correct format is <device-path>:<number>. Number must be a positive integer"
            )
        });
    };
    Ok(json!({"Path": path, "Rate": rate}))
}

/// `/dev/a[:/dev/b][:rwm]`, or the name of a CDI device.
pub(crate) fn device(text: &str) -> Result<Value, String> {
    let is_mode = |text: &str| {
        !text.is_empty() && text.len() <= 3 && {
            let mut letters: Vec<char> = text.chars().collect();
            letters.sort_unstable();
            letters.windows(2).all(|pair| pair[0] != pair[1]) && letters.iter().all(|letter| "mrw".contains(*letter))
        }
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts.as_slice() {
        [source] => (*source, *source, "rwm"),
        [source, mode] if is_mode(mode) => (*source, *source, *mode),
        [source, target] => (*source, *target, "rwm"),
        [source, target, mode] if is_mode(mode) => (*source, *target, *mode),
        [_, _, mode] => return Err(format!("bad mode specified: {mode}")),
        _ => return Err(format!("bad format for path: {text}")),
    };
    for path in [source, target] {
        if !path.starts_with('/') {
            return Err(format!("{path} is not an absolute path"));
        }
    }
    Ok(json!({"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": mode}))
}

/// `vendor.com/class=name`: a device of the Container Device Interface.
pub(crate) fn is_cdi_device(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    let word = |text: &str| text.starts_with(|first: char| first.is_ascii_alphanumeric());
    word(vendor) && word(class) && word(name)
}

/// `all`, a count, or `device=…,capabilities=…`.
pub(crate) fn gpus(text: &str) -> Result<Value, String> {
    let count = |text: &str| match text {
        "all" => Ok(-1),
        number => number.parse::<i64>().map_err(|error| {
            let reason = if *error.kind() == std::num::IntErrorKind::PosOverflow {
                "value out of range"
            } else {
                "invalid syntax"
            };
            format!("invalid count ({number}): value must be either \"all\" or an integer: {reason}")
        }),
    };
    let mut request = json!({"Driver": "", "Count": 0, "DeviceIDs": null, "Capabilities": null, "Options": {}});
    let mut seen: Vec<String> = Vec::new();
    for field in csv::fields(text)? {
        let (key, value) = field.split_once('=').unwrap_or(("count", &field));
        if seen.iter().any(|known| known == key) {
            return Err(format!("gpu request key '{key}' can be specified only once"));
        }
        seen.push(key.to_owned());
        match key {
            "driver" => request["Driver"] = json!(value),
            "count" => request["Count"] = json!(count(value)?),
            "device" => request["DeviceIDs"] = json!(value.split(',').collect::<Vec<_>>()),
            "capabilities" => {
                request["Capabilities"] = json!([value.split(',').chain(["gpu"]).collect::<Vec<_>>()]);
            }
            "options" => {
                let options: Map<String, Value> = csv::fields(value)?
                    .iter()
                    .map(|option| {
                        let (key, value) = option.split_once('=').unwrap_or((option, ""));
                        (key.to_owned(), json!(value))
                    })
                    .collect();
                request["Options"] = Value::Object(options);
            }
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    if !seen.iter().any(|key| key == "count" || key == "device") {
        request["Count"] = json!(1);
    }
    if request["Capabilities"].is_null() {
        request["Capabilities"] = json!([["gpu"]]);
    }
    Ok(request)
}
