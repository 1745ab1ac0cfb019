//! Whole engines as nodes of one swarm, in the simulator, on virtual time.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use docklab_api::{
    ContainerApi, Filters, ListContainers, ListServices, Logs, NetworkApi, Reference, SwarmApi, SystemApi,
    UpdateService,
    models::{
        EndpointPortConfig, EndpointSpec, NetworkAttachmentConfig, NetworkCreateRequest, NodeSpecAvailabilityEnum,
        NodeState, SecretSpec, ServiceSpec, ServiceSpecMode, ServiceSpecModeReplicated, SwarmInitRequest,
        SwarmJoinRequest, TaskSpec, TaskSpecContainerSpec, TaskSpecContainerSpecFile, TaskSpecContainerSpecSecrets,
        TaskState,
    },
};
use docklab_host::{Compression, Host, HttpRequest};
use docklab_sim::{Node, World};
use futures::{StreamExt, TryStreamExt};

use crate::{Engine, EngineOptions, HostResultExt};

struct Lab {
    world: World,
    nodes: Vec<Arc<Node>>,
    engines: Vec<Engine>,
}

async fn get(host: &dyn Host, path: &str) -> Bytes {
    let url = format!("https://registry-1.docker.io/v2/library/{path}");
    let request = HttpRequest { method: "GET", url, headers: Vec::new(), body: None, insecure: false };
    let response = host.http(request).await.expect("the registry answers");
    assert_eq!(response.status, 200, "{path}");
    response.body.try_collect::<Vec<_>>().await.expect("a body").concat().into()
}

/// Puts an image of the simulated registry into an engine's store.
pub(super) async fn seed(engine: &Engine, name: &str, tag: &str) {
    let host = &*engine.host;
    let manifest: serde_json::Value =
        serde_json::from_slice(&get(host, &format!("{name}/manifests/{tag}")).await).expect("a manifest");
    let digest = |value: &serde_json::Value| value["digest"].as_str().expect("a digest").to_owned();
    let (mut parent, mut sizes) = (None, Vec::new());
    for layer in manifest["layers"].as_array().expect("layers") {
        let blob = get(host, &format!("{name}/blobs/{}", digest(layer))).await;
        let tar = futures::stream::once(async move { Ok(blob) }).boxed();
        let layer = host.unpack(parent.as_deref(), Compression::Gzip, tar).await.api().expect("a layer");
        sizes.push(layer.size);
        parent = Some(layer.chain_id);
    }
    let config = get(host, &format!("{name}/blobs/{}", digest(&manifest["config"]))).await;
    let image = engine.images.add(host, config, sizes, None, false).await.expect("an image");
    let reference = Reference::parse(&format!("{name}:{tag}")).expect("a reference");
    engine.images.set_reference(host, &reference, &image.id).await.expect("a tag");
}

impl Lab {
    /// `node1` is the manager, the others are workers.
    fn new(nodes: usize) -> Self {
        let world = World::new("2026-01-01T00:00:00Z".parse().expect("a date"), 5);
        let mut lab = Self { world, nodes: Vec::new(), engines: Vec::new() };
        for number in 1..=nodes {
            let node = lab.world.add_node(&format!("node{number}"));
            let engine =
                lab.world.block_on(Engine::open(node.host(), EngineOptions::default())).expect("the engine opens");
            lab.world.block_on(seed(&engine, "nginx", "1.13-alpine"));
            lab.nodes.push(node);
            lab.engines.push(engine);
        }
        lab.world.block_on(lab.engines[0].init_swarm(SwarmInitRequest::default())).expect("a swarm");
        let token = lab.token();
        for engine in &lab.engines[1..] {
            lab.world.block_on(engine.join_swarm(lab.join(&token))).expect("joined");
        }
        lab.world.advance(Duration::from_secs(1));
        lab
    }

    fn token(&self) -> String {
        let swarm = self.world.block_on(self.engines[0].inspect_swarm()).expect("a swarm");
        swarm.join_tokens.and_then(|tokens| tokens.worker).expect("a token")
    }

