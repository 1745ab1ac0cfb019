//! Where every layer stands. A pure function of the forest and the pane; one unit is one CSS pixel.

use super::{
    forest::{Forest, Stand, settings},
    model::Layers,
};

pub(super) const MARGIN: f64 = 16.0;
/// Between the stacks of different images.
const GAP: f64 = 5.0;
const NARROWEST: f64 = 104.0;
const WIDEST: f64 = 250.0;
pub(super) const CAP: f64 = 40.0;
pub(super) const WRITABLE_HEAD: f64 = 24.0;
pub(super) const WRITABLE_LINE: f64 = 15.0;
/// Changes that a writable layer shows; the panel has all.
pub(super) const SHOWN_CHANGES: usize = 4;
/// A layer in the making.
const GHOST: f64 = 30.0;
const ABOVE: f64 = 14.0;
const GROUND: f64 = 30.0;

/// How bytes become height: a step for every power of ten, so that 200 bytes and 200 megabytes fit in one picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// The least height of a layer.
    pub least: f64,
    /// Pixels for each power of ten above a kilobyte.
    pub decade: f64,
    /// The height of a line that makes no layer.
    pub setting: f64,
}

/// From roomy to tight; the first that fits is taken.
const SCALES: [Scale; 6] = [
    Scale { least: 24.0, decade: 14.0, setting: 15.0 },
    Scale { least: 21.0, decade: 9.0, setting: 14.0 },
    Scale { least: 22.0, decade: 9.0, setting: 8.0 },
    Scale { least: 20.0, decade: 7.0, setting: 6.0 },
    Scale { least: 18.0, decade: 6.0, setting: 5.0 },
    Scale { least: 17.0, decade: 4.0, setting: 4.0 },
];

impl Scale {
    #[allow(clippy::cast_precision_loss)] // a height of some pixels
    pub(super) fn height(self, bytes: u64) -> f64 {
        self.least + self.decade * (1.0 + bytes as f64 / 1000.0).log10()
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Rect {
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.x < other.x + other.width
            && other.x < self.x + self.width
            && self.y < other.y + other.height
            && other.y < self.y + self.height
    }
}

/// Something that can be pointed at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Item {
    /// A node of the forest.
    Layer(usize),
    /// A line without a layer: stand and line.
    Setting(usize, usize),
    /// The lid with an image's name: its stand.
    Image(usize),
    /// A writable layer: its container.
    Writable(usize),
    /// The layer that a build is about to make: its stand.
    Ghost(usize),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub item: Item,
    pub place: Rect,
    /// The columns that it spans.
    pub columns: std::ops::Range<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    pub width: f64,
    pub height: f64,
    pub scale: Scale,
    pub column: f64,
    pub items: Vec<Placed>,
}

#[allow(clippy::cast_precision_loss)] // counts of things on a screen
fn number(count: usize) -> f64 {
    count as f64
}

fn writable_height(changes: Option<usize>) -> f64 {
    let lines = match changes.unwrap_or(0) {
        0 => 1,
        count => count.min(SHOWN_CHANGES + 1),
    };
    WRITABLE_HEAD + number(lines) * WRITABLE_LINE + 7.0
}

/// Lines without a layer that some stack of a node has between this layer and the one below.
fn deepest_gap(layers: &Layers, stands: &[Stand], depth: usize) -> usize {
    stands.iter().map(|stand| settings(&layers.stacks[stand.stack].lines, depth).len()).max().unwrap_or(0)
}

impl Layout {
    /// Lays the forest out for a pane of this size. It may become larger than the pane, which then scrolls.
    pub(super) fn new(layers: &Layers, forest: &Forest, width: f64, height: f64) -> Self {
        let room = (width - 2.0 * MARGIN) / number(forest.columns.max(1));
        let column = room.clamp(NARROWEST, WIDEST);
        let full_width = (number(forest.columns) * column + 2.0 * MARGIN).max(width);
        let mut chosen = None;
        for scale in SCALES {
            let heights = Heights::of(layers, forest, scale);
            let fits = heights.highest + GROUND + ABOVE <= height;
            chosen = Some((scale, heights));
            if fits {
                break;
            }
        }
        let (scale, heights) = chosen.unwrap_or_else(|| (SCALES[0], Heights::of(layers, forest, SCALES[0])));
        let full_height = (heights.highest + GROUND + ABOVE).max(height);
        let mut layout = Self { width: full_width, height: full_height, scale, column, items: Vec::new() };
        layout.place(layers, forest, &heights);
        layout
    }

