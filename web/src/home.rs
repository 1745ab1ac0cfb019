use std::rc::Rc;

use docklab_scenario::{Level, Progress};
use yew::prelude::*;

use crate::{browser, lab::progress_key, library::Lab};

#[derive(Properties, PartialEq)]
pub struct HomeProps {
    pub labs: Rc<Vec<Lab>>,
}

/// The labs, with how far this browser's student has come.
#[component]
pub fn Home(props: &HomeProps) -> Html {
    html! {
        <main class="home">
            <header>
                <h1>{ "Learn containers by running them" }</h1>
                <p>{ "Type real commands, watch what they build, and see each step tick itself off. Nothing to install: everything can run inside this page." }</p>
            </header>
            <ol class="lab-list">{ for props.labs.iter().enumerate().map(|(index, lab)| draw_lab(index, lab)) }</ol>
            <p class="home-book"><a href="book/index.html">{ "The book" }</a>{ ": what containers, images, registries and swarms are, with the labs beside their explanations." }</p>
        </main>
    }
}

fn draw_lab(index: usize, lab: &Lab) -> Html {
    let scenario = &lab.scenario;
    let progress: Progress = browser::load(&progress_key(&scenario.meta.id)).unwrap_or_default();
    let total = scenario.steps.len();
    let done = scenario.steps.iter().filter(|step| progress.is_done(&step.slug)).count();
    let (status, action) = match done {
        0 => ("Not begun".to_owned(), "Begin"),
        done if done == total => ("Finished".to_owned(), "Look again"),
        done => (format!("{done} of {total} steps"), "Go on"),
    };
    let level = match scenario.meta.level {
        Level::Beginner => "beginner",
        Level::Intermediate => "intermediate",
        Level::Advanced => "advanced",
    };
    let nodes = scenario.meta.nodes.len();
    html! {
        <li key={lab.file.clone()}>
            <a class="lab-card" href={lab.route()}>
                <span class="lab-number" aria-hidden="true">{ index + 1 }</span>
                <span class="lab-words">
                    <strong>{ &scenario.meta.title }</strong>
                    <span class="lab-summary">{ &scenario.meta.summary }</span>
                    <span class="lab-meta">{ format!("{} minutes · {level} · {nodes} node{}", scenario.meta.time, if nodes == 1 { "" } else { "s" }) }</span>
                </span>
                <span class="lab-progress">
                    <span class="pips" aria-hidden="true">
                        { for scenario.steps.iter().map(|step| html! { <i data-done={progress.is_done(&step.slug).to_string()} /> }) }
                    </span>
                    <span class="lab-status">{ status }</span>
                    <span class="lab-action">{ action }{ " →" }</span>
                </span>
            </a>
        </li>
    }
}
