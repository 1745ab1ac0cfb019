use std::rc::Rc;

use docklab_scenario::{Diagram, Scenario};
use yew::prelude::*;

use super::{goal::Goal, judge::current_step, state::LabState};
use crate::{
    details::Details,
    diagram::{
        self,
        host::{HostDiagram, HostTable},
        layers::LayersPane,
        swarm::SwarmPane,
    },
    session::SharedSession,
};

#[derive(Properties, PartialEq)]
pub(super) struct DiagramPaneProps {
    pub(super) scenario: Rc<Scenario>,
    pub(super) session: SharedSession,
    pub(super) state: LabState,
    pub(super) nodes: Vec<String>,
    /// Something was done to the session's nodes.
    pub(super) on_places: Callback<()>,
}

/// The diagram of the current step; others are a tab away.
#[component]
pub(super) fn DiagramPane(props: &DiagramPaneProps) -> Html {
    let chosen_node = use_state(|| None::<String>);
    // With the diagram that fitted then: a step about something else opens its own.
    let chosen_diagram = use_state(|| None::<(Diagram, Diagram)>);
    let selected = use_state(|| None::<String>);
    let as_table = use_state(|| false);
    let node = (*chosen_node).clone().or_else(|| props.nodes.first().cloned()).unwrap_or_default();
    let view = props.state.views.get(&node).cloned();
    let step = current_step(&props.scenario, &props.state.progress);
    let fitting = diagram::fitting(props.scenario.diagram_of(step));
    let shown = chosen_diagram.filter(|(_, then)| *then == fitting).map_or(fitting, |(chosen, _)| chosen);
    let on_select = {
        let selected = selected.clone();
        Callback::from(move |id: String| selected.set(if selected.as_ref() == Some(&id) { None } else { Some(id) }))
    };
    let show = |table: bool, label: &str| {
        let as_table = as_table.clone();
        html! {
            <button type="button" aria-pressed={(*as_table == table).to_string()}
                onclick={Callback::from(move |_: MouseEvent| as_table.set(table))}>{ label }</button>
        }
    };
    let container = view
        .as_ref()
        .zip(selected.as_ref())
        .and_then(|(view, id)| view.containers.iter().find(|container| container.id == **id).cloned());
    let close = {
        let selected = selected.clone();
        Callback::from(move |()| selected.set(None))
    };
    html! {
        <>
            <div class="diagram-bar">
                if diagram::OFFERED.len() > 1 {
                    <span class="segments" role="group" aria-label="Diagram">
                        { for diagram::OFFERED.iter().map(|offered| {
                            let (chosen, to) = (chosen_diagram.clone(), (*offered, fitting));
                            html! { <button type="button" key={offered.as_str()} aria-pressed={(shown == *offered).to_string()}
                                onclick={Callback::from(move |_: MouseEvent| chosen.set(Some(to)))}>{ diagram::title(*offered) }</button> }
                        }) }
                    </span>
                }
                if props.nodes.len() > 1 && shown != Diagram::Swarm {
                    <span class="segments" role="group" aria-label="Node">
                        { for props.nodes.iter().map(|name| {
                            let (chosen, to) = (chosen_node.clone(), name.clone());
                            html! { <button type="button" key={name.clone()} aria-pressed={(node == *name).to_string()}
                                onclick={Callback::from(move |_: MouseEvent| chosen.set(Some(to.clone())))}>{ name }</button> }
                        }) }
                    </span>
                }
                <Goal step={step.cloned()} report={step.and_then(|step| props.state.reports.get(&step.slug)).cloned()} />
                <span class="segments" role="group" aria-label="Show as">{ show(false, "Diagram") }{ show(true, "Table") }</span>
            </div>
            if shown == Diagram::Swarm {
                <SwarmPane session={props.session.clone()} swarm={props.state.swarm.clone()} recording={props.state.recording.clone()}
                    places={props.state.places.clone()} as_table={*as_table} on_places={props.on_places.clone()} />
            } else {
            <div class="diagram-main">
                { match (shown, view, *as_table) {
                    (_, None, _) => html! { <div class="diagram-stage"><p class="waiting">{ "Waiting for the engine…" }</p></div> },
                    (Diagram::Layers, Some(_), as_table) => html! {
                        <LayersPane key={node.clone()} session={props.session.clone()} node={node.clone()} epoch={props.state.epoch} {as_table} on_inspect={on_select} />
                    },
                    (_, Some(view), true) => html! { <div class="diagram-stage"><HostTable {view} on_select={on_select} /></div> },
                    (_, Some(view), false) => html! {
                        <div class="diagram-stage"><HostDiagram {view} selected={(*selected).clone()} {on_select} /></div>
                    },
                } }
                if let Some(container) = container {
                    <Details session={props.session.clone()} {node} {container} on_close={close} />
                }
            </div>
            }
        </>
    }
}
