//! A small task executor. It never blocks and never looks at the wall clock: whoever owns the world runs it until nothing
//! is ready.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::Context,
};

use futures::{
    future::BoxFuture,
    task::{ArcWake, waker_ref},
};

use super::lock;

pub(crate) type WakeHook = Arc<dyn Fn() + Send + Sync>;

/// Tasks that can make progress, oldest first.
#[derive(Default)]
pub(crate) struct Executor {
    ready: Mutex<VecDeque<Arc<Task>>>,
    hook: Mutex<Option<WakeHook>>,
    closed: AtomicBool,
}

struct Task {
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    queued: AtomicBool,
    executor: Arc<Executor>,
}

impl ArcWake for Task {
    fn wake_by_ref(task: &Arc<Self>) {
        task.executor.clone().enqueue(task.clone());
    }
}

impl Executor {
    fn enqueue(&self, task: Arc<Task>) {
        if self.closed.load(Ordering::Acquire) || task.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let first = {
            let mut ready = lock(&self.ready);
            ready.push_back(task);
            ready.len() == 1
        };
        let hook = if first { lock(&self.hook).clone() } else { None };
        if let Some(hook) = hook {
            hook();
        }
    }
    pub(crate) fn spawn(self: &Arc<Self>, future: BoxFuture<'static, ()>) {
        self.enqueue(Arc::new(Task {
            future: Mutex::new(Some(future)),
            queued: AtomicBool::new(false),
            executor: self.clone(),
        }));
    }
    pub(crate) fn set_hook(&self, hook: WakeHook) {
        *lock(&self.hook) = Some(hook);
    }
    /// Polls ready tasks until none is left. True when at least one was polled.
    pub(crate) fn run(&self) -> bool {
        let mut progressed = false;
        loop {
            let Some(task) = lock(&self.ready).pop_front() else { return progressed };
            progressed = true;
            // Cleared before the poll, so that a wake-up during it queues the task again.
            task.queued.store(false, Ordering::Release);
            let mut slot = lock(&task.future);
            if let Some(future) = slot.as_mut() {
                let waker = waker_ref(&task);
                if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    *slot = None;
                }
            }
        }
    }
    /// Drops what is queued and refuses more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let queued: Vec<_> = lock(&self.ready).drain(..).collect();
        drop(queued);
    }
}
