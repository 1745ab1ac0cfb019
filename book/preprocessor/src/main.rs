//! The preprocessor as mdBook calls it: the book comes in on standard input and goes out on standard output.

use std::{io, process::ExitCode};

use mdbook_docklab::Docklab;
use mdbook_preprocessor::{Preprocessor as _, parse_input};

const HELP: &str = "\
mdbook-docklab: labs that can be run from a book

mdBook starts it. In book.toml:

  [preprocessor.docklab]
  command = \"mdbook-docklab\"
  page = \"../\"";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => match run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("mdbook-docklab: {error:#}");
                ExitCode::FAILURE
            }
        },
        ["supports", renderer] => {
            if Docklab.supports_renderer(renderer).unwrap_or(false) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        _ => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
    }
}

fn run() -> anyhow::Result<()> {
    let (context, book) = parse_input(io::stdin())?;
    let book = Docklab.run(&context, book)?;
    serde_json::to_writer(io::stdout(), &book)?;
    Ok(())
}
