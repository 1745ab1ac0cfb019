//! What is known of the chosen node, service or task, and what can be done to it.

use std::rc::Rc;

use docklab_api::models::{NodeSpecAvailabilityEnum as Availability, NodeState as MemberState, TaskState};
use web_sys::{HtmlInputElement, SubmitEvent};
use yew::prelude::*;

use super::{
    Selection,
    deeds::{self, Deed},
    glyph::{caption, inline_glyph, look},
    time::clock,
};
use crate::{
    browser,
    icons::Icon,
    observe::{MemberView, ServiceMode, ServiceView, SwarmView, TaskView, raft_of, raft_role},
    session::{Fault, NodePlace, NodeState, SharedSession},
};

#[derive(Properties, PartialEq)]
pub(super) struct PanelProps {
    pub(super) session: SharedSession,
    pub(super) view: Rc<SwarmView>,
    pub(super) places: Rc<Vec<NodePlace>>,
    pub(super) selection: Selection,
    /// False while an earlier state is looked at, which nothing can be done to.
    pub(super) is_now: bool,
    pub(super) on_select: Callback<Selection>,
    pub(super) on_close: Callback<()>,
    pub(super) on_places: Callback<()>,
}

/// A deed under way, or what became of it: its command and, when it has failed, why.
type Attempt = (String, Option<Result<(), String>>);

#[component]
pub(super) fn Panel(props: &PanelProps) -> Html {
    let attempt = use_state(|| None::<Attempt>);
    let heading = use_node_ref();
    {
        let attempt = attempt.clone();
        let heading = heading.clone();
        use_effect_with(props.selection.clone(), move |_| {
            attempt.set(None);
            // Where there is little room it stands below the picture.
            if let Some(heading) = heading.cast::<web_sys::Element>() {
                let options = web_sys::ScrollIntoViewOptions::new();
                options.set_block(web_sys::ScrollLogicalPosition::Nearest);
                heading.scroll_into_view_with_scroll_into_view_options(&options);
            }
        });
    }
    let act = {
        let (session, view, attempt) = (props.session.clone(), props.view.clone(), attempt.clone());
        let on_places = props.on_places.clone();
        Callback::from(move |deed: Deed| {
            let (session, view, attempt, on_places) =
                (session.clone(), view.clone(), attempt.clone(), on_places.clone());
            let command = deed.command(&view);
            attempt.set(Some((command.clone(), None)));
            browser::spawn(async move {
                let outcome = deed.run(&session, &view).await;
                attempt.set(Some((command, Some(outcome))));
                if deed.changes_places() {
                    on_places.emit(());
                }
            });
        })
    };
    let close = {
        let on_close = props.on_close.clone();
        Callback::from(move |_: MouseEvent| on_close.emit(()))
    };
    let onkeydown = {
        let on_close = props.on_close.clone();
        Callback::from(move |event: KeyboardEvent| {
            if event.key() == "Escape" {
                on_close.emit(());
            }
        })
    };
    let Some(subject) = Subject::find(props) else { return html! {} };
    let (title, chip, mood) = subject.title(props);
    html! {
        <section class="details swarm-panel" aria-label={format!("Details of {title}")} {onkeydown}>
            <header>
                <h2 ref={heading}>{ title }</h2>
                <span class="state-chip" data-state={mood}>{ chip }</span>
                <button type="button" class="bar-button close" aria-label="Close details" onclick={close}>{ Icon::Close.draw() }</button>
            </header>
            <div class="details-body" tabindex="0" role="region" aria-label="Facts and what to try">
                { facts(&subject.facts(props)) }
                if props.is_now {
                    { deed_list(&subject.deeds(props), &act, &props.view) }
                    if let Subject::Service(service) = &subject { <ImageForm service={service.clone()} view={props.view.clone()} on_deed={act.clone()} /> }
                    <p class="attempt" role="status">{ attempt_text(attempt.as_ref()) }</p>
                } else {
                    <p class="faint">{ "This is how it was. Back in the present things can be tried." }</p>
                }
                { subject.tasks(props) }
            </div>
        </section>
    }
}

fn attempt_text(attempt: Option<&Attempt>) -> Html {
    match attempt {
        None => html! {},
        Some((command, None)) => html! { <><span class="spinner" aria-hidden="true" /><code>{ command }</code></> },
        Some((command, Some(Ok(())))) => {
            html! { <><span class="done" aria-hidden="true">{ Icon::Check.draw() }</span><code>{ command }</code></> }
        }
        Some((command, Some(Err(reason)))) => {
            html! { <span class="trouble"><code>{ command }</code>{ format!(": {reason}") }</span> }
        }
    }
}

