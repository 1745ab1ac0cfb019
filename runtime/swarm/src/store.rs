use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::objects::{Cluster, Meta, Network, Node, Secret, Service, State, Task};

/// What kind of object changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObjectKind {
    Node,
    Service,
    Secret,
    Config,
    Network,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeAction {
    Create,
    Update,
    Remove,
}

/// A change that `docker events` reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub kind: ObjectKind,
    pub action: ChangeAction,
    pub id: String,
    pub name: String,
    /// Further attributes: `state.new`, `replicas.old` and their like.
    pub attributes: Vec<(String, String)>,
}

/// All objects of the cluster. Every write raises `version`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Store {
    pub version: u64,
    pub cluster: Option<Cluster>,
    pub nodes: BTreeMap<String, Node>,
    pub services: BTreeMap<String, Service>,
    pub tasks: BTreeMap<String, Task>,
    pub secrets: BTreeMap<String, Secret>,
    pub configs: BTreeMap<String, Secret>,
    pub networks: BTreeMap<String, Network>,
    #[serde(skip)]
    pub(crate) changes: Vec<Change>,
}

impl Store {
    /// The metadata of an object made now.
    pub(crate) fn new_meta(&mut self, now: Timestamp) -> Meta {
        self.version += 1;
        Meta { version: self.version, created: now, updated: now }
    }

    fn touch(version: &mut u64, meta: &mut Meta, now: Timestamp) {
        *version += 1;
        meta.version = *version;
        meta.updated = now;
    }

    pub(crate) fn update_task(&mut self, id: &str, now: Timestamp, change: impl FnOnce(&mut Task)) {
        if let Some(task) = self.tasks.get_mut(id) {
            change(task);
            Self::touch(&mut self.version, &mut task.meta, now);
        }
    }

    /// Desired states only go up.
    pub(crate) fn desire(&mut self, id: &str, now: Timestamp, desired: State) {
        if self.tasks.get(id).is_some_and(|task| task.desired < desired) {
            self.update_task(id, now, |task| task.desired = desired);
        }
    }

    pub(crate) fn update_service(&mut self, id: &str, now: Timestamp, change: impl FnOnce(&mut Service)) {
        if let Some(service) = self.services.get_mut(id) {
            change(service);
            Self::touch(&mut self.version, &mut service.meta, now);
        }
    }

    pub(crate) fn update_node(&mut self, id: &str, now: Timestamp, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(id) {
            change(node);
            Self::touch(&mut self.version, &mut node.meta, now);
        }
    }

    pub(crate) fn update_cluster(&mut self, now: Timestamp, change: impl FnOnce(&mut Cluster)) {
        if let Some(cluster) = &mut self.cluster {
            change(cluster);
            Self::touch(&mut self.version, &mut cluster.meta, now);
        }
    }

    /// The managers that are given up when one goes on alone.
    pub(crate) fn demote_all_but(&mut self, node: &str, now: Timestamp) {
        let others: Vec<String> =
            self.nodes.values().filter(|other| other.id != node).map(|other| other.id.clone()).collect();
        for other in others {
            self.update_node(&other, now, |node| {
                node.spec.role = Some(docklab_api::models::NodeSpecRoleEnum::WORKER);
            });
        }
    }

    pub(crate) fn remove_task(&mut self, id: &str) {
        if self.tasks.remove(id).is_some() {
            self.version += 1;
        }
    }

    pub(crate) fn tell(&mut self, kind: ObjectKind, action: ChangeAction, id: &str, name: &str) {
        self.tell_with(kind, action, id, name, Vec::new());
    }

    pub(crate) fn tell_with(
        &mut self,
        kind: ObjectKind,
        action: ChangeAction,
        id: &str,
        name: &str,
        attributes: Vec<(String, String)>,
    ) {
        self.changes.push(Change { kind, action, id: id.to_owned(), name: name.to_owned(), attributes });
    }

    /// Tasks of a service, by ID.
    pub fn tasks_of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Task> {
        self.tasks.values().filter(move |task| task.service == service)
    }
}
