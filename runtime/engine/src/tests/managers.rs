//! Swarms of several managers, in the simulator, on virtual time.

use std::{sync::Arc, time::Duration};

use docklab_api::{
    ApiResult, Filters, Logs, RaftRole, SwarmApi, SystemApi,
    models::{
        LocalNodeState, Node as ApiNode, NodeSpec, NodeSpecRoleEnum, NodeState, Reachability, ServiceSpec,
        ServiceSpecMode, ServiceSpecModeReplicated, SwarmInitRequest, SwarmJoinRequest, TaskSpec,
        TaskSpecContainerSpec, TaskState,
    },
};
use docklab_sim::{Node, World};
use futures::StreamExt;

use super::swarm::seed;
use crate::{Engine, EngineOptions};

const NO_LEADER: &str = "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few \
                         managers are online. Make sure more than half of the managers are online.";

struct Lab {
    world: World,
    nodes: Vec<Arc<Node>>,
    engines: Vec<Engine>,
}

impl Lab {
    /// `managers` managers and one worker behind them.
    fn new(managers: usize) -> Self {
        let world = World::new("2026-01-01T00:00:00Z".parse().expect("a date"), 6);
        let mut lab = Self { world, nodes: Vec::new(), engines: Vec::new() };
        for number in 1..=managers + 1 {
            let node = lab.world.add_node(&format!("node{number}"));
            let engine = lab.open(&node);
            lab.world.block_on(seed(&engine, "nginx", "1.13-alpine"));
            lab.nodes.push(node);
            lab.engines.push(engine);
        }
        lab.world.block_on(lab.engines[0].init_swarm(SwarmInitRequest::default())).expect("a swarm");
        for number in 1..=managers {
            lab.join(number, number < managers).expect("joined");
        }
        lab.pass(3);
        lab
    }

    fn open(&self, node: &Arc<Node>) -> Engine {
        self.world.block_on(Engine::open(node.host(), EngineOptions::default())).expect("the engine opens")
    }

    fn join(&self, node: usize, manager: bool) -> ApiResult<()> {
        let swarm = self.world.block_on(self.engines[0].inspect_swarm()).expect("a swarm");
        let tokens = swarm.join_tokens.expect("tokens");
        let request = SwarmJoinRequest {
            remote_addrs: Some(vec![format!("{}:2377", self.nodes[0].address())]),
            join_token: if manager { tokens.manager } else { tokens.worker },
            ..SwarmJoinRequest::default()
        };
        self.world.block_on(self.engines[node].join_swarm(request))
    }

    fn pass(&self, seconds: u64) {
        self.world.advance(Duration::from_secs(seconds));
    }

    fn kill(&self, node: usize) {
        self.nodes[node].kill();
    }

    fn start(&mut self, node: usize) {
        self.nodes[node].start();
        self.engines[node] = self.open(&self.nodes[node]);
    }

    /// As seen by one manager: name and `Leader`, `Reachable`, `Unreachable` or nothing.
    fn node_ls(&self, by: usize) -> Vec<(String, String)> {
        let nodes = self.world.block_on(self.engines[by].list_nodes(Filters::new())).expect("nodes");
        nodes.iter().map(|node| (hostname(node), status(node).to_owned())).collect()
    }

    fn leader(&self) -> Option<usize> {
        let role = |node: &usize| {
            let status = self.world.block_on(self.engines[*node].raft_status());
            status.is_ok_and(|status| status.role == RaftRole::Leader && self.nodes[*node].is_up())
        };
        (0..self.nodes.len()).find(role)
    }

    fn set_role(&self, by: usize, name: &str, role: NodeSpecRoleEnum) -> ApiResult<()> {
        let node = self.world.block_on(self.engines[by].inspect_node(name)).expect("a node");
        let spec = NodeSpec { role: Some(role), ..node.spec.expect("a specification") };
        let version = node.version.and_then(|version| version.index).expect("a version");
        self.world.block_on(self.engines[by].update_node(&node.id.expect("an ID"), version, spec))
    }

    fn create(&self, by: usize, name: &str, replicas: i64) -> ApiResult<String> {
        let spec = ServiceSpec {
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
        };
        let created = self.world.block_on(self.engines[by].create_service(spec, None))?;
        Ok(created.id.expect("an ID"))
    }

    fn running(&self, by: usize, service: &str) -> usize {
        let filters = Filters::new().with("service", service).with("desired-state", "running");
        let tasks = self.world.block_on(self.engines[by].list_tasks(filters)).expect("tasks");
        let state = |task: &docklab_api::models::Task| task.status.as_ref().and_then(|status| status.state);
        tasks.iter().filter(|task| state(task) == Some(TaskState::RUNNING)).count()
    }

