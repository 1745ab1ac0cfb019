//! Sessions of several nodes: real swarms, real failures, and nothing left of them.

use std::process::Command;

use docklab_tests::{Engine, Need, Server, Session, can_run, get, request, succeed, wait_until};

const NEEDS: [Need; 2] = [Need::Root, Need::Program("nft")];

#[test]
fn a_swarm_of_three_nodes_survives_one_that_fails_and_takes_it_back() {
    if !can_run("a_swarm_of_three_nodes_survives_one_that_fails_and_takes_it_back", &NEEDS) {
        return;
    }
    let session = Session::start(3, true);
    session.form_swarm(3);
    wait_until("all have joined", || session.states() == "node1=Ready node2=Ready node3=Ready");
    session.on(
        "node1",
        "docker service create --detach --quiet --name web --replicas 3 --publish 18080:80 \
         --mount type=bind,source=/etc/hostname,target=/usr/share/nginx/html/index.html,ro nginx:1.12",
    );
    let running = |node: &str| {
        let line = format!("docker node ps --filter desired-state=running --format '{{{{.CurrentState}}}}' {node}");
        session.on("node1", &line).lines().filter(|state| state.starts_with("Running")).count()
    };
    wait_until("every node has a task", || ["node1", "node2", "node3"].iter().all(|node| running(node) == 1));
    // From a node, and on this machine's own loopback through node1.
    let answer = || get(18080, "/", &[]).map(|answer| answer.body.trim().to_owned());
    let asked: std::collections::BTreeSet<String> =
        (0..12).map(|_| session.on("node2", "curl -s http://localhost:18080")).collect();
    assert_eq!(asked.into_iter().collect::<Vec<_>>(), ["node1", "node2", "node3"]);
    assert!(answer().is_some_and(|body| body.starts_with("node")));
    assert_eq!(session.run(&["kill", "node3"]), "node3 killed");
    wait_until("the failure is noticed", || session.states() == "node1=Ready node2=Ready node3=Down");
    wait_until("its task runs elsewhere", || running("node1") + running("node2") == 3);
    assert_eq!(session.run(&["heal", "node3"]), "node3 running");
    wait_until("it is taken back", || session.states() == "node1=Ready node2=Ready node3=Ready");
    session.on("node1", "docker service rm web");
    wait_until("the port is closed", || answer().is_none());
}

#[test]
fn a_node_that_is_cut_off_or_stands_still_is_down_until_it_is_healed() {
    if !can_run("a_node_that_is_cut_off_or_stands_still_is_down_until_it_is_healed", &NEEDS) {
        return;
    }
    let session = Session::start(2, false);
    session.form_swarm(2);
    for (fault, told) in [("cut", "node2 cut off"), ("pause", "node2 paused")] {
        assert_eq!(session.run(&[fault, "node2"]), told);
        wait_until("it is missed", || session.states() == "node1=Ready node2=Down");
        assert_eq!(session.run(&["heal", "node2"]), "node2 running");
        wait_until("it is back", || session.states() == "node1=Ready node2=Ready");
    }
    assert_eq!(session.run(&["add"]), "node3");
    assert_eq!(session.on("node3", "getent hosts node1 | cut -d' ' -f1"), "192.168.0.11");
    assert_eq!(session.run(&["cut", "node3", "node2"]), "node3 running");
    assert_ne!(session.exec("node3", &["curl", "-s", "--max-time", "1", "http://node2:2377"]).exit, 0);
    assert_eq!(session.run(&["rm", "--node", "node3"]), "node3 removed");
}

#[test]
fn sessions_side_by_side_never_meet() {
    if !can_run("sessions_side_by_side_never_meet", &NEEDS) {
        return;
    }
    let sessions: Vec<Session> = (0..3).map(|_| Session::start(2, false)).collect();
    for session in &sessions {
        session.form_swarm(2);
    }
    let names: Vec<String> =
        sessions.iter().map(|session| session.on("node2", "docker info --format '{{.Swarm.NodeID}}'")).collect();
    for (session, own) in sessions.iter().zip(&names) {
        let listed = session.on("node1", "docker node ls --quiet");
        assert_eq!(listed.lines().count(), 2);
        assert!(listed.contains(own.as_str()));
        // The machine is none of the node's business.
        assert_eq!(session.on("node1", "ls /run"), "docker.sock\ndocklab");
    }
}

#[test]
fn sessions_that_are_broken_in_every_way_leave_nothing() {
    if !can_run("sessions_that_are_broken_in_every_way_leave_nothing", &NEEDS) {
        return;
    }
    for round in 0..10 {
        let session = Session::start(2, round % 5 == 0);
        let node = if round % 2 == 0 { "node1" } else { "node2" };
        if round % 5 == 0 {
            session.on("node1", "docker run --detach --publish 80 --volume data:/data busybox sleep 1000");
        }
        match round % 5 {
            0 => drop(session.on("node1", "docker network create extra")),
            1 => drop(session.run(&["kill", node])),
            2 => drop(session.run(&["pause", node])),
            3 => drop(session.run(&["cut", node])),
            // The engine alone, as a crash of it would.
            _ => drop(session.exec(node, &["pkill", "-9", "-f", "docklab engine"])),
        }
    }
}

