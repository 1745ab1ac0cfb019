//! Starting containers and execs.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_host::{
    ContainerSpec, Exit, HostError, HostResult, MountSource, NetworkMode, PortSpec, Process, ProcessSpec, Protocol,
    PublishedPort, Standard, Started,
};
use futures::{FutureExt, StreamExt, future::Either};

use super::{OutputHub, SimHost, layers::file_error, logs::HubSink, networks::interface};
use crate::{
    fs::{Entry, Mount, SharedTree, Tree, View, join},
    net::Stack,
    node::system_mounts,
    process::{
        Closed, Context, Environment, PipeWriter, ProcessState, Source, Space, SpawnSpec, Streams, Tty,
        find_executable, identity, pipe,
    },
    world::lock,
};

/// A container that runs, or has ended and is not cleaned up yet.
pub(crate) struct Container {
    pub(crate) space: Arc<Space>,
    pub(crate) init: Arc<ProcessState>,
    pub(super) hub: Arc<OutputHub>,
    pub(super) process: Arc<SimProcess>,
    pub(super) ports: Vec<PublishedPort>,
    pub(super) environment: Environment,
}

enum Input {
    None,
    Pipe(Arc<PipeWriter>),
    Terminal(Arc<Tty>),
}

/// The engine's handle of a process.
pub(super) struct SimProcess {
    state: Arc<ProcessState>,
    input: Input,
}

#[async_trait]
impl Process for SimProcess {
    #[allow(clippy::misnamed_getters)] // The trait asks for the pid as the host sees it.
    fn pid(&self) -> u32 {
        self.state.node_pid
    }
    async fn wait(&self) -> HostResult<Exit> {
        Ok(self.state.exit().await)
    }
    async fn signal(&self, signal: i32) -> HostResult<()> {
        self.state.signal(signal);
        Ok(())
    }
    async fn resize(&self, rows: u16, columns: u16) -> HostResult<()> {
        if let Input::Terminal(tty) = &self.input {
            tty.resize(rows, columns);
        }
        Ok(())
    }
    async fn write_stdin(&self, bytes: Bytes) -> HostResult<()> {
        match &self.input {
            Input::None => {}
            Input::Pipe(pipe) => pipe.push(&bytes),
            Input::Terminal(tty) => tty.input(&bytes),
        }
        Ok(())
    }
    async fn close_stdin(&self) -> HostResult<()> {
        match &self.input {
            Input::None => {}
            Input::Pipe(pipe) => pipe.close(),
            Input::Terminal(tty) => tty.hang_up(),
        }
        Ok(())
    }
}

impl SimHost {
    pub(super) fn running(&self, container: &str) -> HostResult<Arc<Container>> {
        lock(&self.node.containers)
            .get(container)
            .filter(|container| container.init.try_exit().is_none())
            .cloned()
            .ok_or_else(|| HostError::not_found("running container", container))
    }

    fn mounts(
        &self,
        spec: &ContainerSpec,
        root: &SharedTree,
        address: Option<std::net::IpAddr>,
    ) -> HostResult<Vec<Mount>> {
        let world = self.node.world();
        let now = world.clock.seconds();
        let image = View::new(root.clone(), Vec::new(), false, world.clock.clone());
        let mut mounts = system_mounts(world, Some(spec.shm_size));
        let mut file = |target: &str, content: Vec<u8>, mode: u32, owner: (u32, u32)| {
            let mut tree = Tree::default();
            let entry = Entry { uid: owner.0, gid: owner.1, ..Entry::file(content, mode, now) };
            tree.put("file", entry);
            mounts.push(Mount {
                target: target.to_owned(),
                tree: Arc::new(Mutex::new(tree)),
                prefix: "file".into(),
                read_only: false,
                kind: "tmpfs",
            });
        };
        let mut hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n".to_owned();
        for (name, address) in &spec.extra_hosts {
            hosts += &format!("{address}\t{name}\n");
        }
        if let Some(address) = address {
            hosts += &format!("{address}\t{}\n", spec.hostname);
        }
        let embedded = matches!(&spec.network, NetworkMode::Endpoints(endpoints) if endpoints.iter().any(|endpoint| {
            lock(&self.node.networks).get(&endpoint.network).is_some_and(|network| network.spec.dns)
        }));
        let servers: Vec<String> = match (embedded, spec.dns.is_empty()) {
            (true, _) => vec!["127.0.0.11".into()],
            (false, true) => vec!["192.168.0.1".into()],
            (false, false) => spec.dns.iter().map(ToString::to_string).collect(),
        };
        let resolv: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
        file("/etc/hosts", hosts.into_bytes(), 0o644, (0, 0));
        file("/etc/hostname", format!("{}\n", spec.hostname).into_bytes(), 0o644, (0, 0));
        file("/etc/resolv.conf", resolv.into_bytes(), 0o644, (0, 0));
        for mount in &spec.mounts {
            if let MountSource::File { content, mode, uid, gid } = &mount.source {
                file(&mount.target, content.clone(), *mode, (*uid, *gid));
            }
        }
        for mount in &spec.mounts {
            let target = join("/", &mount.target);
            let (tree, prefix, kind) = match &mount.source {
                MountSource::File { .. } => continue,
                MountSource::Tmpfs(_) => (Arc::new(Mutex::new(Tree::default())), String::new(), "tmpfs"),
                MountSource::Bind { path, create, .. } => {
                    let files = self.node.files();
                    if *create && !files.exists(path) {
                        files.make_directories(path).map_err(|error| file_error(path, error))?;
                    }
                    let (tree, inner, _) = files.origin(path).map_err(|error| file_error(path, error))?;
                    (tree, inner, "ext4")
                }
                MountSource::Volume { subpath, .. } if !subpath.is_empty() => {
                    return Err(HostError::Unsupported(format!(
                        "the simulator mounts whole volumes only, not their directory {subpath}"
                    )));
                }
                MountSource::Volume { name, no_copy, .. } => {
                    let volume = lock(&self.node.volumes).get(name).cloned();
                    let volume = volume.ok_or_else(|| HostError::not_found("volume", name))?;
                    let is_empty = lock(&volume).names("").is_empty();
                    if is_empty && !no_copy && image.is_directory(&target) {
                        let source = View::new(root.clone(), Vec::new(), true, world.clock.clone());
                        let inside = source.canonical(&target).map_err(|error| file_error(&target, error))?;
                        let inside = inside.trim_start_matches('/').to_owned();
                        let from = lock(root);
                        let mut to = lock(&volume);
                        for path in from.beneath_paths(&inside) {
                            if let Some(entry) = from.get(&path) {
                                to.put(&path[inside.len() + 1..], entry.clone());
                            }
                        }
                    }
                    (volume, String::new(), "ext4")
                }
            };
            mounts.push(Mount { target, tree, prefix, read_only: mount.read_only, kind });
        }
        Ok(mounts)
    }

