//! Connects a lab's state and judge with the engines: each is followed by its events, the swarm by its managers.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use docklab_api::DockerApi;
use docklab_scenario::{Evaluator, Scenario};
use futures::{
    FutureExt as _, StreamExt as _,
    channel::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
        oneshot,
    },
    future::select,
};
use jiff::Timestamp;
use yew::prelude::*;

use super::{
    judge::{Judge, Judging, News, Poke},
    panel,
    state::{LabAction, LabState},
};
use crate::{
    browser,
    observe::{self, SwarmState, Update},
    session::SharedSession,
};

const FIRST_RETRY_MILLISECONDS: i32 = 400;
const LONGEST_RETRY_MILLISECONDS: i32 = 5000;

/// The time of the session, which is not the browser's where it can be stopped.
pub(super) fn session_time(session: &SharedSession) -> Timestamp {
    #[allow(clippy::cast_possible_truncation)] // milliseconds of this century
    let browser_time = || Timestamp::from_millisecond(browser::now() as i64).unwrap_or_default();
    session.time().map_or_else(browser_time, |time| time.now())
}

/// Follows one engine for as long as the session is shown: a lost one is tried again with growing pauses, and at once when
/// something was done to a node.
async fn keep_following(
    node: String,
    api: Arc<dyn DockerApi>,
    mut wakes: UnboundedReceiver<()>,
    report: impl Fn(Update),
) {
    let mut pause = FIRST_RETRY_MILLISECONDS;
    loop {
        let reached = std::cell::Cell::new(false);
        let error = observe::follow(&node, &api, &|update| {
            reached.set(true);
            report(update);
        })
        .await;
        report(Update::Lost { node: node.clone(), reason: error.to_string() });
        pause = if reached.get() { FIRST_RETRY_MILLISECONDS } else { (pause * 2).min(LONGEST_RETRY_MILLISECONDS) };
        while let Some(Some(())) = wakes.next().now_or_never() {}
        select(Box::pin(browser::sleep(pause)), wakes.next()).await;
    }
}

/// An engine that is being followed. Dropping it ends that.
struct Follower {
    _stop: oneshot::Sender<()>,
    wake: UnboundedSender<()>,
}

/// Everything that listens to a session. It ends when this is dropped.
#[derive(Default)]
struct Listening {
    judging: Option<Judging>,
    followers: BTreeMap<String, Follower>,
    swarm: Option<UnboundedSender<()>>,
}

impl Listening {
    fn judge(&self, poke: Poke) {
        if let Some(judging) = &self.judging {
            judging.poke(poke);
        }
    }
    fn look_at_swarm(&self) {
        if let Some(swarm) = &self.swarm {
            // A follower that has ended belongs to a lab that was left.
            let _ = swarm.unbounded_send(());
        }
    }
}

type State = UseReducerDispatcher<LabState>;
type Shared = Rc<RefCell<Listening>>;

/// The way to the judge of a lab.
#[derive(Clone)]
pub(super) struct Judges(Shared);

impl Judges {
    pub(super) fn poke(&self, poke: Poke) {
        self.0.borrow().judge(poke);
    }
}

