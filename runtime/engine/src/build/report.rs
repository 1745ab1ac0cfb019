//! A build's news for those who watch the engine.

use std::sync::Arc;

use docklab_api::{CacheMiss, News, StepLayer, StepState};

use crate::{activity::Job, image::Image};

/// Tells of the step that is carried out.
pub(super) struct Report {
    job: Arc<Job>,
    /// Of the current step, from 1.
    pub(super) number: u32,
    instruction: String,
    cached: bool,
}

impl Report {
    pub(super) fn new(job: Arc<Job>) -> Self {
        Self { job, number: 0, instruction: String::new(), cached: false }
    }

    fn tell(&self, state: StepState) {
        self.job.tell(News::BuildStep { number: self.number, instruction: self.instruction.clone(), state });
    }

    pub(super) fn began(&mut self, instruction: &str) {
        self.number += 1;
        instruction.clone_into(&mut self.instruction);
        self.cached = false;
        self.tell(StepState::Began);
    }

    /// The current step's number and its line.
    pub(super) fn now(&self) -> (u32, &str) {
        (self.number, &self.instruction)
    }

    pub(super) fn missed(&mut self, why: CacheMiss) {
        self.tell(StepState::Missed { why });
    }

    pub(super) fn hit(&mut self) {
        self.cached = true;
    }

    /// The step ended with this image; it made a layer if `before` had fewer.
    pub(super) fn done(&mut self, before: Option<&Image>, image: Option<&Image>) {
        let layers = |image: Option<&Image>| image.map_or(0, |image| image.file.rootfs.diff_ids.len());
        let layer = image.filter(|_| layers(image) > layers(before)).and_then(|image| {
            let (diff_id, size) = (image.file.rootfs.diff_ids.last()?.clone(), image.sizes.last().copied()?);
            Some(StepLayer { diff_id, size })
        });
        let image = image.map(|image| image.id.clone()).unwrap_or_default();
        self.tell(if self.cached { StepState::Cached { image, layer } } else { StepState::Done { image, layer } });
    }

    pub(super) fn failed(&self, error: &str) {
        self.tell(StepState::Failed { error: error.to_owned() });
    }
}
