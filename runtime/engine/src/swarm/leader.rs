use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use docklab_api::{
    ApiError, ApiResult,
    models::{EventMessageTypeEnum, SwarmSpec},
};
use docklab_host::Link;
use docklab_swarm::{
    Change, ChangeAction, ControlError, ControlResult, FromManager, FromNode, Manager, ObjectKind, Store,
};
use futures::{
    StreamExt,
    future::Either,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, watch};

use super::{Engine, PORT, membership::KIND};
use crate::records;

pub(super) const STORE: &str = "store";

/// Output of a task on another node.
pub(super) type LogChunk = (bool, Vec<u8>);

/// The cluster's state machine and the sessions of its nodes.
pub(crate) struct Leader {
    manager: Mutex<Manager>,
    /// Something happened: step, send, save.
    wake: Notify,
    /// Messages to the nodes that have a session.
    links: Mutex<HashMap<String, mpsc::UnboundedSender<FromManager>>>,
    logs: Mutex<HashMap<u64, mpsc::UnboundedSender<LogChunk>>>,
    next_log: AtomicU64,
    stop: Mutex<Option<watch::Receiver<bool>>>,
    /// The version of the store that was last told.
    told: watch::Sender<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Leader {
    fn new(manager: Manager) -> Arc<Self> {
        Arc::new(Self {
            manager: Mutex::new(manager),
            wake: Notify::new(),
            links: Mutex::default(),
            logs: Mutex::default(),
            next_log: AtomicU64::new(1),
            stop: Mutex::default(),
            told: watch::Sender::new(0),
        })
    }

    pub(super) fn set_stop(&self, stop: watch::Receiver<bool>) {
        *lock(&self.stop) = Some(stop);
        self.wake.notify_one();
    }

    fn is_stopped(&self) -> bool {
        lock(&self.stop).as_ref().is_some_and(|stop| *stop.borrow())
    }

    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Manager) -> T) -> T {
        read(&lock(&self.manager))
    }

    /// Changes the cluster and lets its loops run; nodes are told right after.
    pub(super) fn change<T>(&self, now: Timestamp, change: impl FnOnce(&mut Manager) -> T) -> T {
        let mut manager = lock(&self.manager);
        let result = change(&mut manager);
        manager.step(now);
        drop(manager);
        self.wake.notify_one();
        result
    }

    /// The store's version now and whenever it has changed, until this node leads no more.
    pub(super) fn versions(&self) -> BoxStream<'static, u64> {
        let mut told = self.told.subscribe();
        told.mark_changed();
        let versions = stream::unfold(told, |mut told| async move {
            told.changed().await.ok()?;
            let version = *told.borrow_and_update();
            Some((version, told))
        });
        let stopped = lock(&self.stop).clone();
        let stop = Box::pin(async move {
            match stopped {
                // An error is the end of the membership too.
                Some(mut stopped) => drop(stopped.wait_for(|stop| *stop).await),
                None => futures::future::pending().await,
            }
        });
        versions.take_until(stop).boxed()
    }

    /// Asks a node for a task's output. Dropping the receiver ends it.
    pub(super) fn request_logs(
        &self,
        node: &str,
        request: impl FnOnce(u64) -> FromManager,
    ) -> Option<mpsc::UnboundedReceiver<LogChunk>> {
        let link = lock(&self.links).get(node).cloned()?;
        let number = self.next_log.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&self.logs).insert(number, sender);
        link.send(request(number)).ok()?;
        Some(receiver)
    }

    fn deliver_log(&self, link: &mpsc::UnboundedSender<FromManager>, request: u64, chunk: Option<LogChunk>) {
        let mut logs = lock(&self.logs);
        let gone = match (logs.get(&request), chunk) {
            (Some(reader), Some(chunk)) => reader.send(chunk).is_err(),
            (_, None) => {
                logs.remove(&request);
                return;
            }
            (None, Some(_)) => true,
        };
        if gone {
            logs.remove(&request);
            // The node may have gone too.
            let _ = link.send(FromManager::CancelLogs { request });
        }
    }
}

