//! One layer, line, lid or writable layer as SVG.

use std::collections::HashMap;

use docklab_api::LayerState;
use yew::prelude::*;

use super::{
    instruction::split_verb,
    layout::{CAP, Item, Placed, Rect, SHOWN_CHANGES, WRITABLE_HEAD, WRITABLE_LINE},
    model::{Stack, Writable},
    scene::{Mark, Scene},
    work::{Build, Outcome, Parcel, Work},
};
use crate::observe::human_size;

/// Width of a character of the monospaced small type, and of the other one.
const MONO: f64 = 6.65;
const SANS: f64 = 6.5;
/// A wide layer says again what it is, so that a part of it does too.
const REPEAT: f64 = 720.0;

/// Whether something is marked, chosen, and the one that the keyboard is at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) mark: Option<Mark>,
    pub(super) chosen: bool,
    pub(super) current: bool,
    /// Was not there before.
    pub(super) fresh: bool,
}

/// An item's name in the document.
pub(super) fn code(item: &Item) -> String {
    match item {
        Item::Layer(node) => format!("layer-{node}"),
        Item::Setting(stand, line) => format!("setting-{stand}-{line}"),
        Item::Image(stand) => format!("image-{stand}"),
        Item::Writable(container) => format!("writable-{container}"),
        Item::Ghost(stand) => format!("ghost-{stand}"),
    }
}

/// The item of a name that [`code`] gave.
pub(super) fn item(code: &str) -> Option<Item> {
    let mut parts = code.split('-');
    let kind = parts.next()?;
    let mut number = || parts.next()?.parse::<usize>().ok();
    Some(match kind {
        "layer" => Item::Layer(number()?),
        "setting" => Item::Setting(number()?, number()?),
        "image" => Item::Image(number()?),
        "writable" => Item::Writable(number()?),
        "ghost" => Item::Ghost(number()?),
        _ => return None,
    })
}

pub(super) fn size_text(bytes: u64) -> String {
    human_size(i64::try_from(bytes).unwrap_or(i64::MAX))
}

fn fit(text: &str, width: f64, character: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a pane's width
    let most = (width / character).max(1.0) as usize;
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// What all that is drawn is drawn from.
pub(super) struct Picture<'a> {
    pub(super) scene: &'a Scene,
    pub(super) work: &'a Work,
    /// Bytes of layers that higher layers hide, by the layer's key.
    pub(super) waste: &'a HashMap<u64, u64>,
}

/// Draws an item. Its key is the layer's or image's own, so that it glides to a new place.
pub(super) fn draw(picture: &Picture<'_>, placed: &Placed, look: Look, window: &Rect) -> Html {
    let Picture { scene, work, .. } = picture;
    match &placed.item {
        Item::Layer(node) => layer(picture, *node, placed, look, window),
        Item::Setting(stand, line) => setting(scene, *stand, *line, placed, look, window),
        Item::Image(stand) => lid(scene, work, *stand, placed, look),
        Item::Writable(container) => match scene.layers.containers.get(*container) {
            Some(container) => writable(container, placed, look),
            None => html! {},
        },
        Item::Ghost(_) => ghost(work.build.as_ref(), placed),
    }
}

fn frame(placed: &Placed, key: String, kind: &'static str, spoken: String, look: Look, rest: Html) -> Html {
    let Rect { x, y, .. } = placed.place;
    let name = code(&placed.item);
    let mark = look.mark.map(|mark| match mark {
        Mark::Source => "source",
        Mark::Rebuilt => "rebuilt",
    });
    html! {
        <g {key} class="layer-place" style={format!("transform: translate({x}px, {y}px)")}>
            <g id={format!("layers-{name}")} class={kind} data-item={name} role="button" data-mark={mark}
                tabindex={if look.current { "0" } else { "-1" }} aria-pressed={look.chosen.to_string()} data-fresh={look.fresh.then_some("true")}>
                <title>{ spoken }</title>
                { rest }
            </g>
        </g>
    }
}

fn rect(class: &'static str, placed: &Placed, radius: &'static str) -> Html {
    let Rect { width, height, .. } = placed.place;
    html! { <rect {class} width={width.to_string()} height={height.to_string()} rx={radius} /> }
}

