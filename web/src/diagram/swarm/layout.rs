//! Where everything stands. One unit is one CSS pixel, so that text keeps its size in a pane of any width.

use std::{collections::HashMap, rc::Rc};

use docklab_api::models::TaskState;

use crate::{
    observe::{MemberView, ServiceView, SwarmView, TaskView},
    session::{NodePlace, NodeState},
};

pub(super) const MARGIN: f64 = 14.0;
const GAP: f64 = 14.0;
pub(super) const SERVICE_HEIGHT: f64 = 66.0;
const SERVICE_LEAST: f64 = 230.0;
const SERVICE_MOST: f64 = 380.0;
/// A node's name, role and state.
pub(super) const NODE_HEADER: f64 = 60.0;
/// What a manager says of its raft group.
pub(super) const RAFT_LINE: f64 = 18.0;
const NODE_LEAST: f64 = 216.0;
const NODE_MOST: f64 = 420.0;
const PADDING: f64 = 12.0;
/// The network between the nodes, above each row of them.
const RAIL: f64 = 46.0;
const CARD_LEAST: f64 = 118.0;
pub(super) const CARD_HEIGHT: f64 = 40.0;
const CARD_GAP: f64 = 6.0;
pub(super) const TILE_WIDTH: f64 = 40.0;
pub(super) const TILE_HEIGHT: f64 = 22.0;
const TILE_GAP: f64 = 4.0;
pub(super) const DOT: f64 = 8.0;
const DOT_GAP: f64 = 3.0;
/// The place for tasks of a node that has none.
const EMPTY_BODY: f64 = 40.0;

/// How a task is drawn. All tasks of a picture are drawn alike, so that they can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// Name, state and image.
    Card,
    /// Slot and state.
    Tile,
    /// Only the state's shape; tasks of one state are one path.
    Dot,
}

impl Detail {
    /// Up to 8 tasks on a node are cards, up to 60 are tiles.
    fn of(most: usize) -> Self {
        match most {
            0..=8 => Self::Card,
            9..=60 => Self::Tile,
            _ => Self::Dot,
        }
    }
    fn gap(self) -> f64 {
        match self {
            Self::Card => CARD_GAP,
            Self::Tile => TILE_GAP,
            Self::Dot => DOT_GAP,
        }
    }
    pub(super) fn height(self) -> f64 {
        match self {
            Self::Card => CARD_HEIGHT,
            Self::Tile => TILE_HEIGHT,
            Self::Dot => DOT,
        }
    }
    /// Columns, and the width of each, for a node's body.
    fn columns(self, width: f64) -> (usize, f64) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a pane's width
        let fit = |one: f64| (((width + self.gap()) / (one + self.gap())) as usize).max(1);
        match self {
            Self::Card => {
                let columns = fit(CARD_LEAST).min(2);
                (columns, (width + CARD_GAP) / number(columns) - CARD_GAP)
            }
            Self::Tile => (fit(TILE_WIDTH), TILE_WIDTH),
            Self::Dot => (fit(DOT), DOT),
        }
    }
}

/// What a dot's shape says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum DotKind {
    /// A filled square.
    Running,
    /// An outlined square.
    Coming,
    /// A bar: it is being ended.
    Stopping,
    /// A cross.
    Failed,
}

impl DotKind {
    pub(super) const ALL: [Self; 4] = [Self::Running, Self::Coming, Self::Stopping, Self::Failed];

    pub(super) fn of(task: &TaskView) -> Self {
        if task.has_failed() {
            Self::Failed
        } else if task.is_stopping() || task.state > TaskState::RUNNING {
            Self::Stopping
        } else if task.state == TaskState::RUNNING {
            Self::Running
        } else {
            Self::Coming
        }
    }
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Coming => "starting",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        }
    }
    fn draw(self, path: &mut String, x: f64, y: f64) {
        use std::fmt::Write as _;
        // Writing to a string cannot fail.
        let _ = match self {
            Self::Running => write!(path, "M{x} {y}h8v8h-8z"),
            Self::Coming => write!(path, "M{} {}h6v6h-6z", x + 1.0, y + 1.0),
            Self::Stopping => write!(path, "M{x} {}h8", y + 4.0),
            Self::Failed => write!(path, "M{x} {y}l8 8m0-8l-8 8"),
        };
    }
}

/// A task's place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TaskPlace {
    pub(super) task: Rc<TaskView>,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
}

