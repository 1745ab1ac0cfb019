use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
};

use docklab_api::models::{EndpointPortConfigPublishModeEnum as PublishMode, NodeState, Platform};
use jiff::Timestamp;

use crate::{
    Manager,
    constraints::all_match,
    objects::{Node, State, Task},
    time::{SECOND, later},
};

/// This many failures of a service on a node within [`FAULT_WINDOW`] put the node last.
const FAULTS: usize = 5;
const FAULT_WINDOW: i64 = 300 * SECOND;

/// Why a node cannot take a task, in the order of the filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Refusal {
    NotReady,
    Resources,
    Constraints,
    Platform,
    HostPort,
    MaxReplicas,
}

impl Refusal {
    fn explain(self, nodes: usize) -> String {
        let count = if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") };
        match self {
            Self::NotReady => format!("{count} not available for new tasks"),
            Self::Resources => format!("insufficient resources on {count}"),
            Self::Constraints => format!("scheduling constraints not satisfied on {count}"),
            Self::Platform => format!("unsupported platform on {count}"),
            Self::HostPort => format!("host-mode port already in use on {count}"),
            // Docker's own words.
            Self::MaxReplicas => "max replicas per node limit exceed".to_owned(),
        }
    }
}

/// What one node holds.
#[derive(Debug, Default, Clone)]
struct Load {
    cpus: i64,
    memory: i64,
    tasks: usize,
    by_service: HashMap<String, usize>,
    host_ports: BTreeSet<(u8, i64)>,
    failures: HashMap<(String, u64), usize>,
}

impl Load {
    fn add(&mut self, task: &Task) {
        let (cpus, memory) = reservation(task);
        self.cpus += cpus;
        self.memory += memory;
        self.tasks += 1;
        *self.by_service.entry(task.service.clone()).or_default() += 1;
        self.host_ports.extend(host_ports(task));
    }
    fn of(&self, service: &str) -> usize {
        self.by_service.get(service).copied().unwrap_or(0)
    }
}

fn reservation(task: &Task) -> (i64, i64) {
    let wanted = task.spec.resources.as_ref().and_then(|resources| resources.reservations.as_ref());
    let cpus = wanted.and_then(|wanted| wanted.nano_cpus).unwrap_or(0);
    (cpus, wanted.and_then(|wanted| wanted.memory_bytes).unwrap_or(0))
}

fn host_ports(task: &Task) -> impl Iterator<Item = (u8, i64)> {
    task.ports
        .iter()
        .filter(|port| port.publish_mode == Some(PublishMode::HOST))
        .filter_map(|port| Some((port.protocol.map_or(1, |protocol| protocol as u8), port.published_port?)))
        .filter(|(_, port)| *port != 0)
}

