//! The host diagram: one machine with its kernel, and the containers that stand on it.

mod card;
mod layout;
mod table;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use yew::prelude::*;

use crate::{
    browser::{self, SizeListener},
    observe::{ContainerView, NodeView, human_size},
};
use card::Card;
use layout::{Layout, MARGIN};
pub use table::HostTable;

/// How long a removed container takes to fade; the same as `--calm` in the styles.
const LEAVING_MILLISECONDS: i32 = 320;
const FIRST_WIDTH: f64 = 720.0;

#[derive(Properties, PartialEq)]
pub struct HostDiagramProps {
    pub view: Rc<NodeView>,
    #[prop_or_default]
    pub selected: Option<String>,
    /// A container was chosen, by its ID.
    #[prop_or_default]
    pub on_select: Callback<String>,
}

/// Containers on the stage: those that are there, and those that are just leaving.
#[hook]
fn use_stage(view: &Rc<NodeView>) -> Vec<(ContainerView, bool)> {
    let leaving = use_state(Vec::<ContainerView>::new);
    let former = use_mut_ref(Vec::<ContainerView>::new);
    {
        let leaving = leaving.clone();
        use_effect_with(view.clone(), move |view| {
            let before = former.replace(view.containers.clone());
            let gone: Vec<ContainerView> = before
                .into_iter()
                .filter(|one| view.containers.iter().all(|container| container.id != one.id))
                .collect();
            if !gone.is_empty() {
                leaving.set(gone);
                browser::spawn(async move {
                    browser::sleep(LEAVING_MILLISECONDS).await;
                    leaving.set(Vec::new());
                });
            }
        });
    }
    let mut stage: Vec<(ContainerView, bool)> =
        view.containers.iter().map(|container| (container.clone(), false)).collect();
    let gone = leaving.iter().filter(|one| view.containers.iter().all(|container| container.id != one.id));
    stage.extend(gone.map(|container| (container.clone(), true)));
    stage.sort_by(|(one, _), (other, _)| one.created.cmp(&other.created));
    stage
}

#[component]
pub fn HostDiagram(props: &HostDiagramProps) -> Html {
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
    let stage = use_stage(&props.view);
    let view = &*props.view;
    let containers: Vec<&ContainerView> = stage.iter().map(|(container, _)| container).collect();
    let (width, height) = *size;
    let (layout, scale) = Layout::fitting(width, height, &containers, view);
    let (full_width, full_height) = (layout.width.to_string(), layout.height.to_string());
    html! {
        <div class="host-diagram" ref={frame}>
            <svg
                role="group" aria-label={format!("{} with {} containers", view.name, view.containers.len())}
                viewBox={format!("0 0 {full_width} {full_height}")} width={width.to_string()} height={(layout.height * scale).to_string()}
            >
                <defs>
                    <pattern id="paused-stripes" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
                        <rect width="3" height="8" fill="var(--paused-wash)" />
                    </pattern>
                </defs>
                { draw_host(view, &layout) }
                { for layout.wires.iter().map(|wire| html! {
                    <path key={wire.key.clone()} class="wire" data-kind={wire.kind} d={wire.path.clone()} />
                }) }
                { for layout.plugs.iter().map(|plug| html! {
                    <g key={format!("plug-{}", plug.label)} class="plug" transform={format!("translate({} {})", plug.x, layout.top)}>
                        <rect x="-29" y="-11" width="58" height="22" rx="11" />
                        <text y="4" text-anchor="middle">{ format!(":{}", plug.label) }</text>
                    </g>
                }) }
                { for stage.iter().zip(&layout.cards).map(|((container, leaving), place)| html! {
                    <Card
                        key={container.id.clone()} container={container.clone()} x={place.x} y={place.y}
                        width={layout.card_width} leaving={*leaving}
                        selected={props.selected.as_ref() == Some(&container.id)}
                        on_select={props.on_select.clone()}
                    />
                }) }
            </svg>
        </div>
    }
}

fn draw_host(view: &NodeView, layout: &Layout) -> Html {
    let inner = layout.width - 2.0 * MARGIN;
    let facts = &view.host;
    let kernel =
        if facts.kernel.is_empty() { "Linux kernel".to_owned() } else { format!("Linux kernel {}", facts.kernel) };
    let machine = format!("{} CPUs · {} memory", facts.cpus, human_size(facts.memory));
    let images = if view.images.is_empty() {
        "Images on disk: none yet".to_owned()
    } else {
        let tags: Vec<String> = view
            .images
            .iter()
            .map(|image| {
                let tag = if image.tag.is_empty() { "<none>" } else { &image.tag };
                let stand_in = if image.stand_in { " (stand-in)" } else { "" };
                format!("{tag}{stand_in}  {}", human_size(image.size))
            })
            .collect();
        format!("Images on disk:  {}", tags.join("   ·   "))
    };
    html! {
        <>
            <rect class="host" x={MARGIN.to_string()} y={layout.top.to_string()} width={inner.to_string()}
                height={(layout.height - layout.top - MARGIN).to_string()} rx="14" />
            <text class="host-name" x={(MARGIN + 18.0).to_string()} y={(layout.top + 34.0).to_string()}>{ &view.name }</text>
            if layout.width > 480.0 {
                <text class="host-system" x={(layout.width - MARGIN - 18.0).to_string()} y={(layout.top + 34.0).to_string()} text-anchor="end">
                    { &facts.operating_system }
                </text>
            }
            if view.containers.is_empty() {
                <g class="empty">
                    <rect x={(MARGIN + 18.0).to_string()} y={layout.cards_top.to_string()} width={(inner - 36.0).to_string()} height="120" rx="10" />
                    <text x={(layout.width / 2.0).to_string()} y={(layout.cards_top + 55.0).to_string()} text-anchor="middle">
                        { "No container runs here yet." }
                    </text>
                    <text class="faint" x={(layout.width / 2.0).to_string()} y={(layout.cards_top + 77.0).to_string()} text-anchor="middle">
                        { "What you start in a terminal appears here." }
                    </text>
                </g>
            }
            { for layout.rails.iter().map(|rail| html! {
                <g key={format!("net-{}", rail.name)} class="rail">
                    <line x1={(MARGIN + 18.0).to_string()} x2={(layout.width - MARGIN - 18.0).to_string()} y1={rail.y.to_string()} y2={rail.y.to_string()} />
                    <text x={(MARGIN + 20.0).to_string()} y={(rail.y + 15.0).to_string()}>
                        { format!("network {}  {}", rail.name, rail.subnet) }
                    </text>
                </g>
            }) }
            <text class="shelf" x={(MARGIN + 20.0).to_string()} y={layout.shelf_y.to_string()}>{ layout::shorten(&images, layout.width - 80.0) }</text>
            <rect class="kernel" x={(MARGIN + 8.0).to_string()} y={layout.kernel_y.to_string()} width={(inner - 16.0).to_string()} height="44" rx="9" />
            <text class="kernel-name" x={(MARGIN + 26.0).to_string()} y={(layout.kernel_y + 27.0).to_string()}>{ layout::shorten(&kernel, inner - 40.0) }</text>
            if layout.width > 560.0 {
                <text class="kernel-facts" x={(layout.width - MARGIN - 26.0).to_string()} y={(layout.kernel_y + 27.0).to_string()} text-anchor="end">
                    { format!("one kernel for all of them · {machine}") }
                </text>
            }
        </>
    }
}
