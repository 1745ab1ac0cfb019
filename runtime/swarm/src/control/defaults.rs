use docklab_api::models::{
    ServiceSpec, ServiceSpecRollbackConfig, ServiceSpecRollbackConfigFailureActionEnum as RollbackAction,
    ServiceSpecRollbackConfigOrderEnum as RollbackOrder, ServiceSpecUpdateConfig,
    ServiceSpecUpdateConfigFailureActionEnum as UpdateAction, ServiceSpecUpdateConfigOrderEnum as UpdateOrder,
    TaskSpecContainerSpecIsolationEnum as Isolation, TaskSpecRestartPolicyConditionEnum as Condition,
};

use crate::time::SECOND;

/// Fills in what a specification leaves to the swarm, as `insertDefaults=true` shows it.
pub fn insert_defaults(spec: &mut ServiceSpec) {
    let template = spec.task_template.get_or_insert_default();
    if let Some(container) = &mut template.container_spec {
        container.stop_grace_period.get_or_insert(10 * SECOND);
        container.dns_config.get_or_insert_default();
        container.isolation.get_or_insert(Isolation::DEFAULT);
    }
    let policy = template.restart_policy.get_or_insert_default();
    policy.condition.get_or_insert(Condition::ANY);
    policy.delay.get_or_insert(5 * SECOND);
    policy.max_attempts.get_or_insert(0);
    template.placement.get_or_insert_default();
    template.runtime.get_or_insert_with(|| "container".into());
    spec.update_config.get_or_insert(ServiceSpecUpdateConfig {
        parallelism: Some(1),
        delay: None,
        failure_action: Some(UpdateAction::PAUSE),
        monitor: Some(5 * SECOND),
        max_failure_ratio: Some(0.0),
        order: Some(UpdateOrder::STOP_FIRST),
    });
    spec.rollback_config.get_or_insert(ServiceSpecRollbackConfig {
        parallelism: Some(1),
        delay: None,
        failure_action: Some(RollbackAction::PAUSE),
        monitor: Some(5 * SECOND),
        max_failure_ratio: Some(0.0),
        order: Some(RollbackOrder::STOP_FIRST),
    });
}
