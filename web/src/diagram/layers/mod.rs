//! Images and containers as stacks of layers. A layer that several images use is drawn once, beneath all of them.
//!
//! `follow` reads the engine, `model` and `work` hold what it said, `forest` grows the stacks together, `layout` places them
//! (both are pure), `stage` draws what can be seen of them. `lines`, `cards` and `transfer` tell the rest in words.

mod archive;
mod cards;
mod draw;
mod files;
mod follow;
mod forest;
mod instruction;
mod layout;
mod legend;
mod lines;
mod look_inside;
mod model;
mod scene;
mod stage;
mod table;
#[cfg(test)]
mod tests;
mod transfer;
mod work;

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::Arc,
};

use docklab_api::DockerApi;
use yew::prelude::*;

use crate::{browser, session::SharedSession};
use cards::{LayerCard, WritableCard};
use follow::Update;
use layout::Item;
use legend::Legend;
use lines::LinesCard;
use look_inside::{Inside, Insides};
use model::Layers;
use scene::{Choice, Scene};
use stage::Stage;
use table::LayersTable;
use transfer::TransferCard;
use work::Work;

#[derive(Properties, PartialEq)]
pub struct LayersPaneProps {
    pub session: SharedSession,
    pub node: String,
    /// Counts how often the engine was reached: with each, the follower begins again.
    pub epoch: u32,
    pub as_table: bool,
    /// Asks for the details of a container.
    pub on_inspect: Callback<String>,
}

const RETRY_MILLISECONDS: i32 = 2000;

/// What the follower has told so far.
#[derive(Clone, Default, PartialEq)]
struct Told {
    layers: Option<Rc<Layers>>,
    work: Rc<Work>,
    /// The engine tells nothing of its jobs.
    silent: bool,
    /// Containers that were there when the last build began.
    before: Rc<HashSet<String>>,
}

impl Reducible for Told {
    type Action = Update;

    fn reduce(self: Rc<Self>, update: Update) -> Rc<Self> {
        let mut told = (*self).clone();
        match update {
            Update::Layers(layers) => told.layers = Some(layers),
            Update::Silent => told.silent = true,
            Update::Work(work) => {
                let job = |work: &Work| work.build.as_ref().map(|build| build.job);
                if job(&work) != job(&told.work) {
                    let containers = told.layers.iter().flat_map(|layers| &layers.containers);
                    told.before = Rc::new(containers.map(|container| container.id.clone()).collect());
                }
                told.work = work;
            }
        }
        told.into()
    }
}

fn engine(session: &SharedSession, node: &str) -> Option<Arc<dyn DockerApi>> {
    session.nodes().into_iter().find(|(name, _)| name == node).map(|(_, api)| api)
}

#[hook]
fn use_told(props: &LayersPaneProps) -> UseReducerHandle<Told> {
    let told = use_reducer(Told::default);
    {
        let dispatch = told.dispatcher();
        let dependencies = (props.session.clone(), props.node.clone(), props.epoch);
        use_effect_with(dependencies, move |(session, node, _)| {
            let (stop, stopped) = futures::channel::oneshot::channel::<()>();
            if let Some(api) = engine(session, node) {
                let node = node.clone();
                browser::spawn(async move {
                    let report = |update| dispatch.dispatch(update);
                    let following = async {
                        loop {
                            // A lost engine is the page's concern, which says so; here it is only tried again.
                            follow::follow(&node, &api, &report).await;
                            browser::sleep(RETRY_MILLISECONDS).await;
                        }
                    };
                    futures::future::select(Box::pin(following), stopped).await;
                });
            }
            move || drop(stop)
        });
    }
    told
}

/// Files of images, read on demand.
#[hook]
fn use_insides(props: &LayersPaneProps) -> (Insides, Callback<String>) {
    let insides = use_reducer(InsidesState::default);
    let read = {
        let (dispatch, session, node) = (insides.dispatcher(), props.session.clone(), props.node.clone());
        Callback::from(move |image: String| {
            let Some(api) = engine(&session, &node) else { return };
            let dispatch = dispatch.clone();
            dispatch.dispatch((image.clone(), Inside::Reading(0)));
            browser::spawn(async move {
                look_inside::read(&api, &image, |inside| dispatch.dispatch((image.clone(), inside))).await;
            });
        })
    };
    (insides.0.clone(), read)
}

#[derive(Default)]
struct InsidesState(Insides);

impl Reducible for InsidesState {
    type Action = (String, Inside);

    fn reduce(self: Rc<Self>, (image, inside): Self::Action) -> Rc<Self> {
        let mut insides = (*self.0).clone();
        insides.insert(image, inside);
        Rc::new(Self(Rc::new(insides)))
    }
}

