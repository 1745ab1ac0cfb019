//! Wire formats shared by servers, clients and the command line.

mod frames;
mod go_order;

pub use frames::{FrameDecoder, encode_frame};
pub use go_order::{
    container_inspect_json, container_summary_json, image_inspect_json, network_json, node_json, service_json,
    task_json, volume_json,
};
