//! Time as it can be stopped, and time as it was.

use std::rc::Rc;

use jiff::tz::TimeZone;
use wasm_bindgen::JsCast as _;
use web_sys::HtmlInputElement;
use yew::prelude::*;

use crate::{icons::Icon, observe::Recording, session::SharedSession};

const SPEEDS: [(f64, &str); 3] = [(1.0, "1×"), (5.0, "5×"), (25.0, "25×")];

#[derive(Properties, PartialEq)]
pub(super) struct TimeBarProps {
    pub(super) session: SharedSession,
    pub(super) recording: Rc<Recording>,
    /// The moment that is looked back at; `None` is now.
    pub(super) moment: Option<usize>,
    /// A moment's number, or now.
    pub(super) on_moment: Callback<Option<usize>>,
}

pub(super) fn clock(at: jiff::Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%H:%M:%S").to_string()
}

#[component]
pub(super) fn TimeBar(props: &TimeBarProps) -> Html {
    html! {
        <div class="time-bar">
            <Tempo session={props.session.clone()} />
            if props.recording.len() > 1 { { scrubber(props) } }
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct TempoProps {
    session: SharedSession,
}

/// Stops simulated time, lets it go on by single steps, or faster.
#[component]
fn Tempo(props: &TempoProps) -> Html {
    // What the session says; a change of speed makes it be asked again.
    let asked = use_state(|| 0_u32);
    let note = use_state(String::new);
    let Some(time) = props.session.time() else { return html! {} };
    let speed = time.speed();
    let set = |to: f64| {
        let (session, asked, note) = (props.session.clone(), asked.clone(), note.clone());
        Callback::from(move |_: MouseEvent| {
            if let Some(time) = session.time() {
                time.set_speed(to);
            }
            note.set(String::new());
            asked.set(*asked + 1);
        })
    };
    let step = {
        let (session, asked, note) = (props.session.clone(), asked.clone(), note.clone());
        Callback::from(move |_: MouseEvent| {
            if let Some(time) = session.time() {
                time.set_speed(0.0);
                note.set(format!("{:.1} s later", time.step().as_secs_f64()));
            }
            asked.set(*asked + 1);
        })
    };
    let is_stopped = speed == 0.0;
    html! {
        <span class="tempo" role="group" aria-label="Simulated time">
            <button type="button" class="bar-button" onclick={set(if is_stopped { 1.0 } else { 0.0 })}
                aria-label={if is_stopped { "Let time go on" } else { "Stop time" }} title={if is_stopped { "Let time go on" } else { "Stop time" }}>
                { if is_stopped { Icon::Play.draw() } else { Icon::Pause.draw() } }
            </button>
            <button type="button" class="bar-button" onclick={step} aria-label="One step: to the next change of the swarm"
                title="One step: to the next change of the swarm">{ Icon::Step.draw() }</button>
            <span class="segments" role="group" aria-label="Speed">
                { for SPEEDS.iter().map(|(speed_of, label)| html! {
                    <button type="button" key={*label} aria-pressed={((speed - speed_of).abs() < 0.01).to_string()} onclick={set(*speed_of)}>{ *label }</button>
                }) }
            </span>
            <span class="time-note" role="status">{ if is_stopped && note.is_empty() { "time stands still" } else { note.as_str() } }</span>
        </span>
    }
}

fn scrubber(props: &TimeBarProps) -> Html {
    let recording = &props.recording;
    let last = recording.len().saturating_sub(1);
    let index = props.moment.map_or(last, |number| recording.index(number));
    let oninput = {
        let (recording, on_moment) = (recording.clone(), props.on_moment.clone());
        Callback::from(move |event: InputEvent| {
            let input = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok());
            let Some(index) = input.and_then(|input| input.value().parse::<usize>().ok()) else { return };
            on_moment.emit((index + 1 < recording.len()).then(|| recording.number(index)));
        })
    };
    let live = {
        let on_moment = props.on_moment.clone();
        Callback::from(move |_: MouseEvent| on_moment.emit(None))
    };
    let told = recording.get(index).map(|moment| format!("{}: {}", clock(moment.at), moment.news.join(", ")));
    html! {
        <span class="scrubber">
            <input type="range" min="0" max={last.to_string()} value={index.to_string()} {oninput}
                aria-label="Look back" aria-valuetext={told} />
            <button type="button" class="bar-button live" aria-pressed={props.moment.is_none().to_string()} onclick={live}>{ "Now" }</button>
        </span>
    }
}
