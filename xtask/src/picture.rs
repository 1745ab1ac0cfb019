//! `cargo xtask picture`: the picture of the README, taken of the page as it is.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use crate::{command, page, progress, setup, wasm};

/// Plays the beginning of the first lab and writes what the browser shows to `file`, relative to the checkout.
pub(crate) fn take(file: &Path) -> Result<bool> {
    setup::ensure(&setup::FOR_PAGE)?;
    setup::ensure(&setup::FOR_TESTS)?;
    page::build_page(false)?;
    let docklab = setup::build_docklab(false)?;
    let file = progress::workspace_root().join(file);
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    }
    let mut example = Command::new(wasm::cargo());
    example.current_dir(progress::workspace_root());
    example.args(["run", "--quiet", "-p", "docklab-tests", "--example", "picture", "--"]).arg(&file);
    example.env("DOCKLAB_BINARY", docklab);
    command::output(&mut example)?;
    println!("{}", file.display());
    Ok(true)
}
