//! Follows one engine by its event stream and keeps a [`NodeView`] of it. Nothing polls: an event says what changed, and
//! only that is read again.

mod swarm;
mod view;

use std::{collections::BTreeSet, rc::Rc, sync::Arc};

use docklab_api::{
    ApiError, ApiResult, DockerApi, Events, Filters, ListContainers, ListImages,
    models::{EventMessage, EventMessageTypeEnum},
};
use futures::{StreamExt as _, future::join_all};

pub use swarm::{
    MemberView, Moment, Quorum, RaftViews, Recording, ServiceMode, ServicePort, ServiceView, SwarmState, SwarmView,
    TaskView, UpdateView, concerns_swarm, follow_swarm, raft_of, raft_role, state_word,
};
pub(crate) use view::STAND_IN_LABEL;
pub use view::{
    ContainerState, ContainerView, Endpoint, HostFacts, ImageView, Namespace, NetworkView, NodeView, PortView, Sharing,
    human_size, short_id,
};

/// What the observer tells the page.
#[derive(Debug, Clone)]
pub enum Update {
    /// The node as it is now, with the events that led here (none after connecting).
    View { node: String, view: Rc<NodeView>, events: Vec<EventMessage> },
    /// The engine cannot be reached; the observer goes on trying.
    Lost { node: String, reason: String },
}

/// Events that arrive together are answered with one new view.
const BATCH: usize = 64;

/// Follows the engine until the stream of events ends, reporting every change. Returns the reason of the end.
pub async fn follow(node: &str, api: &Arc<dyn DockerApi>, report: &impl Fn(Update)) -> ApiError {
    match follow_until_error(node, api, report).await {
        Ok(()) => ApiError::connection("the engine closed its event stream"),
        Err(error) => error,
    }
}

async fn follow_until_error(node: &str, api: &Arc<dyn DockerApi>, report: &impl Fn(Update)) -> ApiResult<()> {
    // Subscribing first: what happens while the first view is read arrives as events and is read again.
    let mut events = api.events(Events::default()).await?.ready_chunks(BATCH);
    let mut view = NodeView { name: node.to_owned(), ..NodeView::default() };
    read(api, &mut view, &Changes::everything()).await?;
    report(Update::View { node: node.to_owned(), view: Rc::new(view.clone()), events: Vec::new() });
    while let Some(batch) = events.next().await {
        let batch: Vec<EventMessage> = batch.into_iter().collect::<ApiResult<_>>()?;
        read(api, &mut view, &Changes::of(&batch)).await?;
        report(Update::View { node: node.to_owned(), view: Rc::new(view.clone()), events: batch });
    }
    Ok(())
}

/// What has to be read again.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    host: bool,
    all_containers: bool,
    containers: BTreeSet<String>,
    images: bool,
    networks: bool,
}

impl Changes {
    fn everything() -> Self {
        Self { host: true, all_containers: true, images: true, networks: true, ..Self::default() }
    }

    fn of(events: &[EventMessage]) -> Self {
        let mut changes = Self::default();
        for event in events {
            let actor = event.actor.as_ref();
            match event.typ {
                Some(EventMessageTypeEnum::CONTAINER) => {
                    // A prune is of no container in particular.
                    if let Some(id) = actor.and_then(|actor| actor.id.clone()).filter(|id| !id.is_empty()) {
                        // Only a look inside; nothing of the container itself changes.
                        let passive = event.action.as_deref().is_some_and(|action| {
                            action.starts_with("exec_") || matches!(action, "top" | "resize" | "attach" | "detach")
                        });
                        if !passive {
                            changes.containers.insert(id);
                        }
                    }
                }
                Some(EventMessageTypeEnum::NETWORK) => {
                    changes.networks = true;
                    let attributes = actor.and_then(|actor| actor.attributes.as_ref());
                    if let Some(id) = attributes.and_then(|attributes| attributes.get("container")) {
                        changes.containers.insert(id.clone());
                    }
                }
                Some(EventMessageTypeEnum::IMAGE | EventMessageTypeEnum::BUILDER) => changes.images = true,
                Some(EventMessageTypeEnum::DAEMON) => changes.host = true,
                _ => {}
            }
        }
        changes
    }
}

async fn read(api: &Arc<dyn DockerApi>, view: &mut NodeView, changes: &Changes) -> ApiResult<()> {
    if changes.host {
        view.host = HostFacts::of(&api.info().await?);
    }
    if changes.all_containers {
        let list = api.list_containers(ListContainers { all: true, ..ListContainers::default() }).await?;
        let ids: BTreeSet<String> = list.into_iter().filter_map(|container| container.id).collect();
        view.containers.retain(|container| ids.contains(&container.id));
        read_containers(api, view, &ids).await?;
    } else {
        read_containers(api, view, &changes.containers).await?;
    }
    if changes.images {
        let images = api.list_images(ListImages::default()).await?;
        view.images = images.iter().flat_map(ImageView::all_of).collect();
        view.images.sort_by(|one, other| one.tag.cmp(&other.tag));
    }
    if changes.networks {
        let networks = api.list_networks(Filters::new()).await?;
        view.networks = networks.iter().map(NetworkView::of).collect();
        view.networks.sort_by(|one, other| one.name.cmp(&other.name));
    }
    Ok(())
}

async fn read_containers(api: &Arc<dyn DockerApi>, view: &mut NodeView, ids: &BTreeSet<String>) -> ApiResult<()> {
    let answers = join_all(ids.iter().map(|id| api.inspect_container(id, false))).await;
    for (id, answer) in ids.iter().zip(answers) {
        match answer {
            Ok(inspect) => {
                let container = ContainerView::of(&inspect);
                match view.containers.iter_mut().find(|known| known.id == container.id) {
                    Some(known) => *known = container,
                    None => view.containers.push(container),
                }
            }
            Err(error) if error.is_not_found() => view.containers.retain(|container| container.id != *id),
            Err(error) => return Err(error),
        }
    }
    view.containers.sort_by(|one, other| one.created.cmp(&other.created));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(json: &str) -> Changes {
        Changes::of(&[serde_json::from_str(json).expect("an event")])
    }

    #[test]
    fn an_event_names_what_is_read_again() {
        let started = changes(r#"{"Type":"container","Action":"start","Actor":{"ID":"abc"}}"#);
        assert_eq!(started, Changes { containers: BTreeSet::from(["abc".into()]), ..Changes::default() });
        let pruned = changes(r#"{"Type":"container","Action":"prune","Actor":{"ID":""}}"#);
        assert_eq!(pruned, Changes::default());
        let pulled = changes(r#"{"Type":"image","Action":"pull","Actor":{"ID":"ubuntu:latest"}}"#);
        assert_eq!(pulled, Changes { images: true, ..Changes::default() });
    }

    #[test]
    fn looking_into_a_container_changes_nothing() {
        let exec = changes(r#"{"Type":"container","Action":"exec_create: bash","Actor":{"ID":"abc"}}"#);
        assert_eq!(exec, Changes::default());
    }

    #[test]
    fn joining_a_network_reads_the_container_again() {
        let joined =
            changes(r#"{"Type":"network","Action":"connect","Actor":{"ID":"n","Attributes":{"container":"abc"}}}"#);
        assert!(joined.networks);
        assert!(joined.containers.contains("abc"));
    }
}
