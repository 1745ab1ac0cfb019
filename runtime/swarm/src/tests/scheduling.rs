use docklab_api::models::{
    EndpointPortConfig, EndpointPortConfigProtocolEnum as Protocol, EndpointPortConfigPublishModeEnum as PublishMode,
    EndpointSpec, NodeSpecAvailabilityEnum, ResourceObject, TaskSpecPlacementPreferences, TaskSpecPlacementSpread,
    TaskSpecResources,
};

use super::{Behaviour, Lab, SECOND, placement, service, set_replicas, template};
use crate::{Constraint, objects::State};

#[test]
fn tasks_spread_evenly_and_another_service_takes_the_emptier_nodes() {
    let mut lab = Lab::new(5);
    lab.create(service("a", "nginx", 18));
    let spread = lab.spread("a");
    let mut counts: Vec<usize> = spread.values().copied().collect();
    counts.sort_unstable();
    assert_eq!(counts, [3, 3, 4, 4, 4]);
    lab.create(service("b", "nginx", 2));
    for node in lab.spread("b").keys() {
        assert_eq!(spread[node], 3);
    }
}

#[test]
fn a_preference_splits_evenly_between_label_values() {
    let mut lab = Lab::new(5);
    lab.label("n1", "az", "az1");
    for node in ["n2", "n3", "n4", "n5"] {
        lab.label(node, "az", "az2");
    }
    let mut spec = service("web", "nginx", 8);
    placement(&mut spec).preferences = Some(vec![TaskSpecPlacementPreferences {
        spread: Some(TaskSpecPlacementSpread { spread_descriptor: Some("node.labels.az".into()) }),
    }]);
    lab.create(spec);
    let spread = lab.spread("web");
    assert_eq!(spread["n1"], 4);
    assert!(["n2", "n3", "n4", "n5"].iter().all(|node| spread[*node] == 1), "{spread:?}");
}

#[test]
fn a_task_waits_for_a_node_and_says_why() {
    let mut lab = Lab::new(1);
    lab.availability("n1", NodeSpecAvailabilityEnum::PAUSE);
    lab.create(service("web", "nginx", 1));
    assert_eq!(lab.errors("web"), ["no suitable node (1 node not available for new tasks)"]);
    lab.availability("n1", NodeSpecAvailabilityEnum::ACTIVE);
    lab.settle();
    assert_eq!((lab.running("web"), lab.errors("web").len()), (1, 0));
}

#[test]
fn memory_is_reserved_and_given_back() {
    let mut lab = Lab::new(2);
    let reserve = |spec: &mut _, bytes| {
        template(spec).resources = Some(TaskSpecResources {
            reservations: Some(ResourceObject { memory_bytes: Some(bytes), ..ResourceObject::default() }),
            ..TaskSpecResources::default()
        });
    };
    let mut big = service("big", "nginx", 1);
    reserve(&mut big, 8 << 30);
    lab.create(big);
    assert_eq!(lab.errors("big"), ["no suitable node (insufficient resources on 2 nodes)"]);
    let mut half = service("half", "nginx", 3);
    reserve(&mut half, 3 << 30);
    lab.create(half);
    assert_eq!((lab.running("half"), lab.errors("half").len()), (2, 1));
    // A task that is gone gives its memory to the one that waits.
    lab.update("half", |spec| set_replicas(spec, 2));
    lab.create({
        let mut other = service("other", "nginx", 1);
        reserve(&mut other, 1 << 30);
        other
    });
    assert_eq!(lab.running("other"), 1);
}

#[test]
fn one_task_a_node_holds_a_host_port_of_a_protocol() {
    let mut lab = Lab::new(2);
    let spec = |name, replicas, protocol| {
        let mut spec = service(name, "nginx", replicas);
        let port = EndpointPortConfig {
            target_port: Some(58),
            published_port: Some(58),
            protocol: Some(protocol),
            publish_mode: Some(PublishMode::HOST),
            ..EndpointPortConfig::default()
        };
        spec.endpoint_spec = Some(EndpointSpec { ports: Some(vec![port]), ..EndpointSpec::default() });
        spec
    };
    lab.create(spec("tcp", 3, Protocol::TCP));
    assert_eq!(lab.running("tcp"), 2);
    assert_eq!(lab.errors("tcp"), ["no suitable node (host-mode port already in use on 2 nodes)"]);
    lab.create(spec("udp", 2, Protocol::UDP));
    assert_eq!(lab.running("udp"), 2);
}

#[test]
fn at_most_so_many_replicas_a_node() {
    let mut lab = Lab::new(2);
    let mut spec = service("web", "nginx", 3);
    placement(&mut spec).max_replicas = Some(1);
    lab.create(spec);
    assert_eq!(lab.errors("web"), ["no suitable node (max replicas per node limit exceed)"]);
    lab.join("n3");
    lab.settle();
    assert_eq!(lab.running("web"), 3);
}

#[test]
fn unsatisfied_constraints_are_counted() {
    let mut lab = Lab::new(3);
    let mut spec = service("web", "nginx", 1);
    placement(&mut spec).constraints = Some(vec!["node.labels.disk==ssd".into()]);
    lab.create(spec);
    assert_eq!(lab.errors("web"), ["no suitable node (scheduling constraints not satisfied on 3 nodes)"]);
    lab.label("n2", "disk", "SSD");
    lab.settle();
    assert_eq!(lab.spread("web").into_iter().collect::<Vec<_>>(), [("n2".to_owned(), 1)]);
}