/// Where labels begin on a wide item, as far as the window shows them.
fn labels(placed: &Placed, window: &Rect) -> Vec<(f64, f64)> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // some labels
    let count = (placed.place.width / REPEAT).floor().max(1.0) as u32;
    let each = placed.place.width / f64::from(count);
    (0..count)
        .map(|index| (f64::from(index) * each, each))
        .filter(|(start, each)| {
            let x = placed.place.x + start;
            x < window.x + window.width && x + each > window.x
        })
        .collect()
}

fn verb_and_rest(text: String) -> Html {
    let (verb, rest) = split_verb(&text);
    if verb.is_empty() {
        return html! { { text } };
    }
    html! { <><tspan class="verb">{ verb.to_owned() }</tspan>{ format!(" {rest}") }</> }
}

/// What the last build did with a layer.
fn outcome<'a>(work: &'a Work, diff_id: &str) -> Option<&'a Outcome> {
    let steps = &work.build.as_ref()?.steps;
    steps
        .iter()
        .find(|step| step.layer.as_ref().is_some_and(|layer| layer.diff_id == diff_id))
        .map(|step| &step.outcome)
}

fn outcome_word(outcome: Option<&Outcome>) -> Option<&'static str> {
    match outcome? {
        Outcome::Cached => Some("cached"),
        Outcome::Built(_) => Some("built"),
        Outcome::Running(_) | Outcome::Failed(_) => None,
    }
}

/// What a transfer that is going on, or the last one, says of a layer.
fn parcel<'a>(work: &'a Work, diff_id: &str) -> Option<&'a Parcel> {
    let transfer = work.transfer.as_ref().filter(|transfer| transfer.ended.is_none())?;
    transfer.parcels.iter().find(|parcel| parcel.layer.diff_id == diff_id)
}

fn travel_word(state: Option<&LayerState>) -> &'static str {
    match state {
        None | Some(LayerState::Waiting | LayerState::Retrying) => "waiting",
        Some(LayerState::Exists | LayerState::Mounted { .. }) => "there",
        Some(LayerState::Moving { .. } | LayerState::Unpacking { .. }) => "moving",
        Some(LayerState::Done) => "done",
    }
}

fn layer(picture: &Picture<'_>, index: usize, placed: &Placed, look: Look, window: &Rect) -> Html {
    let Picture { scene, work, waste } = picture;
    let Some(node) = scene.forest.nodes.get(index) else { return html! {} };
    let written = scene.forest.stands[node.stands.clone()].iter().find_map(|stand| {
        let line = scene.stack(stand).lines.iter().filter(|line| line.layer.is_some()).nth(node.depth)?;
        work.written.get(line.image.as_ref()?)
    });
    let instruction = written.unwrap_or(&node.instruction);
    let size = size_text(node.size);
    let outcome = outcome_word(outcome(work, &node.diff_id));
    let users = node.stands.len();
    let mut spoken = format!("Layer, {size}, {instruction}");
    if users > 1 {
        spoken.push_str(&format!(", shared by {users} images"));
    }
    if let Some(outcome) = outcome {
        spoken.push_str(&format!(", {outcome} in the last build"));
    }
    let wasted = waste.get(&node.key).copied().unwrap_or(0).min(node.size);
    if wasted > 0 {
        spoken.push_str(&format!(", {} of it hidden by higher layers", size_text(wasted)));
    }
    let height = placed.place.height;
    let parcel = parcel(work, &node.diff_id);
    let texts = labels(placed, window).into_iter().map(|(start, each)| {
        let room = each - 20.0;
        let size_room = f64::from(u32::try_from(size.len()).unwrap_or(9)) * SANS;
        if height >= 36.0 {
            let middle = height / 2.0;
            html! {
                <g transform={format!("translate({start} 0)")}>
                    <text class="line" x="10" y={(middle - 3.0).to_string()}>{ verb_and_rest(fit(instruction, room, MONO)) }</text>
                    <text class="size" x="10" y={(middle + 13.0).to_string()}>{ &size }
                        if let Some(word) = outcome { <tspan class="outcome" dx="8">{ word }</tspan> }
                    </text>
                </g>
            }
        } else {
            let y = (height / 2.0 + 4.0).to_string();
            html! {
                <g transform={format!("translate({start} 0)")}>
                    <text class="line" x="10" y={y.clone()}>{ verb_and_rest(fit(instruction, room - size_room - 6.0, MONO)) }</text>
                    <text class="size" x={(each - 10.0).to_string()} {y} text-anchor="end">{ &size }</text>
                </g>
            }
        }
    });
    let travel = parcel.map(|parcel| {
        let width = (placed.place.width * parcel.part()).max(0.0).to_string();
        html! { <rect class="travel" {width} height={height.to_string()} rx="4" /> }
    });
    let body = html! {
        <g data-here={node.here.to_string()} data-outcome={outcome}
            data-travel={parcel.map(|parcel| travel_word(parcel.state.as_ref()))}>
            { rect("body", placed, "4") }
            { travel }
            if wasted > 0 { { hidden_part(placed, wasted, node.size) } }
            if outcome.is_some() {
                <rect class="tally" width="3.5" height={(height - 6.0).max(2.0).to_string()} y="3" x="2.5" rx="1.7" />
            }
            <g aria-hidden="true">{ for texts }</g>
        </g>
    };
    frame(placed, format!("layer {:x}", node.key), "layer", spoken, look, body)
}