    fn state(&self, by: usize, name: &str) -> NodeState {
        let node = self.world.block_on(self.engines[by].inspect_node(name)).expect("a node");
        node.status.and_then(|status| status.state).expect("a state")
    }
}

fn hostname(node: &ApiNode) -> String {
    node.description.as_ref().and_then(|description| description.hostname.clone()).unwrap_or_default()
}

fn status(node: &ApiNode) -> &'static str {
    match &node.manager_status {
        Some(status) if status.leader == Some(true) => "Leader",
        Some(status) if status.reachability == Some(Reachability::REACHABLE) => "Reachable",
        Some(_) => "Unreachable",
        None => "",
    }
}

fn expected(statuses: &[&str]) -> Vec<(String, String)> {
    statuses.iter().enumerate().map(|(at, status)| (format!("node{}", at + 1), (*status).to_owned())).collect()
}

#[test]
fn three_managers_are_listed_alike_by_each_of_them() {
    let lab = Lab::new(3);
    for by in 0..3 {
        assert_eq!(lab.node_ls(by), expected(&["Leader", "Reachable", "Reachable", ""]), "by {by}");
    }
    let info = lab.world.block_on(lab.engines[1].info()).expect("info").swarm.expect("a swarm");
    assert_eq!((info.managers, info.nodes, info.control_available), (Some(3), Some(4), Some(true)));
    assert_eq!(info.remote_managers.map(|managers| managers.len()), Some(3));
    let info = lab.world.block_on(lab.engines[3].info()).expect("info").swarm.expect("a swarm");
    assert_eq!(info.control_available, Some(false));
    assert_eq!(info.remote_managers.map(|managers| managers.len()), Some(3), "a worker knows all managers");
}

#[test]
fn a_manager_that_does_not_lead_passes_requests_on() {
    let lab = Lab::new(3);
    let id = lab.create(1, "web", 4).expect("a service");
    lab.pass(10);
    assert_eq!(lab.running(2, "web"), 4);
    let logs = Logs { stdout: true, stderr: true, ..Logs::default() };
    let output = lab.world.block_on(lab.engines[2].service_logs(&id, logs.clone())).expect("logs");
    lab.world.block_on(output.collect::<Vec<_>>());
    let unknown = lab.world.block_on(lab.engines[2].service_logs("nothing", logs)).err().expect("refused");
    assert_eq!(unknown.to_string(), "service nothing not found");
    let again = lab.create(2, "web", 1).expect_err("refused").to_string();
    assert!(
        again.starts_with("rpc error: code = AlreadyExists desc = name conflicts with an existing object"),
        "{again}"
    );
}

#[test]
fn the_swarm_goes_on_when_its_leader_is_killed() {
    let mut lab = Lab::new(3);
    lab.create(0, "web", 6).expect("a service");
    lab.pass(10);
    lab.kill(0);
    lab.pass(24);
    let leader = lab.leader().expect("a new leader");
    assert_ne!(leader, 0);
    let listed = lab.node_ls(leader);
    assert_eq!(listed[0].1, "Unreachable");
    assert_eq!(listed[leader].1, "Leader");
    lab.create(3 - leader, "other", 1).expect("the other manager takes requests");
    // The nodes are given time to come to the new leader before they are called down: twice three heartbeats.
    lab.pass(40);
    assert_eq!(lab.state(leader, "node1"), NodeState::DOWN);
    assert_eq!(lab.state(leader, "node4"), NodeState::READY, "workers find the new leader");
    assert_eq!(lab.running(leader, "web"), 6);
    lab.start(0);
    lab.pass(15);
    assert_eq!(lab.state(leader, "node1"), NodeState::READY);
    assert_eq!(lab.node_ls(leader)[0].1, "Reachable");
    assert_eq!(lab.node_ls(0)[leader].1, "Leader");
}

#[test]
fn without_a_majority_docker_says_so_and_running_tasks_run_on() {
    let mut lab = Lab::new(3);
    lab.create(0, "web", 4).expect("a service");
    lab.pass(10);
    lab.kill(1);
    lab.kill(2);
    lab.pass(45);
    let refusal = lab.world.block_on(lab.engines[0].list_nodes(Filters::new())).expect_err("refused").to_string();
    assert_eq!(refusal, NO_LEADER);
    assert_eq!(lab.create(0, "other", 1).expect_err("refused").to_string(), NO_LEADER);
    let info = lab.world.block_on(lab.engines[0].info()).expect("info").swarm.expect("a swarm");
    assert_eq!(info.error.as_deref(), Some(NO_LEADER));
    lab.start(1);
    lab.pass(40);
    let leader = lab.leader().expect("two of three are enough");
    lab.create(leader, "other", 1).expect("a service");
    lab.pass(60);
    assert_eq!(lab.running(leader, "web"), 4);
}

