//! `docker swarm join`, which goes on in the background when no manager answers.

use std::{net::IpAddr, time::Duration};

use docklab_api::{ApiError, ApiResult, models::LocalNodeState, models::SwarmInfo};
use futures::{channel::oneshot, future::Either};
use tokio::sync::watch;

use super::{Engine, agent::JoinedSwarm, manager::lock, membership::NodeRecord};

/// How long a request waits for the node to become a member, and a new manager for the others to take it in.
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);
/// Between two attempts when nobody has answered.
const RETRY: Duration = Duration::from_secs(1);

/// An attempt to join that is under way.
pub(super) struct Joining {
    stop: watch::Sender<bool>,
}

impl Engine {
    pub(super) fn is_joining(&self) -> bool {
        lock(&self.swarm.joining).is_some()
    }

    /// Ends an attempt; returns whether there was one.
    pub(super) fn stop_joining(&self) -> bool {
        let joining = lock(&self.swarm.joining).take();
        joining.is_some_and(|joining| joining.stop.send(true).is_ok())
    }

    /// The `Swarm` part of `docker info` without a membership.
    pub(crate) fn info_without_swarm(&self) -> SwarmInfo {
        let state = if self.is_joining() { LocalNodeState::PENDING } else { LocalNodeState::INACTIVE };
        SwarmInfo {
            node_id: Some(String::new()),
            node_addr: Some(String::new()),
            local_node_state: Some(state),
            control_available: Some(false),
            error: Some(String::new()),
            ..SwarmInfo::default()
        }
    }

    /// Joins by one of the remote addresses. A refusal ends the attempt; silence does not.
    pub(super) async fn join(&self, remotes: Vec<String>, token: String, address: IpAddr) -> ApiResult<()> {
        let (stop, mut stopped) = watch::channel(false);
        *lock(&self.swarm.joining) = Some(Joining { stop });
        let (result, answer) = oneshot::channel();
        let engine = self.clone();
        self.host.spawn(Box::pin(async move {
            let stop = Box::pin(async move { stopped.wait_for(|stop| *stop).await.is_ok() });
            let attempt = Box::pin(engine.keep_joining(remotes, token));
            let joined = match futures::future::select(attempt, stop).await {
                Either::Left((joined, _)) => joined,
                Either::Right(_) => return,
            };
            let entered = match joined {
                Ok(joined) => engine.enter_as(joined, address).await,
                Err(error) => Err(error),
            };
            lock(&engine.swarm.joining).take();
            if let Err(Err(error)) = result.send(entered) {
                tracing::error!(%error, "the node could not join the swarm");
            }
        }));
        match futures::future::select(answer, self.host.sleep(TIMEOUT)).await {
            Either::Left((Ok(outcome), _)) => outcome,
            Either::Left((Err(_), _)) => Err(ApiError::system("the attempt to join the swarm was ended")),
            Either::Right(_) => Err(timed_out()),
        }
    }

    async fn keep_joining(&self, remotes: Vec<String>, token: String) -> ApiResult<JoinedSwarm> {
        loop {
            let mut last = ApiError::invalid("at least 1 RemoteAddr is required to join");
            let mut silent = false;
            for remote in &remotes {
                let Some(manager) = self.manager_address(remote).await else {
                    last = ApiError::invalid(format!("invalid remote address {remote}"));
                    continue;
                };
                let asking = Box::pin(self.ask_to_join(manager, &token));
                match futures::future::select(asking, self.host.sleep(TIMEOUT)).await {
                    Either::Left((Ok(joined), _)) => return Ok(joined),
                    Either::Left((Err(error), _)) => {
                        silent |= error.message.contains("i/o timeout");
                        last = error;
                    }
                    Either::Right(_) => silent = true,
                }
            }
            if !silent {
                return Err(last);
            }
            self.host.sleep(RETRY).await;
        }
    }

    /// Becomes the member that a manager has accepted, and a manager where that was asked for.
    async fn enter_as(&self, joined: JoinedSwarm, address: IpAddr) -> ApiResult<()> {
        let JoinedSwarm { key, joined, managers } = joined;
        let manager = joined.manager;
        let record = NodeRecord {
            node: joined.node,
            secret: joined.secret,
            raft: None,
            key,
            certificate: joined.certificate,
            roots: joined.roots,
            address: address.to_string(),
            managers,
        };
        let membership = self.enter(record, None).await?;
        if !manager {
            return Ok(());
        }
        let changing = membership.changing_role.lock().await;
        let manager = match membership.manager() {
            Some(manager) => manager,
            None => self.become_manager(&membership).await?,
        };
        drop(changing);
        let id = manager.look(|member| member.id());
        let taken_in = self
            .wait_for_manager(&manager, TIMEOUT, |member| member.peers().contains_key(&id) && member.leader().is_some())
            .await;
        if taken_in { Ok(()) } else { Err(timed_out()) }
    }
}

fn timed_out() -> ApiError {
    ApiError::system(
        "Timeout was reached before node joined. The attempt to join the swarm will continue in the background. Use the \
         \"docker info\" command to see the current swarm status of your node.",
    )
}
