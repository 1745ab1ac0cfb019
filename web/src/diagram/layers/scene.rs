//! Everything that is drawn at once, and what a pointer at a part of it means for the rest.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    rc::Rc,
};

use super::{
    forest::{Forest, Stand},
    layout::{Item, Layout},
    model::{Layers, Stack},
    work::{Build, Work},
};

/// The stacks that are there, with the one that is being built. `Eq`, so that comparing the same scene with itself (at every
/// move of the pointer) costs nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scene {
    pub layers: Layers,
    pub forest: Forest,
}

/// What the student chose. Kept by identity, so that it survives every change of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// An image's ID.
    Image(String),
    /// A layer's key in the forest.
    Layer(u64),
    /// A container's ID.
    Container(String),
}

/// A build that is going on, or one that failed and left no image to show.
fn unfinished(build: Option<&Build>) -> Option<&Build> {
    build.filter(|build| !matches!(build.ended, Some(Ok(_))))
}

impl Scene {
    /// Puts what is there and what is being built together. The containers in which a build runs its steps are part of the
    /// build: they come and go with every step and are not drawn. `before` are the containers that were there when it began.
    pub(super) fn compose(layers: &Layers, work: &Work, before: &HashSet<String>) -> Self {
        let mut layers = layers.clone();
        if let Some(build) = unfinished(work.build.as_ref()) {
            let steps: HashSet<&str> = build.steps.iter().map(|step| step.image.as_str()).collect();
            if build.ended.is_none() {
                layers.containers.retain(|one| before.contains(&one.id) || !steps.contains(one.image.as_str()));
            }
            let used: HashSet<&str> = layers.containers.iter().map(|one| one.image.as_str()).collect();
            // Images of single steps lose their place to the build that they are part of.
            layers.stacks.retain(|stack| {
                !stack.tags.is_empty() || used.contains(stack.id.as_str()) || !steps.contains(stack.id.as_str())
            });
            let known = |id: &str| layers.stacks.iter().find(|stack| stack.id == id).map(Rc::as_ref);
            let stack = build.stack(known);
            if build.ended.is_none() || stack.lines.iter().any(|line| line.image.is_some()) {
                layers.stacks.push(Rc::new(stack));
            }
        }
        let forest = Forest::grow(&layers);
        Self { layers, forest }
    }

    pub(super) fn stack(&self, stand: &Stand) -> &Rc<Stack> {
        &self.layers.stacks[stand.stack]
    }

    pub(super) fn stand_of(&self, image: &str) -> Option<(usize, &Stand)> {
        self.forest.stands.iter().enumerate().find(|(_, stand)| self.stack(stand).id == image)
    }

    /// The node of a stand's line, when the line made a layer.
    pub(super) fn node_of(&self, stand: &Stand, line: usize) -> Option<usize> {
        let lines = &self.stack(stand).lines;
        lines.get(line)?.layer.as_ref()?;
        let depth = lines[..line].iter().filter(|line| line.layer.is_some()).count();
        self.forest.chain(stand).get(depth).copied()
    }

    /// A stand's line as something to point at.
    pub(super) fn item_of(&self, stand: usize, line: usize) -> Item {
        let found = self.forest.stands.get(stand).and_then(|stand| self.node_of(stand, line));
        found.map_or(Item::Setting(stand, line), Item::Layer)
    }

    /// The line of a stack that an item stands for.
    pub(super) fn line_of(&self, stand: usize, item: &Item) -> Option<usize> {
        match item {
            Item::Layer(node) => {
                let depth = self.forest.nodes.get(*node)?.depth;
                let stand = self.forest.stands.get(stand)?;
                if self.forest.chain(stand).get(depth) != Some(node) {
                    return None;
                }
                let lines = self.stack(stand).lines.iter().enumerate();
                lines.filter(|(_, line)| line.layer.is_some()).map(|(index, _)| index).nth(depth)
            }
            Item::Setting(other, line) => {
                let (one, other) = (self.forest.stands.get(stand)?, self.forest.stands.get(*other)?);
                let (mine, theirs) = (self.stack(one).lines.get(..=*line)?, self.stack(other).lines.get(..=*line)?);
                let same = mine
                    .iter()
                    .zip(theirs)
                    .all(|(mine, theirs)| mine.instruction == theirs.instruction && mine.layer == theirs.layer);
                same.then_some(*line)
            }
            Item::Image(_) | Item::Writable(_) | Item::Ghost(_) => None,
        }
    }

    /// Names of the images that stand on a layer.
    pub(super) fn users(&self, node: usize) -> Vec<String> {
        let Some(node) = self.forest.nodes.get(node) else { return Vec::new() };
        self.forest.stands[node.stands.clone()].iter().map(|stand| self.stack(stand).name()).collect()
    }

