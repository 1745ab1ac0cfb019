//! Every kind of check: what is right turns green, and what is nearly right is named with the field that differs.

#[allow(unreachable_pub, dead_code)]
mod fake;

use docklab_scenario::{Evaluator, StepReport, parse};
use fake::{Container, FakeWorkspace, Objects};
use futures::executor::block_on;
use serde_json::{Value, json};

fn evaluate(check: &str, objects: Objects, containers: Vec<Container>) -> StepReport {
    let text = format!(
        "+++\nid = \"lab\"\ntitle = \"Lab\"\nnodes = [\"node1\", \"node2\"]\n+++\n\n## Step\n\n```check\n{check}\n```\n"
    );
    let parsed = parse("lab.md", &text);
    assert!(parsed.diagnostics.is_empty(), "\n{}", parsed.diagnostics);
    let workspace = FakeWorkspace::default();
    *workspace.0.0.lock().unwrap() = containers;
    *workspace.0.1.lock().unwrap() = objects;
    block_on(Evaluator::new().evaluate(&parsed.scenario.steps[0], &workspace))
}

fn passes(check: &str, objects: Objects) {
    let report = evaluate(check, objects, Vec::new());
    assert!(report.passed, "\n{report}");
}

fn network(name: &str, driver: &str, containers: &[&str]) -> Value {
    let members: serde_json::Map<String, Value> =
        containers.iter().map(|name| ((*name).to_owned(), json!({ "Name": name }))).collect();
    json!({ "Name": name, "Driver": driver, "Scope": "local", "Internal": false, "Containers": members })
}

