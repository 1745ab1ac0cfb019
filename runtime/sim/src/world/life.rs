//! The tasks of a machine between one switching on and the next switching off.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use futures::future::BoxFuture;

use super::lock;

/// One life of a machine. What was spawned in it is not polled while it is suspended, and is dropped when it ends.
#[derive(Default)]
pub(crate) struct Life {
    state: Mutex<State>,
    next_task: AtomicU64,
}

#[derive(Default)]
struct State {
    ended: bool,
    suspended: bool,
    /// Tasks that wait, whatever for.
    waiting: HashMap<u64, Waker>,
}

impl Life {
    /// Ties a task to this life.
    pub(crate) fn bind(self: &Arc<Self>, task: BoxFuture<'static, ()>) -> BoxFuture<'static, ()> {
        let number = self.next_task.fetch_add(1, Ordering::Relaxed);
        Box::pin(Bound { life: self.clone(), number, task: Some(task) })
    }
    pub(crate) fn end(&self) {
        self.change(|state| state.ended = true);
    }
    pub(crate) fn suspend(&self, suspended: bool) {
        self.change(|state| state.suspended = suspended);
    }
    fn change(&self, change: impl FnOnce(&mut State)) {
        let waiting: Vec<Waker> = {
            let mut state = lock(&self.state);
            change(&mut state);
            state.waiting.drain().map(|(_, waker)| waker).collect()
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

struct Bound {
    life: Arc<Life>,
    number: u64,
    /// `None` when it is over.
    task: Option<BoxFuture<'static, ()>>,
}

impl Future for Bound {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let suspended = {
            let mut state = lock(&self.life.state);
            if state.ended {
                None
            } else {
                state.waiting.insert(self.number, context.waker().clone());
                Some(state.suspended)
            }
        };
        let outcome = match (suspended, &mut self.task) {
            (Some(true), Some(_)) => Poll::Pending,
            (Some(false), Some(task)) => task.as_mut().poll(context),
            (None, _) | (_, None) => Poll::Ready(()),
        };
        if outcome.is_ready() {
            // Outside of the lock: what it drops may wake others of this life.
            self.task = None;
        }
        outcome
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        lock(&self.life.state).waiting.remove(&self.number);
    }
}
