//! Stacks that share their lower layers, grown together: every layer once, as wide as all who use it.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::Range,
};

use super::model::{Layers, Line};

/// A layer with what lies below it. The same files on another ground are another layer, as for an engine's chain ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// The same for the same layer in every forest.
    pub key: u64,
    pub diff_id: String,
    /// Bytes.
    pub size: u64,
    pub parent: Option<usize>,
    /// Layers below it.
    pub depth: usize,
    /// The line that made it.
    pub instruction: String,
    /// Built on this machine, as far as its images say.
    pub here: bool,
    /// The columns that stand on it.
    pub columns: Range<usize>,
    /// The stacks in those columns, left to right: positions in [`Forest::stands`].
    pub stands: Range<usize>,
}

/// A stack at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stand {
    /// Its place in [`Layers::stacks`].
    pub stack: usize,
    /// Its topmost layer; `None` without layers.
    pub top: Option<usize>,
    pub columns: Range<usize>,
    /// Its containers: positions in [`Layers::containers`], one a column.
    pub containers: Vec<usize>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Forest {
    pub nodes: Vec<Node>,
    /// From left to right.
    pub stands: Vec<Stand>,
    pub columns: usize,
}

struct Sprout {
    node: Node,
    children: Vec<usize>,
    own: Vec<usize>,
}

fn key(parent: Option<u64>, diff_id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (parent, diff_id).hash(&mut hasher);
    hasher.finish()
}

/// The lines of a stack that belong above its `depth` lowest layers: changes of the configuration, until the next layer.
pub(super) fn settings(lines: &[Line], depth: usize) -> Range<usize> {
    let mut layers = lines.iter().enumerate().filter(|(_, line)| line.layer.is_some()).map(|(index, _)| index);
    let start = match depth.checked_sub(1) {
        None => 0,
        Some(below) => layers.nth(below).map_or(lines.len(), |index| index + 1),
    };
    start..layers.next().unwrap_or(lines.len())
}