    /// The y of the ground that all stacks stand on.
    pub(super) fn ground(&self) -> f64 {
        self.height - GROUND
    }

    fn span(&self, columns: &std::ops::Range<usize>, bottom: f64, height: f64) -> Rect {
        let x = MARGIN + number(columns.start) * self.column + GAP / 2.0;
        let width = number(columns.len()) * self.column - GAP;
        Rect { x, y: self.ground() - bottom - height, width, height }
    }

    fn put(&mut self, item: Item, columns: std::ops::Range<usize>, bottom: f64, height: f64) {
        let place = self.span(&columns, bottom, height);
        self.items.push(Placed { item, place, columns });
    }

    fn place(&mut self, layers: &Layers, forest: &Forest, heights: &Heights) {
        let scale = self.scale;
        for (index, node) in forest.nodes.iter().enumerate() {
            self.put(Item::Layer(index), node.columns.clone(), heights.bottoms[index], scale.height(node.size) - 1.5);
        }
        // Lines without layers: above the ground, and above each node.
        self.settings_above(layers, forest, 0..forest.stands.len(), 0, 0.0);
        for (index, node) in forest.nodes.iter().enumerate() {
            let top = heights.bottoms[index] + scale.height(node.size);
            self.settings_above(layers, forest, node.stands.clone(), node.depth + 1, top);
        }
        for (index, stand) in forest.stands.iter().enumerate() {
            let bottom = heights.caps[index];
            if layers.stacks[stand.stack].building {
                self.put(Item::Ghost(index), stand.columns.clone(), bottom - GHOST, GHOST - 1.5);
            }
            self.put(Item::Image(index), stand.columns.clone(), bottom + 2.0, CAP - 2.0);
            for (offset, container) in stand.containers.iter().enumerate() {
                let column = stand.columns.start + offset;
                let changes = layers.containers[*container].changes.as_ref().map(Vec::len);
                self.put(Item::Writable(*container), column..column + 1, bottom + CAP + 5.0, writable_height(changes));
            }
        }
    }

    /// The lines between a layer and the next ones. Neighbours that have the same lines up to here share them.
    fn settings_above(
        &mut self,
        layers: &Layers,
        forest: &Forest,
        stands: std::ops::Range<usize>,
        depth: usize,
        bottom: f64,
    ) {
        let lines = |stand: usize, row: usize| {
            let lines = &layers.stacks[forest.stands[stand].stack].lines;
            let range = settings(lines, depth);
            (range.start + row < range.end).then(|| &lines[range.start..=range.start + row])
        };
        let texts = |stand: usize, row: usize| {
            lines(stand, row).map(|lines| lines.iter().map(|line| line.instruction.as_str()).collect::<Vec<_>>())
        };
        let rows = stands
            .clone()
            .map(|stand| settings(&layers.stacks[forest.stands[stand].stack].lines, depth).len())
            .max()
            .unwrap_or(0);
        for row in 0..rows {
            let mut stand = stands.start;
            while stand < stands.end {
                let first = stand;
                let text = texts(first, row);
                stand += 1;
                if text.is_none() {
                    continue;
                }
                while stand < stands.end && texts(stand, row) == text {
                    stand += 1;
                }
                let columns = forest.stands[first].columns.start..forest.stands[stand - 1].columns.end;
                let start = settings(&layers.stacks[forest.stands[first].stack].lines, depth).start;
                let height = self.scale.setting;
                self.put(Item::Setting(first, start + row), columns, bottom + number(row) * height, height - 1.5);
            }
        }
    }

