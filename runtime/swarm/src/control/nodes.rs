use docklab_api::{
    Filters,
    models::{
        ManagerStatus, Node as ApiNode, NodeDescription, NodeSpec, NodeSpecAvailabilityEnum, NodeSpecRoleEnum,
        NodeState, NodeStatus, Reachability, TlsInfo,
    },
};
use jiff::Timestamp;

use super::{check_version, find, object_version};
use crate::{
    Manager,
    error::{ControlError, ControlResult},
    objects::Node,
    store::{ChangeAction, ObjectKind},
};

pub(crate) fn node_not_found(name: &str) -> ControlError {
    ControlError::not_found("node", name)
}

impl Manager {
    /// A node by ID, host name or unique ID prefix.
    pub fn find_node(&self, name: &str) -> ControlResult<&Node> {
        find(&self.store.nodes, "node", name, |node| node.hostname())
    }

    fn root(&self) -> Option<TlsInfo> {
        self.store.cluster.as_ref().map(crate::objects::Cluster::tls_info)
    }

    fn api_node(&self, node: &Node, root: Option<&TlsInfo>) -> ApiNode {
        let (created_at, updated_at) = Self::dates(&node.meta);
        ApiNode {
            id: Some(node.id.clone()),
            version: object_version(node.meta.version),
            created_at,
            updated_at,
            spec: Some(node.spec.clone()),
            description: Some(NodeDescription { tls_info: root.cloned(), ..node.description.clone() }),
            status: Some(NodeStatus {
                state: Some(node.state),
                message: Some(node.message.clone()).filter(|message| !message.is_empty()),
                addr: Some(node.address.clone()),
            }),
            manager_status: self.managers.get(&node.id).map(|manager| ManagerStatus {
                leader: manager.leader.then_some(true),
                reachability: Some(if manager.reachable { Reachability::REACHABLE } else { Reachability::UNREACHABLE }),
                addr: Some(manager.address.clone()),
            }),
        }
    }

    /// `GET /nodes/{id}`.
    pub fn inspect_node(&self, name: &str) -> ControlResult<ApiNode> {
        self.find_node(name).map(|node| self.api_node(node, self.root().as_ref()))
    }

    /// `GET /nodes`.
    pub fn list_nodes(&self, filters: &Filters) -> Vec<ApiNode> {
        let role = |node: &Node| if node.is_manager() { "manager" } else { "worker" };
        let mut nodes: Vec<&Node> = self
            .store
            .nodes
            .values()
            .filter(|node| {
                let labels = node.spec.labels.as_ref();
                let engine = node.description.engine.as_ref().and_then(|engine| engine.labels.as_ref());
                let has = |labels: Option<&std::collections::HashMap<String, String>>, wanted: &str| {
                    let (key, value) = wanted.split_once('=').map_or((wanted, None), |(key, value)| (key, Some(value)));
                    labels
                        .and_then(|labels| labels.get(key))
                        .is_some_and(|actual| value.is_none_or(|value| value == actual))
                };
                filters.any("id", |id| node.id.starts_with(id))
                    && filters.any("name", |name| node.hostname().starts_with(name))
                    && filters.any("role", |wanted| wanted == role(node))
                    && filters.any("membership", |wanted| wanted == "accepted")
                    && filters.all("label", |wanted| has(engine, wanted))
                    && filters.all("node.label", |wanted| has(labels, wanted))
            })
            .collect();
        nodes.sort_by_key(|node| (node.meta.created, node.id.clone()));
        let root = self.root();
        nodes.into_iter().map(|node| self.api_node(node, root.as_ref())).collect()
    }

    /// `POST /nodes/{id}/update`.
    ///
    /// # Errors
    /// The last manager cannot be demoted, nor one without which the others would be no majority.
    pub fn update_node(&mut self, now: Timestamp, name: &str, version: u64, spec: NodeSpec) -> ControlResult<()> {
        self.now = self.now.max(now);
        let node = self.find_node(name)?.clone();
        check_version(node.meta.version, version)?;
        let role = spec.role.unwrap_or(NodeSpecRoleEnum::WORKER);
        let managers = self.store.nodes.values().filter(|node| node.is_manager()).count();
        if node.is_manager() && role == NodeSpecRoleEnum::WORKER && managers <= 1 {
            return Err(ControlError::FailedPrecondition("attempting to demote the last manager of the swarm".into()));
        }
        let in_the_way = self.managers.get(&node.id).is_some_and(|manager| !manager.removable);
        if node.is_manager() && role == NodeSpecRoleEnum::WORKER && in_the_way {
            return Err(ControlError::FailedPrecondition(
                "can't remove member from the raft: this would result in a loss of quorum".into(),
            ));
        }
        let before = node.availability();
        let after = spec.availability.unwrap_or(NodeSpecAvailabilityEnum::ACTIVE);
        self.store.update_node(&node.id, now, |node| node.spec = spec);
        let attributes = if before == after {
            Vec::new()
        } else {
            vec![
                ("availability.new".to_owned(), after.to_string()),
                ("availability.old".to_owned(), before.to_string()),
            ]
        };
        self.store.tell_with(ObjectKind::Node, ChangeAction::Update, &node.id, node.hostname(), attributes);
        Ok(())
    }

    /// `DELETE /nodes/{id}`.
    pub fn remove_node(&mut self, now: Timestamp, name: &str, force: bool) -> ControlResult<()> {
        self.now = self.now.max(now);
        let node = self.find_node(name)?.clone();
        if self.managers.contains_key(&node.id) {
            return Err(ControlError::FailedPrecondition(format!(
                "node {} is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal",
                node.id
            )));
        }
        if node.state == NodeState::READY && !force {
            return Err(ControlError::FailedPrecondition(format!("node {} is not down and can't be removed", node.id)));
        }
        self.store.nodes.remove(&node.id);
        self.store.version += 1;
        self.forget_node(&node.id);
        self.store.tell(ObjectKind::Node, ChangeAction::Remove, &node.id, node.hostname());
        Ok(())
    }

    pub(crate) fn set_node_state(&mut self, id: &str, state: NodeState, message: &str) {
        let now = self.now;
        let Some(node) = self.store.nodes.get(id) else { return };
        let (before, name) = (node.state, node.hostname().to_owned());
        self.store.update_node(id, now, |node| {
            node.state = state;
            message.clone_into(&mut node.message);
        });
        if before != state {
            let attributes =
                vec![("state.new".to_owned(), state.to_string()), ("state.old".to_owned(), before.to_string())];
            self.store.tell_with(ObjectKind::Node, ChangeAction::Update, id, &name, attributes);
        }
    }
}
