use std::{collections::HashMap, rc::Rc};

use docklab_api::models::{Node, Service, Task};
use serde_json::json;
use yew::{Callback, LocalServerRenderer};

use super::{
    Selection,
    layout::{Detail, DotKind, Layout},
    picture::{Picture, PictureProps},
    service::{Segment, segments},
    table::{SwarmTable, SwarmTableProps},
};
use crate::{
    observe::{Recording, SwarmView},
    session::{NodePlace, NodeState},
};

fn nodes(count: usize) -> Vec<Node> {
    let node = |number: usize| {
        let mut node = json!({
            "ID": format!("id{number}"), "Spec": { "Role": if number == 1 { "manager" } else { "worker" }, "Availability": "active" },
            "Description": { "Hostname": format!("node{number}") }, "Status": { "State": "ready", "Addr": format!("192.168.0.1{number}") },
        });
        if number == 1 {
            node["ManagerStatus"] = json!({ "Leader": true, "Reachability": "reachable" });
        }
        serde_json::from_value(node).unwrap()
    };
    (1..=count).map(node).collect()
}

fn service(replicas: usize) -> Service {
    serde_json::from_value(json!({
        "ID": "web", "Spec": { "Name": "web", "Mode": { "Replicated": { "Replicas": replicas } },
            "TaskTemplate": { "ContainerSpec": { "Image": "nginx:1.13" } } },
        "Endpoint": { "Ports": [{ "Protocol": "tcp", "TargetPort": 80, "PublishedPort": 80, "PublishMode": "ingress" }] },
        "UpdateStatus": { "State": "updating", "Message": "update in progress" },
    }))
    .unwrap()
}

fn task(slot: usize, node: &str, state: &str, image: &str) -> Task {
    serde_json::from_value(json!({
        "ID": format!("t{slot}"), "ServiceID": "web", "Slot": slot, "NodeID": node, "CreatedAt": "2026-01-01T00:00:00Z",
        "Spec": { "ContainerSpec": { "Image": image } }, "Status": { "State": state }, "DesiredState": "running",
    }))
    .unwrap()
}

fn view(nodes: &[Node], services: &[Service], tasks: &[Task]) -> Rc<SwarmView> {
    Rc::new(SwarmView::of("node1", nodes, services, tasks, Vec::new(), &SwarmView::default()))
}

fn places(count: usize) -> Rc<Vec<NodePlace>> {
    let place = |number| NodePlace { name: format!("node{number}"), state: NodeState::Running };
    Rc::new((1..=count).map(place).collect())
}

fn busy(node_count: usize, tasks_on_each: usize) -> Rc<SwarmView> {
    let tasks: Vec<Task> = (0..node_count * tasks_on_each)
        .map(|index| task(index + 1, &format!("id{}", index % node_count + 1), "running", "nginx:1.13"))
        .collect();
    view(&nodes(node_count), &[service(tasks.len())], &tasks)
}

#[test]
fn nothing_leaves_its_node_and_no_two_tasks_share_a_place() {
    for width in [320.0, 360.0, 620.0, 900.0, 1600.0] {
        for (count, tasks) in [(1, 1), (3, 2), (5, 8), (7, 9), (5, 40), (3, 60)] {
            let layout = Layout::new(width, &busy(count, tasks), &places(count), &[]);
            assert_eq!(layout.nodes.len(), count);
            let mut spots = HashMap::new();
            for node in &layout.nodes {
                assert!(node.x >= 0.0 && node.x + node.width <= width, "{count} nodes in {width} px");
                assert!(node.y + node.height <= layout.height);
                for place in &node.tasks {
                    assert!(
                        place.x >= node.x && place.x + place.width <= node.x + node.width,
                        "{tasks} tasks in {width} px"
                    );
                    assert!(place.y >= node.y && place.y + layout.detail.height() <= node.y + node.height);
                    let former = spots.insert((place.x.to_bits(), place.y.to_bits()), place.task.id.clone());
                    assert_eq!(former, None);
                }
            }
            assert_eq!(spots.len(), count * tasks);
        }
    }
}

