//! Virtual time: a counter that only moves when the world is told to, and the timers that wait for it.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use jiff::Timestamp;

use super::{executor::WakeHook, lock};

/// The clock of one world.
pub(crate) struct Clock {
    epoch: Timestamp,
    state: Mutex<ClockState>,
    hook: Mutex<Option<WakeHook>>,
}

#[derive(Default)]
struct ClockState {
    elapsed: Duration,
    next_timer: u64,
    timers: BTreeMap<(Duration, u64), Waker>,
}

impl Clock {
    pub(crate) fn new(epoch: Timestamp) -> Arc<Self> {
        Arc::new(Self { epoch, state: Mutex::default(), hook: Mutex::default() })
    }
    /// Called whenever a timer becomes the next one that is due: whoever lets time pass may be waiting for a later one.
    pub(crate) fn set_hook(&self, hook: WakeHook) {
        *lock(&self.hook) = Some(hook);
    }
    pub(crate) fn elapsed(&self) -> Duration {
        lock(&self.state).elapsed
    }
    pub(crate) fn now(&self) -> Timestamp {
        self.epoch.checked_add(self.elapsed()).unwrap_or(Timestamp::MAX)
    }
    /// Unix seconds.
    pub(crate) fn seconds(&self) -> i64 {
        self.now().as_second()
    }
    pub(crate) fn sleep(self: &Arc<Self>, duration: Duration) -> Sleep {
        let mut state = lock(&self.state);
        state.next_timer += 1;
        let key = (state.elapsed.saturating_add(duration), state.next_timer);
        drop(state);
        Sleep { clock: self.clone(), key }
    }
    /// When the next timer is due, as elapsed time.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        lock(&self.state).timers.keys().next().map(|key| key.0)
    }
    /// Moves time to `elapsed` (never back) and wakes what is due by then, in order of deadline.
    pub(crate) fn set_elapsed(&self, elapsed: Duration) {
        let due: Vec<Waker> = {
            let mut state = lock(&self.state);
            state.elapsed = state.elapsed.max(elapsed);
            let now = state.elapsed;
            let later = state.timers.split_off(&(now, u64::MAX));
            std::mem::replace(&mut state.timers, later).into_values().collect()
        };
        due.into_iter().for_each(Waker::wake);
    }
}

/// Completes at its deadline.
pub(crate) struct Sleep {
    clock: Arc<Clock>,
    key: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.clock.state);
        if state.elapsed >= self.key.0 {
            return Poll::Ready(());
        }
        let is_new = state.timers.insert(self.key, context.waker().clone()).is_none();
        let is_next = is_new && state.timers.keys().next() == Some(&self.key);
        drop(state);
        let hook = if is_next { lock(&self.clock.hook).clone() } else { None };
        if let Some(hook) = hook {
            hook();
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        lock(&self.clock.state).timers.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::FutureExt as _;

    use super::*;

    /// A page sleeps until the next timer it knows of. Work of its own that waits for the world, such as a check, sets
    /// timers while no task of the world runs.
    #[test]
    fn a_timer_that_becomes_the_next_one_is_announced() {
        let clock = Clock::new(Timestamp::UNIX_EPOCH);
        let calls = Arc::new(AtomicU32::new(0));
        let counted = calls.clone();
        clock.set_hook(Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        let mut first = clock.sleep(Duration::from_secs(5));
        assert!((&mut first).now_or_never().is_none());
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        let mut later = clock.sleep(Duration::from_secs(9));
        assert!((&mut later).now_or_never().is_none());
        assert_eq!(calls.load(Ordering::Relaxed), 1, "a later timer changes nothing");
        let mut sooner = clock.sleep(Duration::from_secs(1));
        assert!((&mut sooner).now_or_never().is_none());
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }
}
