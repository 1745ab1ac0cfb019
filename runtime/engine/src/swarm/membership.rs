use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use docklab_api::{
    ApiError, ApiResult,
    models::{
        EngineDescription, EngineDescriptionPlugins, LocalNodeState, NodeDescription, PeerNode, Platform,
        ResourceObject, SwarmInfo,
    },
};
use docklab_host::{HostError, Link};
use docklab_swarm::{ControlError, PrivateKey};
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    Engine, PORT,
    manager::{ManagerNode, lock},
};
use crate::{HostResultExt, records};

const NODE: &str = "node";

/// What a member must remember to come back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodeRecord {
    pub(crate) node: String,
    pub(crate) secret: String,
    /// Its number among the managers; `None` for a worker.
    pub(crate) raft: Option<u64>,
    pub(crate) key: PrivateKey,
    /// This node's, PEM.
    pub(crate) certificate: String,
    /// Of the swarm, PEM; the one that nodes get certificates of first.
    pub(crate) roots: String,
    /// The address that this node gives to others.
    pub(crate) address: String,
    /// Node ID and address of the managers.
    pub(crate) managers: Vec<(String, String)>,
}

/// This engine as a member of a swarm.
pub(crate) struct Membership {
    record: Mutex<NodeRecord>,
    manager: Mutex<Option<Arc<ManagerNode>>>,
    /// One change of role at a time.
    pub(super) changing_role: tokio::sync::Mutex<()>,
    /// Turns true when the node leaves.
    stop: watch::Sender<bool>,
    /// Turns true when nothing of the membership runs any more.
    ended: watch::Sender<bool>,
}

impl Membership {
    pub(super) fn new(record: NodeRecord, manager: Option<Arc<ManagerNode>>) -> Arc<Self> {
        Arc::new(Self {
            record: Mutex::new(record),
            manager: Mutex::new(manager),
            changing_role: tokio::sync::Mutex::default(),
            stop: watch::Sender::new(false),
            ended: watch::Sender::new(false),
        })
    }

    pub(crate) fn record(&self) -> NodeRecord {
        lock(&self.record).clone()
    }

    /// This node as a manager, while it is one.
    pub(crate) fn manager(&self) -> Option<Arc<ManagerNode>> {
        lock(&self.manager).clone()
    }

    pub(super) fn set_manager(&self, manager: Option<Arc<ManagerNode>>) {
        *lock(&self.manager) = manager;
    }

    pub(super) fn stopped(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    pub(super) fn end(&self) {
        self.stop.send_replace(true);
        if let Some(manager) = self.manager() {
            manager.end();
        }
    }

    pub(super) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    pub(super) fn has_ended(&self) {
        self.ended.send_replace(true);
    }

    /// The `Swarm` part of `docker info`.
    pub(crate) fn info(&self) -> SwarmInfo {
        let record = self.record();
        let manager = self.manager();
        let known = manager.as_ref().map(|manager| manager.managers()).filter(|known| !known.is_empty());
        let peers = known
            .as_ref()
            .unwrap_or(&record.managers)
            .iter()
            .map(|(node, address)| PeerNode { node_id: Some(node.clone()), addr: Some(address.clone()) })
            .collect();
        let mut info = SwarmInfo {
            node_id: Some(record.node),
            node_addr: Some(record.address),
            local_node_state: Some(LocalNodeState::ACTIVE),
            control_available: Some(manager.is_some()),
            error: Some(String::new()),
            remote_managers: Some(peers),
            ..SwarmInfo::default()
        };
        if let Some(manager) = &manager {
            manager.look(|member| {
                if member.leader().is_none() {
                    info.error = Some(ControlError::no_leader().to_string());
                    return;
                }
                info.nodes = i64::try_from(member.store().nodes.len()).ok();
                info.managers = i64::try_from(member.peers().len()).ok();
                info.cluster = Some(member.store().cluster_info());
            });
        }
        info
    }

    /// The `Swarm` header of `/_ping`.
    pub(crate) fn ping(&self) -> String {
        if self.manager().is_some() { "active/manager" } else { "active/worker" }.to_owned()
    }
}

impl Engine {
    /// Becomes the member again that the records speak of.
    pub(crate) async fn resume_swarm(&self) -> ApiResult<()> {
        let records = records::load::<NodeRecord>(&*self.host, NODE_KIND).await?;
        let Some((_, record)) = records.into_iter().find(|(key, _)| key == NODE) else { return Ok(()) };
        let manager = match record.raft {
            Some(raft) => Some(self.load_manager(raft, &record.node).await?),
            None => None,
        };
        self.enter(record, manager).await.map(drop)
    }

    /// Starts everything that a member runs.
    pub(super) async fn enter(
        &self,
        record: NodeRecord,
        manager: Option<Arc<ManagerNode>>,
    ) -> ApiResult<Arc<Membership>> {
        let membership = Membership::new(record.clone(), manager.clone());
        // First, because it may fail.
        let links = if manager.is_some() { Some(self.listen_for_nodes(&membership).await?) } else { None };
        records::put(&*self.host, NODE_KIND, NODE, &record).await?;
        self.set_membership(Some(membership.clone()));
        if let (Some(manager), Some(links)) = (manager, links) {
            self.run_manager(&manager, links);
        }
        self.run_agent(membership.clone());
        Ok(membership)
    }