#[test]
fn a_worker_is_promoted_and_a_manager_demoted() {
    let lab = Lab::new(3);
    lab.set_role(0, "node4", NodeSpecRoleEnum::MANAGER).expect("promoted");
    lab.pass(5);
    assert_eq!(lab.node_ls(3), expected(&["Leader", "Reachable", "Reachable", "Reachable"]));
    lab.set_role(3, "node2", NodeSpecRoleEnum::WORKER).expect("demoted");
    lab.pass(5);
    assert_eq!(lab.node_ls(0), expected(&["Leader", "", "Reachable", "Reachable"]));
    let refusal = lab.world.block_on(lab.engines[1].list_nodes(Filters::new())).expect_err("refused").to_string();
    assert!(refusal.starts_with("This node is not a swarm manager. Worker nodes can't be used"), "{refusal}");
    // The leader itself.
    lab.set_role(2, "node1", NodeSpecRoleEnum::WORKER).expect("demoted");
    lab.pass(10);
    let leader = lab.leader().expect("a leader");
    assert!(leader > 1);
    let listed = lab.node_ls(leader);
    assert_eq!((listed[0].1.as_str(), listed[1].1.as_str()), ("", ""));
    assert_eq!(lab.state(leader, "node1"), NodeState::READY);
}

#[test]
fn one_manager_makes_a_new_cluster_of_what_it_knows() {
    let mut lab = Lab::new(3);
    lab.create(0, "web", 2).expect("a service");
    lab.pass(10);
    lab.kill(1);
    lab.kill(2);
    lab.pass(45);
    let request = SwarmInitRequest { force_new_cluster: Some(true), ..SwarmInitRequest::default() };
    lab.world.block_on(lab.engines[0].init_swarm(request)).expect("a new cluster");
    lab.pass(2);
    assert_eq!(lab.node_ls(0), expected(&["Leader", "", "", ""]));
    lab.pass(60);
    assert_eq!(lab.running(0, "web"), 2);
    lab.world.block_on(lab.engines[0].remove_node("node2", true)).expect("what is lost can be removed");
    lab.start(1);
    lab.pass(5);
}

#[test]
fn an_engine_that_is_started_again_is_the_manager_that_it_was() {
    let mut lab = Lab::new(1);
    lab.create(0, "web", 2).expect("a service");
    lab.pass(5);
    lab.kill(0);
    lab.start(0);
    lab.pass(30);
    assert_eq!(lab.node_ls(0), expected(&["Leader", ""]));
    assert_eq!(lab.running(0, "web"), 2);
}

#[test]
fn a_manager_leaves_only_when_it_is_forced_and_says_what_that_means() {
    let lab = Lab::new(2);
    let refusal = lab.world.block_on(lab.engines[1].leave_swarm(false)).expect_err("refused").to_string();
    assert_eq!(
        refusal,
        "You are attempting to leave the swarm on a node that is participating as a manager. Removing this node leaves 1 \
         managers out of 2. Without a Raft quorum your swarm will be inaccessible. The only way to restore a swarm that has \
         lost consensus is to reinitialize it with `--force-new-cluster`. Use `--force` to suppress this message."
    );
    lab.world.block_on(lab.engines[1].leave_swarm(true)).expect("left");
    let info = lab.world.block_on(lab.engines[1].info()).expect("info").swarm.expect("a swarm");
    assert_eq!(info.local_node_state, Some(LocalNodeState::INACTIVE));
}

#[test]
fn a_link_that_was_cut_works_again_when_it_is_healed() {
    let lab = Lab::new(3);
    lab.world.lan().cut("node1", "node3");
    lab.world.lan().cut("node2", "node3");
    lab.pass(30);
    assert_eq!(lab.node_ls(0), expected(&["Leader", "Reachable", "Unreachable", ""]));
    lab.world.lan().heal_all();
    lab.pass(15);
    assert_eq!(lab.node_ls(2), expected(&["Leader", "Reachable", "Reachable", ""]));
}

#[test]
fn the_root_certificate_is_replaced_and_every_node_gets_one_of_the_new() {
    let lab = Lab::new(3);
    let swarm = |lab: &Lab| lab.world.block_on(lab.engines[0].inspect_swarm()).expect("a swarm");
    let before = swarm(&lab);
    let mut spec = before.spec.clone().expect("a specification");
    spec.ca_config.get_or_insert_default().force_rotate = Some(1);
    let version = before.version.as_ref().and_then(|version| version.index).expect("a version");
    let options = docklab_api::UpdateSwarm { version, ..docklab_api::UpdateSwarm::default() };
    lab.kill(3);
    lab.world.block_on(lab.engines[0].update_swarm(options, spec)).expect("a new root");
    lab.pass(5);
    let during = swarm(&lab);
    assert_eq!(during.root_rotation_in_progress, Some(true), "a node is missing");
    let token = |swarm: &docklab_api::models::Swarm| swarm.join_tokens.clone().expect("tokens").worker;
    assert_ne!(token(&during), token(&before), "tokens name the new root");
    assert_ne!(during.tls_info, before.tls_info);
    let mut lab = lab;
    lab.start(3);
    lab.pass(20);
    assert_eq!(swarm(&lab).root_rotation_in_progress, Some(false));
    assert_eq!(lab.state(0, "node4"), NodeState::READY);
    for engine in &lab.engines {
        let record = engine.membership().expect("a member").record();
        assert!(record.holder(engine.host.now()).is_some(), "{}", record.node);
    }
}

