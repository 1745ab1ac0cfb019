//! Follows one engine: its images and containers by events, its jobs by their news, and the files of running containers by
//! looking, since no engine tells of a file that was written.

use std::{
    cell::Cell,
    collections::{BTreeSet, HashMap},
    rc::Rc,
    sync::Arc,
};

use docklab_api::{
    Activity, ApiError, ApiResult, DockerApi, Events, ListContainers, ListImages,
    models::{ContainerSummary, EventMessage, EventMessageTypeEnum, ImageSummary},
};
use futures::{
    StreamExt as _,
    stream::{self, LocalBoxStream},
};

use super::{
    model::{self, Change, Layers, Stack},
    work::Work,
};
use crate::browser;

/// What the follower tells.
pub(super) enum Update {
    Layers(Rc<Layers>),
    Work(Rc<Work>),
    /// The engine tells nothing of its jobs; what comes of them is shown when it is there.
    Silent,
}

/// Requests at a time; browsers open six connections to one server.
const PARALLEL: usize = 6;
const LOOK_MILLISECONDS: i32 = 1500;
/// A look costs the engine work: it may take this part of the time at most.
const LOOK_SHARE: f64 = 10.0;
/// Running containers that are looked into.
const LOOKED_INTO: usize = 16;

enum News {
    Events(Vec<EventMessage>),
    Activity(Vec<Activity>),
    Look,
}

/// Follows until the engine's stream of events ends. Returns the reason.
pub(super) async fn follow(node: &str, api: &Arc<dyn DockerApi>, report: &impl Fn(Update)) -> ApiError {
    match follow_until_error(node, api, report).await {
        Ok(()) => ApiError::connection("the engine closed its event stream"),
        Err(error) => error,
    }
}

async fn follow_until_error(node: &str, api: &Arc<dyn DockerApi>, report: &impl Fn(Update)) -> ApiResult<()> {
    const BATCH: usize = 64;
    let events = api.events(Events::default()).await?.ready_chunks(BATCH);
    let events = events.map(|batch| Ok(News::Events(batch.into_iter().collect::<ApiResult<_>>()?)));
    let mut streams: Vec<LocalBoxStream<'_, ApiResult<News>>> = vec![events.chain(end_of_events()).boxed_local()];
    match api.activity().await {
        Ok(activity) => {
            let activity = activity.ready_chunks(BATCH);
            streams.push(
                activity.map(|batch| Ok(News::Activity(batch.into_iter().collect::<ApiResult<_>>()?))).boxed_local(),
            );
        }
        Err(error) if error.is_not_found() => report(Update::Silent),
        Err(error) => return Err(error),
    }
    // Shared with the stream that paces the looks.
    let cost = Rc::new(Cell::new(0.0));
    streams.push(looks(Rc::clone(&cost)).boxed_local());
    let mut follower = Follower::new(node, api);
    follower.read_images().await?;
    follower.read_containers().await?;
    let everyone: BTreeSet<String> = follower.summaries.iter().filter_map(|one| one.id.clone()).collect();
    report(Update::Layers(follower.layers()));
    follower.read_changes(&everyone).await;
    report(Update::Layers(follower.layers()));
    let mut work = Work::default();
    let mut news = stream::select_all(streams);
    while let Some(next) = news.next().await {
        match next? {
            News::Events(events) => {
                if follower.take(&events).await? {
                    report(Update::Layers(follower.layers()));
                }
            }
            News::Activity(batch) => {
                for activity in &batch {
                    work.hear(activity);
                }
                report(Update::Work(Rc::new(work.clone())));
            }
            News::Look if browser::is_hidden() => {}
            News::Look => {
                let began = browser::now();
                if follower.look().await {
                    report(Update::Layers(follower.layers()));
                }
                cost.set(browser::now() - began);
            }
        }
    }
    Ok(())
}

/// The other streams go on without events; their end is the follower's.
fn end_of_events() -> impl futures::Stream<Item = ApiResult<News>> {
    stream::once(async { Err(ApiError::connection("the engine closed its event stream")) })
}

#[allow(clippy::cast_possible_truncation)] // some seconds
fn looks(cost: Rc<Cell<f64>>) -> impl futures::Stream<Item = ApiResult<News>> {
    stream::unfold(cost, |cost| async move {
        browser::sleep(LOOK_MILLISECONDS.max((cost.get() * LOOK_SHARE) as i32)).await;
        Some((Ok(News::Look), cost))
    })
}

struct Follower<'a> {
    node: &'a str,
    api: &'a Arc<dyn DockerApi>,
    /// Everything that does not change of an image, by ID.
    known: HashMap<String, Rc<Stack>>,
    stacks: Vec<Rc<Stack>>,
    summaries: Vec<ContainerSummary>,
    changes: HashMap<String, Vec<Change>>,
}

impl<'a> Follower<'a> {
    fn new(node: &'a str, api: &'a Arc<dyn DockerApi>) -> Self {
        let (known, changes) = (HashMap::new(), HashMap::new());
        Self { node, api, known, stacks: Vec::new(), summaries: Vec::new(), changes }
    }

