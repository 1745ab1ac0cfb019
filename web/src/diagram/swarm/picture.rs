//! The swarm drawn: services above, the network between the nodes, the nodes with their tasks.

use std::{collections::HashMap, rc::Rc};

use docklab_api::models::NodeState as MemberState;
use yew::prelude::*;

use super::{
    Selection,
    layout::{CARD_HEIGHT, Detail, Layout, MARGIN, NODE_HEADER, NodeBox, Tray, shorten},
    request::Trace,
    service::Service,
    task::{Task, on_enter},
};
use crate::{
    browser::SizeListener,
    observe::{MemberView, SwarmView, TaskView, raft_of, raft_role},
    session::{NodePlace, NodeState},
};

const FIRST_WIDTH: f64 = 720.0;

#[derive(Properties, PartialEq)]
pub(super) struct PictureProps {
    pub(super) view: Rc<SwarmView>,
    pub(super) places: Rc<Vec<NodePlace>>,
    /// Tasks that have just ended.
    pub(super) lingering: Rc<Vec<Rc<TaskView>>>,
    pub(super) selection: Option<Selection>,
    /// The last request, while it is shown.
    pub(super) trace: Option<Rc<Trace>>,
    /// Requests that each task has answered.
    pub(super) answers: Rc<HashMap<String, usize>>,
    pub(super) on_select: Callback<Selection>,
}

#[component]
pub(super) fn Picture(props: &PictureProps) -> Html {
    let frame = use_node_ref();
    let size = use_state(|| (FIRST_WIDTH, f64::INFINITY));
    {
        let size = size.clone();
        use_effect_with(frame.clone(), move |frame| {
            let listener = frame.cast::<web_sys::Element>().and_then(|element| {
                SizeListener::new(&element, move |width, height| size.set((width.max(280.0), height)))
            });
            move || drop(listener)
        });
    }
    let fitted = use_memo(
        (*size, props.view.clone(), props.places.clone(), props.lingering.clone()),
        |(size, view, places, lingering)| Layout::fitting(*size, view, places, lingering),
    );
    let (layout, scale) = (&fitted.0, fitted.1);
    let view = &*props.view;
    let (full_width, full_height) = (layout.width.to_string(), layout.height.to_string());
    let ports: Vec<u16> = mesh_ports(view);
    html! {
        <div class="swarm-picture" ref={frame}>
            <svg role="group" aria-label={label(view)} viewBox={format!("0 0 {full_width} {full_height}")}
                width={(layout.width * scale).to_string()} height={(layout.height * scale).to_string()}>
                <defs>
                    <pattern id="drained-stripes" width="9" height="9" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
                        <rect width="3" height="9" fill="var(--line)" />
                    </pattern>
                </defs>
                { draw_rails(layout, &ports) }
                { for layout.services.iter().map(|place| html! {
                    <Service key={place.service.id.clone()} service={place.service.clone()} view={props.view.clone()}
                        x={place.x} y={place.y} width={place.width}
                        is_selected={props.selection.as_ref().is_some_and(|selection| selection.is_service(&place.service.id))}
                        on_select={props.on_select.clone()} />
                }) }
                if let Some(tray) = &layout.tray { { draw_tray(tray, layout) } }
                { for layout.nodes.iter().map(|node| draw_node(node, layout, props, &ports)) }
                { draw_tasks(layout, props) }
                if let Some(trace) = &props.trace { { draw_trace(trace, layout) } }
                { for layout.nodes.iter().map(|node| draw_ports(node, &ports)) }
            </svg>
        </div>
    }
}

fn label(view: &SwarmView) -> String {
    let tasks = view.shown_tasks().count();
    format!("Swarm of {} nodes with {} services and {tasks} tasks", view.nodes.len(), view.services.len())
}

