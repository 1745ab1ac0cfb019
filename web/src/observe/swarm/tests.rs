use std::rc::Rc;

use docklab_api::models::{Node, Service, Task};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::session::{NodePlace, NodeState};

fn node(name: &str, leader: Option<bool>, reachable: &str) -> Node {
    let mut node = json!({
        "ID": format!("id-{name}"), "Spec": { "Role": if leader.is_some() { "manager" } else { "worker" }, "Availability": "active" },
        "Description": { "Hostname": name }, "Status": { "State": "ready", "Addr": "192.168.0.11" },
    });
    if let Some(leader) = leader {
        node["ManagerStatus"] = json!({ "Leader": leader, "Reachability": reachable });
    }
    serde_json::from_value(node).unwrap()
}

fn service(replicas: u64, image: &str) -> Service {
    serde_json::from_value(json!({
        "ID": "web", "Spec": { "Name": "web", "Mode": { "Replicated": { "Replicas": replicas } },
            "TaskTemplate": { "ContainerSpec": { "Image": format!("{image}@sha256:00") } } },
        "Endpoint": { "Ports": [{ "Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress" }] },
        "ServiceStatus": { "RunningTasks": 1, "DesiredTasks": replicas },
    }))
    .unwrap()
}

fn task(id: &str, slot: u64, state: &str, more: &Value) -> Task {
    let mut task = json!({
        "ID": id, "ServiceID": "web", "Slot": slot, "NodeID": "id-node1", "CreatedAt": format!("2026-01-01T00:00:{id}Z"),
        "Spec": { "ContainerSpec": { "Image": "nginx:1.12" } }, "Status": { "State": state }, "DesiredState": "running",
    });
    for (key, value) in more.as_object().unwrap() {
        task[key] = value.clone();
    }
    serde_json::from_value(task).unwrap()
}

fn view(nodes: &[Node], services: &[Service], tasks: &[Task], former: &SwarmView) -> Rc<SwarmView> {
    Rc::new(SwarmView::of("node1", nodes, services, tasks, Vec::new(), former))
}

#[test]
fn nodes_stand_in_the_order_in_which_people_count() {
    let nodes = ["node10", "node2", "node1"].map(|name| node(name, None, ""));
    let seen = view(&nodes, &[], &[], &SwarmView::default());
    let names: Vec<&str> = seen.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["node1", "node2", "node10"]);
}

#[test]
fn a_slots_history_is_told_newest_first_and_the_picture_shows_what_lives() {
    let over = json!({ "DesiredState": "shutdown", "Status": { "State": "failed", "Err": "task: non-zero exit (1)" } });
    let tasks =
        [task("10", 1, "failed", &over), task("20", 1, "running", &json!({})), task("11", 2, "running", &json!({}))];
    let seen =
        view(&[node("node1", Some(true), "reachable")], &[service(2, "nginx:1.12")], &tasks, &SwarmView::default());
    let shown: Vec<&str> = seen.shown_tasks().map(|task| task.id.as_str()).collect();
    assert_eq!(shown, ["20", "11"]);
    let history: Vec<(&str, &str)> =
        seen.history_of(&seen.tasks[0]).map(|task| (task.id.as_str(), task.error.as_str())).collect();
    assert_eq!(history, [("20", ""), ("10", "task: non-zero exit (1)")]);
    assert_eq!(seen.tasks[0].name, "web.1");
}

#[test]
fn views_share_the_tasks_that_did_not_change() {
    let nodes = [node("node1", Some(true), "reachable")];
    let services = [service(2, "nginx:1.12")];
    let first = view(
        &nodes,
        &services,
        &[task("1", 1, "running", &json!({})), task("2", 2, "ready", &json!({}))],
        &SwarmView::default(),
    );
    let second =
        view(&nodes, &services, &[task("1", 1, "running", &json!({})), task("2", 2, "running", &json!({}))], &first);
    assert!(Rc::ptr_eq(&first.tasks[0], &second.tasks[0]));
    assert!(!Rc::ptr_eq(&first.tasks[1], &second.tasks[1]));
    assert!(Rc::ptr_eq(&first.nodes[0], &second.nodes[0]));
}

#[test]
fn an_update_counts_the_tasks_with_the_new_image() {
    let new = json!({ "Spec": { "ContainerSpec": { "Image": "nginx:1.13@sha256:11" } } });
    let tasks = [task("1", 1, "running", &new), task("2", 2, "running", &json!({})), task("3", 3, "starting", &new)];
    let seen = view(&[node("node1", None, "")], &[service(3, "nginx:1.13")], &tasks, &SwarmView::default());
    assert_eq!(seen.updated(&seen.services[0]), (1, 3));
    assert_eq!(seen.services[0].image, "nginx:1.13", "without its digest");
    assert_eq!(seen.services[0].web_port().map(|port| port.published), Some(8080));
}

