//! Groups of managers on virtual time, over a network and on disks that fail on command.

mod faults;
mod group;
mod schedules;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use docklab_api::models::{NodeSpec, NodeSpecRoleEnum, NodeState, SwarmSpec};
use jiff::Timestamp;

use super::{Member, Peer, Ticket, Timing, Work, Write};
use crate::{
    Manager,
    control::TokenRotation,
    error::ControlError,
    messages::TaskReport,
    objects::State,
    random::Random,
    tests::{SECOND, description, service},
    time::later,
};

const MILLISECOND: i64 = 1_000_000;

/// One manager's machine: what survives its engine, and the engine while it runs.
#[derive(Default)]
struct Machine {
    disk: BTreeMap<String, Bytes>,
    full: bool,
    engine: Option<Member>,
    /// Work whose writes the disk has refused so far.
    stuck: Option<Work>,
    /// Writes that still reach the disk before the machine dies.
    dies_after: Option<usize>,
    node: String,
    session: Option<(u64, String)>,
    /// Its clock is so much off (nanoseconds).
    clock: i64,
}

struct Lab {
    now: Timestamp,
    random: Random,
    machines: BTreeMap<u64, Machine>,
    /// Messages on their way: when they arrive, a number for the order, to whom, what.
    wire: BTreeMap<(Timestamp, u64), (u64, u64, Bytes)>,
    sent: u64,
    /// Links that carry nothing, in one direction.
    cut: BTreeSet<(u64, u64)>,
    next_beat: Timestamp,
    /// Who led in which term.
    leaders: BTreeMap<u64, u64>,
    asked: Vec<(u64, Ticket, String)>,
    acknowledged: BTreeSet<String>,
    services: u64,
}

impl Lab {
    /// Managers 1 to `count`, all voters.
    fn new(count: u64, seed: u64) -> Self {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut lab = Self {
            now,
            random: Random::new(bytes),
            machines: BTreeMap::new(),
            wire: BTreeMap::new(),
            sent: 0,
            cut: BTreeSet::new(),
            next_beat: now,
            leaders: BTreeMap::new(),
            asked: Vec::new(),
            acknowledged: BTreeSet::new(),
            services: 0,
        };
        let address = "10.0.1.1:2377";
        let (manager, node) = Manager::init(
            lab.random.bytes(),
            now,
            SwarmSpec::default(),
            description("n1"),
            "10.0.1.1",
            address,
            Vec::new(),
            None,
        )
        .unwrap();
        let peer = Peer { node: node.clone(), address: address.into() };
        let seed = lab.random.bytes();
        let member = Member::create(1, peer, manager.store().clone(), Timing::default(), seed, now).unwrap();
        lab.machines.insert(1, Machine { engine: Some(member), node, ..Machine::default() });
        lab.settle();
        for id in 2..=count {
            lab.add_manager(id);
        }
        lab
    }

    fn add_manager(&mut self, id: u64) {
        let leader = self.leader().unwrap();
        let now = self.now;
        let name = format!("n{id}");
        let engine = self.machines.get_mut(&leader).unwrap().engine.as_mut().unwrap();
        let token = engine.store().cluster.as_ref().unwrap().token(true);
        let address = format!("10.0.1.{id}");
        let joined = engine.change(now, |manager| manager.join(now, &token, description(&name), &address));
        let (node, _) = joined.unwrap().0.unwrap();
        let peer = Peer { node: node.clone(), address: format!("{address}:2377") };
        engine.add(now, id, peer).unwrap();
        let seed = self.random.bytes();
        let member = Member::join(id, &node, Timing::default(), seed, now).unwrap();
        self.machines.insert(id, Machine { engine: Some(member), node, ..Machine::default() });
        self.pass(3 * SECOND);
    }

    fn engine(&self, id: u64) -> Option<&Member> {
        self.machines[&id].engine.as_ref()
    }

    fn clock(&self, id: u64) -> Timestamp {
        later(self.now, self.machines[&id].clock)
    }

    /// The one that the most recent term belongs to.
    fn leader(&self) -> Option<u64> {
        let leading = self.machines.iter().filter_map(|(id, machine)| {
            let engine = machine.engine.as_ref().filter(|engine| engine.manager().is_some())?;
            Some((engine.status().term, *id))
        });
        leading.max().map(|(_, id)| id)
    }

    fn voters(&self) -> usize {
        self.leader().map_or(0, |leader| self.engine(leader).unwrap().configuration.voters.len())
    }

    fn kill(&mut self, id: u64) {
        let machine = self.machines.get_mut(&id).unwrap();
        machine.engine = None;
        machine.stuck = None;
        machine.session = None;
        machine.dies_after = None;
    }

    fn start(&mut self, id: u64) {
        let seed = self.random.bytes();
        let now = self.clock(id);
        let machine = self.machines.get_mut(&id).unwrap();
        if machine.engine.is_none() {
            let records = machine.disk.clone().into_iter().collect();
            machine.engine = Some(Member::restore(id, &machine.node, records, Timing::default(), seed, now).unwrap());
        }
    }

