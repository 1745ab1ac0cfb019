use std::{collections::BTreeMap, rc::Rc};

use docklab_scenario::{Progress, StepReport};
use jiff::Timestamp;
use yew::Reducible;

use crate::{
    browser,
    observe::{NodeView, Recording, SwarmState},
    session::{NodePlace, NodeState},
};

/// What the page shows of a running lab.
#[derive(Clone, PartialEq)]
pub(crate) struct LabState {
    pub views: BTreeMap<String, Rc<NodeView>>,
    /// Why engines cannot be reached that should, by node.
    pub lost: BTreeMap<String, String>,
    /// Counts how often the engine was reached.
    pub epoch: u32,
    pub reports: Rc<BTreeMap<String, StepReport>>,
    pub progress: Progress,
    pub answers: Rc<BTreeMap<String, usize>>,
    pub swarm: SwarmState,
    pub recording: Rc<Recording>,
    /// The session's machines.
    pub places: Rc<Vec<NodePlace>>,
}

pub(crate) enum LabAction {
    View(String, Rc<NodeView>),
    /// A node's engine cannot be reached, and why.
    Lost(String, String),
    /// The swarm as it is seen at a time.
    Swarm(Timestamp, SwarmState),
    /// Nodes came, went, or had something done to them by a time.
    Places(Timestamp, Vec<NodePlace>),
    Report(StepReport),
    Progress(Progress),
    Answer(String, usize),
}

/// Keys of the browser's storage.
pub fn progress_key(lab: &str) -> String {
    format!("progress.{lab}")
}
fn answers_key(lab: &str) -> String {
    format!("answers.{lab}")
}

impl LabState {
    /// A lab as this browser left it.
    pub(crate) fn load(lab: &str) -> Self {
        Self {
            views: BTreeMap::new(),
            lost: BTreeMap::new(),
            epoch: 0,
            reports: Rc::default(),
            progress: browser::load(&progress_key(lab)).unwrap_or_else(|| Progress::new(lab)),
            answers: Rc::new(browser::load(&answers_key(lab)).unwrap_or_default()),
            swarm: SwarmState::default(),
            recording: Rc::default(),
            places: Rc::default(),
        }
    }

    /// Why an engine cannot be reached that nobody has taken away.
    pub(crate) fn lost_reason(&self) -> Option<String> {
        self.lost.values().next().cloned()
    }

    fn is_expected_to_answer(&self, node: &str) -> bool {
        let place = self.places.iter().find(|place| place.name == node);
        place.is_some_and(|place| !matches!(place.state, NodeState::Killed | NodeState::Paused))
    }

    fn record(&mut self, at: Timestamp) {
        let view = match &self.swarm {
            SwarmState::Seen(view) => view.clone(),
            SwarmState::None => Rc::default(),
            // What cannot be seen is not recorded.
            SwarmState::Unknown | SwarmState::Silent { .. } => return,
        };
        Rc::make_mut(&mut self.recording).add(at, &view, &self.places);
    }
}

impl Reducible for LabState {
    type Action = LabAction;

    fn reduce(self: Rc<Self>, action: LabAction) -> Rc<Self> {
        let mut state = (*self).clone();
        match action {
            LabAction::View(node, view) => {
                if state.lost.remove(&node).is_some() || state.views.is_empty() {
                    state.epoch += 1;
                }
                state.views.insert(node, view);
            }
            LabAction::Lost(node, reason) => {
                if state.is_expected_to_answer(&node) {
                    state.lost.insert(node, reason);
                }
            }
            LabAction::Swarm(at, swarm) => {
                state.swarm = swarm;
                state.record(at);
            }
            LabAction::Places(at, places) => {
                state.places = Rc::new(places);
                let known = state.places.clone();
                state.views.retain(|node, _| known.iter().any(|place| place.name == *node));
                let lost = std::mem::take(&mut state.lost);
                state.lost = lost.into_iter().filter(|(node, _)| state.is_expected_to_answer(node)).collect();
                state.record(at);
            }
            LabAction::Report(report) => {
                Rc::make_mut(&mut state.reports).insert(report.step.clone(), report);
            }
            LabAction::Progress(progress) => {
                browser::store(&progress_key(&progress.scenario), &progress);
                state.progress = progress;
            }
            LabAction::Answer(quiz, choice) => {
                Rc::make_mut(&mut state.answers).insert(quiz, choice);
                browser::store(&answers_key(&state.progress.scenario), &*state.answers);
            }
        }
        state.into()
    }
}