#[test]
fn quorum_says_what_may_still_fail() {
    let sentence = |managers: &[&str]| {
        let nodes: Vec<Node> = managers
            .iter()
            .enumerate()
            .map(|(index, reachable)| node(&format!("node{index}"), Some(index == 0), reachable))
            .collect();
        Quorum::of(&view(&nodes, &[], &[], &SwarmView::default())).sentence()
    };
    insta::assert_snapshot!(
        [
            sentence(&["reachable"]),
            sentence(&["reachable"; 2]),
            sentence(&["reachable"; 3]),
            sentence(&["reachable", "reachable", "unreachable"]),
            sentence(&["reachable", "unreachable", "unreachable"]),
            sentence(&["reachable"; 5]),
            sentence(&["reachable", "reachable", "reachable", "reachable", "unreachable"]),
        ].join("\n"),
        @r"
    One manager: it is its own majority, so it may not fail.
    2 managers, majority 2: none may fail.
    3 managers, majority 2: one may fail.
    2 of 3 managers answer, majority 2: no more may fail.
    Quorum lost: 1 of 3 managers answer and 2 are needed. Tasks run on; nothing can be changed.
    5 managers, majority 3: 2 may fail.
    4 of 5 managers answer, majority 3: one more may fail.
    "
    );
}

fn places(states: &[NodeState]) -> Rc<Vec<NodePlace>> {
    let places = states.iter().enumerate();
    Rc::new(places.map(|(index, state)| NodePlace { name: format!("node{}", index + 1), state: *state }).collect())
}

#[test]
fn a_recording_tells_what_changed() {
    let mut recording = Recording::default();
    let at = Timestamp::UNIX_EPOCH;
    let up = places(&[NodeState::Running, NodeState::Running]);
    let nodes = [node("node1", Some(true), "reachable"), node("node2", None, "")];
    let empty = view(&nodes[..1], &[], &[], &SwarmView::default());
    recording.add(at, &empty, &up);
    recording.add(at, &empty, &up);
    assert_eq!(recording.len(), 1, "the same again is no moment");
    let created = view(
        &nodes,
        &[service(2, "nginx:1.12")],
        &[
            task("1", 1, "running", &json!({})),
            task(
                "2",
                2,
                "pending",
                &json!({ "NodeID": "", "Status": { "State": "pending", "Err": "no suitable node" } }),
            ),
        ],
        &empty,
    );
    recording.add(at, &created, &up);
    let down = serde_json::from_value(
        json!({ "ID": "id-node2", "Spec": { "Role": "worker" }, "Description": { "Hostname": "node2" },
        "Status": { "State": "down", "Message": "heartbeat failure" } }),
    )
    .unwrap();
    let failed =
        json!({ "DesiredState": "shutdown", "Status": { "State": "rejected", "Err": "No such image: nosuch:1" } });
    let later = view(
        &[nodes[0].clone(), down],
        &[service(5, "nginx:1.13")],
        &[task("1", 1, "rejected", &failed), task("2", 2, "running", &json!({}))],
        &created,
    );
    recording.add(at, &later, &places(&[NodeState::Running, NodeState::Killed]));
    let told: Vec<String> = recording.backwards().map(|(_, moment)| moment.news.join("\n  ")).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    node2 is switched off
      node2 is down: heartbeat failure
      web: 5 wanted instead of 2
      web: image nginx:1.13 instead of nginx:1.12
      web.1 on node1: rejected, No such image: nosuch:1
      web.2 on node1: running
    node2 joined as worker
      service web was created, 2 wanted
      web.1 on node1: running
      web.2: pending, no suitable node
    The recording begins
    ");
}

#[test]
fn a_recording_forgets_its_oldest_moments() {
    let mut recording = Recording::default();
    let up = places(&[NodeState::Running]);
    let mut former = Rc::<SwarmView>::default();
    for replicas in 0..700 {
        let seen = view(&[], &[service(replicas, "nginx")], &[], &former);
        recording.add(Timestamp::UNIX_EPOCH, &seen, &up);
        former = seen;
    }
    assert_eq!(recording.len(), 600);
    assert_eq!(recording.number(0), 100);
    assert_eq!(recording.index(99), 0, "a forgotten moment is the oldest there is");
    assert_eq!(recording.index(699), 599);
}
