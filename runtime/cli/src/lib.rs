//! The `docker` command line over any [`DockerApi`]: grammar, requests and rendering, as Docker's own client 28 prints
//! them.
//!
//! [`run`] takes the arguments, the engine and a [`Console`] (the terminal, the clock and the files the client may
//! touch), so the same client runs natively, in a simulated node and in tests. [`run_with`] finds the engine itself,
//! from `-H`, `DOCKER_HOST` and contexts.

mod commands;
mod completion;
mod config;
mod console;
mod context;
mod csv;
mod endpoint;
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
pub use endpoint::{Connector, Endpoint, Tls};
pub use memory_console::TestConsole;

use crate::{
    config::Config,
    context::{Context, Invocation},
    error::{CliError, CliResult},
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

/// Runs one command line against this engine. `argv[0]` is the program's name and is not looked at.
///
/// Returns the exit code of the process: 0, the container's own for `run`, `exec` and `wait`-like commands, 125 to 127
/// as Docker defines them, 1 for every other failure.
pub async fn run(argv: Vec<String>, api: Arc<dyn DockerApi>, console: Arc<dyn Console>) -> i32 {
    run_with(argv, &endpoint::Fixed(api), console).await
}

/// Runs one command line against the engine that it, the environment or the client's configuration names.
pub async fn run_with(argv: Vec<String>, connector: &dyn Connector, console: Arc<dyn Console>) -> i32 {
    let words = argv.get(1..).unwrap_or_default();
    match outcome(words, connector, &console).await {
        Ok(status) => status,
        Err(CliError { message, status }) => {
            if !message.is_empty() {
                console.write(Stream::Stderr, format!("{message}\n").as_bytes()).await;
            }
            status
        }
    }
}

async fn outcome(words: &[String], connector: &dyn Connector, console: &Arc<dyn Console>) -> CliResult {
    let width = console.terminal_size().map_or(80, |(_, columns)| usize::from(columns));
    match grammar::parse(words) {
        Parsed::Help { text_for, to_stderr } => {
            let text = grammar::help(text_for.command, &text_for.path, width, console.as_ref());
            console.write(if to_stderr { Stream::Stderr } else { Stream::Stdout }, text.as_bytes()).await;
            if is_build(words) {
                commands::image::build::notice(console.as_ref()).await?;
            }
            Ok(0)
        }
        Parsed::Version => {
            let text = format!("Docker version {CLIENT_VERSION}, build {}\n", commands::CLIENT_COMMIT);
            console.write(Stream::Stdout, text.as_bytes()).await;
            Ok(0)
        }
        Parsed::Wrong { message, status } => {
            if is_build(words) {
                commands::image::build::notice(console.as_ref()).await?;
            }
            Err(CliError::with_status(status, message))
        }
        Parsed::Command { command, path, flags, arguments } => {
            let call = Invocation { command, path, flags, arguments };
            check_support(&call)?;
            let context = prepare(&call, connector, console).await?;
            commands::dispatch(&context, &call).await
        }
    }
}

/// Reads the configuration and connects, if the command needs an engine.
async fn prepare(call: &Invocation, connector: &dyn Connector, console: &Arc<dyn Console>) -> CliResult<Context> {
    let flags = &call.flags;
    if let Some(level) = flags.get("log-level")
        && !matches!(
            level.to_lowercase().as_str(),
            "trace" | "debug" | "info" | "warn" | "warning" | "error" | "fatal" | "panic"
        )
    {
        return Err(CliError::new(format!("Unable to parse logging level: {level}")));
    }
    let (config, warning) = Config::read(console.as_ref(), flags.get("config")).await;
    if let Some(warning) = warning {
        console.write(Stream::Stderr, format!("{warning}\n").as_bytes()).await;
    }
    let endpoint = match endpoint::resolve(flags, &config, console.as_ref()).await {
        // Commands about contexts must work when the one in force is broken.
        Err(_) if !commands::needs_engine(call) => Endpoint::default(),
        outcome => outcome?,
    };
    let api = connector.connect(&endpoint).map_err(CliError::new)?;
    let context_name = endpoint::context_name(flags, &config, console.as_ref());
    let debug = flags.is_set("debug");
    Ok(Context { api, console: Arc::clone(console), config: Arc::new(config), context_name, debug })
}

/// Flags that engines of this kind do not have are refused before anything is sent.
fn check_support(call: &Invocation) -> CliResult<()> {
    for name in call.flags.names() {
        if call.command.flag(name).is_some_and(grammar::FlagSpec::is_for_windows) {
            return Err(CliError::new(format!(
                "\"--{name}\" is only supported on a Docker daemon running on windows, but the Docker daemon is \
                 running on linux"
            )));
        }
        if name == "squash" {
            return Err(CliError::new(
                "\"--squash\" is only supported on a Docker daemon with experimental features enabled",
            ));
        }
    }
    Ok(())
}

/// True for a build, whatever else is wrong with its command line: the builder's notice comes first.
fn is_build(words: &[String]) -> bool {
    let mut words = words.iter().map(String::as_str);
    match words.next() {
        Some("build") => true,
        Some("builder") => true,
        Some("image") => words.next() == Some("build"),
        _ => false,
    }
}
