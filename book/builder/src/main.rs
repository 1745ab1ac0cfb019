//! `cargo run -p docklab-book -- DIRECTORY`: builds the book in `DIRECTORY` (where `book.toml` is) with mdBook as a library,
//! and refuses links that lead nowhere.

mod links;

use std::{env, fs, path::Path, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use mdbook_docklab::Docklab;
use mdbook_driver::MDBook;

fn main() -> ExitCode {
    let Some(directory) = env::args_os().nth(1) else {
        eprintln!("usage: docklab-book DIRECTORY");
        return ExitCode::from(2);
    };
    match build(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("docklab-book: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn build(directory: &Path) -> Result<()> {
    let mut book = MDBook::load(directory)?;
    // In process; the command in book.toml is for `mdbook serve`.
    book.with_preprocessor(Docklab);
    book.build()?;
    let built = book.build_dir_for("html");
    copy_assets(&directory.join("../labs/assets"), &built.join("labs/assets"))?;
    let broken = links::broken(&built)?;
    if !broken.is_empty() {
        bail!("links that lead nowhere:\n  {}", broken.join("\n  "));
    }
    println!("{}", built.display());
    Ok(())
}

/// Pictures that labs name lie beside the labs.
fn copy_assets(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let path = entry.with_context(|| format!("reading {}", from.display()))?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            fs::copy(&path, to.join(name)).with_context(|| format!("copying {}", path.display()))?;
        }
    }
    Ok(())
}