    /// What can be seen in a part of the picture.
    pub(super) fn visible<'a>(&'a self, window: &'a Rect) -> impl Iterator<Item = &'a Placed> + 'a {
        self.items.iter().filter(move |placed| placed.place.meets(window))
    }

    pub(super) fn find(&self, item: &Item) -> Option<&Placed> {
        self.items.iter().find(|placed| placed.item == *item)
    }

    /// The neighbour of an item: up and down its column, or at the same height in the next column. `column` is where the
    /// reader came from, since a wide layer is in many. Returns the column that the neighbour is entered by.
    pub(super) fn neighbour(&self, item: &Item, column: usize, direction: Direction) -> Option<(Item, usize)> {
        let here = self.find(item)?;
        let middle = |placed: &Placed| placed.place.y + placed.place.height / 2.0;
        match direction {
            Direction::Up | Direction::Down => {
                let column = if here.columns.contains(&column) { column } else { here.columns.start };
                let above = |placed: &&Placed| match direction {
                    Direction::Up => middle(placed) < middle(here),
                    _ => middle(placed) > middle(here),
                };
                let next = self.items.iter().filter(|placed| placed.columns.contains(&column)).filter(above).min_by(
                    |one, other| (middle(one) - middle(here)).abs().total_cmp(&(middle(other) - middle(here)).abs()),
                )?;
                Some((next.item.clone(), column))
            }
            Direction::Left | Direction::Right => {
                let column = match direction {
                    Direction::Left => here.columns.start.checked_sub(1)?,
                    _ => here.columns.end,
                };
                let next =
                    self.items.iter().filter(|placed| placed.columns.contains(&column)).min_by(|one, other| {
                        (middle(one) - middle(here)).abs().total_cmp(&(middle(other) - middle(here)).abs())
                    })?;
                Some((next.item.clone(), column))
            }
        }
    }
}

/// An arrow key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
    Left,
    Right,
}

/// How far above the ground everything begins.
struct Heights {
    bottoms: Vec<f64>,
    caps: Vec<f64>,
    highest: f64,
}

