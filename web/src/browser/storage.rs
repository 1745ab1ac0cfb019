use serde::{Serialize, de::DeserializeOwned};

use super::window;

fn storage() -> Option<web_sys::Storage> {
    window()?.local_storage().ok().flatten()
}

/// Reads a value from the browser's local storage. What cannot be read counts as absent: an older page may have left it.
pub fn load<T: DeserializeOwned>(key: &str) -> Option<T> {
    let text = storage()?.get_item(&format!("docklab.{key}")).ok().flatten()?;
    serde_json::from_slice(text.as_bytes()).ok()
}

/// Keeps a value in the browser's local storage. False when the browser keeps nothing (private windows, full storage).
pub fn store<T: Serialize>(key: &str, value: &T) -> bool {
    let Some(storage) = storage() else { return false };
    serde_json::to_string(value).is_ok_and(|text| storage.set_item(&format!("docklab.{key}"), &text).is_ok())
}
