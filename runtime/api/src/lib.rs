//! The one seam of docklab: everything that looks at or drives an engine does it through [`DockerApi`].
//!
//! The trait speaks the Docker Engine API 1.50 in its own request and response types (re-exported in [`models`]).
//! The engine implements it in process, the daemon's client implements it over HTTP, so the command line, the checks
//! and the diagrams work the same on the simulator, on our runtime and on a stock Docker Engine.
//!
//! This crate does no input or output and compiles to wasm32.

mod activity;
mod auth;
mod error;
mod filters;
mod options;
mod raft;
mod reference;
mod streams;
mod traits;
pub mod wire;

pub use activity::{Activity, CacheMiss, Direction, LayerState, News, StepLayer, StepState, TransferredLayer};
pub use error::{ApiError, ApiResult};
pub use filters::Filters;
pub use options::*;
pub use raft::{RaftMember, RaftRole, RaftStatus};
pub use reference::{Reference, ReferenceError};
pub use streams::{
    Attached, ByteStream, ErrorDetail, InputSink, MessageStream, OutputChunk, OutputStream, ProgressDetail,
    ProgressMessage, StdStream,
};
pub use traits::{ContainerApi, DockerApi, ExecApi, ImageApi, NetworkApi, StateChange, SwarmApi, SystemApi, VolumeApi};

/// The Engine API's types.
pub mod models {
    pub use crate::auth::AuthConfig;
    pub use bollard_stubs::models::*;
}

/// The newest Engine API version that docklab's engine answers, and the one it advertises.
pub const API_VERSION: &str = "1.51";
/// The Engine API version that docklab's own clients ask for.
pub const CLIENT_API_VERSION: &str = "1.50";
/// The oldest client version that is still accepted, as in Docker 28.
pub const MIN_API_VERSION: &str = "1.24";
/// The engine release whose behaviour and texts are reproduced.
pub const ENGINE_VERSION: &str = "28.5.2";
