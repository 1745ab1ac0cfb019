//! The frame: which page is shown, how it looks, and where labs run.

use std::{rc::Rc, sync::Arc};

use wasm_bindgen::JsCast as _;
use yew::prelude::*;

use crate::{
    browser::{self, WindowListener},
    home::Home,
    icons::{Icon, brand},
    lab::{Edition, LabPage, use_author},
    library::{self, Lab},
    session::{self, Backend, Place, SharedSession},
};

/// What the address asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    Home,
    /// A lab's file name without its ending.
    Lab(String),
    /// The same, without its text and in the simulator: as a panel of the book.
    Panel(String),
}

impl Route {
    fn parse(hash: &str) -> Self {
        match hash.strip_prefix("#/").and_then(|path| path.split_once('/')) {
            Some(("lab", lab)) if !lab.is_empty() => Self::Lab(lab.to_owned()),
            Some(("panel", lab)) if !lab.is_empty() => Self::Panel(lab.to_owned()),
            _ => Self::Home,
        }
    }
    fn current() -> Self {
        let hash = browser::window().and_then(|window| window.location().hash().ok());
        Self::parse(&hash.unwrap_or_default())
    }
}

#[hook]
fn use_route() -> Route {
    let route = use_state(Route::current);
    {
        let route = route.clone();
        use_effect_with((), move |()| {
            let listener = WindowListener::new("hashchange", move |_| route.set(Route::current()));
            move || drop(listener)
        });
    }
    (*route).clone()
}

/// The look: as the system says until the student chooses.
#[hook]
fn use_theme() -> (&'static str, Callback<MouseEvent>) {
    let theme = use_state(|| {
        let chosen = document_element().and_then(|root| root.get_attribute("data-theme"));
        let dark = chosen.map_or_else(
            || {
                let query =
                    browser::window().and_then(|window| window.match_media("(prefers-color-scheme: dark)").ok());
                query.flatten().is_some_and(|query| query.matches())
            },
            |chosen| chosen == "dark",
        );
        if dark { "dark" } else { "light" }
    });
    let toggle = {
        let theme = theme.clone();
        Callback::from(move |_: MouseEvent| {
            let next = if *theme == "dark" { "light" } else { "dark" };
            if let Some(root) = document_element() {
                // The attribute alone decides; a refusal leaves the look as it is.
                let _ = root.set_attribute("data-theme", next);
            }
            let storage = browser::window().and_then(|window| window.local_storage().ok().flatten());
            if let Some(storage) = storage {
                // theme.js reads this as plain text before the page's module is there.
                let _ = storage.set_item("docklab.theme", next);
            }
            theme.set(next);
        })
    };
    (*theme, toggle)
}

fn document_element() -> Option<web_sys::Element> {
    browser::window()?.document()?.document_element()
}

/// Whether the page has a backend.
#[derive(Clone)]
enum Server {
    Asking,
    /// Why there is none.
    Absent(String),
    Present(Arc<Backend>),
}

#[component]
pub fn App() -> Html {
    let route = use_route();
    let (theme, toggle_theme) = use_theme();
    let labs = use_state(|| None::<Result<Rc<Vec<Lab>>, String>>);
    let server = use_state(|| Server::Asking);
    let place = use_state(|| browser::load::<Place>("place"));
    let lost = use_state(|| None::<String>);
    let is_authoring = use_state(|| false);
    let edition = use_author(*is_authoring);
    {
        let (labs, server, is_authoring) = (labs.clone(), server.clone(), is_authoring.clone());
        use_effect_with((), move |()| {
            browser::spawn(async move {
                let mut listed = Vec::new();
                server.set(match session::probe().await {
                    Ok(backend) => {
                        is_authoring.set(backend.is_authoring);
                        listed.extend(backend.labs.iter().map(|lab| lab.file.clone()));
                        if backend.has_engine() {
                            Server::Present(Arc::new(backend))
                        } else {
                            Server::Absent("this server runs no engine; labs run inside this page".to_owned())
                        }
                    }
                    Err(error) => Server::Absent(error.to_string()),
                });
                labs.set(Some(library::load(listed).await.map(Rc::new)));
            });
        });
    }
    // Until the student chooses, a backend that is there is used.
    let is_panel = matches!(route, Route::Panel(_));
    let current = match (&*server, *place) {
        _ if is_panel => Place::Browser,
        (Server::Present(_), place) => place.unwrap_or(Place::Backend),
        (Server::Asking | Server::Absent(_), _) => Place::Browser,
    };
    let choose = {
        let (place, lost) = (place.clone(), lost.clone());
        Callback::from(move |to: Place| {
            browser::store("place", &to);
            lost.set(None);
            place.set(Some(to));
        })
    };
    let on_connection = {
        let lost = lost.clone();
        Callback::from(move |reason: Option<String>| lost.set(reason))
    };
    let lab = match (&route, &*labs) {
        (Route::Lab(name) | Route::Panel(name), Some(Ok(labs))) => {
            labs.iter().find(|lab| lab.file.trim_end_matches(".md") == name).cloned()
        }
        _ => None,
    };
    let (lab, author) = as_edited(lab, edition);
    let body = match (&route, &*labs, &lab, &*server) {
        (_, Some(Err(reason)), ..) => html! { <main class="starting" role="alert">{ reason }</main> },
        (_, None, ..) | (Route::Lab(_) | Route::Panel(_), _, _, Server::Asking) => {
            html! { <main class="starting" aria-busy="true">{ "Starting…" }</main> }
        }
        (Route::Home, Some(Ok(labs)), ..) => html! { <Home labs={labs.clone()} /> },
        (Route::Lab(name) | Route::Panel(name), _, None, _) => {
            html! { <main class="starting">{ format!("There is no lab called {name}.") }</main> }
        }
        (Route::Lab(_) | Route::Panel(_), _, Some(lab), server) => {
            html! { <Running key={format!("{}-{current:?}", lab.file)} lab={lab.clone()} author={author.clone()} place={current} backend={backend_of(server)} {is_panel} {theme} {on_connection} /> }
        }
    };
    let in_lab = lab.is_some();
    html! {
        <div class={classes!("shell", in_lab.then_some("has-tabs"))} data-panel={is_panel.to_string()}>
            if !is_panel { <header class="topbar">
                <a class="brand" href="#/">{ brand() }{ "docklab" }</a>
                if let Some(lab) = &lab { <span class="place">{ &lab.scenario.meta.title }</span> }
                <span class="spring" />
                <PlaceSwitch {current} server={ServerProperty::of(&server)} lost={lost.is_some()} on_choose={choose} />
                <button type="button" class="icon-button" onclick={toggle_theme}
                    aria-label={if theme == "dark" { "Use the light look" } else { "Use the dark look" }}>
                    { if theme == "dark" { Icon::Sun.draw() } else { Icon::Moon.draw() } }
                </button>
            </header> }
            <div role="status" aria-live="assertive">
                if let (Some(reason), true) = (&*lost, in_lab) {
                    <p class="banner"><span class="spinner" aria-hidden="true" />
                        { "The connection to the engine is lost; trying to reach it again. What is shown may be out of date." }
                        <span class="hidden-text">{ reason }</span>
                    </p>
                }
            </div>
            { body }
        </div>
    }
}