    fn open_ports(&self, spec: &ContainerSpec) -> HostResult<Vec<PublishedPort>> {
        let mut opened: Vec<PublishedPort> = Vec::new();
        let mut ports = lock(&self.node.ports);
        let meshes = lock(&self.node.meshes);
        for PortSpec { host_address, host_port, container_port, protocol } in spec.ports.iter().cloned() {
            let taken = |port: u16| {
                let clash = |open: &PublishedPort| {
                    open.host_port == port
                        && open.protocol == protocol
                        && open.host_address.is_ipv4() == host_address.is_ipv4()
                        && (open.host_address == host_address
                            || open.host_address.is_unspecified()
                            || host_address.is_unspecified())
                };
                let node_program = self.node.space().stack.sender(host_address, port).is_some()
                    || self.node.space().stack.listening().iter().any(|(_, open, _)| *open == port);
                ports.iter().any(|(open, _)| clash(open))
                    || opened.iter().any(clash)
                    || (protocol == Protocol::Tcp && (node_program || meshes.contains_key(&port)))
            };
            let port = if host_port == 0 {
                // An IPv6 twin takes the port its IPv4 binding got.
                let twin = opened.iter().find(|open| {
                    open.container_port == container_port
                        && open.protocol == protocol
                        && open.host_address.is_ipv4() != host_address.is_ipv4()
                });
                match twin.map(|open| open.host_port).filter(|port| !taken(*port)) {
                    Some(port) => port,
                    None => (32768..=60999).find(|port| !taken(*port)).ok_or(HostError::NoSpace)?,
                }
            } else if taken(host_port) {
                let protocol = if protocol == Protocol::Tcp { "tcp" } else { "udp" };
                let address = std::net::SocketAddr::new(host_address, host_port).to_string();
                return Err(HostError::PortInUse { protocol, address });
            } else {
                host_port
            };
            opened.push(PublishedPort { host_address, host_port: port, container_port, protocol });
        }
        ports.extend(opened.iter().map(|port| (port.clone(), spec.id.clone())));
        Ok(opened)
    }

    /// Streams for a process, and the handle's side of its input.
    fn streams(&self, space: &Arc<Space>, spec: &ProcessSpec, hub: &Arc<OutputHub>) -> (Streams, Input) {
        if spec.tty {
            let (tty, mut receiver) = Tty::new(space.next_tty(), spec.console_size.0, spec.console_size.1);
            let hub = hub.clone();
            space.world.spawn(
                async move {
                    while let Some(bytes) = receiver.next().await {
                        hub.write(Standard::Stdout, &bytes);
                    }
                }
                .boxed(),
            );
            return (Streams::terminal(&tty), Input::Terminal(tty));
        }
        let sink = |standard| Arc::new(HubSink { hub: hub.clone(), standard });
        let (stdin, input) = if spec.open_stdin {
            let (writer, reader) = pipe();
            (Source::Pipe(reader), Input::Pipe(writer))
        } else {
            (Source::Null, Input::None)
        };
        let streams = Streams { stdin, stdout: sink(Standard::Stdout), stderr: sink(Standard::Stderr), tty: None };
        (streams, input)
    }

