//! A cluster on virtual time, with agents that do what they are told at once.

mod orchestration;
mod properties;
mod scale;
mod scheduling;
mod services;
mod updates;

use std::collections::{BTreeMap, BTreeSet};

use docklab_api::models::{
    EngineDescription, NodeDescription, NodeSpecAvailabilityEnum, Platform, ResourceObject, ServiceSpec,
    ServiceSpecMode, ServiceSpecModeReplicated, SwarmSpec, TaskSpec, TaskSpecContainerSpec, TaskSpecPlacement,
    TaskSpecRestartPolicy,
};
use jiff::Timestamp;

use crate::{
    Manager,
    messages::TaskReport,
    objects::{State, Task},
    time::later,
};

pub(super) const SECOND: i64 = 1_000_000_000;

/// What the agents do with tasks of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    Run,
    /// Ends as soon as it runs, with this code.
    Exit(i64),
    /// Cannot be prepared.
    Reject,
    /// Never stops when it is told to.
    Cling,
}

pub(super) struct Lab {
    pub(super) manager: Manager,
    pub(super) now: Timestamp,
    /// Nodes that beat, by name: ID and session.
    pub(super) alive: BTreeMap<String, (String, String)>,
    pub(super) behaviour: BTreeMap<String, Behaviour>,
    /// Tasks that an agent has reported as running.
    started: BTreeSet<String>,
    next_beat: Timestamp,
}

pub(super) fn description(name: &str) -> NodeDescription {
    NodeDescription {
        hostname: Some(name.to_owned()),
        platform: Some(Platform { architecture: Some("x86_64".into()), os: Some("linux".into()) }),
        resources: Some(ResourceObject {
            nano_cpus: Some(4 * SECOND),
            memory_bytes: Some(4 << 30),
            ..ResourceObject::default()
        }),
        engine: Some(EngineDescription::default()),
        ..NodeDescription::default()
    }
}

impl Lab {
    /// A manager `n1` and workers `n2`…
    pub(super) fn new(nodes: usize) -> Self {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let (manager, id) = Manager::init(
            [7; 32],
            now,
            SwarmSpec::default(),
            description("n1"),
            "10.0.1.1",
            "10.0.1.1:2377",
            Vec::new(),
            None,
        )
        .unwrap();
        let mut lab = Self {
            manager,
            now,
            alive: BTreeMap::new(),
            behaviour: BTreeMap::new(),
            started: BTreeSet::new(),
            next_beat: now,
        };
        lab.register("n1", &id);
        for number in 2..=nodes {
            lab.join(&format!("n{number}"));
        }
        lab.settle();
        lab
    }

    pub(super) fn join(&mut self, name: &str) {
        let token = self.manager.store().cluster.as_ref().unwrap().token(false);
        let (id, _) = self.manager.join(self.now, &token, description(name), "10.0.1.9").unwrap();
        self.register(name, &id);
    }

    fn register(&mut self, name: &str, id: &str) {
        let secret = self.manager.node_secret(id).unwrap();
        let number: u8 = name.trim_start_matches('n').parse().unwrap_or(200);
        let address = format!("10.0.1.{number}");
        let (session, _) = self.manager.register(self.now, id, &secret, description(name), &address).unwrap();
        self.alive.insert(name.to_owned(), (id.to_owned(), session));
    }

    /// A killed node comes back with an empty engine.
    pub(super) fn revive(&mut self, name: &str) {
        let id = self.manager.find_node(name).unwrap().id.clone();
        self.register(name, &id);
    }

    pub(super) fn kill(&mut self, name: &str) {
        self.alive.remove(name);
    }

    pub(super) fn availability(&mut self, name: &str, availability: NodeSpecAvailabilityEnum) {
        let node = self.manager.find_node(name).unwrap().clone();
        let mut spec = node.spec;
        spec.availability = Some(availability);
        self.manager.update_node(self.now, &node.id, node.meta.version, spec).unwrap();
    }

    pub(super) fn label(&mut self, name: &str, key: &str, value: &str) {
        let node = self.manager.find_node(name).unwrap().clone();
        let mut spec = node.spec;
        spec.labels.get_or_insert_default().insert(key.into(), value.into());
        self.manager.update_node(self.now, &node.id, node.meta.version, spec).unwrap();
    }

    /// Lets the loops and the agents work until both rest.
    pub(super) fn settle(&mut self) {
        for _ in 0..100 {
            self.manager.step(self.now);
            self.manager.take_messages();
            if !self.work() {
                return;
            }
        }
        panic!("the cluster does not come to rest");
    }

