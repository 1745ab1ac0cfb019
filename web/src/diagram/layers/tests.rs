use std::{collections::HashSet, rc::Rc};

use yew::LocalServerRenderer;

use super::{
    forest::tests::{container, stack},
    model::{Change, Layers, Writable},
    scene::Scene,
    stage::{Stage, StageProps},
    table::{LayersTable, LayersTableProps},
    work::Work,
};

fn scene() -> Rc<Scene> {
    let written = Writable {
        changes: Some(vec![
            Change { kind: 'A', path: "/root/notes".into() },
            Change { kind: 'C', path: "/etc/hosts".into() },
        ]),
        ..(*container("web", "app")).clone()
    };
    let layers = Layers {
        node: "node1".into(),
        stacks: vec![stack("base: a 4000000, CMD one"), stack("app: a 4000000, CMD one, b 9000000, CMD app")],
        containers: vec![Rc::new(written)],
    };
    Rc::new(Scene::compose(&layers, &Work::default(), &HashSet::new()))
}

/// The texts of a drawing, one a line.
fn texts(html: &str) -> String {
    let texts: Vec<&str> = html
        .split('>')
        .filter_map(|part| part.split('<').next())
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .collect();
    texts.join("\n")
}

async fn stage(scene: Rc<Scene>) -> String {
    let props = StageProps {
        scene,
        work: Rc::default(),
        pointed: None,
        choice: None,
        waste: std::collections::HashMap::new(),
        on_point: yew::Callback::noop(),
        on_choose: yew::Callback::noop(),
    };
    LocalServerRenderer::<Stage>::with_props(props).hydratable(false).render().await
}

#[tokio::test(flavor = "current_thread")]
async fn a_shared_layer_is_drawn_once_and_says_so() {
    let html = stage(scene()).await;
    assert_eq!(html.matches("Layer, 4.00 MB, a 4000000, shared by 2 images").count(), 1, "{html}");
    assert_eq!(html.matches("CMD one, changes the configuration only: no layer").count(), 1);
    assert!(html.contains("Writable layer of container web, running, 2 files changed"), "{html}");
    assert!(html.contains("Image app, 13.0 MB, 2 layers"), "{html}");
}

#[tokio::test(flavor = "current_thread")]
async fn the_diagram_is_one_stop_of_the_tab_key() {
    let html = stage(scene()).await;
    assert_eq!(html.matches("tabindex=\"0\"").count(), 1, "{html}");
    assert_eq!(html.matches("role=\"button\"").count(), 7);
}

#[tokio::test(flavor = "current_thread")]
async fn the_table_says_the_same() {
    let props = LayersTableProps { scene: scene(), work: Rc::default() };
    let html = LocalServerRenderer::<LayersTable>::with_props(props).hydratable(false).render().await;
    insta::assert_snapshot!(texts(&html), @r"
    node1 holds 2 images in 2 layers, 13.0 MB on the disk.
    base, 4.00 MB, 0 B of it its own
    Line
    Layer
    Shared with
    Last build
    a 4000000
    4.00 MB
    1 image
    CMD one
    no layer
    app, 13.0 MB, 9.00 MB of it its own
    Line
    Layer
    Shared with
    Last build
    a 4000000
    4.00 MB
    1 image
    CMD one
    no layer
    b 9000000
    9.00 MB
    no other
    CMD app
    no layer
    Writable layers of containers
    Container
    On image
    State
    Changed files
    web
    app
    running
    A /root/notes, C /etc/hosts
    ");
}
