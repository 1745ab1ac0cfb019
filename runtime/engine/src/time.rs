//! Times as Docker writes and reads them.

use docklab_api::{ApiError, ApiResult};
use jiff::Timestamp;

/// Go's zero time.
pub(crate) const ZERO: &str = "0001-01-01T00:00:00Z";

/// RFC 3339 with as many fractional digits as needed; Go's zero time when absent.
pub(crate) fn rfc3339(time: Option<Timestamp>) -> String {
    time.map_or_else(|| ZERO.to_owned(), |time| time.to_string())
}

/// The duration in words as `docker ps` writes it; `seconds` may not be negative.
pub(crate) fn human_duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    // Hours are rounded, everything longer is counted from them.
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// Whole seconds between two times, never negative.
pub(crate) fn seconds_between(earlier: Timestamp, later: Timestamp) -> i64 {
    i64::try_from((later.as_nanosecond() - earlier.as_nanosecond()) / 1_000_000_000).unwrap_or(i64::MAX).max(0)
}

/// Reads the API's `since` and `until`: Unix seconds with an optional fraction. Empty and `0` are no bound.
pub(crate) fn parse_bound(text: Option<&str>) -> ApiResult<Option<Timestamp>> {
    let Some(text) = text.filter(|text| !text.is_empty() && *text != "0") else { return Ok(None) };
    let invalid = || ApiError::system(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().map_err(|_| invalid())?;
    let nanoseconds: i32 = if fraction.is_empty() {
        0
    } else if fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("{fraction:0<9}").get(..9).and_then(|digits| digits.parse().ok()).ok_or_else(invalid)?
    } else {
        return Err(invalid());
    };
    Timestamp::new(seconds, if whole.starts_with('-') { -nanoseconds } else { nanoseconds })
        .map(Some)
        .map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_dockers() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (14 * 86400, "2 weeks"),
            (60 * 86400, "2 months"),
            (800 * 86400, "2 years"),
        ] {
            assert_eq!(human_duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn bounds_are_unix_times_with_a_fraction() {
        assert_eq!(parse_bound(Some("0")), Ok(None));
        let bound = parse_bound(Some("1700000000.5")).ok().flatten().map(|time| time.as_millisecond());
        assert_eq!(bound, Some(1_700_000_000_500));
        assert!(parse_bound(Some("yesterday")).is_err());
    }
}
