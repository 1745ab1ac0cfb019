use std::rc::Rc;

use yew::prelude::*;

use super::{
    draw::size_text,
    instruction::split_verb,
    layout::Item,
    look_inside::{Inside, Insides, LARGEST},
    model::{Line, Stack},
    scene::{Choice, Scene, cost_of, own_lines},
    work::{Build, Outcome, Work},
};

#[derive(Properties, PartialEq)]
pub(super) struct LinesCardProps {
    pub(super) scene: Rc<Scene>,
    pub(super) work: Rc<Work>,
    /// The stand whose image is shown.
    pub(super) stand: usize,
    pub(super) pointed: Option<Item>,
    pub(super) insides: Insides,
    /// Reads the files of an image.
    pub(super) on_read: Callback<String>,
    pub(super) on_point: Callback<Option<Item>>,
    pub(super) on_choose: Callback<Choice>,
}

/// The build that made an image, or is making it.
fn build_of<'a>(stack: &Stack, work: &'a Work) -> Option<&'a Build> {
    let build = work.build.as_ref()?;
    let made = matches!(&build.ended, Some(Ok(image)) if *image == stack.id);
    (made || stack.building).then_some(build)
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

/// One sentence about a build.
pub(super) fn summary(build: &Build) -> String {
    let cached = build.steps.iter().filter(|step| step.outcome == Outcome::Cached).count();
    let miss = build.first_miss();
    match &build.ended {
        None => match build.steps.last() {
            Some(step) => format!("Building: step {} of {}.", step.number, build.total),
            None => "Building…".to_owned(),
        },
        Some(Err(_)) => {
            let step = build.steps.last().map_or(0, |step| step.number);
            format!("The build failed at step {step} of {}. The steps before it stay in the cache.", build.total)
        }
        Some(Ok(_)) => match miss {
            None if cached == 0 => "Built.".to_owned(),
            None => "Every step came from the cache: nothing was built.".to_owned(),
            Some((step, why)) => {
                format!("{} from the cache, then step {step} had to be built: {why}.", plural(cached, "step"))
            }
        },
    }
}

/// An image as the Dockerfile that it came from, each line with its layer, and with what the last build did with it.
#[component]
pub(super) fn LinesCard(props: &LinesCardProps) -> Html {
    let scene = &props.scene;
    let Some(stand) = scene.forest.stands.get(props.stand) else { return html! {} };
    let stack = scene.stack(stand);
    let base = scene.base_of(stand);
    let own = own_lines(stack, base.map(Rc::as_ref));
    let build = build_of(stack, &props.work);
    let largest = stack.layers().map(|layer| layer.size).max().unwrap_or(1).max(1);
    let pointed = props.pointed.as_ref().and_then(|item| scene.line_of(props.stand, item));
    let point = |item: Option<Item>| {
        let on_point = props.on_point.clone();
        move || on_point.emit(item.clone())
    };
    let row = |index: usize, line: &Line| {
        let item = scene.item_of(props.stand, index);
        let choose = {
            let on_choose = props.on_choose.clone();
            let key = match item {
                Item::Layer(node) => scene.forest.nodes.get(node).map(|node| node.key),
                _ => None,
            };
            Callback::from(move |_: MouseEvent| {
                if let Some(key) = key {
                    on_choose.emit(Choice::Layer(key));
                }
            })
        };
        let (enter, leave) = (point(Some(item)), point(None));
        let (focus, blur) = (enter.clone(), leave.clone());
        let mark = pointed.and_then(|pointed| match index {
            _ if index == pointed => Some("source"),
            _ if index > pointed => Some("rebuilt"),
            _ => None,
        });
        let text = line.image.as_ref().and_then(|image| props.work.written.get(image)).unwrap_or(&line.instruction);
        let outcome = build.and(line.image.as_ref()).and_then(|image| props.work.outcome(image));
        let first = build.and_then(Build::first_miss).map(|(step, _)| step);
        html! {
            <li key={index}>
                <button type="button" class="line-row" data-mark={mark} data-layer={line.layer.is_some().to_string()} data-outcome={outcome_name(outcome)}
                    onclick={choose} onmouseenter={Callback::from(move |_: MouseEvent| enter())} onmouseleave={Callback::from(move |_: MouseEvent| leave())}
                    onfocus={Callback::from(move |_: FocusEvent| focus())} onblur={Callback::from(move |_: FocusEvent| blur())}>
                    { line_text(text) }
                    { weight(line, largest) }
                    { verdict(outcome, build, first) }
                </button>
            </li>
        }
    };
    let running = build.filter(|_| stack.building).and_then(Build::current);
    html! {
        <section class="layer-card" aria-label={format!("Lines of {}", stack.name())}>
            <header>
                <h2>{ card_name(stack, build) }</h2>
                <p>{ format!("{} in {}, {} its own", size_text(stack.size()), plural(stack.layers().count(), "layer"), size_text(scene.own_size(props.stand))) }</p>
                if let Some(build) = build { <p class="build-summary" role="status">{ summary(build) }</p> }
            </header>
            <ol class="lines">
                if let Some(base) = base {
                    { base_row(props, stand.top, base, pointed, own.start) }
                }
                { for stack.lines[own.clone()].iter().enumerate().map(|(offset, line)| row(own.start + offset, line)) }
                if let Some(step) = running {
                    <li key="running">
                        <div class="line-row" data-outcome={outcome_name(Some(&step.outcome))}>
                            { line_text(&step.instruction) }
                            <span class="line-weight" />
                            { verdict(Some(&step.outcome), build, build.and_then(Build::first_miss).map(|(step, _)| step)) }
                        </div>
                    </li>
                }
            </ol>
            <p class="rebuild-hint" data-active={pointed.is_some().to_string()}>{ hint(stack, pointed, own.start) }</p>
            if !stack.building { { waste(props, stack) } }
        </section>
    }
}

