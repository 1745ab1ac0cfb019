use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use web_sys::KeyboardEvent;
use yew::prelude::*;

use super::{
    draw::{self, Look, Picture},
    layout::{Direction, Item, Layout, Rect},
    scene::{Choice, Marks, Scene},
    work::Work,
};
use crate::browser::{self, SizeListener};

/// Before the pane is measured, and where there is no browser.
const FIRST_SIZE: (f64, f64) = (640.0, 420.0);
/// The picture is drawn this far beyond what can be seen, and drawn again after this way of scrolling.
const BEYOND: f64 = 320.0;
const TILE: f64 = 160.0;
/// More things than this do not rise into place when the diagram is opened.
const QUIET: usize = 40;

#[derive(Properties, PartialEq)]
pub(super) struct StageProps {
    pub(super) scene: Rc<Scene>,
    pub(super) work: Rc<Work>,
    /// What is pointed at, here or in the panel.
    pub(super) pointed: Option<Item>,
    pub(super) choice: Option<Choice>,
    /// Bytes of layers that higher layers hide, by the layer's key.
    pub(super) waste: HashMap<u64, u64>,
    pub(super) on_point: Callback<Option<Item>>,
    pub(super) on_choose: Callback<Item>,
}

/// The item that an event happened on.
fn item_at(event: &Event) -> Option<Item> {
    let element = event.target_dyn_into::<web_sys::Element>()?.closest("[data-item]").ok()??;
    draw::item(&element.get_attribute("data-item")?)
}

fn tile(at: f64) -> f64 {
    (at / TILE).floor() * TILE
}

fn is_chosen(scene: &Scene, item: &Item, choice: Option<&Choice>) -> bool {
    match (item, choice) {
        (Item::Layer(node), Some(Choice::Layer(key))) => {
            scene.forest.nodes.get(*node).is_some_and(|node| node.key == *key)
        }
        (Item::Image(stand), Some(Choice::Image(id))) => {
            scene.forest.stands.get(*stand).is_some_and(|stand| scene.stack(stand).id == *id)
        }
        (Item::Writable(one), Some(Choice::Container(id))) => {
            scene.layers.containers.get(*one).is_some_and(|one| one.id == *id)
        }
        _ => false,
    }
}

