//! What a transaction changed: the entries of the log.
//!
//! The leader's loops work on a store of their own, ahead of the log. What they changed is proposed as one entry, and every
//! manager carries it out on its copy when it is agreed on. So the loops run on the leader alone and need not be
//! deterministic, as in Docker.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    objects::{Cluster, Meta, Network, Node, Secret, Service, Task},
    store::{Change, Store},
};

/// An object of the store.
trait Object: Clone {
    fn meta(&self) -> &Meta;
    fn id(&self) -> &str;
}

macro_rules! object {
    ($($kind:ty),*) => {$(
        impl Object for $kind {
            fn meta(&self) -> &Meta {
                &self.meta
            }
            fn id(&self) -> &str {
                &self.id
            }
        }
    )*};
}
object!(Node, Service, Task, Secret, Network);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Table<T> {
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    set: Vec<T>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    removed: Vec<String>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { set: Vec::new(), removed: Vec::new() }
    }
}

impl<T: Object> Table<T> {
    fn between(base: u64, known: &mut BTreeSet<String>, now: &BTreeMap<String, T>) -> Self {
        let set: Vec<T> = now.values().filter(|object| object.meta().version > base).cloned().collect();
        known.extend(set.iter().map(|object| object.id().to_owned()));
        let mut removed = Vec::new();
        // Whatever is there is known by now, so only a removal makes a difference.
        if known.len() != now.len() {
            removed.extend(known.iter().filter(|id| !now.contains_key(*id)).cloned());
            known.retain(|id| now.contains_key(id));
        }
        Self { set, removed }
    }

    fn apply(self, to: &mut BTreeMap<String, T>) {
        for id in self.removed {
            to.remove(&id);
        }
        to.extend(self.set.into_iter().map(|object| (object.id().to_owned(), object)));
    }
}

/// Everything that is other in one store than in an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Delta {
    version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<Cluster>,
    #[serde(default)]
    nodes: Table<Node>,
    #[serde(default)]
    services: Table<Service>,
    #[serde(default)]
    tasks: Table<Task>,
    #[serde(default)]
    secrets: Table<Secret>,
    #[serde(default)]
    configs: Table<Secret>,
    #[serde(default)]
    networks: Table<Network>,
    /// For the event stream of every manager.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Change>,
}

impl Delta {
    /// Carries it out; returns what happened, for the event stream.
    pub(crate) fn apply(self, store: &mut Store) -> Vec<Change> {
        store.version = self.version;
        if self.cluster.is_some() {
            store.cluster = self.cluster;
        }
        self.nodes.apply(&mut store.nodes);
        self.services.apply(&mut store.services);
        self.tasks.apply(&mut store.tasks);
        self.secrets.apply(&mut store.secrets);
        self.configs.apply(&mut store.configs);
        self.networks.apply(&mut store.networks);
        self.changes
    }
}

/// How much of a store has been proposed.
#[derive(Debug)]
pub(crate) struct Proposed {
    version: u64,
    nodes: BTreeSet<String>,
    services: BTreeSet<String>,
    tasks: BTreeSet<String>,
    secrets: BTreeSet<String>,
    configs: BTreeSet<String>,
    networks: BTreeSet<String>,
}

impl Proposed {
    /// All of it.
    pub(crate) fn of(store: &Store) -> Self {
        fn keys<T>(objects: &BTreeMap<String, T>) -> BTreeSet<String> {
            objects.keys().cloned().collect()
        }
        Self {
            version: store.version,
            nodes: keys(&store.nodes),
            services: keys(&store.services),
            tasks: keys(&store.tasks),
            secrets: keys(&store.secrets),
            configs: keys(&store.configs),
            networks: keys(&store.networks),
        }
    }

    /// The version of the store up to which everything has been proposed.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// What the store has that was not proposed yet, which it then is. `None` for nothing.
    pub(crate) fn advance(&mut self, store: &mut Store) -> Option<Delta> {
        if store.version == self.version && store.changes.is_empty() {
            return None;
        }
        let base = std::mem::replace(&mut self.version, store.version);
        Some(Delta {
            version: store.version,
            cluster: store.cluster.as_ref().filter(|cluster| cluster.meta.version > base).cloned(),
            nodes: Table::between(base, &mut self.nodes, &store.nodes),
            services: Table::between(base, &mut self.services, &store.services),
            tasks: Table::between(base, &mut self.tasks, &store.tasks),
            secrets: Table::between(base, &mut self.secrets, &store.secrets),
            configs: Table::between(base, &mut self.configs, &store.configs),
            networks: Table::between(base, &mut self.networks, &store.networks),
            changes: std::mem::take(&mut store.changes),
        })
    }
}
