//! File systems: layers as maps, a writable map on top, mounts over both.

mod store;
mod tarball;
mod tree;
mod view;

pub(crate) use store::{Layer, LayerStore};
pub(crate) use tarball::{Item, decompressed, digest, gzip, read as read_tar, write as write_tar};
pub use tree::{Content, Entry};
pub(crate) use tree::{Tree, parent};
pub use view::{FileError, View};
pub(crate) use view::{Mount, SharedTree, join};
