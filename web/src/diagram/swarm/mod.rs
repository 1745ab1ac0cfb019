//! The swarm diagram: nodes, services and tasks as the managers know them, requests through the mesh, and what happens if.
//!
//! It reads only what every engine answers: nodes, services, tasks. How the managers agree is added where an engine tells
//! it. What befalls machines goes through the session.

mod deeds;
mod glyph;
mod layout;
mod panel;
mod picture;
mod request;
mod service;
mod table;
mod task;
#[cfg(test)]
mod tests;
mod time;
mod toolbar;

use std::{collections::HashMap, rc::Rc};

use yew::prelude::*;

use crate::{
    browser,
    observe::{Recording, SwarmState, SwarmView, TaskView},
    session::{NodePlace, SharedSession},
};
use layout::NodeBox;
use panel::Panel;
use picture::Picture;
use request::Trace;
use table::SwarmTable;
use time::{TimeBar, clock};
use toolbar::Toolbar;

/// What is looked at closely.
#[derive(Debug, Clone, PartialEq)]
enum Selection {
    /// A member of the swarm, by ID.
    Node(String),
    /// A machine that is no member, by name.
    Place(String),
    Service(String),
    Task(String),
}

impl Selection {
    fn of_node(node: &NodeBox) -> Self {
        match &node.member {
            Some(member) => Self::Node(member.id.clone()),
            None => Self::Place(node.name.clone()),
        }
    }
    fn is_service(&self, id: &str) -> bool {
        matches!(self, Self::Service(selected) if selected == id)
    }
    fn is_task(&self, id: &str) -> bool {
        matches!(self, Self::Task(selected) if selected == id)
    }
    /// The service whose tasks stand out.
    fn service(&self, view: &SwarmView) -> Option<String> {
        match self {
            Self::Service(id) => Some(id.clone()),
            Self::Task(id) => view.task(id).map(|task| task.service.clone()),
            Self::Node(_) | Self::Place(_) => None,
        }
    }
}

#[derive(Properties, PartialEq)]
pub struct SwarmPaneProps {
    pub session: SharedSession,
    pub swarm: SwarmState,
    pub recording: Rc<Recording>,
    pub places: Rc<Vec<NodePlace>>,
    /// As text instead of a picture.
    pub as_table: bool,
    /// Something was done to the session's nodes.
    pub on_places: Callback<()>,
}

/// How long a task that has ended is still shown where it was, in its last state.
const LINGERING_MILLISECONDS: i32 = 1800;
/// More than these are not worth lingering: the picture is then about numbers.
const MOST_LINGERING: usize = 40;

/// Tasks that were shown and have just ended.
#[hook]
fn use_lingering(view: &Rc<SwarmView>, is_now: bool) -> Rc<Vec<Rc<TaskView>>> {
    let lingering = use_state(Rc::<Vec<Rc<TaskView>>>::default);
    let former = use_mut_ref(|| None::<Rc<SwarmView>>);
    {
        let lingering = lingering.clone();
        use_effect_with((view.clone(), is_now), move |(view, is_now)| {
            let before = former.replace(is_now.then(|| view.clone()));
            let Some(before) = before.filter(|_| *is_now) else {
                if !lingering.is_empty() {
                    lingering.set(Rc::default());
                }
                return;
            };
            let shown: std::collections::HashSet<&str> = view.shown_tasks().map(|task| task.id.as_str()).collect();
            let gone: Vec<Rc<TaskView>> = before
                .shown_tasks()
                .filter(|task| !shown.contains(task.id.as_str()))
                .take(MOST_LINGERING + 1)
                .map(|task| view.task(&task.id).unwrap_or(task).clone())
                .collect();
            if gone.is_empty() || gone.len() > MOST_LINGERING {
                return;
            }
            let stay: Vec<Rc<TaskView>> = lingering
                .iter()
                .filter(|task| gone.iter().all(|other| other.id != task.id))
                .cloned()
                .chain(gone.iter().cloned())
                .collect();
            lingering.set(Rc::new(stay));
            let lingering = lingering.clone();
            browser::spawn(async move {
                browser::sleep(LINGERING_MILLISECONDS).await;
                // Whoever came later has a timer of its own.
                lingering.set(Rc::default());
            });
        });
    }
    // One that runs again, or is shown again for another reason, is not drawn twice.
    let shown =
        |task: &Rc<TaskView>| view.task(&task.id).is_some_and(|known| known.is_current() || known.is_stopping());
    Rc::new(lingering.iter().filter(|task| !shown(task)).cloned().collect())
}

