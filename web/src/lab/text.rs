use std::{collections::BTreeMap, rc::Rc};

use docklab_scenario::{Check, Commands, ExpectationReport, Progress, Scenario, Step, StepReport};
use yew::prelude::*;

use super::{
    author::{self, Edition},
    blocks::{self, FileToSave},
    check::reports_of,
    judge::current_step,
};
use crate::{icons::Icon, session::EngineKind};

/// What the blocks of a step need to know.
pub(crate) struct StepContext {
    pub slug: String,
    pub engine: EngineKind,
    pub several_nodes: bool,
    pub done: bool,
    pub mistake: Option<String>,
    pub answers: Rc<BTreeMap<String, usize>>,
    pub on_run: Callback<Commands>,
    pub on_save: Callback<FileToSave>,
    pub on_ask: Callback<()>,
    pub on_answer: Callback<(String, usize)>,
    report: Option<StepReport>,
    checks: Vec<Check>,
}

impl StepContext {
    /// The step's report as far as it belongs to one of its checks.
    pub(crate) fn check_part(&self, check: &Check) -> Vec<ExpectationReport> {
        let checks: Vec<&Check> = self.checks.iter().collect();
        match self.checks.iter().position(|known| known.span == check.span) {
            Some(index) => reports_of(self.report.as_ref(), &checks, index),
            None => Vec::new(),
        }
    }
}

#[derive(Properties, PartialEq)]
pub(crate) struct LabTextProps {
    pub scenario: Rc<Scenario>,
    pub progress: Progress,
    #[prop_or_default]
    pub reports: Rc<BTreeMap<String, StepReport>>,
    #[prop_or_default]
    pub answers: Rc<BTreeMap<String, usize>>,
    pub engine: EngineKind,
    #[prop_or_default]
    pub author: Option<Rc<Edition>>,
    #[prop_or_default]
    pub on_run: Callback<Commands>,
    #[prop_or_default]
    pub on_save: Callback<FileToSave>,
    #[prop_or_default]
    pub on_ask: Callback<String>,
    #[prop_or_default]
    pub on_answer: Callback<(String, usize)>,
    /// A step without checks has been read.
    #[prop_or_default]
    pub on_read: Callback<String>,
}

#[component]
pub(crate) fn LabText(props: &LabTextProps) -> Html {
    let scenario = &*props.scenario;
    let current = current_step(scenario, &props.progress).map(|step| step.slug.as_str());
    let done = scenario.steps.iter().filter(|step| props.progress.is_done(&step.slug)).count();
    let total = scenario.steps.len();
    html! {
        <article class="lab" lang={scenario.meta.language.clone()}>
            <header class="lab-head">
                <h1>{ &scenario.meta.title }</h1>
                <p class="lab-facts">{ format!("{} minutes · {done} of {total} steps done", scenario.meta.time) }</p>
                <ol class="pips" aria-label="Steps">
                    { for scenario.steps.iter().map(|step| html! {
                        <li key={step.slug.clone()} data-state={state(step, &props.progress, current)}>
                            <a href={format!("#{}", step.slug)} onclick={scroll_to(step.slug.clone())} title={step.title.clone()}>
                                <span class="hidden-text">{ &step.title }</span>
                            </a>
                        </li>
                    }) }
                </ol>
            </header>
            { author::faults_within(props.author.as_deref(), 0, scenario.steps.first().map_or(usize::MAX, |step| step.span.start)) }
            { for scenario.introduction.iter().enumerate().map(|(key, block)| blocks::draw(block, key, &context(props, None))) }
            { for scenario.steps.iter().enumerate().map(|(index, step)| draw_step(props, step, index, current)) }
            if total > 0 && done == total {
                <p class="finished" role="status">{ Icon::Check.draw() }{ "Lab finished. Every step of it really happened." }</p>
            }
        </article>
    }
}

fn state(step: &Step, progress: &Progress, current: Option<&str>) -> &'static str {
    if progress.is_done(&step.slug) {
        "done"
    } else if current == Some(step.slug.as_str()) {
        "current"
    } else {
        "open"
    }
}

/// Steps are scrolled to by hand: the address's fragment is the page's route.
fn scroll_to(slug: String) -> Callback<MouseEvent> {
    Callback::from(move |event: MouseEvent| {
        event.prevent_default();
        let document = crate::browser::window().and_then(|window| window.document());
        if let Some(element) = document.and_then(|document| document.get_element_by_id(&slug)) {
            element.scroll_into_view();
        }
    })
}

fn context(props: &LabTextProps, step: Option<&Step>) -> StepContext {
    let slug = step.map(|step| step.slug.clone()).unwrap_or_default();
    let report = props.reports.get(&slug).cloned();
    let on_ask = {
        let (on_ask, slug) = (props.on_ask.clone(), slug.clone());
        Callback::from(move |()| on_ask.emit(slug.clone()))
    };
    StepContext {
        engine: props.engine,
        several_nodes: props.scenario.meta.nodes.len() > 1,
        done: props.progress.is_done(&slug),
        mistake: report.as_ref().and_then(|report| report.mistake.clone()),
        answers: props.answers.clone(),
        on_run: props.on_run.clone(),
        on_save: props.on_save.clone(),
        on_ask,
        on_answer: props.on_answer.clone(),
        checks: step.map(|step| step.checks().cloned().collect()).unwrap_or_default(),
        report,
        slug,
    }
}

fn draw_step(props: &LabTextProps, step: &Step, index: usize, current: Option<&str>) -> Html {
    let state = state(step, &props.progress, current);
    let context = context(props, Some(step));
    let read = {
        let (on_read, slug) = (props.on_read.clone(), step.slug.clone());
        Callback::from(move |_: MouseEvent| on_read.emit(slug.clone()))
    };
    html! {
        <section key={step.slug.clone()} class="step" id={step.slug.clone()} data-state={state}>
            <h2>
                <span class="step-number" aria-hidden="true">{ if state == "done" { Icon::Check.draw() } else { html! { { index + 1 } } } }</span>
                <span>{ &step.title }</span>
                <span class="hidden-text">{ if state == "done" { " – done" } else { "" } }</span>
            </h2>
            { author::faults_within(
                props.author.as_deref(),
                step.span.start,
                author::end_of(props.scenario.steps.iter().map(|step| step.span), index),
            ) }
            { for step.blocks.iter().enumerate().map(|(key, block)| blocks::draw(block, key, &context)) }
            if !step.is_verifiable() && state != "done" {
                <button type="button" class="button" onclick={read}>{ Icon::Check.draw() }{ "Mark as read" }</button>
            }
        </section>
    }
}
