//! HEALTHCHECK.

use docklab_api::models::HealthConfig;

use super::{
    flags::Flags,
    instruction::{Parsed, command, wrong},
};

/// The arguments of a HEALTHCHECK.
pub(super) fn health(rest: &str, flags: &Flags) -> Parsed<HealthConfig> {
    let (kind, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let mut config = HealthConfig::default();
    match kind.to_ascii_uppercase().as_str() {
        "" => return wrong("HEALTHCHECK requires at least one argument"),
        "NONE" if !arguments.trim().is_empty() => return wrong("HEALTHCHECK NONE takes no arguments"),
        "NONE" => {
            config.test = Some(vec!["NONE".to_owned()]);
            return Ok(config);
        }
        "CMD" => {
            let line = command(arguments.trim())?;
            if line.words.is_empty() {
                return wrong("Missing command after HEALTHCHECK CMD");
            }
            let first = if line.shell { "CMD-SHELL" } else { "CMD" };
            config.test = Some(std::iter::once(first.to_owned()).chain(line.words).collect());
        }
        other => return wrong(format!("Unknown type \"{other}\" in HEALTHCHECK (try CMD)")),
    }
    let time = |name: &str| -> Parsed<Option<i64>> {
        let Some(text) = flags.value(name)? else { return Ok(None) };
        match nanoseconds(&text) {
            None => wrong(format!("time: invalid duration \"{text}\"")),
            Some(length) if length != 0 && length < 1_000_000 => {
                wrong(format!("Interval \"{name}\" cannot be less than 1ms"))
            }
            Some(length) => Ok(Some(length)),
        }
    };
    config.interval = time("interval")?;
    config.timeout = time("timeout")?;
    config.start_period = time("start-period")?;
    config.start_interval = time("start-interval")?;
    if let Some(text) = flags.value("retries")? {
        match text.parse::<i64>() {
            Ok(number) if number < 0 => return wrong(format!("--retries cannot be negative ({number})")),
            Ok(number) => config.retries = Some(number),
            Err(_) => return wrong(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax")),
        }
    }
    Ok(config)
}

/// Nanoseconds of a Go duration.
fn nanoseconds(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let value: f64 = rest[..digits].parse().ok()?;
        let units = &rest[digits..];
        let end = units.find(|letter: char| letter.is_ascii_digit()).unwrap_or(units.len());
        total += value
            * match &units[..end] {
                "h" => 3600e9,
                "m" => 60e9,
                "s" => 1e9,
                "ms" => 1e6,
                "us" | "µs" => 1e3,
                "ns" => 1.0,
                _ => return None,
            };
        rest = &units[end..];
    }
    (!text.is_empty()).then_some(total as i64)
}
