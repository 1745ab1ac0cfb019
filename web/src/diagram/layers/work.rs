//! What the engine does at the moment, from its news: the last build and the last transfer.

use std::collections::HashMap;

use docklab_api::{Activity, CacheMiss, Direction, LayerState, News, StepLayer, StepState, TransferredLayer};

use super::model::{Layer, Line, Stack};

/// How a step went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Still going on; with the reason when the cache had nothing.
    Running(Option<CacheMiss>),
    Cached,
    /// With the reason; `None` for a base image.
    Built(Option<CacheMiss>),
    Failed(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub number: u32,
    pub instruction: String,
    pub outcome: Outcome,
    /// Empty until the step has one.
    pub image: String,
    pub layer: Option<StepLayer>,
}

/// A build as far as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Build {
    pub job: u64,
    pub tags: Vec<String>,
    pub total: u32,
    pub steps: Vec<Step>,
    /// The image, or what went wrong; `None` while it goes on.
    pub ended: Option<Result<String, String>>,
}

/// A layer on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parcel {
    pub layer: TransferredLayer,
    /// `None` before the first word about it.
    pub state: Option<LayerState>,
    /// It moved, or moves: its bytes count.
    pub moved: bool,
}

/// A pull or push as far as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transfer {
    pub job: u64,
    pub direction: Direction,
    pub reference: String,
    /// Bottom first.
    pub parcels: Vec<Parcel>,
    pub ended: Option<Result<(), String>>,
}

/// All that is known of an engine's jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub build: Option<Build>,
    pub transfer: Option<Transfer>,
    /// Lines as they were written, by the image that they made.
    pub written: HashMap<String, String>,
}

impl Work {
    /// Takes one piece of news in. News of an older job than the one that is shown are late and change nothing.
    pub(super) fn hear(&mut self, activity: &Activity) {
        let job = activity.job;
        match &activity.news {
            News::BuildBegan { tags, steps } => {
                self.build = Some(Build { job, tags: tags.clone(), total: *steps, steps: Vec::new(), ended: None });
            }
            News::BuildStep { number, instruction, state } => {
                if let StepState::Cached { image, .. } | StepState::Done { image, .. } = state
                    && !image.is_empty()
                    && !instruction.starts_with("FROM ")
                {
                    self.written.insert(image.clone(), instruction.clone());
                }
                if let Some(build) = self.build.as_mut().filter(|build| build.job == job) {
                    build.step(*number, instruction, state);
                }
            }
            News::TransferBegan { direction, reference, layers } => {
                let parcels = layers.iter().map(|layer| Parcel { layer: layer.clone(), state: None, moved: false });
                self.transfer = Some(Transfer {
                    job,
                    direction: *direction,
                    reference: reference.clone(),
                    parcels: parcels.collect(),
                    ended: None,
                });
            }
            News::Layer { diff_id, state } => {
                let Some(transfer) = self.transfer.as_mut().filter(|transfer| transfer.job == job) else { return };
                for parcel in transfer.parcels.iter_mut().filter(|parcel| parcel.layer.diff_id == *diff_id) {
                    parcel.moved |=
                        matches!(state, LayerState::Moving { .. } | LayerState::Unpacking { .. } | LayerState::Done);
                    parcel.state = Some(state.clone());
                }
            }
            News::Ended { image, error } => {
                if let Some(build) = self.build.as_mut().filter(|build| build.job == job) {
                    build.ended = Some(match error {
                        None => Ok(image.clone().unwrap_or_default()),
                        Some(error) => Err(error.clone()),
                    });
                }
                if let Some(transfer) = self.transfer.as_mut().filter(|transfer| transfer.job == job) {
                    transfer.ended = Some(error.clone().map_or(Ok(()), Err));
                }
            }
        }
    }

    /// The outcome of the step that made an image, in the last build.
    pub(super) fn outcome(&self, image: &str) -> Option<&Outcome> {
        let steps = &self.build.as_ref()?.steps;
        steps.iter().find(|step| step.image == image).map(|step| &step.outcome)
    }
}