/// How many bytes of an image no container can see, and of which files.
fn waste(props: &LinesCardProps, stack: &Stack) -> Html {
    let read = {
        let (on_read, id) = (props.on_read.clone(), stack.id.clone());
        Callback::from(move |_: MouseEvent| on_read.emit(id.clone()))
    };
    match props.insides.get(&stack.id) {
        None if stack.size() > LARGEST => html! {},
        None => {
            html! { <p><button type="button" class="button" data-kind="quiet" onclick={read}>{ "Look for wasted bytes" }</button></p> }
        }
        Some(Inside::Reading(bytes)) => html! {
            <p class="faint" role="status"><span class="spinner" aria-hidden="true" />{ format!("Reading the layers… {}", size_text(*bytes)) }</p>
        },
        Some(Inside::Failed(reason)) => html! { <p class="trouble">{ reason }</p> },
        Some(Inside::Known(files)) if files.waste.is_empty() => html! {
            <p class="faint">{ "No byte is wasted: no layer hides a file of another." }</p>
        },
        Some(Inside::Known(files)) => html! {
            <div class="waste">
                <p>{ format!("{} wasted in {}: higher layers hide them, and they still travel.", size_text(files.wasted()), plural(files.waste.len(), "file")) }</p>
                <ul>{ for files.waste.iter().take(4).map(|one| html! {
                    <li><code>{ format!("/{}", one.path) }</code>{ format!(" {}", size_text(one.size)) }</li>
                }) }</ul>
            </div>
        },
    }
}

fn card_name(stack: &Stack, build: Option<&Build>) -> String {
    match build.filter(|_| stack.building).and_then(|build| build.tags.first()) {
        Some(tag) => tag.clone(),
        None => stack.name(),
    }
}

fn base_row(props: &LinesCardProps, top: Option<usize>, base: &Stack, pointed: Option<usize>, own: usize) -> Html {
    let scene = &props.scene;
    // The base image's own topmost layer: what stands on it is this image's.
    let depth = base.layers().count();
    let stand = props.stand;
    let item = scene
        .forest
        .stands
        .get(stand)
        .filter(|_| top.is_some() && depth > 0)
        .and_then(|stand| scene.forest.chain(stand).get(depth - 1).copied().map(Item::Layer));
    let choose = {
        let (on_choose, id) = (props.on_choose.clone(), base.id.clone());
        Callback::from(move |_: MouseEvent| on_choose.emit(Choice::Image(id.clone())))
    };
    let point = |item: Option<Item>| {
        let on_point = props.on_point.clone();
        move || on_point.emit(item.clone())
    };
    let (enter, leave) = (point(item), point(None));
    let (focus, blur) = (enter.clone(), leave.clone());
    let mark = pointed.filter(|pointed| *pointed < own).map(|_| "source");
    html! {
        <li key="base">
            <button type="button" class="line-row" data-base="true" data-mark={mark} onclick={choose}
                onmouseenter={Callback::from(move |_: MouseEvent| enter())} onmouseleave={Callback::from(move |_: MouseEvent| leave())}
                onfocus={Callback::from(move |_: FocusEvent| focus())} onblur={Callback::from(move |_: FocusEvent| blur())}>
                { line_text(&format!("FROM {}", base.tags.first().map_or("", |tag| tag.as_str()))) }
                <span class="line-weight"><span>{ size_text(base.size()) }</span></span>
                <span class="verdict">{ plural(base.layers().count(), "layer") }</span>
            </button>
        </li>
    }
}

