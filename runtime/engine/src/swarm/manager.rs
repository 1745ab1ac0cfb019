use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use docklab_api::{ApiError, ApiResult, RaftStatus, models::SwarmSpec};
use docklab_host::Link;
use docklab_swarm::{Change, FromManager, Manager, Member, Peer, RestoreError, Ticket, Timing, Work};
use futures::{
    StreamExt,
    future::Either,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, watch};

use super::{Engine, PORT, membership::NodeRecord};
use crate::HostResultExt;

/// The records of raft's log.
pub(super) const RAFT: &str = "swarm-raft";

/// Output of a task on another node.
pub(super) type LogChunk = (bool, Vec<u8>);

/// This node as a manager: its part of the raft group, and the links of nodes and managers.
pub(crate) struct ManagerNode {
    member: Mutex<Member>,
    /// Something happened: write, send, apply.
    pub(super) wake: Notify,
    /// Messages to the nodes that have a session with this leader.
    pub(super) links: Mutex<HashMap<String, mpsc::UnboundedSender<FromManager>>>,
    /// Raft's messages to the other managers.
    pub(super) peers: Mutex<HashMap<u64, mpsc::UnboundedSender<Bytes>>>,
    /// How to answer managers that have linked to this one: address and secret, by raft ID.
    pub(super) introduced: Mutex<HashMap<u64, (String, String)>>,
    logs: Mutex<HashMap<u64, mpsc::UnboundedSender<LogChunk>>>,
    next_log: AtomicU64,
    stop: watch::Sender<bool>,
    /// Counts what the driver has done, for those who wait for it.
    pub(super) progress: watch::Sender<u64>,
    /// The version of the store that was last told.
    pub(super) told: watch::Sender<u64>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unreadable(error: RestoreError) -> ApiError {
    ApiError::system(format!("the swarm's records of this manager: {error}"))
}

/// What the driver has to pass on.
pub(super) struct Results {
    pub(super) messages: Vec<(String, FromManager)>,
    pub(super) changes: Vec<Change>,
    pub(super) leads: bool,
    /// Of the store.
    pub(super) version: u64,
    pub(super) deadline: Timestamp,
}

impl ManagerNode {
    fn new(member: Member) -> Arc<Self> {
        Arc::new(Self {
            member: Mutex::new(member),
            wake: Notify::new(),
            links: Mutex::default(),
            peers: Mutex::default(),
            introduced: Mutex::default(),
            logs: Mutex::default(),
            next_log: AtomicU64::new(1),
            stop: watch::Sender::new(false),
            progress: watch::Sender::new(0),
            told: watch::Sender::new(0),
        })
    }

    /// Ends everything that this manager runs.
    pub(super) fn end(&self) {
        self.stop.send_replace(true);
        self.wake.notify_one();
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Completes when the manager ends.
    pub(super) async fn stopped(&self) {
        let mut stop = self.stop.subscribe();
        // An error is the end too.
        let _ = stop.wait_for(|stop| *stop).await;
    }

    pub(super) fn with<T>(&self, use_member: impl FnOnce(&mut Member) -> T) -> T {
        let result = use_member(&mut lock(&self.member));
        self.wake.notify_one();
        result
    }

    /// As [`ManagerNode::with`], for looking only.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Member) -> T) -> T {
        look(&lock(&self.member))
    }

    pub(super) fn leads(&self) -> bool {
        self.look(|member| member.manager().is_some())
    }

    /// Where the leader listens, if it is another manager.
    pub(super) fn leader_address(&self) -> Option<String> {
        self.look(|member| member.leader().filter(|_| !member.is_leader()).map(|peer| peer.address.clone()))
    }

    /// Changes the cluster on the leader; nodes are told when it is agreed on. `None` where this manager does not lead.
    pub(super) fn change<T>(&self, now: Timestamp, change: impl FnOnce(&mut Manager) -> T) -> Option<(T, Ticket)> {
        self.with(|member| member.change(now, change))
    }

    /// What is due at this time.
    pub(super) fn look_at_time(&self, now: Timestamp) {
        lock(&self.member).advance(now);
    }

    pub(super) fn take_work(&self, now: Timestamp) -> Option<Work> {
        lock(&self.member).ready(now)
    }

    pub(super) fn written(&self, number: u64) {
        lock(&self.member).stored(number);
        self.progress.send_modify(|count| *count += 1);
    }

    /// What came of it.
    pub(super) fn take_results(&self) -> Results {
        let mut member = lock(&self.member);
        Results {
            messages: member.take_messages(),
            changes: member.take_changes(),
            leads: member.manager().is_some(),
            version: member.store().version,
            deadline: member.next_deadline(),
        }
    }

    /// Node ID and address of the managers.
    pub(super) fn managers(&self) -> Vec<(String, String)> {
        self.look(|member| member.peers().values().map(|peer| (peer.node.clone(), peer.address.clone())).collect())
    }

    pub(super) fn status(&self) -> RaftStatus {
        self.look(Member::status)
    }

