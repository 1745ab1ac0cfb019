/// go-units `HumanDuration` of a number of seconds.
pub(crate) fn duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    // Hours are rounded, not cut.
    let hours = (seconds + 1800) / 3600;
    match seconds {
        ..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".to_owned(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// Decimal size with three significant digits: `1.98MB`.
pub(crate) fn size(bytes: f64) -> String {
    scaled(bytes, 3, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB"])
}

/// Decimal size with four significant digits: `16.38MB`.
pub(crate) fn size4(bytes: f64) -> String {
    scaled(bytes, 4, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB"])
}

/// Binary size with four significant digits: `23.54GiB`.
pub(crate) fn binary_size(bytes: f64) -> String {
    scaled(bytes, 4, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
}

fn scaled(mut value: f64, digits: usize, base: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{}{}", significant(value, digits), units[unit])
}

/// Go's `%.Ng`: N significant digits, without trailing zeros.
pub(crate) fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    #[allow(clippy::cast_possible_truncation)] // the exponent of an f64 is small
    let exponent = value.abs().log10().floor() as i64;
    let decimals = usize::try_from(i64::try_from(digits).unwrap_or(4) - 1 - exponent).unwrap_or(0);
    let mut text = format!("{value:.decimals$}");
    let integer_digits = text.trim_start_matches('-').split('.').next().map_or(0, str::len);
    if integer_digits > digits {
        // Rounded up to one digit more than asked for: Go prints an exponent (1e+03).
        let mantissa = value / 10f64.powi(i32::try_from(integer_digits).unwrap_or(1) - 1);
        return format!("{}e+{:02}", significant(mantissa, digits), integer_digits - 1);
    }
    if text.contains('.') {
        text = text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

/// Twelve hexadecimal digits of an ID, without its algorithm.
pub(crate) fn short_id(id: &str) -> String {
    let id = id.split_once(':').map_or(id, |(_, digest)| digest);
    id.chars().take(12).collect()
}

/// Cuts to `width` columns, the last of which becomes an ellipsis.
pub(crate) fn truncate(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// The first letters, without an ellipsis.
pub(crate) fn truncate_plain(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}

/// Go's `%q` for printable text.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            letter if letter.is_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(letter))),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// Go's default text of a time, at an offset from UTC in seconds.
pub(crate) fn local_time(seconds: i64, offset: i32) -> String {
    let time = jiff::Timestamp::from_second(seconds.saturating_add(i64::from(offset))).unwrap_or_default();
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
    let zone = format!("{sign}{hours:02}{minutes:02}");
    let name = if offset == 0 { "UTC" } else { &zone };
    format!("{} {zone} {name}", time.strftime("%Y-%m-%d %H:%M:%S"))
}

/// JSON as Go's encoder escapes it for HTML: `<`, `>` and `&`.
pub(crate) fn escape_html(text: &str) -> String {
    text.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

/// Names in the order people expect: runs of digits by their number, `web2` before `web10`.
pub(crate) fn natural_order(one: &str, other: &str) -> std::cmp::Ordering {
    let (mut left, mut right) = (one, other);
    loop {
        let (Some(first), Some(second)) = (chunk(left), chunk(right)) else {
            return left.len().cmp(&right.len());
        };
        let order = match (number(first), number(second)) {
            // Equal numbers: the one with fewer leading zeros comes first.
            (Some(one), Some(other)) => one.cmp(&other).then(first.len().cmp(&second.len())),
            _ => first.cmp(second),
        };
        if order.is_ne() {
            return order;
        }
        left = &left[first.len()..];
        right = &right[second.len()..];
    }
}

fn chunk(text: &str) -> Option<&str> {
    let digits = text.chars().next()?.is_ascii_digit();
    let end = text.find(|letter: char| letter.is_ascii_digit() != digits).unwrap_or(text.len());
    Some(&text[..end])
}

fn number(chunk: &str) -> Option<u128> {
    chunk.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_go_units() {
        let cases = [
            (0, "Less than a second"),
            (59, "59 seconds"),
            (61, "About a minute"),
            (3 * 3600, "3 hours"),
            (72 * 3600, "3 days"),
            (15 * 86400, "2 weeks"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn sizes_keep_their_significant_digits() {
        assert_eq!(size(333_401_691.0), "333MB");
        assert_eq!(size(1_980_000.0), "1.98MB");
        assert_eq!(size4(3072.0), "3.072kB");
        assert_eq!(binary_size(25_276_514_304.0), "23.54GiB");
        assert_eq!(size(0.0), "0B");
    }
}
