use std::collections::{BTreeMap, BTreeSet, VecDeque};

use docklab_api::models::{
    ServiceSpecRollbackConfigFailureActionEnum as RollbackAction, ServiceSpecRollbackConfigOrderEnum as RollbackOrder,
    ServiceSpecUpdateConfigFailureActionEnum as UpdateAction, ServiceSpecUpdateConfigOrderEnum as UpdateOrder,
    ServiceUpdateStatusStateEnum as Progress,
};
use jiff::Timestamp;

use crate::{
    Manager,
    constraints::all_match,
    objects::{Place, Service, State, Task, UpdateStatus},
    restart::STOP_TIMEOUT,
    time::{SECOND, later},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnFailure {
    Continue,
    Pause,
    Rollback,
}

/// How to update, or to roll back: Docker's defaults filled in.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// 0 is all at once.
    parallelism: usize,
    delay: i64,
    monitor: i64,
    max_failure_ratio: f64,
    on_failure: OnFailure,
    start_first: bool,
}

impl Plan {
    fn of(service: &Service, rollback: bool) -> Self {
        let monitor = |wanted: Option<i64>| wanted.filter(|monitor| *monitor > 0).unwrap_or(5 * SECOND);
        // An absent section means Docker's defaults; an absent parallelism within one is 0.
        if rollback {
            let Some(config) = &service.spec.rollback_config else { return Self::standard() };
            return Self {
                parallelism: config.parallelism.and_then(|number| usize::try_from(number).ok()).unwrap_or(0),
                delay: config.delay.unwrap_or(0),
                monitor: monitor(config.monitor),
                max_failure_ratio: config.max_failure_ratio.unwrap_or(0.0),
                on_failure: match config.failure_action {
                    Some(RollbackAction::CONTINUE) => OnFailure::Continue,
                    _ => OnFailure::Pause,
                },
                start_first: config.order == Some(RollbackOrder::START_FIRST),
            };
        }
        let Some(config) = &service.spec.update_config else { return Self::standard() };
        Self {
            parallelism: config.parallelism.and_then(|number| usize::try_from(number).ok()).unwrap_or(0),
            delay: config.delay.unwrap_or(0),
            monitor: monitor(config.monitor),
            max_failure_ratio: config.max_failure_ratio.unwrap_or(0.0),
            on_failure: match config.failure_action {
                Some(UpdateAction::CONTINUE) => OnFailure::Continue,
                Some(UpdateAction::ROLLBACK) => OnFailure::Rollback,
                _ => OnFailure::Pause,
            },
            start_first: config.order == Some(UpdateOrder::START_FIRST),
        }
    }

    fn standard() -> Self {
        Self {
            parallelism: 1,
            delay: 0,
            monitor: 5 * SECOND,
            max_failure_ratio: 0.0,
            on_failure: OnFailure::Pause,
            start_first: false,
        }
    }
}

#[derive(Debug, Clone)]
enum Phase {
    /// The old tasks stop; the new one is prepared meanwhile.
    Stopping { until: Timestamp },
    /// The new task starts.
    Starting,
    /// Pause before the next place.
    Resting { until: Timestamp },
}

#[derive(Debug, Clone)]
struct Worker {
    new: String,
    old: Vec<String>,
    phase: Phase,
}

/// A rolling update (or rollback) of one service.
#[derive(Debug, Clone)]
pub(crate) struct Update {
    spec_version: u64,
    total: usize,
    queue: VecDeque<Place>,
    workers: Vec<Worker>,
    /// Tasks made by this update, and since when they run.
    made: BTreeMap<String, Option<Timestamp>>,
    failed: BTreeSet<String>,
    /// After the last place: until when failures still count.
    watch_until: Option<Timestamp>,
}

impl Update {
    pub(crate) fn holds(&self, task: &str) -> bool {
        self.workers.iter().any(|worker| worker.new == task)
    }

    pub(crate) fn clock_was_set(&mut self, jump: i64) {
        for worker in &mut self.workers {
            if let Phase::Stopping { until } | Phase::Resting { until } = &mut worker.phase {
                *until = later(*until, jump);
            }
        }
        for at in self.made.values_mut().flatten().chain(&mut self.watch_until) {
            *at = later(*at, jump);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let phases = self.workers.iter().filter_map(|worker| match worker.phase {
            Phase::Stopping { until } | Phase::Resting { until } => Some(until),
            Phase::Starting => None,
        });
        phases.chain(self.watch_until).min()
    }
}

impl Manager {
    /// Whether a task was made from another specification than the service's now, in a way that matters.
    pub(crate) fn is_dirty(&self, service: &Service, task: &Task) -> bool {
        if task.spec_version == service.spec_version {
            return false;
        }
        let mut new = service.template();
        if new.placement != task.spec.placement {
            // A new placement alone moves no task that is well placed by it.
            let constraints = new.placement.as_ref().and_then(|placement| placement.constraints.as_ref());
            let fits = self.store.nodes.get(&task.node).is_some_and(|node| all_match(constraints, node));
            if !fits {
                return true;
            }
            new.placement.clone_from(&task.spec.placement);
        }
        task.spec != new || task.ports != service.ports
    }

