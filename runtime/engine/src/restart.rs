//! Restart policies: whether a container that has ended starts again, and after how long.

use std::time::Duration;

use docklab_api::models::{RestartPolicy, RestartPolicyNameEnum};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
/// A run of this length counts as a success: the next wait is short again.
const HEALTHY_RUN: Duration = Duration::from_secs(10);

/// The wait before the next restart: 100 ms, doubled each time up to one minute.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    pub(crate) fn next(&mut self, run: Duration) -> Duration {
        let wait = match self.last {
            Some(last) if run < HEALTHY_RUN => (last * 2).min(LONGEST),
            _ => FIRST,
        };
        self.last = Some(wait);
        wait
    }

    pub(crate) fn reset(&mut self) {
        self.last = None;
    }
}

/// Decides by the policy alone; a manual stop is the caller's matter except for `unless-stopped`.
pub(crate) fn wants_restart(
    policy: Option<&RestartPolicy>,
    exit_code: i32,
    manually_stopped: bool,
    restarts: u32,
) -> bool {
    let Some(policy) = policy else { return false };
    match policy.name {
        Some(RestartPolicyNameEnum::ALWAYS) => true,
        Some(RestartPolicyNameEnum::UNLESS_STOPPED) => !manually_stopped,
        Some(RestartPolicyNameEnum::ON_FAILURE) => {
            let limit = policy.maximum_retry_count.unwrap_or(0);
            exit_code != 0 && (limit <= 0 || i64::from(restarts) < limit)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_minute_and_falls_back_after_a_long_run() {
        let mut backoff = Backoff::default();
        let short = Duration::from_secs(1);
        let waits: Vec<u128> = (0..12).map(|_| backoff.next(short).as_millis()).collect();
        assert_eq!(waits[..4], [100, 200, 400, 800]);
        assert_eq!(waits[11], 60_000);
        assert_eq!(backoff.next(Duration::from_secs(10)), FIRST);
    }

    #[test]
    fn on_failure_counts_and_looks_at_the_code() {
        let policy = |name, maximum| RestartPolicy { name: Some(name), maximum_retry_count: Some(maximum) };
        let on_failure = policy(RestartPolicyNameEnum::ON_FAILURE, 2);
        assert!(!wants_restart(Some(&on_failure), 0, false, 0));
        assert!(wants_restart(Some(&on_failure), 1, false, 1));
        assert!(!wants_restart(Some(&on_failure), 1, false, 2));
        assert!(!wants_restart(Some(&policy(RestartPolicyNameEnum::UNLESS_STOPPED, 0)), 1, true, 0));
        assert!(wants_restart(Some(&policy(RestartPolicyNameEnum::ALWAYS, 0)), 0, true, 0));
        assert!(!wants_restart(None, 1, false, 0));
    }
}