impl Build {
    fn step(&mut self, number: u32, instruction: &str, state: &StepState) {
        let known = self.steps.iter().position(|step| step.number == number);
        let at = known.unwrap_or_else(|| {
            self.steps.push(Step {
                number,
                instruction: instruction.to_owned(),
                outcome: Outcome::Running(None),
                image: String::new(),
                layer: None,
            });
            self.steps.len() - 1
        });
        let step = &mut self.steps[at];
        match state {
            StepState::Began => {}
            StepState::Missed { why } => step.outcome = Outcome::Running(Some(why.clone())),
            StepState::Cached { image, layer } => {
                step.outcome = Outcome::Cached;
                (step.image, step.layer) = (image.clone(), layer.clone());
            }
            StepState::Done { image, layer } => {
                let why = match &step.outcome {
                    Outcome::Running(why) => why.clone(),
                    _ => None,
                };
                step.outcome = Outcome::Built(why);
                (step.image, step.layer) = (image.clone(), layer.clone());
            }
            StepState::Failed { error } => step.outcome = Outcome::Failed(error.clone()),
        }
    }

    /// The step that the build is at, or failed at.
    pub(super) fn current(&self) -> Option<&Step> {
        self.steps.last().filter(|step| matches!(step.outcome, Outcome::Running(_) | Outcome::Failed(_)))
    }

    /// The first step that the cache did not have.
    pub(super) fn first_miss(&self) -> Option<(u32, &CacheMiss)> {
        self.steps.iter().find_map(|step| match &step.outcome {
            Outcome::Running(Some(why)) | Outcome::Built(Some(why)) => Some((step.number, why)),
            _ => None,
        })
    }

    /// What of the current stage already stands, on top of its base image as `known` has it.
    pub(super) fn stack<'a>(&self, known: impl Fn(&str) -> Option<&'a Stack>) -> Stack {
        let stage = self.steps.iter().rposition(|step| step.instruction.starts_with("FROM ")).unwrap_or(0);
        let mut steps = self.steps[stage..].iter();
        let base = steps.next().and_then(|from| known(&from.image));
        let mut lines = base.map(|base| base.lines.clone()).unwrap_or_default();
        lines.extend(steps.filter(|step| !step.image.is_empty()).map(|step| Line {
            instruction: step.instruction.clone(),
            layer: step.layer.as_ref().map(|layer| Layer { diff_id: layer.diff_id.clone(), size: layer.size }),
            image: Some(step.image.clone()),
        }));
        Stack { id: format!("build {}", self.job), lines, building: true, ..Stack::default() }
    }
}

/// How a transfer stands, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Balance {
    /// Of the layers that had to travel.
    pub moved: u64,
    /// Layers that had to travel.
    pub travelling: usize,
    /// Of the layers that were there.
    pub spared: u64,
    /// Layers that were there.
    pub present: usize,
}

impl Transfer {
    pub(super) fn balance(&self) -> Balance {
        let mut balance = Balance::default();
        for parcel in &self.parcels {
            match &parcel.state {
                Some(LayerState::Exists | LayerState::Mounted { .. }) => {
                    balance.present += 1;
                    balance.spared += parcel.layer.size;
                }
                _ if parcel.moved => {
                    balance.travelling += 1;
                    balance.moved += parcel.layer.size;
                }
                _ => {}
            }
        }
        balance
    }
}