/// Requests of this page: the last one, and who has answered how many.
#[derive(Clone, Default, PartialEq)]
struct Requests {
    last: Option<Rc<Trace>>,
    answers: Rc<HashMap<String, usize>>,
}

impl Reducible for Requests {
    type Action = Trace;
    fn reduce(self: Rc<Self>, trace: Trace) -> Rc<Self> {
        let mut answers = self.answers.clone();
        if let (true, Some(task)) = (trace.is_answered(), &trace.task) {
            *Rc::make_mut(&mut answers).entry(task.id.clone()).or_default() += 1;
        }
        Rc::new(Self { last: Some(Rc::new(trace)), answers })
    }
}

/// The swarm: as a picture or as text, as it is or as it was.
#[component]
pub fn SwarmPane(props: &SwarmPaneProps) -> Html {
    let selection = use_state(|| None::<Selection>);
    let moment = use_state(|| None::<usize>);
    let requests = use_reducer(Requests::default);
    let past = (*moment).and_then(|number| props.recording.get(props.recording.index(number)).cloned());
    let is_now = past.is_none();
    let nothing = use_memo((), |()| SwarmView::default());
    let view = match &past {
        Some(past) => past.view.clone(),
        None => props.swarm.view().cloned().unwrap_or(nothing),
    };
    let places = past.as_ref().map_or_else(|| props.places.clone(), |past| past.places.clone());
    let lingering = use_lingering(&view, is_now);
    let on_select = {
        let selection = selection.clone();
        Callback::from(move |chosen: Selection| {
            selection.set(if selection.as_ref() == Some(&chosen) { None } else { Some(chosen) });
        })
    };
    let on_close = {
        let selection = selection.clone();
        Callback::from(move |()| selection.set(None))
    };
    let on_moment = {
        let moment = moment.clone();
        Callback::from(move |to| moment.set(to))
    };
    let on_trace = {
        let requests = requests.dispatcher();
        Callback::from(move |trace| requests.dispatch(trace))
    };
    if props.swarm == SwarmState::Unknown {
        return html! { <p class="waiting">{ "Waiting for the engine…" }</p> };
    }
    html! {
        <div class="swarm">
            <Toolbar session={props.session.clone()} swarm={props.swarm.clone()} view={view.clone()} places={places.clone()} {is_now}
                selection={(*selection).clone()} {on_trace} on_places={props.on_places.clone()} />
            <div class="diagram-main">
                <div class="diagram-stage" data-past={(!is_now).to_string()}>
                    if props.as_table {
                        <SwarmTable view={view.clone()} places={places.clone()} recording={props.recording.clone()} on_select={on_select.clone()} />
                    } else {
                        <Picture view={view.clone()} places={places.clone()} {lingering} selection={(*selection).clone()}
                            trace={requests.last.clone().filter(|_| is_now)} answers={requests.answers.clone()} on_select={on_select.clone()} />
                    }
                </div>
                if let Some(selection) = &*selection {
                    <Panel session={props.session.clone()} view={view.clone()} {places} selection={selection.clone()} {is_now}
                        {on_select} {on_close} on_places={props.on_places.clone()} />
                }
            </div>
            <div class="swarm-news">
                <p role="status">{ news(&props.recording, *moment) }</p>
                <p role="status" class="request-outcome">{ requests.last.as_ref().filter(|_| is_now).map(|last| last.text(&view)).unwrap_or_default() }</p>
            </div>
            <TimeBar session={props.session.clone()} recording={props.recording.clone()} moment={*moment} {on_moment} />
        </div>
    }
}

/// What happened at the moment that is shown.
fn news(recording: &Recording, moment: Option<usize>) -> Html {
    let index = moment.map_or(recording.len().saturating_sub(1), |number| recording.index(number));
    let Some(shown) = recording.get(index) else { return html! { "What happens here is recorded." } };
    let when = if moment.is_some() {
        format!("As it was at {}, {} of {}", clock(shown.at), index + 1, recording.len())
    } else {
        clock(shown.at)
    };
    html! { <><b>{ when }</b>{ " " }{ shown.news.join(" · ") }</> }
}
