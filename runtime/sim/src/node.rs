//! A simulated machine: its own processes and files, and what the engine that runs on it has made.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_host::{Limits, NetworkDriver, NetworkSpec, PublishedPort};

use crate::{
    fs::{Entry, Mount, SharedTree, Tree, View},
    host::{Container, ContainerLog},
    net::{Interface, Stack},
    process::{Closed, Context, Space, program_file},
    world::{Inner, Life, World, lock},
};

/// A program of a node that comes from outside of the simulator: `docker`.
#[async_trait]
pub trait ExternalCommand: Send + Sync {
    /// Runs it. Files are reached through `context.view()` and `context.path(…)`, the terminal through
    /// `context.streams.tty`. The exit code is 0–255.
    async fn run(&self, context: Context) -> Result<i32, Closed>;
    /// Completions of the last word of a command line, whole words.
    async fn complete(&self, _words: &[String]) -> Vec<String> {
        Vec::new()
    }
}

/// A container's root file system.
#[derive(Clone)]
pub(crate) struct Rootfs {
    pub(crate) tree: SharedTree,
    pub(crate) chain_id: Option<String>,
}

/// A network of this node, with what its DNS knows.
#[derive(Clone)]
pub(crate) struct NodeNetwork {
    pub(crate) spec: NetworkSpec,
    pub(crate) names: BTreeMap<String, Vec<IpAddr>>,
    pub(crate) peers: Vec<IpAddr>,
}

impl NodeNetwork {
    pub(crate) fn network(&self) -> Option<(IpAddr, u8)> {
        let (base, prefix) = self.spec.subnet.split_once('/')?;
        Some((base.parse().ok()?, prefix.parse().ok()?))
    }
    pub(crate) fn is_overlay(&self) -> bool {
        matches!(self.spec.driver, NetworkDriver::Overlay { .. })
    }
}

pub(crate) struct Mesh {
    pub(crate) network: String,
    pub(crate) backends: Vec<(IpAddr, u16)>,
    pub(crate) turn: usize,
}

/// A machine on the LAN.
pub struct Node {
    name: String,
    address: IpAddr,
    world: Arc<Inner>,
    space: OnceLock<Arc<Space>>,
    pub(crate) root: SharedTree,
    pub(crate) layers: Mutex<BTreeSet<String>>,
    pub(crate) blobs: Mutex<HashMap<String, Bytes>>,
    pub(crate) rootfs: Mutex<HashMap<String, Rootfs>>,
    pub(crate) volumes: Mutex<BTreeMap<String, SharedTree>>,
    pub(crate) records: Mutex<BTreeMap<(String, String), Bytes>>,
    pub(crate) logs: Mutex<HashMap<String, Arc<ContainerLog>>>,
    pub(crate) containers: Mutex<HashMap<String, Arc<Container>>>,
    pub(crate) networks: Mutex<HashMap<String, NodeNetwork>>,
    pub(crate) ports: Mutex<Vec<(PublishedPort, String)>>,
    pub(crate) meshes: Mutex<HashMap<u16, Mesh>>,
    commands: Mutex<BTreeMap<String, Arc<dyn ExternalCommand>>>,
    next_pid: AtomicU32,
    up: AtomicBool,
    life: Mutex<Arc<Life>>,
    /// Spaces that the suspension of this node has frozen.
    frozen: Mutex<Vec<Arc<Space>>>,
}

