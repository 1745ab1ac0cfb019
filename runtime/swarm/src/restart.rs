use std::collections::BTreeMap;

use docklab_api::models::{NodeState, TaskSpecRestartPolicyConditionEnum as Condition};
use jiff::Timestamp;

use crate::{
    Manager,
    constraints::all_match,
    objects::{Place, Service, State, Task},
    time::{SECOND, later},
};

/// How long a replacement waits for its predecessor to stop, in nanoseconds.
pub(crate) const STOP_TIMEOUT: i64 = 60 * SECOND;
const DEFAULT_DELAY: i64 = 5 * SECOND;

/// A task that is prepared and waits to be started.
#[derive(Debug, Clone)]
pub(crate) struct Delayed {
    pub(crate) at: Timestamp,
    /// The predecessor, which must have stopped, and when waiting for it ends.
    pub(crate) after: Option<(String, Timestamp)>,
}

#[derive(Debug, Default)]
struct History {
    spec_version: u64,
    /// When restarts happened.
    restarts: Vec<Timestamp>,
}

/// Restart history by place, and starts that are due later.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    pub(crate) delayed: BTreeMap<String, Delayed>,
    history: BTreeMap<(String, Place), History>,
}

impl Restarts {
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let stop = |delayed: &Delayed| delayed.after.as_ref().map(|(_, until)| *until);
        self.delayed
            .values()
            .map(|delayed| match stop(delayed) {
                // A start whose time has come waits for its predecessor alone.
                Some(until) if delayed.at == Timestamp::MIN => until,
                _ => delayed.at,
            })
            .min()
    }

    pub(crate) fn clock_was_set(&mut self, jump: i64) {
        for delayed in self.delayed.values_mut() {
            if delayed.at != Timestamp::MIN {
                delayed.at = later(delayed.at, jump);
            }
            if let Some((_, until)) = &mut delayed.after {
                *until = later(*until, jump);
            }
        }
        for at in self.history.values_mut().flat_map(|history| &mut history.restarts) {
            *at = later(*at, jump);
        }
    }

    pub(crate) fn forget_service(&mut self, service: &str) {
        self.history.retain(|(owner, _), _| owner != service);
    }
}

impl Manager {
    /// Whether the policy lets a task be followed by another.
    pub(crate) fn should_restart(&self, task: &Task, service: &Service) -> bool {
        let policy = task.spec.restart_policy.clone().unwrap_or_default();
        // A new specification starts afresh, whatever the old one said of its tasks' ends.
        match policy.condition.unwrap_or(Condition::ANY) {
            Condition::NONE => return false,
            Condition::ON_FAILURE if task.status.state == State::COMPLETE => return false,
            _ => {}
        }
        let most = usize::try_from(policy.max_attempts.unwrap_or(0)).unwrap_or(0);
        if most == 0 {
            return true;
        }
        let Some(history) = self.restarts.history.get(&(service.id.clone(), task.place())) else { return true };
        if history.spec_version != task.spec_version {
            return true;
        }
        let window = policy.window.unwrap_or(0);
        let counted = history.restarts.iter().filter(|at| window == 0 || later(**at, window) > self.now).count();
        counted < most
    }

    /// Tasks that ended, or whose node is lost or drained, are shut down and, where the policy says so, replaced.
    pub(crate) fn restart_dead(&mut self) {
        let dead: Vec<Task> = self
            .store
            .tasks
            .values()
            .filter(|task| task.is_wanted() && self.store.services.contains_key(&task.service))
            .filter(|task| {
                let completed_job = task.job_iteration.is_some() && task.status.state == State::COMPLETE;
                // One that fails while it still waits for its start is followed when the wait is over: images that cannot be
                // pulled are tried at the pace of the delay.
                let waits = self.restarts.delayed.contains_key(&task.id);
                !completed_job && !waits && (task.is_dead() || self.on_unusable_node(task))
            })
            .cloned()
            .collect();
        for task in dead {
            self.restart(&task);
        }
    }

    fn on_unusable_node(&self, task: &Task) -> bool {
        !task.node.is_empty() && self.store.nodes.get(&task.node).is_none_or(|node| node.is_unusable())
    }

    fn restart(&mut self, task: &Task) {
        let Some(service) = self.store.services.get(&task.service).cloned() else { return };
        let now = self.now;
        self.store.desire(&task.id, now, State::SHUTDOWN);
        if !self.should_restart(task, &service) {
            return;
        }
        let node = self.store.nodes.get(&task.node);
        let place = task.place();
        if let Place::Node(_) = place {
            // The global orchestrator makes the task of a node that comes back; a paused one gets no new task.
            let constraints = service.template().placement.and_then(|placement| placement.constraints);
            let usable = node.is_some_and(|node| {
                node.is_active() && node.state != NodeState::DOWN && all_match(constraints.as_ref(), node)
            });
            if !usable {
                return;
            }
        }
        let drained = node.is_some_and(|node| node.state != NodeState::DOWN && node.is_unusable());
        let lost = node.is_none_or(|node| node.state == NodeState::DOWN);
        let delay = task.spec.restart_policy.as_ref().and_then(|policy| policy.delay).unwrap_or(DEFAULT_DELAY);
        let history = self.restarts.history.entry((service.id.clone(), place.clone())).or_default();
        if history.spec_version != task.spec_version {
            *history = History { spec_version: task.spec_version, restarts: Vec::new() };
        }
        history.restarts.push(now);
        let replacement = self.create_task(&service, &place, State::READY);
        let at = if drained { now } else { later(now, delay) };
        let after = (!task.is_dead() && !lost).then(|| (task.id.clone(), later(at, STOP_TIMEOUT)));
        self.restarts.delayed.insert(replacement, Delayed { at, after });
    }

    /// Starts prepared tasks whose delay is over and whose predecessor has stopped.
    pub(crate) fn start_delayed(&mut self) {
        let now = self.now;
        let waiting: Vec<(String, i64)> = self
            .store
            .tasks
            .values()
            .filter(|task| task.desired == State::READY && !task.is_dead())
            .filter(|task| !self.restarts.delayed.contains_key(&task.id))
            .filter(|task| !self.updates.values().any(|update| update.holds(&task.id)))
            .map(|task| {
                let policy = task.spec.restart_policy.as_ref();
                (task.id.clone(), policy.and_then(|policy| policy.delay).unwrap_or(DEFAULT_DELAY))
            })
            .collect();
        // A leader that took over knows only that they wait.
        for (task, delay) in waiting {
            self.restarts.delayed.insert(task, Delayed { at: later(now, delay), after: None });
        }
        let mut delayed = std::mem::take(&mut self.restarts.delayed);
        delayed.retain(|id, wait| {
            let Some(task) = self.store.tasks.get(id).filter(|task| task.desired == State::READY) else { return false };
            if wait.at > now {
                return true;
            }
            wait.at = Timestamp::MIN;
            if let Some((old, until)) = &wait.after
                && *until > now
                && self.still_runs(old)
            {
                return true;
            }
            let (id, job) = (task.id.clone(), task.job_iteration.is_some());
            self.store.desire(&id, now, if job { State::COMPLETE } else { State::RUNNING });
            false
        });
        self.restarts.delayed = delayed;
    }

    /// Whether a task that was told to stop may still be running somewhere that can be asked.
    pub(crate) fn still_runs(&self, task: &str) -> bool {
        self.store.tasks.get(task).is_some_and(|task| {
            !task.is_dead()
                && task.status.state >= State::ASSIGNED
                && self.store.nodes.get(&task.node).is_some_and(|node| node.state != NodeState::DOWN)
        })
    }
}