    /// Changes what the node remembers.
    pub(super) async fn remember_member(
        &self,
        membership: &Membership,
        change: impl FnOnce(&mut NodeRecord),
    ) -> ApiResult<()> {
        let record = {
            let mut record = lock(&membership.record);
            let before = record.clone();
            change(&mut record);
            if *record == before {
                return Ok(());
            }
            record.clone()
        };
        records::put(&*self.host, NODE_KIND, NODE, &record).await
    }

    /// Opens the managers' port. A swarm that has just been left may still hold it for a moment.
    pub(super) async fn listen_for_nodes(
        &self,
        membership: &Arc<Membership>,
    ) -> ApiResult<BoxStream<'static, Arc<dyn Link>>> {
        let mut tries = 20;
        loop {
            match self.listen_as(membership).await {
                Err(HostError::PortInUse { .. }) if tries > 0 => {
                    tries -= 1;
                    self.host.sleep(Duration::from_millis(100)).await;
                }
                result => return result.api(),
            }
        }
    }

    pub(super) async fn forget_membership(&self) -> ApiResult<()> {
        self.host.delete_record(NODE_KIND, NODE).await.api()?;
        self.forget_raft().await
    }

    /// What this node tells the managers of itself.
    pub(super) fn describe(&self) -> NodeDescription {
        let info = self.host.info();
        let plugin =
            |kind: &str, name: &str| EngineDescriptionPlugins { typ: Some(kind.into()), name: Some(name.into()) };
        let labels = self.options.labels.iter().map(|label| {
            let (key, value) = label.split_once('=').unwrap_or((label, ""));
            (key.to_owned(), value.to_owned())
        });
        NodeDescription {
            hostname: Some(info.hostname),
            platform: Some(Platform { architecture: Some(info.machine), os: Some("linux".into()) }),
            resources: Some(ResourceObject {
                nano_cpus: Some(i64::from(info.cpus) * 1_000_000_000),
                memory_bytes: i64::try_from(info.memory).ok(),
                generic_resources: None,
            }),
            engine: Some(EngineDescription {
                engine_version: Some(docklab_api::ENGINE_VERSION.into()),
                labels: Some(labels.collect::<std::collections::HashMap<_, _>>()).filter(|labels| !labels.is_empty()),
                plugins: Some(vec![
                    plugin("Log", "json-file"),
                    plugin("Network", "bridge"),
                    plugin("Network", "host"),
                    plugin("Network", "null"),
                    plugin("Network", "overlay"),
                    plugin("Volume", "local"),
                ]),
            }),
            tls_info: None,
        }
    }

    /// The address that other nodes reach this one by: `--advertise-addr` (an address or an interface), or the only one
    /// that the node has.
    pub(super) async fn advertise_address(&self, wanted: &str) -> ApiResult<IpAddr> {
        let bad = || {
            ApiError::invalid(
                "advertise address must be a non-zero IP address or network interface (with optional port number)",
            )
        };
        let wanted = match wanted.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() && !host.contains(':') => host,
            _ => wanted,
        };
        if let Ok(address) = wanted.parse::<IpAddr>() {
            return if address.is_unspecified() { Err(bad()) } else { Ok(address) };
        }
        let ours: Vec<IpAddr> = self.networks.all().iter().filter_map(|network| network.gateway()).collect();
        let addresses = self.host.node_addresses().await.api()?;
        let mut usable: Vec<(String, IpAddr)> = addresses
            .into_iter()
            .filter(|(name, address)| {
                !address.is_loopback() && !ours.contains(address) && (wanted.is_empty() || name == wanted)
            })
            .collect();
        if usable.iter().any(|(_, address)| address.is_ipv4()) {
            usable.retain(|(_, address)| address.is_ipv4());
        }
        match usable.as_slice() {
            [(_, address)] => Ok(*address),
            [] if wanted.is_empty() => {
                Err(ApiError::system("could not find the system's IP address - specify one with --advertise-addr"))
            }
            [] => Err(bad()),
            [(first, one), (second, other), ..] if first == second => Err(ApiError::invalid(format!(
                "could not choose an IP address to advertise since this system has multiple addresses on interface {first} \
                 ({one} and {other})"
            ))),
            [(first, one), (second, other), ..] => Err(ApiError::invalid(format!(
                "could not choose an IP address to advertise since this system has multiple addresses on different interfaces \
                 ({one} on {first} and {other} on {second})"
            ))),
        }
    }

    /// Where a manager listens: an address or a host name, with or without a port.
    pub(super) async fn manager_address(&self, text: &str) -> Option<SocketAddr> {
        if let Some(address) = manager_address(text) {
            return Some(address);
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, port.parse().ok()?),
            None => (text, PORT),
        };
        let found = self.host.resolve(name).await.ok()?;
        found.first().map(|address| SocketAddr::new(*address, port))
    }
}

/// Membership lies beside the log of the managers, under a kind of its own.
const NODE_KIND: &str = "swarm-node";

/// `host:port`, with the standard port where none is given.
pub(super) fn manager_address(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse().ok()?, PORT)))
}
