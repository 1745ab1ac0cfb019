use docklab_api::models::{
    ClusterInfo, JoinTokens, NodeDescription, NodeSpec, NodeSpecAvailabilityEnum, NodeSpecRoleEnum, NodeState, Swarm,
    SwarmSpec, SwarmSpecCaConfig, SwarmSpecDispatcher, SwarmSpecEncryptionConfig, SwarmSpecOrchestration,
    SwarmSpecRaft, TlsInfo,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{check_version, networks::NewNetwork, object_version};
use crate::{
    Manager, Store,
    error::{ControlError, ControlResult},
    objects::{Cluster, ManagerState, Node},
    random::Random,
    store::{ChangeAction, ObjectKind},
    time::SECOND,
};

/// Which secrets `docker swarm update` draws anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRotation {
    pub worker: bool,
    pub manager: bool,
}

/// Docker's defaults where the specification says nothing.
fn complete(spec: &mut SwarmSpec) {
    spec.name.get_or_insert_with(|| "default".into());
    spec.labels.get_or_insert_default();
    let orchestration = spec.orchestration.get_or_insert_with(SwarmSpecOrchestration::default);
    orchestration.task_history_retention_limit.get_or_insert(5);
    let raft = spec.raft.get_or_insert_with(SwarmSpecRaft::default);
    raft.snapshot_interval.get_or_insert(10_000);
    raft.keep_old_snapshots.get_or_insert(0);
    raft.log_entries_for_slow_followers.get_or_insert(500);
    raft.election_tick.get_or_insert(10);
    raft.heartbeat_tick.get_or_insert(1);
    let dispatcher = spec.dispatcher.get_or_insert_with(SwarmSpecDispatcher::default);
    let period = dispatcher.heartbeat_period.get_or_insert(0);
    if *period == 0 {
        *period = 5 * SECOND;
    }
    let authority = spec.ca_config.get_or_insert_with(SwarmSpecCaConfig::default);
    let expiry = authority.node_cert_expiry.get_or_insert(0);
    if *expiry == 0 {
        *expiry = 90 * 86_400 * SECOND;
    }
    spec.task_defaults.get_or_insert_default();
    spec.encryption_config
        .get_or_insert_with(SwarmSpecEncryptionConfig::default)
        .auto_lock_managers
        .get_or_insert(false);
}

impl Store {
    /// The `Cluster` part of `docker info`.
    pub fn cluster_info(&self) -> ClusterInfo {
        let Some(cluster) = &self.cluster else { return ClusterInfo::default() };
        let (created_at, updated_at) = Manager::dates(&cluster.meta);
        ClusterInfo {
            id: Some(cluster.id.clone()),
            version: object_version(cluster.meta.version),
            created_at,
            updated_at,
            spec: Some(cluster.spec.clone()),
            tls_info: Some(TlsInfo::default()),
            root_rotation_in_progress: Some(false),
            data_path_port: Some(cluster.data_path_port),
            default_addr_pool: Some(cluster.address_pools.clone()),
            subnet_size: Some(cluster.subnet_size),
        }
    }
}

impl Manager {
    /// Makes a swarm with this node as its first manager; returns the manager and the node's ID.
    #[allow(clippy::too_many_arguments)] // the parts of one request
    pub fn init(
        seed: [u8; 32],
        now: Timestamp,
        spec: SwarmSpec,
        description: NodeDescription,
        address: &str,
        manager_address: &str,
        pools: Vec<String>,
        subnet_size: Option<u32>,
    ) -> (Self, String) {
        let mut random = Random::new(seed);
        let mut store = Store::default();
        let mut spec = spec;
        complete(&mut spec);
        let secret = |random: &mut Random| {
            let bytes = random.bytes();
            std::array::from_fn(|index| bytes[index])
        };
        let cluster = Cluster {
            id: random.id(),
            meta: store.new_meta(now),
            spec,
            root_digest: random.bytes(),
            worker_secret: secret(&mut random),
            manager_secret: secret(&mut random),
            address_pools: if pools.is_empty() { vec!["10.0.0.0/8".into()] } else { pools },
            subnet_size: subnet_size.filter(|size| (8..=29).contains(size)).unwrap_or(24),
            data_path_port: 4789,
        };
        store.cluster = Some(cluster);
        let next = random.bytes();
        let mut manager = Self::new(store, next, now);
        let id = manager.add_node(description, address, NodeSpecRoleEnum::MANAGER);
        let alone =
            ManagerState { address: manager_address.to_owned(), leader: true, reachable: true, removable: false };
        manager.managers.insert(id.clone(), alone);
        let ingress = NewNetwork { name: "ingress".into(), ingress: true, ..NewNetwork::default() };
        // A fresh store has neither a network of the name nor one in the pool.
        let _ = manager.create_network(now, ingress);
        (manager, id)
    }