fn line_text(text: &str) -> Html {
    let (verb, rest) = split_verb(text);
    html! { <code class="line-text"><b>{ verb.to_owned() }</b>{ if verb.is_empty() { "" } else { " " } }{ rest.to_owned() }</code> }
}

#[allow(clippy::cast_precision_loss)] // a bar
fn weight(line: &Line, largest: u64) -> Html {
    match &line.layer {
        Some(layer) => {
            let part = (layer.size as f64 / largest as f64 * 100.0).max(1.0);
            html! { <span class="line-weight"><span>{ size_text(layer.size) }</span><i class="bar" style={format!("width: {part:.1}%")} /></span> }
        }
        None => html! { <span class="line-weight" data-setting="true"><span>{ "no layer" }</span></span> },
    }
}

fn outcome_name(outcome: Option<&Outcome>) -> Option<&'static str> {
    outcome.map(|outcome| match outcome {
        Outcome::Cached => "cached",
        Outcome::Built(_) => "built",
        Outcome::Running(_) => "running",
        Outcome::Failed(_) => "failed",
    })
}

fn verdict(outcome: Option<&Outcome>, build: Option<&Build>, first: Option<u32>) -> Html {
    let reason = |why: &docklab_api::CacheMiss| match why {
        docklab_api::CacheMiss::Follows { step } => html! { <>{ format!(", as step {step} changed") }</> },
        why => {
            let is_first = build.and_then(Build::first_miss).is_some_and(|(step, _)| Some(step) == first);
            html! { <>{ ": " }<em data-first={is_first.to_string()}>{ why.to_string() }</em></> }
        }
    };
    match outcome {
        None => html! {},
        Some(Outcome::Cached) => html! { <span class="verdict">{ "from the cache" }</span> },
        Some(Outcome::Built(None)) => html! { <span class="verdict">{ "built" }</span> },
        Some(Outcome::Built(Some(why))) => html! { <span class="verdict">{ "built" }{ reason(why) }</span> },
        Some(Outcome::Running(None)) => {
            html! { <span class="verdict"><span class="spinner" aria-hidden="true" />{ "looking in the cache" }</span> }
        }
        Some(Outcome::Running(Some(why))) => {
            html! { <span class="verdict"><span class="spinner" aria-hidden="true" />{ "building" }{ reason(why) }</span> }
        }
        Some(Outcome::Failed(error)) => html! { <span class="verdict">{ error }</span> },
    }
}

/// What changing a line costs.
fn hint(stack: &Stack, pointed: Option<usize>, own: usize) -> String {
    let Some(pointed) = pointed else {
        return "Point at a line to see what a change of it would rebuild.".to_owned();
    };
    let from = pointed.max(own);
    let (lines, bytes) = cost_of(stack, from);
    let bytes = size_text(bytes);
    if pointed < own {
        return match lines {
            0 => "Another base image would rebuild this image.".to_owned(),
            lines => format!("Another base image would rebuild all {}: {bytes}.", plural(lines, "line")),
        };
    }
    match lines {
        0 | 1 => format!("A change of this line rebuilds only this line: {bytes}."),
        lines => format!("A change of this line rebuilds it and the {} after it: {bytes}.", plural(lines - 1, "line")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagram::layers::forest::tests::stack;

    #[test]
    fn the_cost_of_a_change_is_told_in_one_sentence() {
        let stack = stack("app: a 4000, CMD one, b 9000, CMD app, c 150");
        assert_eq!(hint(&stack, Some(4), 2), "A change of this line rebuilds only this line: 150 B.");
        assert_eq!(hint(&stack, Some(2), 2), "A change of this line rebuilds it and the 2 lines after it: 9.15 kB.");
        assert_eq!(hint(&stack, Some(0), 2), "Another base image would rebuild all 3 lines: 9.15 kB.");
    }
}
