//! Questions to the cluster: answered here by the leader, passed on to it by the other managers.

use std::{sync::Arc, time::Duration};

use docklab_api::{ApiError, ApiResult, Logs, OutputChunk, OutputStream, StdStream};
use docklab_host::Link;
use docklab_swarm::{Call, ControlError, ControlResult, FromManager, FromNode, Peer};
use futures::{StreamExt, future::Either, stream};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    Engine,
    manager::ManagerNode,
    membership::{Membership, manager_address},
    no_swarm,
    serve::encode,
};

/// How long a request may take in all.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Between two looks for a leader.
const RETRY: Duration = Duration::from_millis(100);

impl Engine {
    pub(super) fn manager(&self) -> ApiResult<(Arc<Membership>, Arc<ManagerNode>)> {
        let membership = self.membership().ok_or_else(no_swarm)?;
        let manager = membership.manager().ok_or_else(|| {
            ApiError::unavailable(
                "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this \
                 command on a manager node or promote the current node to a manager.",
            )
        })?;
        Ok((membership, manager))
    }

    /// Asks the cluster.
    pub(super) async fn ask<T: DeserializeOwned>(&self, call: Call) -> ApiResult<T> {
        let (_, manager) = self.manager()?;
        let value = self.call_swarm(&manager, call).await.map_err(super::control_error)?;
        serde_json::from_value(value).map_err(|error| ApiError::system(format!("read the leader's answer: {error}")))
    }

    /// The answer of whoever leads.
    pub(super) async fn call_swarm(&self, manager: &ManagerNode, call: Call) -> ControlResult<Value> {
        let asking = Box::pin(self.find_and_call(manager, call));
        match futures::future::select(asking, self.host.sleep(TIMEOUT)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(ControlError::DeadlineExceeded),
        }
    }

    async fn find_and_call(&self, manager: &ManagerNode, call: Call) -> ControlResult<Value> {
        loop {
            if let Some(answer) = self.call_here(manager, call.clone()).await {
                return answer;
            }
            if let Some(answer) = self.call_leader(manager, &call).await {
                return answer;
            }
            let ticks = i64::try_from(docklab_swarm::Timing::default().election_ticks).unwrap_or(i64::MAX);
            let patience = ticks.saturating_mul(i64::try_from(self.options.raft_tick.as_nanos()).unwrap_or(i64::MAX));
            if manager.look(|member| member.leader().is_none() && member.leaderless() > patience) {
                return Err(ControlError::no_leader());
            }
            self.host.sleep(RETRY).await;
        }
    }

    /// The leader's own answer, when all that it speaks of is agreed on; `None` where this manager does not lead.
    pub(super) async fn call_here(&self, manager: &ManagerNode, call: Call) -> Option<ControlResult<Value>> {
        let now = self.host.now();
        let is_read = call.is_read();
        if let Call::AddManager { raft, node, address } = call {
            if !manager.leads() {
                return None;
            }
            return Some(manager.with(|member| member.add(now, raft, Peer { node, address })).map(|()| Value::Null));
        }
        let (answer, ticket) = manager.change(now, |manager| manager.call(now, call))?;
        // A refusal changes nothing; what it was judged by may still be on its way, but so it would have been a moment ago.
        if answer.is_err() {
            return Some(answer);
        }
        let mut progress = manager.progress.subscribe();
        loop {
            match manager.look(|member| member.outcome(ticket)) {
                Some(Ok(())) => return Some(answer),
                // Another leader can be asked as well.
                Some(Err(_)) if is_read => return None,
                Some(Err(lost)) => return Some(Err(ControlError::Unknown(lost.to_string()))),
                None => {}
            }
            if manager.is_stopped() || progress.changed().await.is_err() {
                return Some(Err(ControlError::Unknown("the manager has ended".into())));
            }
        }
    }

    /// The leader's answer over a link; `None` where there is none to ask, or it did not get the question.
    async fn call_leader(&self, manager: &ManagerNode, call: &Call) -> Option<ControlResult<Value>> {
        let link =
            self.link_to_leader(manager, |from, secret| FromNode::Call { from, secret, call: Box::new(call.clone()) });
        let link = link.await?;
        let answer = link.receive().await;
        link.close();
        match serde_json::from_slice(&answer.ok()??) {
            Ok(FromManager::Answer(answer)) => Some(answer),
            Ok(FromManager::Refused(text)) => Some(Err(ControlError::Unknown(text))),
            _ => None,
        }
    }

    /// A link to the leader with the first message sent.
    async fn link_to_leader(
        &self,
        manager: &ManagerNode,
        message: impl FnOnce(String, String) -> FromNode,
    ) -> Option<Arc<dyn Link>> {
        let own = self.membership()?.record().node;
        let (address, secret) = manager.look(|member| {
            let leader = member.leader().filter(|_| !member.is_leader())?;
            Some((manager_address(&leader.address)?, member.store().nodes.get(&leader.node)?.secret.clone()))
        })?;
        let link = self.dial_manager(address).await.ok()?;
        link.send(encode(&message(own, secret))).await.ok()?;
        Some(link)
    }

    /// Output of a service's tasks or of one task, through the leader, who has the links to their nodes.
    pub(super) async fn cluster_logs(
        &self,
        service: Option<String>,
        task: Option<String>,
        options: Logs,
    ) -> ApiResult<OutputStream> {
        let (_, manager) = self.manager()?;
        if manager.leads() {
            return self.logs_of(&manager, service.as_deref(), task.as_deref(), &options);
        }
        let message = |_, secret| FromNode::ReadLogs { secret, service, task, options };
        let opening = Box::pin(self.link_to_leader(&manager, message));
        let link = match futures::future::select(opening, self.host.sleep(TIMEOUT)).await {
            Either::Left((Some(link), _)) => link,
            Either::Left((None, _)) => return Err(super::control_error(ControlError::no_leader())),
            Either::Right(_) => return Err(super::control_error(ControlError::DeadlineExceeded)),
        };
        // The first answer decides between an error and a stream.
        let first = next_output(&*link).await?;
        let rest = stream::unfold(link, |link| async move {
            match next_output(&*link).await {
                Ok(Some(chunk)) => Some((Ok(chunk), link)),
                Ok(None) => {
                    link.close();
                    None
                }
                Err(error) => Some((Err(error), link)),
            }
        });
        Ok(match first {
            Some(chunk) => stream::once(async { Ok(chunk) }).chain(rest).boxed(),
            None => stream::empty().boxed(),
        })
    }
}

async fn next_output(link: &dyn Link) -> ApiResult<Option<OutputChunk>> {
    let Ok(Some(message)) = link.receive().await else { return Ok(None) };
    match serde_json::from_slice(&message) {
        Ok(FromManager::Output(Some((stderr, bytes)))) => {
            let stream = if stderr { StdStream::Stderr } else { StdStream::Stdout };
            Ok(Some(OutputChunk { stream, bytes: bytes.into() }))
        }
        Ok(FromManager::Answer(Err(error))) => Err(super::control_error(error)),
        Ok(FromManager::Refused(text)) => Err(ApiError::system(text)),
        _ => Ok(None),
    }
}
