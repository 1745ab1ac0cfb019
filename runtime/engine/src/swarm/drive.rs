//! The loop that carries out what raft and the control loops want: writes, messages, time.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use docklab_api::models::EventMessageTypeEnum;
use docklab_host::Link;
use docklab_swarm::{Change, ChangeAction, FromManager, FromNode, ObjectKind, Work, Write};
use futures::future::{Either, select};
use tokio::sync::mpsc;

use super::{
    Engine, PORT,
    manager::{ManagerNode, RAFT, Results, lock},
    membership::manager_address,
};

/// Between two attempts to write to a disk that refuses.
const RETRY_WRITE: Duration = Duration::from_secs(1);
/// A manager that is there says at once that it has got a message; a large store takes a moment to cross a slow link.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(5);
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// After a manager could not be reached, its messages are dropped for so long; raft sends what still matters again.
const RETRY_DIAL: Duration = Duration::from_millis(250);

impl Engine {
    pub(super) async fn drive(self, manager: Arc<ManagerNode>) {
        let mut led = false;
        let mut told = None;
        loop {
            let now = self.host.now();
            manager.look_at_time(now);
            while let Some(work) = manager.take_work(self.host.now()) {
                if !self.carry_out(&manager, work).await {
                    return;
                }
            }
            let Results { messages, changes, leads, version, deadline } = manager.take_results();
            for (node, message) in messages {
                if let Some(link) = lock(&manager.links).get(&node) {
                    // A link that has just ended: the node registers again and is sent everything.
                    let _ = link.send(message);
                }
            }
            for change in changes {
                self.emit_change(change);
            }
            if led && !leads {
                let leader = manager.leader_address();
                for (_, link) in lock(&manager.links).drain() {
                    // A node whose link has ended looks for the leader by itself.
                    let _ = link.send(FromManager::NotLeader { leader: leader.clone() });
                }
            }
            led = leads;
            // Who leads and who can be reached changes without a change of the store.
            let status = manager.status();
            let reachable: Vec<bool> = status.members.iter().map(|member| member.reachable).collect();
            let standing = Some((version, status.term, status.leader, reachable));
            if told != standing {
                told = standing;
                manager.told.send_replace(version);
            }
            manager.progress.send_modify(|count| *count += 1);
            if manager.is_stopped() {
                return;
            }
            let wait = Duration::try_from(deadline.duration_since(self.host.now())).unwrap_or(Duration::ZERO);
            // A millisecond at least, so that time has really passed when it wakes.
            let sleep = self.host.sleep(wait.max(Duration::from_millis(1)));
            let wake = Box::pin(manager.wake.notified());
            match select(wake, sleep).await {
                Either::Left(_) | Either::Right(_) => {}
            }
        }
    }

    /// Sends, writes, sends. Returns false when the manager ended meanwhile.
    async fn carry_out(&self, manager: &Arc<ManagerNode>, work: Work) -> bool {
        self.send_to_managers(manager, work.send);
        for write in work.writes {
            // A manager whose disk is full does nothing else: it neither promises what it cannot keep nor leads on, and
            // the others choose another leader.
            while let Err(error) = self.write(&write).await {
                tracing::error!(%error, "the swarm's log could not be written");
                let ended = Box::pin(manager.stopped());
                if let Either::Left(_) = select(ended, self.host.sleep(RETRY_WRITE)).await {
                    return false;
                }
            }
        }
        manager.written(work.number);
        self.send_to_managers(manager, work.send_stored);
        true
    }

    async fn write(&self, write: &Write) -> docklab_host::HostResult<()> {
        match write {
            Write::Put { key, value } => self.host.put_record(RAFT, key, value.clone()).await,
            Write::Delete { key } => self.host.delete_record(RAFT, key).await,
        }
    }

    fn send_to_managers(&self, manager: &Arc<ManagerNode>, messages: Vec<(u64, Bytes)>) {
        for (to, message) in messages {
            let mut peers = lock(&manager.peers);
            if let Some(peer) = peers.get(&to) {
                if peer.send(message).is_err() {
                    // Its link has just ended; raft sends again what still matters.
                    peers.remove(&to);
                }
                continue;
            }
            let (sender, inbox) = mpsc::unbounded_channel();
            // The receiver is in the task that is started next.
            let _ = sender.send(message);
            peers.insert(to, sender);
            let (engine, manager) = (self.clone(), manager.clone());
            self.host.spawn(Box::pin(async move { engine.link_to_manager(manager, to, inbox).await }));
        }
    }

