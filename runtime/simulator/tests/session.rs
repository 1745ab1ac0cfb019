//! A simulated node with its engine and the docker command.

use docklab_api::{News, StepState};
use docklab_sim::World;
use docklab_simulator::Simulator;
use futures::{FutureExt as _, StreamExt as _};

/// Runs a script on the first of these nodes.
fn run(names: &[&str], script: &str) -> (String, String, i32) {
    let world = World::new("2026-01-01T00:00:00Z".parse().expect("a date"), 1);
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let simulator = world.block_on(Simulator::open(world.clone(), &names)).expect("a simulator opens");
    let node = simulator.node(None).expect("there is a node").node;
    world.block_on(node.run_script(script))
}

#[test]
fn a_pulled_image_serves_a_published_port() {
    let (stdout, stderr, code) =
        run(&["node1"], "docker run -d --name web -p 8080:80 nginx && docker ps && curl -s localhost:8080");
    assert_eq!(code, 0, "{stdout}\n{stderr}");
    assert!(stderr.contains("Status: Downloaded newer image for nginx:latest"), "{stderr}");
    assert!(stdout.contains("0.0.0.0:8080->80/tcp"), "{stdout}");
    assert!(stdout.contains("Welcome to nginx!"), "{stdout}");
}

#[test]
fn three_nodes_make_a_swarm_and_the_mesh_answers_on_each() {
    let world = World::new("2026-01-01T00:00:00Z".parse().expect("a date"), 1);
    let names: Vec<String> = ["node1", "node2", "node3"].map(str::to_owned).into();
    let simulator = world.block_on(Simulator::open(world.clone(), &names)).expect("a simulator opens");
    let on = |name: &str, script: &str| {
        let node = simulator.node(Some(name)).expect("there is such a node").node;
        let (stdout, stderr, code) = world.block_on(node.run_script(script));
        assert_eq!(code, 0, "{name}$ {script}\n{stdout}\n{stderr}");
        stdout
    };
    on("node1", "docker swarm init --advertise-addr eth0");
    let command = on("node1", "docker swarm join-token worker | grep docker");
    for name in ["node2", "node3"] {
        assert_eq!(on(name, &command), "This node joined a swarm as a worker.\n");
    }
    on("node1", "docker service create --name web --publish 80:80 --replicas 3 nginx");
    for name in ["node1", "node2", "node3"] {
        assert!(on(name, "curl -s localhost").contains("Welcome to nginx!"), "{name}");
    }
}

#[test]
fn a_watcher_sees_what_a_build_in_a_terminal_found_in_the_cache() {
    let world = World::new("2026-01-01T00:00:00Z".parse().expect("a date"), 7);
    let simulator = world.block_on(Simulator::open(world.clone(), &["node1".to_owned()])).expect("a simulator opens");
    let node = simulator.node(Some("node1")).expect("a node").node;
    let script = "printf 'FROM alpine\\nRUN echo hi > /made\\n' > Dockerfile; docker build -q . ; docker build -q .";
    let (_, stderr, code) = world.block_on(node.run_script(script));
    assert_eq!(code, 0, "{stderr}");
    let (_, engine) = simulator.engines().remove(0);
    let mut watched = world.block_on(engine.activity()).expect("a stream");
    let mut cached = 0;
    while let Some(Some(activity)) = watched.next().now_or_never() {
        let news = activity.expect("news").news;
        cached += usize::from(matches!(news, News::BuildStep { state: StepState::Cached { .. }, .. }));
    }
    assert_eq!(cached, 1);
    simulator.kill("node1").expect("killed");
    let end = world.block_on(watched.next()).expect("the reason").expect_err("an error");
    assert_eq!(end.to_string(), "node1 is switched off");
}
