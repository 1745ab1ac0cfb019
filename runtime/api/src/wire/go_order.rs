//! Objects as the daemon writes them: keys in Go's field order, empty fields present (moby `api/types`).

use serde::Serialize;
use serde_json::Value;

use crate::models::{ContainerInspectResponse, ContainerSummary, ImageInspect, Network, Node, Service, Task};

fn plain<T: Serialize>(object: &T) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// `GET /containers/{id}/json`.
pub fn container_inspect_json(container: &ContainerInspectResponse) -> Value {
    plain(container)
}

/// One element of `GET /containers/json`.
pub fn container_summary_json(container: &ContainerSummary) -> Value {
    plain(container)
}

/// `GET /images/{name}/json`.
pub fn image_inspect_json(image: &ImageInspect) -> Value {
    plain(image)
}

/// `GET /networks/{id}`.
pub fn network_json(network: &Network) -> Value {
    plain(network)
}

/// `GET /nodes/{id}`.
pub fn node_json(node: &Node) -> Value {
    plain(node)
}

/// `GET /services/{id}`.
pub fn service_json(service: &Service) -> Value {
    plain(service)
}

/// `GET /tasks/{id}`.
pub fn task_json(task: &Task) -> Value {
    plain(task)
}
