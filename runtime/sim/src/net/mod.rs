//! The virtual network: stacks, names, routes, the LAN between nodes, HTTP over all of it.

mod lan;
mod link;
mod route;
mod stack;

pub use lan::{Lan, Link, WebServer};
pub(crate) use link::{Listeners, dial, listen};
pub use route::{NetError, Url};
pub(crate) use route::{fetch, way};
pub use stack::{Connection, Listener, Reply, Request, Stack};
pub(crate) use stack::{Interface, in_subnet};