    /// The image that another one was built on: the largest of those whose lines it begins with.
    pub(super) fn base_of(&self, stand: &Stand) -> Option<&Rc<Stack>> {
        let lines = &self.stack(stand).lines;
        self.layers
            .stacks
            .iter()
            .filter(|other| !other.tags.is_empty() && other.lines.len() < lines.len() && !other.lines.is_empty())
            .filter(|other| {
                other.lines.iter().zip(lines).all(|(base, line)| base.layer == line.layer && same_line(base, line))
            })
            .max_by_key(|other| other.lines.len())
    }

    /// What stays the same of an item in every scene; `None` for what is not worth following.
    pub(super) fn identity(&self, item: &Item) -> Option<u64> {
        let of = |kind: &str, id: &str| {
            let mut hasher = DefaultHasher::new();
            (kind, id).hash(&mut hasher);
            hasher.finish()
        };
        match item {
            Item::Layer(node) => self.forest.nodes.get(*node).map(|node| node.key),
            Item::Image(stand) => self.forest.stands.get(*stand).map(|stand| of("image", &self.stack(stand).id)),
            Item::Writable(one) => self.layers.containers.get(*one).map(|one| of("container", &one.id)),
            Item::Setting(..) | Item::Ghost(_) => None,
        }
    }

    /// Every identity of the scene.
    pub(super) fn identities(&self) -> HashSet<u64> {
        let layers = (0..self.forest.nodes.len()).map(Item::Layer);
        let images = (0..self.forest.stands.len()).map(Item::Image);
        let containers = (0..self.layers.containers.len()).map(Item::Writable);
        layers.chain(images).chain(containers).filter_map(|item| self.identity(&item)).collect()
    }

    /// Bytes that only this stand's image has.
    pub(super) fn own_size(&self, index: usize) -> u64 {
        let Some(stand) = self.forest.stands.get(index) else { return 0 };
        let alone = |node: &&usize| self.forest.nodes[**node].stands.len() == 1;
        self.forest.chain(stand).iter().filter(alone).map(|node| self.forest.nodes[*node].size).sum()
    }

    /// The image whose lines are shown while nothing is chosen: the one that was built last, or the newest.
    pub(super) fn newest(&self, work: &Work) -> Option<usize> {
        let building = self.forest.stands.iter().position(|stand| self.stack(stand).building);
        let built = || match work.build.as_ref()?.ended.as_ref()? {
            Ok(image) => self.stand_of(image).map(|(index, _)| index),
            Err(_) => None,
        };
        let newest = || {
            let stands = self.forest.stands.iter().enumerate();
            stands.max_by_key(|(_, stand)| (self.stack(stand).created, stand.stack)).map(|(index, _)| index)
        };
        building.or_else(built).or_else(newest)
    }
}

fn same_line(one: &super::model::Line, other: &super::model::Line) -> bool {
    // A layer's own content says more than the text of its line, which a tag may have changed.
    one.layer.is_some() || one.instruction == other.instruction
}

/// What the part of the picture that is pointed at means for a layer or line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// It is what is pointed at.
    Source,
    /// It stands on that, and would be built anew.
    Rebuilt,
}

/// Marks by item, worked out from where everything stands.
#[derive(Debug, Default)]
pub(super) struct Marks {
    source: Option<(Item, std::ops::Range<usize>, usize, usize)>,
}

impl Marks {
    pub(super) fn of(scene: &Scene, layout: &Layout, pointed: Option<&Item>) -> Self {
        let source = pointed.and_then(|item| {
            let columns = layout.find(item)?.columns.clone();
            let (depth, row) = match item {
                Item::Layer(node) => (scene.forest.nodes.get(*node)?.depth, usize::MAX),
                Item::Setting(stand, line) => {
                    let lines = &scene.stack(scene.forest.stands.get(*stand)?).lines;
                    (lines.get(..*line)?.iter().filter(|line| line.layer.is_some()).count(), *line)
                }
                Item::Image(_) | Item::Writable(_) | Item::Ghost(_) => return None,
            };
            Some((item.clone(), columns, depth, row))
        });
        Self { source }
    }

    pub(super) fn any(&self) -> bool {
        self.source.is_some()
    }

    /// `columns` are those of the item.
    pub(super) fn of_item(&self, scene: &Scene, item: &Item, columns: &std::ops::Range<usize>) -> Option<Mark> {
        let (source, span, depth, row) = self.source.as_ref()?;
        if item == source {
            return Some(Mark::Source);
        }
        let inside = columns.start >= span.start && columns.end <= span.end;
        let above = match item {
            Item::Layer(node) => {
                let own = scene.forest.nodes.get(*node)?.depth;
                own > *depth || (matches!(source, Item::Setting(..)) && own == *depth)
            }
            Item::Setting(stand, line) => {
                let lines = &scene.stack(scene.forest.stands.get(*stand)?).lines;
                let below = settings_below(lines, *line);
                match source {
                    Item::Layer(_) => below > *depth,
                    _ => *line > *row,
                }
            }
            Item::Image(_) | Item::Writable(_) | Item::Ghost(_) => false,
        };
        (inside && above).then_some(Mark::Rebuilt)
    }
}