impl Parcel {
    /// How much of its way it has come, from 0 to 1.
    #[allow(clippy::cast_precision_loss)] // a part of a bar
    pub(super) fn part(&self) -> f64 {
        match &self.state {
            Some(LayerState::Moving { current, total }) if *total > 0 => (*current as f64 / *total as f64).min(1.0),
            Some(LayerState::Unpacking { .. } | LayerState::Done | LayerState::Exists | LayerState::Mounted { .. }) => {
                1.0
            }
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(work: &mut Work, job: u64, news: News) {
        work.hear(&Activity { job, time_nano: 0, news });
    }

    fn step(number: u32, instruction: &str, state: StepState) -> News {
        News::BuildStep { number, instruction: instruction.into(), state }
    }

    fn rebuilt() -> Work {
        let mut work = Work::default();
        let layer = |diff_id: &str| Some(StepLayer { diff_id: diff_id.into(), size: 7 });
        let changed = CacheMiss::Files { changed: vec!["app.py".into()], added: vec![], removed: vec![] };
        for news in [
            News::BuildBegan { tags: vec!["app:latest".into()], steps: 3 },
            step(1, "FROM base", StepState::Began),
            step(1, "FROM base", StepState::Done { image: "base".into(), layer: None }),
            step(2, "RUN pip install flask", StepState::Began),
            step(2, "RUN pip install flask", StepState::Cached { image: "sha256:2".into(), layer: layer("b") }),
            step(3, "COPY app.py /app.py", StepState::Began),
            step(3, "COPY app.py /app.py", StepState::Missed { why: changed }),
        ] {
            hear(&mut work, 4, news);
        }
        work
    }

    #[test]
    fn a_build_tells_its_first_miss_and_stands_on_its_base() {
        let mut work = rebuilt();
        let base = super::super::forest::tests::stack("base: a 5, CMD");
        let build = work.build.clone().expect("a build");
        assert_eq!(build.first_miss().map(|(step, why)| (step, why.to_string())), Some((3, "app.py changed".into())));
        assert_eq!(build.current().map(|step| step.number), Some(3));
        let stack = build.stack(|id| (id == "base").then_some(&*base));
        let lines: Vec<&str> = stack.lines.iter().map(|line| line.instruction.as_str()).collect();
        assert_eq!(lines, ["a 5", "CMD", "RUN pip install flask"]);

        let done = StepState::Done { image: "sha256:3".into(), layer: None };
        hear(&mut work, 4, step(3, "COPY app.py /app.py", done));
        hear(&mut work, 4, News::Ended { image: Some("sha256:3".into()), error: None });
        assert_eq!(work.outcome("sha256:2"), Some(&Outcome::Cached));
        assert!(matches!(work.outcome("sha256:3"), Some(Outcome::Built(Some(_)))));
        assert_eq!(work.written.get("sha256:3").map(String::as_str), Some("COPY app.py /app.py"));
        assert_eq!(work.build.and_then(|build| build.ended), Some(Ok("sha256:3".into())));
    }

    #[test]
    fn a_transfer_counts_what_moved_and_what_was_there() {
        let mut work = Work::default();
        let layer = |diff_id: &str, size| TransferredLayer { diff_id: diff_id.into(), digest: None, size };
        let (direction, reference) = (Direction::Push, "student/app:latest".to_owned());
        let layers = vec![layer("a", 90), layer("b", 10), layer("c", 1)];
        hear(&mut work, 5, News::TransferBegan { direction, reference, layers });
        let news = |diff_id: &str, state| News::Layer { diff_id: diff_id.into(), state };
        hear(&mut work, 5, news("a", LayerState::Exists));
        hear(&mut work, 5, news("b", LayerState::Mounted { from: "library/x".into() }));
        hear(&mut work, 5, news("c", LayerState::Moving { current: 1, total: 2 }));
        hear(&mut work, 3, News::Ended { image: None, error: Some("another job".into()) });
        let transfer = work.transfer.clone().expect("a transfer");
        assert_eq!(transfer.balance(), Balance { moved: 1, travelling: 1, spared: 100, present: 2 });
        assert!((transfer.parcels[2].part() - 0.5).abs() < f64::EPSILON);
        assert_eq!(transfer.ended, None);
        hear(&mut work, 5, News::Ended { image: None, error: Some("denied".into()) });
        assert_eq!(work.transfer.and_then(|transfer| transfer.ended), Some(Err("denied".into())));
    }
}
