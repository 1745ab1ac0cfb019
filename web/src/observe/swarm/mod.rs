//! Follows the swarm that the session's nodes form, through whichever of its managers answers.
//!
//! Docker tells of changed services and nodes in its event stream, of changed tasks it does not. Our engine has a stream
//! beside it ([`docklab_api::SwarmApi::swarm_changes`]) that says when any object of the cluster changed. On a stock
//! Docker Engine the container events of the session's nodes stand in for it: what shows there late is a task that has no
//! container yet (pending, rejected before it had one).

mod raft;
mod recording;
mod view;

use std::{rc::Rc, sync::Arc, time::Duration};

use docklab_api::{
    ApiError, ApiResult, DockerApi, Filters, ListServices,
    models::{EventMessage, EventMessageTypeEnum},
};
use futures::{
    FutureExt as _, StreamExt as _,
    channel::mpsc::UnboundedReceiver,
    future::{Either, join_all, select},
    stream::{self, BoxStream},
};

pub use raft::{Quorum, RaftViews, raft_of, raft_role};
pub use recording::{Moment, Recording};
pub use view::{MemberView, ServiceMode, ServicePort, ServiceView, SwarmView, TaskView, UpdateView, state_word};

use crate::browser::{self, Timeout};

/// The swarm as the page knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SwarmState {
    /// Nobody has been asked yet.
    #[default]
    Unknown,
    /// No node of the session is a manager of a swarm.
    None,
    Seen(Rc<SwarmView>),
    /// There are managers, and none of them answers: the quorum is lost, or the connection to them.
    Silent {
        reason: String,
        last: Rc<SwarmView>,
    },
}

impl SwarmState {
    /// What is known, also if it may be out of date.
    pub fn view(&self) -> Option<&Rc<SwarmView>> {
        match self {
            Self::Seen(view) | Self::Silent { last: view, .. } => Some(view),
            Self::Unknown | Self::None => None,
        }
    }
}

/// An engine that does not answer for so long is passed over.
const PATIENCE: Duration = Duration::from_secs(3);
/// The least time between two looks; what happens meanwhile is answered by the next one.
const PAUSE_MILLISECONDS: i32 = 25;
const FIRST_RETRY: Duration = Duration::from_millis(400);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

type Engines = Vec<(String, Arc<dyn DockerApi>)>;

/// Whether an event of some node may mean that the swarm looks different now.
pub fn concerns_swarm(event: &EventMessage) -> bool {
    match event.typ {
        Some(EventMessageTypeEnum::NODE | EventMessageTypeEnum::SERVICE | EventMessageTypeEnum::NETWORK) => true,
        Some(EventMessageTypeEnum::CONTAINER) => {
            let attributes = event.actor.as_ref().and_then(|actor| actor.attributes.as_ref());
            attributes.is_some_and(|attributes| attributes.contains_key("com.docker.swarm.task.id"))
        }
        _ => false,
    }
}

/// Reports the swarm at once and whenever it changes, for as long as the returned future is polled and `pokes` is open.
/// `engines` says who could be asked; a poke is an event of [`concerns_swarm`], or a node that came or went.
pub async fn follow_swarm(
    engines: impl Fn() -> Engines,
    mut pokes: UnboundedReceiver<()>,
    report: impl Fn(SwarmState),
) {
    let mut last = Rc::<SwarmView>::default();
    let mut retry = FIRST_RETRY;
    loop {
        let managers = managers(engines()).await;
        let others = managers.clone();
        if managers.is_empty() {
            last = Rc::default();
            report(SwarmState::None);
            if pokes.next().await.is_none() {
                return;
            }
            settle(&mut pokes).await;
            continue;
        }
        let mut failure = String::new();
        for (name, api) in managers {
            match follow_manager(&name, &*api, &others, &mut last, &mut pokes, &report).await {
                Ended::Closed => return,
                Ended::Left => {
                    failure.clear();
                    break;
                }
                Ended::Failed(error, true) => {
                    // It has answered before: somebody else leads now, perhaps.
                    retry = FIRST_RETRY;
                    failure = error.to_string();
                    break;
                }
                Ended::Failed(error, false) => failure = error.to_string(),
            }
        }
        if failure.is_empty() {
            continue;
        }
        // The managers stay in touch, or try to, while nobody leads them.
        let raft = raft_views(&others).await;
        if *last.raft != raft {
            last = Rc::new(SwarmView { raft: Rc::new(raft), ..(*last).clone() });
        }
        report(SwarmState::Silent { reason: failure, last: last.clone() });
        match select(pokes.next(), Timeout::after(retry)).await {
            Either::Left((None, _)) => return,
            Either::Left(_) => settle(&mut pokes).await,
            Either::Right(_) => retry = (retry * 2).min(LONGEST_RETRY),
        }
    }
}

