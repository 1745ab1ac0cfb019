//! From worker to manager and back.

use std::{sync::Arc, time::Duration};

use docklab_api::ApiResult;
use docklab_swarm::{Call, FromManager, FromNode};
use futures::future::Either;

use super::{
    Engine, PORT,
    manager::ManagerNode,
    membership::{Membership, NodeRecord, manager_address},
    serve::encode,
};

/// Between two requests to be taken in.
const RETRY: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_secs(5);

impl Engine {
    /// Follows the role that the cluster has given this node.
    pub(super) fn follow_role(&self, membership: &Arc<Membership>, manager: bool, managers: Vec<(String, String)>) {
        let (engine, membership) = (self.clone(), membership.clone());
        self.host.spawn(Box::pin(async move {
            let _changing = membership.changing_role.lock().await;
            if membership.is_stopped() {
                return;
            }
            let remembered = if managers.is_empty() {
                Ok(())
            } else {
                engine.remember_member(&membership, |record| record.managers = managers).await
            };
            let changed = match (manager, membership.manager()) {
                (true, None) => engine.become_manager(&membership).await.map(drop),
                (false, Some(now)) => engine.become_worker(&membership, &now).await,
                _ => Ok(()),
            };
            if let Err(error) = remembered.and(changed) {
                // The leader tells the role again with the next session.
                tracing::error!(%error, manager, "the node's role could not be changed");
            }
        }));
    }

    /// Starts to be a manager: an empty member of the group, which the others fill.
    pub(super) async fn become_manager(&self, membership: &Arc<Membership>) -> ApiResult<Arc<ManagerNode>> {
        let raft = self.raft_id();
        let record = membership.record();
        let links = self.listen_for_nodes(membership).await?;
        let manager = self.new_manager(raft, &record.node).await?;
        self.remember_member(membership, |record| record.raft = Some(raft)).await?;
        membership.set_manager(Some(manager.clone()));
        self.run_manager(&manager, links);
        self.ask_in(membership, &manager);
        Ok(manager)
    }

    /// Asks the other managers to be taken in, until that has happened.
    pub(super) fn ask_in(&self, membership: &Arc<Membership>, manager: &Arc<ManagerNode>) {
        let (engine, membership, manager) = (self.clone(), membership.clone(), manager.clone());
        self.host.spawn(Box::pin(async move {
            let id = manager.look(|member| member.id());
            while !manager.is_stopped() && !manager.look(|member| member.peers().contains_key(&id)) {
                let record = membership.record();
                for (_, address) in record.managers.iter().filter(|(node, _)| *node != record.node) {
                    let asking = Box::pin(engine.ask_in_at(&record, id, address));
                    if let Either::Left((true, _)) = futures::future::select(asking, engine.host.sleep(ANSWER)).await {
                        break;
                    }
                }
                engine.wait_for_manager(&manager, RETRY, |member| member.peers().contains_key(&id)).await;
            }
        }));
    }

    /// Whether a manager has passed the request on.
    async fn ask_in_at(&self, record: &NodeRecord, raft: u64, address: &str) -> bool {
        let Some(address) = manager_address(address) else { return false };
        let Ok(link) = self.dial_manager(address).await else { return false };
        let own = format!("{}:{PORT}", record.address);
        let call = Box::new(Call::AddManager { raft, node: record.node.clone(), address: own });
        let message = FromNode::Call { from: record.node.clone(), secret: record.secret.clone(), call };
        let answer = match link.send(encode(&message)).await {
            Ok(()) => link.receive().await,
            Err(error) => Err(error),
        };
        link.close();
        let Ok(Some(answer)) = answer else { return false };
        matches!(serde_json::from_slice(&answer), Ok(FromManager::Answer(Ok(_))))
    }

    /// Stops being a manager: the group goes on without this node.
    async fn become_worker(&self, membership: &Arc<Membership>, manager: &Arc<ManagerNode>) -> ApiResult<()> {
        membership.set_manager(None);
        manager.end();
        self.remember_member(membership, |record| record.raft = None).await?;
        self.forget_raft().await
    }
}
