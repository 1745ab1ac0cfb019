use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use docklab_api::{ApiError, ApiResult};
use docklab_host::Process;
use tokio::sync::{oneshot, watch};

use super::{hub::Hub, record::Record};
use crate::restart::Backoff;

/// What waiters watch: it only ever grows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// How many times the container has ended.
    pub(crate) exits: u64,
    /// Of the last end.
    pub(crate) exit_code: i32,
    pub(crate) removed: bool,
}

/// One container: its durable record and what only lives in this process.
pub(crate) struct Container {
    pub(crate) id: String,
    record: Mutex<Record>,
    /// Held by start, exit handling and removal, which must not overlap. Never held while waiting for the process.
    pub(crate) lifecycle: tokio::sync::Mutex<()>,
    /// Keeps writes of the record in the order of its changes.
    pub(crate) saving: tokio::sync::Mutex<()>,
    pub(crate) process: watch::Sender<Option<Arc<dyn Process>>>,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) hub: Hub,
    pub(crate) backoff: Mutex<Backoff>,
    /// Ends the wait before the next restart.
    pub(crate) restart_cancel: Mutex<Option<oneshot::Sender<()>>>,
    /// Ends the health monitor when dropped.
    pub(crate) health_stop: Mutex<Option<oneshot::Sender<()>>>,
    /// Execs that have not ended.
    pub(crate) execs: Mutex<BTreeSet<String>>,
    /// `docker restart` is between its stop and its start: no auto-remove.
    pub(crate) restarting_by_hand: Mutex<bool>,
}

impl Container {
    pub(crate) fn new(record: Record) -> Self {
        Self {
            id: record.id.clone(),
            record: Mutex::new(record),
            lifecycle: tokio::sync::Mutex::default(),
            saving: tokio::sync::Mutex::default(),
            process: watch::Sender::new(None),
            progress: watch::Sender::new(Progress::default()),
            hub: Hub::default(),
            backoff: Mutex::default(),
            restart_cancel: Mutex::default(),
            health_stop: Mutex::default(),
            execs: Mutex::default(),
            restarting_by_hand: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the record.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&Record) -> R) -> R {
        look(&self.lock())
    }

    /// Changes the record; [`crate::Engine::save`] makes it last.
    pub(crate) fn write<R>(&self, change: impl FnOnce(&mut Record) -> R) -> R {
        change(&mut self.lock())
    }

    /// A copy of the record.
    pub(crate) fn snapshot(&self) -> Record {
        self.lock().clone()
    }

    pub(crate) fn name(&self) -> String {
        self.read(|record| record.name.clone())
    }

    /// The running process, or Docker's 409.
    pub(crate) fn running_process(&self) -> ApiResult<Arc<dyn Process>> {
        let process = self.process.borrow().clone();
        process.ok_or_else(|| not_running(&self.id))
    }
}

pub(crate) fn not_running(id: &str) -> ApiError {
    ApiError::conflict(format!("container {id} is not running"))
}

#[derive(Default)]
struct Table {
    by_id: BTreeMap<String, Arc<Container>>,
    /// Names, those of containers that are being created included.
    names: HashMap<String, String>,
}

/// All containers of an engine.
#[derive(Default)]
pub(crate) struct Containers {
    table: RwLock<Table>,
}

impl Containers {
    /// Finds by full ID, name or unique ID prefix.
    pub(crate) fn find(&self, reference: &str) -> ApiResult<Arc<Container>> {
        if reference.is_empty() {
            return Err(ApiError::invalid("invalid name or ID supplied: \"\""));
        }
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(container) = table.by_id.get(reference) {
            return Ok(Arc::clone(container));
        }
        let name = reference.strip_prefix('/').unwrap_or(reference);
        if let Some(container) = table.names.get(name).and_then(|id| table.by_id.get(id)) {
            return Ok(Arc::clone(container));
        }
        // The name that a link gives: `parent/alias`.
        if let Some((parent, alias)) = name.split_once('/') {
            let parent = table.names.get(parent).and_then(|id| table.by_id.get(id));
            let child = parent.and_then(|parent| {
                parent
                    .read(|record| record.links.iter().find(|link| link.alias == alias).map(|link| link.child.clone()))
            });
            if let Some(child) = child.and_then(|id| table.by_id.get(&id)) {
                return Ok(Arc::clone(child));
            }
        } else {
            let mut candidates =
                table.by_id.range(reference.to_owned()..).take_while(|(id, _)| id.starts_with(reference));
            match (candidates.next(), candidates.next()) {
                (Some((_, container)), None) => return Ok(Arc::clone(container)),
                (Some(_), Some(_)) => {
                    return Err(ApiError::invalid(format!("multiple IDs found with provided prefix: {reference}")));
                }
                (None, _) => {}
            }
        }
        Err(ApiError::not_found(format!("No such container: {reference}")))
    }

    /// All of them, by ID.
    pub(crate) fn all(&self) -> Vec<Arc<Container>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).by_id.values().cloned().collect()
    }

    /// Reserves a name for `id`. Fails with the ID of the container that has it.
    pub(crate) fn reserve_name(&self, name: &str, id: &str) -> Result<(), String> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        match table.names.get(name) {
            Some(holder) if holder != id => Err(holder.clone()),
            _ => {
                table.names.insert(name.to_owned(), id.to_owned());
                Ok(())
            }
        }
    }

    pub(crate) fn release_name(&self, name: &str) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).names.remove(name);
    }

    pub(crate) fn insert(&self, container: Arc<Container>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.names.insert(container.name(), container.id.clone());
        table.by_id.insert(container.id.clone(), container);
    }

    pub(crate) fn remove(&self, id: &str) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.by_id.remove(id);
        table.names.retain(|_, holder| holder != id);
    }
}