    fn cut(&mut self, from: u64, to: u64) {
        self.cut.insert((from, to));
    }

    /// Nothing passes between these and the others.
    fn split(&mut self, group: &[u64]) {
        let ids: Vec<u64> = self.machines.keys().copied().collect();
        for one in &ids {
            for other in ids.iter().filter(|other| group.contains(one) != group.contains(other)) {
                self.cut(*one, *other);
            }
        }
    }

    fn heal(&mut self) {
        self.cut.clear();
        let ids: Vec<u64> = self.machines.keys().copied().collect();
        for id in ids {
            self.machines.get_mut(&id).unwrap().full = false;
            self.start(id);
        }
    }

    fn post(&mut self, from: u64, messages: Vec<(u64, Bytes)>) {
        for (to, message) in messages {
            if self.cut.contains(&(from, to)) {
                // A link that is cut is silent: nobody says that it is.
                continue;
            }
            if self.machines.get(&to).is_none_or(|machine| machine.engine.is_none()) {
                if let Some(engine) = self.machines.get_mut(&from).and_then(|machine| machine.engine.as_mut()) {
                    engine.unreachable(to);
                }
                continue;
            }
            self.sent += 1;
            let delay = 1 + self.random.below(20);
            let at = later(self.now, i64::try_from(delay).unwrap() * MILLISECOND);
            self.wire.insert((at, self.sent), (from, to, message));
        }
    }

    /// Everything that is ready is written and sent.
    fn settle(&mut self) {
        let ids: Vec<u64> = self.machines.keys().copied().collect();
        for id in ids {
            loop {
                let now = self.clock(id);
                let machine = self.machines.get_mut(&id).unwrap();
                let Some(engine) = machine.engine.as_mut() else { break };
                let work = match machine.stuck.take() {
                    Some(work) => Some(work),
                    None => engine.ready(now),
                };
                let Some(mut work) = work else { break };
                let send = std::mem::take(&mut work.send);
                if machine.full && !work.writes.is_empty() {
                    machine.stuck = Some(work);
                    self.post(id, send);
                    break;
                }
                let mut dead = false;
                for write in std::mem::take(&mut work.writes) {
                    match &mut machine.dies_after {
                        Some(0) => {
                            dead = true;
                            break;
                        }
                        Some(left) => *left -= 1,
                        None => {}
                    }
                    match write {
                        Write::Put { key, value } => machine.disk.insert(key, value),
                        Write::Delete { key } => machine.disk.remove(&key),
                    };
                }
                if dead {
                    self.post(id, send);
                    self.kill(id);
                    break;
                }
                engine.stored(work.number);
                engine.take_messages();
                engine.take_changes();
                self.post(id, send);
                self.post(id, work.send_stored);
            }
        }
        self.check();
    }

    /// What must hold at every moment.
    fn check(&mut self) {
        for (id, machine) in &self.machines {
            let Some(engine) = &machine.engine else { continue };
            if engine.is_leader() {
                let term = engine.status().term;
                let first = *self.leaders.entry(term).or_insert(*id);
                assert_eq!(first, *id, "two leaders in term {term}");
            }
        }
        let machines = &self.machines;
        let acknowledged = &mut self.acknowledged;
        self.asked.retain(|(id, ticket, name)| {
            match machines[id].engine.as_ref().map(|engine| engine.outcome(*ticket)) {
                Some(None) => true,
                Some(Some(Ok(()))) => {
                    acknowledged.insert(name.clone());
                    false
                }
                Some(Some(Err(_))) | None => false,
            }
        });
    }

    /// Lets so much time pass.
    fn pass(&mut self, nanoseconds: i64) {
        let end = later(self.now, nanoseconds);
        loop {
            self.settle();
            let deadlines = self.machines.values().filter(|machine| machine.stuck.is_none()).filter_map(|machine| {
                let due = machine.engine.as_ref()?.next_deadline();
                Some(later(due, -machine.clock))
            });
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let due = deadlines.chain(arrival).chain([self.next_beat]).min().unwrap_or(end).max(self.now);
            if due > end {
                break;
            }
            self.now = due;
            self.deliver();
            if self.next_beat <= self.now {
                self.next_beat = later(self.now, 2 * SECOND);
                self.agents();
            }
            let ids: Vec<u64> = self.machines.keys().copied().collect();
            for id in ids {
                let now = self.clock(id);
                let machine = self.machines.get_mut(&id).unwrap();
                let Some(engine) = machine.engine.as_mut().filter(|_| machine.stuck.is_none()) else { continue };
                if engine.next_deadline() <= now {
                    engine.advance(now);
                    // Timers that are due but change nothing must not stop the clock.
                    assert!(engine.next_deadline() > now || engine.manager().is_some());
                }
            }
            self.now = later(self.now, 1);
        }
        self.now = end;
    }

    fn deliver(&mut self) {
        while let Some((&(at, number), _)) = self.wire.first_key_value()
            && at <= self.now
        {
            let Some((from, to, message)) = self.wire.remove(&(at, number)) else { break };
            let now = self.clock(to);
            if self.cut.contains(&(from, to)) {
                continue;
            }
            let machine = self.machines.get_mut(&to).unwrap();
            // An engine that waits for its disk does nothing else.
            if let Some(engine) = machine.engine.as_mut().filter(|_| machine.stuck.is_none()) {
                engine.receive(now, message).unwrap();
            }
        }
    }

