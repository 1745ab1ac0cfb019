use base64::{Engine as _, engine::general_purpose::STANDARD};
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
    authority::{Authority, CertificateError, hex},
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

impl Cluster {
    /// The root as the API shows it.
    pub(crate) fn tls_info(&self) -> TlsInfo {
        let (subject, public_key) = self.authority.issuer().unwrap_or_default();
        TlsInfo {
            trust_root: Some(self.authority.certificate.clone()),
            cert_issuer_subject: Some(STANDARD.encode(subject)),
            cert_issuer_public_key: Some(STANDARD.encode(public_key)),
        }
    }
}

/// The digest of the root certificate that a join token names.
pub fn token_digest(token: &str) -> Option<[u8; 32]> {
    let digits = token.strip_prefix("SWMTKN-1-")?.split('-').next()?;
    let mut number = [0_u8; 32];
    for digit in digits.chars() {
        let mut carry = digit.to_digit(36).filter(|_| !digit.is_ascii_uppercase())?;
        for byte in number.iter_mut().rev() {
            let value = u32::from(*byte) * 36 + carry;
            *byte = (value & 0xff) as u8;
            carry = value >> 8;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(number)
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
            tls_info: Some(cluster.tls_info()),
            root_rotation_in_progress: Some(!cluster.old_roots.is_empty()),
            data_path_port: Some(cluster.data_path_port),
            default_addr_pool: Some(cluster.address_pools.clone()),
            subnet_size: Some(cluster.subnet_size),
        }
    }
}

impl Manager {
    /// Makes a swarm with this node as its first manager; returns the manager and the node's ID.
    ///
    /// # Errors
    /// The root certificate cannot be made.
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
    ) -> ControlResult<(Self, String)> {
        let mut random = Random::new(seed);
        let mut store = Store::default();
        let mut spec = spec;
        complete(&mut spec);
        let secret = |random: &mut Random| {
            let bytes = random.bytes();
            std::array::from_fn(|index| bytes[index])
        };
        let authority = Authority::new(&mut random, now).map_err(|error| ControlError::Unknown(error.to_string()))?;
        let cluster = Cluster {
            id: random.id(),
            meta: store.new_meta(now),
            spec,
            authority,
            old_roots: String::new(),
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
        Ok((manager, id))
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
            issuer: String::new(),
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
        if let Some(digest) = token_digest(token).filter(|digest| *digest != cluster.authority.digest()) {
            return Err(ControlError::Invalid(CertificateError::Fingerprint(hex(&digest)).to_string()));
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

    /// Issues a certificate for a node in its role: the certificate and all roots (PEM).
    ///
    /// # Errors
    /// An unknown node, or bytes that are no public key (SEC1).
    pub fn certify(&mut self, now: Timestamp, node: &str, public_key: &[u8]) -> ControlResult<(String, String)> {
        self.now = self.now.max(now);
        let manager =
            self.store.nodes.get(node).map(|node| node.is_manager()).ok_or_else(|| super::node_not_found(node))?;
        let cluster = self.store.cluster.as_ref().ok_or_else(|| ControlError::not_found("cluster", "default"))?;
        let (roots, issuer) = (cluster.roots(), hex(&cluster.authority.digest()));
        let holder = (node, manager, cluster.id.as_str());
        let lifetime = cluster.certificate_lifetime();
        let certificate = cluster
            .authority
            .issue(&mut self.random, self.now, holder, public_key, lifetime)
            .map_err(|error| ControlError::InvalidArgument(error.to_string()))?;
        let now = self.now;
        if self.store.nodes.get(node).is_some_and(|node| node.issuer != issuer) {
            self.store.update_node(node, now, |node| node.issuer = issuer);
            self.end_rotation();
        }
        Ok((certificate, roots))
    }

    /// The old roots go when all nodes have a certificate of the new one.
    fn end_rotation(&mut self) {
        let Some(cluster) = self.store.cluster.as_ref().filter(|cluster| !cluster.old_roots.is_empty()) else { return };
        let current = hex(&cluster.authority.digest());
        if self.store.nodes.values().all(|node| node.issuer == current) {
            let now = self.now;
            self.store.update_cluster(now, |cluster| cluster.old_roots.clear());
        }
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
        let authority = spec.ca_config.as_ref();
        if authority.is_some_and(|part| {
            part.signing_ca_cert.as_deref().is_some_and(|text| !text.is_empty())
                || part.external_cas.as_ref().is_some_and(|list| !list.is_empty())
        }) {
            return Err(ControlError::Unimplemented(
                "this swarm makes its own certificate authority and takes neither a given nor an external one".into(),
            ));
        }
        let rotations = |spec: &SwarmSpec| spec.ca_config.as_ref().and_then(|part| part.force_rotate).unwrap_or(0);
        let new_root = rotations(&spec) > rotations(&cluster.spec);
        let new_root = if new_root {
            let made = cluster.authority.successor(&mut self.random, self.now);
            Some(made.map_err(|error| ControlError::Unknown(error.to_string()))?)
        } else {
            None
        };
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
            if let Some(new) = new_root {
                let old = std::mem::replace(&mut cluster.authority, new);
                cluster.old_roots.push_str(&old.certificate);
            }
            cluster.worker_secret = worker.unwrap_or(cluster.worker_secret);
            cluster.manager_secret = manager.unwrap_or(cluster.manager_secret);
        });
        Ok(())
    }
}
