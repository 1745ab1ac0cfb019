//! The page: instructions, terminals, diagrams, checks.
//!
//! [`start`] puts the page into the document. Everything below is written against [`docklab_api::DockerApi`] and
//! [`session::Session`]; whether the engine runs in this page or behind a server, only `session` knows. Components render
//! to text on the host too, where their tests run.

pub mod app;
pub mod browser;
pub mod details;
pub mod diagram;
pub mod home;
pub mod icons;
pub mod lab;
pub mod library;
pub mod observe;
pub mod panes;
pub mod session;
pub mod terminal;

/// Starts the page.
#[cfg(target_arch = "wasm32")]
pub fn start() {
    if let Some(body) = app::body() {
        yew::Renderer::<app::App>::with_root(body).render();
    }
}