/// `x86_64` and `amd64` are one architecture.
fn architecture(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn runs_platform(wanted: Option<&Vec<Platform>>, node: &Node) -> bool {
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else { return true };
    let actual = node.description.platform.clone().unwrap_or_default();
    let fits = |wanted: Option<&str>, actual: Option<&str>| {
        let wanted = wanted.unwrap_or("");
        wanted.is_empty() || architecture(wanted) == architecture(actual.unwrap_or(""))
    };
    wanted.iter().any(|wanted| {
        fits(wanted.architecture.as_deref(), actual.architecture.as_deref())
            && fits(wanted.os.as_deref(), actual.os.as_deref())
    })
}

/// The first filter that refuses, of those that only look at the node itself.
fn standing_refusal(task: &Task, node: &Node) -> Option<Refusal> {
    let placement = task.spec.placement.as_ref();
    if node.state != NodeState::READY || !node.is_active() {
        return Some(Refusal::NotReady);
    }
    if !all_match(placement.and_then(|placement| placement.constraints.as_ref()), node) {
        return Some(Refusal::Constraints);
    }
    if !runs_platform(placement.and_then(|placement| placement.platforms.as_ref()), node) {
        return Some(Refusal::Platform);
    }
    None
}

fn lacks_resources(task: &Task, node: &Node, load: &Load) -> bool {
    let (cpus, memory) = reservation(task);
    let total = node.description.resources.as_ref();
    let over = |wanted: i64, used: i64, total: Option<i64>| wanted > 0 && used + wanted > total.unwrap_or(0);
    over(cpus, load.cpus, total.and_then(|total| total.nano_cpus))
        || over(memory, load.memory, total.and_then(|total| total.memory_bytes))
}

/// Refusals that depend on what the node already holds.
fn load_refusal(task: &Task, load: &Load, own: usize) -> Option<Refusal> {
    if host_ports(task).any(|port| load.host_ports.contains(&port)) {
        return Some(Refusal::HostPort);
    }
    let most = task.spec.placement.as_ref().and_then(|placement| placement.max_replicas).unwrap_or(0);
    if most > 0 && own >= usize::try_from(most).unwrap_or(usize::MAX) {
        return Some(Refusal::MaxReplicas);
    }
    None
}

/// The value that a preference spreads over; a node without the label is a branch of its own.
fn branch<'a>(descriptor: &str, node: &'a Node) -> &'a str {
    let label = |labels: Option<&'a HashMap<String, String>>, name: &str| {
        labels.and_then(|labels| labels.get(name)).map_or("", String::as_str)
    };
    if let Some(name) = descriptor.strip_prefix("node.labels.") {
        label(node.spec.labels.as_ref(), name)
    } else if let Some(name) = descriptor.strip_prefix("engine.labels.") {
        label(node.description.engine.as_ref().and_then(|engine| engine.labels.as_ref()), name)
    } else {
        ""
    }
}

/// A node as one group of tasks sees it.
struct Seat {
    node: Node,
    standing: Option<Refusal>,
    /// The service fails on it again and again.
    faulty: bool,
    /// Tasks of the service.
    own: usize,
    /// Equal nodes take turns by service, reproducibly.
    turn: u64,
    load: Load,
}

impl Seat {
    fn refusal(&self, task: &Task) -> Option<Refusal> {
        match self.standing {
            Some(Refusal::NotReady) => Some(Refusal::NotReady),
            _ if lacks_resources(task, &self.node, &self.load) => Some(Refusal::Resources),
            Some(refusal) => Some(refusal),
            None => load_refusal(task, &self.load, self.own),
        }
    }
}

/// Goes down the tree of preferences, always into the branch with the fewest tasks of the service, to its least loaded
/// node.
fn choose(seats: &[Seat], mut candidates: Vec<usize>, preferences: &[String]) -> Option<usize> {
    for descriptor in preferences {
        let mut branches: BTreeMap<&str, (usize, Vec<usize>)> = BTreeMap::new();
        for number in candidates {
            let (count, members) = branches.entry(branch(descriptor, &seats[number].node)).or_default();
            *count += seats[number].own;
            members.push(number);
        }
        candidates = branches.into_values().min_by_key(|(count, _)| *count)?.1;
    }
    candidates.into_iter().min_by_key(|number| {
        let seat = &seats[*number];
        (seat.faulty, seat.own, seat.load.tasks, seat.turn)
    })
}

impl Manager {
    /// Gives pending tasks a node, or says why none will do.
    pub(crate) fn schedule(&mut self) {
        let pending: Vec<Task> = self
            .store
            .tasks
            .values()
            .filter(|task| task.status.state == State::PENDING && task.is_wanted())
            .cloned()
            .collect();
        if pending.is_empty() {
            return;
        }
        let mut loads = self.loads();
        let mut groups: BTreeMap<(String, u64), Vec<Task>> = BTreeMap::new();
        for task in pending {
            if task.node.is_empty() {
                groups.entry((task.service.clone(), task.spec_version)).or_default().push(task);
            } else {
                self.confirm_assigned(&task, &mut loads);
            }
        }
        for mut group in groups.into_values() {
            group.sort_by_key(|task| (task.slot, task.meta.created));
            self.schedule_group(&group, &mut loads);
        }
    }

