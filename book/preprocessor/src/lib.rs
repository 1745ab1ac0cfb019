//! An mdBook preprocessor for books about containers.
//!
//! It replaces directives of the form `{{#NAME ARGUMENTS}}`; paths are relative to the chapter, except where stated:
//!
//! - `{{#lab FILE}}`: a whole lab. Its text and commands stand in the page; where the book is served beside docklab's page,
//!   buttons run the commands in a simulator next to the text and ticks appear at its checks.
//! - `{{#quiz FILE}}`: the questions of a lab.
//! - `{{#item FILE NAME}}`: a function or constant of a Rust file with its documentation, by name, so that a book can
//!   show code that is really run. FILE is relative to the directory `code-root` of the configuration.
//! - `{{#checks}}`, `{{#commands}}`, `{{#routes DIRECTORY}}`: reference pages made from the code: fields of checks, docker
//!   commands, and the paths that a server's source answers.
//!
//! ```toml
//! [preprocessor.docklab]
//! command = "mdbook-docklab"
//! page = "../"       # from the book's root to docklab's page; without it, labs are text only
//! code-root = ".."   # from the directory of book.toml
//! ```

mod directive;
mod item;
mod lab;
mod quiz;
mod reference;

use std::path::{Path, PathBuf};

use mdbook_preprocessor::{
    Preprocessor, PreprocessorContext,
    book::{Book, BookItem},
    errors::Result,
};
use thiserror::Error;

/// Why a directive could not be replaced.
#[derive(Debug, Error)]
pub enum DirectiveError {
    #[error("reading {path}: {reason}")]
    Read { path: PathBuf, reason: std::io::Error },
    #[error("{path} is no lab: {faults}")]
    Lab { path: PathBuf, faults: String },
    #[error("{path} has no item `{name}`")]
    Item { path: PathBuf, name: String },
    #[error("`{{{{#{0}}}}}` is no directive of docklab")]
    Unknown(String),
    #[error("`{{{{#{directive}}}}}` needs {needs}")]
    Arguments { directive: String, needs: &'static str },
}

/// The preprocessor, `docklab` in `book.toml`.
#[derive(Debug, Default, Clone, Copy)]
pub struct Docklab;

/// Where directives find what they name.
pub(crate) struct Place<'a> {
    /// The directory of the chapter.
    pub(crate) chapter: &'a Path,
    /// Where `item` and `routes` begin.
    pub(crate) code_root: &'a Path,
    /// From the chapter's page to docklab's, with a slash at its end.
    pub(crate) page: Option<String>,
}

impl Preprocessor for Docklab {
    fn name(&self) -> &str {
        "docklab"
    }

    fn run(&self, context: &PreprocessorContext, mut book: Book) -> Result<Book> {
        let setting = |key: &str| context.config.get::<String>(&format!("preprocessor.docklab.{key}")).ok().flatten();
        let code_root = context.root.join(setting("code-root").unwrap_or_else(|| ".".to_owned()));
        let page = setting("page");
        let mut failed = None;
        book.for_each_mut(|item| {
            let BookItem::Chapter(chapter) = item else { return };
            let Some(path) = chapter.source_path.clone().filter(|_| failed.is_none()) else { return };
            let file = context.root.join(&context.config.book.src).join(&path);
            let up = "../".repeat(path.components().count() - 1);
            let place = Place {
                chapter: file.parent().unwrap_or(&context.root),
                code_root: &code_root,
                page: page.as_ref().map(|page| format!("{up}{page}")),
            };
            match directive::replace_all(&chapter.content, &place) {
                Ok(content) => chapter.content = content,
                Err(error) => failed = Some(format!("{}: {error}", path.display())),
            }
        });
        match failed {
            Some(reason) => Err(mdbook_preprocessor::errors::Error::msg(reason)),
            None => Ok(book),
        }
    }

    fn supports_renderer(&self, renderer: &str) -> Result<bool> {
        Ok(renderer == "html")
    }
}

/// Text as it stands in HTML, on one line: a blank line would end an HTML block of Markdown.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\n', "&#10;")
}

pub(crate) fn read(path: &Path) -> std::result::Result<String, DirectiveError> {
    std::fs::read_to_string(path).map_err(|reason| DirectiveError::Read { path: path.to_owned(), reason })
}