#[test]
fn a_network_is_told_by_who_is_attached() {
    let objects = Objects {
        networks: vec![network("bridge", "bridge", &[]), network("shop", "bridge", &["web"])],
        ..Objects::default()
    };
    passes("[[network]]\nname = \"shop\"\ncontainer = \"web\"\ninternal = false", objects.clone());
    passes("[[network]]\nname = \"office\"\nnone = true", objects.clone());
    let report = evaluate("[[network]]\nname = \"shop\"\ncontainer = [\"web\", \"client\"]", objects.clone(), vec![]);
    insta::assert_snapshot!(report, @r#"
    ✗ a network with name `shop` and container `web` and `client`
      nearest: network `shop` on node1
        container: expected `web` and `client`, found `web`
    "#);
    let report = evaluate("[[network]]\nname = \"office\"\ndriver = \"bridge\"", objects, vec![]);
    insta::assert_snapshot!(report, @r#"
    ✗ a network with name `office` and driver `bridge`
      nearest: network `bridge` on node1
        name: expected `office`, found `bridge`
    "#);
}

#[test]
fn a_volume_is_told_by_its_labels() {
    let volume = json!({ "Name": "data", "Driver": "local", "Mountpoint": "/x", "Scope": "local", "Options": {}, "Labels": { "lab": "one" } });
    let objects = Objects { volumes: vec![volume], ..Objects::default() };
    passes("[[volume]]\nname = \"data\"\nlabel = \"lab=*\"", objects.clone());
    let report = evaluate("[[volume]]\nname = \"data\"\nlabel = \"lab=two\"", objects, vec![]);
    insta::assert_snapshot!(report, @r#"
    ✗ a volume with name `data` and label `lab=two`
      nearest: volume `data` on node1
        label: expected `lab=two`, found `lab=one`
    "#);
}

fn swarm() -> Objects {
    let node = |id: &str, name: &str, role: &str, leader: bool| {
        let mut node = json!({
            "ID": id,
            "Spec": { "Role": role, "Availability": "active", "Labels": { "zone": "a" } },
            "Description": { "Hostname": name },
            "Status": { "State": "ready", "Addr": "10.0.0.1" },
        });
        if role == "manager" {
            node["ManagerStatus"] = json!({ "Leader": leader, "Reachability": "reachable", "Addr": "10.0.0.1:2377" });
        }
        node
    };
    let task = |id: &str, slot: i64, state: &str, node: &str, error: &str| {
        json!({
            "ID": id,
            "ServiceID": "s1",
            "NodeID": node,
            "Slot": slot,
            "Spec": { "ContainerSpec": { "Image": "nginx:1.12@sha256:00" } },
            "Status": { "State": state, "Err": error },
            "DesiredState": "running",
        })
    };
    Objects {
        nodes: vec![node("n1", "node1", "manager", true), node("n2", "node2", "worker", false)],
        services: vec![json!({
            "ID": "s1",
            "Spec": {
                "Name": "web",
                "Mode": { "Replicated": { "Replicas": 3 } },
                "TaskTemplate": { "ContainerSpec": { "Image": "nginx:1.12@sha256:00", "Env": ["A=b"] } },
                "EndpointSpec": { "Ports": [{ "PublishedPort": 80, "TargetPort": 8080 }] },
            },
            "ServiceStatus": { "RunningTasks": 2, "DesiredTasks": 3 },
            "UpdateStatus": { "State": "paused", "Message": "update paused due to failure" },
        })],
        tasks: vec![
            task("t1aaaaaaaaaaaa", 1, "running", "n1", ""),
            task("t2aaaaaaaaaaaa", 2, "running", "n2", ""),
            task("t3aaaaaaaaaaaa", 3, "rejected", "n2", "No such image: nginx:1.12"),
        ],
        ..Objects::default()
    }
}

#[test]
fn a_service_that_lags_is_the_nearest() {
    passes(
        "[[service]]\nname = \"web\"\nimage = \"nginx\"\npublish = \"80:8080\"\nenv = \"A=b\"\nupdate = \"paused\"",
        swarm(),
    );
    let report =
        evaluate("[[service]]\nname = \"web\"\nimage = \"nginx:1.13\"\nreplicas = 3\nrunning = 3", swarm(), vec![]);
    insta::assert_snapshot!(report, @r#"
    ✗ a service with name `web`, image `nginx:1.13`, replicas 3 and running 3
      nearest: service `web`
        image: expected `nginx:1.13`, found `nginx:1.12@sha256:00`
        running: expected 3, found 2
    "#);
    let report = evaluate("[[service]]\nname = \"db\"\nmode = \"global\"", swarm(), vec![]);
    insta::assert_snapshot!(report, @r#"
    ✗ a service with name `db` and mode `global`
      there is 1 service, unlike this one in everything
    "#);
}

#[test]
fn a_task_that_was_rejected_says_why() {
    passes("[[task]]\nservice = \"web\"\nstate = \"running\"\ncount = 2", swarm());
    let report = evaluate(
        "[[task]]\nservice = \"web\"\nslot = 3\nstate = \"running\"\nerror = { none = true }",
        swarm(),
        vec![],
    );
    insta::assert_snapshot!(report, @r#"
    ✗ a task with service `web`, slot 3, state `running` and error none
      nearest: task `web.3` (t3aaaaaaaaaa) on node2
        state: expected `running`, found `rejected`
        error: expected none, found `No such image: nginx:1.12`
    "#);
    let report =
        evaluate("[[task]]\nservice = \"web\"\nstate = \"running\"\nnode = \"node2\"\ncount = 2", swarm(), vec![]);
    insta::assert_snapshot!(report, @r#"
    ✗ 2 tasks with service `web`, state `running` and node `node2`
      nearest: task `web.1` (t1aaaaaaaaaa) on node1
        node: expected `node2`, found `node1`
      found 1: task `web.2` (t2aaaaaaaaaa) on node2
    "#);
}

#[test]
fn a_node_has_a_role_and_a_worker_no_leadership() {
    passes("[[node]]\nname = \"node1\"\nrole = \"manager\"\nleader = true\nlabel = \"zone=a\"", swarm());
    let report = evaluate("[[node]]\nname = \"node2\"\nrole = \"manager\"\nstate = \"ready\"", swarm(), vec![]);
    insta::assert_snapshot!(report, @r#"
    ✗ a node with name `node2`, role `manager` and state `ready`
      nearest: node `node2`
        role: expected `manager`, found `worker`
    "#);
}

#[test]
fn an_engine_outside_a_swarm_says_so() {
    let report = evaluate("[[service]]\nname = \"web\"", Objects::default(), vec![]);
    insta::assert_snapshot!(report, @r#"
    ✗ a service with name `web`
      node1: cannot list the swarm's services: This node is not a swarm manager.
    "#);
    // Nothing is proven by an engine that does not know.
    assert!(!evaluate("[[service]]\nname = \"web\"\nnone = true", Objects::default(), vec![]).passed);
}

fn top(name: &str) -> Container {
    Container { name: name.into(), image: "ubuntu".into(), command: "top".into(), state: "running", port: None }
}

#[test]
fn a_command_in_a_container_is_told_by_output_and_exit_code() {
    let executes = |container: &str, command: &str| match (container, command) {
        ("guest", "wget -q http://web") => ("wget: bad address 'web'\n", 1),
        _ => ("hello\n", 0),
    };
    let objects = Objects { executes: Some(executes), ..Objects::default() };
    let check = |container: &str| {
        format!(
            "[[exec]]\ncontainer = {{ name = \"{container}\" }}\nrun = \"wget -q http://web\"\noutput = \"hello\"\nexit = 0"
        )
    };
    assert!(evaluate(&check("client"), objects.clone(), vec![top("client"), top("guest")]).passed);
    let report = evaluate(&check("guest"), objects.clone(), vec![top("client"), top("guest")]);
    insta::assert_snapshot!(report, @r#"
    ✗ `wget -q http://web` in a container with output `hello` and exit 0
      nearest: `wget -q http://web` in container `guest` (0123456789ab) on node1
        output: expected `hello`, found `wget: bad address 'web'`
        exit: expected 0, found 1
    "#);
    insta::assert_snapshot!(evaluate(&check("nobody"), objects, vec![top("client")]), @r#"
    ✗ `wget -q http://web` in a container with output `hello` and exit 0
      nothing runs that this could be tried in: it wants a container with name `nobody`
    "#);
    insta::assert_snapshot!(evaluate(&check("client"), Objects::default(), vec![top("client")]), @r#"
    ✗ `wget -q http://web` in a container with output `hello` and exit 0
      container `client` (0123456789ab) on node1: cannot run `wget -q http://web`: it is not running
    "#);
}

fn image(id: &str, tags: &[&str], layers: &[&str], history: &[&'static str]) -> (Value, Vec<&'static str>) {
    let inspected = json!({
        "Id": id,
        "RepoTags": tags,
        "RootFS": { "Type": "layers", "Layers": layers },
        "Config": { "Cmd": ["python", "app.py"] },
    });
    (inspected, history.to_vec())
}

fn images() -> Objects {
    Objects {
        images: vec![
            image("sha256:base", &["python:3.6"], &["a", "b"], &["ADD rootfs"]),
            image(
                "sha256:one",
                &["app:v1"],
                &["a", "b", "flask", "app1"],
                &["COPY app.py", "RUN pip install flask", "ADD rootfs"],
            ),
            image(
                "sha256:two",
                &["app:v2"],
                &["a", "b", "flask", "app2"],
                &["COPY app.py", "RUN pip install flask", "ADD rootfs"],
            ),
            image(
                "sha256:three",
                &["app:v3"],
                &["a", "b", "app3", "flask3"],
                &["RUN pip install flask", "COPY app.py", "ADD rootfs"],
            ),
        ],
        ..Objects::default()
    }
}

#[test]
fn layers_are_shared_own_or_from_the_build_cache() {
    let check = |version: &str, cached: &str| {
        format!(
            "[[layer]]\nimage = \"app:{version}\"\nwith = \"app:v1\"\nbase = \"python:3.6\"\nown = 1\ncached = {cached}"
        )
    };
    passes(&check("v2", "1"), images());
    insta::assert_snapshot!(evaluate(&check("v3", "1"), images(), vec![]), @r#"
    ✗ the layers of `app:v3` with own 1 and cached 1
      nearest: the layers of `app:v3` on node1
        own: expected 1, found 2
        cached: expected 1, found 0
    "#);
    insta::assert_snapshot!(evaluate(&check("v4", "1"), images(), vec![]), @r#"
    ✗ the layers of `app:v4` with own 1 and cached 1
      node1 has no image `app:v4`
    "#);
    // Without `with`, the image that shares most counts.
    passes("[[layer]]\nimage = \"app:v2\"\nshared = 3\ntotal = 4", images());
}

#[test]
fn an_image_has_a_history() {
    passes("[[image]]\nname = \"app:v1\"\nhistory = [\"*pip install*flask*\", \"COPY *\"]", images());
    let report = evaluate("[[image]]\nname = \"app:v1\"\nhistory = \"*npm*\"", images(), vec![]);
    insta::assert_snapshot!(report, @r#"
    ✗ an image with name `app:v1` and history like `*npm*`
      nearest: image `app:v1` on node1
        history: expected like `*npm*`, found `COPY app.py`, `RUN pip install flask`, `ADD rootfs`
    "#);
}