impl Node {
    pub(crate) fn create(world: &World, name: &str, index: usize) -> Arc<Self> {
        let inner = world.0.clone();
        // 192.168.0.11 and on; a world of a thousand nodes goes on in the following networks.
        let host = 11 + index;
        let address = IpAddr::V4(Ipv4Addr::new(192, 168, (host / 250) as u8, (host % 250) as u8));
        if inner.lan.server("registry-1.docker.io").is_none() {
            let hub = Arc::new(crate::images::RegistryServer::hub(&inner));
            for host in ["registry-1.docker.io", "docker.io", "index.docker.io"] {
                inner.lan.add_server(host, hub.clone());
            }
        }
        let mut tree = Tree::default();
        if let Ok(image) = inner.images.image("docklab/node", "latest") {
            let mut parent: Option<String> = None;
            for layer in &image.layers {
                if let Ok(layer) = inner.layers.add(parent.as_deref(), layer.tar.clone()) {
                    tree = Tree::over(layer.merged.clone());
                    parent = Some(layer.chain_id.clone());
                }
            }
        }
        let now = inner.clock.seconds();
        tree.put_with_parents("etc/hostname", Entry::file(format!("{name}\n"), 0o644, now));
        let hosts = format!("127.0.0.1\tlocalhost\n{address}\t{name}\n");
        tree.put_with_parents("etc/hosts", Entry::file(hosts, 0o644, now));
        let root: SharedTree = Arc::new(Mutex::new(tree));
        let node = Arc::new(Self {
            name: name.to_owned(),
            address,
            world: inner.clone(),
            space: OnceLock::new(),
            root: root.clone(),
            layers: Mutex::default(),
            blobs: Mutex::default(),
            rootfs: Mutex::default(),
            volumes: Mutex::default(),
            records: Mutex::default(),
            logs: Mutex::default(),
            containers: Mutex::default(),
            networks: Mutex::default(),
            ports: Mutex::default(),
            meshes: Mutex::default(),
            commands: Mutex::default(),
            next_pid: AtomicU32::new(2000),
            up: AtomicBool::new(true),
            life: Mutex::default(),
            frozen: Mutex::default(),
        });
        let stack = Arc::new(Stack::default());
        stack.add_interface(Interface {
            name: "eth0".into(),
            address,
            prefix: 16,
            gateway: Some(IpAddr::V4(Ipv4Addr::new(192, 168, 0, 1))),
            mac: format!("02:42:c0:a8:{:02x}:{:02x}", host / 250, host % 250),
            network: String::new(),
        });
        let view = View::new(root, system_mounts(&inner, None), false, inner.clock.clone());
        let weak = Arc::downgrade(&node);
        let space = Space::new(name, inner, weak, name, view, stack, false, Limits::default());
        let _ = node.space.set(space);
        node
    }
    pub fn name(&self) -> &str {
        &self.name
    }
    /// On the LAN.
    pub fn address(&self) -> IpAddr {
        self.address
    }
    /// Its own processes, files and network.
    pub fn space(&self) -> &Arc<Space> {
        self.space.get_or_init(|| unreachable!("a node's space is set before the node is handed out"))
    }
    /// Its files.
    pub fn files(&self) -> &View {
        &self.space().view
    }
    pub(crate) fn world(&self) -> &Arc<Inner> {
        &self.world
    }
    /// Whether it answers on the LAN.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }
    /// Takes it off the LAN, or back.
    pub fn set_up(&self, up: bool) {
        self.up.store(up, Ordering::Relaxed);
    }
    /// The power goes: every container and process ends, and so does what the engine was doing. Records and files stay.
    pub fn kill(&self) {
        self.set_up(false);
        // So that what is ended below can come to its end.
        self.resume();
        self.life().end();
        self.world.lan.stop_listening(&self.name);
        let containers: Vec<_> = lock(&self.containers).drain().map(|(_, container)| container).collect();
        for container in containers {
            container.init.signal(9);
        }
        self.space().processes().iter().for_each(|process| process.signal(9));
        lock(&self.ports).clear();
        lock(&self.meshes).clear();
    }
    /// The power is back after [`Node::kill`]. An engine has to be opened again on a new [`Node::host`].
    pub fn start(&self) {
        *lock(&self.life) = Arc::default();
        self.set_up(true);
    }
    /// Freezes the machine: its engine, its containers and its shells. The LAN still reaches it, and gets no answer.
    pub fn suspend(&self) {
        let mut frozen = lock(&self.frozen);
        if !frozen.is_empty() {
            return;
        }
        self.life().suspend(true);
        frozen.push(self.space().clone());
        let containers = lock(&self.containers);
        // What Docker has paused stays paused when the machine goes on.
        frozen.extend(containers.values().map(|container| container.space.clone()).filter(|space| !space.is_paused()));
        frozen.iter().for_each(|space| space.set_paused(true));
    }
    /// Goes on after [`Node::suspend`].
    pub fn resume(&self) {
        lock(&self.frozen).drain(..).for_each(|space| space.set_paused(false));
        self.life().suspend(false);
    }
    pub(crate) fn life(&self) -> Arc<Life> {
        lock(&self.life).clone()
    }
    /// Puts a program into the node's shell, under /usr/bin.
    pub fn add_command(&self, name: &str, command: Arc<dyn ExternalCommand>) {
        let entry = Entry::file(program_file(&format!("external {name}")), 0o755, self.world.clock.seconds());
        lock(&self.root).put_with_parents(&format!("usr/bin/{name}"), entry);
        lock(&self.commands).insert(name.to_owned(), command);
    }
    pub(crate) fn command(&self, name: &str) -> Option<Arc<dyn ExternalCommand>> {
        lock(&self.commands).get(name).cloned()
    }
    pub(crate) fn next_pid(&self) -> u32 {
        self.next_pid.fetch_add(1, Ordering::Relaxed)
    }
    pub(crate) fn others(&self) -> Vec<Arc<Self>> {
        let world = World(self.world.clone());
        world.nodes().into_iter().filter(|node| node.name != self.name).collect()
    }

    // --- what the network needs to know ---

