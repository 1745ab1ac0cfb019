//! Docker's semantics, written once over the [`Host`](docklab_host::Host) trait.
//!
//! [`Engine`] implements every part of [`docklab_api::DockerApi`]. It holds names, identifiers, states, texts, address and
//! port bookkeeping, restart policies and health checks; what a machine must do is behind [`docklab_host::Host`]. The
//! same engine runs on Linux and in the browser.

mod activity;
pub mod build;
mod containers;
mod engine;
mod errors;
mod events;
mod exec;
mod health;
mod ids;
pub mod image;
mod names;
mod networks;
mod ports;
mod progress;
mod prune;
mod records;
pub mod registry;
mod restart;
mod signals;
mod swarm;
mod system;
#[cfg(test)]
mod tests;
mod time;
mod volumes;

pub use engine::{Engine, EngineOptions};
pub use errors::{HostResultExt, api_error};
pub use events::{Action, EventBus, ObjectKind};
pub use ids::{mac_address, object_id, short_id};