fn facts(facts: &[(&'static str, String)]) -> Html {
    html! {
        <dl class="facts">
            { for facts.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| html! {
                <div key={*name}><dt>{ *name }</dt><dd>{ value }</dd></div>
            }) }
        </dl>
    }
}

fn deed_list(deeds: &[Deed], act: &Callback<Deed>, view: &SwarmView) -> Html {
    html! {
        <ul class="deeds" aria-label="What if">
            { for deeds.iter().map(|deed| {
                let onclick = {
                    let (act, deed) = (act.clone(), deed.clone());
                    Callback::from(move |_: MouseEvent| act.emit(deed.clone()))
                };
                html! {
                    <li key={deed.label()}>
                        <button type="button" class="deed" {onclick}>
                            <span>{ deed.label() }</span>
                            <code>{ deed.command(view) }</code>
                        </button>
                    </li>
                }
            }) }
        </ul>
    }
}

#[derive(Properties, PartialEq)]
struct ImageFormProps {
    service: Rc<ServiceView>,
    view: Rc<SwarmView>,
    on_deed: Callback<Deed>,
}

/// Another image for a service.
#[component]
fn ImageForm(props: &ImageFormProps) -> Html {
    let field = use_node_ref();
    let image = use_state(|| props.service.image.clone());
    let deed =
        Deed::Image { id: props.service.id.clone(), service: props.service.name.clone(), image: (*image).clone() };
    let oninput = {
        let (field, image) = (field.clone(), image.clone());
        Callback::from(move |_: InputEvent| {
            if let Some(input) = field.cast::<HtmlInputElement>() {
                image.set(input.value().trim().to_owned());
            }
        })
    };
    let onsubmit = {
        let (on_deed, deed) = (props.on_deed.clone(), deed.clone());
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            on_deed.emit(deed.clone());
        })
    };
    html! {
        <form class="image-form" {onsubmit}>
            <label>{ "Image" }<input ref={field} type="text" spellcheck="false" autocomplete="off" value={(*image).clone()} {oninput} /></label>
            <button type="submit" class="deed"><span>{ deed.label() }</span><code>{ deed.command(&props.view) }</code></button>
        </form>
    }
}

/// The chosen thing, as the shown view has it.
enum Subject {
    Node(Option<Rc<MemberView>>, Option<NodePlace>),
    Service(Rc<ServiceView>),
    Task(Rc<TaskView>),
}

impl Subject {
    fn find(props: &PanelProps) -> Option<Self> {
        let view = &props.view;
        match &props.selection {
            Selection::Node(id) => {
                let member = view.node(id)?.clone();
                let place = props.places.iter().find(|place| place.name == member.name).cloned();
                Some(Self::Node(Some(member), place))
            }
            Selection::Place(name) => {
                let place = props.places.iter().find(|place| place.name == *name)?.clone();
                // It may have joined meanwhile.
                let member = view.nodes.iter().find(|node| node.name == *name).cloned();
                Some(Self::Node(member, Some(place)))
            }
            Selection::Service(id) => view.service(id).cloned().map(Self::Service),
            Selection::Task(id) => view.task(id).cloned().map(Self::Task),
        }
    }

    /// Name, state in a word, and the chip's colour.
    fn title(&self, props: &PanelProps) -> (String, String, &'static str) {
        match self {
            Self::Node(member, place) => {
                let name = member
                    .as_ref()
                    .map(|member| member.name.clone())
                    .or_else(|| place.as_ref().map(|place| place.name.clone()));
                let (chip, mood) = match (place.as_ref().map(|place| place.state), member) {
                    (Some(state), _) if state != NodeState::Running => (state.word().to_owned(), "paused"),
                    (_, None) => ("not in the swarm".to_owned(), "exited"),
                    (_, Some(member)) => (
                        member.state_text().to_lowercase(),
                        if member.state == MemberState::READY { "running" } else { "exited" },
                    ),
                };
                (name.unwrap_or_default(), chip, mood)
            }
            Self::Service(service) => {
                let running = props
                    .view
                    .tasks
                    .iter()
                    .filter(|task| task.service == service.id && task.is_current() && task.state == TaskState::RUNNING)
                    .count();
                let complete = u64::try_from(running).is_ok_and(|running| running == service.desired);
                (
                    service.name.clone(),
                    format!("{running} of {}", service.desired),
                    if complete { "running" } else { "created" },
                )
            }
            Self::Task(task) => {
                let mood = match look(task) {
                    "running" => "running",
                    "failed" => "failed",
                    "coming" | "waiting" => "created",
                    _ => "exited",
                };
                (task.name.clone(), caption(task).to_owned(), mood)
            }
        }
    }

