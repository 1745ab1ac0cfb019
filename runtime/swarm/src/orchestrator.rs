use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use docklab_api::models::NodeState;

use crate::{
    Manager,
    constraints::all_match,
    objects::{Node, Place, Service, State, Task},
};

/// What an orchestrator wants done; decided on the store as it is, done afterwards.
#[derive(Default)]
struct Plan {
    create: Vec<(Place, State)>,
    desire: Vec<(String, State)>,
}

impl Plan {
    fn desire(&mut self, task: &Task, state: State) {
        if task.desired < state {
            self.desire.push((task.id.clone(), state));
        }
    }
}

impl Manager {
    /// Every service gets the tasks that it should have, and tasks that ended are followed by others.
    pub(crate) fn orchestrate(&mut self) {
        self.restart_dead();
        let mut by_service: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
        for task in self.store.tasks.values() {
            by_service.entry(&task.service).or_default().push(task);
        }
        let mut plans: Vec<(Option<String>, Plan)> = Vec::new();
        for service in self.store.services.values() {
            let tasks = by_service.remove(service.id.as_str()).unwrap_or_default();
            let mut plan = Plan::default();
            match (service.is_job(), service.is_global()) {
                (false, false) => self.orchestrate_replicated(service, &tasks, &mut plan),
                (false, true) => self.orchestrate_global(service, &tasks, &mut plan),
                (true, false) => self.orchestrate_job(service, &tasks, &mut plan),
                (true, true) => self.orchestrate_global_job(service, &tasks, &mut plan),
            }
            if !plan.create.is_empty() || !plan.desire.is_empty() {
                plans.push((Some(service.id.clone()), plan));
            }
        }
        // What is left belongs to services that were removed.
        let mut removed = Plan::default();
        for task in by_service.values().flatten() {
            removed.desire(task, State::REMOVE);
        }
        plans.push((None, removed));
        let now = self.now;
        for (service, plan) in plans {
            for (task, state) in plan.desire {
                self.store.desire(&task, now, state);
            }
            let Some(service) = service.and_then(|id| self.store.services.get(&id).cloned()) else { continue };
            for (place, desired) in plan.create {
                self.create_task(&service, &place, desired);
            }
        }
    }

