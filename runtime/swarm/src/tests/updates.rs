use docklab_api::models::{
    ServiceSpec, ServiceSpecUpdateConfig, ServiceSpecUpdateConfigFailureActionEnum as OnFailure,
    ServiceSpecUpdateConfigOrderEnum as Order, ServiceUpdateStatusStateEnum as Progress,
};

use super::{Behaviour, Lab, SECOND, placement, service, set_image, set_replicas};
use crate::objects::{State, Task};

fn config(spec: &mut ServiceSpec) -> &mut ServiceSpecUpdateConfig {
    spec.update_config
        .get_or_insert_with(|| ServiceSpecUpdateConfig { parallelism: Some(1), ..ServiceSpecUpdateConfig::default() })
}

fn progress(lab: &Lab) -> Option<(Progress, String)> {
    let service = lab.manager.find_service("web").unwrap();
    service.update.as_ref().map(|update| (update.state, update.message.clone()))
}

fn of_image<'a>(lab: &'a Lab, image: &str) -> Vec<&'a Task> {
    let matches =
        |task: &&Task| task.spec.container_spec.as_ref().and_then(|spec| spec.image.as_deref()) == Some(image);
    lab.manager.store().tasks.values().filter(matches).collect()
}

#[test]
fn one_task_after_the_other_is_replaced() {
    let mut lab = Lab::new(2);
    lab.create(service("web", "v1", 3));
    lab.behaviour.insert("v1".into(), Behaviour::Cling);
    lab.update("web", |spec| set_image(spec, "v2"));
    let wanted = lab.tasks("web");
    assert_eq!(wanted.len(), 3);
    assert_eq!(
        wanted.iter().filter(|task| task.desired == State::READY).count(),
        1,
        "it waits for the old one to stop"
    );
    assert_eq!(progress(&lab).map(|(state, _)| state), Some(Progress::UPDATING));
    // An old task that never stops delays only until the time-out.
    lab.pass(61 * SECOND);
    assert!(of_image(&lab, "v2").iter().any(|task| task.status.state == State::RUNNING));
    lab.behaviour.clear();
    lab.pass(10 * SECOND);
    assert_eq!((lab.running("web"), of_image(&lab, "v2").len()), (3, 3));
    assert_eq!(progress(&lab), Some((Progress::COMPLETED, "update completed".into())));
}

#[test]
fn replicas_and_labels_of_the_service_touch_no_task() {
    let mut lab = Lab::new(2);
    lab.create(service("web", "v1", 2));
    let before: Vec<String> = lab.tasks("web").into_iter().map(|task| task.id).collect();
    lab.update("web", |spec| {
        set_replicas(spec, 3);
        spec.labels.get_or_insert_default().insert("a".into(), "b".into());
    });
    lab.pass(10 * SECOND);
    assert_eq!(lab.tasks("web").iter().filter(|task| before.contains(&task.id)).count(), 2);
    // A constraint that every node satisfies replaces nothing either.
    lab.update("web", |spec| placement(spec).constraints = Some(vec!["node.platform.os==linux".into()]));
    lab.pass(10 * SECOND);
    assert_eq!(lab.tasks("web").iter().filter(|task| before.contains(&task.id)).count(), 2);
}

#[test]
fn start_first_stops_the_old_task_when_the_new_one_runs() {
    let mut lab = Lab::new(1);
    let mut spec = service("web", "v1", 1);
    config(&mut spec).order = Some(Order::START_FIRST);
    lab.create(spec);
    let old = lab.tasks("web")[0].id.clone();
    lab.behaviour.insert("v2".into(), Behaviour::Reject);
    lab.update("web", |spec| set_image(spec, "v2"));
    lab.pass(3 * SECOND);
    assert!(lab.manager.store().tasks[&old].is_wanted(), "the old one stays while the new one cannot start");
    lab.behaviour.clear();
    lab.update("web", |spec| set_image(spec, "v3"));
    lab.pass(20 * SECOND);
    assert_eq!(lab.running("web"), 1);
    assert!(!lab.manager.store().tasks.get(&old).is_some_and(Task::is_wanted));
}

#[test]
fn a_failure_pauses_and_the_rest_keeps_the_old_version() {
    let mut lab = Lab::new(2);
    let mut spec = service("web", "v1", 3);
    config(&mut spec).failure_action = Some(OnFailure::PAUSE);
    lab.create(spec);
    lab.behaviour.insert("v2".into(), Behaviour::Reject);
    lab.update("web", |spec| set_image(spec, "v2"));
    lab.pass(3 * SECOND);
    let (state, message) = progress(&lab).unwrap();
    assert_eq!(state, Progress::PAUSED);
    assert!(message.starts_with("update paused due to failure or early termination of task "), "{message}");
    lab.pass(60 * SECOND);
    assert_eq!(of_image(&lab, "v1").iter().filter(|task| task.status.state == State::RUNNING).count(), 2);
    lab.update("web", |spec| {
        config(spec).failure_action = Some(OnFailure::CONTINUE);
        set_image(spec, "v3");
    });
    lab.pass(60 * SECOND);
    assert_eq!(of_image(&lab, "v3").iter().filter(|task| task.status.state == State::RUNNING).count(), 3);
}

#[test]
fn too_many_failures_roll_back() {
    let mut lab = Lab::new(2);
    let mut spec = service("web", "v1", 4);
    config(&mut spec).failure_action = Some(OnFailure::ROLLBACK);
    config(&mut spec).max_failure_ratio = Some(0.4);
    lab.create(spec);
    lab.behaviour.insert("v2".into(), Behaviour::Exit(1));
    lab.update("web", |spec| set_image(spec, "v2"));
    let (state, message) = progress(&lab).unwrap();
    assert_eq!(state, Progress::ROLLBACK_STARTED);
    assert!(message.starts_with("update rolled back due to failure or early termination of task "), "{message}");
    lab.pass(120 * SECOND);
    assert_eq!(progress(&lab), Some((Progress::ROLLBACK_COMPLETED, "rollback completed".into())));
    assert_eq!(lab.running("web"), 4);
    assert!(
        lab.tasks("web").iter().all(|task| task.spec.container_spec.as_ref().unwrap().image.as_deref() == Some("v1"))
    );
}

