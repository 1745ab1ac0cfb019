//! What an engine asks of the simulated host.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use docklab_host::{
    ChangeKind, Compression, ContainerSpec, EndpointSpec, ExecSpec, Host, HostError, HttpRequest, LogQuery,
    MountSource, MountSpec, NetworkDriver, NetworkMode, NetworkSpec, Output, PortSpec, ProcessSpec, Protocol, Started,
};
use docklab_sim::{Node, World};
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;

const HUB: &str = "https://registry-1.docker.io/v2/library";

struct Lab {
    world: World,
    node: Arc<Node>,
    host: Arc<dyn Host>,
}

impl Lab {
    fn new() -> Self {
        let world = World::new("2026-03-01T12:00:00Z".parse().unwrap(), 7);
        let node = world.add_node("node1");
        let host = node.host();
        let network = NetworkSpec {
            id: "bridge".into(),
            name: "bridge".into(),
            driver: NetworkDriver::Bridge,
            subnet: "172.17.0.0/16".into(),
            gateway: "172.17.0.1".parse().unwrap(),
            internal: false,
            interface: "docker0".into(),
            dns: false,
            mtu: None,
            ipv6: None,
        };
        world.block_on(host.create_network(&network)).unwrap();
        Self { world, node, host }
    }
    async fn get(&self, url: String) -> Bytes {
        let request = HttpRequest { method: "GET", url, headers: Vec::new(), body: None, insecure: false };
        let response = self.host.http(request).await.unwrap();
        assert_eq!(response.status, 200);
        response.body.try_collect::<Vec<_>>().await.unwrap().concat().into()
    }
    /// Pulls as an engine does; the top chain ID and the configuration.
    async fn pull(&self, name: &str, tag: &str) -> (String, Value) {
        let manifest: Value = serde_json::from_slice(&self.get(format!("{HUB}/{name}/manifests/{tag}")).await).unwrap();
        let digest = manifest["config"]["digest"].as_str().unwrap();
        let config: Value = serde_json::from_slice(&self.get(format!("{HUB}/{name}/blobs/{digest}")).await).unwrap();
        let mut parent: Option<String> = None;
        for (layer, diff_id) in
            manifest["layers"].as_array().unwrap().iter().zip(config["rootfs"]["diff_ids"].as_array().unwrap())
        {
            let blob = self.get(format!("{HUB}/{name}/blobs/{}", layer["digest"].as_str().unwrap())).await;
            let blob = futures::stream::once(async move { Ok(blob) }).boxed();
            let unpacked = self.host.unpack(parent.as_deref(), Compression::Gzip, blob).await.unwrap();
            assert_eq!(unpacked.diff_id, diff_id.as_str().unwrap());
            parent = Some(unpacked.chain_id);
        }
        (parent.unwrap(), config)
    }
    fn spec(&self, id: &str, config: &Value, command: &[&str], address: &str) -> ContainerSpec {
        let words =
            |key: &str| -> Vec<String> { serde_json::from_value(config["config"][key].clone()).unwrap_or_default() };
        let mut argv = words("Entrypoint");
        if command.is_empty() {
            argv.extend(words("Cmd"));
        } else {
            argv.extend(command.iter().map(|word| (*word).to_owned()));
        }
        let endpoint = EndpointSpec {
            network: "bridge".into(),
            endpoint: id.into(),
            address: address.parse().unwrap(),
            prefix_length: 16,
            gateway: Some("172.17.0.1".parse().unwrap()),
            mac: "02:42:ac:11:00:02".into(),
            ipv6: None,
            link_local: Vec::new(),
        };
        ContainerSpec {
            id: id.into(),
            hostname: id.into(),
            domainname: String::new(),
            image: String::new(),
            labels: Vec::new(),
            process: ProcessSpec { argv, env: words("Env"), cwd: "/".into(), ..ProcessSpec::default() },
            limits: Default::default(),
            mounts: Vec::new(),
            network: NetworkMode::Endpoints(vec![endpoint]),
            ports: Vec::new(),
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
            shm_size: 64 << 20,
            log: true,
        }
    }
    async fn start(&self, spec: &ContainerSpec, chain: &str) -> Result<Started, HostError> {
        self.host.create_rootfs(&spec.id, Some(chain)).await.unwrap();
        self.host.start(spec).await
    }
    async fn run(&self, spec: &ContainerSpec, chain: &str) -> (String, i32) {
        let started = self.start(spec, chain).await.unwrap();
        (text(started.output.collect().await), started.process.wait().await.unwrap().code)
    }
    async fn exec(&self, id: &str, argv: &[&str]) -> Result<(String, i32), HostError> {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        let process = ProcessSpec { argv, cwd: "/".into(), ..ProcessSpec::default() };
        let started = self.host.exec(id, &ExecSpec { id: "exec".into(), process }).await?;
        Ok((text(started.output.collect().await), started.process.wait().await.unwrap().code))
    }
}