/// The stacks. One stop of the tab key; arrows walk from layer to layer, Enter chooses.
#[component]
pub(super) fn Stage(props: &StageProps) -> Html {
    let frame = use_node_ref();
    let size = use_state_eq(|| FIRST_SIZE);
    let scrolled = use_state_eq(|| (0.0, 0.0));
    // What the keyboard is at, with the column it came by.
    let current = use_state_eq(|| (Item::Image(0), 0_usize));
    let wants_focus = use_mut_ref(|| false);
    {
        let size = size.clone();
        use_effect_with(frame.clone(), move |frame| {
            let listener = frame.cast::<web_sys::Element>().and_then(|element| {
                SizeListener::new(&element, move |width, height| size.set((width.max(240.0), height)))
            });
            move || drop(listener)
        });
    }
    let layout = use_memo((props.scene.clone(), *size), |(scene, (width, height))| {
        // Two pixels less: no scroll bar for a rounding.
        Layout::new(&scene.layers, &scene.forest, *width, height - 2.0)
    });
    {
        let (code, wants_focus) = (draw::code(&current.0), wants_focus.clone());
        use_effect(move || {
            if wants_focus.replace(false)
                && let Some(element) = browser::window()
                    .and_then(|window| window.document())
                    .and_then(|document| document.get_element_by_id(&format!("layers-{code}")))
                && let Ok(element) = wasm_bindgen::JsCast::dyn_into::<web_sys::SvgElement>(element)
            {
                // Without focus the arrows still show what they are at.
                let _ = element.focus();
            }
        });
    }
    let known = use_mut_ref(HashSet::<u64>::new);
    let fresh = use_memo(props.scene.clone(), |scene| {
        let now = scene.identities();
        let before = known.replace(now.clone());
        // A picture that is large from the beginning is simply there.
        if before.is_empty() && now.len() > QUIET { HashSet::new() } else { now.difference(&before).copied().collect() }
    });
    let onscroll = {
        let scrolled = scrolled.clone();
        Callback::from(move |event: Event| {
            if let Some(element) = event.target_dyn_into::<web_sys::Element>() {
                scrolled.set((tile(f64::from(element.scroll_left())), tile(f64::from(element.scroll_top()))));
            }
        })
    };
    let point = |on_point: &Callback<Option<Item>>| on_point.clone();
    let onmouseover = {
        let on_point = point(&props.on_point);
        Callback::from(move |event: MouseEvent| on_point.emit(item_at(&event)))
    };
    let onmouseleave = {
        let on_point = point(&props.on_point);
        Callback::from(move |_: MouseEvent| on_point.emit(None))
    };
    let onfocusin = {
        let (on_point, current) = (point(&props.on_point), current.clone());
        Callback::from(move |event: FocusEvent| {
            if let Some(item) = item_at(&event) {
                current.set((item.clone(), current.1));
                on_point.emit(Some(item));
            }
        })
    };
    let onfocusout = {
        let on_point = point(&props.on_point);
        Callback::from(move |_: FocusEvent| on_point.emit(None))
    };
    let onclick = {
        let on_choose = props.on_choose.clone();
        Callback::from(move |event: MouseEvent| {
            if let Some(item) = item_at(&event) {
                on_choose.emit(item);
            }
        })
    };
    let onkeydown = {
        let (on_choose, current, layout) = (props.on_choose.clone(), current.clone(), layout.clone());
        let (frame, scrolled) = (frame.clone(), scrolled.clone());
        Callback::from(move |event: KeyboardEvent| {
            let direction = match event.key().as_str() {
                "Enter" | " " => {
                    if let Some(item) = item_at(&event) {
                        event.prevent_default();
                        on_choose.emit(item);
                    }
                    return;
                }
                "ArrowUp" => Direction::Up,
                "ArrowDown" => Direction::Down,
                "ArrowLeft" => Direction::Left,
                "ArrowRight" => Direction::Right,
                _ => return,
            };
            event.prevent_default();
            let Some((next, column)) = layout.neighbour(&current.0, current.1, direction) else { return };
            if let (Some(element), Some(placed)) = (frame.cast::<web_sys::Element>(), layout.find(&next)) {
                reveal(&element, &placed.place);
                scrolled.set((tile(f64::from(element.scroll_left())), tile(f64::from(element.scroll_top()))));
            }
            wants_focus.replace(true);
            current.set((next, column));
        })
    };
    let scene = &*props.scene;
    let (width, height) = *size;
    let window = Rect {
        x: scrolled.0 - BEYOND,
        y: scrolled.1 - BEYOND,
        width: width + 2.0 * BEYOND + TILE,
        height: height + 2.0 * BEYOND + TILE,
    };
    let marks = Marks::of(scene, &layout, props.pointed.as_ref());
    // The tab key must find something although what it was at has gone.
    let at = layout.find(&current.0).or_else(|| layout.items.iter().find(|one| matches!(one.item, Item::Image(_))));
    let at = at.or_else(|| layout.items.first()).map(|placed| placed.item.clone());
    let picture = Picture { scene, work: &props.work, waste: &props.waste };
    let items = layout.visible(&window).map(|placed| {
        let look = Look {
            mark: marks.of_item(scene, &placed.item, &placed.columns),
            chosen: is_chosen(scene, &placed.item, props.choice.as_ref()),
            current: at.as_ref() == Some(&placed.item),
            fresh: scene.identity(&placed.item).is_some_and(|identity| fresh.contains(&identity)),
        };
        draw::draw(&picture, placed, look, &window)
    });
    let ground = layout.ground();
    let stored = draw::size_text(scene.forest.stored());
    let caption = match scene.layers.stacks.len() {
        1 => format!("1 image, {stored} on the disk"),
        count => format!("{count} images, {stored} on the disk: shared layers are stored once"),
    };
    html! {
        <div class="layer-stage" ref={frame} {onscroll}>
            <svg width={layout.width.to_string()} height={layout.height.to_string()}
                role="group" aria-label={format!("Stacks of layers on {}. Arrow keys walk from layer to layer, Enter opens one.", scene.layers.node)}
                data-pointed={marks.any().to_string()}
                {onmouseover} {onmouseleave} {onfocusin} {onfocusout} {onclick} {onkeydown}>
                <defs>
                    <pattern id="setting-hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
                        <rect width="1.4" height="5" fill="var(--layer-hatch)" />
                    </pattern>
                    <pattern id="rebuilt-hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
                        <rect width="7" height="7" fill="var(--miss-wash)" /><rect width="1.2" height="7" fill="var(--miss)" opacity="0.16" />
                    </pattern>
                    <pattern id="waste-hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)">
                        <rect width="1.6" height="5" fill="var(--file-deleted)" opacity="0.55" />
                    </pattern>
                </defs>
                <line class="ground" x1="0" x2={layout.width.to_string()} y1={(ground + 0.5).to_string()} y2={(ground + 0.5).to_string()} />
                <text class="ground-text" x={(scrolled.0 + 18.0).to_string()} y={(ground + 19.0).to_string()}>{ caption }</text>
                { for items }
            </svg>
        </div>
    }
}

/// Scrolls as little as needed to bring a place into view.
#[allow(clippy::cast_possible_truncation)] // scroll positions are whole pixels
fn reveal(element: &web_sys::Element, place: &Rect) {
    const AROUND: f64 = 24.0;
    let fit = |from: f64, room: f64, start: f64, length: f64| {
        if length + 2.0 * AROUND > room || start - AROUND < from {
            // What is larger than the pane stays where it is as long as a part of it is seen.
            if length + 2.0 * AROUND > room && start < from + room && start + length > from {
                from
            } else {
                start - AROUND
            }
        } else if start + length + AROUND > from + room {
            start + length + AROUND - room
        } else {
            from
        }
    };
    let left = f64::from(element.scroll_left());
    let top = f64::from(element.scroll_top());
    element.set_scroll_left(fit(left, f64::from(element.client_width()), place.x, place.width) as i32);
    element.set_scroll_top(fit(top, f64::from(element.client_height()), place.y, place.height) as i32);
}
