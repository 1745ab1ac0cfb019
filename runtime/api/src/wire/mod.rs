//! Wire formats shared by servers, clients and the command line.

mod frames;

pub use frames::{FrameDecoder, encode_frame};