    fn facts(&self, props: &PanelProps) -> Vec<(&'static str, String)> {
        match self {
            Self::Node(member, _) => member.as_ref().map_or_else(
                || {
                    vec![(
                        "Swarm",
                        "This machine is in no swarm. Make one here, or let it join the one there is.".to_owned(),
                    )]
                },
                |member| node_facts(member, props),
            ),
            Self::Service(service) => service_facts(service, props),
            Self::Task(task) => task_facts(task, props),
        }
    }

    fn deeds(&self, props: &PanelProps) -> Vec<Deed> {
        match self {
            Self::Node(member, place) => node_deeds(member.as_deref(), place.as_ref(), props),
            Self::Service(service) => deeds::of_service(service),
            Self::Task(_) => Vec::new(),
        }
    }

    fn tasks(&self, props: &PanelProps) -> Html {
        let view = &props.view;
        match self {
            Self::Node(Some(member), _) => {
                task_list("Tasks here", view.shown_tasks().filter(|task| task.node == member.id), props)
            }
            Self::Node(None, _) => html! {},
            Self::Service(service) => task_list(
                "Tasks, with those that ended",
                view.tasks.iter().filter(|task| task.service == service.id),
                props,
            ),
            Self::Task(task) => task_list("In the same slot, newest first", view.history_of(task), props),
        }
    }
}

fn node_facts(member: &MemberView, props: &PanelProps) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Role", member.role_text().to_owned()),
        ("Availability", member.availability_text().to_owned()),
        ("Address", member.address.clone()),
        ("Why", member.message.clone()),
    ];
    if let Some(status) = raft_of(&props.view.raft, &member.id) {
        let name = |id: &str| props.view.node(id).map(|node| node.name.clone()).unwrap_or_default();
        facts.push(("Raft", format!("{}, term {}", raft_role(status.role), status.term)));
        facts.push(("Voted for", name(&status.vote)));
        facts.push(("Follows", if status.leader == member.id { String::new() } else { name(&status.leader) }));
        facts.push((
            "Log",
            format!(
                "{} entries, {} agreed on, {} carried out",
                status.last_index, status.commit_index, status.applied_index
            ),
        ));
        let votes: Vec<String> = status
            .members
            .iter()
            .filter_map(|other| Some(format!("{} {}", name(&other.node_id), if other.granted? { "yes" } else { "no" })))
            .collect();
        facts.push(("Votes", votes.join(", ")));
    }
    facts
}

fn service_facts(service: &ServiceView, props: &PanelProps) -> Vec<(&'static str, String)> {
    let ports: Vec<String> = service
        .ports
        .iter()
        .map(|port| {
            format!(
                "{} to {}/{}{}",
                port.published,
                port.target,
                port.protocol,
                if port.through_mesh { "" } else { ", only on its node" }
            )
        })
        .collect();
    let mode = match service.mode {
        ServiceMode::Replicated => format!("{} replicas wanted", service.desired),
        ServiceMode::Global => "one task on every node".to_owned(),
        ServiceMode::Job => "runs to its end".to_owned(),
    };
    let update = service.update.as_ref().map_or(String::new(), |update| {
        let (new, all) = props.view.updated(service);
        let count = if update.is_rolling() { format!(", {new} of {all} run the new image") } else { String::new() };
        let message = if update.message.is_empty() { String::new() } else { format!(" ({})", update.message) };
        format!("{}{count}{message}", update.text())
    });
    vec![("Wanted", mode), ("Image", service.image.clone()), ("Ports", ports.join("; ")), ("Update", update)]
}

fn task_facts(task: &TaskView, props: &PanelProps) -> Vec<(&'static str, String)> {
    let node = props.view.node(&task.node).map_or("none yet".to_owned(), |node| node.name.clone());
    let since = task.since.parse::<jiff::Timestamp>().map(clock).unwrap_or_default();
    let exit = if task.state > TaskState::RUNNING && !task.container.is_empty() {
        task.exit_code.to_string()
    } else {
        String::new()
    };
    let wanted =
        if task.desired == task.state { String::new() } else { crate::observe::state_word(task.desired).to_owned() };
    vec![
        ("State", format!("{} since {since}", task.state_word())),
        ("Wanted", wanted),
        ("Reason", task.error.clone()),
        ("Message", task.message.clone()),
        ("Exit code", exit),
        ("Node", node),
        ("Image", task.image.clone()),
        ("Container", crate::observe::short_id(&task.container).to_owned()),
        ("Task", task.id.clone()),
    ]
}

