//! Go's `fmt`: how values look in a template's output and in `printf`.

use super::value::Value;
use crate::format::quote;

/// What an action writes.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Nothing => "<no value>".to_owned(),
        value => plain(value),
    }
}

/// `%v`.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Nothing | Value::NilPointer(_) => "<nil>".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => float(*value),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Time(text) => time(text),
        Value::Duration(nanoseconds) => duration(*nanoseconds),
        Value::List(items) => {
            let items: Vec<String> = items.iter().flatten().map(plain).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Map(entries, _) => {
            let entries: Vec<String> =
                entries.iter().flatten().map(|(key, value)| format!("{key}:{}", plain(value))).collect();
            format!("map[{}]", entries.join(" "))
        }
        Value::Struct(object) => {
            let fields: Vec<String> = object.fields.iter().map(|field| plain(&field.value)).collect();
            format!("{{{}}}", fields.join(" "))
        }
        Value::Row(row) => {
            let fields: Vec<String> = row.fields.iter().map(|(_, value)| plain(value)).collect();
            format!("{{{}}}", fields.join(" "))
        }
    }
}

/// Go's `%v` of a float: the shortest form, with an exponent when it is large or small.
fn float(value: f64) -> String {
    if value != 0.0 && !(1e-4..1e21).contains(&value.abs()) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    value.to_string()
}

/// Go's text of a time.
pub(crate) fn time(text: &str) -> String {
    let Ok(time) = text.parse::<jiff::Timestamp>() else { return "0001-01-01 00:00:00 +0000 UTC".to_owned() };
    let nanoseconds = time.subsec_nanosecond();
    let fraction = if nanoseconds == 0 { String::new() } else { format!(".{nanoseconds:09}") };
    let fraction = fraction.trim_end_matches('0');
    format!("{}{fraction} +0000 UTC", time.strftime("%Y-%m-%d %H:%M:%S"))
}

/// Go's `time.Duration.String`: `1h2m3.5s`, `250ms`, `0s`.
pub(crate) fn duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let total = nanoseconds.unsigned_abs();
    let fraction = |value: u64, unit: u64| {
        let text = format!("{}.{:0width$}", value / unit, value % unit, width = unit.ilog10() as usize);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let text = match total {
        0 => return "0s".to_owned(),
        1..1_000 => format!("{total}ns"),
        1_000..1_000_000 => format!("{}µs", fraction(total, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", fraction(total, 1_000_000)),
        _ => {
            let minutes = total / 60_000_000_000;
            let seconds = fraction(total % 60_000_000_000, 1_000_000_000);
            match minutes {
                0 => format!("{seconds}s"),
                1..60 => format!("{minutes}m{seconds}s"),
                _ => format!("{}h{}m{seconds}s", minutes / 60, minutes % 60),
            }
        }
    };
    format!("{sign}{text}")
}

/// `fmt.Sprint`: spaces between neighbours neither of which is a string.
pub(super) fn sprint(values: &[Value]) -> String {
    let mut output = String::new();
    for (index, value) in values.iter().enumerate() {
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        if index > 0 && !is_text(value) && !is_text(&values[index - 1]) {
            output.push(' ');
        }
        output.push_str(&plain(value));
    }
    output
}

/// `fmt.Sprintf` with the verbs that make sense of JSON's values.
pub(super) fn sprintf(format: &str, arguments: &[Value]) -> String {
    let mut output = String::new();
    let mut used = 0;
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            output.push(letter);
            continue;
        }
        let mut flags = String::new();
        while let Some(flag) = letters.next_if(|next| matches!(next, '-' | '+' | '#' | ' ' | '0')) {
            flags.push(flag);
        }
        let mut digits = || {
            let mut text = String::new();
            while let Some(digit) = letters.next_if(char::is_ascii_digit) {
                text.push(digit);
            }
            text
        };
        let width: usize = digits().parse().unwrap_or(0);
        let precision = letters.next_if_eq(&'.').map(|_| {
            let mut text = String::new();
            while let Some(digit) = letters.next_if(char::is_ascii_digit) {
                text.push(digit);
            }
            text.parse::<usize>().unwrap_or(0)
        });
        let Some(verb) = letters.next() else {
            output.push_str("%!(NOVERB)");
            break;
        };
        if verb == '%' {
            output.push('%');
            continue;
        }
        let Some(value) = arguments.get(used) else {
            output.push_str(&format!("%!{verb}(MISSING)"));
            continue;
        };
        used += 1;
        let text = verb_text(verb, value, precision, &flags);
        let missing = width.saturating_sub(text.chars().count());
        if flags.contains('-') {
            output.push_str(&text);
            output.extend(std::iter::repeat_n(' ', missing));
        } else {
            let zero = flags.contains('0') && matches!(value, Value::Int(_) | Value::Float(_));
            output.extend(std::iter::repeat_n(if zero { '0' } else { ' ' }, missing));
            output.push_str(&text);
        }
    }
    let extra: Vec<String> =
        arguments.iter().skip(used).map(|value| format!("{}={}", value.type_name(), plain(value))).collect();
    if !extra.is_empty() {
        output.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    output
}

fn verb_text(verb: char, value: &Value, precision: Option<usize>, flags: &str) -> String {
    let bad = || format!("%!{verb}({}={})", value.type_name(), plain(value));
    let cut = |text: String| match precision {
        Some(most) => text.chars().take(most).collect(),
        None => text,
    };
    match (verb, value) {
        ('v', value) => plain(value),
        ('T', value) => value.type_name(),
        ('s', Value::Int(_) | Value::Float(_) | Value::Bool(_)) => bad(),
        ('s', Value::Nothing | Value::NilPointer(_)) => "%!s(<nil>)".to_owned(),
        ('s', value) => cut(plain(value)),
        ('q', Value::Text(text)) => quote(&cut(text.clone())),
        ('q', Value::Number(number)) => quote(&number.to_string()),
        ('q', Value::List(items)) => {
            let items: Vec<String> =
                items.iter().flatten().map(|item| verb_text('q', item, precision, flags)).collect();
            format!("[{}]", items.join(" "))
        }
        ('d', Value::Int(number)) if flags.contains('+') => format!("{number:+}"),
        ('d', Value::Int(number) | Value::Duration(number)) => number.to_string(),
        ('x', Value::Int(number)) => format!("{number:x}"),
        ('X', Value::Int(number)) => format!("{number:X}"),
        ('o', Value::Int(number)) => format!("{number:o}"),
        ('b', Value::Int(number)) => format!("{number:b}"),
        ('c', Value::Int(number)) => {
            u32::try_from(*number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').to_string()
        }
        ('x', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ('t', Value::Bool(value)) => value.to_string(),
        ('f' | 'F', Value::Float(number)) => format!("{number:.*}", precision.unwrap_or(6)),
        ('e', Value::Float(number)) => format!("{number:.*e}", precision.unwrap_or(6)),
        ('g', Value::Float(number)) => match precision {
            Some(digits) => crate::format::significant(*number, digits),
            None => float(*number),
        },
        _ => bad(),
    }
}
