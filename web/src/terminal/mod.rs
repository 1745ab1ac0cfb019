//! Terminals: several a node, in tabs. [`Deck`] knows which there are, [`TerminalScreen`] is one of them.

mod capture;
mod deck;
mod screen;
mod xterm;

use web_sys::KeyboardEvent;
use yew::prelude::*;

use crate::{icons::Icon, session::SharedSession};
pub use deck::{Deck, DeckAction, Keyboard, Tab};
use screen::TerminalScreen;

#[derive(Properties, PartialEq)]
pub struct TerminalsProps {
    pub session: SharedSession,
    pub deck: UseReducerHandle<Deck>,
    /// Grows whenever the engine is reached again: terminals that lost their shell then open a new one.
    pub epoch: u32,
    /// Changes with the page's look.
    pub theme: AttrValue,
    /// Something was printed.
    pub on_output: Callback<()>,
}

#[component]
pub fn Terminals(props: &TerminalsProps) -> Html {
    let deck = &props.deck;
    let read_aloud = use_state(|| crate::browser::load::<bool>("read-aloud").unwrap_or_default());
    let nodes: Vec<String> = props.session.nodes().into_iter().map(|(name, _)| name).collect();
    let onkeydown = {
        let deck = deck.clone();
        Callback::from(move |event: KeyboardEvent| {
            let step = match event.key().as_str() {
                "ArrowLeft" => -1,
                "ArrowRight" => 1,
                _ => return,
            };
            event.prevent_default();
            deck.dispatch(DeckAction::Step(step));
        })
    };
    let toggle_reading = {
        let read_aloud = read_aloud.clone();
        Callback::from(move |_: MouseEvent| {
            crate::browser::store("read-aloud", &!*read_aloud);
            read_aloud.set(!*read_aloud);
        })
    };
    html! {
        <>
            <div class="terminal-bar">
                <div class="terminal-tabs" role="tablist" aria-label="Terminals" {onkeydown}>
                    { for deck.tabs.iter().map(|tab| {
                        let selected = deck.active == tab.id;
                        let (select, close) = (deck.clone(), deck.clone());
                        let id = tab.id;
                        html! {
                            <span key={tab.id} class="terminal-tab" data-selected={selected.to_string()}>
                                <button type="button" role="tab" aria-selected={selected.to_string()} tabindex={if selected { "0" } else { "-1" }}
                                    onclick={Callback::from(move |_: MouseEvent| select.dispatch(DeckAction::Select(id)))}>
                                    { Icon::Prompt.draw() }{ deck.title(tab) }
                                </button>
                                if deck.tabs.len() > 1 {
                                    <button type="button" class="close" aria-label={format!("Close terminal {}", deck.title(tab))}
                                        onclick={Callback::from(move |_: MouseEvent| close.dispatch(DeckAction::Close(id)))}>
                                        { Icon::Close.draw() }
                                    </button>
                                }
                            </span>
                        }
                    }) }
                </div>
                { for nodes.iter().map(|node| {
                    let (deck, name) = (deck.clone(), node.clone());
                    html! {
                        <button type="button" class="bar-button" key={node.clone()} title={format!("New terminal on {node}")}
                            aria-label={format!("New terminal on {node}")}
                            onclick={Callback::from(move |_: MouseEvent| deck.dispatch(DeckAction::Open(name.clone())))}>
                            { Icon::Plus.draw() }{ if nodes.len() > 1 { node.as_str() } else { "" } }
                        </button>
                    }
                }) }
                <span class="spring" />
                <button type="button" class="bar-button" aria-pressed={read_aloud.to_string()} onclick={toggle_reading}
                    title="Screen reader mode: announce what is printed">
                    { Icon::Speech.draw() }<span class="hidden-text">{ "Screen reader mode" }</span>
                </button>
            </div>
            <div class="terminal-screens" data-terminals="true">
                { for deck.tabs.iter().map(|tab| html! {
                    <TerminalScreen
                        key={tab.id} id={tab.id} node={tab.node.clone()} session={props.session.clone()}
                        keyboard={deck.keyboard.clone()} visible={deck.active == tab.id} epoch={props.epoch}
                        theme={props.theme.clone()} read_aloud={*read_aloud} on_output={props.on_output.clone()}
                    />
                }) }
            </div>
        </>
    }
}
