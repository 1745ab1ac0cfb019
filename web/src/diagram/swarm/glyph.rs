//! The shape of a task's state. Colour says the same, for those who see it.

use docklab_api::models::TaskState;
use yew::prelude::*;

use crate::observe::TaskView;

const RADIUS: f64 = 8.0;
/// New, allocated, pending, assigned, accepted, preparing, ready, starting, running.
const STATES: f64 = 9.0;

/// A slice of a circle around the origin, from twelve o'clock.
fn slice(share: f64, radius: f64) -> String {
    let angle = share * std::f64::consts::TAU;
    let (x, y) = (angle.sin() * radius, -angle.cos() * radius);
    let large = u8::from(share > 0.5);
    format!("M0 0V-{radius}A{radius} {radius} 0 {large} 1 {x:.2} {y:.2}Z")
}

/// What a task is drawn and coloured as.
pub(super) fn look(task: &TaskView) -> &'static str {
    match task.state {
        _ if task.is_stopping() => "stopping",
        TaskState::RUNNING => "running",
        TaskState::COMPLETE => "complete",
        TaskState::SHUTDOWN | TaskState::REMOVE => "shutdown",
        TaskState::FAILED | TaskState::REJECTED | TaskState::ORPHANED => "failed",
        TaskState::NEW | TaskState::ALLOCATED | TaskState::PENDING => "waiting",
        _ => "coming",
    }
}

/// The word under a task's name: what it does, and where it is ending, that it ends.
pub(super) fn caption(task: &TaskView) -> &'static str {
    if task.is_stopping() { "stopping" } else { task.state_word() }
}

/// A shape of 16 pixels around the origin: a disc that fills as the task comes up, whole when it runs; a square when it was
/// ended, a cross when it failed.
pub(super) fn glyph(task: &TaskView) -> Html {
    let ring = html! { <circle class="glyph-ring" r={RADIUS.to_string()} /> };
    let mark = |path: &'static str| html! { <path class="glyph-mark" d={path} /> };
    match look(task) {
        "running" => html! { <circle class="glyph-disc" r={RADIUS.to_string()} /> },
        "stopping" => html! { <>{ ring }<rect class="glyph-fill" x="-3" y="-3" width="6" height="6" /></> },
        "complete" => html! { <>{ ring }{ mark("M-3.6 .4l2.6 2.6 4.8-5.4") }</> },
        "shutdown" => html! { <rect class="glyph-fill" x="-6" y="-6" width="12" height="12" rx="1.5" /> },
        "failed" if task.state == TaskState::REJECTED => html! { <>{ ring }{ mark("M-4.6 4.6l9.2-9.2") }</> },
        "failed" => html! { <>{ ring }{ mark("M-3.4-3.4l6.8 6.8M3.4-3.4l-6.8 6.8") }</> },
        _ => {
            let share = f64::from(task.progress()) / STATES;
            html! { <>{ ring }<path class="glyph-fill" d={slice(share, RADIUS - 2.5)} /></> }
        }
    }
}

/// The same beside a line of text.
pub(super) fn inline_glyph(task: &TaskView) -> Html {
    html! {
        <svg class="state-glyph" viewBox="-9.5 -9.5 19 19" aria-hidden="true" data-look={look(task)}>{ glyph(task) }</svg>
    }
}

#[cfg(test)]
mod tests {
    use super::slice;

    #[test]
    fn a_slice_goes_round_with_its_share() {
        assert_eq!(slice(0.25, 8.0), "M0 0V-8A8 8 0 0 1 8.00 -0.00Z");
        assert_eq!(slice(0.75, 8.0), "M0 0V-8A8 8 0 1 1 -8.00 0.00Z");
    }
}
