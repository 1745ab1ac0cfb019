//! What every task prints while it works, and where the workspace is.

use std::path::{Path, PathBuf};

/// One line on stderr: what is being done now.
pub(crate) fn step(text: &str) {
    eprintln!("  {text}");
}

/// The root of the checkout that this xtask was built from.
pub(crate) fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