/// A machine: a member of the swarm, one that may become so, or one that was.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NodeBox {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) member: Option<Rc<MemberView>>,
    /// `None` for a member that is no machine of this session.
    pub(super) state: Option<NodeState>,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    /// The network above it.
    pub(super) rail: f64,
    pub(super) has_raft: bool,
    /// With [`Detail::Card`] and [`Detail::Tile`].
    pub(super) tasks: Vec<TaskPlace>,
    /// With [`Detail::Dot`]: one path for each kind, and how many.
    pub(super) dots: Vec<(DotKind, String, usize)>,
    /// Where each task is, for requests.
    middles: HashMap<String, (f64, f64)>,
}

impl NodeBox {
    /// Where packets enter.
    pub(super) fn port(&self) -> (f64, f64) {
        (self.x + 44.0, self.y)
    }
    /// The middle of a task's shape.
    pub(super) fn middle_of(&self, task: &str) -> Option<(f64, f64)> {
        self.middles.get(task).copied()
    }
    pub(super) fn is_cut(&self) -> bool {
        matches!(self.state, Some(NodeState::Cut | NodeState::Killed))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ServiceBox {
    pub(super) service: Rc<ServiceView>,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
}

/// Tasks that no node has been found for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tray {
    pub(super) y: f64,
    pub(super) height: f64,
    pub(super) tasks: Vec<TaskPlace>,
    pub(super) more: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) detail: Detail,
    pub(super) services: Vec<ServiceBox>,
    pub(super) tray: Option<Tray>,
    pub(super) nodes: Vec<NodeBox>,
    /// The network between the nodes, one line for each row of them.
    pub(super) rails: Vec<f64>,
}

#[allow(clippy::cast_precision_loss)] // counts of things on a screen
fn number(count: usize) -> f64 {
    count as f64
}

/// The most tasks that wait for a node which are drawn one by one.
const TRAY_TASKS: usize = 6;

/// A machine with the tasks on it.
struct Machine<'a> {
    key: String,
    name: String,
    member: Option<&'a Rc<MemberView>>,
    state: Option<NodeState>,
    tasks: Vec<&'a Rc<TaskView>>,
}

/// Members and machines, each once: a member is the machine of its name, unless it is a former membership of it.
fn machines<'a>(view: &'a SwarmView, places: &[NodePlace], lingering: &'a [Rc<TaskView>]) -> Vec<Machine<'a>> {
    let mut tasks: HashMap<&str, Vec<&Rc<TaskView>>> = HashMap::new();
    for task in view.shown_tasks().chain(lingering) {
        tasks.entry(&task.node).or_default().push(task);
    }
    tasks.values_mut().for_each(|tasks| tasks.sort_by(|one, other| order(one).cmp(&order(other))));
    let mut machines: Vec<Machine<'a>> = Vec::new();
    for member in &view.nodes {
        let is_current = view
            .nodes
            .iter()
            .all(|other| other.id == member.id || other.name != member.name || rank(other) <= rank(member));
        let state = places.iter().find(|place| place.name == member.name && is_current).map(|place| place.state);
        machines.push(Machine {
            key: member.id.clone(),
            name: member.name.clone(),
            member: Some(member),
            state,
            tasks: tasks.remove(member.id.as_str()).unwrap_or_default(),
        });
    }
    for place in places.iter().filter(|place| view.nodes.iter().all(|member| member.name != place.name)) {
        machines.push(Machine {
            key: format!("place-{}", place.name),
            name: place.name.clone(),
            member: None,
            state: Some(place.state),
            tasks: Vec::new(),
        });
    }
    machines
}

/// A node that left and joined again is listed twice: the one that is ready is the machine.
fn rank(member: &MemberView) -> u8 {
    u8::from(member.state == docklab_api::models::NodeState::READY)
}

/// Successors stand where their predecessors stood.
fn order(task: &TaskView) -> (&str, u64, &str, &str) {
    (&task.service, task.slot, &task.created, &task.id)
}

impl Layout {
    /// `lingering` are tasks that have just ended and are still shown.
    pub(super) fn new(width: f64, view: &SwarmView, places: &[NodePlace], lingering: &[Rc<TaskView>]) -> Self {
        let inner = width - 2.0 * MARGIN;
        let mut y = MARGIN;
        let services = place_services(inner, &mut y, &view.services);
        let tray = place_tray(inner, &mut y, view);
        let machines = machines(view, places, lingering);
        let detail = Detail::of(machines.iter().map(|machine| machine.tasks.len()).max().unwrap_or_default());
        let mut layout = Self { width, height: y, detail, services, tray, nodes: Vec::new(), rails: Vec::new() };
        layout.place_nodes(inner, y, machines, view);
        layout
    }

