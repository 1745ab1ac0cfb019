use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    dispatcher::Dispatcher,
    messages::FromManager,
    objects::{Attachment, ManagerState, Place, Service, State, Status, Task},
    random::Random,
    restart::Restarts,
    store::Store,
    time::later,
    update::Update,
};

/// The leader of a swarm: its objects and control loops.
pub struct Manager {
    pub(crate) store: Store,
    pub(crate) random: Random,
    pub(crate) now: Timestamp,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) restarts: Restarts,
    /// Rolling updates under way, by service.
    pub(crate) updates: BTreeMap<String, Update>,
    pub(crate) reap_at: Option<Timestamp>,
    /// The raft group, by node ID.
    pub(crate) managers: BTreeMap<String, ManagerState>,
    /// The store's version when the loops last ran.
    settled: u64,
}

/// The task reaper waits this long for more to do (nanoseconds).
const REAPER_DELAY: i64 = 250_000_000;
/// Rounds of the loops in one step. Each round moves every object on by a state at most; a cluster at rest needs one.
const ROUNDS: usize = 64;

impl Manager {
    /// Leads the cluster that `store` holds. Nodes are given time to report before any is called down.
    pub fn new(store: Store, seed: [u8; 32], now: Timestamp) -> Self {
        let mut manager = Self {
            store,
            random: Random::new(seed),
            now,
            dispatcher: Dispatcher::default(),
            restarts: Restarts::default(),
            updates: BTreeMap::new(),
            reap_at: None,
            managers: BTreeMap::new(),
            // Not the store's version, so that the first step runs the loops.
            settled: u64::MAX,
        };
        manager.expect_nodes();
        manager
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Runs the control loops until nothing changes. Call it after every input and at [`Manager::next_deadline`].
    pub fn step(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.expire_nodes();
        for _ in 0..ROUNDS {
            if self.settled == self.store.version && self.timer_deadline().is_none_or(|due| due > self.now) {
                break;
            }
            if self.settled != self.store.version {
                self.reap_at.get_or_insert(later(self.now, REAPER_DELAY));
            }
            self.settled = self.store.version;
            self.release_orphans();
            self.enforce_constraints();
            self.allocate();
            self.orchestrate();
            self.start_delayed();
            self.run_updates();
            self.schedule();
            if self.reap_at.is_some_and(|due| due <= self.now) {
                self.reap_at = None;
                self.reap();
            }
        }
        self.dispatch();
    }

    /// When [`Manager::step`] has something to do again by time alone.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        [self.dispatcher.next_deadline(), self.timer_deadline()].into_iter().flatten().min()
    }

    fn timer_deadline(&self) -> Option<Timestamp> {
        let updates = self.updates.values().filter_map(|update| update.next_deadline());
        updates.chain(self.restarts.next_deadline()).chain(self.reap_at).min()
    }

    /// Messages for nodes, by node ID, in order.
    pub fn take_messages(&mut self) -> Vec<(String, FromManager)> {
        std::mem::take(&mut self.dispatcher.outbox)
    }

    /// The clock was set by so many nanoseconds: whatever waits goes on waiting for as long as it had to.
    pub(crate) fn clock_was_set(&mut self, jump: i64) {
        self.now = later(self.now, jump);
        self.dispatcher.clock_was_set(jump);
        self.restarts.clock_was_set(jump);
        for update in self.updates.values_mut() {
            update.clock_was_set(jump);
        }
        if let Some(at) = &mut self.reap_at {
            *at = later(*at, jump);
        }
    }

    /// Makes a task of a service.
    pub(crate) fn create_task(&mut self, service: &Service, place: &Place, desired: State) -> String {
        let id = self.random.id();
        let (slot, node) = match place {
            Place::Slot(slot) => (*slot, String::new()),
            Place::Node(node) => (0, node.clone()),
        };
        let meta = self.store.new_meta(self.now);
        let task = Task {
            id: id.clone(),
            meta,
            service: service.id.clone(),
            service_name: service.name().to_owned(),
            slot,
            node,
            spec: service.template(),
            spec_version: service.spec_version,
            ports: service.ports.clone(),
            status: Status {
                state: State::NEW,
                at: self.now,
                message: "created".into(),
                error: String::new(),
                container: None,
                ports: Vec::new(),
            },
            desired,
            networks: Vec::<Attachment>::new(),
            job_iteration: service.is_job().then_some(service.job_iteration),
        };
        self.store.tasks.insert(id.clone(), task);
        id
    }

    /// Observed states only go up.
    pub(crate) fn set_state(&mut self, task: &str, state: State, message: &str, error: &str) {
        let now = self.now;
        self.store.update_task(task, now, |task| {
            if task.status.state <= state {
                task.status.state = state;
                task.status.at = now;
                message.clone_into(&mut task.status.message);
                error.clone_into(&mut task.status.error);
            }
        });
    }
}
