//! What managers answer to those who link to them: nodes, and other managers.

use std::sync::Arc;

use bytes::Bytes;
use docklab_host::Link;
use docklab_swarm::{Call, ControlError, ControlResult, FromManager, FromNode, Joined};
use futures::StreamExt;
use tokio::sync::mpsc;

use super::{
    Engine,
    manager::{ManagerNode, lock},
};

/// One link and who is at its other end.
struct Served {
    engine: Engine,
    manager: Arc<ManagerNode>,
    link: Arc<dyn Link>,
    sender: mpsc::UnboundedSender<FromManager>,
    /// The node that it has proven to be; empty before.
    node: String,
    /// It is another manager's, and what comes now is raft's.
    raft: bool,
}

impl Engine {
    /// Serves one link in the background.
    pub(super) fn serve(&self, manager: &Arc<ManagerNode>, link: Arc<dyn Link>) {
        let (sender, mut outgoing) = mpsc::unbounded_channel();
        let writer = link.clone();
        self.host.spawn(Box::pin(async move {
            while let Some(message) = outgoing.recv().await {
                if writer.send(encode(&message)).await.is_err() {
                    break;
                }
            }
            writer.close();
        }));
        let served =
            Served { engine: self.clone(), manager: manager.clone(), link, sender, node: String::new(), raft: false };
        self.host.spawn(Box::pin(served.run()));
    }
}

impl Served {
    async fn run(mut self) {
        while let Ok(Some(message)) = self.link.receive().await {
            if self.manager.is_stopped() {
                break;
            }
            if self.raft {
                let now = self.engine.host.now();
                if let Err(error) = self.manager.with(|member| member.receive(now, message)) {
                    tracing::warn!(%error, peer = %self.link.peer(), "a manager's message could not be read");
                    break;
                }
                self.answer(FromManager::Received);
                continue;
            }
            match serde_json::from_slice::<FromNode>(&message) {
                Ok(message) => self.handle(message),
                Err(error) => {
                    tracing::warn!(%error, peer = %self.link.peer(), "a message could not be read");
                    break;
                }
            }
        }
        let mut links = lock(&self.manager.links);
        if links.get(&self.node).is_some_and(|current| current.same_channel(&self.sender)) {
            links.remove(&self.node);
        }
    }

    fn handle(&mut self, message: FromNode) {
        let now = self.engine.host.now();
        match message {
            FromNode::Join { token, description, public_key } => {
                let address = self.link.peer().to_string();
                self.join(Call::Join { token, description, address, public_key });
            }
            message if !self.is_allowed(&message) => {
                self.refuse("rpc error: code = PermissionDenied desc = Permission denied: unauthorized peer role");
            }
            FromNode::Raft { secret, id, address, own_secret } => {
                if self.is_own(&secret) {
                    lock(&self.manager.introduced).insert(id, (address, own_secret));
                    self.raft = true;
                } else {
                    self.refuse("the link is not from a manager of this swarm");
                }
            }
            FromNode::Call { from, secret, call } => {
                if self.is_own(&secret) || self.may_call(&from, &secret, &call) {
                    self.call(*call);
                } else {
                    self.refuse("the call is not from a manager of this swarm");
                }
            }
            FromNode::ReadLogs { secret, service, task, options } => {
                if self.is_own(&secret) {
                    self.read_logs(service, task, options);
                } else {
                    self.refuse("the call is not from a manager of this swarm");
                }
            }
            FromNode::Register { node, secret, description, address } => {
                let address = if address.is_empty() { self.link.peer().to_string() } else { address };
                let registered =
                    self.manager.change(now, |manager| manager.register(now, &node, &secret, description, &address));
                match registered {
                    Some((Ok((session, period)), _)) => {
                        node.clone_into(&mut self.node);
                        // Before the assignments, which the driver sends.
                        self.answer(FromManager::Session { session, period });
                        lock(&self.manager.links).insert(node, self.sender.clone());
                        self.manager.wake.notify_one();
                    }
                    Some((Err(error), _)) => self.refuse(error),
                    None => self.not_leader(),
                }
            }
            _ if self.node.is_empty() => self.refuse("the link has no session"),
            FromNode::Heartbeat { session } => {
                let beat: Option<ControlResult<i64>> = self
                    .manager
                    .with(|member| member.touch(now, |manager| manager.heartbeat(now, &self.node, &session)));
                match beat {
                    Some(Ok(period)) => self.answer(FromManager::Heartbeat { period }),
                    Some(Err(error)) => self.refuse(error),
                    None => self.not_leader(),
                }
            }
            FromNode::Report(reports) => {
                let node = &self.node;
                if self.manager.change(now, |manager| manager.report(now, node, reports)).is_none() {
                    self.not_leader();
                }
            }
            FromNode::Leave => {
                let node = &self.node;
                // Where this manager does not lead any more, the node's heartbeats will be missed.
                let _ = self.manager.change(now, |manager| manager.node_left(now, node));
            }
            FromNode::Renew { public_key } => self.renew(public_key),
            FromNode::Logs { request, chunk } => self.manager.deliver_log(&self.sender, request, chunk),
        }
    }

