//! A lab: its text, its terminals, its diagram.

mod author;
mod blocks;
mod check;
mod diagram_pane;
mod follow;
mod goal;
mod judge;
mod panel;
mod quiz;
mod state;
#[cfg(test)]
mod tests;
mod text;

use std::rc::Rc;

use docklab_scenario::{Commands, Scenario};
use yew::prelude::*;

use crate::{
    browser,
    icons::Icon,
    panes::{Divide, Splitter, use_share},
    session::SharedSession,
    terminal::{Deck, DeckAction, Terminals},
};
use author::AuthorPanel;
pub use author::{Edition, use_author};
use blocks::FileToSave;
use diagram_pane::DiagramPane;
use follow::use_lab;
use judge::{Poke, seconds};
use state::LabAction;
pub use state::progress_key;
use text::LabText;

#[derive(Properties, PartialEq)]
pub struct LabPageProps {
    pub scenario: Rc<Scenario>,
    pub session: SharedSession,
    /// The page's look, for the terminals.
    pub theme: AttrValue,
    /// The text stands in the page around this one.
    #[prop_or_default]
    pub is_panel: bool,
    /// What is known about the lab that is being written.
    #[prop_or_default]
    pub author: Option<Rc<Edition>>,
    /// The engine was lost (with the reason) or reached again.
    pub on_connection: Callback<Option<String>>,
}

#[component]
pub fn LabPage(props: &LabPageProps) -> Html {
    let (state, judging, on_places) = use_lab(&props.scenario, &props.session, props.is_panel);
    let (lab_share, set_lab_share) = use_share("share.lab", 38.0);
    let (diagram_share, set_diagram_share) = use_share("share.diagram", 56.0);
    let tab = use_state(|| if props.is_panel { "terminals" } else { "lab" });
    let nodes: Vec<String> = props.session.places().into_iter().map(|place| place.name).collect();
    let first = nodes.first().cloned().unwrap_or_default();
    let deck = use_reducer({
        let first = first.clone();
        move || Deck::new(first)
    });
    {
        let on_connection = props.on_connection.clone();
        use_effect_with(state.lost_reason(), move |lost| on_connection.emit(lost.clone()));
    }
    let on_run = {
        let (deck, first, tab) = (deck.clone(), first.clone(), tab.clone());
        Callback::from(move |commands: Commands| {
            tab.set("terminals");
            deck.dispatch(DeckAction::Run(commands.node.clone().unwrap_or_else(|| first.clone()), commands));
        })
    };
    let on_ask = {
        let judging = judging.clone();
        Callback::from(move |slug: String| judging.poke(Poke::Ask(slug)))
    };
    let on_save = {
        let (session, judging) = (props.session.clone(), judging.clone());
        Callback::from(move |(node, path, content, report): FileToSave| {
            let (session, judging) = (session.clone(), judging.clone());
            let node = node.unwrap_or_else(|| first.clone());
            browser::spawn(async move {
                let saved = session.save_file(&node, &path, &content).await;
                report.emit(saved.map_err(|error| error.to_string()));
                judging.poke(Poke::Look);
            });
        })
    };
    let on_answer = {
        let state = state.clone();
        Callback::from(move |(quiz, choice)| state.dispatch(LabAction::Answer(quiz, choice)))
    };
    let on_read = {
        let state = state.clone();
        Callback::from(move |slug: String| {
            let mut progress = state.progress.clone();
            progress.complete(&slug, false, seconds());
            state.dispatch(LabAction::Progress(progress));
        })
    };
    panel::use_panel(props.is_panel, &props.scenario, &on_run, &on_save);
    let share = format!("--lab-share: {lab_share}%; --diagram-share: {diagram_share}%");
    html! {
        <>
            <main class="workbench" style={share} data-tab={*tab} data-panel={props.is_panel.to_string()}>
                <div class="pane pane-lab" tabindex="-1">
                    <LabText
                        scenario={props.scenario.clone()} progress={state.progress.clone()} reports={state.reports.clone()}
                        answers={state.answers.clone()} engine={props.session.engine()} author={props.author.clone()}
                        {on_run} {on_save} {on_ask} {on_answer} {on_read}
                    />
                    if let Some(edition) = &props.author { <AuthorPanel edition={edition.clone()} /> }
                </div>
                <Splitter divide={Divide::Columns} label="Width of the lab's text" share={lab_share} on_change={set_lab_share} />
                <div class="pane pane-diagram">
                    <DiagramPane scenario={props.scenario.clone()} session={props.session.clone()} state={(*state).clone()} {nodes} {on_places} />
                </div>
                <Splitter divide={Divide::Rows} label="Height of the diagram" share={diagram_share} on_change={set_diagram_share} />
                <div class="pane pane-terminals">
                    <Terminals session={props.session.clone()} deck={deck} epoch={state.epoch} theme={props.theme.clone()} on_output={Callback::noop()} />
                </div>
            </main>
            <nav class="pane-tabs" role="tablist" aria-label="Panes">
                { for [("lab", "Lab", Icon::Text), ("terminals", "Terminal", Icon::Prompt), ("diagram", "Diagram", Icon::Diagram)].map(|(name, label, icon)| {
                    let chosen = tab.clone();
                    html! {
                        <button type="button" role="tab" aria-selected={(*tab == name).to_string()}
                            onclick={Callback::from(move |_: MouseEvent| chosen.set(name))}>{ icon.draw() }{ label }</button>
                    }
                }) }
            </nav>
        </>
    }
}
