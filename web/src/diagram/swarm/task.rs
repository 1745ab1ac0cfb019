use std::rc::Rc;

use web_sys::KeyboardEvent;
use yew::prelude::*;

use super::{
    Selection,
    glyph::{caption, glyph, look},
    layout::{CARD_HEIGHT, TILE_HEIGHT, TILE_WIDTH, shorten},
};
use crate::observe::TaskView;

/// A handler of Enter and space for what is drawn as a button.
pub(super) fn on_enter(act: impl Fn() + 'static) -> Callback<KeyboardEvent> {
    Callback::from(move |event: KeyboardEvent| {
        if matches!(event.key().as_str(), "Enter" | " ") {
            event.prevent_default();
            act();
        }
    })
}

/// The part of an image's name that tells versions apart.
pub(super) fn tag(image: &str) -> &str {
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split_once(':').map_or("latest", |(_, tag)| tag)
}

#[derive(Properties, PartialEq)]
pub(super) struct TaskProps {
    pub(super) task: Rc<TaskView>,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    /// Drawn small.
    pub(super) is_tile: bool,
    /// Its service wants another image.
    pub(super) is_old: bool,
    /// Another service is looked at.
    pub(super) is_faint: bool,
    /// How often its slot has failed before.
    pub(super) failures: usize,
    /// How many requests it has answered.
    pub(super) answers: usize,
    pub(super) is_lingering: bool,
    pub(super) is_selected: bool,
    pub(super) on_select: Callback<Selection>,
}

fn spoken(props: &TaskProps) -> String {
    let task = &props.task;
    let mut text = format!("Task {}, {}, image {}", task.name, caption(task), task.image);
    if props.is_old {
        text.push_str(" (old)");
    }
    if !task.error.is_empty() {
        text.push_str(&format!(", {}", task.error));
    }
    if props.failures > 0 {
        text.push_str(&format!(", {} failed before it", props.failures));
    }
    text
}

/// A task in its node.
#[component]
pub(super) fn Task(props: &TaskProps) -> Html {
    let task = &props.task;
    let select = {
        let (id, on_select) = (task.id.clone(), props.on_select.clone());
        move || on_select.emit(Selection::Task(id.clone()))
    };
    let onclick = {
        let select = select.clone();
        Callback::from(move |_: MouseEvent| select())
    };
    let place = format!("transform: translate({}px, {}px)", props.x, props.y);
    // Small ones are too many to tab through: their node lists them.
    let focus = if props.is_tile { "-1" } else { "0" };
    html! {
        <g class="swarm-task-place" style={place}>
            <g class="swarm-task" role="button" tabindex={focus} aria-pressed={props.is_selected.to_string()}
                data-look={look(task)} data-old={props.is_old.to_string()} data-faint={props.is_faint.to_string()}
                data-lingering={props.is_lingering.to_string()} {onclick} onkeydown={on_enter(select)}>
                <title>{ spoken(props) }</title>
                <g aria-hidden="true">{ if props.is_tile { tile(task) } else { card(props) } }</g>
            </g>
        </g>
    }
}

fn tile(task: &TaskView) -> Html {
    let slot = if task.slot == 0 { String::new() } else { task.slot.to_string() };
    html! {
        <>
            <rect class="body" width={TILE_WIDTH.to_string()} height={TILE_HEIGHT.to_string()} rx="5" />
            <g transform="translate(11 11) scale(.75)">{ glyph(task) }</g>
            <text class="slot" x={(TILE_WIDTH - 5.0).to_string()} y="15" text-anchor="end">{ slot }</text>
        </>
    }
}

fn card(props: &TaskProps) -> Html {
    let task = &props.task;
    let width = props.width;
    let tag = shorten(tag(&task.image), 52.0, 10.5);
    #[allow(clippy::cast_precision_loss)] // a short text
    let tag_width = tag.chars().count() as f64 * 6.3;
    html! {
        <>
            <rect class="body" width={width.to_string()} height={CARD_HEIGHT.to_string()} rx="7" />
            <g transform={format!("translate(18 {})", CARD_HEIGHT / 2.0)}>{ glyph(task) }</g>
            <text class="name" x="34" y="17">{ shorten(&task.name, width - if props.answers > 0 { 66.0 } else { 42.0 }, 12.0) }</text>
            if props.answers > 0 {
                <text class="answers" x={(width - 8.0).to_string()} y="17" text-anchor="end">{ format!("{}×", props.answers) }</text>
            }
            <text class="state" x="34" y="32">{ shorten(caption(task), width - 48.0 - tag_width, 11.0) }</text>
            <text class="tag" x={(width - 8.0).to_string()} y="32" text-anchor="end">{ tag }</text>
            if props.failures > 0 {
                <g class="failures" transform={format!("translate({} 1)", width - 4.0)}>
                    <circle r="8" />
                    <path d="M-2.6-2.6l5.2 5.2M2.6-2.6l-5.2 5.2" />
                </g>
            }
        </>
    }
}

#[cfg(test)]
mod tests {
    use super::tag;

    #[test]
    fn a_tag_is_what_tells_versions_apart() {
        assert_eq!(tag("nginx:1.12"), "1.12");
        assert_eq!(tag("registry:5000/team/app"), "latest");
        assert_eq!(tag("registry:5000/team/app:v2"), "v2");
    }
}