/// What every node answers on.
fn mesh_ports(view: &SwarmView) -> Vec<u16> {
    let ports = view.services.iter().flat_map(|service| &service.ports);
    let mut ports: Vec<u16> =
        ports.filter(|port| port.through_mesh && port.published > 0).map(|port| port.published).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn draw_rails(layout: &Layout, ports: &[u16]) -> Html {
    let right = layout.width - MARGIN;
    let trunk = layout.rails.first().zip(layout.rails.last()).filter(|(first, last)| first != last);
    let text = if ports.is_empty() {
        "the network between the nodes"
    } else {
        "routing mesh: every node answers for every task"
    };
    html! {
        <g class="swarm-rails" aria-hidden="true">
            if let Some((first, last)) = trunk {
                <line x1={(MARGIN / 2.0).to_string()} x2={(MARGIN / 2.0).to_string()} y1={first.to_string()} y2={last.to_string()} />
            }
            { for layout.rails.iter().enumerate().map(|(index, rail)| html! {
                <>
                    <line x1={(MARGIN / 2.0).to_string()} x2={right.to_string()} y1={rail.to_string()} y2={rail.to_string()} />
                    if index == 0 {
                        <text x={right.to_string()} y={(rail - 6.0).to_string()} text-anchor="end">{ shorten(text, layout.width - 130.0, 11.0) }</text>
                    }
                </>
            }) }
        </g>
    }
}

fn draw_tray(tray: &Tray, layout: &Layout) -> Html {
    let width = layout.width - 2.0 * MARGIN;
    let reason = tray.tasks.iter().map(|place| place.task.error.as_str()).find(|error| !error.is_empty());
    let text = match reason {
        Some(reason) => format!("No node yet: {reason}"),
        None => "No node yet".to_owned(),
    };
    let more = if tray.more > 0 { format!("and {} more", tray.more) } else { String::new() };
    html! {
        <g class="swarm-tray">
            <rect x={MARGIN.to_string()} y={tray.y.to_string()} width={width.to_string()} height={tray.height.to_string()} rx="10" />
            <text x={(MARGIN + 14.0).to_string()} y={(tray.y + 20.0).to_string()}>{ shorten(&text, width - 110.0, 12.0) }</text>
            <text x={(MARGIN + width - 12.0).to_string()} y={(tray.y + 20.0).to_string()} text-anchor="end">{ more }</text>
        </g>
    }
}

/// A star for the leader, a ring for other managers, a dot for workers.
fn role_glyph(member: Option<&MemberView>) -> Html {
    match member {
        None => html! { <circle class="role-none" r="6" /> },
        Some(member) if member.is_leader => html! {
            <path class="role-leader" d="M0-8l2.4 5 5.5.7-4 3.8 1 5.5-4.9-2.7-4.9 2.7 1-5.5-4-3.8 5.5-.7z" />
        },
        Some(member) if member.is_manager => {
            html! { <><circle class="role-manager" r="6.5" /><circle class="role-worker" r="2.5" /></> }
        }
        Some(_) => html! { <circle class="role-worker" r="4.5" /> },
    }
}

/// The state in a word, and how it looks: what was done to the machine counts before what the swarm knows of it.
pub(super) fn condition(node: &NodeBox) -> (&'static str, &'static str) {
    match (node.state, &node.member) {
        (Some(NodeState::Killed), _) => ("Switched off", "down"),
        (Some(NodeState::Paused), _) => ("Frozen", "unsure"),
        (Some(NodeState::Cut), _) => ("Cut off", "unsure"),
        (_, None) => ("Not in the swarm", "outside"),
        (_, Some(member)) => match member.state {
            MemberState::READY => (if node.state == Some(NodeState::Slow) { "Ready, slow" } else { "Ready" }, "ready"),
            MemberState::DOWN => ("Down", "down"),
            MemberState::DISCONNECTED | MemberState::UNKNOWN => (member.state_text(), "unsure"),
        },
    }
}

fn spoken(node: &NodeBox) -> String {
    let (state, _) = condition(node);
    match &node.member {
        None => format!("{}, {state}", node.name),
        Some(member) => format!(
            "Node {}, {}, {state}, availability {}, {}",
            node.name,
            member.role_text(),
            member.availability_text(),
            plural(task_count(node), "task")
        ),
    }
}

fn task_count(node: &NodeBox) -> usize {
    node.tasks.len() + node.dots.iter().map(|(_, _, count)| count).sum::<usize>()
}

fn draw_node(node: &NodeBox, layout: &Layout, props: &PictureProps, ports: &[u16]) -> Html {
    let (state_text, state) = condition(node);
    let member = node.member.as_deref();
    let select = {
        let (selection, on_select) = (Selection::of_node(node), props.on_select.clone());
        move || on_select.emit(selection.clone())
    };
    let onclick = {
        let select = select.clone();
        Callback::from(move |_: MouseEvent| select())
    };
    let is_selected = props.selection.as_ref() == Some(&Selection::of_node(node));
    let tasks = task_count(node);
    let second = match member {
        Some(member) => member.role_text().to_owned(),
        None => "a machine of its own".to_owned(),
    };
    let availability = member.map(MemberView::availability_text).filter(|text| *text != "Active");
    let right = node.x + node.width - 14.0;
    let at = |x: f64, y: f64| (x.to_string(), (node.y + y).to_string());
    let ((name_x, name_y), (state_x, state_y), (role_x, role_y)) =
        (at(node.x + 36.0, 30.0), at(right - 13.0, 30.0), at(node.x + 36.0, 48.0));
    html! {
        <g key={node.key.clone()}>
            { draw_stub(node, ports) }
            <g class="swarm-node" role="button" tabindex="0" aria-pressed={is_selected.to_string()} data-state={state}
                data-availability={member.map(MemberView::availability_text)} {onclick} onkeydown={on_enter(select)}>
                <title>{ spoken(node) }</title>
                <g aria-hidden="true">
                    <rect class="box" x={node.x.to_string()} y={node.y.to_string()} width={node.width.to_string()} height={node.height.to_string()} rx="12" />
                    <g class="role" transform={format!("translate({} {})", node.x + 20.0, node.y + 26.0)}>{ role_glyph(member) }</g>
                    <text class="name" x={name_x} y={name_y}>{ shorten(&node.name, node.width - 150.0, 14.5) }</text>
                    <text class="state" x={state_x} y={state_y} text-anchor="end">{ state_text }</text>
                    { lamp(right - 4.0, node.y + 25.5, state) }
                    <text class="role-text" x={role_x.clone()} y={role_y.clone()}>
                        { second }
                        if let Some(availability) = availability { <tspan class="availability" dx="6">{ format!("· {availability}") }</tspan> }
                    </text>
                    if member.is_some() && layout.detail != Detail::Dot {
                        <text class="count" x={right.to_string()} y={role_y} text-anchor="end">{ plural(tasks, "task") }</text>
                    }
                    if node.has_raft { { draw_raft(node, &props.view) } }
                    if tasks == 0 { { draw_empty(node) } }
                    { draw_dots(node) }
                </g>
            </g>
        </g>
    }
}

pub(super) fn plural(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// Round while all is well, a ring while nobody knows, a square when it is over.
fn lamp(x: f64, y: f64, state: &str) -> Html {
    match state {
        "down" => {
            html! { <rect class="lamp" x={(x - 4.0).to_string()} y={(y - 4.0).to_string()} width="8" height="8" /> }
        }
        "ready" => html! { <circle class="lamp" cx={x.to_string()} cy={y.to_string()} r="4.2" /> },
        _ => html! { <circle class="lamp hollow" cx={x.to_string()} cy={y.to_string()} r="3.6" /> },
    }
}

fn draw_empty(node: &NodeBox) -> Html {
    let text = match (&node.member, node.state) {
        (None, _) => "docker swarm init, or join",
        (Some(member), _) if member.state == MemberState::DOWN => "its tasks have been replaced",
        (Some(member), _) if member.availability_text() == "Drain" => "takes no tasks",
        _ => "no tasks",
    };
    html! {
        <text class="no-tasks" x={(node.x + node.width / 2.0).to_string()} y={(node.y + node.height - 26.0).to_string()} text-anchor="middle">{ text }</text>
    }
}

fn draw_raft(node: &NodeBox, view: &SwarmView) -> Html {
    let status = node.member.as_ref().and_then(|member| raft_of(&view.raft, &member.id));
    let leader = || view.raft.iter().find(|status| status.role == docklab_api::RaftRole::Leader);
    let text = match (status, &node.member) {
        (Some(status), _) => {
            let vote = view.node(&status.vote).map_or(String::new(), |voted| format!(" · voted for {}", voted.name));
            let role = raft_role(status.role);
            format!("term {} · {role} · log {} of {}{vote}", status.term, status.applied_index, status.last_index)
        }
        // Its own view cannot be had; what the leader knows of it can.
        (None, Some(member)) => {
            let known = leader().and_then(|leader| leader.members.iter().find(|known| known.node_id == member.id));
            match known.and_then(|known| known.match_index) {
                Some(index) => format!("its log is known up to {index}"),
                None => "its log is not known".to_owned(),
            }
        }
        (None, None) => String::new(),
    };
    html! {
        <text class="raft" x={(node.x + 14.0).to_string()} y={(node.y + NODE_HEADER + 6.0).to_string()}>{ shorten(&text, node.width - 24.0, 10.5) }</text>
    }
}

fn draw_dots(node: &NodeBox) -> Html {
    let text: Vec<String> = node.dots.iter().map(|(kind, _, count)| format!("{count} {}", kind.word())).collect();
    html! {
        <>
            { for node.dots.iter().map(|(kind, path, _)| html! {
                <path key={kind.word()} class="swarm-dots" data-kind={kind.word()} d={path.clone()} />
            }) }
            if !node.dots.is_empty() {
                <text class="legend" x={(node.x + 14.0).to_string()} y={(node.y + node.height - 13.0).to_string()}>{ shorten(&text.join(" · "), node.width - 24.0, 11.0) }</text>
            }
        </>
    }
}

/// The cable between a node and the network. A cut one has a gap.
fn draw_stub(node: &NodeBox, ports: &[u16]) -> Html {
    let (x, y) = node.port();
    let cut = node.is_cut();
    let path = if cut { format!("M{x} {}v6M{x} {y}v-7", node.rail) } else { format!("M{x} {}V{y}", node.rail) };
    html! {
        <g class="swarm-stub" data-cut={cut.to_string()} aria-hidden="true">
            <path d={path} />
            if cut && node.state == Some(NodeState::Cut) && !ports.is_empty() {
                <path class="gap" d={format!("M{} {}l9 9m0-9l-9 9", x + 9.0, node.rail + 8.0)} />
            }
            if cut && node.state == Some(NodeState::Cut) && ports.is_empty() {
                <path class="gap" d={format!("M{} {}l9 9m0-9l-9 9", x - 4.5, node.rail + 9.0)} />
            }
        </g>
    }
}

/// Published ports stand on the node's edge, as on a host.
fn draw_ports(node: &NodeBox, ports: &[u16]) -> Html {
    let answers = node.member.as_ref().is_some_and(|member| member.state == MemberState::READY) && !node.is_cut();
    if !answers {
        return html! {};
    }
    let (x, y) = node.port();
    #[allow(clippy::cast_precision_loss)] // a few ports
    let place = |index: usize| x + 50.0 * index as f64;
    html! {
        <g key={format!("ports-{}", node.key)} class="swarm-ports" aria-hidden="true">
            { for ports.iter().take(3).enumerate().map(|(index, port)| html! {
                <g key={port.to_string()} class="plug" transform={format!("translate({} {})", place(index), y - 1.0)}>
                    <rect x="-22" y="-9" width="44" height="18" rx="9" />
                    <text y="4" text-anchor="middle">{ format!(":{port}") }</text>
                </g>
            }) }
        </g>
    }
}

fn draw_tasks(layout: &Layout, props: &PictureProps) -> Html {
    let view = &*props.view;
    // Counted once for all: a slot's failures are its history's.
    let mut failures: HashMap<(&str, u64, &str), usize> = HashMap::new();
    for task in view.tasks.iter().filter(|task| task.has_failed()) {
        *failures.entry(task.place()).or_default() += 1;
    }
    let images: HashMap<&str, &str> =
        view.services.iter().map(|service| (service.id.as_str(), service.image.as_str())).collect();
    let focus = props.selection.as_ref().and_then(|selection| selection.service(view));
    let places =
        layout.nodes.iter().flat_map(|node| &node.tasks).chain(layout.tray.iter().flat_map(|tray| &tray.tasks));
    let is_lingering = |task: &TaskView| props.lingering.iter().any(|other| other.id == task.id);
    html! {
        { for places.map(|place| {
            let task = &place.task;
            let lingering = is_lingering(task);
            html! {
                <Task key={task.id.clone()} task={task.clone()} x={place.x} y={place.y} width={place.width}
                    is_tile={layout.detail == Detail::Tile && !task.node.is_empty()}
                    is_old={images.get(task.service.as_str()).is_some_and(|image| *image != task.image)}
                    is_faint={focus.as_ref().is_some_and(|service| *service != task.service)}
                    failures={if lingering { 0 } else { failures.get(&task.place()).copied().unwrap_or_default() }}
                    answers={props.answers.get(&task.id).copied().unwrap_or_default()}
                    is_lingering={lingering}
                    is_selected={props.selection.as_ref().is_some_and(|selection| selection.is_task(&task.id))}
                    on_select={props.on_select.clone()} />
            }
        }) }
    }
}

fn draw_trace(trace: &Trace, layout: &Layout) -> Html {
    let task = trace.task.as_ref().and_then(|task| {
        let places = layout.nodes.iter().find(|node| node.middle_of(&task.id).is_some());
        places.map(|_| &**task)
    });
    let Some(way) = layout.way(&trace.entry, task) else { return html! {} };
    html! {
        <g key={format!("{}-{}", trace.number, trace.is_answered())} class="swarm-trace" data-answered={trace.is_answered().to_string()} aria-hidden="true">
            <path class="way" d={way.clone()} pathLength="1" />
            <circle class="packet" r="5.5" style={format!("offset-path: path('{way}')")} />
            if let Some((x, y)) = task.and_then(|task| layout.node_of(task)?.middle_of(&task.id)) {
                <circle class="arrival" cx={x.to_string()} cy={y.to_string()} r={(CARD_HEIGHT / 3.0).to_string()} />
            }
        </g>
    }
}