#[test]
fn a_node_where_a_service_keeps_failing_comes_last() {
    let mut lab = Lab::new(2);
    lab.behaviour.insert("broken".into(), Behaviour::Exit(1));
    let mut spec = service("web", "nginx", 1);
    placement(&mut spec).constraints = None;
    lab.create(spec);
    let busy = lab.spread("web").keys().next().cloned().unwrap();
    let mut spec = service("flaky", "broken", 1);
    super::restart(&mut spec).delay = Some(SECOND);
    lab.create(spec);
    let first = lab.tasks("flaky")[0].node.clone();
    assert_ne!(lab.manager.store().nodes[&first].hostname(), busy);
    lab.pass(10 * SECOND);
    let nodes: std::collections::BTreeSet<String> = {
        let id = lab.manager.find_service("flaky").unwrap().id.clone();
        lab.manager.store().tasks_of(&id).map(|task| task.node.clone()).collect()
    };
    assert_eq!(nodes.len(), 2, "after five failures the other node is tried");
}

#[test]
fn constraint_table() {
    let lab = Lab::new(1);
    let node = lab.manager.find_node("n1").unwrap();
    let matches = |text: &str| Constraint::parse(text).unwrap().matches(node);
    for text in [
        "node.hostname==N1",
        "node.hostname != other",
        "node.ip==10.0.1.1",
        "node.ip==10.0.1.0/24",
        "node.ip!=10.9.0.0/16",
        "node.role==MANAGER",
        "node.platform.os==linux",
        "node.platform.arch==x86_64",
        "node.labels.none!=x",
        "engine.labels.none!=x",
    ] {
        assert!(matches(text), "{text}");
    }
    for text in
        ["node.role==worker", "node.ip==10.9.0.0/16", "node.labels.none==x", "node.unknown==x", "node.unknown!=x"]
    {
        assert!(!matches(text), "{text}");
    }
    assert_eq!(Constraint::parse("node.role").unwrap_err().to_string(), "constraint expected one operator from ==, !=");
    assert_eq!(Constraint::parse("x y==1").unwrap_err().to_string(), "key 'x y' is invalid");
    assert!(Constraint::parse("node.role==").is_err());
}

#[test]
fn a_returning_node_gets_nothing_back() {
    let mut lab = Lab::new(3);
    lab.create(service("web", "nginx", 6));
    lab.kill("n2");
    lab.pass(30 * SECOND);
    assert_eq!(lab.running("web"), 6);
    assert_eq!(lab.spread("web").get("n2"), None);
    lab.revive("n2");
    lab.pass(30 * SECOND);
    assert_eq!(lab.spread("web").get("n2"), None);
    let stale =
        lab.manager.store().tasks.values().filter(|task| !task.is_wanted() && task.status.state == State::RUNNING);
    assert_eq!(stale.count(), 0, "the returned node ended what was replaced");
}

#[test]
fn the_task_of_a_global_service_waits_for_its_own_node() {
    let mut lab = Lab::new(2);
    let reserve = |spec: &mut _, bytes| {
        template(spec).resources = Some(TaskSpecResources {
            reservations: Some(ResourceObject { memory_bytes: Some(bytes), ..ResourceObject::default() }),
            ..TaskSpecResources::default()
        });
    };
    let mut filler = service("filler", "nginx", 1);
    reserve(&mut filler, 3 << 30);
    lab.create(filler);
    let mut agent = super::global("agent", "nginx");
    reserve(&mut agent, 2 << 30);
    lab.create(agent);
    assert_eq!(lab.running("agent"), 1);
    assert_eq!(lab.errors("agent"), ["no suitable node (insufficient resources on 1 node)"]);
    lab.manager.remove_service(lab.now, "filler").unwrap();
    lab.settle();
    assert_eq!((lab.running("agent"), lab.spread("agent").len()), (2, 2));
}

#[test]
fn failures_of_one_service_do_not_count_for_another() {
    let mut lab = Lab::new(2);
    lab.behaviour.insert("broken".into(), Behaviour::Exit(1));
    let mut spec = service("flaky", "broken", 1);
    super::restart(&mut spec).delay = Some(SECOND / 10);
    lab.create(spec);
    lab.pass(20 * SECOND);
    lab.create(service("web", "nginx", 4));
    let spread = lab.spread("web");
    assert!(spread.values().all(|count| *count == 2), "{spread:?}");
}

#[test]
fn another_platform_is_no_place() {
    let mut lab = Lab::new(2);
    let mut spec = service("web", "nginx", 1);
    placement(&mut spec).platforms =
        Some(vec![docklab_api::models::Platform { architecture: Some("arm64".into()), os: Some("linux".into()) }]);
    lab.create(spec);
    assert_eq!(lab.errors("web"), ["no suitable node (unsupported platform on 2 nodes)"]);
    lab.update("web", |spec| {
        placement(spec).platforms =
            Some(vec![docklab_api::models::Platform { architecture: Some("amd64".into()), os: Some("linux".into()) }]);
    });
    lab.pass(10 * SECOND);
    assert_eq!(lab.running("web"), 1);
}
