//! A container's details: everything `inspect` says as a tree, its log as it grows, its processes.

mod tree;

use std::sync::Arc;

use docklab_api::{DockerApi, Logs};
use futures::StreamExt as _;
use serde_json::Value;
use yew::prelude::*;

use crate::{browser, icons::Icon, observe::ContainerView, session::SharedSession};
use tree::JsonTree;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Inspect,
    Logs,
    Processes,
}

#[derive(Properties, PartialEq)]
pub struct DetailsProps {
    pub session: SharedSession,
    pub node: String,
    /// Changes with every event of the container; what is shown is then read again.
    pub container: ContainerView,
    pub on_close: Callback<()>,
}

#[component]
pub fn Details(props: &DetailsProps) -> Html {
    let page = use_state(|| Page::Inspect);
    let api = props.session.nodes().into_iter().find(|(name, _)| *name == props.node).map(|(_, api)| api);
    let close = {
        let on_close = props.on_close.clone();
        Callback::from(move |_: MouseEvent| on_close.emit(()))
    };
    let onkeydown = {
        let on_close = props.on_close.clone();
        Callback::from(move |event: KeyboardEvent| {
            if event.key() == "Escape" {
                on_close.emit(());
            }
        })
    };
    let choose = |to: Page, label: &str| {
        let page = page.clone();
        html! {
            <button type="button" role="tab" aria-selected={(*page == to).to_string()}
                onclick={Callback::from(move |_: MouseEvent| page.set(to))}>{ label }</button>
        }
    };
    html! {
        <section class="details" aria-label={format!("Details of {}", props.container.name)} {onkeydown}>
            <header>
                <h2>{ &props.container.name }</h2>
                <span class="state-chip" data-state={props.container.state.as_str()}>{ props.container.state_text() }</span>
                <span class="segments" role="tablist">
                    { choose(Page::Inspect, "Inspect") }{ choose(Page::Logs, "Logs") }{ choose(Page::Processes, "Processes") }
                </span>
                <button type="button" class="bar-button" aria-label="Close details" onclick={close}>{ Icon::Close.draw() }</button>
            </header>
            <div class="details-body" role="tabpanel" tabindex="0">
                if let Some(api) = api {
                    { match *page {
                        Page::Inspect => html! { <InspectPage api={Engine(api)} container={props.container.clone()} /> },
                        Page::Logs => html! { <LogsPage api={Engine(api)} id={props.container.id.clone()} alive={props.container.state.is_alive()} /> },
                        Page::Processes => html! { <ProcessesPage api={Engine(api)} container={props.container.clone()} /> },
                    } }
                }
            </div>
        </section>
    }
}

/// An engine as a property: equal when it is the same one.
#[derive(Clone)]
struct Engine(Arc<dyn DockerApi>);

impl PartialEq for Engine {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[derive(Properties, PartialEq)]
struct ContainerProps {
    api: Engine,
    container: ContainerView,
}

#[component]
fn InspectPage(props: &ContainerProps) -> Html {
    let answer = use_state(|| None::<Result<Value, String>>);
    {
        let answer = answer.clone();
        use_effect_with((props.api.clone(), props.container.clone()), move |(api, container)| {
            let (api, id) = (api.0.clone(), container.id.clone());
            browser::spawn(async move {
                let read = match api.inspect_container(&id, false).await {
                    Ok(inspect) => Ok(docklab_api::wire::to_value(&inspect)),
                    Err(error) => Err(error.to_string()),
                };
                answer.set(Some(read));
            });
        });
    }
    match &*answer {
        None => html! {},
        Some(Ok(value)) => html! { <JsonTree value={value.clone()} /> },
        Some(Err(reason)) => html! { <p class="trouble">{ reason }</p> },
    }
}

#[component]
fn ProcessesPage(props: &ContainerProps) -> Html {
    let answer = use_state(|| None::<Result<(Vec<String>, Vec<Vec<String>>), String>>);
    {
        let answer = answer.clone();
        use_effect_with((props.api.clone(), props.container.clone()), move |(api, container)| {
            let (api, id) = (api.0.clone(), container.id.clone());
            browser::spawn(async move {
                let read = api.top_container(&id, "").await;
                answer.set(Some(
                    read.map(|top| (top.titles.unwrap_or_default(), top.processes.unwrap_or_default()))
                        .map_err(|error| error.to_string()),
                ));
            });
        });
    }
    match &*answer {
        None => html! {},
        Some(Ok((titles, rows))) => html! {
            <>
                <p class="faint">{ "As the host sees them: the same processes, with the host's numbers." }</p>
                <table class="processes">
                    <thead><tr>{ for titles.iter().map(|title| html! { <th scope="col">{ title }</th> }) }</tr></thead>
                    <tbody>{ for rows.iter().map(|row| html! { <tr>{ for row.iter().map(|cell| html! { <td>{ cell }</td> }) }</tr> }) }</tbody>
                </table>
            </>
        },
        Some(Err(reason)) => html! { <p class="trouble">{ reason }</p> },
    }
}

#[derive(Properties, PartialEq)]
struct LogsProps {
    api: Engine,
    id: String,
    /// A container that starts again has a new stream.
    alive: bool,
}

const TAIL: &str = "500";
/// The page keeps this much of a log; a terminal has all of it.
const KEPT_CHARACTERS: usize = 100_000;

#[component]
fn LogsPage(props: &LogsProps) -> Html {
    let text = use_state(String::new);
    {
        let text = text.clone();
        use_effect_with((props.api.clone(), props.id.clone(), props.alive), move |(api, id, _)| {
            let (api, id) = (api.0.clone(), id.clone());
            let (stop, stopped) = futures::channel::oneshot::channel::<()>();
            let follow = async move {
                let options =
                    Logs { stdout: true, stderr: true, follow: true, tail: Some(TAIL.into()), ..Logs::default() };
                let mut all = String::new();
                match api.container_logs(&id, options).await {
                    Err(error) => text.set(error.to_string()),
                    Ok(stream) => {
                        let mut batches = stream.ready_chunks(64);
                        while let Some(batch) = batches.next().await {
                            for chunk in batch.into_iter().flatten() {
                                all.push_str(&plain(&String::from_utf8_lossy(&chunk.bytes)));
                            }
                            if all.len() > KEPT_CHARACTERS {
                                let from = all.ceil_char_boundary(all.len() - KEPT_CHARACTERS);
                                all.drain(..from);
                            }
                            text.set(all.clone());
                        }
                    }
                }
            };
            browser::spawn(async move {
                futures::future::select(Box::pin(follow), stopped).await;
            });
            move || drop(stop)
        });
    }
    if text.is_empty() {
        html! { <p class="faint">{ "Nothing has been printed yet." }</p> }
    } else {
        html! { <pre class="log"><samp>{ &*text }</samp></pre> }
    }
}

/// A log without the terminal's control sequences.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                if characters.peek() == Some(&'[') {
                    characters.next();
                    // Parameters, then one final byte (ECMA-48).
                    for next in characters.by_ref() {
                        if ('\u{40}'..='\u{7e}').contains(&next) {
                            break;
                        }
                    }
                } else {
                    characters.next();
                }
            }
            '\r' => {}
            _ => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn control_sequences_are_dropped_from_a_log() {
        assert_eq!(plain("\u{1b}[1;32mtop\u{1b}[0m - 10:00\r\n\u{1b}(Bdone"), "top - 10:00\nBdone");
    }
}