/// The layer diagram with its panel.
#[component]
pub fn LayersPane(props: &LayersPaneProps) -> Html {
    let told = use_told(props);
    let (insides, on_read) = use_insides(props);
    let choice = use_state_eq(|| None::<Choice>);
    let pointed = use_state_eq(|| None::<Item>);
    let closed = use_state_eq(|| 0_u64);
    let scene =
        use_memo((told.layers.clone(), told.work.build.clone(), told.before.clone()), |(layers, build, before)| {
            let work = Work { build: build.clone(), ..Work::default() };
            layers.as_ref().map(|layers| Rc::new(Scene::compose(layers, &work, before)))
        });
    {
        // What was pointed at may be something else now.
        let pointed = pointed.clone();
        use_effect_with(scene.clone(), move |_| pointed.set(None));
    }
    let Some(scene) = (*scene).clone() else {
        return html! { <p class="waiting">{ "Reading the images…" }</p> };
    };
    let work = told.work.clone();
    if props.as_table {
        return html! { <div class="diagram-stage"><LayersTable {scene} {work} /></div> };
    }
    let on_point = {
        let pointed = pointed.clone();
        Callback::from(move |item| pointed.set(item))
    };
    let on_choose = {
        let choice = choice.clone();
        Callback::from(move |to: Choice| choice.set(Some(to)))
    };
    let on_item = {
        let (scene, choice) = (scene.clone(), choice.clone());
        Callback::from(move |item: Item| {
            if let Some(to) = choice_of(&scene, &item) {
                choice.set(if choice.as_ref() == Some(&to) { None } else { Some(to) });
            }
        })
    };
    let on_close = {
        let choice = choice.clone();
        Callback::from(move |()| choice.set(None))
    };
    let close_transfer = {
        let (closed, job) = (closed.clone(), work.transfer.as_ref().map_or(0, |transfer| transfer.job));
        Callback::from(move |()| closed.set(job))
    };
    let empty = scene.forest.stands.is_empty();
    let transfer = work.transfer.clone().filter(|transfer| transfer.job != *closed);
    // A build that came after it is what the student looks at now.
    let job = work.build.as_ref().map_or(0, |build| build.job);
    let transfer = transfer.filter(|transfer| transfer.ended.is_none() || transfer.job > job);
    html! {
        <div class="layer-diagram">
            <div class="layer-main">
                if empty {
                    <div class="layer-empty"><p>{ "No image is here yet." }</p><p class="faint">{ "What you pull or build in a terminal grows here, layer by layer." }</p></div>
                } else {
                    <Stage scene={scene.clone()} work={work.clone()} pointed={(*pointed).clone()} choice={(*choice).clone()} waste={wasted(&scene, &insides)} on_point={on_point.clone()} on_choose={on_item} />
                }
                <Legend />
            </div>
            <aside class="layer-panel" aria-label="Lines and layers" tabindex="0">
                if let Some(transfer) = transfer {
                    <TransferCard {transfer} node={props.node.clone()} on_close={close_transfer} />
                }
                { card(&scene, &work, choice.as_ref(), &insides, &CardCallbacks { on_point, on_choose, on_read, on_close, on_inspect: props.on_inspect.clone() }, (*pointed).clone()) }
                if told.silent {
                    <p class="layer-note">{ "This engine does not tell its progress. What comes of builds, pulls and pushes appears when they are done." }</p>
                }
            </aside>
        </div>
    }
}

/// Wasted bytes of the layers that were looked into, by the layer's key. What one image hides of a layer, another may show:
/// the least of all images counts.
fn wasted(scene: &Scene, insides: &Insides) -> HashMap<u64, u64> {
    let mut wasted: HashMap<u64, u64> = HashMap::new();
    for stand in &scene.forest.stands {
        let Some(Inside::Known(files)) = insides.get(&scene.stack(stand).id) else { continue };
        for (node, layer) in scene.forest.chain(stand).into_iter().zip(&files.layers) {
            let least = wasted.entry(scene.forest.nodes[node].key).or_insert(layer.wasted);
            *least = (*least).min(layer.wasted);
        }
    }
    wasted.retain(|_, bytes| *bytes > 0);
    wasted
}

fn choice_of(scene: &Scene, item: &Item) -> Option<Choice> {
    match item {
        Item::Layer(node) => scene.forest.nodes.get(*node).map(|node| Choice::Layer(node.key)),
        Item::Image(stand) | Item::Setting(stand, _) | Item::Ghost(stand) => {
            scene.forest.stands.get(*stand).map(|stand| Choice::Image(scene.stack(stand).id.clone()))
        }
        Item::Writable(container) => {
            scene.layers.containers.get(*container).map(|container| Choice::Container(container.id.clone()))
        }
    }
}

struct CardCallbacks {
    on_point: Callback<Option<Item>>,
    on_choose: Callback<Choice>,
    on_read: Callback<String>,
    on_close: Callback<()>,
    on_inspect: Callback<String>,
}

/// What was chosen; when nothing was, or it has gone, the lines of the newest image.
fn card(
    scene: &Rc<Scene>,
    work: &Rc<Work>,
    choice: Option<&Choice>,
    insides: &Insides,
    callbacks: &CardCallbacks,
    pointed: Option<Item>,
) -> Html {
    let CardCallbacks { on_point, on_choose, on_read, on_close, on_inspect } = callbacks;
    let chosen_stand = match choice {
        Some(Choice::Layer(key)) => {
            if let Some(node) = scene.forest.nodes.iter().position(|node| node.key == *key) {
                return html! {
                    <LayerCard scene={scene.clone()} {node} insides={insides.clone()} on_read={on_read.clone()} on_close={on_close.clone()} />
                };
            }
            None
        }
        Some(Choice::Container(id)) => {
            if let Some(container) = scene.layers.containers.iter().find(|container| container.id == *id) {
                return html! {
                    <WritableCard container={container.clone()} on_inspect={on_inspect.clone()} on_close={on_close.clone()} />
                };
            }
            None
        }
        Some(Choice::Image(id)) => scene.stand_of(id).map(|(index, _)| index),
        None => None,
    };
    match chosen_stand.or_else(|| scene.newest(work)) {
        Some(stand) => html! {
            <LinesCard scene={scene.clone()} work={work.clone()} {stand} {pointed} insides={insides.clone()} on_read={on_read.clone()} on_point={on_point.clone()} on_choose={on_choose.clone()} />
        },
        None => html! {},
    }
}