    /// Starts and moves on the rolling updates of all services.
    pub(crate) fn run_updates(&mut self) {
        self.updates.retain(|service, _| self.store.services.contains_key(service));
        // The common case costs one look at every task: nothing to do.
        let outdated: BTreeSet<&str> = self
            .store
            .tasks
            .values()
            .filter(|task| task.desired < State::REMOVE)
            .filter(|task| {
                let service = self.store.services.get(&task.service);
                service.is_some_and(|service| service.spec_version != task.spec_version)
            })
            .map(|task| task.service.as_str())
            .collect();
        let services: Vec<Service> = self
            .store
            .services
            .values()
            .filter(|service| !service.is_job())
            .filter(|service| {
                let progress = service.update.as_ref().map(|update| update.state);
                outdated.contains(service.id.as_str())
                    || self.updates.contains_key(&service.id)
                    || matches!(progress, Some(Progress::UPDATING | Progress::ROLLBACK_STARTED))
            })
            .cloned()
            .collect();
        for service in services {
            self.run_update(service);
        }
    }

    fn run_update(&mut self, service: Service) {
        let progress = service.update.as_ref().map(|update| update.state);
        if matches!(progress, Some(Progress::PAUSED | Progress::ROLLBACK_PAUSED)) {
            self.updates.remove(&service.id);
            return;
        }
        let under_way = self.updates.get(&service.id).is_some_and(|update| update.spec_version == service.spec_version);
        if !under_way {
            self.updates.remove(&service.id);
            let unfinished = matches!(progress, Some(Progress::UPDATING | Progress::ROLLBACK_STARTED));
            let tasks: Vec<&Task> = self.store.tasks_of(&service.id).collect();
            let dirty: Vec<Place> = self
                .occupied(&service, &tasks)
                .into_iter()
                .filter(|(_, tasks)| tasks.iter().any(|task| self.is_dirty(&service, task)))
                .map(|(place, _)| place)
                .collect();
            if dirty.is_empty() {
                if unfinished {
                    self.finish_update(&service);
                }
                return;
            }
            if progress.is_none() {
                self.set_progress(&service.id, Progress::UPDATING, "update in progress");
            }
            let update = Update {
                spec_version: service.spec_version,
                total: dirty.len(),
                queue: dirty.into(),
                workers: Vec::new(),
                made: BTreeMap::new(),
                failed: BTreeSet::new(),
                watch_until: None,
            };
            self.updates.insert(service.id.clone(), update);
        }
        let Some(update) = self.updates.remove(&service.id) else { return };
        if let Some(update) = self.advance_update(&service, update) {
            self.updates.insert(service.id.clone(), update);
        }
    }

    /// `None` when the update is over.
    fn advance_update(&mut self, service: &Service, mut update: Update) -> Option<Update> {
        let rollback = self
            .store
            .services
            .get(&service.id)?
            .update
            .as_ref()
            .is_some_and(|update| update.state == Progress::ROLLBACK_STARTED);
        let plan = Plan::of(service, rollback);
        if let Some(task) = self.count_failures(&mut update, plan) {
            let ratio = update.failed.len() as f64 / update.total.max(1) as f64;
            if ratio > plan.max_failure_ratio && plan.on_failure != OnFailure::Continue {
                self.fail_update(service, plan, rollback, &task);
                return None;
            }
        }
        let mut workers = Vec::new();
        for worker in std::mem::take(&mut update.workers) {
            workers.extend(self.advance_worker(worker, plan));
        }
        update.workers = workers;
        while (plan.parallelism == 0 || update.workers.len() < plan.parallelism)
            && let Some(place) = update.queue.pop_front()
        {
            update.workers.extend(self.replace(service, &place, plan, &mut update.made));
        }
        if !update.queue.is_empty() || !update.workers.is_empty() {
            return Some(update);
        }
        let watch = if plan.delay >= plan.monitor { plan.delay + SECOND } else { plan.monitor };
        let until = *update.watch_until.get_or_insert(later(self.now, watch));
        if until > self.now {
            return Some(update);
        }
        self.finish_update(service);
        None
    }

