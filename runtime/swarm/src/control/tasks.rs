use std::collections::HashMap;

use docklab_api::{
    Filters,
    models::{ObjectVersion, PortStatus, Task as ApiTask, TaskStatus},
};

use super::{find, object_version};
use crate::{Manager, error::ControlResult, objects::Task, time::rfc3339};

impl Manager {
    /// A task by ID or unique ID prefix.
    pub fn find_task(&self, name: &str) -> ControlResult<&Task> {
        find(&self.store.tasks, "task", name, |task| &task.id)
    }

    /// `GET /tasks/{id}`.
    pub fn inspect_task(&self, name: &str) -> ControlResult<ApiTask> {
        self.find_task(name).map(api_task)
    }

    /// `GET /tasks`.
    pub fn list_tasks(&self, filters: &Filters) -> Vec<ApiTask> {
        self.store
            .tasks
            .values()
            .filter(|task| {
                let service = |wanted: &str| task.service.starts_with(wanted) || task.service_name == wanted;
                let node = |wanted: &str| {
                    !task.node.is_empty()
                        && (task.node.starts_with(wanted)
                            || self.store.nodes.get(&task.node).is_some_and(|node| node.hostname() == wanted))
                };
                let desired = |wanted: &str| match wanted {
                    "running" => task.is_wanted(),
                    "shutdown" => !task.is_wanted(),
                    "accepted" => !task.is_wanted(),
                    _ => false,
                };
                let labels = task.spec.container_spec.as_ref().and_then(|container| container.labels.as_ref());
                filters.any("id", |id| task.id.starts_with(id))
                    && filters.any("name", |name| task.name().starts_with(name))
                    && filters.any("service", service)
                    && filters.any("node", node)
                    && filters.any("desired-state", desired)
                    && filters.labels(|key| labels.and_then(|labels| labels.get(key)).map(String::as_str))
            })
            .map(api_task)
            .collect()
    }
}

fn api_task(task: &Task) -> ApiTask {
    let (created_at, updated_at) = Manager::dates(&task.meta);
    ApiTask {
        id: Some(task.id.clone()),
        version: object_version(task.meta.version),
        created_at,
        updated_at,
        name: None,
        labels: Some(HashMap::new()),
        spec: Some(task.spec.clone()),
        service_id: Some(task.service.clone()),
        slot: (task.slot != 0).then(|| i64::try_from(task.slot).unwrap_or(i64::MAX)),
        node_id: Some(task.node.clone()).filter(|node| !node.is_empty()),
        assigned_generic_resources: None,
        status: Some(TaskStatus {
            timestamp: Some(rfc3339(task.status.at)),
            state: Some(task.status.state),
            message: Some(task.status.message.clone()),
            err: Some(task.status.error.clone()).filter(|error| !error.is_empty()),
            container_status: task.container_status(),
            port_status: Some(PortStatus { ports: Some(task.status.ports.clone()).filter(|ports| !ports.is_empty()) }),
        }),
        desired_state: Some(task.desired),
        job_iteration: task.job_iteration.map(|iteration| ObjectVersion { index: Some(iteration) }),
    }
}
