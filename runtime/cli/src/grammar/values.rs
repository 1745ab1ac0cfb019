//! Flag values: Go's and docker's own notations, with their error texts.

/// Checks `value` against the kind of a flag; the error is what Go's parser says.
pub(crate) fn check(kind: &str, value: &str) -> Result<(), String> {
    match kind {
        "bool" => parse_boolean(value).map(|_| ()),
        "int" => integer("ParseInt", value, value.parse::<i64>().is_ok()),
        "uint" | "uint16" | "uint32" => integer("ParseUint", value, value.parse::<u64>().is_ok()),
        "float" => integer("ParseFloat", value, value.parse::<f64>().is_ok()),
        "duration" => parse_duration(value).map(|_| ()),
        "bytes" => parse_bytes(value).map(|_| ()),
        "decimal" => parse_cpus(value).map(|_| ()),
        "filter" if !value.is_empty() && !value.contains('=') => {
            Err("bad format of filter (expected name=value)".to_owned())
        }
        _ => Ok(()),
    }
}

fn integer(function: &str, value: &str, good: bool) -> Result<(), String> {
    if good {
        return Ok(());
    }
    let digits = value.strip_prefix('-').unwrap_or(value);
    let reason = if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && function != "ParseUint" {
        "value out of range"
    } else {
        "invalid syntax"
    };
    Err(format!("strconv.{function}: parsing {value:?}: {reason}"))
}

/// A number of CPUs in billionths: a decimal number or a fraction, no finer than that.
pub(crate) fn parse_cpus(text: &str) -> Result<i64, String> {
    let wrong = || format!("failed to parse {text} as a rational number");
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let cpus = match text.split_once('/') {
        Some((over, under)) => number(over).zip(number(under).filter(|under| *under != 0.0)).map(|(a, b)| a / b),
        None => number(text),
    };
    let billionths = cpus.ok_or_else(wrong)? * 1e9;
    if (billionths - billionths.round()).abs() > 1e-3 {
        return Err("value is too precise".to_owned());
    }
    #[allow(clippy::cast_possible_truncation)] // billionths of a CPU
    Ok(billionths.round() as i64)
}

/// Go's `strconv.ParseBool`.
pub(crate) fn parse_boolean(value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {value:?}: invalid syntax")),
    }
}

/// Go's `time.ParseDuration`, in nanoseconds: `1h30m`, `500ms`, `1.5s`.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| invalid())?;
        rest = &rest[end..];
        let end = rest.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(rest.len());
        let scale = match &rest[..end] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            unit => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        rest = &rest[end..];
        total += number * scale;
    }
    #[allow(clippy::cast_possible_truncation)] // durations of flags are far below 2^63 ns
    let nanoseconds = total as i64;
    Ok(if negative { -nanoseconds } else { nanoseconds })
}

/// Sizes in RAM (go-units `RAMInBytes`): binary multiples, `512m`, `1.5g`, `-1`.
pub(crate) fn parse_bytes(text: &str) -> Result<i64, String> {
    let invalid = || format!("invalid size: '{text}'");
    if text == "-1" {
        return Ok(-1);
    }
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().map_err(|_| invalid())?;
    // One space may stand before the unit.
    let unit = text[end..].strip_prefix(' ').unwrap_or(&text[end..]).to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let power = match unit.strip_suffix('i').unwrap_or(unit) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(format!("invalid suffix: '{}'", text[end..].trim_start())),
    };
    #[allow(clippy::cast_possible_truncation)] // a memory limit is far below 2^63 bytes
    Ok((number * 1024f64.powi(power)) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        assert_eq!(parse_duration("1h30m"), Ok(5_400_000_000_000));
        assert_eq!(parse_duration("1.5s"), Ok(1_500_000_000));
        assert_eq!(parse_duration("10"), Err("time: missing unit in duration \"10\"".to_owned()));
    }

    #[test]
    fn memory_sizes_are_binary() {
        assert_eq!(parse_bytes("32m"), Ok(32 << 20));
        assert_eq!(parse_bytes("1.5GiB"), Ok(3 << 29));
        assert!(parse_bytes("abc").is_err());
    }
}
