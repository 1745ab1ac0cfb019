use std::rc::Rc;

use yew::prelude::*;

use super::{
    draw::size_text,
    lines,
    model::Stack,
    scene::Scene,
    transfer,
    work::{Outcome, Work},
};

#[derive(Properties, PartialEq)]
pub(super) struct LayersTableProps {
    pub scene: Rc<Scene>,
    pub work: Rc<Work>,
}

/// The diagram's text equivalent.
#[component]
pub(super) fn LayersTable(props: &LayersTableProps) -> Html {
    let scene = &*props.scene;
    let count = scene.layers.stacks.len();
    html! {
        <div class="text-equivalent">
            <p>{ format!(
                "{} holds {count} image{} in {} layers, {} on the disk.",
                scene.layers.node, if count == 1 { "" } else { "s" }, scene.forest.nodes.len(), size_text(scene.forest.stored())
            ) }</p>
            if let Some(build) = &props.work.build {
                <p>{ format!("Last build ({}): {}", build.tags.join(", "), lines::summary(build)) }</p>
            }
            if let Some(moved) = &props.work.transfer {
                <p>{ format!("Last {:?} ({}): {}", moved.direction, moved.reference, transfer::summary(moved)).replace("Pull", "pull").replace("Push", "push") }</p>
            }
            { for scene.forest.stands.iter().enumerate().map(|(index, stand)| image(scene, &props.work, index, scene.stack(stand))) }
            { containers(scene) }
        </div>
    }
}

fn image(scene: &Scene, work: &Work, stand: usize, stack: &Stack) -> Html {
    html! {
        <table key={stack.id.clone()}>
            <caption>{ format!("{}, {}, {} of it its own", stack.name(), size_text(stack.size()), size_text(scene.own_size(stand))) }</caption>
            <thead><tr>{ for ["Line", "Layer", "Shared with", "Last build"].map(|title| html! { <th scope="col">{ title }</th> }) }</tr></thead>
            <tbody>{ for stack.lines.iter().enumerate().map(|(index, line)| {
                let node = scene.forest.stands.get(stand).and_then(|stand| scene.node_of(stand, index));
                let users = node.map(|node| scene.users(node)).unwrap_or_default();
                let others = users.len().saturating_sub(1);
                let text = line.image.as_ref().and_then(|image| work.written.get(image)).unwrap_or(&line.instruction);
                let outcome = line.image.as_ref().and_then(|image| work.outcome(image)).map(|outcome| match outcome {
                    Outcome::Cached => "from the cache".to_owned(),
                    Outcome::Built(None) => "built".to_owned(),
                    Outcome::Built(Some(why)) => format!("built: {why}"),
                    Outcome::Running(_) => "going on".to_owned(),
                    Outcome::Failed(error) => error.clone(),
                });
                html! {
                    <tr key={index}>
                        <th scope="row"><code>{ text }</code></th>
                        <td>{ line.layer.as_ref().map_or("no layer".to_owned(), |layer| size_text(layer.size)) }</td>
                        <td>{ match others { _ if node.is_none() => String::new(), 0 => "no other".to_owned(), 1 => "1 image".to_owned(), others => format!("{others} images") } }</td>
                        <td>{ outcome.unwrap_or_default() }</td>
                    </tr>
                }
            }) }</tbody>
        </table>
    }
}

fn containers(scene: &Scene) -> Html {
    let of = |id: &str| scene.layers.stacks.iter().find(|stack| stack.id == id).map(|stack| stack.name());
    html! {
        <table>
            <caption>{ "Writable layers of containers" }</caption>
            <thead><tr>{ for ["Container", "On image", "State", "Changed files"].map(|title| html! { <th scope="col">{ title }</th> }) }</tr></thead>
            <tbody>
                { for scene.layers.containers.iter().map(|container| html! {
                    <tr key={container.id.clone()}>
                        <th scope="row">{ &container.name }</th>
                        <td>{ of(&container.image).unwrap_or_default() }</td>
                        <td>{ container.state.as_str() }</td>
                        <td>{ match &container.changes {
                            None => "not known".to_owned(),
                            Some(changes) if changes.is_empty() => "none".to_owned(),
                            Some(changes) => changes.iter().map(|change| format!("{} {}", change.kind, change.path)).collect::<Vec<_>>().join(", "),
                        } }</td>
                    </tr>
                }) }
                if scene.layers.containers.is_empty() { <tr><td colspan="4">{ "No containers." }</td></tr> }
            </tbody>
        </table>
    }
}
