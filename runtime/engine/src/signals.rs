//! Linux signal names and numbers.

use docklab_api::{ApiError, ApiResult};

pub(crate) const SIGKILL: i32 = 9;
pub(crate) const SIGTERM: i32 = 15;

const NAMES: [(&str, i32); 36] = [
    ("ABRT", 6),
    ("ALRM", 14),
    ("BUS", 7),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("FPE", 8),
    ("HUP", 1),
    ("ILL", 4),
    ("INT", 2),
    ("IO", 29),
    ("IOT", 6),
    ("KILL", 9),
    ("PIPE", 13),
    ("POLL", 29),
    ("PROF", 27),
    ("PWR", 30),
    ("QUIT", 3),
    ("SEGV", 11),
    ("STKFLT", 16),
    ("STOP", 19),
    ("SYS", 31),
    ("TERM", 15),
    ("TRAP", 5),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("USR1", 10),
    ("USR2", 12),
    ("VTALRM", 26),
    ("WINCH", 28),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("RTMIN", 34),
    ("RTMAX", 64),
];

/// Reads `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3` or `RTMAX-2`.
pub(crate) fn parse(text: &str) -> ApiResult<i32> {
    let invalid = || ApiError::invalid(format!("invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return match number {
            1..=64 => Ok(number),
            65.. => Err(ApiError::invalid(format!("the linux daemon does not support signal {number}"))),
            _ => Err(invalid()),
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    let real_time =
        name.strip_prefix("RTMIN+").and_then(|offset| offset.parse::<i32>().ok()).map(|offset| 34 + offset).or_else(
            || name.strip_prefix("RTMAX-").and_then(|offset| offset.parse::<i32>().ok()).map(|offset| 64 - offset),
        );
    real_time.filter(|number| (34..=64).contains(number)).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_offsets() {
        for (text, number) in
            [("TERM", 15), ("SIGKILL", 9), ("sigquit", 3), ("28", 28), ("RTMIN+3", 37), ("RTMAX-14", 50)]
        {
            assert_eq!(parse(text), Ok(number), "{text}");
        }
        for text in ["", "0", "-1", "SIGFOO", "RTMIN+40"] {
            assert_eq!(parse(text).map_err(|error| error.message), Err(format!("invalid signal: {text}")));
        }
    }
}