    fn place_nodes(&mut self, inner: f64, mut y: f64, machines: Vec<Machine<'_>>, view: &SwarmView) {
        let count = machines.len().max(1);
        let most_columns = (1..=count).rev().find(|columns| fits(inner, *columns, NODE_LEAST)).unwrap_or(1);
        // As few rows as there must be, and those alike.
        let columns = count.div_ceil(count.div_ceil(most_columns));
        let width = ((inner + GAP) / number(columns) - GAP).min(NODE_MOST);
        let (task_columns, task_width) = self.detail.columns(width - 2.0 * PADDING);
        let mut machines = machines.into_iter().peekable();
        while machines.peek().is_some() {
            let row: Vec<Machine<'_>> = machines.by_ref().take(columns).collect();
            let rail = y + 18.0;
            self.rails.push(rail);
            y += RAIL;
            let has_raft = row.iter().any(|machine| machine.member.is_some_and(|member| member.is_manager))
                && !view.raft.is_empty();
            let header = NODE_HEADER + if has_raft { RAFT_LINE } else { 0.0 };
            let most = row.iter().map(|machine| machine.tasks.len()).max().unwrap_or_default();
            let lines = number(most.div_ceil(task_columns));
            let body = if most == 0 {
                EMPTY_BODY
            } else {
                lines * (self.detail.height() + self.detail.gap()) - self.detail.gap()
            };
            // In words below the dots: how many are in which state.
            let legend = if self.detail == Detail::Dot { 22.0 } else { 0.0 };
            let height = header + body + legend + PADDING;
            for (index, machine) in row.into_iter().enumerate() {
                let x = MARGIN + number(index) * (width + GAP);
                let mut node = NodeBox {
                    key: machine.key,
                    name: machine.name,
                    has_raft: has_raft && machine.member.is_some_and(|member| member.is_manager),
                    member: machine.member.cloned(),
                    state: machine.state,
                    x,
                    y,
                    width,
                    height,
                    rail,
                    tasks: Vec::new(),
                    dots: Vec::new(),
                    middles: HashMap::new(),
                };
                let step = (task_width + self.detail.gap(), self.detail.height() + self.detail.gap());
                let spots = machine.tasks.iter().enumerate().map(|(index, task)| {
                    let column = number(index % task_columns);
                    let line = number(index / task_columns);
                    (*task, x + PADDING + column * step.0, y + header + line * step.1)
                });
                node.fill(self.detail, task_width, spots);
                self.nodes.push(node);
            }
            y += height + GAP;
        }
        self.height = y - GAP + MARGIN;
    }

    pub(super) fn node_of(&self, task: &TaskView) -> Option<&NodeBox> {
        self.nodes.iter().find(|node| node.key == task.node)
    }
    pub(super) fn node_named(&self, name: &str) -> Option<&NodeBox> {
        // A machine of the session rather than a former membership.
        self.nodes.iter().find(|node| node.name == name && node.state.is_some())
    }

    /// The way of a request: into the node that is asked, along the network, into the node of the task, to the task.
    /// Without a task it ends where it entered.
    pub(super) fn way(&self, entry: &str, task: Option<&TaskView>) -> Option<String> {
        let from = self.node_named(entry)?;
        let (x, y) = from.port();
        let mut path = format!("M{x} {} V{}", from.rail - 10.0, y + 12.0);
        if let Some(task) = task {
            let to = self.node_of(task)?;
            let (task_x, task_y) = to.middle_of(&task.id)?;
            let (port, top) = to.port();
            if to.key != from.key {
                path.push_str(&format!(" H{} V{} ", x + 8.0, from.rail));
                if (to.rail - from.rail).abs() > 1.0 {
                    // Rows are joined at the left edge.
                    path.push_str(&format!("H{} V{} ", MARGIN / 2.0, to.rail));
                }
                path.push_str(&format!("H{port} V{}", top + 12.0));
            }
            path.push_str(&format!(" L{task_x} {task_y}"));
        }
        Some(path)
    }
}