fn node_deeds(member: Option<&MemberView>, place: Option<&NodePlace>, props: &PanelProps) -> Vec<Deed> {
    let mut deeds = Vec::new();
    if let Some(member) = member {
        let (id, node) = (member.id.clone(), member.name.clone());
        let availability = |to| Deed::Availability { id: id.clone(), node: node.clone(), to };
        if member.state != MemberState::DOWN {
            match member.availability {
                Availability::DRAIN | Availability::PAUSE => deeds.push(availability(Availability::ACTIVE)),
                Availability::ACTIVE | Availability::EMPTY => {
                    deeds.extend([availability(Availability::DRAIN), availability(Availability::PAUSE)]);
                }
            }
        }
        deeds.push(if member.is_manager {
            Deed::Demote { id: id.clone(), node: node.clone() }
        } else {
            Deed::Promote { id: id.clone(), node: node.clone() }
        });
        if member.state == MemberState::DOWN {
            deeds.push(Deed::RemoveMember { id: id.clone(), node: node.clone() });
        } else if place.is_some_and(|place| place.state == NodeState::Running) {
            deeds.push(Deed::Leave { node: node.clone() });
        }
    }
    let Some(place) = place else { return deeds };
    let node = || place.name.clone();
    if member.is_none() && place.state == NodeState::Running {
        if props.view.nodes.is_empty() {
            deeds.push(Deed::Init { node: node() });
        } else {
            deeds.extend([false, true].map(|as_manager| Deed::Join { node: node(), as_manager }));
        }
    }
    if props.session.allows_faults().is_ok() {
        let fault = |fault| Deed::Fault { node: node(), fault };
        match place.state {
            NodeState::Running => {
                deeds.extend(
                    [Fault::Kill, Fault::Cut { other: None }, Fault::Pause, Fault::Slow { delay: 500 }].map(fault),
                );
                let others = props.places.iter().filter(|other| other.name != place.name);
                deeds.extend(others.map(|other| fault(Fault::Cut { other: Some(other.name.clone()) })));
                // Links that are cut one by one leave no mark on the node.
                deeds.push(fault(Fault::Heal));
            }
            NodeState::Slow | NodeState::Cut => deeds.extend([Fault::Heal, Fault::Kill].map(fault)),
            NodeState::Paused => deeds.extend([Fault::Resume, Fault::Kill].map(fault)),
            NodeState::Killed => deeds.extend([Fault::Heal, Fault::Remove].map(fault)),
        }
    }
    deeds
}

/// Tasks of a list, at most.
const LISTED: usize = 120;

fn task_list<'a>(title: &str, tasks: impl Iterator<Item = &'a Rc<TaskView>>, props: &PanelProps) -> Html {
    let tasks: Vec<&Rc<TaskView>> = tasks.collect();
    let more = tasks.len().saturating_sub(LISTED);
    html! {
        <>
            <h3>{ title.to_owned() }</h3>
            if tasks.is_empty() { <p class="faint">{ "None." }</p> }
            <ul class="task-list">
                { for tasks.iter().take(LISTED).map(|task| {
                    let onclick = {
                        let (on_select, id) = (props.on_select.clone(), task.id.clone());
                        Callback::from(move |_: MouseEvent| on_select.emit(Selection::Task(id.clone())))
                    };
                    let node = props.view.node(&task.node).map_or(String::new(), |node| node.name.clone());
                    html! {
                        <li key={task.id.clone()} data-ended={(!task.is_current()).to_string()}>
                            { inline_glyph(task) }
                            <button type="button" class="link" {onclick}>{ &task.name }</button>
                            <span class="what">{ format!("{} {node}", caption(task)) }</span>
                            <span class="tag">{ super::task::tag(&task.image).to_owned() }</span>
                            if !task.error.is_empty() { <span class="reason">{ &task.error }</span> }
                        </li>
                    }
                }) }
            </ul>
            if more > 0 { <p class="faint">{ format!("and {more} more") }</p> }
        </>
    }
}
