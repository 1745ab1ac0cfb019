//! What all prune commands share.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
};

use docklab_api::{ApiError, ApiResult, Filters};
use docklab_host::Host;
use jiff::Timestamp;

use crate::time;

/// Which prunes are running.
#[derive(Default)]
pub(crate) struct Pruning {
    pub(crate) containers: AtomicBool,
    pub(crate) networks: AtomicBool,
    pub(crate) volumes: AtomicBool,
}

/// One running prune; a second one at the same time is refused.
pub(crate) struct Guard<'a>(&'a AtomicBool);

impl<'a> Guard<'a> {
    pub(crate) fn enter(flag: &'a AtomicBool) -> ApiResult<Self> {
        if flag.swap(true, Ordering::AcqRel) {
            return Err(ApiError::conflict("a prune operation is already running"));
        }
        Ok(Self(flag))
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The `until` filter: a time, or a duration before now (`24h`, `1h30m`).
pub(crate) fn until(host: &dyn Host, filters: &Filters) -> ApiResult<Option<Timestamp>> {
    match filters.get("until") {
        [] => Ok(None),
        [text] => match duration_seconds(text) {
            Some(seconds) => Ok(Timestamp::from_second(host.now().as_second() - seconds).ok()),
            None => match text.parse() {
                Ok(time) => Ok(Some(time)),
                Err(_) => time::parse_bound(Some(text)).map_err(|error| ApiError::invalid(error.message)),
            },
        },
        _ => Err(ApiError::invalid("more than one until filter specified")),
    }
}

/// Go's duration syntax, in whole seconds.
fn duration_seconds(text: &str) -> Option<i64> {
    let mut seconds = 0;
    let mut number = String::new();
    if !text.ends_with(['h', 'm', 's']) {
        return None;
    }
    for letter in text.chars() {
        let unit = match letter {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            digit if digit.is_ascii_digit() => {
                number.push(digit);
                continue;
            }
            _ => return None,
        };
        seconds += number.parse::<i64>().ok()? * unit;
        number.clear();
    }
    Some(seconds)
}

/// The `label` and `label!` filters.
pub(crate) fn labels(filters: &Filters, labels: &HashMap<String, String>) -> bool {
    let holds = |wanted: &str| match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|actual| actual == value),
        None => labels.contains_key(wanted),
    };
    filters.all("label", holds) && filters.all("label!", |unwanted| !holds(unwanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go() {
        assert_eq!(duration_seconds("1h30m"), Some(5400));
        assert_eq!(duration_seconds("24h"), Some(86400));
        assert_eq!(duration_seconds("2024-01-01"), None);
        assert_eq!(duration_seconds("h"), None);
    }

    #[test]
    fn labels_may_be_wanted_and_unwanted() {
        let have = HashMap::from([("a".to_owned(), "1".to_owned())]);
        assert!(labels(&Filters::new().with("label", "a=1"), &have));
        assert!(!labels(&Filters::new().with("label", "a=2"), &have));
        assert!(!labels(&Filters::new().with("label!", "a"), &have));
    }
}
