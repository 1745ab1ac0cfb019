//! `docklab export`: the page, the labs and the book as files for any web server.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

/// Write the labs, the page and the book as a site that any web server can serve. Everything runs in the visitor's
/// browser.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  docklab export site
  docklab export site --labs my-labs && python3 -m http.server --directory site")]
pub(crate) struct ExportArguments {
    /// The directory to write; it must not exist yet, or be empty.
    directory: PathBuf,
    /// Directory of the lab files.
    #[arg(long, default_value = "labs")]
    labs: PathBuf,
    /// Directory of the built page.
    #[arg(long, default_value = "web/dist")]
    page: PathBuf,
    /// Directory of the built book; left out if it is not there.
    #[arg(long, default_value = "book/book")]
    book: PathBuf,
}

/// Writes the site and tells what is in it.
pub(crate) fn run(arguments: &ExportArguments) -> Result<i32> {
    let ExportArguments { directory, labs, page, book } = arguments;
    if !page.join("index.html").exists() {
        bail!("there is no built page in {}. Type:  cargo xtask page --release", page.display());
    }
    if fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is not empty; name a directory that can be written anew", directory.display());
    }
    copy(page, directory)?;
    // A page built with other labs has theirs.
    let into = directory.join("labs");
    if into.exists() {
        fs::remove_dir_all(&into).with_context(|| format!("removing {}", into.display()))?;
    }
    let names = copy_labs(labs, &into)?;
    let has_book = book.join("index.html").exists();
    if has_book {
        copy(book, &directory.join("book"))?;
    }
    let books = if has_book { "with the book" } else { "without the book (cargo xtask book builds it)" };
    println!("{}: {} labs, {books}", directory.display(), names.len());
    Ok(0)
}

/// The labs with their pictures, and `index.json`, by which the page finds them.
fn copy_labs(from: &Path, to: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let path = entry.with_context(|| format!("reading {}", from.display()))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        // A crate that lies beside the labs is no part of them.
        if path.is_dir() && !path.join("Cargo.toml").exists() {
            copy(&path, &to.join(name))?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
            fs::copy(&path, to.join(name)).with_context(|| format!("copying {}", path.display()))?;
            names.push(name.to_owned());
        }
    }
    if names.is_empty() {
        bail!("there are no labs in {}", from.display());
    }
    names.sort();
    let index = to.join("index.json");
    fs::write(&index, serde_json::to_vec(&names)?).with_context(|| format!("writing {}", index.display()))?;
    Ok(names)
}

/// A directory with everything in it, but for hidden files.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry.with_context(|| format!("reading {}", from.display()))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target).with_context(|| format!("copying {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> (tempfile::TempDir, ExportArguments) {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir_all(path("page/labs")).unwrap();
        fs::write(path("page/index.html"), "page").unwrap();
        fs::write(path("page/.fingerprint"), "").unwrap();
        fs::write(path("page/labs/old.md"), "").unwrap();
        fs::create_dir_all(path("labs/assets")).unwrap();
        fs::write(path("labs/01-a.md"), "lab").unwrap();
        fs::write(path("labs/assets/a.svg"), "svg").unwrap();
        let arguments =
            ExportArguments { directory: path("site"), labs: path("labs"), page: path("page"), book: path("book") };
        (root, arguments)
    }

    #[test]
    fn a_site_has_the_page_and_exactly_these_labs() {
        let (root, arguments) = site();
        assert_eq!(run(&arguments).unwrap(), 0);
        let site = root.path().join("site");
        assert_eq!(fs::read_to_string(site.join("labs/index.json")).unwrap(), r#"["01-a.md"]"#);
        assert!(site.join("index.html").exists() && site.join("labs/assets/a.svg").exists());
        assert!(!site.join("labs/old.md").exists() && !site.join(".fingerprint").exists());
    }

    #[test]
    fn nothing_is_overwritten() {
        let (_root, arguments) = site();
        run(&arguments).unwrap();
        let error = run(&arguments).unwrap_err().to_string();
        assert!(error.contains("is not empty"), "{error}");
    }
}
