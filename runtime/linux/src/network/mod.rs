//! Networks: a bridge each, a network namespace for every container with a cable to its bridges, names, published ports.
//!
//! What must be found again after a crash lies in `run_root/network/`: `networks/<id>` and `containers/<id>`, both JSON.

mod dns;
mod files;
mod firewall;
mod namespace;
mod netlink;
mod operations;
mod overlay;
mod proxy;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use docklab_host::{
    ContainerSpec, EndpointSpec, HostError, HostResult, NetworkMode, NetworkSpec, PortSpec, Protocol, PublishedPort,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{LinuxOptions, layers::io_error};
pub(crate) use dns::{Names, Server as NameServer, serve_at as serve_names};
pub(crate) use files::Resolver;
use namespace::Pool;
pub(crate) use namespace::{Namespace, refuse_ipv6_addresses};
pub(crate) use netlink::Netlink;
use proxy::{Backends, OpenPort};

/// What a container gets from the network before its first process exists.
pub(crate) struct PreparedNetwork {
    /// The namespace to enter, interfaces up and addressed; `None` is the node's own (`NetworkMode::Host`).
    pub(crate) namespace: Option<OwnedFd>,
    /// Contents of the container's /etc/hosts, /etc/hostname and /etc/resolv.conf; `processes` writes and mounts them.
    pub(crate) hosts: String,
    pub(crate) hostname: String,
    pub(crate) resolv_conf: String,
    /// Opened already, in the order of the specification's.
    pub(crate) ports: Vec<PublishedPort>,
    pub(crate) warnings: Vec<String>,
}

/// A network that exists on this node.
#[derive(Debug, Clone)]
struct Network {
    spec: NetworkSpec,
    bridge: String,
    index: u32,
    /// The other nodes that its frames are flooded to.
    peers: Vec<IpAddr>,
}

/// A container that has a network namespace of its own.
struct Attached {
    namespace: Namespace,
    endpoints: Vec<Endpoint>,
    ports: Vec<OpenPort>,
    published: Vec<PublishedPort>,
    dns: Option<dns::Server>,
    resolvers: Vec<IpAddr>,
}

/// An endpoint and the link that carries it, as kept on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Endpoint {
    spec: EndpointSpec,
    /// The cable's end on the node.
    link: String,
    /// The interface in the container.
    interface: String,
}

/// What `run_root/network/containers/<id>` holds.
#[derive(Debug, Serialize, Deserialize)]
struct AttachedRecord {
    endpoints: Vec<Endpoint>,
    published: Vec<PublishedPort>,
}

/// The routing mesh's ports, open on IPv4 and IPv6, and whom they lead to.
type Mesh = HashMap<(u16, Protocol), (Arc<Backends>, Vec<OpenPort>)>;

#[derive(Default)]
struct State {
    networks: BTreeMap<String, Network>,
    containers: HashMap<String, Attached>,
    names: HashMap<String, HashMap<String, Vec<IpAddr>>>,
    mesh: Mesh,
}

/// The networks of one engine.
#[derive(Clone)]
pub(crate) struct NetworkStore {
    shared: Arc<Shared>,
}

struct Shared {
    prefix: String,
    directory: PathBuf,
    node_address: Option<IpAddr>,
    /// Where published ports also open.
    machine: Option<Namespace>,
    /// Of the node's own namespace.
    netlink: Netlink,
    pool: Pool,
    state: Mutex<State>,
}

impl NetworkStore {
    /// Clears the bridges of networks that nobody knows any more; those of the last engine stay, with what hangs on them.
    pub(crate) async fn open(options: &LinuxOptions) -> HostResult<Self> {
        let directory = options.run_root.join("network");
        for name in ["networks", "containers"] {
            let path = directory.join(name);
            fs::create_dir_all(&path).map_err(|error| io_error(format!("create {}", path.display()), error))?;
        }
        let netlink = Netlink::open().map_err(|error| io_error("open netlink", error))?;
        let machine = options.machine_network.as_deref().map(Namespace::open).transpose();
        let machine = machine.map_err(|error| io_error("open the machine's network namespace", error))?;
        let shared = Shared {
            prefix: options.name_prefix.clone(),
            directory,
            node_address: options.node_address,
            machine,
            netlink,
            pool: Pool::default(),
            state: Mutex::default(),
        };
        shared.clear_unknown_links()?;
        shared.recall_networks()?;
        let store = Self { shared: Arc::new(shared) };
        let pool = store.shared.pool.clone();
        tokio::task::spawn_blocking(move || pool.fill());
        Ok(store)
    }