    /// Starts a process in a space and closes its output when it has ended.
    pub(super) fn launch(
        &self,
        space: &Arc<Space>,
        spec: &ProcessSpec,
        hub: &Arc<OutputHub>,
        with_init: bool,
    ) -> HostResult<(Arc<ProcessState>, SimProcess)> {
        let user = identity(&space.view, &spec.user)?;
        let mut env = Environment::from_lines(&spec.env);
        if env.get("HOME").is_none() {
            env.set("HOME", &user.home);
        }
        let cwd = join("/", &spec.cwd);
        space.view.make_directories(&cwd).map_err(|error| file_error(&cwd, error))?;
        let executable = find_executable(&space.view, &spec.argv, &env, &cwd)?;
        let (streams, input) = self.streams(space, spec, hub);
        let tty = streams.tty.clone();
        let spawn = SpawnSpec { argv: spec.argv.clone(), env, cwd, streams, parent: 0, user: user.clone() };
        let state = if with_init {
            let mut argv = vec!["/sbin/docker-init".to_owned(), "--".to_owned()];
            argv.extend(spec.argv.iter().cloned());
            let inner = spec.argv.clone();
            space.spawn_program(SpawnSpec { argv, ..spawn }, move |context| {
                async move {
                    let numbers: Vec<i32> = (1..32).filter(|number| ![9, 17, 19].contains(number)).collect();
                    context.process.handle(&numbers);
                    let Context { process, env, cwd, streams, .. } = context;
                    let tty = streams.tty.clone();
                    let spawn = SpawnSpec { argv: inner, env, cwd, streams, parent: 1, user };
                    let Ok(child) = process.space.spawn(spawn) else { return Ok(127) };
                    if let Some(tty) = &tty {
                        tty.set_foreground(vec![Arc::downgrade(&child)]);
                    }
                    loop {
                        let signal = Box::pin(process.next_signal());
                        let exit = Box::pin(child.exit());
                        match futures::future::select(exit, signal).await {
                            Either::Left((exit, _)) => return Ok::<i32, Closed>(exit.code),
                            Either::Right((number, _)) => child.signal(number),
                        }
                    }
                }
                .boxed()
            })
        } else {
            space.spawn_found(executable, spawn)
        };
        if let Some(tty) = &tty {
            tty.add_foreground(&state);
        }
        let (ended, closing, world) = (state.clone(), hub.clone(), space.world.clone());
        space.world.spawn(
            async move {
                ended.exit().await;
                // What the terminal still holds is passed on in this same moment.
                world.clock.sleep(std::time::Duration::ZERO).await;
                closing.close();
            }
            .boxed(),
        );
        Ok((state.clone(), SimProcess { state, input }))
    }

    pub(super) async fn start_container(&self, spec: &ContainerSpec) -> HostResult<Started> {
        let rootfs = self.rootfs(&spec.id)?;
        if let Some(old) = lock(&self.node.containers).get(&spec.id)
            && old.init.try_exit().is_none()
        {
            return Err(HostError::Other(format!("container {} is running", spec.id)));
        }
        let world = self.node.world().clone();
        let mut address = None;
        let stack = match &spec.network {
            NetworkMode::None => Arc::new(Stack::default()),
            NetworkMode::Host => self.node.space().stack.clone(),
            NetworkMode::Container(other) => self.running(other)?.space.stack.clone(),
            NetworkMode::Endpoints(endpoints) => {
                let stack = Arc::new(Stack::default());
                for endpoint in endpoints {
                    if !lock(&self.node.networks).contains_key(&endpoint.network) {
                        return Err(HostError::not_found("network", &endpoint.network));
                    }
                    address = address.or(Some(endpoint.address));
                    stack.add_interface(interface(endpoint));
                }
                stack
            }
        };
        let mounts = self.mounts(spec, &rootfs.tree, address)?;
        let view = View::new(rootfs.tree.clone(), mounts, spec.read_only_rootfs, world.clock.clone());
        let hostname =
            if spec.network == NetworkMode::Host { self.node.name().to_owned() } else { spec.hostname.clone() };
        let node = Arc::downgrade(&self.node);
        let space = Space::new(&spec.id, world.clone(), node, &hostname, view, stack, true, spec.limits.clone());
        // The command is looked up before ports are opened, so that nothing stays behind when it is not there.
        let env = Environment::from_lines(&spec.process.env);
        find_executable(&space.view, &spec.process.argv, &env, &join("/", &spec.process.cwd))?;
        identity(&space.view, &spec.process.user)?;
        let ports = self.open_ports(spec)?;
        let log = spec.log.then(|| lock(&self.node.logs).entry(spec.id.clone()).or_default().clone());
        let hub = OutputHub::new(world.clock.clone(), log);
        let output = hub.listen().boxed();
        let (init, process) = match self.launch(&space, &spec.process, &hub, spec.init) {
            Ok(launched) => launched,
            Err(error) => {
                lock(&self.node.ports).retain(|(_, owner)| *owner != spec.id);
                return Err(error);
            }
        };
        let process = Arc::new(process);
        let container =
            Container { space, init, hub, process: process.clone(), ports: ports.clone(), environment: env };
        lock(&self.node.containers).insert(spec.id.clone(), Arc::new(container));
        Ok(Started { process, output, ports, warnings: Vec::new() })
    }
}