    /// The store's version now and whenever it has changed, until this node is no manager any more.
    pub(super) fn versions(self: Arc<Self>) -> BoxStream<'static, u64> {
        let mut told = self.told.subscribe();
        told.mark_changed();
        let versions = stream::unfold(told, |mut told| async move {
            told.changed().await.ok()?;
            let version = *told.borrow_and_update();
            Some((version, told))
        });
        let stop = Box::pin(async move { self.stopped().await });
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

    pub(super) fn deliver_log(&self, link: &mpsc::UnboundedSender<FromManager>, request: u64, chunk: Option<LogChunk>) {
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
    /// Makes a swarm of this one node, which will remember the record.
    pub(super) fn new_swarm(
        &self,
        spec: SwarmSpec,
        address: &str,
        pools: Vec<String>,
        subnet_size: Option<u32>,
    ) -> ApiResult<(Arc<ManagerNode>, NodeRecord)> {
        let listen = format!("{address}:{PORT}");
        let now = self.host.now();
        let (mut manager, id) =
            Manager::init(self.seed(), now, spec, self.describe(), address, &listen, pools, subnet_size)
                .map_err(super::control_error)?;
        let key = self.new_key();
        let public_key = key.public_key().map_err(|error| ApiError::system(error.to_string()))?;
        let (certificate, roots) = manager.certify(now, &id, &public_key).map_err(super::control_error)?;
        let secret = manager.node_secret(&id).unwrap_or_default();
        let raft = self.raft_id();
        let peer = Peer { node: id.clone(), address: listen.clone() };
        let member = Member::create(raft, peer, manager.store().clone(), self.timing(), self.seed(), now);
        let record = NodeRecord {
            node: id.clone(),
            secret,
            raft: Some(raft),
            key,
            certificate,
            roots,
            address: address.to_owned(),
            managers: vec![(id, listen)],
        };
        Ok((ManagerNode::new(member.map_err(unreadable)?), record))
    }

    /// A manager that other managers take in.
    pub(super) async fn new_manager(&self, raft: u64, node: &str) -> ApiResult<Arc<ManagerNode>> {
        self.forget_raft().await?;
        let member = Member::join(raft, node, self.timing(), self.seed(), self.host.now());
        Ok(ManagerNode::new(member.map_err(unreadable)?))
    }

    /// The manager that this engine was before it was started again.
    pub(super) async fn load_manager(&self, raft: u64, node: &str) -> ApiResult<Arc<ManagerNode>> {
        let records = self.host.load_records(RAFT).await.api()?;
        let member = Member::restore(raft, node, records, self.timing(), self.seed(), self.host.now());
        Ok(ManagerNode::new(member.map_err(unreadable)?))
    }

    /// The only manager from now on, with all that it knows to be agreed on.
    pub(super) async fn lone_manager(&self, raft: u64, node: &str, address: &str) -> ApiResult<Arc<ManagerNode>> {
        let records = self.host.load_records(RAFT).await.api()?;
        let peer = Peer { node: node.to_owned(), address: format!("{address}:{PORT}") };
        let member = Member::force_new(raft, peer, records, self.timing(), self.seed(), self.host.now());
        Ok(ManagerNode::new(member.map_err(unreadable)?))
    }

    pub(super) async fn forget_raft(&self) -> ApiResult<()> {
        let mut result = Ok(());
        // The snapshot last: without it the rest means nothing.
        let mut keys: Vec<String> = self.host.load_records(RAFT).await.api()?.into_iter().map(|(key, _)| key).collect();
        keys.sort();
        for key in keys {
            result = self.host.delete_record(RAFT, &key).await.api().and(result);
        }
        result
    }

    fn timing(&self) -> Timing {
        Timing { tick: i64::try_from(self.options.raft_tick.as_nanos()).unwrap_or(i64::MAX), ..Timing::default() }
    }

    fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.host.random(&mut seed);
        seed
    }

    /// A number that no manager of the swarm has had.
    pub(super) fn raft_id(&self) -> u64 {
        let mut bytes = [0; 8];
        self.host.random(&mut bytes);
        u64::from_le_bytes(bytes).max(1)
    }

    /// Drives a manager and serves who links to it, until it ends.
    pub(super) fn run_manager(&self, manager: &Arc<ManagerNode>, links: BoxStream<'static, Arc<dyn Link>>) {
        let (engine, driven) = (self.clone(), manager.clone());
        self.host.spawn(Box::pin(async move { engine.drive(driven).await }));
        let (engine, served) = (self.clone(), manager.clone());
        self.host.spawn(Box::pin(async move {
            let end = served.clone();
            let mut links = links.take_until(Box::pin(async move { end.stopped().await }));
            while let Some(link) = links.next().await {
                engine.serve(&served, link);
            }
        }));
    }

    /// Waits until `done` says so, at most so long.
    pub(super) async fn wait_for_manager(
        &self,
        manager: &ManagerNode,
        at_most: Duration,
        done: impl Fn(&Member) -> bool,
    ) -> bool {
        let mut progress = manager.progress.subscribe();
        let reached = Box::pin(async {
            while !manager.look(&done) {
                if progress.changed().await.is_err() {
                    return false;
                }
            }
            true
        });
        matches!(futures::future::select(reached, self.host.sleep(at_most)).await, Either::Left((true, _)))
    }
}