    fn loads(&self) -> HashMap<String, Load> {
        let mut loads: HashMap<String, Load> =
            self.store.nodes.keys().map(|id| (id.clone(), Load::default())).collect();
        for task in self.store.tasks.values() {
            let Some(load) = loads.get_mut(&task.node) else { continue };
            if task.is_wanted() && !task.is_dead() && task.status.state >= State::ASSIGNED {
                load.add(task);
            }
            let failed = matches!(task.status.state, State::FAILED | State::REJECTED);
            if failed && later(task.status.at, FAULT_WINDOW) > self.now {
                *load.failures.entry((task.service.clone(), task.spec_version)).or_default() += 1;
            }
        }
        loads
    }

    /// A global service's task is bound to its node; it only has to fit.
    fn confirm_assigned(&mut self, task: &Task, loads: &mut HashMap<String, Load>) {
        let Some(node) = self.store.nodes.get(&task.node) else { return };
        let load = loads.entry(task.node.clone()).or_default();
        let refusal = if lacks_resources(task, node, load) {
            Some(Refusal::Resources)
        } else {
            host_ports(task).any(|port| load.host_ports.contains(&port)).then_some(Refusal::HostPort)
        };
        match refusal {
            None => {
                load.add(task);
                self.set_state(&task.id, State::ASSIGNED, "scheduler confirmed task can run on preassigned node", "");
            }
            Some(refusal) => self.explain(task, &[(refusal, 1)]),
        }
    }

    fn schedule_group(&mut self, group: &[Task], loads: &mut HashMap<String, Load>) {
        let Some(sample) = group.first() else { return };
        let fault = (sample.service.clone(), sample.spec_version);
        let mut seats: Vec<Seat> = self
            .store
            .nodes
            .values()
            .map(|node| {
                let load = loads.remove(&node.id).unwrap_or_default();
                let mut hasher = DefaultHasher::new();
                (&sample.service, &node.id).hash(&mut hasher);
                Seat {
                    node: node.clone(),
                    standing: standing_refusal(sample, node),
                    faulty: load.failures.get(&fault).is_some_and(|faults| *faults >= FAULTS),
                    own: load.of(&sample.service),
                    turn: hasher.finish(),
                    load,
                }
            })
            .collect();
        let preferences: Vec<String> = sample
            .spec
            .placement
            .iter()
            .flat_map(|placement| placement.preferences.iter().flatten())
            .filter_map(|preference| preference.spread.as_ref()?.spread_descriptor.clone())
            .collect();
        let now = self.now;
        for task in group {
            let mut refusals: BTreeMap<Refusal, usize> = BTreeMap::new();
            let mut candidates: Vec<usize> = Vec::new();
            for (number, seat) in seats.iter().enumerate() {
                match seat.refusal(task) {
                    Some(refusal) => *refusals.entry(refusal).or_default() += 1,
                    None => candidates.push(number),
                }
            }
            if let Some(number) = choose(&seats, candidates, &preferences) {
                let seat = &mut seats[number];
                seat.load.add(task);
                seat.own += 1;
                let node = seat.node.id.clone();
                self.store.update_task(&task.id, now, |task| task.node = node);
                self.set_state(&task.id, State::ASSIGNED, "scheduler assigned task to node", "");
            } else {
                let mut refusals: Vec<_> = refusals.into_iter().collect();
                refusals.sort_by_key(|(refusal, nodes)| (std::cmp::Reverse(*nodes), *refusal));
                self.explain(task, &refusals);
            }
        }
        loads.extend(seats.into_iter().map(|seat| (seat.node.id, seat.load)));
    }

    fn explain(&mut self, task: &Task, refusals: &[(Refusal, usize)]) {
        let reasons: Vec<String> = refusals.iter().map(|(refusal, nodes)| refusal.explain(*nodes)).collect();
        let error = if reasons.is_empty() {
            "no suitable node".to_owned()
        } else {
            format!("no suitable node ({})", reasons.join("; "))
        };
        if task.status.error != error {
            let now: Timestamp = self.now;
            self.store.update_task(&task.id, now, |task| {
                task.status.error = error;
                task.status.at = now;
            });
        }
    }
}
