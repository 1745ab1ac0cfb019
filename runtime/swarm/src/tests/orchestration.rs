use docklab_api::models::{
    NodeSpecAvailabilityEnum, ServiceSpecMode, ServiceSpecModeReplicatedJob,
    TaskSpecRestartPolicyConditionEnum as Condition,
};

use super::{Behaviour, Lab, SECOND, global, placement, restart, service, set_image, set_replicas};
use crate::objects::State;

#[test]
fn scaling_keeps_what_runs_and_frees_the_highest_slots() {
    let mut lab = Lab::new(3);
    lab.create(service("web", "nginx", 1));
    let first = lab.tasks("web")[0].id.clone();
    lab.update("web", |spec| set_replicas(spec, 5));
    assert_eq!(lab.tasks("web")[0].id, first);
    assert_eq!(lab.tasks("web").iter().map(|task| task.slot).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    lab.update("web", |spec| set_replicas(spec, 3));
    lab.pass(SECOND);
    let spread = lab.spread("web");
    assert!(spread.values().all(|count| *count == 1), "one a node stays: {spread:?}");
    let id = lab.manager.find_service("web").unwrap().id.clone();
    assert_eq!(lab.manager.store().tasks_of(&id).count(), 3, "scaling down leaves no history");
}

#[test]
fn a_removed_task_goes_only_after_its_node_has_stopped_it() {
    let mut lab = Lab::new(1);
    lab.behaviour.insert("clinging".into(), Behaviour::Cling);
    let id = lab.create(service("web", "clinging", 2));
    lab.manager.remove_service(lab.now, "web").unwrap();
    lab.pass(5 * SECOND);
    assert!(lab.manager.store().tasks_of(&id).all(|task| task.desired == State::REMOVE));
    assert_eq!(lab.manager.store().tasks_of(&id).count(), 2);
    lab.behaviour.clear();
    lab.pass(SECOND);
    assert_eq!(lab.manager.store().tasks_of(&id).count(), 0);
}

#[test]
fn a_crash_is_followed_after_the_delay_and_five_rows_are_kept() {
    let mut lab = Lab::new(1);
    lab.behaviour.insert("broken".into(), Behaviour::Exit(2));
    let id = lab.create(service("web", "broken", 1));
    let waiting = lab.tasks("web").remove(0);
    assert_eq!((waiting.desired, waiting.status.state), (State::READY, State::READY));
    lab.pass(4 * SECOND);
    assert_eq!(lab.tasks("web")[0].id, waiting.id, "not before the delay is over");
    lab.pass(2 * SECOND);
    assert_ne!(lab.tasks("web")[0].id, waiting.id);
    lab.pass(60 * SECOND);
    assert_eq!(lab.manager.store().tasks_of(&id).count(), 5);
}

#[test]
fn restart_conditions() {
    for (condition, code, restarts) in [
        (Condition::ANY, 0, true),
        (Condition::ANY, 1, true),
        (Condition::ON_FAILURE, 0, false),
        (Condition::ON_FAILURE, 1, true),
        (Condition::NONE, 1, false),
    ] {
        let mut lab = Lab::new(1);
        lab.behaviour.insert("ends".into(), Behaviour::Exit(code));
        let mut spec = service("web", "ends", 1);
        restart(&mut spec).condition = Some(condition);
        let id = lab.create(spec);
        lab.pass(8 * SECOND);
        assert_eq!(lab.manager.store().tasks_of(&id).count() > 1, restarts, "{condition} after {code}");
        lab.update("web", |spec| set_image(spec, "nginx"));
        lab.pass(20 * SECOND);
        assert_eq!(lab.running("web"), 1, "a new specification starts a task again");
    }
}

#[test]
fn attempts_are_counted_by_slot_and_specification() {
    let mut lab = Lab::new(1);
    lab.behaviour.insert("broken".into(), Behaviour::Exit(1));
    let mut spec = service("web", "broken", 1);
    restart(&mut spec).max_attempts = Some(1);
    restart(&mut spec).delay = Some(SECOND);
    let id = lab.create(spec);
    lab.pass(30 * SECOND);
    assert_eq!(lab.manager.store().tasks_of(&id).count(), 2, "the task and one restart");
    lab.update("web", |spec| {
        super::template(spec).force_update = Some(1);
    });
    lab.pass(30 * SECOND);
    assert!(lab.manager.store().tasks_of(&id).count() > 2);
}

#[test]
fn a_lost_node_is_replaced_and_counts_until_it_returns() {
    let mut lab = Lab::new(3);
    lab.create(service("web", "nginx", 6));
    lab.kill("n3");
    lab.pass(25 * SECOND);
    assert_eq!(lab.running("web"), 6);
    let shown = lab.manager.list_services(&docklab_api::Filters::new(), true).remove(0).service_status.unwrap();
    assert_eq!((shown.running_tasks, shown.desired_tasks), (Some(8), Some(6)));
}

#[test]
fn draining_moves_tasks_without_delay_and_leaves_others_alone() {
    let mut lab = Lab::new(3);
    lab.create(service("web", "nginx", 3));
    let before: Vec<String> = lab.tasks("web").into_iter().map(|task| task.id).collect();
    lab.availability("n2", NodeSpecAvailabilityEnum::DRAIN);
    lab.settle();
    assert_eq!((lab.running("web"), lab.spread("web").get("n2")), (3, None));
    let kept = lab.tasks("web").iter().filter(|task| before.contains(&task.id)).count();
    assert_eq!(kept, 2);
}

#[test]
fn removing_a_node_moves_its_tasks_and_orphans_the_old() {
    let mut lab = Lab::new(2);
    let id = lab.create(service("web", "nginx", 2));
    lab.kill("n2");
    lab.pass(20 * SECOND);
    lab.manager.remove_node(lab.now, "n2", false).unwrap();
    lab.pass(SECOND);
    let orphans = lab.manager.store().tasks_of(&id).filter(|task| task.status.state == State::ORPHANED).count();
    assert_eq!((orphans, lab.running("web")), (1, 2));
}

#[test]
fn a_global_service_follows_its_nodes() {
    let mut lab = Lab::new(2);
    lab.create(global("agent", "nginx"));
    assert_eq!(lab.running("agent"), 2);
    lab.join("n3");
    lab.settle();
    assert_eq!(lab.running("agent"), 3);
    lab.availability("n2", NodeSpecAvailabilityEnum::DRAIN);
    lab.settle();
    assert_eq!(lab.spread("agent").get("n2"), None);
    lab.update("agent", |spec| set_image(spec, "nginx:2"));
    lab.pass(30 * SECOND);
    assert_eq!((lab.running("agent"), lab.spread("agent").get("n2")), (2, None));
    lab.availability("n2", NodeSpecAvailabilityEnum::ACTIVE);
    lab.settle();
    assert_eq!(lab.running("agent"), 3);
    lab.availability("n3", NodeSpecAvailabilityEnum::PAUSE);
    lab.settle();
    assert_eq!(lab.running("agent"), 3, "a paused node keeps its task");
    let task = lab.tasks("agent").into_iter().find(|task| task.node == lab.alive["n3"].0).unwrap();
    lab.report(&task, State::FAILED, "task: non-zero exit (1)");
    lab.pass(30 * SECOND);
    assert_eq!(lab.running("agent"), 2, "and gets no new one");
}

#[test]
fn a_task_whose_node_stops_matching_is_rejected_and_moves() {
    let mut lab = Lab::new(2);
    lab.label("n1", "disk", "ssd");
    let mut spec = service("web", "nginx", 1);
    placement(&mut spec).constraints = Some(vec!["node.labels.disk==ssd".into()]);
    let id = lab.create(spec);
    lab.label("n1", "disk", "hdd");
    lab.label("n2", "disk", "ssd");
    lab.pass(10 * SECOND);
    let old = lab.manager.store().tasks_of(&id).find(|task| !task.is_wanted()).cloned().unwrap();
    assert_eq!(
        (old.status.state, old.status.error.as_str()),
        (State::REJECTED, "assigned node no longer meets constraints")
    );
    assert_eq!(lab.spread("web").into_iter().collect::<Vec<_>>(), [("n2".to_owned(), 1)]);
}

#[test]
fn a_job_runs_its_completions_few_at_a_time() {
    let mut lab = Lab::new(2);
    let mut spec = service("job", "nginx", 0);
    spec.mode = Some(ServiceSpecMode {
        replicated_job: Some(ServiceSpecModeReplicatedJob { max_concurrent: Some(2), total_completions: Some(5) }),
        ..ServiceSpecMode::default()
    });
    let id = lab.create(spec);
    assert_eq!(lab.manager.store().tasks_of(&id).count(), 2);
    let first = lab.tasks("job").remove(0);
    lab.report(&first, State::COMPLETE, "");
    lab.settle();
    assert_eq!(lab.manager.store().tasks_of(&id).count(), 3);
    lab.behaviour.insert("nginx".into(), Behaviour::Exit(0));
    lab.pass(10 * SECOND);
    let done = lab.manager.store().tasks_of(&id).filter(|task| task.status.state == State::COMPLETE).count();
    assert_eq!((done, lab.manager.store().tasks_of(&id).count()), (5, 5));
}

#[test]
fn history_keeps_as_many_tasks_as_the_limit_says() {
    let mut lab = Lab::new(1);
    let cluster = lab.manager.store().cluster.clone().unwrap();
    let mut spec = cluster.spec;
    spec.orchestration.get_or_insert_default().task_history_retention_limit = Some(2);
    lab.manager.update_swarm(lab.now, cluster.meta.version, spec, crate::TokenRotation::default()).unwrap();
    let id = lab.create(service("web", "nginx", 1));
    for generation in 1..4 {
        lab.update("web", |spec| {
            super::template(spec).force_update = Some(generation);
        });
        lab.pass(10 * SECOND);
    }
    assert_eq!(lab.manager.store().tasks_of(&id).count(), 2);
}

#[test]
fn an_image_that_cannot_be_had_is_tried_at_the_pace_of_the_delay() {
    let mut lab = Lab::new(2);
    lab.behaviour.insert("nosuch".into(), Behaviour::Reject);
    let id = lab.create(service("web", "nosuch", 1));
    lab.pass(11 * SECOND);
    let rejected = lab.manager.store().tasks_of(&id).filter(|task| task.status.state == State::REJECTED).count();
    assert!((3..=4).contains(&rejected), "{rejected}");
}

#[test]
fn restarts_within_a_window_are_counted_and_quiet_forgives() {
    let mut lab = Lab::new(1);
    let mut spec = service("web", "nginx", 1);
    restart(&mut spec).max_attempts = Some(1);
    restart(&mut spec).window = Some(SECOND / 2);
    restart(&mut spec).delay = Some(SECOND / 10);
    lab.create(spec);
    let fail = |lab: &mut Lab| {
        let task = lab.tasks("web").remove(0);
        lab.report(&task, State::FAILED, "task: non-zero exit (1)");
        lab.pass(SECOND / 5);
    };
    fail(&mut lab);
    assert_eq!(lab.running("web"), 1, "one restart in the window");
    lab.pass(SECOND);
    fail(&mut lab);
    assert_eq!(lab.running("web"), 1, "after a second of quiet it is restarted again");
    fail(&mut lab);
    assert_eq!(lab.running("web"), 0, "twice in one window is too often");
}

#[test]
fn a_new_leader_gives_nodes_time_and_finds_tasks_where_they_were() {
    let mut lab = Lab::new(3);
    let id = lab.create(service("web", "nginx", 3));
    lab.kill("n3");
    lab.pass(SECOND);
    let store = lab.manager.store().clone();
    lab.manager = crate::Manager::new(store, [9; 32], lab.now);
    for name in ["n1", "n2"] {
        lab.revive(name);
    }
    lab.pass(26 * SECOND);
    assert_eq!(lab.manager.find_node("n3").unwrap().state, docklab_api::models::NodeState::UNKNOWN);
    assert_eq!(lab.manager.store().tasks_of(&id).count(), 3, "nothing was moved");
    lab.pass(14 * SECOND);
    assert_eq!(lab.manager.find_node("n3").unwrap().state, docklab_api::models::NodeState::DOWN);
    assert_eq!((lab.running("web"), lab.spread("web").get("n3")), (3, None));
}

#[test]
fn tasks_of_drained_and_lost_nodes_are_shut_down_when_a_leader_starts() {
    let mut lab = Lab::new(3);
    lab.create(service("web", "nginx", 3));
    let mut store = lab.manager.store().clone();
    let (drained, _) = lab.alive["n2"].clone();
    let (lost, _) = lab.alive["n3"].clone();
    if let Some(node) = store.nodes.get_mut(&drained) {
        node.spec.availability = Some(NodeSpecAvailabilityEnum::DRAIN);
    }
    store.nodes.remove(&lost);
    lab.manager = crate::Manager::new(store, [9; 32], lab.now);
    lab.alive.remove("n3");
    for name in ["n1", "n2"] {
        lab.revive(name);
    }
    lab.pass(10 * SECOND);
    assert_eq!(lab.spread("web").into_iter().collect::<Vec<_>>(), [("n1".to_owned(), 3)]);
}