    /// Removes every link and firewall rule of an engine that is not coming back.
    pub(crate) fn purge(options: &LinuxOptions) -> HostResult<()> {
        let directory = options.run_root.join("network");
        if let Err(error) = fs::remove_dir_all(&directory)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(io_error(format!("remove {}", directory.display()), error));
        }
        let networks = directory.join("networks");
        fs::create_dir_all(&networks).map_err(|error| io_error(format!("create {}", networks.display()), error))?;
        let shared = Shared {
            prefix: options.name_prefix.clone(),
            directory,
            node_address: options.node_address,
            machine: None,
            netlink: Netlink::open().map_err(|error| io_error("open netlink", error))?,
            pool: Pool::default(),
            state: Mutex::default(),
        };
        // No network is known any more, so every link with our prefix is unknown.
        shared.clear_unknown_links()?;
        firewall::apply(&format!("docklab_{}", shared.prefix), &[])
    }

    /// Namespace, interfaces, addresses, routes, embedded DNS and published ports of a container that is about to start.
    /// `peer` is the network namespace of the other container for `NetworkMode::Container`. On an error nothing stays.
    pub(crate) async fn prepare(&self, spec: &ContainerSpec, peer: Option<OwnedFd>) -> HostResult<PreparedNetwork> {
        let endpoints = match &spec.network {
            NetworkMode::Endpoints(endpoints) => endpoints.as_slice(),
            NetworkMode::None | NetworkMode::Host | NetworkMode::Container(_) => &[],
        };
        let machine = Resolver::of_machine();
        let embedded = self.shared.state().has_names(endpoints);
        let mut prepared = PreparedNetwork {
            namespace: None,
            hosts: files::hosts(spec),
            hostname: format!("{}\n", spec.hostname),
            resolv_conf: files::resolv_conf(spec, &machine, embedded),
            ports: Vec::new(),
            warnings: Vec::new(),
        };
        match &spec.network {
            NetworkMode::Host => return Ok(prepared),
            NetworkMode::Container(other) => {
                let peer = peer.ok_or_else(|| HostError::not_found("container", other.as_str()))?;
                prepared.namespace = Some(peer);
                return Ok(prepared);
            }
            NetworkMode::None | NetworkMode::Endpoints(_) => {}
        }
        let failed = |error| io_error("make network namespace", error);
        let namespace = self.shared.pool.take().map_err(failed)?;
        prepared.namespace = Some(namespace.duplicate().map_err(failed)?);
        let mut attached = Attached::new(namespace, resolvers(spec, &machine));
        // An error drops the namespace, and its cables with it.
        let gateway = endpoints.iter().position(|endpoint| endpoint.gateway.is_some());
        for (number, endpoint) in endpoints.iter().enumerate() {
            self.shared.attach(&mut attached, endpoint, gateway == Some(number))?;
        }
        if let Some(address) = endpoints.first().map(|endpoint| endpoint.address) {
            self.shared.publish(&mut attached, address, &spec.ports)?;
        }
        prepared.ports = attached.published.clone();
        if embedded {
            attached.dns = Some(self.serve_names(&spec.id, &attached)?);
        }
        self.shared.remember(&spec.id, &attached)?;
        self.shared.state().containers.insert(spec.id.clone(), attached);
        Ok(prepared)
    }

    /// Finds the network of a container that outlived its engine (`pid` is its first process) and opens its ports again.
    pub(crate) async fn reattach(&self, spec: &ContainerSpec, pid: u32) -> HostResult<Vec<PublishedPort>> {
        if matches!(spec.network, NetworkMode::Host | NetworkMode::Container(_)) {
            return Ok(Vec::new());
        }
        let Some(record) = self.shared.recall(&spec.id)? else { return Ok(Vec::new()) };
        let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
        let namespace = Namespace::open(&path).map_err(|error| io_error(format!("open {}", path.display()), error))?;
        let mut attached = Attached::new(namespace, resolvers(spec, &Resolver::of_machine()));
        attached.endpoints = record.endpoints;
        let specs: Vec<EndpointSpec> = attached.endpoints.iter().map(|endpoint| endpoint.spec.clone()).collect();
        // The very ports that were open before, chosen ones too.
        let ports: Vec<PortSpec> = record
            .published
            .iter()
            .map(|port| PortSpec {
                host_address: port.host_address,
                host_port: port.host_port,
                container_port: port.container_port,
                protocol: port.protocol,
            })
            .collect();
        if let Some(address) = specs.first().map(|endpoint| endpoint.address) {
            self.shared.publish(&mut attached, address, &ports)?;
        }
        if self.shared.state().has_names(&specs) {
            attached.dns = Some(self.serve_names(&spec.id, &attached)?);
        }
        let published = attached.published.clone();
        self.shared.state().containers.insert(spec.id.clone(), attached);
        Ok(published)
    }

    /// Gives back everything that `prepare` took. Fine when there is nothing. The cables go with the namespace, when the
    /// kernel gets to it.
    pub(crate) async fn release(&self, container: &str) -> HostResult<()> {
        let attached = self.shared.state().containers.remove(container);
        drop(attached);
        match fs::remove_file(self.shared.container_file(container)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error(format!("forget the network of {container}"), error))
            }
            _ => Ok(()),
        }
    }

    fn serve_names(&self, container: &str, attached: &Attached) -> HostResult<dns::Server> {
        let names = ContainerNames {
            shared: self.shared.clone(),
            container: container.to_owned(),
            resolvers: attached.resolvers.clone(),
        };
        dns::serve(&attached.namespace, Arc::new(names)).map_err(|error| io_error("open embedded DNS", error))
    }
}