/// The part of a layer that no container can see, to scale from the right.
#[allow(clippy::cast_precision_loss)] // a part of a bar
fn hidden_part(placed: &Placed, wasted: u64, size: u64) -> Html {
    let width = (placed.place.width * wasted as f64 / size.max(1) as f64).max(3.0);
    let (x, height) = (placed.place.width - width, placed.place.height);
    html! { <rect class="wasted" x={x.to_string()} width={width.to_string()} height={height.to_string()} rx="4" /> }
}

fn setting(scene: &Scene, stand: usize, line: usize, placed: &Placed, look: Look, window: &Rect) -> Html {
    let Some((stack, found)) = scene.forest.stands.get(stand).and_then(|stand| {
        let stack = scene.stack(stand);
        Some((stack, stack.lines.get(line)?))
    }) else {
        return html! {};
    };
    let height = placed.place.height;
    let texts = labels(placed, window).into_iter().filter(|_| height >= 12.0).map(|(start, each)| {
        html! {
            <text class="line" x={(start + 10.0).to_string()} y={(height / 2.0 + 3.5).to_string()}>
                { verb_and_rest(fit(&found.instruction, each - 20.0, 5.7)) }
            </text>
        }
    });
    let body = html! { <>{ rect("body", placed, "2") }<g aria-hidden="true">{ for texts }</g></> };
    let spoken = format!("{}, changes the configuration only: no layer", found.instruction);
    frame(placed, format!("setting {} {line}", stack.id), "setting", spoken, look, body)
}

fn lid(scene: &Scene, work: &Work, index: usize, placed: &Placed, look: Look) -> Html {
    let Some(stand) = scene.forest.stands.get(index) else { return html! {} };
    let stack = scene.stack(stand);
    let (name, below, kind) = if stack.building {
        building(work.build.as_ref())
    } else {
        let (whole, own) = (stack.size(), scene.own_size(index));
        let long = match own {
            0 => format!("{} · all shared", size_text(whole)),
            own if own == whole => size_text(whole),
            own => format!("{} · {} its own", size_text(whole), size_text(own)),
        };
        let room = placed.place.width - 20.0;
        let below = if fit(&long, room, SANS - 0.6) == long { long } else { size_text(whole) };
        (lid_name(stack, placed.place.width), below, "lid")
    };
    let spoken = format!("Image {}, {}, {} layers", stack.name(), size_text(stack.size()), stack.layers().count());
    let room = placed.place.width - 20.0;
    let body = html! {
        <g data-kind={kind}>
            { rect("body", placed, "9") }
            <g aria-hidden="true">
                <text class="name" x="10" y="17">{ ending(&name, room, SANS + 0.4) }</text>
                <text class="size" x="10" y={(CAP - 9.0).to_string()}>{ fit(&below, room, SANS - 0.6) }</text>
            </g>
        </g>
    };
    frame(placed, format!("image {}", stack.id), "image-lid", spoken, look, body)
}

/// The tag, as much of it as there is room for: the end tells more than the beginning.
fn lid_name(stack: &Stack, width: f64) -> String {
    let mut name = match stack.tags.as_slice() {
        [] => "<none>".to_owned(),
        [tag, more @ ..] => {
            let tag = tag.strip_suffix(":latest").unwrap_or(tag);
            if more.is_empty() { tag.to_owned() } else { format!("{tag} +{}", more.len()) }
        }
    };
    if stack.stand_in && width > 200.0 {
        name.push_str(" (stand-in)");
    }
    name
}

