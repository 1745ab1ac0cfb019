//! The `docker` command line over any [`DockerApi`]: grammar, requests and rendering, as Docker's own client 28 prints
//! them.
//!
//! [`run`] takes the arguments, the engine and a [`Console`] (the terminal, the clock and the files the client may
//! touch), so the same client runs natively, in a simulated node and in tests.

mod commands;
mod completion;
mod console;
mod context;
mod error;
mod format;
mod grammar;
mod memory_console;
mod progress;
mod template;

use std::sync::Arc;

use docklab_api::DockerApi;

pub use completion::{Completion, complete};
pub use console::{Console, ConsoleError, FileKind, FileMetadata, Stream};
pub use memory_console::TestConsole;

use crate::{
    context::{Context, Invocation},
    error::CliError,
    grammar::Parsed,
};

/// The client release whose texts are reproduced.
pub const CLIENT_VERSION: &str = "28.2.2";

/// Every command as it is typed, in the table's order, with its help for a terminal of 80 columns.
pub fn reference() -> Vec<(String, String)> {
    let console = TestConsole::new(0);
    let text = |command: &grammar::Command| {
        let path = if command.path == "docker" { "docker".to_owned() } else { format!("docker {}", command.path) };
        let help = grammar::help(command, &path, 80, &console);
        (path, help)
    };
    grammar::commands().iter().map(text).collect()
}

/// Runs one command line. `argv[0]` is the program's name and is not looked at.
///
/// Returns the exit code of the process: 0, the container's own for `run`, `exec` and `wait`-like commands, 125 to 127
/// as Docker defines them, 1 for every other failure.
pub async fn run(argv: Vec<String>, api: Arc<dyn DockerApi>, console: Arc<dyn Console>) -> i32 {
    let context = Context::new(api, console);
    let words = argv.get(1..).unwrap_or_default();
    let width = context.console.terminal_size().map_or(80, |(_, columns)| usize::from(columns));
    let outcome = match grammar::parse(words) {
        Parsed::Help { text_for, to_stderr } => {
            let text = grammar::help(text_for.command, &text_for.path, width, context.console.as_ref());
            if to_stderr {
                context.stderr(text).await;
            } else {
                context.stdout(text).await;
            }
            return 0;
        }
        Parsed::Version => {
            context.stdout(format!("Docker version {CLIENT_VERSION}, build {}\n", commands::CLIENT_COMMIT)).await;
            return 0;
        }
        Parsed::Wrong { message, status } => {
            if is_build(words)
                && let Err(error) = commands::image::build::notice(&context).await
            {
                context.stderr(format!("{}\n", error.message)).await;
                return error.status;
            }
            context.stderr(format!("{message}\n")).await;
            return status;
        }
        Parsed::Command { command, path, flags, arguments } => {
            let call = Invocation { command, path, flags, arguments };
            commands::dispatch(&context, &call).await
        }
    };
    match outcome {
        Ok(status) => status,
        Err(CliError { message, status }) => {
            if !message.is_empty() {
                context.stderr(format!("{message}\n")).await;
            }
            status
        }
    }
}

fn is_build(words: &[String]) -> bool {
    let mut words = words.iter().map(String::as_str);
    match words.next() {
        Some("build") => true,
        Some("image" | "builder") => words.next() == Some("build"),
        _ => false,
    }
}