    pub(crate) fn network_specs(&self) -> Vec<NodeNetwork> {
        lock(&self.networks).values().cloned().collect()
    }
    pub(crate) fn names(&self, network: &str, name: &str) -> Vec<IpAddr> {
        lock(&self.networks)
            .get(network)
            .filter(|network| network.spec.dns)
            .and_then(|network| network.names.get(name).cloned())
            .unwrap_or_default()
    }
    /// The stack of a running container with this address on this network.
    pub(crate) fn endpoint(&self, network: &str, address: IpAddr) -> Option<Arc<Stack>> {
        lock(&self.containers)
            .values()
            .filter(|container| container.init.try_exit().is_none())
            .map(|container| &container.space.stack)
            .find(|stack| stack.interfaces().iter().any(|face| face.network == network && face.address == address))
            .cloned()
    }
    pub(crate) fn owns_container_address(&self, address: IpAddr) -> bool {
        lock(&self.containers)
            .values()
            .any(|container| container.space.stack.interfaces().iter().any(|face| face.address == address))
    }
    /// The container behind a published port: its stack, address and port, and the address the proxy comes from.
    pub(crate) fn published(&self, address: IpAddr, port: u16) -> Option<(Arc<Stack>, (IpAddr, u16), IpAddr)> {
        let (inner, container) = lock(&self.ports)
            .iter()
            .find(|(open, _)| {
                open.host_port == port
                    && open.protocol == docklab_host::Protocol::Tcp
                    && (open.host_address.is_unspecified() || open.host_address == address)
            })
            .map(|(open, container)| (open.container_port, container.clone()))?;
        let container = lock(&self.containers).get(&container).cloned()?;
        let stack = container.space.stack.clone();
        let face = stack.interfaces().into_iter().find(|face| face.gateway.is_some())?;
        let gateway = face.gateway.unwrap_or(face.address);
        Some((stack, (face.address, inner), gateway))
    }
    /// `None` without a mesh on the port; `Some(None)` when it has no backend.
    pub(crate) fn mesh_backend(&self, port: u16) -> Option<Option<(String, IpAddr, u16)>> {
        let mut meshes = lock(&self.meshes);
        let mesh = meshes.get_mut(&port)?;
        if mesh.backends.is_empty() {
            return Some(None);
        }
        let (address, inner) = mesh.backends[mesh.turn % mesh.backends.len()];
        mesh.turn = mesh.turn.wrapping_add(1);
        Some(Some((mesh.network.clone(), address, inner)))
    }
    /// How tasks see who comes through the mesh.
    pub(crate) fn mesh_address(&self, network: &str) -> IpAddr {
        let specs = lock(&self.networks);
        specs.get(network).map_or(self.address, |network| network.spec.gateway)
    }
}

/// /proc, /sys and /dev.
pub(crate) fn system_mounts(world: &Arc<Inner>, shm_size: Option<u64>) -> Vec<Mount> {
    use crate::fs::Content;
    let now = world.clock.seconds();
    let mut devices = Tree::default();
    for (name, minor) in [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)] {
        let entry = Entry { content: Content::CharDevice(1, minor), mode: 0o666, uid: 0, gid: 0, mtime: now };
        devices.put(name, entry);
    }
    let tty = Entry { content: Content::CharDevice(5, 0), mode: 0o666, uid: 0, gid: 0, mtime: now };
    devices.put("tty", tty);
    devices.put("pts", Entry::directory(now));
    devices.put("shm", Entry { mode: 0o1777, ..Entry::directory(now) });
    for (name, target) in [("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")] {
        devices.put(name, Entry::symlink(target, now));
    }
    let mut proc = Tree::default();
    let memory = crate::host::MEMORY / 1024;
    for (name, text) in [
        ("version", format!("Linux version {} (docklab simulator)\n", crate::host::KERNEL)),
        ("meminfo", format!("MemTotal:       {memory:>8} kB\nMemFree:        {:>8} kB\n", memory / 2)),
        (
            "cpuinfo",
            "processor\t: 0\nmodel name\t: docklab simulator\n\nprocessor\t: 1\nmodel name\t: docklab simulator\n"
                .to_owned(),
        ),
        ("sys/kernel/hostname", String::new()),
    ] {
        proc.put_with_parents(name, Entry::file(text, 0o444, now));
    }
    let mount = |target: &str, tree: Tree, read_only, kind| Mount {
        target: target.to_owned(),
        tree: Arc::new(Mutex::new(tree)),
        prefix: String::new(),
        read_only,
        kind,
    };
    let mut mounts = vec![
        mount("/proc", proc, true, "proc"),
        mount("/sys", Tree::default(), true, "sysfs"),
        mount("/dev", devices, false, "tmpfs"),
    ];
    if shm_size.is_some() {
        mounts.push(mount("/dev/shm", Tree::default(), false, "shm"));
    }
    mounts
}