fn building(build: Option<&Build>) -> (String, String, &'static str) {
    let Some(build) = build else { return ("building…".to_owned(), String::new(), "building") };
    let name = build.tags.first().map_or("image", |tag| tag.strip_suffix(":latest").unwrap_or(tag));
    let number = build.steps.last().map_or(0, |step| step.number);
    match &build.ended {
        Some(Err(_)) => (name.to_owned(), format!("failed at step {number} of {}", build.total), "failed"),
        _ => (format!("building {name}"), format!("step {number} of {}", build.total), "building"),
    }
}

fn ghost(build: Option<&Build>, placed: &Placed) -> Html {
    let Some(step) = build.and_then(Build::current) else { return html! {} };
    let failed = matches!(step.outcome, Outcome::Failed(_));
    let Rect { x, y, width, height } = placed.place;
    html! {
        <g key="ghost" class="layer-place" style={format!("transform: translate({x}px, {y}px)")}>
            <g class="ghost" data-failed={failed.to_string()}>
                <rect class="body" width={width.to_string()} height={height.to_string()} rx="4" />
                <text class="line" x="10" y={(height / 2.0 + 4.0).to_string()}>
                    { verb_and_rest(fit(&step.instruction, width - 20.0, MONO)) }
                </text>
            </g>
        </g>
    }
}

fn writable(container: &Writable, placed: &Placed, look: Look) -> Html {
    let width = placed.place.width;
    let state = container.state.as_str();
    let (spoken_changes, lines) = match &container.changes {
        None => ("its changes are not known".to_owned(), Vec::new()),
        Some(changes) if changes.is_empty() => ("nothing written".to_owned(), Vec::new()),
        Some(changes) => (format!("{} files changed", changes.len()), changes.clone()),
    };
    let spoken = format!("Writable layer of container {}, {state}, {spoken_changes}", container.name);
    let shown = if lines.len() > SHOWN_CHANGES + 1 { SHOWN_CHANGES } else { lines.len() };
    let row = |index: usize| WRITABLE_HEAD + f64::from(u32::try_from(index).unwrap_or(0)) * WRITABLE_LINE + 9.0;
    let room = width - 34.0;
    let rows = lines.iter().take(shown).enumerate().map(|(index, change)| {
        let kind = change.kind.to_string();
        html! {
            <g key={format!("{kind} {}", change.path)} class="change" data-kind={kind.clone()}>
                <text class="kind" x="10" y={row(index).to_string()}>{ kind }</text>
                <text class="path" x="24" y={row(index).to_string()}>{ ending(&change.path, room, MONO) }</text>
            </g>
        }
    });
    let more = lines.len() - shown;
    let remark = match &container.changes {
        None => Some("not looked into yet".to_owned()),
        Some(changes) if changes.is_empty() => Some("nothing written yet".to_owned()),
        Some(_) if more > 0 => Some(format!("and {more} more")),
        Some(_) => None,
    };
    let body = html! {
        <g data-state={state}>
            { rect("body", placed, "7") }
            <g aria-hidden="true">
                <circle class="lamp" cx="14" cy="13" r="4" />
                <text class="name" x="24" y="17">{ fit(&container.name, width - 34.0, SANS + 0.2) }</text>
                { for rows }
                if let Some(remark) = remark {
                    <text class="remark" x="10" y={row(shown).to_string()}>{ fit(&remark, width - 20.0, 5.6) }</text>
                }
            </g>
        </g>
    };
    frame(placed, format!("container {}", container.id), "writable", spoken, look, body)
}

/// The end of a path or tag: a file's name tells more than where it lies, a tag more than whose it is.
fn ending(path: &str, width: f64, character: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a column's width
    let most = (width / character).max(4.0) as usize;
    let count = path.chars().count();
    if count <= most {
        return path.to_owned();
    }
    std::iter::once('…').chain(path.chars().skip(count - most + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_have_names_that_lead_back_to_them() {
        for one in [Item::Layer(3), Item::Setting(2, 5), Item::Image(1), Item::Writable(0), Item::Ghost(4)] {
            assert_eq!(item(&code(&one)), Some(one));
        }
        assert_eq!(item("layer-x"), None);
    }

    #[test]
    fn long_texts_keep_what_tells_most() {
        assert_eq!(fit("RUN pip install flask", 70.0, 7.0), "RUN pip i…");
        assert_eq!(ending("/var/lib/data/file.txt", 70.0, MONO), "…/file.txt");
    }
}