fn text(outputs: Vec<Output>) -> String {
    outputs.iter().map(|output| String::from_utf8_lossy(&output.bytes).into_owned()).collect()
}

fn port(host_port: u16, container_port: u16) -> PortSpec {
    PortSpec { host_address: IpAddr::from([0, 0, 0, 0]), host_port, container_port, protocol: Protocol::Tcp }
}

#[test]
fn every_built_in_image_builds_and_unpacks() {
    let lab = Lab::new();
    for (name, tags) in [
        ("ubuntu", &["latest"][..]),
        ("debian", &["latest"]),
        ("alpine", &["latest", "3"]),
        ("busybox", &["latest"]),
        ("nginx", &["latest", "1.12", "1.13", "alpine"]),
        ("python", &["3", "latest", "3.6.1-alpine"]),
        ("mongo", &["3.4", "latest"]),
        ("hello-world", &["latest"]),
        ("registry", &["2", "latest"]),
    ] {
        for tag in tags {
            lab.world.block_on(lab.pull(name, tag));
        }
    }
}

#[test]
fn top_without_a_terminal_is_refused_and_with_one_ends_on_term() {
    let lab = Lab::new();
    lab.world.block_on(async {
        let (chain, config) = lab.pull("ubuntu", "latest").await;
        let mut spec = lab.spec("c1", &config, &["top"], "172.17.0.2");
        assert_eq!(lab.run(&spec, &chain).await, ("top: failed tty get\n".into(), 1));
        spec.id = "c2".into();
        spec.process.tty = true;
        let started = lab.start(&spec, &chain).await.unwrap();
        lab.world.sleep(std::time::Duration::from_secs(5)).await;
        let (listing, code) = lab.exec("c2", &["ps", "-ef"]).await.unwrap();
        assert_eq!(code, 0);
        assert!(listing.lines().nth(1).unwrap().ends_with("pts/0    00:00:00 top"), "{listing}");
        started.process.signal(15).await.unwrap();
        assert_eq!(started.process.wait().await.unwrap().code, 0);
    });
}

#[test]
fn the_first_process_ignores_term_without_a_handler_and_init_passes_it_on() {
    let lab = Lab::new();
    lab.world.block_on(async {
        let (chain, config) = lab.pull("alpine", "latest").await;
        let mut spec = lab.spec("c1", &config, &["sleep", "1000"], "172.17.0.2");
        let started = lab.start(&spec, &chain).await.unwrap();
        started.process.signal(15).await.unwrap();
        lab.world.sleep(std::time::Duration::from_secs(10)).await;
        started.process.signal(9).await.unwrap();
        assert_eq!(started.process.wait().await.unwrap().code, 137);
        spec.id = "c2".into();
        spec.init = true;
        let started = lab.start(&spec, &chain).await.unwrap();
        lab.world.sleep(std::time::Duration::from_secs(1)).await;
        started.process.signal(15).await.unwrap();
        assert_eq!(started.process.wait().await.unwrap().code, 143);
    });
}