impl NodeBox {
    fn fill<'a>(&mut self, detail: Detail, width: f64, spots: impl Iterator<Item = (&'a Rc<TaskView>, f64, f64)>) {
        let mut paths: HashMap<DotKind, (String, usize)> = HashMap::new();
        for (task, x, y) in spots {
            let middle = match detail {
                Detail::Card => (x + 18.0, y + CARD_HEIGHT / 2.0),
                Detail::Tile => (x + 11.0, y + TILE_HEIGHT / 2.0),
                Detail::Dot => (x + DOT / 2.0, y + DOT / 2.0),
            };
            self.middles.insert(task.id.clone(), middle);
            if detail == Detail::Dot {
                let (path, count) = paths.entry(DotKind::of(task)).or_default();
                DotKind::of(task).draw(path, x, y);
                *count += 1;
            } else {
                self.tasks.push(TaskPlace { task: task.clone(), x, y, width });
            }
        }
        self.dots = DotKind::ALL
            .into_iter()
            .filter_map(|kind| paths.remove(&kind).map(|(path, count)| (kind, path, count)))
            .collect();
    }
}

fn fits(inner: f64, columns: usize, least: f64) -> bool {
    columns == 1 || (inner + GAP) / number(columns) - GAP >= least
}

fn place_services(inner: f64, y: &mut f64, services: &[Rc<ServiceView>]) -> Vec<ServiceBox> {
    if services.is_empty() {
        return Vec::new();
    }
    let count = services.len();
    let columns = (1..=count).rev().find(|columns| fits(inner, *columns, SERVICE_LEAST)).unwrap_or(1);
    let width = ((inner + GAP) / number(columns) - GAP).min(SERVICE_MOST);
    let boxes: Vec<ServiceBox> = services
        .iter()
        .enumerate()
        .map(|(index, service)| ServiceBox {
            service: service.clone(),
            x: MARGIN + number(index % columns) * (width + GAP),
            y: *y + number(index / columns) * (SERVICE_HEIGHT + GAP / 2.0),
            width,
        })
        .collect();
    *y += number(count.div_ceil(columns)) * (SERVICE_HEIGHT + GAP / 2.0) - GAP / 2.0 + 8.0;
    boxes
}

fn place_tray(inner: f64, y: &mut f64, view: &SwarmView) -> Option<Tray> {
    let waiting: Vec<&Rc<TaskView>> = view.waiting().collect();
    if waiting.is_empty() {
        return None;
    }
    let shown = waiting.len().min(TRAY_TASKS);
    let columns = (1..=shown).rev().find(|columns| fits(inner - 2.0 * PADDING, *columns, CARD_LEAST)).unwrap_or(1);
    let width = ((inner - 2.0 * PADDING + CARD_GAP) / number(columns) - CARD_GAP).min(190.0);
    let top = *y + 30.0;
    let tasks = waiting.iter().take(shown).enumerate().map(|(index, task)| TaskPlace {
        task: (*task).clone(),
        x: MARGIN + PADDING + number(index % columns) * (width + CARD_GAP),
        y: top + number(index / columns) * (CARD_HEIGHT + CARD_GAP),
        width,
    });
    let tasks: Vec<TaskPlace> = tasks.collect();
    let height = 30.0 + number(shown.div_ceil(columns)) * (CARD_HEIGHT + CARD_GAP) + PADDING - CARD_GAP;
    let tray = Tray { y: *y, height, tasks, more: waiting.len() - shown };
    *y += height + 8.0;
    Some(tray)
}

/// The small type is still 9 px high.
const LEAST_SCALE: f64 = 0.8;
/// Below this the pane is only a strip, and scrolls.
const LEAST_HEIGHT: f64 = 150.0;

impl Layout {
    /// The layout for a pane of this size: one that is too high is drawn smaller, as far as it stays legible. Returns the
    /// scale too.
    pub(super) fn fitting(
        (width, height): (f64, f64),
        view: &SwarmView,
        places: &[NodePlace],
        lingering: &[Rc<TaskView>],
    ) -> (Self, f64) {
        let layout = Self::new(width, view, places, lingering);
        if layout.height <= height || height < LEAST_HEIGHT {
            return (layout, 1.0);
        }
        let scale = (height / layout.height).max(LEAST_SCALE);
        (Self::new(width / scale, view, places, lingering), scale)
    }
}

/// Cuts a text that would be wider than `width` pixels in type of that size.
pub(super) fn shorten(text: &str, width: f64, size: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a pane's width
    let most = (width / (size * 0.56)).max(3.0) as usize;
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}
