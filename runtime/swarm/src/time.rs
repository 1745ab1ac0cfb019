use jiff::{SignedDuration, Timestamp};

pub(crate) const SECOND: i64 = 1_000_000_000;

/// `at` plus nanoseconds; stops at the ends of time.
pub(crate) fn later(at: Timestamp, nanoseconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_nanos(nanoseconds)).unwrap_or(Timestamp::MAX)
}

/// RFC 3339 with nine digits, as the API writes dates.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    format!("{at:.9}")
}
