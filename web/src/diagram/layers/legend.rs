use yew::prelude::*;

use super::layout::Scale;

/// What heights and patterns mean.
#[component]
pub(super) fn Legend() -> Html {
    // The steps between the heights are what counts; they are drawn at one size.
    let scale = Scale { least: 3.0, decade: 3.0, setting: 0.0 };
    let bars = [("1 kB", 1_000), ("1 MB", 1_000_000), ("100 MB", 100_000_000)];
    html! {
        <ul class="layer-legend" aria-label="Legend">
            <li class="scale" title="Each step of height is ten times the bytes">
                { for bars.map(|(label, bytes)| html! { <span><i style={format!("height: {:.0}px", scale.height(bytes))} />{ label }</span> }) }
                <span class="hidden-text">{ "Each step of height is ten times the bytes." }</span>
            </li>
            <li><i class="swatch" data-kind="pulled" />{ "layer" }</li>
            <li><i class="swatch" data-kind="here" />{ "built here" }</li>
            <li><i class="swatch" data-kind="setting" />{ "no layer" }</li>
            <li><i class="swatch" data-kind="writable" />{ "writable" }</li>
            <li><b data-kind="A">{ "A" }</b>{ "added" }</li>
            <li><b data-kind="C">{ "C" }</b>{ "changed" }</li>
            <li><b data-kind="D">{ "D" }</b>{ "deleted" }</li>
        </ul>
    }
}