    /// One link to another manager, for as long as it holds.
    async fn link_to_manager(self, manager: Arc<ManagerNode>, to: u64, mut inbox: mpsc::UnboundedReceiver<Bytes>) {
        if self.carry_to_manager(&manager, to, &mut inbox).await.is_none() && !manager.is_stopped() {
            manager.with(|member| member.unreachable(to));
            self.host.sleep(RETRY_DIAL).await;
        }
        lock(&manager.peers).remove(&to);
    }

    async fn carry_to_manager(
        &self,
        manager: &ManagerNode,
        to: u64,
        inbox: &mut mpsc::UnboundedReceiver<Bytes>,
    ) -> Option<()> {
        let known = manager.look(|member| {
            let store = member.manager().map_or_else(|| member.store(), |manager| manager.store());
            let peer = member.peers().get(&to)?;
            Some((peer.address.clone(), store.nodes.get(&peer.node)?.secret.clone()))
        });
        let (address, secret) = known.or_else(|| lock(&manager.introduced).get(&to).cloned())?;
        let address = manager_address(&address)?;
        let own = self.membership()?.record();
        let hello = FromNode::Raft {
            secret,
            id: manager.look(|member| member.id()),
            address: format!("{}:{PORT}", own.address),
            own_secret: own.secret,
        };
        let dial = Box::pin(self.dial_manager(address));
        let Either::Left((Ok(link), _)) = select(dial, self.host.sleep(DIAL_TIMEOUT)).await else {
            return None;
        };
        link.send(super::serve::encode(&hello)).await.ok()?;
        let (heard, mut receipts) = mpsc::unbounded_channel();
        let reader = link.clone();
        self.host.spawn(Box::pin(async move {
            while let Ok(Some(message)) = reader.receive().await {
                let received = matches!(serde_json::from_slice(&message), Ok(FromManager::Received));
                // It is refused, or the link is given up.
                if !received || heard.send(()).is_err() {
                    return;
                }
            }
        }));
        let result = self.exchange(manager, &*link, inbox, &mut receipts).await;
        link.close();
        result
    }

    /// Sends until the manager ends (`Some`) or the link fails: it closes, or a message gets no receipt.
    async fn exchange(
        &self,
        manager: &ManagerNode,
        link: &dyn Link,
        inbox: &mut mpsc::UnboundedReceiver<Bytes>,
        receipts: &mut mpsc::UnboundedReceiver<()>,
    ) -> Option<()> {
        let mut unreceived = 0_u32;
        let mut deadline = self.host.sleep(RECEIPT_TIMEOUT);
        loop {
            let next = Box::pin(inbox.recv());
            let receipt = Box::pin(receipts.recv());
            let ended = Box::pin(manager.stopped());
            let due = async {
                if unreceived == 0 {
                    futures::future::pending::<()>().await;
                }
                (&mut deadline).await;
            };
            let due = Box::pin(due);
            let message = match select(next, select(select(receipt, due), ended)).await {
                Either::Left((Some(message), _)) => message,
                Either::Left((None, _)) | Either::Right((Either::Right(_), _)) => return Some(()),
                Either::Right((Either::Left((Either::Left((Some(()), _)), _)), _)) => {
                    unreceived = unreceived.saturating_sub(1);
                    deadline = self.host.sleep(RECEIPT_TIMEOUT);
                    continue;
                }
                Either::Right((Either::Left(_), _)) => return None,
            };
            if unreceived == 0 {
                deadline = self.host.sleep(RECEIPT_TIMEOUT);
            }
            unreceived += 1;
            link.send(message).await.ok()?;
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
        let mut attributes: std::collections::HashMap<String, String> = change.attributes.into_iter().collect();
        attributes.insert("name".into(), change.name);
        self.events.emit_swarm(kind, action.into(), change.id, attributes);
    }
}