#[test]
fn more_tasks_are_drawn_smaller_and_very_many_as_one_shape_for_each_state() {
    let detail = |tasks| Layout::new(900.0, &busy(3, tasks), &places(3), &[]).detail;
    assert_eq!([detail(8), detail(9), detail(60), detail(61)], [Detail::Card, Detail::Tile, Detail::Tile, Detail::Dot]);
    let layout = Layout::new(900.0, &busy(5, 500), &places(5), &[]);
    for node in &layout.nodes {
        assert!(node.tasks.is_empty());
        let counts: Vec<(DotKind, usize)> = node.dots.iter().map(|(kind, _, count)| (*kind, *count)).collect();
        assert_eq!(counts, [(DotKind::Running, 500)]);
    }
}

#[test]
fn a_machine_that_left_and_came_back_is_one_machine() {
    let mut members = nodes(2);
    let former: Node = serde_json::from_value(json!({ "ID": "old", "Spec": { "Role": "worker" },
        "Description": { "Hostname": "node2" }, "Status": { "State": "down" } }))
    .unwrap();
    members.push(former);
    let layout = Layout::new(900.0, &view(&members, &[], &[]), &places(3), &[]);
    let boxes: Vec<(&str, bool, bool)> =
        layout.nodes.iter().map(|node| (node.name.as_str(), node.member.is_some(), node.state.is_some())).collect();
    assert_eq!(
        boxes,
        [("node1", true, true), ("node2", true, true), ("node2", true, false), ("node3", false, true)],
        "the former membership is no machine, node3 is no member"
    );
}

#[test]
fn a_request_goes_from_the_node_that_is_asked_to_the_task_that_answers() {
    let seen = busy(3, 1);
    let layout = Layout::new(900.0, &seen, &places(3), &[]);
    let answering = seen.tasks.iter().find(|task| task.node == "id3").unwrap();
    let way = layout.way("node1", Some(answering)).unwrap();
    let entry = layout.node_named("node1").unwrap().port();
    let (x, y) = layout.node_of(answering).unwrap().middle_of(&answering.id).unwrap();
    assert!(way.starts_with(&format!("M{} ", entry.0)), "{way}");
    assert!(way.ends_with(&format!(" L{x} {y}")), "{way}");
    assert!(way.contains(&format!("V{} ", layout.rails[0])), "along the network: {way}");
    let same = seen.tasks.iter().find(|task| task.node == "id1").unwrap();
    assert!(!layout.way("node1", Some(same)).unwrap().contains('H'), "a node that answers itself needs no network");
    assert_eq!(layout.way("node9", None), None);
}

#[test]
fn a_bar_shows_what_is_wanted_by_what_is_there() {
    let tasks = [
        task(1, "id1", "running", "nginx:1.13"),
        task(2, "id1", "running", "nginx:1.12"),
        task(3, "id1", "preparing", "nginx:1.13"),
    ];
    let seen = view(&nodes(1), &[service(5)], &tasks);
    let expected = [(Segment::Running, 1), (Segment::Old, 1), (Segment::Coming, 1), (Segment::Missing, 2)];
    assert_eq!(segments(&seen.services[0], &seen), expected);
}

#[test]
fn a_picture_that_is_too_high_is_drawn_smaller_as_far_as_it_can_be_read() {
    let seen = busy(3, 8);
    let full = Layout::new(900.0, &seen, &places(3), &[]).height;
    let fitted = |height| Layout::fitting((900.0, height), &seen, &places(3), &[]).1;
    assert!((fitted(full) - 1.0).abs() < 1e-9);
    assert!(fitted(full * 0.9) < 1.0);
    assert!((fitted(160.0) - 0.8).abs() < 1e-9);
}

async fn picture(view: Rc<SwarmView>, places: Rc<Vec<NodePlace>>) -> String {
    let props = PictureProps {
        view,
        places,
        lingering: Rc::default(),
        selection: None::<Selection>,
        trace: None,
        answers: Rc::default(),
        on_select: Callback::noop(),
    };
    LocalServerRenderer::<Picture>::with_props(props).hydratable(false).render().await
}

/// The texts of a drawing, one a line.
fn texts(html: &str) -> String {
    let texts: Vec<&str> = html
        .split('>')
        .filter_map(|part| part.split('<').next())
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .collect();
    texts.join("\n")
}

