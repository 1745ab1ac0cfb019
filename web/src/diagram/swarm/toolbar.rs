use std::rc::Rc;

use wasm_bindgen::JsCast as _;
use web_sys::HtmlSelectElement;
use yew::prelude::*;

use super::{
    Selection,
    deeds::Deed,
    request::{self, Outcome, Trace, Witness},
};
use crate::{
    browser,
    icons::Icon,
    observe::{Quorum, ServiceView, SwarmState, SwarmView},
    session::{NodePlace, NodeState, SharedSession},
};

#[derive(Properties, PartialEq)]
pub(super) struct ToolbarProps {
    pub(super) session: SharedSession,
    pub(super) swarm: SwarmState,
    pub(super) view: Rc<SwarmView>,
    pub(super) places: Rc<Vec<NodePlace>>,
    pub(super) is_now: bool,
    pub(super) selection: Option<Selection>,
    pub(super) on_trace: Callback<Trace>,
    pub(super) on_places: Callback<()>,
}

/// Requests that one press of the button for many sends.
const MANY: usize = 10;
/// Between two of many, so that each can be seen.
const PAUSE_MILLISECONDS: i32 = 260;

/// How the swarm stands as a sentence, a request to send, a node to add.
#[component]
pub(super) fn Toolbar(props: &ToolbarProps) -> Html {
    html! {
        <div class="swarm-bar">
            { standing(props) }
            if props.is_now {
                <NodeAdder session={props.session.clone()} on_places={props.on_places.clone()} />
                <Requester session={props.session.clone()} view={props.view.clone()} places={props.places.clone()}
                    selection={props.selection.clone()} on_trace={props.on_trace.clone()} />
            }
        </div>
    }
}

fn standing(props: &ToolbarProps) -> Html {
    let quorum = Quorum::of(&props.view);
    let (mood, text) = match &props.swarm {
        SwarmState::Silent { reason, .. } if props.is_now => {
            ("lost", format!("No manager answers for the swarm; what is shown is what was known last. {reason}"))
        }
        _ if props.view.nodes.is_empty() => ("none", "No swarm yet: docker swarm init makes one.".to_owned()),
        _ if quorum.is_lost() => ("lost", quorum.sentence()),
        _ => (if quorum.spare() > 0 { "safe" } else { "edge" }, quorum.sentence()),
    };
    let mark = match mood {
        "safe" => html! { <svg viewBox="0 0 12 12" aria-hidden="true"><circle cx="6" cy="6" r="4.5" /></svg> },
        "lost" => html! { <svg viewBox="0 0 12 12" aria-hidden="true"><path d="M2.5 2.5l7 7m0-7l-7 7" /></svg> },
        "edge" => html! { <svg viewBox="0 0 12 12" aria-hidden="true"><path d="M6 2l4.5 8h-9z" /></svg> },
        _ => html! {},
    };
    html! { <p class="standing" data-mood={mood} role="status">{ mark }{ text }</p> }
}

#[derive(Properties, PartialEq)]
struct RequesterProps {
    session: SharedSession,
    view: Rc<SwarmView>,
    places: Rc<Vec<NodePlace>>,
    selection: Option<Selection>,
    on_trace: Callback<Trace>,
}

/// The service that a request is about: the chosen one, or the first that publishes a port.
fn service_asked(view: &SwarmView, selection: Option<&Selection>) -> Option<Rc<ServiceView>> {
    let chosen = selection.and_then(|selection| selection.service(view));
    let asked = view.services.iter().filter(|service| service.web_port().is_some());
    let wanted = asked.clone().find(|service| Some(&service.id) == chosen.as_ref());
    wanted.or_else(|| asked.clone().next()).cloned()
}

#[component]
fn Requester(props: &RequesterProps) -> Html {
    let entry = use_state(|| None::<String>);
    let is_busy = use_state(|| false);
    let number = use_mut_ref(|| 0_usize);
    let Some((service, port)) = service_asked(&props.view, props.selection.as_ref())
        .and_then(|service| service.web_port().map(|port| port.published).map(|port| (service, port)))
    else {
        return html! {};
    };
    let names: Vec<String> =
        props.places.iter().filter(|place| place.state != NodeState::Killed).map(|place| place.name.clone()).collect();
    let chosen = (*entry).clone().filter(|name| names.contains(name)).or_else(|| names.first().cloned());
    let Some(chosen) = chosen else { return html! {} };
    let onchange = {
        let entry = entry.clone();
        Callback::from(move |event: Event| {
            let select = event.target().and_then(|target| target.dyn_into::<HtmlSelectElement>().ok());
            entry.set(select.map(|select| select.value()));
        })
    };
    let send = |count: usize| {
        let (session, view, service, chosen) =
            (props.session.clone(), props.view.clone(), service.clone(), chosen.clone());
        let (on_trace, is_busy, number) = (props.on_trace.clone(), is_busy.clone(), number.clone());
        Callback::from(move |_: MouseEvent| {
            let (session, view, service, entry) = (session.clone(), view.clone(), service.clone(), chosen.clone());
            let (on_trace, is_busy, number) = (on_trace.clone(), is_busy.clone(), number.clone());
            is_busy.set(true);
            browser::spawn(async move {
                let mut witness = Witness::of(&session, &view, &service).await;
                for turn in 0..count {
                    if turn > 0 {
                        browser::sleep(PAUSE_MILLISECONDS).await;
                    }
                    let this = number.replace_with(|number| *number + 1);
                    on_trace.emit(Trace {
                        number: this,
                        entry: entry.clone(),
                        port,
                        task: None,
                        outcome: Outcome::UnderWay,
                    });
                    on_trace.emit(request::send(&session, &mut witness, &entry, port, this).await);
                }
                is_busy.set(false);
            });
        })
    };
    html! {
        <div class="requester" role="group" aria-label="Requests">
            <label>{ "Ask " }<select {onchange}>
                { for names.iter().map(|name| html! {
                    <option key={name.clone()} value={name.clone()} selected={*name == chosen}>{ format!("{name}:{port}") }</option>
                }) }
            </select></label>
            <button type="button" class="small-button" onclick={send(1)} disabled={*is_busy} title={format!("curl http://{chosen}:{port}/")}>{ "Send a request" }</button>
            <button type="button" class="small-button" onclick={send(MANY)} disabled={*is_busy} aria-label={format!("Send {MANY} requests")}>{ MANY }</button>
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct NodeAdderProps {
    session: SharedSession,
    on_places: Callback<()>,
}

#[component]
fn NodeAdder(props: &NodeAdderProps) -> Html {
    let is_busy = use_state(|| false);
    let trouble = use_state(String::new);
    if props.session.allows_faults().is_err() {
        return html! {};
    }
    let add = {
        let (session, on_places, is_busy, trouble) =
            (props.session.clone(), props.on_places.clone(), is_busy.clone(), trouble.clone());
        Callback::from(move |_: MouseEvent| {
            let (session, on_places, is_busy, trouble) =
                (session.clone(), on_places.clone(), is_busy.clone(), trouble.clone());
            is_busy.set(true);
            browser::spawn(async move {
                trouble.set(Deed::AddNode.run(&session, &SwarmView::default()).await.err().unwrap_or_default());
                is_busy.set(false);
                on_places.emit(());
            });
        })
    };
    html! {
        <>
            <button type="button" class="small-button" onclick={add} disabled={*is_busy} title={Deed::AddNode.command(&SwarmView::default())}>{ Icon::Plus.draw() }{ Deed::AddNode.label() }</button>
            if !trouble.is_empty() { <span class="trouble" role="status">{ &*trouble }</span> }
        </>
    }
}
