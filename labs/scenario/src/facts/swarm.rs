use docklab_api::{ApiError, Filters, ListServices};
use serde_json::Value;

use super::{Engine, Gathered, Subject, flag, json, labels, number, short, strings, text, text_at};
use crate::check::Actual;

type Nodes = [(String, Engine)];

/// What the first manager that answers says; a worker's refusal is only reported when nobody else answered.
macro_rules! from_a_manager {
    ($nodes:expr, $gathered:expr, $what:literal, |$engine:ident| $call:expr) => {{
        let mut first_error: Option<(String, ApiError)> = None;
        let mut answer = None;
        for (name, $engine) in $nodes {
            match $call.await {
                Ok(found) => {
                    answer = Some(found);
                    break;
                }
                Err(error) => {
                    first_error.get_or_insert((name.clone(), error));
                }
            }
        }
        if answer.is_none()
            && let Some((name, error)) = first_error
        {
            $gathered.failed(&name, concat!("cannot list the swarm's ", $what), &error);
        }
        answer.unwrap_or_default()
    }};
}

pub(super) async fn services(nodes: &Nodes, gathered: &mut Gathered) {
    let options = || ListServices { status: true, ..ListServices::default() };
    let services = from_a_manager!(nodes, gathered, "services", |engine| engine.list_services(options()));
    for service in services {
        let service = json(&service);
        let name = text_at(&service, "/Spec/Name").to_owned();
        let mode = service.pointer("/Spec/Mode").and_then(Value::as_object);
        let mode = mode.and_then(|mode| mode.keys().next()).map_or("", String::as_str);
        let mode = match mode {
            "Global" => "global",
            "ReplicatedJob" => "replicated-job",
            "GlobalJob" => "global-job",
            _ => "replicated",
        };
        let replicas = match number(&service, "/Spec/Mode/Replicated/Replicas") {
            Actual::Absent => number(&service, "/ServiceStatus/DesiredTasks"),
            replicas => replicas,
        };
        let mounts = list(&service, "/Spec/TaskTemplate/ContainerSpec/Mounts", |mount| {
            format!("{}:{}", text_at(mount, "/Source"), text_at(mount, "/Target"))
        });
        let ports = list(&service, "/Spec/EndpointSpec/Ports", |port| {
            let number = |pointer| port.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
            format!("{}:{}", number("/PublishedPort"), number("/TargetPort"))
        });
        gathered.subjects.push(Subject {
            label: format!("service `{name}`"),
            fields: vec![
                ("name", Actual::Text(name)),
                ("image", text(&service, "/Spec/TaskTemplate/ContainerSpec/Image")),
                ("mode", Actual::Text(mode.to_owned())),
                ("replicas", replicas),
                ("running", number(&service, "/ServiceStatus/RunningTasks")),
                ("publish", ports),
                ("mount", mounts),
                ("env", Actual::List(strings(&service, "/Spec/TaskTemplate/ContainerSpec/Env"))),
                ("update", text(&service, "/UpdateStatus/State")),
                ("update_message", text(&service, "/UpdateStatus/Message")),
            ],
        });
    }
}

pub(super) async fn tasks(nodes: &Nodes, gathered: &mut Gathered) {
    let tasks = from_a_manager!(nodes, gathered, "tasks", |engine| engine.list_tasks(Filters::new()));
    if tasks.is_empty() {
        return;
    }
    let mut ignored = Gathered::default();
    let services = from_a_manager!(nodes, ignored, "services", |engine| engine.list_services(ListServices::default()));
    let members = from_a_manager!(nodes, ignored, "nodes", |engine| engine.list_nodes(Filters::new()));
    let service_name = |id: &str| {
        let service = services.iter().find(|service| service.id.as_deref() == Some(id));
        service.and_then(|service| service.spec.as_ref()?.name.clone()).unwrap_or_else(|| id.to_owned())
    };
    let host_name = |id: &str| {
        let node = members.iter().find(|node| node.id.as_deref() == Some(id));
        node.and_then(|node| node.description.as_ref()?.hostname.clone()).unwrap_or_else(|| id.to_owned())
    };
    for task in tasks {
        let task = json(&task);
        let service = service_name(text_at(&task, "/ServiceID"));
        let node = host_name(text_at(&task, "/NodeID"));
        let slot = task.pointer("/Slot").and_then(Value::as_i64).map_or(String::new(), |slot| format!(".{slot}"));
        gathered.subjects.push(Subject {
            label: format!("task `{service}{slot}` ({}) on {node}", short(text_at(&task, "/ID"))),
            fields: vec![
                ("service", Actual::Text(service)),
                ("slot", number(&task, "/Slot")),
                ("image", text(&task, "/Spec/ContainerSpec/Image")),
                ("state", text(&task, "/Status/State")),
                ("desired", text(&task, "/DesiredState")),
                ("error", text(&task, "/Status/Err")),
                ("node", Actual::Text(node)),
            ],
        });
    }
}

pub(super) async fn nodes(nodes: &Nodes, gathered: &mut Gathered) {
    let members = from_a_manager!(nodes, gathered, "nodes", |engine| engine.list_nodes(Filters::new()));
    for node in members {
        let node = json(&node);
        let name = text_at(&node, "/Description/Hostname").to_owned();
        gathered.subjects.push(Subject {
            label: format!("node `{name}`"),
            fields: vec![
                ("name", Actual::Text(name)),
                ("role", text(&node, "/Spec/Role")),
                ("availability", text(&node, "/Spec/Availability")),
                ("state", text(&node, "/Status/State")),
                ("leader", flag(&node, "/ManagerStatus/Leader")),
                ("reachability", text(&node, "/ManagerStatus/Reachability")),
                ("address", text(&node, "/Status/Addr")),
                ("label", labels(&node, "/Spec/Labels")),
            ],
        });
    }
}

fn list(value: &Value, pointer: &str, render: impl Fn(&Value) -> String) -> Actual {
    let items = value.pointer(pointer).and_then(Value::as_array);
    Actual::List(items.into_iter().flatten().map(render).collect())
}
