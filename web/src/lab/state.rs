use std::{collections::BTreeMap, rc::Rc};

use docklab_scenario::{Progress, StepReport};
use yew::Reducible;

use crate::{browser, observe::NodeView};

/// What the page shows of a running lab.
#[derive(Clone, PartialEq)]
pub(crate) struct LabState {
    pub views: BTreeMap<String, Rc<NodeView>>,
    /// Why the engine cannot be reached; `None` while it can.
    pub lost: Option<String>,
    /// Counts how often the engine was reached.
    pub epoch: u32,
    pub reports: Rc<BTreeMap<String, StepReport>>,
    pub progress: Progress,
    pub answers: Rc<BTreeMap<String, usize>>,
}

pub(crate) enum LabAction {
    View(String, Rc<NodeView>),
    Lost(String),
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
            lost: None,
            epoch: 0,
            reports: Rc::default(),
            progress: browser::load(&progress_key(lab)).unwrap_or_else(|| Progress::new(lab)),
            answers: Rc::new(browser::load(&answers_key(lab)).unwrap_or_default()),
        }
    }
}

impl Reducible for LabState {
    type Action = LabAction;

    fn reduce(self: Rc<Self>, action: LabAction) -> Rc<Self> {
        let mut state = (*self).clone();
        match action {
            LabAction::View(node, view) => {
                if state.lost.take().is_some() || state.views.is_empty() {
                    state.epoch += 1;
                }
                state.views.insert(node, view);
            }
            LabAction::Lost(reason) => state.lost = Some(reason),
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