#[test]
fn nodes_outlive_the_server_and_obey_the_page() {
    if !can_run("nodes_outlive_the_server_and_obey_the_page", &NEEDS) {
        return;
    }
    let mut server = Server::start_without_images();
    let ask = |server: &Server, method: &str, path: &str, body: &str| {
        let token = format!("Authorization: Bearer {}", server.token);
        request(server.port, method, path, &[&token, "Content-Type: application/json"], body).expect("an answer")
    };
    let states = |server: &Server| {
        let answer = ask(server, "GET", "/api/session", "");
        let session: serde_json::Value = serde_json::from_str(&answer.body).expect("a session");
        let nodes = session["nodes"].as_array().expect("nodes").iter();
        let words = nodes.map(|node| format!("{}={}", node["name"].as_str().unwrap_or_default(), node["state"]));
        words.collect::<Vec<_>>().join(" ").replace('"', "")
    };
    assert_eq!(ask(&server, "PUT", "/api/nodes", r#"["node1","node2"]"#).status, 200);
    assert_eq!(states(&server), "node1=running node2=running");
    let info = ask(&server, "GET", "/nodes/node2/engine/v1.50/info", "").body;
    server.restart();
    assert_eq!(states(&server), "node1=running node2=running");
    let name = |info: &str| serde_json::from_str::<serde_json::Value>(info).map(|info| info["ID"].clone()).ok();
    assert_eq!(name(&ask(&server, "GET", "/nodes/node2/engine/v1.50/info", "").body), name(&info));
    for (body, state) in
        [(r#"{"fault":"cut"}"#, "cut"), (r#"{"fault":"heal"}"#, "running"), (r#"{"fault":"kill"}"#, "killed")]
    {
        assert_eq!(ask(&server, "POST", "/nodes/node2/faults", body).status, 200);
        assert_eq!(states(&server), format!("node1=running node2={state}"));
    }
    // Somebody who ended a node meant it.
    server.restart();
    assert_eq!(states(&server), "node1=running node2=killed");
    assert_eq!(ask(&server, "DELETE", "/nodes/node2", "").status, 200);
    assert_eq!(ask(&server, "DELETE", "/nodes/node1", "").status, 409);
    assert_eq!(states(&server), "node1=running");
}

/// A network namespace that stands for a machine; gone with the value.
struct Machine(String);

impl Machine {
    fn new(name: &str) -> Self {
        succeed(Command::new("ip").args(["netns", "add", name]));
        succeed(Command::new("ip").args(["-n", name, "link", "set", "lo", "up"]));
        Self(name.to_owned())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        Command::new("ip").args(["netns", "del", &self.0]).status().ok();
    }
}

#[test]
fn engines_of_two_machines_form_a_swarm_without_a_session() {
    let needs = [Need::Root, Need::Program("ip"), Need::Program("nsenter")];
    if !can_run("engines_of_two_machines_form_a_swarm_without_a_session", &needs) {
        return;
    }
    let id = std::process::id() & 0xfff;
    let machines = [Machine::new(&format!("dt{id:x}a")), Machine::new(&format!("dt{id:x}b"))];
    let [a, b] = [&machines[0].0, &machines[1].0];
    succeed(
        Command::new("ip").args(["-n", a, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", b]),
    );
    for (machine, address) in [(a, "10.77.0.1/24"), (b, "10.77.0.2/24")] {
        succeed(Command::new("ip").args(["-n", machine, "address", "add", address, "dev", "eth0"]));
        succeed(Command::new("ip").args(["-n", machine, "link", "set", "eth0", "up"]));
    }
    let [first, second] =
        [(a, "10.77.0.1"), (b, "10.77.0.2")].map(|(machine, address)| Engine::start_in(machine, address));
    first.docker(&["swarm", "init", "--advertise-addr", "10.77.0.1"]);
    let token = first.docker(&["swarm", "join-token", "--quiet", "worker"]);
    second.docker(&["swarm", "join", "--token", &token, "10.77.0.1:2377"]);
    first.docker(&[
        "service",
        "create",
        "--quiet",
        "--name",
        "web",
        "--replicas",
        "2",
        "--publish",
        "8080:80",
        "nginx:1.12",
    ]);
    let nodes =
        first.docker(&["service", "ps", "--filter", "desired-state=running", "--format", "{{.CurrentState}}", "web"]);
    assert_eq!(nodes.lines().filter(|state| state.starts_with("Running")).count(), 2, "{nodes}");
    for machine in [a, b] {
        for _ in 0..4 {
            let page = succeed(Command::new("nsenter").arg(format!("--net=/run/netns/{machine}")).args([
                "curl",
                "-s",
                "--max-time",
                "10",
                "http://localhost:8080/",
            ]));
            assert!(page.contains("nginx"), "{page}");
        }
    }
    second.docker(&["swarm", "leave"]);
    first.docker(&["swarm", "leave", "--force"]);
}
