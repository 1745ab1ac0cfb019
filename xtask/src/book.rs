//! `cargo xtask book`: the book, with its links checked.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{command, progress, wasm};

/// Builds the book and returns its directory. Fails on a directive or link that leads nowhere.
pub(crate) fn build() -> Result<PathBuf> {
    progress::step("book");
    let root = progress::workspace_root();
    let mut builder = Command::new(wasm::cargo());
    builder.current_dir(&root).args(["run", "--quiet", "-p", "docklab-book", "--"]).arg(root.join("book"));
    command::output(&mut builder).map(PathBuf::from)
}
