use std::rc::Rc;

use docklab_api::models::TaskState;
use yew::prelude::*;

use super::{
    Selection,
    layout::{SERVICE_HEIGHT, shorten},
    task::on_enter,
};
use crate::observe::{ServiceMode, ServiceView, SwarmView};

/// Services with more replicas have their bar in proportion instead of one segment for each.
const SEGMENTS: usize = 40;

/// What a piece of a service's bar stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment {
    /// Runs, with the image that is wanted.
    Running,
    /// Runs, with the image from before.
    Old,
    /// On its way.
    Coming,
    /// Nothing is there.
    Missing,
}

impl Segment {
    fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Old => "old",
            Self::Coming => "coming",
            Self::Missing => "missing",
        }
    }
}

/// A service's replicas by state, as (state, how many), in order. Their sum is what is wanted, or what is there if that is
/// more.
pub(super) fn segments(service: &ServiceView, view: &SwarmView) -> Vec<(Segment, usize)> {
    let mut counts = [0usize; 3];
    for task in view.tasks.iter().filter(|task| task.service == service.id && task.is_current()) {
        counts[match (task.state == TaskState::RUNNING, task.image == service.image) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        }] += 1;
    }
    let wanted = usize::try_from(service.desired).unwrap_or(usize::MAX);
    let missing = wanted.saturating_sub(counts.iter().sum());
    let all = [
        (Segment::Running, counts[0]),
        (Segment::Old, counts[1]),
        (Segment::Coming, counts[2]),
        (Segment::Missing, missing),
    ];
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[derive(Properties, PartialEq)]
pub(super) struct ServiceProps {
    pub(super) service: Rc<ServiceView>,
    pub(super) view: Rc<SwarmView>,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) is_selected: bool,
    pub(super) on_select: Callback<Selection>,
}

/// The line under a service: what its update does, or what it is.
pub(super) fn note(service: &ServiceView, view: &SwarmView) -> (String, &'static str) {
    match &service.update {
        Some(update) if update.is_rolling() => {
            let (new, all) = view.updated(service);
            (format!("{}: {new} of {all} run {}", update.text(), service.image), "rolling")
        }
        Some(update) if update.is_paused() => (update.text().to_owned(), "paused"),
        _ => (service.image.clone(), "calm"),
    }
}

/// A service: what is wanted of it, and how much of that is there.
#[component]
pub(super) fn Service(props: &ServiceProps) -> Html {
    let (service, view) = (&*props.service, &*props.view);
    let select = {
        let (id, on_select) = (service.id.clone(), props.on_select.clone());
        move || on_select.emit(Selection::Service(id.clone()))
    };
    let onclick = {
        let select = select.clone();
        Callback::from(move |_: MouseEvent| select())
    };
    let segments = segments(service, view);
    // As the picture shows them: Docker's own number counts what runs on nodes that are down.
    let running: usize = segments
        .iter()
        .filter(|(segment, _)| matches!(segment, Segment::Running | Segment::Old))
        .map(|(_, count)| count)
        .sum();
    let (note, mood) = note(service, view);
    let ports: Vec<String> = service.ports.iter().map(|port| format!(":{}", port.published)).collect();
    let title = match service.mode {
        ServiceMode::Replicated => service.name.clone(),
        ServiceMode::Global => format!("{} (global)", service.name),
        ServiceMode::Job => format!("{} (job)", service.name),
    };
    let width = props.width;
    let count = format!("{running} of {}", service.desired);
    let spoken = format!("Service {title}, {count} running, image {}, {note}", service.image);
    let is_complete = u64::try_from(running).is_ok_and(|running| running == service.desired);
    html! {
        <g class="swarm-service" role="button" tabindex="0" aria-pressed={props.is_selected.to_string()} data-mood={mood}
            transform={format!("translate({} {})", props.x, props.y)} {onclick} onkeydown={on_enter(select)}>
            <title>{ spoken }</title>
            <g aria-hidden="true">
                <rect class="box" width={width.to_string()} height={SERVICE_HEIGHT.to_string()} rx="10" />
                <text class="name" x="14" y="24">
                    { shorten(&title, width - 150.0, 14.0) }
                    if !ports.is_empty() { <tspan class="port" dx="8">{ shorten(&ports.join(" "), 64.0, 12.0) }</tspan> }
                </text>
                <text class="count" x={(width - 14.0).to_string()} y="24" text-anchor="end" data-complete={is_complete.to_string()}>{ count }</text>
                { draw_bar(&segments, width - 28.0) }
                <text class="note" x="14" y="57">{ shorten(&note, width - 28.0, 11.5) }</text>
            </g>
        </g>
    }
}

#[allow(clippy::cast_precision_loss)] // replicas
fn draw_bar(segments: &[(Segment, usize)], width: f64) -> Html {
    let all: usize = segments.iter().map(|(_, count)| count).sum();
    let unit = width / all.max(1) as f64;
    let single = all <= SEGMENTS;
    let pieces = segments.iter().flat_map(
        |(segment, count)| {
            if single { vec![(*segment, 1); *count] } else { vec![(*segment, *count)] }
        },
    );
    let mut x = 14.0;
    let drawn: Vec<Html> = pieces
        .map(|(segment, count)| {
            let length = unit * count as f64;
            let gap = if single { 2.0 } else { 1.0 };
            let piece = html! {
                <rect class="segment" data-kind={segment.word()} x={format!("{:.2}", x + gap / 2.0)} y="33" width={format!("{:.2}", (length - gap).max(1.0))} height="9" rx="2" />
            };
            x += length;
            piece
        })
        .collect();
    html! { <g class="bar">{ for drawn.into_iter() }</g> }
}
