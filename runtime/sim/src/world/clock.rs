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

use super::lock;

/// The clock of one world.
pub(crate) struct Clock {
    epoch: Timestamp,
    state: Mutex<ClockState>,
}

#[derive(Default)]
struct ClockState {
    elapsed: Duration,
    next_timer: u64,
    timers: BTreeMap<(Duration, u64), Waker>,
}

impl Clock {
    pub(crate) fn new(epoch: Timestamp) -> Arc<Self> {
        Arc::new(Self { epoch, state: Mutex::default() })
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
        state.timers.insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        lock(&self.clock.state).timers.remove(&self.key);
    }
}