    fn join(&self, token: &str) -> SwarmJoinRequest {
        SwarmJoinRequest {
            remote_addrs: Some(vec![format!("{}:2377", self.nodes[0].address())]),
            join_token: Some(token.to_owned()),
            ..SwarmJoinRequest::default()
        }
    }

    fn create(&self, spec: ServiceSpec) -> String {
        let created = self.world.block_on(self.engines[0].create_service(spec, None)).expect("a service");
        created.id.expect("an ID")
    }

    fn replicas(&self, name: &str) -> (u64, u64) {
        let options = ListServices { filters: Filters::new().with("name", name), status: true };
        let services = self.world.block_on(self.engines[0].list_services(options)).expect("services");
        let status = services[0].service_status.clone().expect("a status");
        (status.running_tasks.expect("a number"), status.desired_tasks.expect("a number"))
    }

    /// Lets time pass until all replicas run.
    fn converge(&self, name: &str) {
        for _ in 0..120 {
            let (running, desired) = self.replicas(name);
            if running == desired {
                return;
            }
            self.world.advance(Duration::from_millis(500));
        }
        panic!("{name} does not converge: {}", self.explain());
    }

    fn explain(&self) -> String {
        let tasks = self.world.block_on(self.engines[0].list_tasks(Filters::new())).expect("tasks");
        let lines = tasks.into_iter().map(|task| {
            let status = task.status.expect("a status");
            format!("{:?} {:?} {:?} {:?}", task.node_id, task.desired_state, status.state, status.err)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn containers(&self, node: usize) -> Vec<String> {
        let listed =
            self.world.block_on(self.engines[node].list_containers(ListContainers::default())).expect("containers");
        listed.into_iter().filter_map(|container| container.names?.into_iter().next()).collect()
    }

    fn run(&self, node: usize, script: &str) -> String {
        let (stdout, stderr, _) = self.world.block_on(self.nodes[node].run_script(script));
        format!("{stdout}{stderr}")
    }

    fn node_state(&self, name: &str) -> NodeState {
        let node = self.world.block_on(self.engines[0].inspect_node(name)).expect("a node");
        node.status.and_then(|status| status.state).expect("a state")
    }
}

fn service(name: &str, replicas: i64) -> ServiceSpec {
    ServiceSpec {
        name: Some(name.into()),
        task_template: Some(TaskSpec {
            container_spec: Some(TaskSpecContainerSpec {
                image: Some("nginx:1.13-alpine".into()),
                ..TaskSpecContainerSpec::default()
            }),
            ..TaskSpec::default()
        }),
        mode: Some(ServiceSpecMode {
            replicated: Some(ServiceSpecModeReplicated { replicas: Some(replicas) }),
            ..ServiceSpecMode::default()
        }),
        ..ServiceSpec::default()
    }
}

fn publish(spec: &mut ServiceSpec, port: i64) {
    let port =
        EndpointPortConfig { target_port: Some(80), published_port: Some(port), ..EndpointPortConfig::default() };
    spec.endpoint_spec = Some(EndpointSpec { ports: Some(vec![port]), ..EndpointSpec::default() });
}

#[test]
fn one_node_runs_a_service_and_its_name_and_labels_are_dockers() {
    let lab = Lab::new(1);
    let id = lab.create(service("web", 2));
    lab.converge("web");
    let names = lab.containers(0);
    assert_eq!(names.len(), 2);
    assert!(names.iter().all(|name| name.starts_with("/web.1.") || name.starts_with("/web.2.")), "{names:?}");
    let shown = lab.world.block_on(lab.engines[0].inspect_container(&names[0], false)).expect("a container");
    let labels = shown.config.and_then(|config| config.labels).expect("labels");
    assert_eq!(labels["com.docker.swarm.service.id"], id);
    assert_eq!(labels["com.docker.swarm.service.name"], "web");
    lab.world.block_on(lab.engines[0].remove_service("web")).expect("removed");
    lab.world.advance(Duration::from_secs(15));
    assert!(lab.containers(0).is_empty());
}

#[test]
fn members_and_strangers_get_dockers_answers() {
    let lab = Lab::new(2);
    let text = |result: Result<(), docklab_api::ApiError>| result.expect_err("refused").to_string();
    let node_ls = lab.world.block_on(lab.engines[1].list_nodes(Filters::new())).map(|_| ());
    assert!(text(node_ls).starts_with("This node is not a swarm manager. Worker nodes can't be used"));
    let again = lab.world.block_on(lab.engines[1].join_swarm(lab.join(&lab.token())));
    assert!(text(again).starts_with("This node is already part of a swarm."));
    let leave = lab.world.block_on(lab.engines[0].leave_swarm(false));
    assert!(text(leave).ends_with("Use `--force` to ignore this message."));

    let stranger = lab.world.add_node("node3");
    let stranger = lab.world.block_on(Engine::open(stranger.host(), EngineOptions::default())).expect("an engine");
    assert_eq!(text(lab.world.block_on(stranger.leave_swarm(false))), "This node is not part of a swarm");
    assert_eq!(text(lab.world.block_on(stranger.join_swarm(lab.join("SWMTKN-1-bad-bad")))), "invalid join token");
    let mut wrong = lab.token();
    wrong.pop();
    wrong.push(if lab.token().ends_with('0') { '1' } else { '0' });
    assert_eq!(
        text(lab.world.block_on(stranger.join_swarm(lab.join(&wrong)))),
        "rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster"
    );
    let mut nobody = lab.join(&lab.token());
    nobody.remote_addrs = Some(vec![format!("{}:2999", lab.nodes[0].address())]);
    assert_eq!(
        text(lab.world.block_on(stranger.join_swarm(nobody))),
        format!(
            "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial tcp {}:2999: \
             connect: connection refused\"",
            lab.nodes[0].address()
        )
    );
    let info = lab.world.block_on(lab.engines[0].info()).expect("info").swarm.expect("a swarm");
    assert_eq!((info.nodes, info.managers, info.control_available), (Some(2), Some(1), Some(true)));
    assert_eq!(lab.world.block_on(lab.engines[1].ping()).expect("a ping").swarm, "active/worker");
}

#[test]
fn the_mesh_answers_on_every_node_and_spreads_over_all_tasks() {
    let lab = Lab::new(3);
    let mut spec = service("web", 2);
    publish(&mut spec, 8080);
    lab.create(spec);
    lab.converge("web");
    lab.world.advance(Duration::from_secs(1));
    for node in 0..3 {
        let page = lab.run(node, "curl -s http://localhost:8080/; curl -s http://localhost:8080/");
        assert_eq!(page.matches("<title>Welcome to nginx!").count(), 2, "node{}: {page}", node + 1);
    }
    let page = lab.run(0, &format!("curl -s http://{}:8080/", lab.nodes[2].address()));
    assert!(page.contains("Welcome to nginx!"), "{page}");
    // Every task has served some of the seven requests.
    let options = Logs { stdout: true, stderr: true, details: true, ..Logs::default() };
    let log = lab.world.block_on(async {
        let lines = lab.engines[0].service_logs("web", options).await.expect("logs");
        lines.map(|line| String::from_utf8_lossy(&line.expect("a line").bytes).into_owned()).collect::<Vec<_>>().await
    });
    let served: Vec<&str> =
        log.iter().filter(|line| line.contains("GET /")).filter_map(|line| line.split(' ').next()).collect();
    let backends: std::collections::BTreeSet<&&str> = served.iter().collect();
    assert_eq!((served.len(), backends.len()), (7, 2), "{log:?}");
}

#[test]
fn a_lost_node_is_down_its_tasks_run_elsewhere_and_nothing_comes_back() {
    let lab = Lab::new(3);
    lab.create(service("web", 6));
    lab.converge("web");
    assert_eq!(lab.containers(2).len(), 2);
    lab.world.lan().cut("node1", "node3");
    lab.world.advance(Duration::from_secs(12));
    assert_eq!(lab.node_state("node3"), NodeState::READY);
    lab.world.advance(Duration::from_secs(6));
    assert_eq!(lab.node_state("node3"), NodeState::DOWN);
    lab.world.advance(Duration::from_secs(10));
    assert_eq!(lab.replicas("web"), (8, 6), "tasks of a lost node still count");
    lab.world.lan().heal_all();
    lab.world.advance(Duration::from_secs(40));
    assert_eq!(lab.node_state("node3"), NodeState::READY);
    assert_eq!((lab.replicas("web"), lab.containers(2).len()), ((6, 6), 0));
}

#[test]
fn draining_updating_and_crashing() {
    let lab = Lab::new(2);
    let manager = &lab.engines[0];
    lab.create(service("web", 2));
    lab.converge("web");
    let node = lab.world.block_on(manager.inspect_node("node2")).expect("a node");
    let mut spec = node.spec.expect("a spec");
    spec.availability = Some(NodeSpecAvailabilityEnum::DRAIN);
    let version = node.version.and_then(|version| version.index).expect("a version");
    lab.world.block_on(manager.update_node("node2", version, spec)).expect("drained");
    lab.world.advance(Duration::from_secs(5));
    assert_eq!((lab.containers(0).len(), lab.containers(1).len()), (2, 0));

    // A container removed by hand is replaced after five seconds.
    let victim = lab.containers(0).remove(0);
    let options = docklab_api::RemoveContainer { force: true, ..docklab_api::RemoveContainer::default() };
    lab.world.block_on(manager.remove_container(&victim, options)).expect("removed");
    lab.world.advance(Duration::from_secs(1));
    assert_eq!(lab.replicas("web"), (1, 2));
    lab.converge("web");
    let tasks = lab.world.block_on(manager.list_tasks(Filters::new())).expect("tasks");
    let error = "task: non-zero exit (137)";
    let failed = |task: &docklab_api::models::Task| {
        task.status
            .as_ref()
            .is_some_and(|status| status.state == Some(TaskState::FAILED) && status.err.as_deref() == Some(error))
    };
    assert!(tasks.iter().any(failed), "{}", lab.explain());

    // A rolling update to an image that is nowhere pauses.
    let service = lab.world.block_on(manager.inspect_service("web", false)).expect("a service");
    let mut spec = service.spec.expect("a spec");
    let container = spec.task_template.as_mut().and_then(|template| template.container_spec.as_mut());
    container.expect("a container").image = Some("nginx:nosuch".into());
    let version = service.version.and_then(|version| version.index).expect("a version");
    let options = UpdateService { version, ..UpdateService::default() };
    lab.world.block_on(manager.update_service("web", options, spec)).expect("updated");
    lab.world.advance(Duration::from_secs(40));
    let status =
        lab.world.block_on(manager.inspect_service("web", false)).expect("a service").update_status.expect("a status");
    let message = status.message.unwrap_or_default();
    assert!(message.starts_with("update paused due to failure or early termination of task "), "{message}");
    assert_eq!(lab.replicas("web").0, 1);
}

#[test]
fn names_secrets_and_logs_reach_tasks_on_other_nodes() {
    let lab = Lab::new(3);
    let manager = &lab.engines[0];
    let body = NetworkCreateRequest {
        name: "lan".into(),
        driver: Some("overlay".into()),
        attachable: Some(true),
        ..NetworkCreateRequest::default()
    };
    let network = lab.world.block_on(manager.create_network(body)).expect("a network");
    assert_eq!(network.id.len(), 25);
    let secret = SecretSpec { name: Some("key".into()), data: Some("aGVsbG8=".into()), ..SecretSpec::default() };
    let secret = lab.world.block_on(manager.create_secret(secret)).expect("a secret");
    let mut spec = service("web", 3);
    let template = spec.task_template.as_mut().expect("a template");
    template.networks =
        Some(vec![NetworkAttachmentConfig { target: Some(network.id), ..NetworkAttachmentConfig::default() }]);
    template.container_spec.as_mut().expect("a container").secrets = Some(vec![TaskSpecContainerSpecSecrets {
        secret_id: Some(secret),
        secret_name: Some("key".into()),
        file: Some(TaskSpecContainerSpecFile {
            name: Some("key".into()),
            uid: Some("0".into()),
            gid: Some("0".into()),
            mode: Some(0o444),
        }),
    }]);
    lab.create(spec);
    lab.converge("web");
    lab.world.advance(Duration::from_secs(1));
    let container = lab.containers(1).remove(0);
    let exec = |script: &str| {
        let config = docklab_api::models::ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(["sh", "-c", script].map(str::to_owned).to_vec()),
            ..docklab_api::models::ExecConfig::default()
        };
        lab.world.block_on(async {
            use docklab_api::ExecApi;
            let id = lab.engines[1].create_exec(&container, config).await.expect("an exec");
            let start = docklab_api::models::ExecStartConfig::default();
            let attached = lab.engines[1].start_exec(&id, start).await.expect("started").expect("attached");
            let output = attached.output.map(|chunk| chunk.expect("output").bytes).collect::<Vec<_>>().await.concat();
            String::from_utf8_lossy(&output).into_owned()
        })
    };
    assert_eq!(exec("cat /run/secrets/key"), "hello");
    for name in ["web", "tasks.web"] {
        let page = exec(&format!("curl -s http://{name}/"));
        assert!(page.contains("Welcome to nginx!"), "{name}: {page}");
    }
    let options = Logs { stdout: true, stderr: true, details: true, ..Logs::default() };
    let log = lab.world.block_on(async {
        let lines = manager.service_logs("web", options).await.expect("logs");
        lines.map(|line| String::from_utf8_lossy(&line.expect("a line").bytes).into_owned()).collect::<Vec<_>>().await
    });
    let origins: std::collections::BTreeSet<&str> = log.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(origins.len(), 3, "{log:?}");
    assert!(log.iter().all(|line| line.starts_with("com.docker.swarm.node.id=")));
}

#[test]
fn a_swarm_outlives_its_engines() {
    let mut lab = Lab::new(2);
    lab.create(service("web", 2));
    lab.converge("web");
    let before = lab.containers(1);
    let host = lab.nodes[1].host();
    let again = lab.world.block_on(Engine::open(host, EngineOptions::default())).expect("the engine opens again");
    lab.engines[1] = again;
    lab.world.advance(Duration::from_secs(20));
    assert_eq!((lab.node_state("node2"), lab.replicas("web")), (NodeState::READY, (2, 2)));
    assert_eq!(lab.containers(1), before);
}

#[test]
fn leaving_ends_the_tasks_and_the_node_stays_listed_as_down() {
    let lab = Lab::new(2);
    lab.create(service("web", 2));
    lab.converge("web");
    lab.world.block_on(lab.engines[1].leave_swarm(false)).expect("left");
    lab.world.advance(Duration::from_secs(12));
    assert_eq!(lab.node_state("node2"), NodeState::DOWN);
    assert!(lab.containers(1).is_empty());
    assert_eq!(lab.containers(0).len(), 2);
    lab.world.block_on(lab.engines[0].remove_node("node2", false)).expect("removed");
    lab.world.block_on(lab.engines[0].leave_swarm(true)).expect("left");
    lab.world.advance(Duration::from_secs(12));
    assert!(lab.containers(0).is_empty());
    lab.world.block_on(lab.engines[0].init_swarm(SwarmInitRequest::default())).expect("a new swarm");
}

#[test]
fn a_manager_tells_when_its_tasks_change_until_it_leaves() {
    let lab = Lab::new(1);
    let mut changes = lab.world.block_on(lab.engines[0].swarm_changes()).expect("a stream");
    let id = lab.create(service("web", 1));
    let running = async {
        // Nothing but the stream says when to look.
        while changes.next().await.is_some() {
            let tasks = lab.engines[0].list_tasks(Filters::new().with("service", &id)).await.expect("tasks");
            let state = tasks.first().and_then(|task| task.status.as_ref()?.state);
            if state == Some(TaskState::RUNNING) {
                return true;
            }
        }
        false
    };
    assert!(lab.world.block_on(running));
    lab.world.block_on(lab.engines[0].leave_swarm(true)).expect("left");
    let rest = lab.world.block_on(changes.collect::<Vec<_>>());
    assert!(rest.len() < 20, "{rest:?}");
}
