use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use docklab_api::models::{EventActor, EventMessage, EventMessageScopeEnum, EventMessageTypeEnum};
use docklab_host::Host;
use tokio::sync::broadcast;

/// The kind of object that an event is about.
pub type ObjectKind = EventMessageTypeEnum;
/// What happened, in Docker's words: `create`, `die`, `health_status: healthy`.
pub type Action = String;

/// Past events that `docker events --since` can still see.
const HISTORY: usize = 1024;
/// Events that a slow reader may be behind before it loses some.
const BACKLOG: usize = 4096;

/// All events of one engine, in order, with a bounded history.
pub struct EventBus {
    host: Arc<dyn Host>,
    history: Mutex<VecDeque<EventMessage>>,
    live: broadcast::Sender<EventMessage>,
}

impl EventBus {
    pub(crate) fn new(host: Arc<dyn Host>) -> Self {
        Self { host, history: Mutex::default(), live: broadcast::Sender::new(BACKLOG) }
    }

    /// Records an event of this node and tells every listener.
    pub fn emit<K: Into<String>, V: Into<String>>(
        &self,
        kind: ObjectKind,
        action: impl Into<Action>,
        id: impl Into<String>,
        attributes: impl IntoIterator<Item = (K, V)>,
    ) {
        let attributes = attributes.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        self.emit_scoped(EventMessageScopeEnum::LOCAL, kind, action.into(), id.into(), attributes);
    }

    /// An event of the whole swarm (services, nodes, secrets, configs).
    pub fn emit_swarm(&self, kind: ObjectKind, action: Action, id: String, attributes: HashMap<String, String>) {
        self.emit_scoped(EventMessageScopeEnum::SWARM, kind, action, id, attributes);
    }

    fn emit_scoped(
        &self,
        scope: EventMessageScopeEnum,
        kind: ObjectKind,
        action: Action,
        id: String,
        attributes: HashMap<String, String>,
    ) {
        // Taken before the time is read, so that the history is in order of time.
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.host.now();
        let event = EventMessage {
            typ: Some(kind),
            action: Some(action),
            actor: Some(EventActor { id: Some(id), attributes: Some(attributes) }),
            scope: Some(scope),
            time: Some(now.as_second()),
            time_nano: Some(i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX)),
        };
        if history.len() == HISTORY {
            history.pop_front();
        }
        history.push_back(event.clone());
        // An error only says that nobody listens.
        let _ = self.live.send(event);
    }

    /// The history, and every event after it: none is missed or seen twice.
    pub(crate) fn subscribe(&self) -> (Vec<EventMessage>, broadcast::Receiver<EventMessage>) {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        (history.iter().cloned().collect(), self.live.subscribe())
    }

    /// How many clients listen.
    pub(crate) fn listeners(&self) -> usize {
        self.live.receiver_count()
    }
}
