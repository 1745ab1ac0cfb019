use std::rc::Rc;

use yew::prelude::*;

use super::{Selection, glyph::caption, service::note, time::clock};
use crate::{
    observe::{Quorum, Recording, SwarmView},
    session::{NodePlace, NodeState},
};

/// Tasks and moments in the table, at most.
const ROWS: usize = 300;
const MOMENTS: usize = 40;

#[derive(Properties, PartialEq)]
pub(super) struct SwarmTableProps {
    pub(super) view: Rc<SwarmView>,
    pub(super) places: Rc<Vec<NodePlace>>,
    pub(super) recording: Rc<Recording>,
    pub(super) on_select: Callback<Selection>,
}

fn header(titles: &[&'static str]) -> Html {
    html! { <thead><tr>{ for titles.iter().map(|title| html! { <th scope="col">{ *title }</th> }) }</tr></thead> }
}

fn link(text: &str, selection: Selection, on_select: &Callback<Selection>) -> Html {
    let on_select = on_select.clone();
    html! { <button type="button" class="link" onclick={Callback::from(move |_: MouseEvent| on_select.emit(selection.clone()))}>{ text.to_owned() }</button> }
}

/// The swarm diagram's text equivalent.
#[component]
pub(super) fn SwarmTable(props: &SwarmTableProps) -> Html {
    let view = &*props.view;
    html! {
        <div class="text-equivalent">
            if view.nodes.is_empty() {
                <p>{ "There is no swarm yet." }</p>
            } else {
                <p>{ Quorum::of(view).sentence() }</p>
            }
            { nodes(props) }
            { services(props) }
            { tasks(props) }
            { moments(&props.recording) }
        </div>
    }
}

fn nodes(props: &SwarmTableProps) -> Html {
    let view = &*props.view;
    let outside = props.places.iter().filter(|place| view.nodes.iter().all(|node| node.name != place.name));
    html! {
        <table>
            <caption>{ "Nodes" }</caption>
            { header(&["Name", "Role", "State", "Availability", "Address", "Tasks"]) }
            <tbody>
                { for view.nodes.iter().map(|node| {
                    let tasks = view.shown_tasks().filter(|task| task.node == node.id).count();
                    let place = props.places.iter().find(|place| place.name == node.name);
                    let machine = place.filter(|place| place.state != NodeState::Running).map(|place| format!(" ({})", place.state.word()));
                    let message = if node.message.is_empty() { String::new() } else { format!(": {}", node.message) };
                    html! {
                        <tr key={node.id.clone()}>
                            <th scope="row">{ link(&node.name, Selection::Node(node.id.clone()), &props.on_select) }</th>
                            <td>{ node.role_text() }</td>
                            <td>{ format!("{}{message}{}", node.state_text(), machine.unwrap_or_default()) }</td>
                            <td>{ node.availability_text() }</td>
                            <td>{ &node.address }</td>
                            <td>{ tasks }</td>
                        </tr>
                    }
                }) }
                { for outside.map(|place| html! {
                    <tr key={place.name.clone()}>
                        <th scope="row">{ link(&place.name, Selection::Place(place.name.clone()), &props.on_select) }</th>
                        <td colspan="5">{ format!("not in the swarm, {}", place.state.word()) }</td>
                    </tr>
                }) }
            </tbody>
        </table>
    }
}

fn services(props: &SwarmTableProps) -> Html {
    let view = &*props.view;
    html! {
        <table>
            <caption>{ "Services" }</caption>
            { header(&["Name", "Wanted", "Running", "Image", "Ports", "Update"]) }
            <tbody>
                { for view.services.iter().map(|service| {
                    let ports: Vec<String> = service.ports.iter().map(|port| format!("{} to {}/{}", port.published, port.target, port.protocol)).collect();
                    let running = view.tasks.iter().filter(|task| task.service == service.id && task.is_current() && task.progress() == 9).count();
                    let update = match &service.update {
                        Some(update) if update.is_rolling() => note(service, view).0,
                        Some(update) if update.message.is_empty() => update.text().to_owned(),
                        Some(update) => format!("{}: {}", update.text(), update.message),
                        None => "–".to_owned(),
                    };
                    html! {
                        <tr key={service.id.clone()}>
                            <th scope="row">{ link(&service.name, Selection::Service(service.id.clone()), &props.on_select) }</th>
                            <td>{ service.desired }</td>
                            <td>{ running }</td>
                            <td>{ &service.image }</td>
                            <td>{ if ports.is_empty() { "–".to_owned() } else { ports.join(", ") } }</td>
                            <td>{ update }</td>
                        </tr>
                    }
                }) }
                if view.services.is_empty() { <tr><td colspan="6">{ "No services." }</td></tr> }
            </tbody>
        </table>
    }
}

fn tasks(props: &SwarmTableProps) -> Html {
    let view = &*props.view;
    html! {
        <table>
            <caption>{ "Tasks, with those that ended; the newest of each slot first" }</caption>
            { header(&["Name", "State", "Wanted", "Node", "Image", "Reason"]) }
            <tbody>
                { for view.tasks.iter().take(ROWS).map(|task| html! {
                    <tr key={task.id.clone()}>
                        <th scope="row">{ link(&task.name, Selection::Task(task.id.clone()), &props.on_select) }</th>
                        <td>{ caption(task) }</td>
                        <td>{ crate::observe::state_word(task.desired) }</td>
                        <td>{ view.node(&task.node).map_or("–", |node| node.name.as_str()) }</td>
                        <td>{ &task.image }</td>
                        <td>{ &task.error }</td>
                    </tr>
                }) }
                if view.tasks.is_empty() { <tr><td colspan="6">{ "No tasks." }</td></tr> }
            </tbody>
            if view.tasks.len() > ROWS { <tfoot><tr><td colspan="6">{ format!("and {} more", view.tasks.len() - ROWS) }</td></tr></tfoot> }
        </table>
    }
}

fn moments(recording: &Recording) -> Html {
    html! {
        <table>
            <caption>{ "What happened, the newest first" }</caption>
            { header(&["Time", "News"]) }
            <tbody>
                { for recording.backwards().take(MOMENTS).map(|(index, moment)| html! {
                    <tr key={recording.number(index)}>
                        <th scope="row">{ clock(moment.at) }</th>
                        <td>{ moment.news.join("; ") }</td>
                    </tr>
                }) }
            </tbody>
        </table>
    }
}
