use base64::{Engine as _, engine::general_purpose::STANDARD};
use docklab_api::{
    Filters,
    models::{ConfigSpec, NodeDescription, NodeSpec, SecretSpec, ServiceSpec, SwarmSpec},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{NewNetwork, TokenRotation, find};
use crate::{
    Manager,
    error::{ControlError, ControlResult},
};

/// Everything that the control API can be asked, so that a manager that does not lead can pass it on to the one that does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Call {
    Join {
        token: String,
        description: NodeDescription,
        address: String,
        public_key: String,
    },
    /// A certificate for a node with this public key (SEC1, standard base64).
    Certify {
        node: String,
        public_key: String,
    },
    AddManager {
        raft: u64,
        node: String,
        address: String,
    },
    InspectSwarm,
    UpdateSwarm {
        version: u64,
        spec: SwarmSpec,
        rotate: TokenRotation,
    },
    ListNodes(Filters),
    InspectNode(String),
    UpdateNode {
        name: String,
        version: u64,
        spec: NodeSpec,
    },
    RemoveNode {
        name: String,
        force: bool,
    },
    ListServices {
        filters: Filters,
        status: bool,
    },
    InspectService(String),
    CreateService(ServiceSpec),
    UpdateService {
        name: String,
        version: u64,
        spec: ServiceSpec,
        rollback: bool,
    },
    RemoveService(String),
    ListTasks(Filters),
    InspectTask(String),
    ListSecrets(Filters),
    InspectSecret(String),
    CreateSecret(SecretSpec),
    UpdateSecret {
        name: String,
        version: u64,
        spec: SecretSpec,
    },
    RemoveSecret(String),
    ListConfigs(Filters),
    InspectConfig(String),
    CreateConfig(ConfigSpec),
    UpdateConfig {
        name: String,
        version: u64,
        spec: ConfigSpec,
    },
    RemoveConfig(String),
    ListNetworks,
    /// The ID of a network by ID, name or four digits of its ID at least; `null` for none.
    FindNetwork(String),
    CreateNetwork(NewNetwork),
    RemoveNetwork(String),
}

impl Call {
    /// It changes nothing, so it may be asked again.
    pub fn is_read(&self) -> bool {
        matches!(
            self,
            Self::InspectSwarm
                | Self::ListNodes(_)
                | Self::InspectNode(_)
                | Self::ListServices { .. }
                | Self::InspectService(_)
                | Self::ListTasks(_)
                | Self::InspectTask(_)
                | Self::ListSecrets(_)
                | Self::InspectSecret(_)
                | Self::ListConfigs(_)
                | Self::InspectConfig(_)
                | Self::ListNetworks
                | Self::FindNetwork(_)
        )
    }
}

/// The answer to a join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// Node ID.
    pub node: String,
    /// Proves that a session is the node's.
    pub secret: String,
    /// It is to be a manager.
    pub manager: bool,
    /// PEM.
    pub certificate: String,
    /// The swarm's root certificates, PEM.
    pub roots: String,
}

impl Manager {
    /// Answers a call; what it returns is what the function of the same name does, as JSON.
    ///
    /// # Errors
    /// That function's. [`Call::AddManager`] is the raft group's affair and is refused here.
    pub fn call(&mut self, now: Timestamp, call: Call) -> ControlResult<Value> {
        match call {
            Call::Join { token, description, address, public_key } => {
                let public_key = public_key_of(&public_key)?;
                let (node, secret) = self.join(now, &token, description, &address)?;
                let (certificate, roots) = self.certify(now, &node, &public_key)?;
                let manager = self.store().nodes.get(&node).is_some_and(|node| node.is_manager());
                json(&Joined { node, secret, manager, certificate, roots })
            }
            Call::Certify { node, public_key } => json(&self.certify(now, &node, &public_key_of(&public_key)?)?),
            Call::AddManager { .. } => {
                Err(ControlError::Invalid("the raft group takes managers in, not the store".into()))
            }
            Call::InspectSwarm => json(&self.swarm()),
            Call::UpdateSwarm { version, spec, rotate } => json(&self.update_swarm(now, version, spec, rotate)?),
            Call::ListNodes(filters) => json(&self.list_nodes(&filters)),
            Call::InspectNode(name) => json(&self.inspect_node(&name)?),
            Call::UpdateNode { name, version, spec } => json(&self.update_node(now, &name, version, spec)?),
            Call::RemoveNode { name, force } => json(&self.remove_node(now, &name, force)?),
            Call::ListServices { filters, status } => json(&self.list_services(&filters, status)),
            Call::InspectService(name) => json(&self.inspect_service(&name)?),
            Call::CreateService(spec) => json(&self.create_service(now, spec)?),
            Call::UpdateService { name, version, spec, rollback } => {
                json(&self.update_service(now, &name, version, spec, rollback)?)
            }
            Call::RemoveService(name) => json(&self.remove_service(now, &name)?),
            Call::ListTasks(filters) => json(&self.list_tasks(&filters)),
            Call::InspectTask(name) => json(&self.inspect_task(&name)?),
            Call::ListSecrets(filters) => json(&self.list_secrets(&filters)),
            Call::InspectSecret(name) => json(&self.inspect_secret(&name)?),
            Call::CreateSecret(spec) => json(&self.create_secret(now, spec)?),
            Call::UpdateSecret { name, version, spec } => json(&self.update_secret(now, &name, version, spec)?),
            Call::RemoveSecret(name) => json(&self.remove_secret(now, &name)?),
            Call::ListConfigs(filters) => json(&self.list_configs(&filters)),
            Call::InspectConfig(name) => json(&self.inspect_config(&name)?),
            Call::CreateConfig(spec) => json(&self.create_config(now, spec)?),
            Call::UpdateConfig { name, version, spec } => json(&self.update_config(now, &name, version, spec)?),
            Call::RemoveConfig(name) => json(&self.remove_config(now, &name)?),
            Call::ListNetworks => json(&self.list_networks()),
            Call::FindNetwork(name) => {
                let prefix = |id: &str| name.len() >= 4 && id.starts_with(&name);
                let mut networks = self.store().networks.values();
                let found = networks.find(|network| network.id == name || network.name == name || prefix(&network.id));
                json(&found.map(|network| &network.id))
            }
            Call::CreateNetwork(new) => json(&self.create_network(now, new)?),
            Call::RemoveNetwork(name) => {
                let id = find(&self.store().networks, "network", &name, |network| &network.name)?.id.clone();
                json(&self.remove_network(now, &id)?)
            }
        }
    }
}

fn public_key_of(text: &str) -> ControlResult<Vec<u8>> {
    STANDARD.decode(text).map_err(|error| ControlError::InvalidArgument(format!("public key: {error}")))
}

fn json<T: Serialize + ?Sized>(value: &T) -> ControlResult<Value> {
    serde_json::to_value(value).map_err(|error| ControlError::Unknown(format!("encode an answer: {error}")))
}
