//! The simulator: a world of machines in memory, on a virtual clock, for the browser and for fast tests.
//!
//! A [`World`] holds nodes. Each [`Node`] has files, processes, a shell and a place on the LAN, and is a
//! [`docklab_host::Host`] for an engine. Nothing here knows threads, sockets, files or the wall clock: whoever owns the
//! world lets time pass.
//!
//! ```
//! use docklab_sim::World;
//! let world = World::new("2026-01-01T00:00:00Z".parse().unwrap(), 1);
//! let node = world.add_node("node1");
//! let (stdout, _, code) = world.block_on(node.run_script("echo $((6 * 7)) | tr 2 3"));
//! assert_eq!((stdout.as_str(), code), ("43\n", 0));
//! ```

mod fs;
mod host;
mod images;
mod net;
mod node;
mod process;
mod shell;
mod tools;
mod world;

pub use fs::{Content, Entry, FileError, View};
pub use host::{SavedRecord, SimHost};
pub use images::{Description, DescriptionError};
pub use net::{Connection, Lan, Link, Listener, NetError, Reply, Request, Stack, Url, WebServer};
pub use node::{ExternalCommand, Node};
pub use process::{
    Closed, Collect, Context, Environment, Null, PipeReader, PipeWriter, ProcessState, Sink, Source, Space, Streams,
    Tty, pipe,
};
pub use shell::NodeShell;
pub use world::World;
