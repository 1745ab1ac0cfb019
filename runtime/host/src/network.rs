use std::net::{IpAddr, Ipv6Addr};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::HostResult;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
}

/// How a network carries its packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkDriver {
    /// A bridge on this node.
    Bridge,
    /// VXLAN between nodes, with this network identifier.
    Overlay { vni: u32 },
}

/// A network; addresses are the engine's choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// 64 hexadecimal digits, or a swarm ID.
    pub id: String,
    pub name: String,
    pub driver: NetworkDriver,
    /// CIDR, e.g. `172.17.0.0/16`.
    pub subnet: String,
    pub gateway: IpAddr,
    /// No way out.
    pub internal: bool,
    /// The interface's name; the host shortens or numbers it where Docker's would clash on a shared machine.
    pub interface: String,
    /// Containers find each other by name (every network but the default bridge).
    pub dns: bool,
    pub mtu: Option<u32>,
    /// IPv6 beside IPv4.
    #[serde(default)]
    pub ipv6: Option<Ipv6Network>,
}

/// The IPv6 side of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipv6Network {
    /// CIDR, e.g. `fd00:1::/64`.
    pub subnet: String,
    pub gateway: Ipv6Addr,
}

/// A container's place on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSpec {
    pub network: String,
    /// 64 hexadecimal digits.
    pub endpoint: String,
    pub address: IpAddr,
    pub prefix_length: u8,
    /// `None` on internal networks.
    pub gateway: Option<IpAddr>,
    /// `02:42:…`.
    pub mac: String,
    #[serde(default)]
    pub ipv6: Option<Ipv6Endpoint>,
    /// Further addresses that are of use on this network only.
    #[serde(default)]
    pub link_local: Vec<IpAddr>,
}

/// An endpoint's IPv6 address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipv6Endpoint {
    pub address: Ipv6Addr,
    pub prefix_length: u8,
    /// `None` on internal networks.
    pub gateway: Option<Ipv6Addr>,
}

/// A port to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSpec {
    /// `0.0.0.0`, `::` or an address of the node.
    pub host_address: IpAddr,
    /// 0 lets the host choose.
    pub host_port: u16,
    pub container_port: u16,
    pub protocol: Protocol,
}

/// A port as it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    pub host_address: IpAddr,
    pub host_port: u16,
    pub container_port: u16,
    pub protocol: Protocol,
}

/// Networks of one node.
#[async_trait]
pub trait Networks: Send + Sync {
    /// Idempotent: the engine calls it again for every network after a restart.
    async fn create_network(&self, network: &NetworkSpec) -> HostResult<()>;
    async fn remove_network(&self, id: &str) -> HostResult<()>;
    /// Adds an endpoint to a running container.
    async fn connect(&self, container: &str, endpoint: &EndpointSpec) -> HostResult<()>;
    async fn disconnect(&self, container: &str, network: &str) -> HostResult<()>;
    /// What containers on this network resolve (embedded DNS, 127.0.0.11): every name with its addresses, complete.
    async fn set_names(&self, network: &str, names: &[(String, Vec<IpAddr>)]) -> HostResult<()>;
    /// Overlay networks: the other nodes' addresses, complete.
    async fn set_peers(&self, network: &str, peers: &[IpAddr]) -> HostResult<()>;
    /// The routing mesh: opens `port` on the node and spreads connections round robin over `backends` (address on the
    /// overlay `network`, and port). Called again with the full list at every change; an empty list refuses connections.
    async fn set_mesh(
        &self,
        network: &str,
        port: u16,
        protocol: Protocol,
        backends: &[(IpAddr, u16)],
    ) -> HostResult<()>;
    async fn remove_mesh(&self, port: u16, protocol: Protocol) -> HostResult<()>;
    /// Addresses of the node itself: interface name and address, without loopback.
    async fn node_addresses(&self) -> HostResult<Vec<(String, IpAddr)>>;
}
