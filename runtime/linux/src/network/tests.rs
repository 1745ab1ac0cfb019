//! Networks for real, in a network namespace that only the test sees.

use std::{
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    time::Duration,
};

use docklab_host::{Limits, NetworkDriver, ProcessSpec};
use nix::sched::{CloneFlags, unshare};

use super::*;

/// Runs `test` on a runtime of its own inside a new network namespace with its loopback up.
fn in_private_network<F: Future<Output = ()>>(test: impl FnOnce(NetworkStore, LinuxOptions) -> F + Send) {
    let directory = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET).unwrap();
                Netlink::open().unwrap().set_up(1).unwrap();
                let runtime =
                    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
                runtime.block_on(async {
                    let mut options = LinuxOptions::beneath(directory.path(), "test");
                    options.node_address = Some(IpAddr::from([127, 0, 0, 1]));
                    let store = NetworkStore::open(&options).await.unwrap();
                    test(store, options).await;
                });
            })
            .join()
            .unwrap();
    });
}

fn network(id: &str, third: u8, dns: bool) -> NetworkSpec {
    NetworkSpec {
        id: id.to_owned(),
        name: format!("name-{id}"),
        driver: NetworkDriver::Bridge,
        subnet: format!("172.30.{third}.0/24"),
        gateway: IpAddr::from([172, 30, third, 1]),
        internal: false,
        interface: String::new(),
        dns,
        mtu: None,
        ipv6: None,
    }
}

fn endpoint(network: &str, third: u8, last: u8) -> EndpointSpec {
    EndpointSpec {
        network: network.to_owned(),
        endpoint: format!("endpoint{last}"),
        address: IpAddr::from([172, 30, third, last]),
        prefix_length: 24,
        gateway: Some(IpAddr::from([172, 30, third, 1])),
        mac: format!("02:42:ac:1e:{third:02x}:{last:02x}"),
        ipv6: None,
        link_local: Vec::new(),
    }
}

fn container(id: &str, endpoints: Vec<EndpointSpec>, ports: Vec<PortSpec>) -> ContainerSpec {
    ContainerSpec {
        id: id.to_owned(),
        hostname: id.to_owned(),
        domainname: String::new(),
        image: String::new(),
        labels: Vec::new(),
        process: ProcessSpec::default(),
        limits: Limits::default(),
        mounts: Vec::new(),
        network: NetworkMode::Endpoints(endpoints),
        ports,
        dns: Vec::new(),
        dns_search: Vec::new(),
        dns_options: Vec::new(),
        extra_hosts: Vec::new(),
        cap_add: Vec::new(),
        cap_drop: Vec::new(),
        security_opt: Vec::new(),
        devices: Vec::new(),
        sysctls: Vec::new(),
        read_only_rootfs: false,
        init: false,
        pid_mode: String::new(),
        ipc_mode: String::new(),
        uts_mode: String::new(),
        shm_size: 0,
        log: false,
    }
}

fn tcp(host_port: u16) -> PortSpec {
    PortSpec { host_address: IpAddr::from([127, 0, 0, 1]), host_port, container_port: 80, protocol: Protocol::Tcp }
}

/// A server in the container that answers everything it is sent, after the client has finished.
fn echo_in(store: &NetworkStore, container: &str) {
    let state = store.shared.state();
    let listener = state.containers[container].namespace.inside(|| std::net::TcpListener::bind("0.0.0.0:80")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut text = String::new();
            let _ = stream.read_to_string(&mut text);
            let _ = stream.write_all(text.to_uppercase().as_bytes());
        }
    });
}