    /// Whether the certificate at the other end is that of somebody who may say this. Machines without certificates rely on
    /// the secrets alone.
    fn is_allowed(&self, message: &FromNode) -> bool {
        let Some(membership) = self.engine.membership() else { return false };
        let Some(holder) = self.engine.holder_of(&membership, &*self.link) else { return true };
        let Some(holder) = holder else { return false };
        match message {
            FromNode::Register { node, .. } => holder.node == *node,
            FromNode::Raft { .. } | FromNode::ReadLogs { .. } => holder.manager,
            FromNode::Call { from, call, .. } => {
                holder.node == *from && (holder.manager || matches!(**call, Call::AddManager { .. }))
            }
            _ => true,
        }
    }

    fn renew(&self, public_key: String) {
        let (engine, manager, sender) = (self.engine.clone(), self.manager.clone(), self.sender.clone());
        let call = Call::Certify { node: self.node.clone(), public_key };
        self.engine.host.spawn(Box::pin(async move {
            let answer = match engine.call_here(&manager, call).await {
                Some(Ok(value)) => match serde_json::from_value(value) {
                    Ok((certificate, roots)) => FromManager::Certificate { certificate, roots },
                    Err(error) => FromManager::Refused(error.to_string()),
                },
                Some(Err(error)) => FromManager::Refused(error.to_string()),
                None => FromManager::NotLeader { leader: manager.leader_address() },
            };
            // The link has ended meanwhile.
            let _ = sender.send(answer);
        }));
    }

    fn answer(&self, answer: FromManager) {
        // The link has ended meanwhile.
        let _ = self.sender.send(answer);
    }

    fn refuse(&self, why: impl ToString) {
        self.answer(FromManager::Refused(why.to_string()));
    }

    fn not_leader(&self) {
        self.answer(FromManager::NotLeader { leader: self.manager.leader_address() });
    }

    /// What only the managers know of this node beside itself.
    fn is_own(&self, secret: &str) -> bool {
        self.engine.membership().is_some_and(|membership| membership.record().secret == secret)
    }

    /// A node that shall be a manager asks to be taken in.
    fn may_call(&self, from: &str, secret: &str, call: &Call) -> bool {
        let itself = matches!(call, Call::AddManager { node, .. } if node == from);
        itself
            && self.manager.look(|member| {
                let store = member.manager().map_or_else(|| member.store(), |manager| manager.store());
                store.nodes.get(from).is_some_and(|node| node.secret == secret)
            })
    }

    fn join(&self, call: Call) {
        let (engine, manager, sender) = (self.engine.clone(), self.manager.clone(), self.sender.clone());
        self.engine.host.spawn(Box::pin(async move {
            let answer = match engine.call_swarm(&manager, call).await {
                Ok(value) => match serde_json::from_value::<Joined>(value) {
                    Ok(joined) => FromManager::Joined { joined, managers: manager.managers() },
                    Err(error) => FromManager::Refused(error.to_string()),
                },
                Err(error) => FromManager::Refused(error.to_string()),
            };
            // The link has ended meanwhile.
            let _ = sender.send(answer);
        }));
    }

    /// Another manager's call is answered by the leader only: two that take each other for it must not go round in circles.
    fn call(&self, call: Call) {
        let (engine, manager, sender) = (self.engine.clone(), self.manager.clone(), self.sender.clone());
        self.engine.host.spawn(Box::pin(async move {
            let answer = match engine.call_here(&manager, call).await {
                Some(answer) => FromManager::Answer(answer),
                None => FromManager::NotLeader { leader: manager.leader_address() },
            };
            let _ = sender.send(answer);
        }));
    }

    fn read_logs(&self, service: Option<String>, task: Option<String>, options: docklab_api::Logs) {
        let (engine, manager, sender) = (self.engine.clone(), self.manager.clone(), self.sender.clone());
        self.engine.host.spawn(Box::pin(async move {
            match engine.logs_of(&manager, service.as_deref(), task.as_deref(), &options) {
                Ok(mut output) => {
                    while let Some(Ok(chunk)) = output.next().await {
                        let stderr = chunk.stream == docklab_api::StdStream::Stderr;
                        if sender.send(FromManager::Output(Some((stderr, chunk.bytes.to_vec())))).is_err() {
                            return;
                        }
                    }
                    let _ = sender.send(FromManager::Output(None));
                }
                Err(error) => {
                    let _ = sender.send(FromManager::Answer(Err(ControlError::Invalid(error.message))));
                }
            }
        }));
    }
}

pub(super) fn encode(message: &impl serde::Serialize) -> Bytes {
    // These types have no map with keys that JSON could not write.
    serde_json::to_vec(message).unwrap_or_default().into()
}
