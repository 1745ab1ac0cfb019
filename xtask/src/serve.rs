//! `cargo xtask serve`: from a fresh checkout to a lab in the browser with one command.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};

use crate::{book, page, progress, setup};

/// Sets up what is missing, then becomes `docklab serve`. Returns only when something failed.
pub(crate) fn serve(arguments: &[&str]) -> Result<bool> {
    let root = progress::workspace_root();
    setup::ensure(&setup::FOR_PAGE)?;
    let page = page::build_page(false)?;
    let docklab = setup::build_docklab(true)?;
    let mut serve = Command::new(&docklab);
    serve.arg("serve").arg("--labs").arg(root.join("labs")).arg("--page").arg(&page);
    match book::build() {
        Ok(book) => {
            serve.arg("--book").arg(book);
        }
        // The labs do not need it.
        Err(error) => progress::step(&format!("book: not built: {error:#}")),
    }
    if !arguments.contains(&"--engine") && !can_run_engine() {
        progress::step("the engine needs root on Linux; without it the labs run in the page's simulator");
        progress::step("for real containers type:  sudo -E cargo xtask serve");
        serve.args(["--engine", "sim"]);
    } else if !arguments.contains(&"sim") {
        setup::ensure(&setup::FOR_ENGINE)?;
        if !arguments.contains(&"--seed") && !setup::hub_answers() {
            match setup::stand_ins(&docklab) {
                Ok(seed) => {
                    serve.arg("--seed").arg(seed);
                }
                // A page without images is better than none.
                Err(error) => progress::step(&format!("images: no stand-ins: {error:#}")),
            }
        }
    }
    serve.args(arguments);
    let error = serve.exec();
    Err(error).with_context(|| format!("starting {}", docklab.display()))
}

fn can_run_engine() -> bool {
    cfg!(target_os = "linux") && setup::is_root()
}
