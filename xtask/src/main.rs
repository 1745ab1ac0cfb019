//! Set-up, build, test, parity and benchmarks.

mod bench;
mod book;
mod command;
mod page;
mod parity;
mod picture;
mod progress;
mod report;
mod serve;
mod setup;
mod test;
mod wasm;

use std::{env, process::ExitCode};

use anyhow::{Result, bail};

const HELP: &str = "\
cargo xtask TASK

Tasks:
  serve [ARGUMENT…]           set up what is missing, then serve the labs (arguments go to `docklab serve`)
  test [FILTER…]              set up what is missing, then run everything that can fail
  ci                          `test` as a build server runs it: nothing may be skipped
  page [--release]            build the page into web/dist
  book                        build the book into book/book and check its links
  picture [FILE]              play a lab's beginning in a headless browser and photograph it (target/pictures/readme.png)
  parity [FILE…] [--record]   compare the command line with a real Docker, step by step
  bench [--json FILE]         measure our engine beside a real dockerd

Examples:
  cargo xtask serve
  cargo xtask serve --port 9000 --engine sim
  cargo xtask test clippy fmt
  cargo xtask parity tests/parity/lab1.txt
  cargo xtask bench --json bench.json";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the task succeeded; an error is a task that could not be carried out.
fn run(arguments: &[String]) -> Result<bool> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", rest @ ..] => serve::serve(rest),
        ["test", filters @ ..] => test::test(filters, env::var_os("CI").is_some()),
        ["ci"] => test::test(&[], true),
        ["page"] => page::build_page(false).map(|dist| println!("{}", dist.display())).map(|()| true),
        ["page", "--release"] => page::build_page(true).map(|dist| println!("{}", dist.display())).map(|()| true),
        ["book"] => book::build().map(|built| println!("{}", built.display())).map(|()| true),
        ["picture"] => picture::take("target/pictures/readme.png".as_ref()),
        ["picture", file] => picture::take(file.as_ref()),
        ["parity", rest @ ..] => parity::run(rest),
        ["bench"] => bench::run(None),
        ["bench", "--json", file] => bench::run(Some(file.as_ref())),
        [] | ["help" | "--help" | "-h", ..] => {
            println!("{HELP}");
            Ok(true)
        }
        _ => bail!("`{}` is not a task.\n\n{HELP}", words.join(" ")),
    }
}
