//! Wire formats shared by servers, clients and the command line.

mod frames;
mod go_order;

pub use frames::{FrameDecoder, encode_frame};
pub use go_order::{
    container_inspect_json, container_summary_json, image_inspect_json, network_json, node_json, service_json,
    task_json, volume_json,
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// A model from a JSON value.
///
/// By way of text: each way into a model (text, bytes, value) makes a copy of the code that reads it, and the models are
/// the largest part of the page.
///
/// # Errors
/// When the value does not have the model's form.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> serde_json::Result<T> {
    serde_json::from_slice(value.to_string().as_bytes())
}

/// A model as a JSON value, by way of text for the same reason. `null` for what has no form in JSON.
pub fn to_value<T: Serialize>(model: &T) -> Value {
    serde_json::to_vec(model).and_then(|text| serde_json::from_slice(&text)).unwrap_or_default()
}
