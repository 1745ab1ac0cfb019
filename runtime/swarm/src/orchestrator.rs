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

impl Manager {
    /// Every service gets the tasks that it should have, and tasks that ended are followed by others.
    pub(crate) fn orchestrate(&mut self) {
        self.restart_dead();
        let services: Vec<Service> = self.store.services.values().cloned().collect();
        let mut by_service: BTreeMap<String, Vec<Task>> = BTreeMap::new();
        for task in self.store.tasks.values() {
            by_service.entry(task.service.clone()).or_default().push(task.clone());
        }
        for service in services {
            let tasks = by_service.remove(&service.id).unwrap_or_default();
            match (service.is_job(), service.is_global()) {
                (false, false) => self.orchestrate_replicated(&service, &tasks),
                (false, true) => self.orchestrate_global(&service, &tasks),
                (true, false) => self.orchestrate_job(&service, &tasks),
                (true, true) => self.orchestrate_global_job(&service, &tasks),
            }
        }
        // What is left belongs to services that were removed.
        let now = self.now;
        for task in by_service.values().flatten() {
            self.store.desire(&task.id, now, State::REMOVE);
        }
    }

    /// The tasks that fill each place: those that are wanted and, where the restart policy ends a place's life, its last.
    pub(crate) fn occupied<'a>(&self, service: &Service, tasks: &'a [Task]) -> BTreeMap<Place, Vec<&'a Task>> {
        let mut places: BTreeMap<Place, Vec<&Task>> = BTreeMap::new();
        for task in tasks.iter().filter(|task| task.desired < State::REMOVE) {
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

    fn orchestrate_replicated(&mut self, service: &Service, tasks: &[Task]) {
        let slots = self.occupied(service, tasks);
        let wanted = usize::try_from(service.replicas()).unwrap_or(usize::MAX);
        if slots.len() > wanted {
            self.scale_down(&slots, wanted);
            return;
        }
        let missing = wanted - slots.len();
        let free: Vec<u64> = (1..).filter(|slot| !slots.contains_key(&Place::Slot(*slot))).take(missing).collect();
        for slot in free {
            self.create_task(service, &Place::Slot(slot), State::RUNNING);
        }
    }

    /// Removes from the nodes that hold most first; slots without a node before all, what does not run before what does,
    /// high numbers before low ones.
    fn scale_down(&mut self, slots: &BTreeMap<Place, Vec<&Task>>, wanted: usize) {
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
        let now = self.now;
        for (_, _, tasks) in ranked.into_iter().skip(wanted) {
            for task in tasks {
                self.store.desire(&task.id, now, State::REMOVE);
            }
        }
    }

    /// Whether a global service wants a task on this node now.
    fn wants_global(service: &Service, node: &Node) -> bool {
        node.is_active()
            && matches!(node.state, NodeState::READY | NodeState::UNKNOWN)
            && all_match(service.template().placement.and_then(|placement| placement.constraints).as_ref(), node)
    }

    fn orchestrate_global(&mut self, service: &Service, tasks: &[Task]) {
        let places = self.occupied(service, tasks);
        let nodes: Vec<Node> = self.store.nodes.values().cloned().collect();
        let known: BTreeSet<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
        let constraints = service.template().placement.and_then(|placement| placement.constraints);
        let now = self.now;
        for task in tasks.iter().filter(|task| task.is_wanted()) {
            let node = nodes.iter().find(|node| node.id == task.node);
            let gone = !known.contains(task.node.as_str());
            if gone || node.is_some_and(|node| node.is_unusable() || !all_match(constraints.as_ref(), node)) {
                self.store.desire(&task.id, now, State::SHUTDOWN);
            }
        }
        for node in &nodes {
            let place = Place::Node(node.id.clone());
            if Self::wants_global(service, node) && !places.contains_key(&place) {
                self.create_task(service, &place, State::RUNNING);
            }
        }
    }

    fn orchestrate_job(&mut self, service: &Service, tasks: &[Task]) {
        let Some(mode) = service.spec.mode.as_ref().and_then(|mode| mode.replicated_job.as_ref()) else { return };
        let number = |wanted: Option<i64>| wanted.and_then(|wanted| usize::try_from(wanted).ok());
        let concurrent = number(mode.max_concurrent).filter(|max| *max > 0).unwrap_or(1);
        let total = number(mode.total_completions).unwrap_or(concurrent);
        self.shut_down_old_iterations(service, tasks);
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
            self.create_task(service, &Place::Slot(slot), State::COMPLETE);
        }
    }

    fn orchestrate_global_job(&mut self, service: &Service, tasks: &[Task]) {
        self.shut_down_old_iterations(service, tasks);
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
            self.create_task(service, &Place::Node(node), State::COMPLETE);
        }
    }

    fn shut_down_old_iterations(&mut self, service: &Service, tasks: &[Task]) {
        let now = self.now;
        for task in tasks.iter().filter(|task| task.job_iteration.is_none_or(|run| run < service.job_iteration)) {
            self.store.desire(&task.id, now, State::REMOVE);
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