fn ask(port: u16, text: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(text.as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_published_port_reaches_the_container_and_passes_on_the_end_of_input() {
    in_private_network(|store, _| async move {
        store.shared.create_network(&network("net1", 1, false)).unwrap();
        let prepared =
            store.prepare(&container("c1", vec![endpoint("net1", 1, 2)], vec![tcp(8080)]), None).await.unwrap();
        assert_eq!(prepared.ports[0].host_port, 8080);
        assert!(prepared.namespace.is_some());
        echo_in(&store, "c1");
        let answer = tokio::task::spawn_blocking(|| ask(8080, "hello")).await.unwrap().unwrap();
        assert_eq!(answer, "HELLO");
    });
}

#[test]
fn a_taken_port_is_an_error_that_leaves_nothing_behind() {
    in_private_network(|store, _| async move {
        store.shared.create_network(&network("net1", 1, false)).unwrap();
        let _taken = std::net::TcpListener::bind("127.0.0.1:8080").unwrap();
        let error = store.prepare(&container("c1", vec![endpoint("net1", 1, 2)], vec![tcp(8080)]), None).await;
        assert_eq!(error.err(), Some(HostError::PortInUse { protocol: "tcp4", address: "127.0.0.1:8080".to_owned() }));
        assert!(store.shared.state().containers.is_empty());
        assert!(!store.shared.container_file("c1").exists());
    });
}

#[test]
fn a_host_port_of_zero_is_chosen_from_the_ephemeral_range() {
    in_private_network(|store, _| async move {
        store.shared.create_network(&network("net1", 1, false)).unwrap();
        let prepared = store.prepare(&container("c1", vec![endpoint("net1", 1, 2)], vec![tcp(0)]), None).await.unwrap();
        assert!((32768..=60999).contains(&prepared.ports[0].host_port));
    });
}

#[test]
fn names_of_a_user_network_resolve_inside_the_container() {
    in_private_network(|store, _| async move {
        store.shared.create_network(&network("net1", 1, true)).unwrap();
        let prepared = store.prepare(&container("c1", vec![endpoint("net1", 1, 2)], Vec::new()), None).await.unwrap();
        assert!(prepared.resolv_conf.contains("nameserver 127.0.0.11\n"));
        let names = HashMap::from([("db".to_owned(), vec![IpAddr::from([172, 30, 1, 9])])]);
        store.shared.state().names.insert("net1".to_owned(), names);
        let socket = {
            let state = store.shared.state();
            state.containers["c1"].namespace.inside(|| UdpSocket::bind("127.0.0.1:0")).unwrap()
        };
        let reply = tokio::task::spawn_blocking(move || {
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02db\0\0\x01\0\x01";
            socket.send_to(query, "127.0.0.11:53").unwrap();
            let mut buffer = [0; 512];
            let length = socket.recv(&mut buffer).unwrap();
            buffer[..length].to_vec()
        })
        .await
        .unwrap();
        assert!(reply.ends_with(&[172, 30, 1, 9]), "{reply:?}");
    });
}

#[test]
fn containers_are_connected_and_disconnected_while_they_run() {
    in_private_network(|store, _| async move {
        store.shared.create_network(&network("net1", 1, false)).unwrap();
        store.shared.create_network(&network("net2", 2, true)).unwrap();
        store.prepare(&container("c1", vec![endpoint("net1", 1, 2)], Vec::new()), None).await.unwrap();
        let links = |store: &NetworkStore| -> Vec<String> {
            let state = store.shared.state();
            let mut names: Vec<_> =
                state.containers["c1"].namespace.netlink.links().unwrap().into_iter().map(|link| link.name).collect();
            names.retain(|name| name == "lo" || name.starts_with("eth"));
            names.sort();
            names
        };
        store.connect("c1", &endpoint("net2", 2, 2)).unwrap();
        assert_eq!(links(&store), ["eth0", "eth1", "lo"]);
        assert!(store.shared.state().containers["c1"].dns.is_some());
        store.disconnect("c1", "net1").unwrap();
        assert_eq!(links(&store), ["eth1", "lo"]);
        assert_eq!(store.disconnect("c1", "net1"), Err(HostError::not_found("endpoint", "net1")));
    });
}

#[test]
fn the_mesh_takes_turns_and_refuses_without_backends() {
    in_private_network(|store, _| async move {
        let mut spec = network("net1", 1, false);
        spec.driver = NetworkDriver::Overlay { vni: 4097 };
        store.shared.create_network(&spec).unwrap();
        store.shared.set_peers("net1", &[IpAddr::from([10, 77, 0, 2]), IpAddr::from([10, 77, 0, 3])]).unwrap();
        store.shared.set_peers("net1", &[IpAddr::from([10, 77, 0, 3])]).unwrap();
        for last in [2, 3] {
            let mut endpoint = endpoint("net1", 1, last);
            endpoint.gateway = None;
            let id = format!("c{last}");
            store.prepare(&container(&id, vec![endpoint], Vec::new()), None).await.unwrap();
            let state = store.shared.state();
            let listener =
                state.containers[&id].namespace.inside(|| std::net::TcpListener::bind("0.0.0.0:80")).unwrap();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let _ = (&stream).write_all(id.as_bytes());
                }
            });
        }
        let backends = [(IpAddr::from([172, 30, 1, 2]), 80), (IpAddr::from([172, 30, 1, 3]), 80)];
        store.set_mesh("net1", 8080, Protocol::Tcp, &backends).unwrap();
        let answers =
            tokio::task::spawn_blocking(|| (0..4).map(|_| ask(8080, "").unwrap()).collect::<Vec<_>>()).await.unwrap();
        assert_eq!(answers, ["c2", "c3", "c2", "c3"]);
        store.set_mesh("net1", 8080, Protocol::Tcp, &[]).unwrap();
        let answer = tokio::task::spawn_blocking(|| ask(8080, "")).await.unwrap();
        assert!(!matches!(&answer, Ok(text) if !text.is_empty()), "{answer:?}");
    });
}