impl Engine {
    /// Makes a swarm of this one node; returns its ID and secret.
    #[allow(clippy::too_many_arguments)] // the parts of one request
    pub(super) fn make_leader(
        &self,
        spec: SwarmSpec,
        address: &str,
        pools: Vec<String>,
        subnet_size: Option<u32>,
    ) -> (Arc<Leader>, String, String) {
        let (manager, id) = Manager::init(
            self.seed(),
            self.host.now(),
            spec,
            self.describe(),
            address,
            &format!("{address}:{PORT}"),
            pools,
            subnet_size,
        );
        let secret = manager.node_secret(&id).unwrap_or_default();
        (Leader::new(manager), id, secret)
    }

    fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.host.random(&mut seed);
        seed
    }

    pub(super) async fn load_leader(&self) -> ApiResult<Arc<Leader>> {
        let stores = records::load::<Store>(&*self.host, KIND).await?;
        let (_, store) = stores
            .into_iter()
            .find(|(key, _)| key == STORE)
            .ok_or_else(|| ApiError::system("the swarm's store is missing from this manager's records"))?;
        Ok(Leader::new(Manager::new(store, self.seed(), self.host.now())))
    }

    /// Drives the cluster and accepts nodes until this one leaves.
    pub(super) fn run_leader(&self, leader: &Arc<Leader>, links: BoxStream<'static, Arc<dyn Link>>) {
        let (engine, driven) = (self.clone(), leader.clone());
        self.host.spawn(Box::pin(async move { engine.drive(driven).await }));
        let (engine, served) = (self.clone(), leader.clone());
        let stopped = lock(&leader.stop).clone();
        self.host.spawn(Box::pin(async move {
            let stop = Box::pin(async move {
                match stopped {
                    // An error is the end of the membership too.
                    Some(mut stopped) => drop(stopped.wait_for(|stop| *stop).await),
                    None => futures::future::pending().await,
                }
            });
            let mut links = links.take_until(stop);
            while let Some(link) = links.next().await {
                engine.serve(&served, link);
            }
        }));
    }

    async fn drive(self, leader: Arc<Leader>) {
        let mut saved = 0;
        while !leader.is_stopped() {
            let (messages, changes, deadline, store) = {
                let mut manager = lock(&leader.manager);
                manager.step(self.host.now());
                let store = (manager.store().version != saved).then(|| manager.store().clone());
                let version = manager.store().version;
                leader.told.send_if_modified(|told| std::mem::replace(told, version) != version);
                (manager.take_messages(), manager.take_changes(), manager.next_deadline(), store)
            };
            if let Some(store) = store {
                saved = store.version;
                // Nobody is told what could still be lost.
                if let Err(error) = records::put(&*self.host, KIND, STORE, &store).await {
                    tracing::error!(%error, "the swarm's store could not be saved");
                }
            }
            for (node, message) in messages {
                if let Some(link) = lock(&leader.links).get(&node) {
                    // A link that has just ended: the node registers again and is sent everything.
                    let _ = link.send(message);
                }
            }
            for change in changes {
                self.emit_change(change);
            }
            let wait = deadline.map_or(Duration::from_secs(3600), |deadline| {
                Duration::try_from(deadline.duration_since(self.host.now())).unwrap_or(Duration::ZERO)
            });
            // A millisecond at least, so that time has really passed when it wakes.
            let sleep = self.host.sleep(wait.max(Duration::from_millis(1)));
            let wake = Box::pin(leader.wake.notified());
            match futures::future::select(wake, sleep).await {
                Either::Left(_) | Either::Right(_) => {}
            }
        }
    }

    fn emit_change(&self, change: Change) {
        let kind = match change.kind {
            ObjectKind::Node => EventMessageTypeEnum::NODE,
            ObjectKind::Service => EventMessageTypeEnum::SERVICE,
            ObjectKind::Secret => EventMessageTypeEnum::SECRET,
            ObjectKind::Config => EventMessageTypeEnum::CONFIG,
            ObjectKind::Network => EventMessageTypeEnum::NETWORK,
        };
        let action = match change.action {
            ChangeAction::Create => "create",
            ChangeAction::Update => "update",
            ChangeAction::Remove => "remove",
        };
        let mut attributes: HashMap<String, String> = change.attributes.into_iter().collect();
        attributes.insert("name".into(), change.name);
        self.events.emit_swarm(kind, action.into(), change.id, attributes);
    }

    /// Serves one link in the background.
    pub(super) fn serve(&self, leader: &Arc<Leader>, link: Arc<dyn Link>) {
        let (engine, leader) = (self.clone(), leader.clone());
        self.host.spawn(Box::pin(async move {
            let (sender, mut outgoing) = mpsc::unbounded_channel();
            let writer = link.clone();
            engine.host.spawn(Box::pin(async move {
                while let Some(message) = outgoing.recv().await {
                    if writer.send(encode(&message)).await.is_err() {
                        break;
                    }
                }
                writer.close();
            }));
            let mut node = String::new();
            while let Ok(Some(message)) = link.receive().await {
                if leader.is_stopped() {
                    break;
                }
                match serde_json::from_slice::<FromNode>(&message) {
                    Ok(message) => engine.handle(&leader, &*link, &sender, &mut node, message),
                    Err(error) => {
                        tracing::warn!(%error, peer = %link.peer(), "a message could not be read");
                        break;
                    }
                }
            }
            let mut links = lock(&leader.links);
            if links.get(&node).is_some_and(|current| current.same_channel(&sender)) {
                links.remove(&node);
            }
        }));
    }

    /// One message of a link. `node` is who it has proven to be; empty before.
    fn handle(
        &self,
        leader: &Leader,
        link: &dyn Link,
        sender: &mpsc::UnboundedSender<FromManager>,
        node: &mut String,
        message: FromNode,
    ) {
        let now = self.host.now();
        let peer = link.peer().to_string();
        let refused = |error: ControlError| FromManager::Refused(error.to_string());
        let answer = match message {
            FromNode::Join { token, description } => {
                let joined = leader.change(now, |manager| manager.join(now, &token, description, &peer));
                let manager = leader.manager_id();
                Some(joined.map_or_else(refused, |(node, secret)| FromManager::Joined { node, secret, manager }))
            }
            FromNode::Register { node: id, secret, description, address } => {
                let address = if address.is_empty() { peer } else { address };
                let mut manager = lock(&leader.manager);
                match manager.register(now, &id, &secret, description, &address) {
                    Ok((session, period)) => {
                        id.clone_into(node);
                        lock(&leader.links).insert(id, sender.clone());
                        let managers = managers(&manager);
                        // Before the assignments, which the next step sends.
                        let _ = sender.send(FromManager::Session { session, period, managers });
                        drop(manager);
                        leader.wake();
                        None
                    }
                    Err(error) => Some(refused(error)),
                }
            }
            _ if node.is_empty() => Some(FromManager::Refused("the link has no session".into())),
            FromNode::Heartbeat { session } => {
                let beat: ControlResult<i64> = lock(&leader.manager).heartbeat(now, node, &session);
                Some(beat.map_or_else(refused, |period| FromManager::Heartbeat { period }))
            }
            FromNode::Report(reports) => {
                leader.change(now, |manager| manager.report(now, node, reports));
                None
            }
            FromNode::Leave => {
                leader.change(now, |manager| manager.node_left(now, node));
                None
            }
            FromNode::Logs { request, chunk } => {
                leader.deliver_log(sender, request, chunk);
                None
            }
        };
        if let Some(answer) = answer {
            // The link has ended meanwhile.
            let _ = sender.send(answer);
        }
    }
}

impl Leader {
    fn manager_id(&self) -> String {
        self.read(|manager| managers(manager).into_iter().next().map(|(node, _)| node).unwrap_or_default())
    }
}

fn managers(manager: &Manager) -> Vec<(String, String)> {
    let nodes = manager.store().nodes.values().filter(|node| node.is_manager());
    nodes.map(|node| (node.id.clone(), node.manager_address.clone().unwrap_or_default())).collect()
}

pub(super) fn encode(message: &impl serde::Serialize) -> Bytes {
    // These types have no map with keys that JSON could not write.
    serde_json::to_vec(message).unwrap_or_default().into()
}