#[test]
fn certificates_are_renewed_before_they_end_and_follow_the_role() {
    let lab = Lab::new(1);
    let holder = |lab: &Lab, node: usize| {
        let engine = &lab.engines[node];
        engine.membership().expect("a member").record().holder(engine.host.now()).expect("a valid certificate")
    };
    let first = holder(&lab, 1);
    assert!(!first.manager);
    lab.set_role(0, "node2", NodeSpecRoleEnum::MANAGER).expect("promoted");
    lab.pass(10);
    let second = holder(&lab, 1);
    assert!(second.manager);
    assert!(second.not_after > first.not_after);
}

#[test]
fn a_token_of_another_swarm_is_known_by_its_digest() {
    let lab = Lab::new(1);
    let stranger = lab.world.add_node("stranger");
    let stranger = lab.open(&stranger);
    let request = SwarmJoinRequest {
        remote_addrs: Some(vec![format!("{}:2377", lab.nodes[0].address())]),
        join_token: Some(format!("SWMTKN-1-{}-{}", "0".repeat(49) + "z", "1".repeat(25))),
        ..SwarmJoinRequest::default()
    };
    let refusal = lab.world.block_on(stranger.join_swarm(request)).expect_err("refused").to_string();
    assert_eq!(refusal, format!("remote CA does not match fingerprint. Expected: {}23", "0".repeat(62)));
}

#[test]
fn a_join_that_nobody_answers_goes_on_in_the_background() {
    let mut lab = Lab::new(1);
    let node = lab.world.add_node("node3");
    let engine = lab.open(&node);
    lab.nodes.push(node);
    lab.engines.push(engine);
    let state = |lab: &Lab| {
        let info = lab.world.block_on(lab.engines[2].info()).expect("info");
        info.swarm.and_then(|swarm| swarm.local_node_state)
    };
    lab.world.lan().cut("node1", "node3");
    let refusal = lab.join(2, false).expect_err("refused").to_string();
    assert_eq!(
        refusal,
        "Timeout was reached before node joined. The attempt to join the swarm will continue in the background. Use the \
         \"docker info\" command to see the current swarm status of your node."
    );
    assert_eq!(state(&lab), Some(LocalNodeState::PENDING));
    assert!(lab.join(2, false).expect_err("refused").to_string().starts_with("This node is already part of a swarm."));
    lab.world.lan().heal_all();
    lab.pass(30);
    assert_eq!(state(&lab), Some(LocalNodeState::ACTIVE));
    assert_eq!(lab.state(0, "node3"), NodeState::READY);
}

#[test]
fn an_attempt_to_join_can_be_given_up() {
    let mut lab = Lab::new(1);
    let node = lab.world.add_node("node3");
    let engine = lab.open(&node);
    lab.nodes.push(node);
    lab.engines.push(engine);
    lab.world.lan().cut("node1", "node3");
    lab.join(2, false).expect_err("nobody answers");
    lab.world.block_on(lab.engines[2].leave_swarm(false)).expect("given up");
    lab.world.lan().heal_all();
    lab.pass(30);
    assert_eq!(lab.node_ls(0), expected(&["Leader", ""]));
}

#[test]
fn raft_is_seen_as_each_manager_sees_it() {
    let lab = Lab::new(3);
    let leader = lab.world.block_on(lab.engines[0].raft_status()).expect("a status");
    assert_eq!((leader.role, leader.quorum, leader.members.len()), (RaftRole::Leader, 2, 3));
    assert!(leader.members.iter().all(|member| member.reachable && member.match_index == Some(leader.last_index)));
    let follower = lab.world.block_on(lab.engines[1].raft_status()).expect("a status");
    assert_eq!((follower.role, follower.term), (RaftRole::Follower, leader.term));
    assert_eq!(follower.leader, leader.node_id);
    assert_eq!(follower.applied_index, leader.applied_index);
    let worker = lab.world.block_on(lab.engines[3].raft_status()).expect_err("a worker has no part in it");
    assert_eq!(worker.status, 503);
}