    /// One round of the agents; true when a task moved.
    fn work(&mut self) -> bool {
        let alive: Vec<String> = self.alive.values().map(|(id, _)| id.clone()).collect();
        let mut moved = false;
        let tasks: Vec<Task> = self.manager.store().tasks.values().cloned().collect();
        for task in tasks.into_iter().filter(|task| alive.contains(&task.node)) {
            let image = task.spec.container_spec.as_ref().and_then(|spec| spec.image.clone()).unwrap_or_default();
            let behaviour = self.behaviour.get(&image).copied().unwrap_or(Behaviour::Run);
            let state = task.status.state;
            if !(State::ASSIGNED..=State::RUNNING).contains(&state) {
                continue;
            }
            let (next, error) = if task.desired > State::COMPLETE {
                if behaviour == Behaviour::Cling {
                    continue;
                }
                (State::SHUTDOWN, "")
            } else if state < State::READY {
                match behaviour {
                    Behaviour::Reject => (State::REJECTED, "No such image"),
                    _ => (State::READY, ""),
                }
            } else if state == State::READY && task.desired >= State::RUNNING {
                (State::RUNNING, "")
            } else if state == State::RUNNING && self.started.contains(&task.id) {
                match behaviour {
                    Behaviour::Exit(0) => (State::COMPLETE, ""),
                    Behaviour::Exit(_) => (State::FAILED, "task: non-zero exit"),
                    _ => continue,
                }
            } else {
                continue;
            };
            self.report(&task, next, error);
            if next == State::RUNNING {
                self.started.insert(task.id.clone());
            }
            moved = true;
        }
        moved
    }

    pub(super) fn report(&mut self, task: &Task, state: State, error: &str) {
        let report = TaskReport {
            task: task.id.clone(),
            state,
            at: self.now,
            message: state.to_string(),
            error: error.into(),
            container: None,
            ports: Vec::new(),
        };
        self.manager.report(self.now, &task.node, vec![report]);
    }

    /// Lets time pass: everything that is due happens at its time, and living nodes beat every four seconds.
    pub(super) fn pass(&mut self, nanoseconds: i64) {
        let end = later(self.now, nanoseconds);
        loop {
            self.settle();
            let due = self.manager.next_deadline().unwrap_or(end).min(self.next_beat);
            if due > end {
                break;
            }
            self.now = self.now.max(due);
            if self.now >= self.next_beat {
                for (id, session) in self.alive.values() {
                    self.manager.heartbeat(self.now, id, session).unwrap();
                }
                self.next_beat = later(self.now, 4 * SECOND);
            }
        }
        self.now = end;
        self.settle();
    }

    pub(super) fn create(&mut self, spec: ServiceSpec) -> String {
        let id = self.manager.create_service(self.now, spec).unwrap();
        self.settle();
        id
    }

    pub(super) fn update(&mut self, name: &str, change: impl FnOnce(&mut ServiceSpec)) {
        let service = self.manager.find_service(name).unwrap().clone();
        let mut spec = service.spec;
        change(&mut spec);
        self.manager.update_service(self.now, name, service.meta.version, spec, false).unwrap();
        self.settle();
    }

    /// Tasks that are wanted, by slot.
    pub(super) fn tasks(&self, service: &str) -> Vec<Task> {
        let service =
            self.manager.find_service(service).map_or_else(|_| service.to_owned(), |service| service.id.clone());
        let mut tasks: Vec<Task> =
            self.manager.store().tasks_of(&service).filter(|task| task.is_wanted()).cloned().collect();
        tasks.sort_by_key(|task| (task.slot, task.meta.created));
        tasks
    }

    /// How many wanted tasks of a service each node holds, by host name.
    pub(super) fn spread(&self, service: &str) -> BTreeMap<String, usize> {
        let mut spread = BTreeMap::new();
        for task in self.tasks(service) {
            let name = self.manager.store().nodes.get(&task.node).map_or("", |node| node.hostname());
            *spread.entry(name.to_owned()).or_default() += 1;
        }
        spread
    }

    pub(super) fn running(&self, service: &str) -> usize {
        self.tasks(service).iter().filter(|task| task.status.state == State::RUNNING).count()
    }

    pub(super) fn errors(&self, service: &str) -> Vec<String> {
        self.tasks(service).into_iter().map(|task| task.status.error).filter(|error| !error.is_empty()).collect()
    }
}

pub(super) fn service(name: &str, image: &str, replicas: i64) -> ServiceSpec {
    ServiceSpec {
        name: Some(name.into()),
        task_template: Some(TaskSpec {
            container_spec: Some(TaskSpecContainerSpec {
                image: Some(image.into()),
                ..TaskSpecContainerSpec::default()
            }),
            ..TaskSpec::default()
        }),
        mode: Some(ServiceSpecMode {
            replicated: Some(ServiceSpecModeReplicated { replicas: Some(replicas) }),
            ..ServiceSpecMode::default()
        }),
        ..ServiceSpec::default()
    }
}

pub(super) fn global(name: &str, image: &str) -> ServiceSpec {
    let mode = ServiceSpecMode { global: Some(std::collections::HashMap::new()), ..ServiceSpecMode::default() };
    ServiceSpec { mode: Some(mode), ..service(name, image, 0) }
}

pub(super) fn template(spec: &mut ServiceSpec) -> &mut TaskSpec {
    spec.task_template.get_or_insert_default()
}
pub(super) fn placement(spec: &mut ServiceSpec) -> &mut TaskSpecPlacement {
    template(spec).placement.get_or_insert_default()
}
pub(super) fn restart(spec: &mut ServiceSpec) -> &mut TaskSpecRestartPolicy {
    template(spec).restart_policy.get_or_insert_default()
}
pub(super) fn set_image(spec: &mut ServiceSpec, image: &str) {
    template(spec).container_spec.get_or_insert_default().image = Some(image.into());
}
pub(super) fn set_replicas(spec: &mut ServiceSpec, replicas: i64) {
    spec.mode.get_or_insert_default().replicated = Some(ServiceSpecModeReplicated { replicas: Some(replicas) });
}
