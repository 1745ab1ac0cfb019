//! What an engine holds, and how it is emptied between two lives of a lab.

use anyhow::Result;
use docklab_api::{
    ContainerApi as _, Filters, ListContainers, NetworkApi as _, RemoveContainer, SwarmApi as _, SystemApi as _,
    VolumeApi as _, models::LocalNodeState,
};
use docklab_daemon::client::HttpClient;

/// Objects that an engine held at some moment.
#[derive(Debug, Default)]
pub(crate) struct Held {
    containers: Vec<String>,
    networks: Vec<String>,
    volumes: Vec<String>,
    is_in_swarm: bool,
}

impl Held {
    pub(crate) async fn by(engine: &HttpClient) -> Result<Self> {
        let containers = engine.list_containers(ListContainers { all: true, ..ListContainers::default() }).await?;
        let networks = engine.list_networks(Filters::new()).await?;
        let volumes = engine.list_volumes(Filters::new()).await?;
        let swarm = engine.info().await?.swarm;
        let is_in_swarm = swarm
            .and_then(|swarm| swarm.local_node_state)
            .is_some_and(|state| !matches!(state, LocalNodeState::INACTIVE | LocalNodeState::EMPTY));
        Ok(Self {
            is_in_swarm,
            containers: containers.into_iter().filter_map(|container| container.id).collect(),
            networks: networks.into_iter().filter_map(|network| network.id).collect(),
            volumes: volumes.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect(),
        })
    }
}

/// Leaves a swarm that was not there, and removes every container, network and volume that is not in `keep`. Images stay:
/// pulling them again takes time. Goes on after an error and reports the first.
pub(crate) async fn clear(engine: &HttpClient, keep: &Held) -> Result<()> {
    let mut now = Held::by(engine).await?;
    let mut first_error = None;
    if now.is_in_swarm && !keep.is_in_swarm {
        if let Err(error) = engine.leave_swarm(true).await {
            first_error = Some(error);
        }
        // Its tasks went with it.
        now = Held::by(engine).await?;
    }
    let mut note = |outcome: docklab_api::ApiResult<()>| {
        if let Err(error) = outcome
            && !error.is_not_found()
        {
            first_error.get_or_insert(error);
        }
    };
    let options = RemoveContainer { force: true, volumes: true, link: false };
    for id in now.containers.iter().filter(|id| !keep.containers.contains(id)) {
        note(engine.remove_container(id, options).await);
    }
    for id in now.networks.iter().filter(|id| !keep.networks.contains(id)) {
        let is_predefined = engine.inspect_network(id, false, None).await.is_ok_and(|network| {
            matches!(network.name.as_deref(), Some("bridge" | "host" | "none" | "ingress" | "docker_gwbridge"))
        });
        if !is_predefined {
            note(engine.remove_network(id).await);
        }
    }
    for name in now.volumes.iter().filter(|name| !keep.volumes.contains(name)) {
        note(engine.remove_volume(name, true).await);
    }
    first_error.map_or(Ok(()), |error| Err(error.into()))
}