/// Layers below a line.
fn settings_below(lines: &[super::model::Line], line: usize) -> usize {
    lines[..line.min(lines.len())].iter().filter(|line| line.layer.is_some()).count()
}

/// What building again from a line on costs: lines, and bytes of the layers that they make.
pub(super) fn cost_of(stack: &Stack, from: usize) -> (usize, u64) {
    let lines = stack.lines.get(from..).unwrap_or_default();
    (lines.len(), lines.iter().filter_map(|line| line.layer.as_ref()).map(|layer| layer.size).sum())
}

/// The lines that come with an image's base, and those that are its own.
pub(super) fn own_lines(stack: &Stack, base: Option<&Stack>) -> std::ops::Range<usize> {
    base.map_or(0, |base| base.lines.len())..stack.lines.len()
}

#[cfg(test)]
mod tests {
    use docklab_api::{Activity, News, StepLayer, StepState};

    use super::*;
    use crate::diagram::layers::forest::tests::{container, stack};

    fn scene() -> Scene {
        let layers = Layers {
            stacks: vec![
                stack("base: a 4000, CMD one"),
                stack("app: a 4000, CMD one, b 9000, CMD app, c 150"),
                stack("app2: a 4000, CMD one, b 9000, CMD app, d 160, LABEL"),
            ],
            containers: vec![container("one", "app")],
            ..Layers::default()
        };
        Scene::compose(&layers, &Work::default(), &HashSet::new())
    }

    fn rebuilt(scene: &Scene, pointed: &Item) -> Vec<String> {
        let layout = Layout::new(&scene.layers, &scene.forest, 600.0, 500.0);
        let marks = Marks::of(scene, &layout, Some(pointed));
        let name = |item: &Item| match item {
            Item::Layer(node) => scene.forest.nodes[*node].diff_id.clone(),
            Item::Setting(stand, line) => scene.stack(&scene.forest.stands[*stand]).lines[*line].instruction.clone(),
            other => format!("{other:?}"),
        };
        let marked = layout
            .items
            .iter()
            .filter(|placed| marks.of_item(scene, &placed.item, &placed.columns) == Some(Mark::Rebuilt));
        marked.map(|placed| name(&placed.item)).collect()
    }

    #[test]
    fn all_that_stands_on_a_line_would_be_rebuilt() {
        let scene = scene();
        assert_eq!(rebuilt(&scene, &scene.item_of(1, 2)), ["c", "d", "CMD app", "LABEL"]);
        assert_eq!(rebuilt(&scene, &scene.item_of(1, 3)), ["c", "d", "LABEL"]);
        assert_eq!(rebuilt(&scene, &scene.item_of(1, 4)), [""; 0]);
        assert_eq!(cost_of(&scene.layers.stacks[1], 2), (3, 9150));
    }

    #[test]
    fn lines_and_items_answer_to_each_other() {
        let scene = scene();
        let item = scene.item_of(1, 2);
        assert_eq!(scene.line_of(1, &item), Some(2));
        assert_eq!(scene.line_of(2, &item), Some(2));
        assert_eq!(scene.line_of(0, &item), None);
        assert_eq!(scene.line_of(2, &scene.item_of(1, 3)), Some(3));
        assert_eq!(scene.users(0), ["base", "app", "app2"]);
        assert_eq!(scene.own_size(1), 150);
        assert_eq!(scene.base_of(&scene.forest.stands[1]).map(|base| base.id.as_str()), Some("base"));
    }

    #[test]
    fn a_build_grows_beside_the_image_of_the_last_one() {
        let layers = scene().layers;
        let mut work = Work::default();
        let mut hear = |news| work.hear(&Activity { job: 1, time_nano: 0, news });
        hear(News::BuildBegan { tags: vec!["app".into()], steps: 3 });
        let from = "FROM base".to_owned();
        let state = StepState::Done { image: "base".into(), layer: None };
        hear(News::BuildStep { number: 1, instruction: from, state });
        let layer = Some(StepLayer { diff_id: "b".into(), size: 9000 });
        let state = StepState::Cached { image: "sha256:2".into(), layer };
        hear(News::BuildStep { number: 2, instruction: "b 9000".into(), state });
        let scene = Scene::compose(&layers, &work, &HashSet::new());
        let building = scene.newest(&work).expect("the build");
        assert!(scene.stack(&scene.forest.stands[building]).building);
        assert_eq!(scene.users(1), ["building…", "app", "app2"]);
        // A container that was there before stays, one of a step is not shown.
        let mut with_step = layers.clone();
        with_step.containers.push(container("step", "sha256:2"));
        let scene = Scene::compose(&with_step, &work, &HashSet::from(["one".to_owned()]));
        assert_eq!(scene.layers.containers.len(), 1);
    }
}