/// Follows what is not followed yet, and lets go of nodes that are no more.
fn follow_nodes(session: &SharedSession, state: &State, listening: &Shared) {
    let nodes = session.nodes();
    listening.borrow_mut().followers.retain(|known, _| nodes.iter().any(|(name, _)| name == known));
    for (node, api) in nodes {
        let known = listening.borrow().followers.get(&node).map(|follower| follower.wake.clone());
        if let Some(wake) = known {
            let _ = wake.unbounded_send(());
            continue;
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let (wake, wakes) = unbounded();
        listening.borrow_mut().followers.insert(node.clone(), Follower { _stop: stop, wake });
        // Weak, because the listeners end with what they are part of.
        let (state, listening) = (state.clone(), Rc::downgrade(listening));
        let following = keep_following(node, api, wakes, move |update| match update {
            Update::View { node, view, events } => {
                state.dispatch(LabAction::View(node, view));
                let Some(listening) = listening.upgrade() else { return };
                let listening = listening.borrow();
                if events.is_empty() {
                    listening.judge(Poke::Look);
                    listening.look_at_swarm();
                }
                if events.iter().any(observe::concerns_swarm) {
                    listening.look_at_swarm();
                }
                for event in events {
                    listening.judge(Poke::Event(Box::new(event)));
                }
            }
            Update::Lost { node, reason } => {
                state.dispatch(LabAction::Lost(node, reason));
                if let Some(listening) = listening.upgrade() {
                    listening.borrow().look_at_swarm();
                }
            }
        });
        browser::spawn(async move {
            select(Box::pin(following), stopped).await;
        });
    }
}

fn follow_swarm(session: &SharedSession, state: &State, listening: &Shared) {
    let (sender, pokes) = unbounded();
    listening.borrow_mut().swarm = Some(sender);
    let engines = {
        let session = session.clone();
        move || session.nodes()
    };
    let (session, state, listening) = (session.clone(), state.clone(), Rc::downgrade(listening));
    browser::spawn(observe::follow_swarm(engines, pokes, move |swarm: SwarmState| {
        state.dispatch(LabAction::Swarm(session_time(&session), swarm));
        if let Some(listening) = listening.upgrade() {
            listening.borrow().judge(Poke::Swarm);
        }
    }));
}

fn start_judge(
    scenario: Rc<Scenario>,
    session: &SharedSession,
    state: &State,
    initial: docklab_scenario::Progress,
    is_panel: bool,
) -> Judging {
    let progress = Rc::new(RefCell::new(initial));
    let judge = Judge { scenario, session: session.clone(), progress: progress.clone(), evaluator: Evaluator::new() };
    let state = state.clone();
    judge.start(move |news| match news {
        News::Report(report) => {
            if is_panel {
                panel::tell_report(&report);
            }
            state.dispatch(LabAction::Report(report));
        }
        News::Done => state.dispatch(LabAction::Progress(progress.borrow().clone())),
    })
}

/// A lab's state, its judge, and what to call when something was done to the session's nodes.
#[hook]
pub(super) fn use_lab(
    scenario: &Rc<Scenario>,
    session: &SharedSession,
    is_panel: bool,
) -> (UseReducerHandle<LabState>, Judges, Callback<()>) {
    let lab = scenario.meta.id.clone();
    let state = use_reducer(move || LabState::load(&lab));
    let listening: Shared = use_mut_ref(Listening::default);
    let on_places = {
        let (dispatcher, listening, session) = (state.dispatcher(), listening.clone(), session.clone());
        Callback::from(move |()| {
            dispatcher.dispatch(LabAction::Places(session_time(&session), session.places()));
            follow_nodes(&session, &dispatcher, &listening);
            listening.borrow().look_at_swarm();
        })
    };
    {
        let (dispatcher, listening) = (state.dispatcher(), listening.clone());
        let (initial, on_places) = (state.progress.clone(), on_places.clone());
        // A lab that is being written changes while it is shown.
        use_effect_with((session.clone(), scenario.clone()), move |(session, scenario)| {
            let scenario = scenario.clone();
            let judging = start_judge(scenario.clone(), session, &dispatcher, initial, is_panel);
            listening.borrow_mut().judging = Some(judging);
            follow_swarm(session, &dispatcher, &listening);
            on_places.emit(());
            // Nodes of the lab that are not there yet.
            let session = session.clone();
            browser::spawn(async move {
                if session.ensure_nodes(&scenario.meta.nodes).await.is_ok() {
                    on_places.emit(());
                }
            });
            move || drop(listening.replace(Listening::default()))
        });
    }
    (state, Judges(listening), on_places)
}
