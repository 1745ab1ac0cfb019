//! The splitters between panes: dragged, or moved with the arrow keys; the place is kept.

use wasm_bindgen::JsCast as _;
use web_sys::{Element, KeyboardEvent, PointerEvent};
use yew::prelude::*;

use crate::browser;

const LEAST: f64 = 18.0;
const MOST: f64 = 78.0;
const KEY_STEP: f64 = 2.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Divide {
    /// Left from right.
    Columns,
    /// Above from below.
    Rows,
}

#[derive(Properties, PartialEq)]
pub struct SplitterProps {
    pub divide: Divide,
    /// What the splitter resizes, for screen readers.
    pub label: AttrValue,
    /// The first pane's share in percent.
    pub share: f64,
    pub on_change: Callback<f64>,
}

/// A kept share, in percent.
#[hook]
pub fn use_share(key: &'static str, initial: f64) -> (f64, Callback<f64>) {
    let share = use_state(|| browser::load::<f64>(key).map_or(initial, |share| share.clamp(LEAST, MOST)));
    let set = {
        let share = share.clone();
        Callback::from(move |value: f64| {
            let value = value.clamp(LEAST, MOST);
            browser::store(key, &value);
            share.set(value);
        })
    };
    (*share, set)
}

#[component]
pub fn Splitter(props: &SplitterProps) -> Html {
    let dragging = use_state(|| false);
    let columns = props.divide == Divide::Columns;
    let onpointerdown = {
        let dragging = dragging.clone();
        Callback::from(move |event: PointerEvent| {
            event.prevent_default();
            if let Some(element) = event.current_target().and_then(|target| target.dyn_into::<Element>().ok()) {
                // Without capture the drag ends at the first terminal that the pointer enters.
                let _ = element.set_pointer_capture(event.pointer_id());
            }
            dragging.set(true);
        })
    };
    let onpointermove = {
        let (dragging, on_change) = (dragging.clone(), props.on_change.clone());
        Callback::from(move |event: PointerEvent| {
            if !*dragging {
                return;
            }
            let element = event.current_target().and_then(|target| target.dyn_into::<Element>().ok());
            let Some(parent) = element.and_then(|element| element.parent_element()) else { return };
            let area = parent.get_bounding_client_rect();
            on_change.emit(if columns {
                (f64::from(event.client_x()) - area.left()) / area.width() * 100.0
            } else {
                (f64::from(event.client_y()) - area.top()) / area.height() * 100.0
            });
        })
    };
    let release = {
        let dragging = dragging.clone();
        Callback::from(move |_: PointerEvent| dragging.set(false))
    };
    let onkeydown = {
        let (share, on_change) = (props.share, props.on_change.clone());
        Callback::from(move |event: KeyboardEvent| {
            let share = match event.key().as_str() {
                "ArrowLeft" | "ArrowUp" => share - KEY_STEP,
                "ArrowRight" | "ArrowDown" => share + KEY_STEP,
                "Home" => LEAST,
                "End" => MOST,
                _ => return,
            };
            event.prevent_default();
            on_change.emit(share);
        })
    };
    html! {
        <div
            class="splitter" role="separator" tabindex="0"
            aria-label={props.label.clone()}
            aria-orientation={if columns { "vertical" } else { "horizontal" }}
            aria-valuemin={LEAST.to_string()} aria-valuemax={MOST.to_string()}
            aria-valuenow={format!("{:.0}", props.share)}
            data-dragging={dragging.to_string()}
            {onpointerdown} {onpointermove} onpointerup={release.clone()} onpointercancel={release} {onkeydown}
        />
    }
}