    /// Every machine is a node too: its agent has a session with the leader and does what it is told.
    fn agents(&mut self) {
        let Some(leader) = self.leader() else { return };
        let now = self.clock(leader);
        let ids: Vec<u64> = self.machines.keys().copied().collect();
        for id in ids {
            let machine = &self.machines[&id];
            let reaches = !self.cut.contains(&(id, leader)) && !self.cut.contains(&(leader, id));
            if machine.engine.is_none() || !reaches {
                continue;
            }
            let (node, session) = (machine.node.clone(), machine.session.clone());
            let engine = self.machines.get_mut(&leader).unwrap().engine.as_mut().unwrap();
            let tasks: Vec<_> = engine.store().tasks.values().filter(|task| task.node == node).cloned().collect();
            let secret = engine.store().nodes.get(&node).map(|node| node.secret.clone()).unwrap_or_default();
            let term = engine.status().term;
            let changed = engine.change(now, |manager| {
                let kept = session
                    .filter(|(of, _)| *of == term)
                    .and_then(|(_, session)| manager.heartbeat(now, &node, &session).ok().map(|_| session));
                let session = kept.or_else(|| {
                    let address = format!("10.0.1.{id}");
                    manager
                        .register(now, &node, &secret, description(&format!("n{id}")), &address)
                        .ok()
                        .map(|new| new.0)
                });
                let mut reports = Vec::new();
                for task in tasks {
                    let state = if task.desired > State::COMPLETE && task.status.state <= State::RUNNING {
                        State::SHUTDOWN
                    } else if (State::ASSIGNED..State::RUNNING).contains(&task.status.state) {
                        if task.desired >= State::RUNNING { State::RUNNING } else { State::READY }
                    } else {
                        continue;
                    };
                    reports.push(TaskReport {
                        task: task.id,
                        state,
                        at: now,
                        message: String::new(),
                        error: String::new(),
                        container: None,
                        ports: Vec::new(),
                    });
                }
                manager.report(now, &node, reports);
                session
            });
            let session = changed.and_then(|(session, _)| session);
            self.machines.get_mut(&id).unwrap().session = session.map(|session| (term, session));
        }
    }

    /// Asks a manager that believes to lead for a service of three tasks.
    fn ask(&mut self, id: u64) -> Option<String> {
        let now = self.clock(id);
        let name = format!("s{}", self.services);
        let engine = self.machines.get_mut(&id)?.engine.as_mut()?;
        let (created, ticket) =
            engine.change(now, |manager| manager.create_service(now, service(&name, "nginx", 3)))?;
        self.services += 1;
        created.ok()?;
        self.asked.push((id, ticket, name.clone()));
        self.settle();
        Some(name)
    }

    /// Whole again: what was acknowledged is there everywhere, and the cluster is in its desired state.
    fn recovers(&mut self) {
        self.heal();
        self.pass(120 * SECOND);
        let leader = self.leader().expect("a leader");
        let last = self.ask(leader).expect("a write");
        self.pass(10 * SECOND);
        assert!(self.acknowledged.contains(&last), "the group takes writes again");
        let store = self.engine(leader).unwrap().store().clone();
        for (id, machine) in &self.machines {
            let engine = machine.engine.as_ref().unwrap();
            let names: BTreeSet<&str> = engine.store().services.values().map(|service| service.name()).collect();
            for name in &self.acknowledged {
                assert!(names.contains(name.as_str()), "manager {id} has lost {name}, which was acknowledged");
            }
            assert_eq!(*engine.store(), store, "manager {id} has another store than the leader {leader}");
        }
        assert_eq!(store, *self.engine(leader).unwrap().manager().unwrap().store(), "nothing is left to agree on");
        for node in store.nodes.values() {
            assert_eq!(node.state, NodeState::READY, "{}", node.hostname());
        }
        for service in store.services.values() {
            let running =
                store.tasks_of(&service.id).filter(|task| task.is_wanted() && task.status.state == State::RUNNING);
            assert_eq!(running.count(), 3, "{}", service.name());
        }
    }

    fn set_role(&mut self, id: u64, role: NodeSpecRoleEnum) -> Result<(), ControlError> {
        let leader = self.leader().unwrap();
        let now = self.clock(leader);
        let node = self.machines[&id].node.clone();
        let engine = self.machines.get_mut(&leader).unwrap().engine.as_mut().unwrap();
        let (result, _) = engine
            .change(now, |manager| {
                let known = manager.find_node(&node).unwrap().clone();
                let spec = NodeSpec { role: Some(role), ..known.spec };
                manager.update_node(now, &node, known.meta.version, spec)
            })
            .unwrap();
        self.settle();
        result
    }
}

#[allow(dead_code)] // the type of the request, for the tests of the group
fn rotation() -> TokenRotation {
    TokenRotation::default()
}
