use std::collections::{BTreeMap, BTreeSet};

use docklab_api::models::NodeState;

use crate::{
    Manager,
    objects::{Place, State, Task},
};

impl Manager {
    /// Tasks of nodes that were removed from the swarm will never be heard of again.
    pub(crate) fn release_orphans(&mut self) {
        let orphans: Vec<String> = self
            .store
            .tasks
            .values()
            .filter(|task| !task.node.is_empty() && task.status.state <= State::RUNNING)
            .filter(|task| !self.store.nodes.contains_key(&task.node))
            .filter(|task| !task.is_wanted())
            .map(|task| task.id.clone())
            .collect();
        for task in orphans {
            self.set_state(&task, State::ORPHANED, "Task orphaned: its node was removed from the cluster", "");
        }
    }

    /// Deletes removed tasks that have stopped, and history beyond the limit.
    pub(crate) fn reap(&mut self) {
        let limit = self.store.cluster.as_ref().map_or(5, crate::objects::Cluster::history_limit);
        let mut gone: BTreeSet<String> = BTreeSet::new();
        let mut places: BTreeMap<(&str, Place), Vec<&Task>> = BTreeMap::new();
        for task in self.store.tasks.values() {
            let lost = self.store.nodes.get(&task.node).is_none_or(|node| node.state == NodeState::DOWN);
            let stopped = task.is_dead() || task.status.state < State::ASSIGNED || lost;
            let orphan = task.service.is_empty() || !self.store.services.contains_key(&task.service);
            if (task.desired == State::REMOVE && stopped) || (orphan && task.is_dead()) {
                gone.insert(task.id.clone());
            } else {
                places.entry((&task.service, task.place())).or_default().push(task);
            }
        }
        if limit >= 0 {
            for ((service, _), mut tasks) in places {
                // A service that counts attempts keeps as many tasks as it may make.
                let attempts = self
                    .store
                    .services
                    .get(service)
                    .and_then(|service| service.spec.task_template.as_ref()?.restart_policy.as_ref()?.max_attempts);
                let limit = attempts.filter(|attempts| *attempts > 0).map_or(limit, |attempts| limit.max(attempts + 1));
                let mut excess = tasks.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
                tasks.sort_by_key(|task| (task.meta.created, task.meta.version));
                for task in tasks {
                    if excess == 0 {
                        break;
                    }
                    if !task.is_wanted() && (task.is_dead() || task.status.state < State::ASSIGNED) {
                        gone.insert(task.id.clone());
                        excess -= 1;
                    }
                }
            }
        }
        for task in gone {
            self.store.remove_task(&task);
        }
    }
}