    /// Replaces the tasks of one place; `None` when there is nothing left to replace.
    fn replace(
        &mut self,
        service: &Service,
        place: &Place,
        plan: Plan,
        made: &mut BTreeMap<String, Option<Timestamp>>,
    ) -> Option<Worker> {
        let tasks: Vec<&Task> = self.store.tasks_of(&service.id).collect();
        let old = self.occupied(service, &tasks).remove(place)?;
        let dirty: Vec<&Task> = old.into_iter().filter(|task| self.is_dirty(service, task)).collect();
        if dirty.is_empty() {
            return None;
        }
        let old: Vec<String> = dirty.iter().map(|task| task.id.clone()).collect();
        let now = self.now;
        let new = self.create_task(service, place, if plan.start_first { State::RUNNING } else { State::READY });
        made.insert(new.clone(), None);
        if plan.start_first {
            return Some(Worker { new, old, phase: Phase::Starting });
        }
        for task in &old {
            self.store.desire(task, now, State::SHUTDOWN);
        }
        Some(Worker { new, old, phase: Phase::Stopping { until: later(now, STOP_TIMEOUT) } })
    }

    fn advance_worker(&mut self, mut worker: Worker, plan: Plan) -> Option<Worker> {
        let now = self.now;
        if let Phase::Stopping { until } = worker.phase {
            if until > now && worker.old.iter().any(|task| self.still_runs(task)) {
                return Some(worker);
            }
            self.store.desire(&worker.new, now, State::RUNNING);
            worker.phase = Phase::Starting;
        }
        if let Phase::Starting = worker.phase {
            let state = self.store.tasks.get(&worker.new).map_or(State::FAILED, |task| task.status.state);
            if state < State::RUNNING {
                return Some(worker);
            }
            // With start-first the old task stays when the new one did not come up.
            if plan.start_first && state == State::RUNNING {
                for task in &worker.old {
                    self.store.desire(task, now, State::SHUTDOWN);
                }
            }
            worker.phase = Phase::Resting { until: later(now, plan.delay) };
        }
        match worker.phase {
            Phase::Resting { until } if until <= now => None,
            _ => Some(worker),
        }
    }

    /// Notes which of the update's tasks run and which have failed; the last that failed newly.
    fn count_failures(&self, update: &mut Update, plan: Plan) -> Option<String> {
        let mut newly = None;
        for (id, since) in &mut update.made {
            let Some(task) = self.store.tasks.get(id) else { continue };
            if task.status.state == State::RUNNING {
                since.get_or_insert(task.status.at);
            }
            let counts = since.is_none_or(|since| later(since, plan.monitor) >= task.status.at);
            if task.is_dead() && task.desired != State::REMOVE && counts && update.failed.insert(id.clone()) {
                newly = Some(id.clone());
            }
        }
        newly
    }

    fn fail_update(&mut self, service: &Service, plan: Plan, rollback: bool, task: &str) {
        let why = format!("due to failure or early termination of task {task}");
        if rollback {
            self.set_progress(&service.id, Progress::ROLLBACK_PAUSED, &format!("rollback paused {why}"));
            return;
        }
        let previous = service.previous.clone().filter(|_| plan.on_failure == OnFailure::Rollback);
        let Some(previous) = previous else {
            self.set_progress(&service.id, Progress::PAUSED, &format!("update paused {why}"));
            return;
        };
        let now = self.now;
        self.store.update_service(&service.id, now, |service| {
            service.previous = None;
            service.spec = previous;
        });
        self.new_spec_version(&service.id);
        self.set_progress(&service.id, Progress::ROLLBACK_STARTED, &format!("update rolled back {why}"));
    }

    fn finish_update(&mut self, service: &Service) {
        let rollback = service.update.as_ref().is_some_and(|update| update.state == Progress::ROLLBACK_STARTED);
        if rollback {
            self.set_progress(&service.id, Progress::ROLLBACK_COMPLETED, "rollback completed");
        } else {
            self.set_progress(&service.id, Progress::COMPLETED, "update completed");
        }
    }

    pub(crate) fn set_progress(&mut self, service: &str, state: Progress, message: &str) {
        let now = self.now;
        self.store.update_service(service, now, |service| {
            let before = service.update.take();
            let started = match state {
                Progress::UPDATING | Progress::ROLLBACK_STARTED => Some(now),
                _ => before.and_then(|update| update.started),
            };
            let completed = matches!(state, Progress::COMPLETED | Progress::ROLLBACK_COMPLETED).then_some(now);
            service.update = Some(UpdateStatus { state, started, completed, message: message.to_owned() });
        });
    }

    /// Marks the specification as new: tasks of older ones are compared with it, and ports are allocated again.
    pub(crate) fn new_spec_version(&mut self, service: &str) {
        let now = self.now;
        self.store.update_service(service, now, |_| {});
        if let Some(service) = self.store.services.get_mut(service) {
            service.spec_version = service.meta.version;
        }
        self.allocate_ports(service);
    }
}