    /// The tasks that fill each place: those that are wanted and, where the restart policy ends a place's life, its last.
    pub(crate) fn occupied<'a>(&self, service: &Service, tasks: &[&'a Task]) -> BTreeMap<Place, Vec<&'a Task>> {
        let mut places: BTreeMap<Place, Vec<&Task>> = BTreeMap::new();
        for task in tasks.iter().copied().filter(|task| task.desired < State::REMOVE) {
            places.entry(task.place()).or_default().push(task);
        }
        places.retain(|_, tasks| {
            if tasks.iter().any(|task| task.is_wanted()) {
                tasks.retain(|task| task.is_wanted());
                return true;
            }
            let last = tasks.iter().max_by_key(|task| (task.meta.created, task.meta.version)).copied();
            match last {
                Some(task) if task.is_dead() && !self.should_restart(task, service) => {
                    *tasks = vec![task];
                    true
                }
                _ => false,
            }
        });
        places
    }

    fn orchestrate_replicated(&self, service: &Service, tasks: &[&Task], plan: &mut Plan) {
        let slots = self.occupied(service, tasks);
        let wanted = usize::try_from(service.replicas()).unwrap_or(usize::MAX);
        if slots.len() > wanted {
            Self::scale_down(&slots, wanted, plan);
            return;
        }
        let missing = wanted - slots.len();
        let free: Vec<u64> = (1..).filter(|slot| !slots.contains_key(&Place::Slot(*slot))).take(missing).collect();
        for slot in free {
            plan.create.push((Place::Slot(slot), State::RUNNING));
        }
    }

    /// Removes from the nodes that hold most first; slots without a node before all, what does not run before what does,
    /// high numbers before low ones.
    fn scale_down(slots: &BTreeMap<Place, Vec<&Task>>, wanted: usize, plan: &mut Plan) {
        let runs = |tasks: &[&Task]| tasks.iter().any(|task| task.status.state == State::RUNNING);
        let mut order: Vec<(&Place, &Vec<&Task>)> = slots.iter().collect();
        order.sort_by_key(|(place, tasks)| (Reverse(runs(tasks)), (*place).clone()));
        let mut on_node: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ranked: Vec<(usize, usize, &Vec<&Task>)> = order
            .into_iter()
            .enumerate()
            .map(|(position, (_, tasks))| match tasks.as_slice() {
                [task] if !task.node.is_empty() => {
                    let count = on_node.entry(&task.node).or_default();
                    *count += 1;
                    (*count, position, tasks)
                }
                _ => (usize::MAX, position, tasks),
            })
            .collect();
        ranked.sort_by_key(|(count, position, _)| (*count, *position));
        for (_, _, tasks) in ranked.into_iter().skip(wanted) {
            for task in tasks {
                plan.desire(task, State::REMOVE);
            }
        }
    }

    /// Whether a global service wants a task on this node now.
    fn wants_global(service: &Service, node: &Node) -> bool {
        node.is_active()
            && matches!(node.state, NodeState::READY | NodeState::UNKNOWN)
            && all_match(service.template().placement.and_then(|placement| placement.constraints).as_ref(), node)
    }

    fn orchestrate_global(&self, service: &Service, tasks: &[&Task], plan: &mut Plan) {
        let places = self.occupied(service, tasks);
        let nodes: Vec<&Node> = self.store.nodes.values().collect();
        let known: BTreeSet<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
        let constraints = service.template().placement.and_then(|placement| placement.constraints);
        for task in tasks.iter().filter(|task| task.is_wanted()) {
            let node = self.store.nodes.get(&task.node);
            let gone = !known.contains(task.node.as_str());
            if gone || node.is_some_and(|node| node.is_unusable() || !all_match(constraints.as_ref(), node)) {
                plan.desire(task, State::SHUTDOWN);
            }
        }
        for node in nodes {
            let place = Place::Node(node.id.clone());
            if Self::wants_global(service, node) && !places.contains_key(&place) {
                plan.create.push((place, State::RUNNING));
            }
        }
    }

    fn orchestrate_job(&self, service: &Service, tasks: &[&Task], plan: &mut Plan) {
        let Some(mode) = service.spec.mode.as_ref().and_then(|mode| mode.replicated_job.as_ref()) else { return };
        let number = |wanted: Option<i64>| wanted.and_then(|wanted| usize::try_from(wanted).ok());
        let concurrent = number(mode.max_concurrent).filter(|max| *max > 0).unwrap_or(1);
        let total = number(mode.total_completions).unwrap_or(concurrent);
        Self::shut_down_old_iterations(service, tasks, plan);
        let current = tasks.iter().filter(|task| task.job_iteration == Some(service.job_iteration));
        let (mut done, mut active) = (0, 0);
        let mut taken = BTreeSet::new();
        for task in current {
            if task.status.state == State::COMPLETE {
                done += 1;
            } else if task.is_wanted() {
                active += 1;
            } else {
                continue;
            }
            taken.insert(task.slot);
        }
        // A slot whose task failed for good stays empty: the job does not complete by itself.
        let failed: BTreeSet<u64> = self
            .occupied(service, tasks)
            .keys()
            .filter_map(|place| match place {
                Place::Slot(slot) if !taken.contains(slot) => Some(*slot),
                _ => None,
            })
            .collect();
        let missing = concurrent.saturating_sub(active).min(total.saturating_sub(done + active + failed.len()));
        let free: Vec<u64> =
            (1..).filter(|slot| !taken.contains(slot) && !failed.contains(slot)).take(missing).collect();
        for slot in free {
            plan.create.push((Place::Slot(slot), State::COMPLETE));
        }
    }

    fn orchestrate_global_job(&self, service: &Service, tasks: &[&Task], plan: &mut Plan) {
        Self::shut_down_old_iterations(service, tasks, plan);
        let current: BTreeSet<&str> = tasks
            .iter()
            .filter(|task| task.job_iteration == Some(service.job_iteration))
            .filter(|task| {
                task.is_wanted() || task.status.state == State::COMPLETE || !self.should_restart(task, service)
            })
            .map(|task| task.node.as_str())
            .collect();
        let nodes: Vec<String> = self
            .store
            .nodes
            .values()
            .filter(|node| Self::wants_global(service, node) && !current.contains(node.id.as_str()))
            .map(|node| node.id.clone())
            .collect();
        for node in nodes {
            plan.create.push((Place::Node(node), State::COMPLETE));
        }
    }

    fn shut_down_old_iterations(service: &Service, tasks: &[&Task], plan: &mut Plan) {
        for task in tasks.iter().filter(|task| task.job_iteration.is_none_or(|run| run < service.job_iteration)) {
            plan.desire(task, State::REMOVE);
        }
    }

    /// Tasks on nodes that no longer satisfy their constraints are rejected; the restart supervisor replaces them.
    pub(crate) fn enforce_constraints(&mut self) {
        let rejected: Vec<String> = self
            .store
            .tasks
            .values()
            .filter(|task| task.is_wanted() && (State::ASSIGNED..=State::RUNNING).contains(&task.status.state))
            .filter(|task| {
                let constraints = task.spec.placement.as_ref().and_then(|placement| placement.constraints.as_ref());
                let node = self.store.nodes.get(&task.node).filter(|node| node.is_active());
                node.is_some_and(|node| !all_match(constraints, node))
            })
            .map(|task| task.id.clone())
            .collect();
        for task in rejected {
            self.set_state(
                &task,
                State::REJECTED,
                "task rejected by constraint enforcer",
                "assigned node no longer meets constraints",
            );
        }
    }
}
