//! A simulated node with its engine and the docker command.

use docklab_sim::World;
use docklab_simulator::Simulator;

/// Runs a script on the first of these nodes.
fn run(names: &[&str], script: &str) -> (String, String, i32) {
    let world = World::new("2026-01-01T00:00:00Z".parse().expect("a date"), 1);
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let simulator = world.block_on(Simulator::open(world.clone(), &names)).expect("a simulator opens");
    let node = simulator.node(None).expect("there is a node").node.clone();
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