impl Forest {
    /// Grows the forest. What stands on the same layers stands side by side; within that, older is further left.
    pub(super) fn grow(layers: &Layers) -> Self {
        let mut sprouts: Vec<Sprout> = Vec::new();
        let mut known: HashMap<u64, usize> = HashMap::new();
        let (mut roots, mut bare) = (Vec::new(), Vec::new());
        for (index, stack) in layers.stacks.iter().enumerate() {
            let mut parent: Option<usize> = None;
            for line in &stack.lines {
                let Some(layer) = &line.layer else { continue };
                let key = key(parent.map(|parent| sprouts[parent].node.key), &layer.diff_id);
                let at = *known.entry(key).or_insert_with(|| {
                    let at = sprouts.len();
                    match parent {
                        Some(parent) => sprouts[parent].children.push(at),
                        None => roots.push(at),
                    }
                    let node = Node {
                        key,
                        diff_id: layer.diff_id.clone(),
                        size: layer.size,
                        parent,
                        depth: parent.map_or(0, |parent| sprouts[parent].node.depth + 1),
                        instruction: line.instruction.clone(),
                        here: false,
                        columns: 0..0,
                        stands: 0..0,
                    };
                    sprouts.push(Sprout { node, children: Vec::new(), own: Vec::new() });
                    at
                });
                sprouts[at].node.here |= line.image.is_some();
                parent = Some(at);
            }
            match parent {
                Some(top) => sprouts[top].own.push(index),
                None => bare.push(index),
            }
        }
        let mut containers: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, container) in layers.containers.iter().enumerate() {
            containers.entry(&container.image).or_default().push(index);
        }
        let mut forest = Self::default();
        let mut stand = |forest: &mut Self, stack: usize, top| {
            let containers = containers.remove(layers.stacks[stack].id.as_str()).unwrap_or_default();
            let first = forest.columns;
            forest.columns += containers.len().max(1);
            forest.stands.push(Stand { stack, top, columns: first..forest.columns, containers });
        };
        for stack in bare {
            stand(&mut forest, stack, None);
        }
        // Depth first, by hand: images have up to 127 layers, hostile ones more.
        enum Step {
            Enter(usize),
            Leave(usize),
        }
        let mut steps: Vec<Step> = roots.into_iter().rev().map(Step::Enter).collect();
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(at) => {
                    sprouts[at].node.columns.start = forest.columns;
                    sprouts[at].node.stands.start = forest.stands.len();
                    for stack in std::mem::take(&mut sprouts[at].own) {
                        stand(&mut forest, stack, Some(at));
                    }
                    steps.push(Step::Leave(at));
                    steps.extend(sprouts[at].children.iter().rev().map(|child| Step::Enter(*child)));
                }
                Step::Leave(at) => {
                    sprouts[at].node.columns.end = forest.columns;
                    sprouts[at].node.stands.end = forest.stands.len();
                }
            }
        }
        forest.nodes = sprouts.into_iter().map(|sprout| sprout.node).collect();
        forest
    }

    /// The layers of a stand, bottom first.
    pub(super) fn chain(&self, stand: &Stand) -> Vec<usize> {
        let mut chain: Vec<usize> = std::iter::successors(stand.top, |at| self.nodes[*at].parent).collect();
        chain.reverse();
        chain
    }

    /// Bytes on the disk: every layer once.
    pub(super) fn stored(&self) -> u64 {
        self.nodes.iter().map(|node| node.size).sum()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::{
        diagram::layers::model::{Layer, Stack, Writable},
        observe::ContainerState,
    };

    /// `name: a 5, ENV, b 7` as a stack: layers with their bytes, and other lines.
    pub(in crate::diagram::layers) fn stack(text: &str) -> Rc<Stack> {
        let (name, lines) = text.split_once(':').expect("a name");
        let lines = lines.split(',').map(str::trim).filter(|line| !line.is_empty()).map(|line| {
            let layer = line
                .split_once(' ')
                .and_then(|(diff_id, size)| Some(Layer { diff_id: diff_id.to_owned(), size: size.parse().ok()? }));
            Line { instruction: line.to_owned(), layer, image: None }
        });
        Rc::new(Stack { id: name.to_owned(), tags: vec![name.to_owned()], lines: lines.collect(), ..Stack::default() })
    }

    pub(in crate::diagram::layers) fn container(name: &str, image: &str) -> Rc<Writable> {
        Rc::new(Writable {
            id: name.into(),
            name: name.into(),
            image: image.into(),
            state: ContainerState::Running,
            changes: None,
        })
    }

    fn names(layers: &Layers, forest: &Forest) -> Vec<String> {
        forest.stands.iter().map(|stand| format!("{} {:?}", layers.stacks[stand.stack].id, stand.columns)).collect()
    }

    #[test]
    fn shared_layers_are_one_node_as_wide_as_its_users() {
        let layers = Layers {
            stacks: vec![stack("base: a 5"), stack("other: z 1"), stack("app: a 5, b 7"), stack("app2: a 5, b 7, c 1")],
            containers: vec![container("one", "app"), container("two", "app")],
            ..Layers::default()
        };
        let forest = Forest::grow(&layers);
        assert_eq!(names(&layers, &forest), ["base 0..1", "app 1..3", "app2 3..4", "other 4..5"]);
        let columns: Vec<_> = forest.nodes.iter().map(|node| (node.diff_id.as_str(), node.columns.clone())).collect();
        assert_eq!(columns, [("a", 0..4), ("z", 4..5), ("b", 1..4), ("c", 3..4)]);
        assert_eq!(forest.stored(), 14);
        assert_eq!(forest.chain(&forest.stands[2]), [0, 2, 3]);
    }

    #[test]
    fn the_same_files_on_another_ground_are_another_layer() {
        let layers = Layers { stacks: vec![stack("one: a 5, x 1"), stack("two: b 5, x 1")], ..Layers::default() };
        let forest = Forest::grow(&layers);
        assert_eq!(forest.nodes.iter().filter(|node| node.diff_id == "x").count(), 2);
    }

    #[test]
    fn settings_lie_between_the_layers() {
        let lines = &stack("app: ENV, a 5, CMD, LABEL, b 7, USER").lines;
        assert_eq!(settings(lines, 0), 0..1);
        assert_eq!(settings(lines, 1), 2..4);
        assert_eq!(settings(lines, 2), 5..6);
    }

    #[test]
    fn an_image_without_layers_stands_on_the_ground() {
        let layers = Layers { stacks: vec![stack("empty: CMD")], ..Layers::default() };
        assert_eq!(Forest::grow(&layers).stands[0].top, None);
    }
}