#[test]
fn nginx_answers_with_its_files_and_logs_who_asked() {
    let lab = Lab::new();
    lab.world.block_on(async {
        let (chain, config) = lab.pull("nginx", "latest").await;
        let mut spec = lab.spec("web", &config, &[], "172.17.0.2");
        spec.ports.push(port(8080, 80));
        lab.start(&spec, &chain).await.unwrap();
        lab.world.sleep(std::time::Duration::from_secs(1)).await;
        let (page, _, code) = lab.node.run_script("curl -s localhost:8080 | grep h1").await;
        assert_eq!((page.as_str(), code), ("<h1>Welcome to nginx!</h1>\n", 0));
        lab.exec("web", &["sh", "-c", "echo changed > /usr/share/nginx/html/index.html"]).await.unwrap();
        assert_eq!(lab.node.run_script("curl -s http://172.17.0.2").await.0, "changed\n");
        let logs: Vec<_> = lab.host.logs("web", LogQuery::default()).await.unwrap().try_collect().await.unwrap();
        let last = String::from_utf8_lossy(&logs.last().unwrap().bytes).into_owned();
        assert!(last.starts_with("172.17.0.1 - - [01/Mar/2026:12:00:"), "{last}");
        let changes = lab.host.changes("web").await.unwrap();
        let paths: Vec<_> = changes.iter().map(|change| (change.kind, change.path.as_str())).collect();
        assert!(paths.contains(&(ChangeKind::Added, "/run/nginx.pid")), "{paths:?}");
        assert!(paths.contains(&(ChangeKind::Modified, "/usr/share/nginx/html/index.html")), "{paths:?}");
        let mut second = lab.spec("web2", &config, &[], "172.17.0.3");
        second.ports.push(port(8080, 80));
        let error = lab.start(&second, &chain).await.err().unwrap();
        assert_eq!(error, HostError::PortInUse { protocol: "tcp", address: "0.0.0.0:8080".into() });
        let found = lab.world.http("node1", "GET", "localhost", 8080, "/").await.unwrap();
        assert_eq!(found.body, "changed\n");
    });
}

#[test]
fn an_application_that_listens_on_loopback_resets_published_connections() {
    let lab = Lab::new();
    lab.world.block_on(async {
        let (chain, config) = lab.pull("python", "3.6.1-alpine").await;
        let app = "from flask import Flask\napp = Flask(__name__)\n@app.route('/')\ndef f():\n    return 'hello world!'\napp.run(HOST)\n";
        for (id, host, expected) in [("c1", "host='0.0.0.0'", ("hello world!", 0)), ("c2", "", ("", 56))] {
            let command = format!("pip install flask && echo \"{}\" > app.py && exec python app.py", app.replace("HOST", host));
            let mut spec = lab.spec(id, &config, &["sh", "-c", &command], "172.17.0.2");
            spec.ports.push(port(5001, 5000));
            let started = lab.start(&spec, &chain).await.unwrap();
            lab.world.sleep(std::time::Duration::from_secs(20)).await;
            let (body, _, code) = lab.node.run_script("curl -s localhost:5001").await;
            assert_eq!((body.as_str(), code), expected);
            started.process.signal(9).await.unwrap();
            started.process.wait().await.unwrap();
            lab.host.cleanup(id).await.unwrap();
        }
    });
}

#[test]
fn commands_that_cannot_start_have_typed_errors() {
    let lab = Lab::new();
    lab.world.block_on(async {
        let (chain, config) = lab.pull("ubuntu", "latest").await;
        let start = async |command: &str| {
            let spec = lab.spec("c1", &config, &[command], "172.17.0.2");
            lab.start(&spec, &chain).await.err().unwrap()
        };
        assert_eq!(start("nosuchcmd").await, HostError::CommandNotFound("nosuchcmd".into()));
        assert_eq!(start("/nosuch").await, HostError::CommandPathNotFound("/nosuch".into()));
        let denied =
            HostError::CommandNotExecutable { command: "/etc/passwd".into(), reason: "permission denied".into() };
        assert_eq!(start("/etc/passwd").await, denied);
    });
}

#[test]
fn too_much_memory_kills() {
    let lab = Lab::new();
    lab.world.block_on(async {
        let (chain, config) = lab.pull("ubuntu", "latest").await;
        let mut spec = lab.spec("c1", &config, &["tail", "/dev/zero"], "172.17.0.2");
        spec.limits.memory = Some(32 << 20);
        let started = lab.start(&spec, &chain).await.unwrap();
        let exit = started.process.wait().await.unwrap();
        assert_eq!((exit.code, exit.oom_killed), (137, true));
    });
}

