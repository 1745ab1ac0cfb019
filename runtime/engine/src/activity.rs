//! Tells watchers of builds and transfers what their clients are told, and what those are not: layers and reasons.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use docklab_api::{Activity, ApiResult, Direction, LayerState, News, ProgressMessage, TransferredLayer};
use docklab_host::Host;
use futures::{StreamExt as _, stream, stream::BoxStream};
use tokio::sync::broadcast::{self, error::RecvError};

/// News that a watcher who comes late still sees.
const HISTORY: usize = 512;
/// News that a slow watcher may be behind before it loses some.
const BACKLOG: usize = 1024;
/// A moving layer is told of each time it has come this part of its way further.
const PARTS: u64 = 50;

/// The news of all jobs of one engine.
#[derive(Clone)]
pub(crate) struct ActivityLog {
    shared: Arc<Shared>,
}

struct Shared {
    host: Arc<dyn Host>,
    kept: Mutex<Kept>,
    live: broadcast::Sender<Activity>,
}

#[derive(Default)]
struct Kept {
    jobs: u64,
    history: VecDeque<Activity>,
}

impl ActivityLog {
    pub(crate) fn new(host: Arc<dyn Host>) -> Self {
        let (kept, live) = (Mutex::default(), broadcast::Sender::new(BACKLOG));
        Self { shared: Arc::new(Shared { host, kept, live }) }
    }

    /// A new job. It is silent until it tells something.
    pub(crate) fn begin(&self) -> Arc<Job> {
        let mut kept = self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.jobs += 1;
        let log = self.clone();
        Arc::new(Job { number: kept.jobs, log, told: AtomicBool::new(false), layers: Mutex::default() })
    }

    fn tell(&self, job: u64, news: News) {
        let passing = matches!(
            news,
            News::Layer { state: LayerState::Moving { .. } | LayerState::Unpacking { current: 1.., .. }, .. }
        );
        let mut kept = self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let time = i64::try_from(self.shared.host.now().as_nanosecond()).unwrap_or(i64::MAX);
        let activity = Activity { job, time_nano: time, news };
        if !passing {
            if kept.history.len() == HISTORY {
                kept.history.pop_front();
            }
            kept.history.push_back(activity.clone());
        }
        // An error only says that nobody listens.
        let _ = self.shared.live.send(activity);
    }

    /// What is remembered, and everything after it.
    pub(crate) fn watch(&self) -> BoxStream<'static, ApiResult<Activity>> {
        let kept = self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let past: Vec<Activity> = kept.history.iter().cloned().collect();
        let live = stream::unfold(self.shared.live.subscribe(), |mut live| async move {
            loop {
                match live.recv().await {
                    Ok(activity) => return Some((activity, live)),
                    Err(RecvError::Lagged(lost)) => tracing::warn!(lost, "a watcher of activity is too slow"),
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        stream::iter(past).chain(live).map(Ok).boxed()
    }
}

/// A build, pull or push that is told of. One that is given up before its end is told of as such.
pub(crate) struct Job {
    number: u64,
    log: ActivityLog,
    /// Something was told, and its end was not.
    told: AtomicBool,
    layers: Mutex<Layers>,
}

/// The layers of a transfer.
#[derive(Default)]
struct Layers {
    /// By the short name that progress messages use.
    diff_ids: HashMap<String, String>,
    states: HashMap<String, LayerState>,
}

impl Job {
    pub(crate) fn tell(&self, news: News) {
        let open = !matches!(news, News::Ended { .. });
        self.told.store(open, Ordering::Relaxed);
        self.log.tell(self.number, news);
    }

    /// The job is over; with its image or what went wrong. Says nothing of a job that told nothing.
    pub(crate) fn end(&self, outcome: Result<Option<String>, String>) {
        if self.told.load(Ordering::Relaxed) {
            let (image, error) = match outcome {
                Ok(image) => (image, None),
                Err(error) => (None, Some(error)),
            };
            self.tell(News::Ended { image, error });
        }
    }

    /// Begins a transfer. `layers` come bottom first, each with the name that its progress messages carry.
    pub(crate) fn transfer(&self, direction: Direction, reference: String, layers: Vec<(String, TransferredLayer)>) {
        let (names, layers): (Vec<String>, Vec<TransferredLayer>) = layers.into_iter().unzip();
        let diff_ids = names.into_iter().zip(layers.iter().map(|layer| layer.diff_id.clone())).collect();
        *self.layers.lock().unwrap_or_else(PoisonError::into_inner) = Layers { diff_ids, states: HashMap::new() };
        self.tell(News::TransferBegan { direction, reference, layers });
    }

    /// Looks at a message to the client for what it says of a layer.
    pub(crate) fn observe(&self, message: &ProgressMessage) {
        let (Some(name), Some(status)) = (&message.id, &message.status) else { return };
        let amounts = message.progress_detail.clone().unwrap_or_default();
        let number = |amount| u64::try_from(amount).unwrap_or(0);
        let (current, total) = (number(amounts.current), number(amounts.total));
        let Some(state) = LayerState::read(status, current, total) else { return };
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(diff_id) = layers.diff_ids.get(name).cloned() else { return };
        if layers.states.get(&diff_id).is_some_and(|former| !is_further(former, &state)) {
            return;
        }
        layers.states.insert(diff_id.clone(), state.clone());
        drop(layers);
        self.tell(News::Layer { diff_id, state });
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.end(Err("the client has gone".to_owned()));
    }
}

/// Whether a state is worth telling after another.
fn is_further(former: &LayerState, state: &LayerState) -> bool {
    use LayerState::{Moving, Unpacking};
    match (former, state) {
        (Moving { current: before, .. }, Moving { current, total })
        | (Unpacking { current: before, .. }, Unpacking { current, total }) => {
            current < before || (current == total && current > before) || current - before > total / PARTS
        }
        (former, state) => former != state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moving_layer_is_told_of_in_parts() {
        let moving = |current| LayerState::Moving { current, total: 1000 };
        assert!(!is_further(&moving(10), &moving(30)));
        assert!(is_further(&moving(10), &moving(31)));
        assert!(is_further(&moving(999), &moving(1000)));
        // The connection was cut and the layer begins again.
        assert!(is_further(&moving(500), &moving(0)));
        assert!(!is_further(&LayerState::Done, &LayerState::Done));
    }
}