/// Waits a moment and forgets the pokes that came meanwhile.
async fn settle(pokes: &mut UnboundedReceiver<()>) {
    browser::sleep(PAUSE_MILLISECONDS).await;
    while let Some(Some(())) = pokes.next().now_or_never() {}
}

/// The engines that say they manage a swarm, in the order of the session.
async fn managers(engines: Engines) -> Engines {
    let asked = engines.into_iter().map(|(name, api)| async move {
        let answer = select(api.info(), Timeout::after(PATIENCE)).await;
        let is_manager = match &answer {
            Either::Left((Ok(info), _)) => {
                info.swarm.as_ref().and_then(|swarm| swarm.control_available).unwrap_or(false)
            }
            Either::Left((Err(_), _)) | Either::Right(_) => false,
        };
        drop(answer);
        is_manager.then_some((name, api))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Why a manager is no longer followed.
enum Ended {
    /// The page has no more interest.
    Closed,
    /// It may have left the swarm; everybody is asked again.
    Left,
    /// With whether it had answered before.
    Failed(ApiError, bool),
}

async fn follow_manager(
    name: &str,
    api: &dyn DockerApi,
    others: &Engines,
    last: &mut Rc<SwarmView>,
    pokes: &mut UnboundedReceiver<()>,
    report: &impl Fn(SwarmState),
) -> Ended {
    // Subscribing first: what changes while the first view is read is told behind it.
    let (mut changes, is_told) = match api.swarm_changes().await {
        Ok(changes) => (changes, true),
        Err(error) if error.is_connection() => return Ended::Failed(error, false),
        Err(_) => (stream::pending().boxed() as BoxStream<'static, ApiResult<u64>>, false),
    };
    let mut has_answered = false;
    loop {
        match read(name, api, others, last).await {
            Ok(view) => {
                let view = Rc::new(view);
                if !has_answered || **last != *view {
                    *last = view;
                    report(SwarmState::Seen(last.clone()));
                }
                has_answered = true;
            }
            Err(error) => return Ended::Failed(error, has_answered),
        }
        browser::sleep(PAUSE_MILLISECONDS).await;
        loop {
            match select(changes.next(), pokes.next()).await {
                Either::Left((Some(Ok(_)), _)) => break,
                Either::Left((Some(Err(_)) | None, _)) => return Ended::Left,
                Either::Right((None, _)) => return Ended::Closed,
                Either::Right((Some(()), _)) if is_told => {}
                Either::Right((Some(()), _)) => break,
            }
        }
        while let Some(Some(change)) = changes.next().now_or_never() {
            if change.is_err() {
                return Ended::Left;
            }
        }
        while let Some(Some(())) = pokes.next().now_or_never() {}
    }
}

async fn read(name: &str, api: &dyn DockerApi, managers: &Engines, former: &SwarmView) -> ApiResult<SwarmView> {
    let nodes = api.list_nodes(Filters::new()).await?;
    let services = api.list_services(ListServices { status: true, ..ListServices::default() }).await?;
    let tasks = api.list_tasks(Filters::new()).await?;
    let raft = raft_views(managers).await;
    Ok(SwarmView::of(name, &nodes, &services, &tasks, raft, former))
}

/// What every manager of the session says of its raft group. An engine without one says so; the diagram then leaves
/// those rows out.
async fn raft_views(managers: &Engines) -> RaftViews {
    let asked = managers.iter().map(|(_, api)| async move {
        match select(api.raft_status(), Timeout::after(PATIENCE)).await {
            Either::Left((Ok(status), _)) => Some(status),
            Either::Left((Err(_), _)) | Either::Right(_) => None,
        }
    });
    join_all(asked).await.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