#[test]
fn a_committed_layer_exports_the_tar_of_its_digest_and_applies_again() {
    let lab = Lab::new();
    lab.world.block_on(async {
        let (chain, config) = lab.pull("alpine", "latest").await;
        let spec = lab.spec(
            "c1",
            &config,
            &["sh", "-c", "echo new > /new; rm -r /media; chmod 600 /etc/passwd"],
            "172.17.0.2",
        );
        assert_eq!(lab.run(&spec, &chain).await, (String::new(), 0));
        let changes = lab.host.changes("c1").await.unwrap();
        let list: Vec<_> = changes.iter().map(|change| format!("{:?} {}", change.kind, change.path)).collect();
        assert_eq!(list, ["Modified /etc", "Modified /etc/passwd", "Deleted /media", "Added /new"]);
        let layer = lab.host.commit("c1").await.unwrap().unwrap();
        let tar: Vec<Bytes> = lab.host.export_layer(&layer.chain_id).await.unwrap().try_collect().await.unwrap();
        let blob =
            lab.host.write_blob(Some(&layer.diff_id), futures::stream::iter(tar.into_iter().map(Ok)).boxed()).await;
        let blob = blob.unwrap();
        let again =
            lab.host.unpack(Some(&chain), Compression::None, lab.host.read_blob(&blob.digest, 0).await.unwrap()).await;
        assert_eq!(again.unwrap(), layer);
        let spec = lab.spec("c2", &config, &["sh", "-c", "cat /new; ls /media"], "172.17.0.2");
        let (output, code) = lab.run(&spec, &layer.chain_id).await;
        assert_eq!((output.as_str(), code), ("new\nls: cannot access '/media': No such file or directory\n", 2));
    });
}

#[test]
fn volumes_are_filled_from_the_image_and_binds_show_the_node() {
    let lab = Lab::new();
    lab.world.block_on(async {
        let (chain, config) = lab.pull("nginx", "1.12").await;
        lab.host.create_volume("v").await.unwrap();
        let command = ["sh", "-c", "ls /usr/share/nginx/html; cat /n; echo x > /n || echo read-only"];
        let mut spec = lab.spec("c1", &config, &command, "172.17.0.2");
        spec.process.argv.remove(0);
        let volume = MountSource::Volume { name: "v".into(), no_copy: false, subpath: String::new() };
        spec.mounts.push(MountSpec { source: volume, target: "/usr/share/nginx/html".into(), read_only: false });
        let bind = MountSource::Bind { path: "/etc/hostname".into(), create: false, propagation: String::new() };
        spec.mounts.push(MountSpec { source: bind, target: "/n".into(), read_only: true });
        let (output, _) = lab.run(&spec, &chain).await;
        insta::assert_snapshot!(output, @r"
        50x.html
        index.html
        node1
        sh: 1: /n: Read-only file system
        read-only
        ");
    });
}

#[test]
fn a_paused_container_does_not_answer() {
    let lab = Lab::new();
    lab.world.block_on(async {
        let (chain, config) = lab.pull("nginx", "alpine").await;
        let spec = lab.spec("c1", &config, &[], "172.17.0.2");
        lab.start(&spec, &chain).await.unwrap();
        lab.world.sleep(std::time::Duration::from_secs(1)).await;
        lab.host.pause("c1").await.unwrap();
        assert_eq!(lab.node.run_script("curl -s -m 5 172.17.0.2").await.2, 28);
        lab.host.resume("c1").await.unwrap();
        assert_eq!(lab.node.run_script("curl -s -m 5 172.17.0.2").await.2, 0);
    });
}

#[test]
fn a_registry_in_a_container_takes_what_is_pushed() {
    let lab = Lab::new();
    lab.world.block_on(async {
        let (chain, config) = lab.pull("registry", "2").await;
        let mut spec = lab.spec("r", &config, &[], "172.17.0.2");
        spec.ports.push(port(5000, 5000));
        lab.start(&spec, &chain).await.unwrap();
        lab.world.sleep(std::time::Duration::from_secs(1)).await;
        let (catalog, ..) = lab.node.run_script("curl -s localhost:5000/v2/_catalog").await;
        assert_eq!(catalog.trim(), r#"{"repositories":[]}"#);
    });
}

#[test]
fn nodes_reach_each_other_unless_the_link_is_cut() {
    let lab = Lab::new();
    let other = lab.world.add_node("node2");
    lab.world.block_on(async {
        let (chain, config) = lab.pull("nginx", "latest").await;
        let mut spec = lab.spec("web", &config, &[], "172.17.0.2");
        spec.ports.push(port(80, 80));
        lab.start(&spec, &chain).await.unwrap();
        lab.world.sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(other.run_script("curl -s -o /dev/null node1").await.2, 0);
        lab.world.lan().cut("node1", "node2");
        assert_eq!(other.run_script("curl -s -m 3 node1").await.2, 28);
        lab.world.lan().heal("node1", "node2");
        assert_eq!(other.run_script("curl -s node1:81").await.2, 7);
    });
}