    fn layers(&self) -> Rc<Layers> {
        let containers = self
            .summaries
            .iter()
            .map(|summary| {
                let changes = summary.id.as_ref().and_then(|id| self.changes.get(id)).cloned();
                Rc::new(model::writable(summary, changes))
            })
            .collect();
        Rc::new(Layers { node: self.node.to_owned(), stacks: self.stacks.clone(), containers })
    }

    /// Reads what is not known yet of these images. One that is gone by then is left out.
    async fn learn(&mut self, ids: Vec<String>) -> ApiResult<()> {
        let api = self.api;
        let unknown: Vec<String> = ids.into_iter().filter(|id| !self.known.contains_key(id)).collect();
        let mut answers = stream::iter(unknown)
            .map(|id| async move {
                let read = futures::future::try_join(api.inspect_image(&id), api.image_history(&id)).await;
                (id, read)
            })
            .buffer_unordered(PARALLEL);
        while let Some((id, answer)) = answers.next().await {
            match answer {
                Ok((image, history)) => {
                    self.known.insert(id, Rc::new(model::stack(&image, &history)));
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn read_images(&mut self) -> ApiResult<()> {
        let mut images: Vec<ImageSummary> = self.api.list_images(ListImages::default()).await?;
        images.sort_by(|one, other| one.created.cmp(&other.created).then_with(|| one.id.cmp(&other.id)));
        self.learn(images.iter().map(|image| image.id.clone()).collect()).await?;
        self.stacks = images
            .iter()
            .filter_map(|image| {
                let stack = model::named(self.known.get(&image.id)?, image);
                // The same object for the same content: what has not changed is not drawn again.
                let former = self.stacks.iter().find(|former| ***former == stack);
                Some(former.cloned().unwrap_or_else(|| Rc::new(stack)))
            })
            .collect();
        Ok(())
    }

    async fn read_containers(&mut self) -> ApiResult<()> {
        let mut list = self.api.list_containers(ListContainers { all: true, ..ListContainers::default() }).await?;
        list.sort_by(|one, other| one.created.cmp(&other.created).then_with(|| one.id.cmp(&other.id)));
        self.summaries = list;
        // An image that lost its name while a container stands on it.
        let listed: BTreeSet<&str> = self.stacks.iter().map(|stack| stack.id.as_str()).collect();
        let missing: BTreeSet<String> = self
            .summaries
            .iter()
            .filter_map(|summary| summary.image_id.clone())
            .filter(|id| !id.is_empty() && !listed.contains(id.as_str()))
            .collect();
        self.learn(missing.iter().cloned().collect()).await?;
        self.stacks.extend(missing.iter().filter_map(|id| self.known.get(id)).cloned());
        let present: BTreeSet<&String> = self.summaries.iter().filter_map(|one| one.id.as_ref()).collect();
        self.changes.retain(|id, _| present.contains(id));
        Ok(())
    }

    /// Reads which files containers changed; true when something is new. What cannot be read stays as it was.
    async fn read_changes(&mut self, ids: &BTreeSet<String>) -> bool {
        let api = self.api;
        let mut answers = stream::iter(ids.clone())
            .map(|id| async move {
                let read = api.container_changes(&id).await;
                (id, read)
            })
            .buffer_unordered(PARALLEL);
        let mut is_new = false;
        while let Some((id, answer)) = answers.next().await {
            if let Ok(changes) = answer {
                let changes = model::changes(&changes);
                is_new |= self.changes.get(&id) != Some(&changes);
                self.changes.insert(id, changes);
            }
        }
        is_new
    }

    async fn take(&mut self, events: &[EventMessage]) -> ApiResult<bool> {
        let is = |wanted: EventMessageTypeEnum| events.iter().any(move |event| event.typ == Some(wanted));
        let images = is(EventMessageTypeEnum::IMAGE) || is(EventMessageTypeEnum::BUILDER);
        let touched: BTreeSet<String> = events
            .iter()
            .filter(|event| event.typ == Some(EventMessageTypeEnum::CONTAINER))
            .filter_map(|event| event.actor.as_ref()?.id.clone())
            .collect();
        if images {
            self.read_images().await?;
        }
        if images || !touched.is_empty() {
            self.read_containers().await?;
        }
        let present: BTreeSet<String> = self.summaries.iter().filter_map(|one| one.id.clone()).collect();
        self.read_changes(&touched.intersection(&present).cloned().collect()).await;
        Ok(images || !touched.is_empty())
    }

    /// Looks into the running containers.
    async fn look(&mut self) -> bool {
        let running: BTreeSet<String> = self
            .summaries
            .iter()
            .filter(|summary| summary.state.as_ref().is_some_and(|state| state.to_string() == "running"))
            .filter_map(|summary| summary.id.clone())
            .take(LOOKED_INTO)
            .collect();
        !running.is_empty() && self.read_changes(&running).await
    }
}