#[test]
fn a_rollback_that_fails_pauses() {
    let mut lab = Lab::new(2);
    let mut spec = service("web", "v1", 3);
    config(&mut spec).failure_action = Some(OnFailure::ROLLBACK);
    lab.create(spec);
    lab.behaviour.insert("v1".into(), Behaviour::Exit(1));
    lab.behaviour.insert("v2".into(), Behaviour::Exit(1));
    lab.update("web", |spec| set_image(spec, "v2"));
    lab.pass(60 * SECOND);
    assert_eq!(progress(&lab).unwrap().0, Progress::ROLLBACK_PAUSED);
}

#[test]
fn a_rollback_that_fails_goes_on_where_it_is_told_to() {
    let mut lab = Lab::new(2);
    let mut spec = service("web", "v1", 3);
    config(&mut spec).failure_action = Some(OnFailure::ROLLBACK);
    spec.rollback_config = Some(docklab_api::models::ServiceSpecRollbackConfig {
        failure_action: Some(docklab_api::models::ServiceSpecRollbackConfigFailureActionEnum::CONTINUE),
        ..docklab_api::models::ServiceSpecRollbackConfig::default()
    });
    lab.create(spec);
    lab.behaviour.insert("v1".into(), Behaviour::Exit(1));
    lab.behaviour.insert("v2".into(), Behaviour::Exit(1));
    lab.update("web", |spec| set_image(spec, "v2"));
    lab.pass(120 * SECOND);
    assert_eq!(progress(&lab).unwrap().0, Progress::ROLLBACK_COMPLETED);
}

#[test]
fn an_update_that_is_told_to_goes_on_over_failures() {
    let mut lab = Lab::new(2);
    let mut spec = service("web", "v1", 3);
    config(&mut spec).failure_action = Some(OnFailure::CONTINUE);
    lab.create(spec);
    lab.behaviour.insert("v2".into(), Behaviour::Reject);
    lab.update("web", |spec| set_image(spec, "v2"));
    lab.pass(120 * SECOND);
    assert_eq!(progress(&lab).unwrap().0, Progress::COMPLETED);
    assert_eq!(of_image(&lab, "v1").iter().filter(|task| task.is_wanted()).count(), 0);
}

#[test]
fn rollback_undoes_a_scale() {
    let mut lab = Lab::new(1);
    lab.create(service("web", "v1", 2));
    lab.update("web", |spec| set_replicas(spec, 4));
    let service = lab.manager.find_service("web").unwrap().clone();
    lab.manager.update_service(lab.now, "web", service.meta.version, service.spec.clone(), true).unwrap();
    lab.pass(10 * SECOND);
    assert_eq!(lab.running("web"), 2);
    assert_eq!(progress(&lab), Some((Progress::ROLLBACK_COMPLETED, "rollback completed".into())));
    let service = lab.manager.find_service("web").unwrap().clone();
    let error = lab.manager.update_service(lab.now, "web", service.meta.version, service.spec, true).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("rpc error: code = FailedPrecondition desc = service {} does not have a previous spec", service.id)
    );
}

#[test]
fn an_outdated_version_is_refused() {
    let mut lab = Lab::new(1);
    lab.create(service("web", "v1", 1));
    let spec = lab.manager.find_service("web").unwrap().spec.clone();
    let error = lab.manager.update_service(lab.now, "web", 1, spec, false).unwrap_err();
    assert_eq!(error.to_string(), "rpc error: code = Unknown desc = update out of sequence");
}

#[test]
fn parallelism_zero_replaces_all_at_once_and_a_delay_separates() {
    let mut lab = Lab::new(2);
    let mut spec = service("web", "v1", 4);
    config(&mut spec).parallelism = Some(0);
    lab.create(spec);
    lab.update("web", |spec| set_image(spec, "v2"));
    assert_eq!((of_image(&lab, "v2").len(), lab.running("web")), (4, 4));
    lab.pass(10 * SECOND);
    lab.update("web", |spec| {
        config(spec).parallelism = Some(2);
        config(spec).delay = Some(8 * SECOND);
        set_image(spec, "v3");
    });
    assert_eq!(of_image(&lab, "v3").len(), 2);
    lab.pass(7 * SECOND);
    assert_eq!(of_image(&lab, "v3").len(), 2);
    lab.pass(2 * SECOND);
    assert_eq!(of_image(&lab, "v3").len(), 4);
    assert_eq!(progress(&lab).unwrap().0, Progress::UPDATING);
    lab.pass(20 * SECOND);
    assert_eq!(progress(&lab).unwrap().0, Progress::COMPLETED);
}

#[test]
fn a_failure_after_the_monitor_period_does_not_count() {
    let mut lab = Lab::new(1);
    let mut spec = service("web", "v1", 2);
    config(&mut spec).delay = Some(20 * SECOND);
    lab.create(spec);
    lab.update("web", |spec| set_image(spec, "v2"));
    lab.pass(8 * SECOND);
    let task = of_image(&lab, "v2")[0].clone();
    lab.report(&task, State::FAILED, "task: non-zero exit (1)");
    lab.pass(60 * SECOND);
    assert_eq!(progress(&lab).unwrap().0, Progress::COMPLETED);
    assert_eq!(lab.running("web"), 2);
}