impl Attached {
    fn new(namespace: Namespace, resolvers: Vec<IpAddr>) -> Self {
        Self { namespace, endpoints: Vec::new(), ports: Vec::new(), published: Vec::new(), dns: None, resolvers }
    }
}

impl State {
    /// Whether one of the endpoints is on a network with names.
    fn has_names(&self, endpoints: &[EndpointSpec]) -> bool {
        endpoints.iter().any(|endpoint| self.networks.get(&endpoint.network).is_some_and(|network| network.spec.dns))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lays a cable from the endpoint's bridge into the namespace.
    fn attach(&self, attached: &mut Attached, endpoint: &EndpointSpec, default_route: bool) -> HostResult<()> {
        let network = self
            .state()
            .networks
            .get(&endpoint.network)
            .cloned()
            .ok_or_else(|| HostError::not_found("network", endpoint.network.as_str()))?;
        let failed = |error| io_error(format!("connect to network {}", network.spec.name), error);
        let interface = (0..)
            .map(|number| format!("eth{number}"))
            .find(|name| attached.endpoints.iter().all(|endpoint| endpoint.interface != *name))
            .unwrap_or_else(|| "eth0".to_owned());
        let link = format!("{}v{}", self.prefix, random_digits());
        let mac = parse_mac(&endpoint.mac)
            .ok_or_else(|| HostError::Other(format!("invalid MAC address: {}", endpoint.mac)))?;
        let mtu = network.mtu();
        self.netlink
            .add_veth(&link, network.index, attached.namespace.as_fd(), &interface, mac, mtu)
            .map_err(failed)?;
        let inner = &attached.namespace.netlink;
        let index = inner
            .index(&interface)
            .map_err(failed)?
            .ok_or_else(|| HostError::Other(format!("interface {interface} has vanished")))?;
        inner.add_address(index, endpoint.address, endpoint.prefix_length).map_err(failed)?;
        if endpoint.ipv6.is_some() || endpoint.link_local.iter().any(IpAddr::is_ipv6) {
            attached.namespace.inside(|| namespace::allow_ipv6_addresses(&interface)).map_err(failed)?;
        }
        if let Some(ipv6) = &endpoint.ipv6 {
            inner.add_address(index, ipv6.address.into(), ipv6.prefix_length).map_err(failed)?;
        }
        for address in &endpoint.link_local {
            // 169.254.0.0/16 and fe80::/64 (RFC 3927, RFC 4291).
            inner.add_address(index, *address, if address.is_ipv4() { 16 } else { 64 }).map_err(failed)?;
        }
        inner.set_up(index).map_err(failed)?;
        if let (true, Some(gateway)) = (default_route, endpoint.gateway) {
            inner.add_default_route(index, gateway).map_err(failed)?;
        }
        let first = attached.endpoints.iter().all(|other| other.spec.ipv6.is_none());
        if let (true, Some(gateway)) = (first, endpoint.ipv6.as_ref().and_then(|ipv6| ipv6.gateway)) {
            inner.add_default_route(index, gateway.into()).map_err(failed)?;
        }
        attached.endpoints.push(Endpoint { spec: endpoint.clone(), link, interface });
        Ok(())
    }

    /// Opens the node's side of ports.
    fn publish(&self, attached: &mut Attached, address: IpAddr, ports: &[PortSpec]) -> HostResult<()> {
        for port in ports {
            let backends = Backends::new(vec![SocketAddr::new(address, port.container_port)]);
            // `0.0.0.0` and `::` with a port of the host's choice get the same one where it is free.
            let chosen = attached.published.iter().find(|other| {
                (other.container_port, other.protocol) == (port.container_port, port.protocol)
                    && other.host_address != port.host_address
            });
            let wanted = match chosen {
                Some(other) if port.host_port == 0 => other.host_port,
                _ => port.host_port,
            };
            let open = proxy::open(SocketAddr::new(port.host_address, wanted), port.protocol, backends.clone());
            let mut open = match open {
                Err(HostError::PortInUse { .. }) if port.host_port == 0 && wanted != 0 => {
                    proxy::open(SocketAddr::new(port.host_address, 0), port.protocol, backends)?
                }
                result => result?,
            };
            self.also_on_machine(&mut open);
            attached.published.push(PublishedPort {
                host_address: port.host_address,
                host_port: open.address.port(),
                container_port: port.container_port,
                protocol: port.protocol,
            });
            attached.ports.push(open);
        }
        Ok(())
    }

    /// A port of a node that the machine's own `localhost` is to lead to, too.
    fn also_on_machine(&self, port: &mut OpenPort) {
        if let Some(machine) = &self.machine {
            port.also_on_loopback_of(machine);
        }
    }

    fn container_file(&self, container: &str) -> PathBuf {
        self.directory.join("containers").join(container)
    }

    fn network_file(&self, network: &str) -> PathBuf {
        self.directory.join("networks").join(network)
    }

    fn remember(&self, container: &str, attached: &Attached) -> HostResult<()> {
        let record = AttachedRecord { endpoints: attached.endpoints.clone(), published: attached.published.clone() };
        write_json(&self.container_file(container), &record)
    }

    fn recall(&self, container: &str) -> HostResult<Option<AttachedRecord>> {
        read_json(&self.container_file(container))
    }

    /// Networks of the last engine whose bridges are still there: containers are found again before the engine creates its
    /// networks anew.
    fn recall_networks(&self) -> HostResult<()> {
        let failed = |error| io_error("find networks again", error);
        for entry in fs::read_dir(self.directory.join("networks")).map_err(failed)?.filter_map(Result::ok) {
            let Some(spec) = read_json::<NetworkSpec>(&entry.path())? else { continue };
            let bridge = self.link_name('b', &spec.id);
            if let Some(index) = self.netlink.index(&bridge).map_err(failed)? {
                self.state().networks.insert(spec.id.clone(), Network { spec, bridge, index, peers: Vec::new() });
            }
        }
        Ok(())
    }

    /// Bridges (and VXLAN devices) of ours without a record. Cables go with their namespaces.
    fn clear_unknown_links(&self) -> HostResult<()> {
        let failed = |error| io_error("clear old network links", error);
        let mut known = Vec::new();
        for entry in fs::read_dir(self.directory.join("networks")).map_err(failed)?.filter_map(Result::ok) {
            let id = entry.file_name().to_string_lossy().into_owned();
            known.extend([self.link_name('b', &id), self.link_name('x', &id)]);
        }
        for link in self.netlink.links().map_err(failed)? {
            let ours = ['b', 'x'].iter().any(|kind| {
                link.name
                    .strip_prefix(&format!("{}{kind}", self.prefix))
                    .is_some_and(|rest| rest.len() == 8 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
            });
            if ours && !known.contains(&link.name) {
                self.netlink.delete(link.index).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// `<prefix><kind><eight digits>`: at most fifteen characters.
    fn link_name(&self, kind: char, network: &str) -> String {
        format!("{}{kind}{}", self.prefix, hex::encode(&Sha256::digest(network)[..4]))
    }
}

impl Network {
    fn mtu(&self) -> u32 {
        // VXLAN's headers take fifty bytes of an Ethernet frame.
        let usual = if matches!(self.spec.driver, docklab_host::NetworkDriver::Overlay { .. }) { 1450 } else { 1500 };
        self.spec.mtu.unwrap_or(usual)
    }
}

/// The names that one container sees: those of all its networks.
struct ContainerNames {
    shared: Arc<Shared>,
    container: String,
    resolvers: Vec<IpAddr>,
}

impl ContainerNames {
    fn find<T>(&self, look: impl Fn(&str, &HashMap<String, Vec<IpAddr>>) -> Option<T>) -> Option<T> {
        let state = self.shared.state();
        let attached = state.containers.get(&self.container)?;
        attached.endpoints.iter().find_map(|endpoint| {
            let network = state.networks.get(&endpoint.spec.network)?;
            look(&network.spec.name, state.names.get(&endpoint.spec.network)?)
        })
    }
}

impl dns::Names for ContainerNames {
    fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.find(|network, names| {
            names.get(name).or_else(|| names.get(name.strip_suffix(network)?.strip_suffix('.')?)).cloned()
        })
    }

    fn name(&self, address: IpAddr) -> Option<String> {
        self.find(|network, names| {
            // The shortest is not the container's ID or a task's long name.
            let mut known: Vec<_> =
                names.iter().filter(|(_, addresses)| addresses.contains(&address)).map(|(name, _)| name).collect();
            known.sort();
            known.first().map(|name| format!("{name}.{network}"))
        })
    }

    fn upstream(&self) -> Vec<IpAddr> {
        self.resolvers.clone()
    }
}

fn resolvers(spec: &ContainerSpec, machine: &Resolver) -> Vec<IpAddr> {
    if spec.dns.is_empty() { machine.servers.clone() } else { spec.dns.clone() }
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Vec<u8> = text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect::<Option<_>>()?;
    bytes.try_into().ok()
}

/// Eight hexadecimal digits that no other cable has: an endpoint may come back while its last cable is still dying.
fn random_digits() -> String {
    use std::hash::{BuildHasher, RandomState};
    hex::encode(&RandomState::new().hash_one(std::process::id()).to_le_bytes()[..4])
}

fn write_json(path: &Path, value: &impl Serialize) -> HostResult<()> {
    let text = serde_json::to_vec(value).map_err(|error| HostError::other("encode network record", error))?;
    let temporary = path.with_extension("new");
    fs::write(&temporary, text)
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|error| io_error(format!("write {}", path.display()), error))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> HostResult<Option<T>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(format!("read {}", path.display()), error)),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| HostError::other(format!("read {}", path.display()), error))
}
