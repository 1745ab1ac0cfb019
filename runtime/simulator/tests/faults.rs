//! What befalls nodes, and what the swarm makes of it.

use std::time::Duration;

use docklab_api::{Events, Filters, SystemApi as _};
use docklab_sim::World;
use docklab_simulator::Simulator;
use futures::StreamExt as _;

struct Lab {
    world: World,
    simulator: Simulator,
}

impl Lab {
    /// A swarm whose manager is node1, with a service of three replicas on port 80.
    fn new() -> Self {
        let world = World::new("2026-01-01T00:00:00Z".parse().expect("a date"), 7);
        let names: Vec<String> = ["node1", "node2", "node3"].map(str::to_owned).into();
        let simulator = world.block_on(Simulator::open(world.clone(), &names)).expect("a simulator opens");
        let lab = Self { world, simulator };
        lab.on("node1", "docker swarm init --advertise-addr eth0");
        lab.join("node2");
        lab.join("node3");
        lab.on("node1", "docker service create --name web --publish 80:80 --replicas 3 nginx");
        lab
    }
    fn on(&self, name: &str, script: &str) -> String {
        let node = self.simulator.node(Some(name)).expect("there is such a node").node;
        let (stdout, stderr, code) = self.world.block_on(node.run_script(script));
        assert_eq!(code, 0, "{name}$ {script}\n{stdout}\n{stderr}");
        stdout
    }
    fn join(&self, name: &str) {
        let command = self.on("node1", "docker swarm join-token worker | grep docker");
        self.on(name, &command);
    }
    fn pass(&self, seconds: u64) {
        self.world.advance(Duration::from_secs(seconds));
    }
    /// `node1=Ready node2=Down …`
    fn states(&self) -> String {
        let lines = self.on("node1", "docker node ls --format '{{.Hostname}}={{.Status}}'");
        let mut states: Vec<&str> = lines.lines().collect();
        states.sort_unstable();
        states.join(" ")
    }
    fn replicas(&self) -> String {
        self.on("node1", "docker service ps web --filter desired-state=running --format '{{.Node}} {{.CurrentState}}'")
            .lines()
            .map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

#[test]
fn a_killed_node_is_replaced_and_comes_back() {
    let lab = Lab::new();
    lab.simulator.kill("node3").expect("killed");
    lab.pass(30);
    assert_eq!(lab.states(), "node1=Ready node2=Ready node3=Down");
    let replicas = lab.replicas();
    assert_eq!(replicas.matches("Running").count(), 3, "{replicas}");
    assert!(!replicas.contains("node3"), "{replicas}");
    lab.world.block_on(lab.simulator.heal("node3")).expect("started");
    lab.pass(30);
    assert_eq!(lab.states(), "node1=Ready node2=Ready node3=Ready");
    // Tasks do not move back by themselves.
    assert!(!lab.replicas().contains("node3"));
    assert_eq!(lab.on("node3", "docker ps -q"), "");
    assert!(lab.on("node3", "curl -s localhost").contains("Welcome to nginx!"));
}

#[test]
fn a_node_that_is_off_answers_with_a_connection_error() {
    let lab = Lab::new();
    let engine = lab.simulator.node(Some("node2")).expect("a node").engine;
    let mut events = lab.world.block_on(engine.events(Events::default())).expect("a stream");
    lab.simulator.kill("node2").expect("killed");
    let error = lab.world.block_on(async {
        loop {
            match events.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error,
                None => panic!("the stream ends without a reason"),
            }
        }
    });
    assert_eq!(error.to_string(), "node2 is switched off");
    assert!(lab.world.block_on(engine.info()).expect_err("it is off").is_connection());
    let engines = lab.simulator.engines();
    assert_eq!(engines.len(), 3, "a node that is down stays listed");
    assert_eq!(lab.simulator.kill("node9").expect_err("no such node").to_string(), "there is no node node9");
}

#[test]
fn a_suspended_node_is_down_to_the_others_and_goes_on_where_it_was() {
    let lab = Lab::new();
    let before = lab.on("node2", "docker ps --quiet --no-trunc");
    lab.simulator.suspend("node2").expect("suspended");
    lab.pass(30);
    assert_eq!(lab.states(), "node1=Ready node2=Down node3=Ready");
    lab.simulator.resume("node2").expect("resumed");
    // Its containers have not been told yet that they are not wanted any more.
    assert_eq!(lab.on("node2", "docker ps --quiet --no-trunc"), before);
    lab.pass(30);
    assert_eq!(lab.states(), "node1=Ready node2=Ready node3=Ready");
}

#[test]
fn a_cut_node_goes_on_alone_and_is_taken_back() {
    let lab = Lab::new();
    lab.simulator.cut("node3").expect("cut");
    lab.pass(30);
    assert_eq!(lab.states(), "node1=Ready node2=Ready node3=Down");
    assert_ne!(lab.on("node3", "docker ps -q"), "", "its containers do not know");
    lab.world.block_on(lab.simulator.heal("node3")).expect("healed");
    lab.pass(30);
    assert_eq!(lab.states(), "node1=Ready node2=Ready node3=Ready");
    assert_eq!(lab.on("node3", "docker ps -q"), "");
}

#[test]
fn a_node_can_be_added_and_removed() {
    let lab = Lab::new();
    let name = lab.world.block_on(lab.simulator.add_node()).expect("added");
    assert_eq!(name, "node4");
    lab.join(&name);
    lab.pass(2);
    assert_eq!(lab.states(), "node1=Ready node2=Ready node3=Ready node4=Ready");
    lab.simulator.remove("node4").expect("removed");
    lab.pass(30);
    assert_eq!(lab.states(), "node1=Ready node2=Ready node3=Ready node4=Down");
    let node1 = lab.simulator.engines().remove(0).1;
    let nodes = lab.world.block_on(node1.list_nodes(Filters::new())).expect("nodes");
    assert_eq!(nodes.len(), 4);
    for expected in ["node4", "node5", "node6", "node7"] {
        assert_eq!(lab.world.block_on(lab.simulator.add_node()).as_deref(), Ok(expected));
    }
    assert!(lab.world.block_on(lab.simulator.add_node()).is_err(), "seven at most");
}

#[test]
fn a_node_is_switched_off_from_its_own_shell() {
    let lab = Lab::new();
    let node = lab.simulator.node(Some("node2")).expect("there is such a node").node;
    let script = node.run_script("poweroff; echo still here");
    // Its shell ends with it, so nobody may hear of the script's end.
    lab.world.spawn(async move { drop(script.await) });
    lab.pass(30);
    assert!(lab.simulator.node(Some("node2")).is_some_and(|node| node.condition().killed));
    assert_eq!(lab.states(), "node1=Ready node2=Down node3=Ready");
}

#[test]
fn a_link_is_cut_between_two_nodes_alone() {
    let lab = Lab::new();
    lab.simulator.cut_link("node1", "node3").expect("cut");
    assert!(lab.simulator.cut_link("node1", "node1").is_err());
    lab.pass(30);
    assert_eq!(lab.states(), "node1=Ready node2=Ready node3=Down");
    let ask = |name: &str| {
        let node = lab.simulator.node(Some("node2")).expect("a node").node;
        lab.world.block_on(node.run_script(&format!("curl -s -m 5 {name}"))).2
    };
    // Node3 still sends every other request to the task behind the link that is cut.
    let reaches = |name: &str| (0..4).any(|_| ask(name) == 0);
    assert!(reaches("node1") && reaches("node3"), "node2 reaches both");
    lab.world.block_on(lab.simulator.heal("node3")).expect("healed");
    lab.pass(30);
    assert_eq!(lab.states(), "node1=Ready node2=Ready node3=Ready");
}

#[test]
fn a_slow_node_answers_late_until_it_is_healed() {
    let lab = Lab::new();
    let ask = || {
        let before = lab.world.elapsed();
        lab.on("node2", "curl -s node3");
        lab.world.elapsed() - before
    };
    lab.simulator.slow("node3", Duration::from_millis(400)).expect("slowed");
    assert!(ask() >= Duration::from_millis(800));
    lab.world.block_on(lab.simulator.heal("node3")).expect("healed");
    assert!(ask() < Duration::from_millis(400));
}