impl Heights {
    fn of(layers: &Layers, forest: &Forest, scale: Scale) -> Self {
        let mut bottoms = vec![0.0; forest.nodes.len()];
        // Parents come before their children.
        for (index, node) in forest.nodes.iter().enumerate() {
            let ground = node.parent.map_or(0.0, |parent| bottoms[parent] + scale.height(forest.nodes[parent].size));
            let gap = deepest_gap(layers, &forest.stands[node.stands.clone()], node.depth);
            bottoms[index] = ground + number(gap) * scale.setting;
        }
        let mut caps = Vec::with_capacity(forest.stands.len());
        let mut highest: f64 = 0.0;
        for stand in &forest.stands {
            let (top, depth) = match stand.top {
                Some(top) => (bottoms[top] + scale.height(forest.nodes[top].size), forest.nodes[top].depth + 1),
                None => (0.0, 0),
            };
            let tail = settings(&layers.stacks[stand.stack].lines, depth).len();
            let ghost = if layers.stacks[stand.stack].building { GHOST } else { 0.0 };
            let cap = top + number(tail) * scale.setting + ghost;
            let above = stand
                .containers
                .iter()
                .map(|container| writable_height(layers.containers[*container].changes.as_ref().map(Vec::len)) + 5.0)
                .fold(0.0, f64::max);
            highest = highest.max(cap + CAP + above);
            caps.push(cap);
        }
        Self { bottoms, caps, highest }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::diagram::layers::{
        forest::tests::{container, stack},
        model::Stack,
    };

    fn laid_out(stacks: Vec<Rc<Stack>>, width: f64, height: f64) -> (Layers, Forest, Layout) {
        let layers = Layers { stacks, containers: vec![container("one", "app")], ..Layers::default() };
        let forest = Forest::grow(&layers);
        let layout = Layout::new(&layers, &forest, width, height);
        (layers, forest, layout)
    }

    fn lab() -> Vec<Rc<Stack>> {
        vec![
            stack("base: ENV, a 4000000, CMD one, b 60000000, CMD two"),
            stack("app: ENV, a 4000000, CMD one, b 60000000, CMD two, c 9000000, CMD app, d 150"),
            stack("app2: ENV, a 4000000, CMD one, b 60000000, CMD two, c 9000000, CMD app, e 160"),
        ]
    }

    #[test]
    fn nothing_overlaps_and_everything_stands_on_the_ground() {
        let (_, forest, layout) = laid_out(lab(), 700.0, 500.0);
        for (index, one) in layout.items.iter().enumerate() {
            for other in &layout.items[index + 1..] {
                assert!(!one.place.meets(&other.place), "{one:?} {other:?}");
            }
            assert!(one.place.y >= 0.0 && one.place.y + one.place.height <= layout.ground() + 0.01, "{one:?}");
        }
        assert_eq!(layout.items.iter().filter(|placed| matches!(placed.item, Item::Layer(_))).count(), 5);
        assert_eq!(forest.columns, 3);
        assert!((layout.height - 500.0).abs() < 0.01, "it fits: {}", layout.height);
    }

    #[test]
    fn a_line_that_neighbours_share_is_drawn_once() {
        let (_, _, layout) = laid_out(lab(), 700.0, 500.0);
        let settings: Vec<_> = layout
            .items
            .iter()
            .filter(|placed| matches!(placed.item, Item::Setting(..)))
            .map(|placed| placed.columns.clone())
            .collect();
        // ENV, CMD one, CMD two under all three; CMD app under the two that have it.
        assert_eq!(settings, [0..3, 0..3, 0..3, 1..3]);
    }

    #[test]
    fn a_tenfold_layer_is_one_step_higher() {
        let scale = SCALES[0];
        let step = scale.height(100_000_000) - scale.height(10_000_000);
        assert!((step - scale.decade).abs() < 0.01, "{step}");
        assert!((scale.height(0) - scale.least).abs() < f64::EPSILON);
    }

    #[test]
    fn a_low_pane_takes_a_tighter_scale_and_scrolls_at_last() {
        let (_, _, tight) = laid_out(lab(), 700.0, 300.0);
        assert_eq!(tight.scale, SCALES[5]);
        let (_, _, roomy) = laid_out(lab(), 700.0, 900.0);
        assert_eq!(roomy.scale, SCALES[0]);
        let (_, _, strip) = laid_out(lab(), 700.0, 90.0);
        assert!(strip.height > 90.0);
    }

    #[test]
    fn columns_keep_a_legible_width_and_the_pane_scrolls() {
        let stacks = (0..200).map(|index| stack(&format!("image{index}: a 5, l{index} 7"))).collect();
        let (_, _, layout) = laid_out(stacks, 600.0, 400.0);
        assert!((layout.column - NARROWEST).abs() < f64::EPSILON);
        assert!(layout.width > 20_000.0);
        let window = Rect { x: 5_000.0, y: 0.0, width: 600.0, height: 400.0 };
        let seen = layout.visible(&window).count();
        assert!(seen < 25, "{seen} of {}", layout.items.len());
    }

    #[test]
    fn arrows_walk_up_a_stack_and_over_to_the_next() {
        let (_, _, layout) = laid_out(lab(), 700.0, 500.0);
        let mut at = (Item::Layer(0), 1);
        let mut seen = vec![at.0.clone()];
        while let Some(next) = layout.neighbour(&at.0, at.1, Direction::Up) {
            seen.push(next.0.clone());
            at = next;
        }
        // a, CMD one, b, CMD two, c, CMD app, d, the lid, the container's layer.
        assert_eq!(seen.len(), 9, "{seen:?}");
        assert_eq!(seen.last(), Some(&Item::Writable(0)));
        assert_eq!(layout.neighbour(&at.0, at.1, Direction::Left).map(|next| next.0), Some(Item::Image(0)));
        assert_eq!(layout.neighbour(&Item::Layer(0), 0, Direction::Left), None);
    }
}