    fn add_node(&mut self, description: NodeDescription, address: &str, role: NodeSpecRoleEnum) -> String {
        let id = self.random.id();
        let secret = self.random.id();
        let name = description.hostname.clone().unwrap_or_default();
        let node = Node {
            id: id.clone(),
            meta: self.store.new_meta(self.now),
            spec: NodeSpec {
                name: None,
                labels: Some(std::collections::HashMap::new()),
                role: Some(role),
                availability: Some(NodeSpecAvailabilityEnum::ACTIVE),
            },
            description,
            state: NodeState::UNKNOWN,
            message: String::new(),
            address: address.to_owned(),
            secret,
        };
        self.store.nodes.insert(id.clone(), node);
        self.store.tell(ObjectKind::Node, ChangeAction::Create, &id, &name);
        id
    }

    /// Accepts a new member; returns its ID and the secret that its sessions prove themselves with.
    ///
    /// # Errors
    /// A malformed token, one of another swarm, a wrong secret.
    pub fn join(
        &mut self,
        now: Timestamp,
        token: &str,
        description: NodeDescription,
        address: &str,
    ) -> ControlResult<(String, String)> {
        self.now = self.now.max(now);
        let refused = || ControlError::InvalidArgument("A valid join token is necessary to join this cluster".into());
        let cluster = self.store.cluster.as_ref().ok_or_else(refused)?;
        let root = |token: &str| token.rsplit_once('-').map(|(root, _)| root.to_owned());
        if root(&cluster.token(false)) != root(token) && token.starts_with("SWMTKN-") {
            return Err(ControlError::Invalid("remote CA does not match fingerprint of the join token".into()));
        }
        let role = if token == cluster.token(true) {
            NodeSpecRoleEnum::MANAGER
        } else if token == cluster.token(false) {
            NodeSpecRoleEnum::WORKER
        } else {
            return Err(refused());
        };
        let id = self.add_node(description, address, role);
        let secret = self.node_secret(&id).unwrap_or_default();
        Ok((id, secret))
    }

    /// What proves that a session is a node's.
    pub fn node_secret(&self, node: &str) -> Option<String> {
        self.store.nodes.get(node).map(|node| node.secret.clone())
    }

    /// `GET /swarm`.
    pub fn swarm(&self) -> Swarm {
        let info = self.store.cluster_info();
        let cluster = self.store.cluster.as_ref();
        Swarm {
            id: info.id,
            version: info.version,
            created_at: info.created_at,
            updated_at: info.updated_at,
            spec: info.spec,
            tls_info: info.tls_info,
            root_rotation_in_progress: info.root_rotation_in_progress,
            data_path_port: info.data_path_port,
            default_addr_pool: info.default_addr_pool,
            subnet_size: info.subnet_size,
            join_tokens: cluster
                .map(|cluster| JoinTokens { worker: Some(cluster.token(false)), manager: Some(cluster.token(true)) }),
        }
    }

    /// `POST /swarm/update`.
    ///
    /// # Errors
    /// Another version than the current one; a heartbeat period below nothing.
    pub fn update_swarm(
        &mut self,
        now: Timestamp,
        version: u64,
        spec: SwarmSpec,
        rotate: TokenRotation,
    ) -> ControlResult<()> {
        self.now = self.now.max(now);
        let cluster = self.store.cluster.as_ref().ok_or_else(|| ControlError::not_found("cluster", "default"))?;
        check_version(cluster.meta.version, version)?;
        if spec.dispatcher.as_ref().and_then(|dispatcher| dispatcher.heartbeat_period).is_some_and(|period| period < 0)
        {
            return Err(ControlError::InvalidArgument("heartbeat time period cannot be a negative duration".into()));
        }
        let mut spec = spec;
        complete(&mut spec);
        let mut draw = || {
            let bytes = self.random.bytes();
            std::array::from_fn(|index| bytes[index])
        };
        let worker = rotate.worker.then(&mut draw);
        let manager = rotate.manager.then(&mut draw);
        self.store.update_cluster(now, |cluster| {
            cluster.spec = spec;
            cluster.worker_secret = worker.unwrap_or(cluster.worker_secret);
            cluster.manager_secret = manager.unwrap_or(cluster.manager_secret);
        });
        Ok(())
    }
}