fn updating() -> Rc<SwarmView> {
    let mut failed = task(2, "id1", "failed", "nginx:1.12");
    failed.id = Some("t2-before".into());
    failed.desired_state = Some(docklab_api::models::TaskState::SHUTDOWN);
    let mut waiting = task(4, "", "pending", "nginx:1.13");
    waiting.status.as_mut().unwrap().err = Some("no suitable node (1 node not available for new tasks)".into());
    let tasks = [
        task(1, "id1", "running", "nginx:1.13"),
        task(2, "id1", "running", "nginx:1.12"),
        task(3, "id2", "preparing", "nginx:1.13"),
        failed,
        waiting,
    ];
    view(&nodes(2), &[service(4)], &tasks)
}

#[tokio::test(flavor = "current_thread")]
async fn the_picture_says_in_words_what_it_shows_in_shapes() {
    let mut machines = (*places(3)).clone();
    machines[1].state = NodeState::Cut;
    insta::assert_snapshot!(texts(&picture(updating(), Rc::new(machines)).await), @r"
    routing mesh: every node answers for every task
    Service web, 2 of 4 running, image nginx:1.13, Updating: 1 of 4 run nginx:1.13
    web
    :80
    2 of 4
    Updating: 1 of 4 run nginx:1.13
    No node yet: no suitable node (1 node not available for new tasks)
    Node node1, Leader, Ready, availability Active, 2 tasks
    node1
    Ready
    Leader
    2 tasks
    Node node2, Worker, Cut off, availability Active, 1 task
    node2
    Cut off
    Worker
    1 task
    node3, Not in the swarm
    node3
    Not in the swarm
    a machine of its own
    docker swarm init, or join
    Task web.1, running, image nginx:1.13
    web.1
    running
    1.13
    Task web.2, running, image nginx:1.12 (old), 1 failed before it
    web.2
    running
    1.12
    Task web.3, preparing, image nginx:1.13
    web.3
    preparing
    1.13
    Task web.4, pending, image nginx:1.13, no suitable node (1 node not available for new tasks)
    web.4
    pending
    1.13
    :80
    ");
}

#[tokio::test(flavor = "current_thread")]
async fn every_thing_of_the_picture_is_a_button_with_a_spoken_name() {
    let html = picture(updating(), places(2)).await;
    // A service, two nodes, four tasks.
    assert_eq!(html.matches("role=\"button\" tabindex=\"0\"").count(), 7, "{html}");
    assert!(html.contains("<title>Task web.2, running, image nginx:1.12 (old), 1 failed before it</title>"), "{html}");
    assert!(html.contains("<title>Node node1, Leader, Ready, availability Active, 2 tasks</title>"), "{html}");
}

#[tokio::test(flavor = "current_thread")]
async fn the_table_says_the_same() {
    let seen = updating();
    let mut recording = Recording::default();
    recording.add(jiff::Timestamp::UNIX_EPOCH, &seen, &places(3));
    let props =
        SwarmTableProps { view: seen, places: places(3), recording: Rc::new(recording), on_select: Callback::noop() };
    let html = LocalServerRenderer::<SwarmTable>::with_props(props).hydratable(false).render().await;
    insta::assert_snapshot!(texts(&html), @r"
    One manager: it is its own majority, so it may not fail.
    Nodes
    Name
    Role
    State
    Availability
    Address
    Tasks
    node1
    Leader
    Ready
    Active
    192.168.0.11
    2
    node2
    Worker
    Ready
    Active
    192.168.0.12
    1
    node3
    not in the swarm, running
    Services
    Name
    Wanted
    Running
    Image
    Ports
    Update
    web
    4
    2
    nginx:1.13
    80 to 80/tcp
    Updating: 1 of 4 run nginx:1.13
    Tasks, with those that ended; the newest of each slot first
    Name
    State
    Wanted
    Node
    Image
    Reason
    web.1
    running
    running
    node1
    nginx:1.13
    web.2
    running
    running
    node1
    nginx:1.12
    web.2
    failed
    shutdown
    node1
    nginx:1.12
    web.3
    preparing
    running
    node2
    nginx:1.13
    web.4
    pending
    running
    –
    nginx:1.13
    no suitable node (1 node not available for new tasks)
    What happened, the newest first
    Time
    News
    00:00:00
    The recording begins
    ");
}
