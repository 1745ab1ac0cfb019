//! Evaluates the current step whenever something happened that may have changed it.

use std::{cell::RefCell, rc::Rc};

use docklab_api::models::EventMessage;
use docklab_scenario::{Evaluator, Progress, Scenario, Step, StepReport, Watch};
use futures::{
    FutureExt as _, StreamExt as _,
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    future::{Either, select},
};

use crate::{browser, session::SharedSession};

/// What may turn a check.
#[derive(Debug, Clone)]
pub(crate) enum Poke {
    Event(Box<EventMessage>),
    /// The swarm looks different: a node, a service or a task.
    Swarm,
    /// A file was saved, or the engine is reached (again).
    Look,
    /// A student asks about this step.
    Ask(String),
}

#[derive(Debug, Clone)]
pub(crate) enum News {
    Report(StepReport),
    /// The step turned green; the shared progress already says so.
    Done,
}

/// Pauses before looking again at what settles after its event (a server that begins to listen).
const SETTLING_MILLISECONDS: [i32; 7] = [60, 120, 250, 500, 1000, 2000, 4000];

pub(crate) struct Judge {
    pub scenario: Rc<Scenario>,
    pub session: SharedSession,
    pub progress: Rc<RefCell<Progress>>,
    pub evaluator: Evaluator,
}

/// The way to a running judge.
#[derive(Clone)]
pub(crate) struct Judging(UnboundedSender<Poke>);

impl Judging {
    pub(crate) fn poke(&self, poke: Poke) {
        // A judge that has ended belongs to a lab that was left.
        let _ = self.0.unbounded_send(poke);
    }
}

/// The first step that can be verified and is not done.
pub(crate) fn current_step<'a>(scenario: &'a Scenario, progress: &Progress) -> Option<&'a Step> {
    scenario.steps.iter().find(|step| step.is_verifiable() && !progress.is_done(&step.slug))
}

/// Seconds since 1970.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a date of this century
pub(crate) fn seconds() -> u64 {
    (browser::now() / 1000.0) as u64
}

impl Judge {
    /// Starts judging; ends when the returned handle and its clones are dropped.
    pub(crate) fn start(self, report: impl Fn(News) + 'static) -> Judging {
        let (sender, pokes) = unbounded();
        browser::spawn(self.run(pokes, report));
        Judging(sender)
    }

    async fn run(self, mut pokes: UnboundedReceiver<Poke>, report: impl Fn(News)) {
        while let Some(first) = pokes.next().await {
            let mut waiting = vec![first];
            // What came meanwhile is answered by the same look.
            while let Some(Some(more)) = pokes.next().now_or_never() {
                waiting.push(more);
            }
            while !waiting.is_empty() {
                waiting = self.answer(waiting, &mut pokes, &report).await;
            }
        }
    }

    /// Returns pokes that arrived while something was settling.
    async fn answer(&self, batch: Vec<Poke>, pokes: &mut UnboundedReceiver<Poke>, report: &impl Fn(News)) -> Vec<Poke> {
        for poke in &batch {
            if let Poke::Ask(slug) = poke
                && let Some(step) = self.scenario.steps.iter().find(|step| step.slug == *slug)
            {
                self.look(step, report).await;
            }
        }
        let mut pauses = SETTLING_MILLISECONDS.iter();
        loop {
            let step = current_step(&self.scenario, &self.progress.borrow()).cloned();
            let Some(step) = step else { return Vec::new() };
            let watch = Watch::of(&step);
            if !batch.iter().any(|poke| self.concerns(poke, &watch)) {
                return Vec::new();
            }
            if self.look(&step, report).await {
                // The next step may be true already; it is looked at without waiting for another event.
                return vec![Poke::Look];
            }
            let Some(pause) = pauses.next().filter(|_| watch.settles) else { return Vec::new() };
            if let Some(poke) = self.sleep_unless_concerned(*pause, pokes, &watch).await {
                return vec![poke];
            }
        }
    }

    /// Sleeps, and returns early with something that concerns the step or that asks. What does not concern it must not end
    /// the settling either: a server that begins to listen is announced by no event.
    async fn sleep_unless_concerned(
        &self,
        milliseconds: i32,
        pokes: &mut UnboundedReceiver<Poke>,
        watch: &Watch,
    ) -> Option<Poke> {
        let mut sleep = Box::pin(browser::sleep(milliseconds));
        loop {
            match select(pokes.next(), sleep).await {
                Either::Left((Some(poke), rest)) => {
                    if matches!(poke, Poke::Ask(_)) || self.concerns(&poke, watch) {
                        return Some(poke);
                    }
                    sleep = rest;
                }
                Either::Left((None, rest)) => {
                    rest.await;
                    return None;
                }
                Either::Right(_) => return None,
            }
        }
    }

    fn concerns(&self, poke: &Poke, watch: &Watch) -> bool {
        match poke {
            Poke::Event(event) => watch.concerns(event) && !self.evaluator.caused(event),
            Poke::Swarm => watch.event_types.iter().any(|kind| kind == "service" || kind == "node"),
            Poke::Look => true,
            Poke::Ask(_) => false,
        }
    }

    async fn look(&self, step: &Step, report: &impl Fn(News)) -> bool {
        let result = self.evaluator.evaluate(step, &*self.session.0).await;
        let passed = result.passed;
        report(News::Report(result));
        if passed {
            self.progress.borrow_mut().complete(&step.slug, false, seconds());
            report(News::Done);
        }
        passed
    }
}
