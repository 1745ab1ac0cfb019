//! The blocks of a lab's text.

use docklab_scenario::{Block, Commands, NoteKind};
use yew::prelude::*;

use super::{check::CheckBox, quiz::QuizBox, text::StepContext};
use crate::{browser, icons::Icon, session::EngineKind};

/// Draws a block; `index` tells quizzes and checks of one step apart.
pub(crate) fn draw(block: &Block, key: usize, context: &StepContext) -> Html {
    match block {
        Block::Prose { html } => html! { <div key={key} class="prose">{ trusted(html) }</div> },
        Block::Run(commands) => {
            html! { <RunBox key={key} commands={commands.clone()} on_run={context.on_run.clone()} several_nodes={context.several_nodes} /> }
        }
        Block::Output { text } => {
            html! { <pre key={key} class="output" tabindex="0" aria-label="Expected output"><samp>{ elided(text) }</samp></pre> }
        }
        Block::File { path, node, content, .. } => html! {
            <FileBox key={key} path={path.clone()} node={node.clone()} content={content.clone()} on_save={context.on_save.clone()} />
        },
        Block::Check(check) => {
            let part = context.check_part(check);
            html! {
                <CheckBox key={key} check={check.clone()} reports={part} mistake={context.mistake.clone()} done={context.done}
                    on_ask={context.on_ask.clone()} />
            }
        }
        Block::Hint { html } => html! {
            <details key={key} class="hint"><summary>{ Icon::Lamp.draw() }{ "Hint" }</summary><div class="prose">{ trusted(html) }</div></details>
        },
        Block::Quiz(quiz) => {
            let name = format!("{}/{}", context.slug, quiz.question);
            let on_answer = {
                let (on_answer, name) = (context.on_answer.clone(), name.clone());
                Callback::from(move |choice: usize| on_answer.emit((name.clone(), choice)))
            };
            html! { <QuizBox key={key} quiz={quiz.clone()} answer={context.answers.get(&name).copied()} {on_answer} /> }
        }
        Block::Note { kind, title, blocks } if is_for(*kind, context.engine) => html! {
            <aside key={key} class="note" data-kind={note_name(*kind)}>
                if !title.is_empty() { <p class="note-title">{ title }</p> }
                { for blocks.iter().enumerate().map(|(key, block)| draw(block, key, context)) }
            </aside>
        },
        Block::Code { text, .. } => html! { <pre key={key} class="code" tabindex="0"><code>{ text }</code></pre> },
        // Routes for the tests, and notes for another engine.
        Block::Also(_) | Block::Wrong(_) | Block::Note { .. } => html! {},
    }
}

fn is_for(kind: NoteKind, engine: EngineKind) -> bool {
    match kind {
        NoteKind::Note | NoteKind::Warning => true,
        NoteKind::Simulator => engine == EngineKind::Simulator,
        NoteKind::Docklab => engine == EngineKind::Docklab,
        NoteKind::Docker => engine == EngineKind::Docker,
        NoteKind::Linux => browser::system() == Some("linux"),
        NoteKind::Macos => browser::system() == Some("macos"),
        NoteKind::Windows => browser::system() == Some("windows"),
    }
}

fn note_name(kind: NoteKind) -> &'static str {
    match kind {
        NoteKind::Note => "note",
        NoteKind::Warning => "warning",
        NoteKind::Simulator => "simulator",
        NoteKind::Docklab => "docklab",
        NoteKind::Docker => "docker",
        NoteKind::Linux => "linux",
        NoteKind::Macos => "macos",
        NoteKind::Windows => "windows",
    }
}

/// Expected output with the signs that tests elide by made readable.
fn elided(text: &str) -> String {
    let lines = text.lines().map(|line| if line.trim() == "..." { "⋮".to_owned() } else { line.replace("[..]", "…") });
    lines.collect::<Vec<_>>().join("\n")
}

/// HTML that the scenario's parser has made safe. Pictures lie beside the lab.
fn trusted(html: &str) -> Html {
    let html = html.replace("src=\"assets/", "src=\"labs/assets/").replace("src=\"./assets/", "src=\"labs/assets/");
    Html::from_html_unchecked(html.into())
}

#[derive(Properties, PartialEq)]
struct RunBoxProps {
    commands: Commands,
    on_run: Callback<Commands>,
    several_nodes: bool,
}

#[component]
fn RunBox(props: &RunBoxProps) -> Html {
    let copied = use_state(|| false);
    let copy = {
        let (text, copied) = (props.commands.text.clone(), copied.clone());
        Callback::from(move |_: MouseEvent| {
            let (text, copied) = (text.clone(), copied.clone());
            browser::spawn(async move {
                copied.set(browser::copy(text).await);
                browser::sleep(1600).await;
                copied.set(false);
            });
        })
    };
    let run = {
        let (commands, on_run) = (props.commands.clone(), props.on_run.clone());
        Callback::from(move |_: MouseEvent| on_run.emit(commands.clone()))
    };
    html! {
        <div class="run">
            <pre tabindex="0"><code>
                { for props.commands.text.trim_end().lines().map(|line| html! { <span class="line">{ line }{ "\n" }</span> }) }
            </code></pre>
            <div class="run-bar">
                if let (Some(node), true) = (&props.commands.node, props.several_nodes) {
                    <span class="run-node">{ node }</span>
                }
                <button type="button" class="button" data-kind="quiet" onclick={copy}>
                    { if *copied { Icon::Check.draw() } else { Icon::Copy.draw() } }
                    <span aria-live="polite">{ if *copied { "Copied" } else { "Copy" } }</span>
                </button>
                <button type="button" class="button" data-kind="primary" onclick={run}>{ Icon::Play.draw() }{ "Run" }</button>
            </div>
        </div>
    }
}

/// A file to save: node, path and content.
pub(crate) type FileToSave = (Option<String>, String, String, Callback<Result<(), String>>);

#[derive(Properties, PartialEq)]
struct FileBoxProps {
    path: String,
    node: Option<String>,
    content: String,
    on_save: Callback<FileToSave>,
}

#[component]
fn FileBox(props: &FileBoxProps) -> Html {
    let outcome = use_state(|| None::<Result<(), String>>);
    let save = {
        let (node, path, content) = (props.node.clone(), props.path.clone(), props.content.clone());
        let (on_save, outcome) = (props.on_save.clone(), outcome.clone());
        Callback::from(move |_: MouseEvent| {
            let outcome = outcome.clone();
            let report = Callback::from(move |result| outcome.set(Some(result)));
            on_save.emit((node.clone(), path.clone(), content.clone(), report));
        })
    };
    html! {
        <figure class="file">
            <figcaption>
                { Icon::File.draw() }<code>{ &props.path }</code>
                <span class="outcome" role="status">{ match &*outcome {
                    None => String::new(),
                    Some(Ok(())) => "Saved".to_owned(),
                    Some(Err(reason)) => reason.clone(),
                } }</span>
                <button type="button" class="button" onclick={save}>{ "Save" }</button>
            </figcaption>
            <pre tabindex="0"><code>{ &props.content }</code></pre>
        </figure>
    }
}