#[test]
fn nothing_is_left_when_networks_are_removed_and_a_crash_is_cleared_at_open() {
    in_private_network(|store, options| async move {
        store.shared.create_network(&network("net1", 1, false)).unwrap();
        store.shared.create_network(&network("net2", 2, false)).unwrap();
        store.prepare(&container("c1", vec![endpoint("net1", 1, 2)], Vec::new()), None).await.unwrap();
        store.release("c1").await.unwrap();
        store.release("c1").await.unwrap();
        store.shared.remove_network("net1").unwrap();
        // What a crash between the two steps of a removal leaves: a bridge without a record.
        fs::remove_file(store.shared.network_file("net2")).unwrap();
        NetworkStore::open(&options).await.unwrap();
        let left: Vec<_> =
            store.shared.netlink.links().unwrap().into_iter().filter(|link| link.name.starts_with("testb")).collect();
        assert_eq!(left, []);
    });
}

#[test]
fn a_new_engine_finds_a_running_container_with_its_ports_and_names() {
    in_private_network(|store, options| async move {
        store.shared.create_network(&network("net1", 1, true)).unwrap();
        let spec = container("c1", vec![endpoint("net1", 1, 2)], vec![tcp(0)]);
        let prepared = store.prepare(&spec, None).await.unwrap();
        // A process that lives in the namespace, as the container's first one does.
        let namespace = prepared.namespace.unwrap();
        let mut process = {
            let attached = &store.shared.state().containers["c1"].namespace;
            attached.inside(|| std::process::Command::new("sleep").arg("60").spawn()).unwrap()
        };
        drop(namespace);
        // The engine dies: its memory goes, the records stay.
        store.shared.state().containers.clear();
        drop(store);
        let store = NetworkStore::open(&options).await.unwrap();
        // The old engine's listeners end when the runtime gets to them.
        let ports = loop {
            match store.reattach(&spec, process.id()).await {
                Err(HostError::PortInUse { .. }) => tokio::task::yield_now().await,
                result => break result.unwrap(),
            }
        };
        assert_eq!(ports, prepared.ports);
        assert!(store.shared.state().containers["c1"].dns.is_some());
        echo_in(&store, "c1");
        let port = ports[0].host_port;
        let answer = tokio::task::spawn_blocking(move || ask(port, "again")).await.unwrap().unwrap();
        assert_eq!(answer, "AGAIN");
        process.kill().unwrap();
        process.wait().unwrap();
    });
}