/// The lab as its author saved it last, if it is the one that is being written.
fn as_edited(lab: Option<Lab>, edition: Option<Rc<Edition>>) -> (Option<Lab>, Option<Rc<Edition>>) {
    match (lab, edition) {
        (Some(lab), Some(edition)) if lab.file == edition.file => {
            let scenario = Rc::new(docklab_scenario::parse(&edition.file, &edition.text).scenario);
            (Some(Lab { scenario, ..lab }), Some(edition))
        }
        (lab, _) => (lab, None),
    }
}

fn backend_of(server: &Server) -> Option<SharedSession> {
    match server {
        Server::Present(backend) => Some(SharedSession(backend.clone())),
        Server::Asking | Server::Absent(_) => None,
    }
}

#[derive(Properties, PartialEq)]
struct RunningProps {
    lab: Lab,
    author: Option<Rc<Edition>>,
    place: Place,
    backend: Option<SharedSession>,
    is_panel: bool,
    theme: &'static str,
    on_connection: Callback<Option<String>>,
}

/// A lab with the session that it runs in. Made once: the key of this component changes with lab and place.
#[component]
fn Running(props: &RunningProps) -> Html {
    let session = use_memo((), |()| match (props.place, &props.backend) {
        (Place::Backend, Some(backend)) => Ok(backend.clone()),
        _ => session::simulator(&props.lab.scenario),
    });
    match &*session {
        Ok(session) => html! {
            <LabPage scenario={props.lab.scenario.clone()} session={session.clone()} is_panel={props.is_panel} author={props.author.clone()} theme={props.theme} on_connection={props.on_connection.clone()} />
        },
        Err(reason) => html! { <main class="starting" role="alert">{ reason }</main> },
    }
}

/// What the switch needs to know of the server.
#[derive(Debug, Clone, PartialEq)]
struct ServerProperty {
    /// `connected` or `none`.
    connection: &'static str,
    note: String,
}

impl ServerProperty {
    fn of(server: &Server) -> Self {
        match server {
            Server::Asking => Self { connection: "none", note: "Looking for a backend…".to_owned() },
            Server::Absent(reason) => Self { connection: "none", note: format!("No backend: {reason}") },
            Server::Present(backend) => {
                use session::Session as _;
                Self { connection: "connected", note: format!("On the connected {}", backend.engine()) }
            }
        }
    }
}

#[derive(Properties, PartialEq)]
struct PlaceSwitchProps {
    current: Place,
    server: ServerProperty,
    lost: bool,
    on_choose: Callback<Place>,
}

#[component]
fn PlaceSwitch(props: &PlaceSwitchProps) -> Html {
    let choose = |to: Place| {
        let on_choose = props.on_choose.clone();
        Callback::from(move |_: MouseEvent| on_choose.emit(to))
    };
    let connection = if props.lost && props.current == Place::Backend { "lost" } else { props.server.connection };
    html! {
        <div class="place-switch" role="group" aria-label="Where labs run">
            <span class="segments">
                <button type="button" aria-pressed={(props.current == Place::Browser).to_string()} onclick={choose(Place::Browser)}
                    title="A simulated host inside this page">{ "This browser" }</button>
                <button type="button" aria-pressed={(props.current == Place::Backend).to_string()} onclick={choose(Place::Backend)}
                    disabled={props.server.connection == "none"} title={props.server.note.clone()} data-connection={connection}>
                    <span class="lamp" aria-hidden="true" />{ "Backend" }
                    <span class="hidden-text">{ match connection { "connected" => " connected", "lost" => " lost", _ => " not connected" } }</span>
                </button>
            </span>
        </div>
    }
}

/// Replaces the placeholder of index.html with the page.
pub fn body() -> Option<web_sys::Element> {
    let body = browser::window()?.document()?.body()?;
    body.set_inner_html("");
    body.dyn_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_lab() {
        assert_eq!(Route::parse("#/lab/02-images"), Route::Lab("02-images".into()));
        assert_eq!(Route::parse("#/panel/02-images"), Route::Panel("02-images".into()));
        assert_eq!(Route::parse("#/"), Route::Home);
        assert_eq!(Route::parse("#token=abc"), Route::Home);
    }
}
