use std::rc::Rc;

use yew::prelude::*;

use super::{
    draw::size_text,
    forest::Stand,
    look_inside::{Files, Insides},
    model::Writable,
    scene::Scene,
};
use crate::{icons::Icon, observe::short_id};

#[derive(Properties, PartialEq)]
pub(super) struct LayerCardProps {
    pub(super) scene: Rc<Scene>,
    pub(super) node: usize,
    pub(super) insides: Insides,
    /// Reads the files of an image.
    pub(super) on_read: Callback<String>,
    pub(super) on_close: Callback<()>,
}

fn card_head(title: String, on_close: &Callback<()>) -> Html {
    let close = {
        let on_close = on_close.clone();
        Callback::from(move |_: MouseEvent| on_close.emit(()))
    };
    html! {
        <header>
            <h2>{ title }</h2>
            <button type="button" class="bar-button" aria-label="Back to the lines" onclick={close}>{ Icon::Close.draw() }</button>
        </header>
    }
}

/// The image whose archive shows a layer: one that was read already, or the smallest that has it.
fn source<'a>(scene: &'a Scene, node: usize, insides: &Insides) -> Option<&'a Stand> {
    let stands = &scene.forest.stands[scene.forest.nodes.get(node)?.stands.clone()];
    let finished = || stands.iter().filter(|stand| !scene.stack(stand).building);
    finished()
        .find(|stand| insides.contains_key(&scene.stack(stand).id))
        .or_else(|| finished().min_by_key(|stand| scene.stack(stand).size()))
}

/// One layer: where it comes from, who uses it, what is in it.
#[component]
pub(super) fn LayerCard(props: &LayerCardProps) -> Html {
    let scene = &props.scene;
    let Some(node) = scene.forest.nodes.get(props.node) else { return html! {} };
    let users = scene.users(props.node);
    let shown: Vec<&String> = users.iter().take(6).collect();
    let shared = match users.len() {
        0 | 1 => "Only this image has it.".to_owned(),
        count => format!("{count} images share it; it is stored once."),
    };
    let source = source(scene, props.node, &props.insides);
    let files = source.map(|stand| {
        let stack = scene.stack(stand);
        let lines = stack.lines.iter().filter(|line| line.layer.is_some()).map(|line| line.instruction.clone());
        let read = {
            let (on_read, id) = (props.on_read.clone(), stack.id.clone());
            Callback::from(move |()| on_read.emit(id.clone()))
        };
        html! {
            <Files inside={props.insides.get(&stack.id).cloned()} size={stack.size()} depth={node.depth} lines={lines.collect::<Vec<_>>()} on_read={read} />
        }
    });
    html! {
        <section class="layer-card" aria-label="Layer">
            { card_head(format!("Layer of {}", size_text(node.size)), &props.on_close) }
            <pre class="layer-line"><code>{ &node.instruction }</code></pre>
            <dl class="facts">
                <div><dt>{ "Digest" }</dt><dd><code title={node.diff_id.clone()}>{ short_id(&node.diff_id) }</code></dd></div>
                <div><dt>{ "Place" }</dt><dd>{ if node.depth == 0 { "the lowest".to_owned() } else { format!("above {} more", node.depth) } }</dd></div>
                <div><dt>{ "Used by" }</dt><dd>
                    { for shown.iter().map(|name| html! { <span class="user">{ (*name).clone() }</span> }) }
                    if users.len() > shown.len() { <span class="faint">{ format!("and {} more", users.len() - shown.len()) }</span> }
                </dd></div>
            </dl>
            <p class="faint">{ shared }</p>
            { files }
        </section>
    }
}

#[derive(Properties, PartialEq)]
pub(super) struct WritableCardProps {
    pub(super) container: Rc<Writable>,
    pub(super) on_inspect: Callback<String>,
    pub(super) on_close: Callback<()>,
}

/// A container's writable layer with all that it changed.
#[component]
pub(super) fn WritableCard(props: &WritableCardProps) -> Html {
    let container = &props.container;
    let inspect = {
        let (on_inspect, id) = (props.on_inspect.clone(), container.id.clone());
        Callback::from(move |_: MouseEvent| on_inspect.emit(id.clone()))
    };
    let changes = container.changes.clone().unwrap_or_default();
    let copied = changes.iter().any(|change| change.kind == 'C');
    html! {
        <section class="layer-card" aria-label={format!("Writable layer of {}", container.name)}>
            { card_head(format!("Writable layer of {}", container.name), &props.on_close) }
            <p class="faint">{ "Everything that the container writes lands here, above the image, and goes when the container is removed." }</p>
            if changes.is_empty() {
                <p>{ if container.changes.is_some() { "Nothing has been written yet." } else { "The engine has not told what was written." } }</p>
            } else {
                <ul class="changes">
                    { for changes.iter().map(|change| html! {
                        <li key={change.path.clone()} data-kind={change.kind.to_string()}>
                            <b title={kind_word(change.kind)}>{ change.kind }<span class="hidden-text">{ format!(" {}", kind_word(change.kind)) }</span></b>
                            <code>{ &change.path }</code>
                        </li>
                    }) }
                </ul>
            }
            if copied {
                <p class="faint">{ "C: the file was copied up from the image before its first change. The image still has its own." }</p>
            }
            <p><button type="button" class="button" onclick={inspect}>{ "Inspect the container" }</button></p>
        </section>
    }
}

fn kind_word(kind: char) -> &'static str {
    match kind {
        'A' => "added",
        'D' => "deleted",
        _ => "changed",
    }
}
