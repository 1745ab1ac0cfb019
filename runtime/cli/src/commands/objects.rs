//! Objects as their engine wrote them, by kind.

use docklab_api::{ApiError, ApiResult, RawRequest, wire};
use serde_json::Value;

use crate::{commands::json::value, context::Context, template};

/// A kind of object that can be inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Container,
    Image,
    Network,
    Volume,
    Service,
    Task,
    Node,
    Plugin,
    Secret,
    Config,
}

impl Kind {
    /// In the order in which a bare `docker inspect` tries them.
    pub(crate) const ALL: [Self; 10] = [
        Self::Container,
        Self::Image,
        Self::Network,
        Self::Volume,
        Self::Service,
        Self::Task,
        Self::Node,
        Self::Plugin,
        Self::Secret,
        Self::Config,
    ];

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Service => "service",
            Self::Task => "task",
            Self::Node => "node",
            Self::Plugin => "plugin",
            Self::Secret => "secret",
            Self::Config => "config",
        }
    }

    /// Only a swarm manager has these.
    pub(crate) fn needs_manager(self) -> bool {
        matches!(self, Self::Service | Self::Task | Self::Node | Self::Secret | Self::Config)
    }

    /// The object as a value of its Go type.
    pub(crate) fn typed(self, object: &Value) -> template::Value {
        let name = match self {
            Self::Container => "container.InspectResponse",
            Self::Image => "image.InspectResponse",
            Self::Network => "network.Inspect",
            Self::Volume => "volume.Volume",
            Self::Service => "swarm.Service",
            Self::Task => "swarm.Task",
            Self::Node => "swarm.Node",
            Self::Secret => "swarm.Secret",
            Self::Config => "swarm.Config",
            Self::Plugin => return template::Value::untyped(object),
        };
        template::typed(name, object)
    }
}

/// What of an object is wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Detail {
    /// A container's disk usage.
    pub size: bool,
    /// A network's services and peers.
    pub verbose: bool,
    /// `linux/amd64` as JSON, for an image of several.
    pub platform: Option<String>,
}

/// Asks for one object.
pub(crate) async fn object(context: &Context, kind: Kind, name: &str, detail: &Detail) -> ApiResult<Value> {
    let request = match kind {
        Kind::Container => {
            let request = RawRequest::get(format!("/containers/{name}/json"));
            if detail.size { request.query("size", "1") } else { request }
        }
        Kind::Image => {
            let request = RawRequest::get(format!("/images/{name}/json"));
            match &detail.platform {
                Some(platform) => request.query("platform", platform),
                None => request,
            }
        }
        Kind::Network => {
            let request = RawRequest::get(format!("/networks/{name}"));
            if detail.verbose { request.query("verbose", "true") } else { request }
        }
        Kind::Service => RawRequest::get(format!("/services/{name}")).query("insertDefaults", "true"),
        Kind::Plugin => RawRequest::get(format!("/plugins/{name}/json")),
        Kind::Volume | Kind::Task | Kind::Node | Kind::Secret | Kind::Config => {
            RawRequest::get(format!("/{}s/{name}", kind.name()))
        }
    };
    if let Some(answer) = context.raw(request).await {
        return answer;
    }
    let api = &context.api;
    Ok(match kind {
        Kind::Container => wire::container_inspect_json(&api.inspect_container(name, detail.size).await?),
        Kind::Image => wire::image_inspect_json(&api.inspect_image(name).await?),
        Kind::Network => wire::network_json(&api.inspect_network(name, detail.verbose, None).await?),
        Kind::Volume => wire::volume_json(&api.inspect_volume(name).await?),
        Kind::Service => wire::service_json(&api.inspect_service(name, true).await?),
        Kind::Task => wire::task_json(&api.inspect_task(name).await?),
        Kind::Node => wire::node_json(&api.inspect_node(name).await?),
        Kind::Secret => value(&api.inspect_secret(name).await?),
        Kind::Config => value(&api.inspect_config(name).await?),
        Kind::Plugin => return Err(ApiError::not_found(format!("plugin {name:?} not found"))),
    })
}

/// A service as it was specified, without defaults filled in: what an update starts from.
pub(crate) async fn service(context: &Context, name: &str) -> ApiResult<Value> {
    match context.raw(RawRequest::get(format!("/services/{name}")).query("insertDefaults", "false")).await {
        Some(answer) => answer,
        None => Ok(wire::service_json(&context.api.inspect_service(name, false).await?)),
    }
}
