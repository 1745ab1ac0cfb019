//! Learn containers by running them: labs, a container runtime, a simulator.
//!
//! One binary, several names: `docklab` with its subcommands, `docker` when it is called so (or as `docklab docker`),
//! `poweroff` in a node, and the names of the processes that containers and nodes consist of.

mod console;
mod engine;
mod export;
mod images;
mod lab;
mod pty;
mod registry;
mod serve;
mod session;
mod student;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  docklab serve                                   open the labs in a browser
  docklab start labs/01-running-a-container.md    a lab in this terminal
  docklab test labs/*.md --engine sim             prove every check red before and green after
  docklab docker run -t ubuntu top                the docker command line";

/// Learn containers by running them.
#[derive(Debug, Parser)]
#[command(name = "docklab", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the labs as a page on loopback, with an engine and terminals.
    Serve(serve::ServeArguments),
    /// Begin a lab in this terminal, or go on with it.
    Start(student::StartArguments),
    /// Show the current step's task.
    Next(student::NextArguments),
    /// Show the current step's hint.
    Hint(student::HintArguments),
    /// Tell why the current step is not done.
    Why(student::WhyArguments),
    /// Let the current step's solution be played.
    Skip(student::SkipArguments),
    /// Go back to the beginning of a step.
    Reset(student::ResetArguments),
    /// Tell which steps are done.
    Status(student::StatusArguments),
    /// Write what was done in a lab into one signed file.
    Report(student::ReportArguments),
    /// Verify and replay what students handed in.
    Grade(student::GradeArguments),
    /// Tell how far the steps of a lab are done.
    Check(lab::CheckArguments),
    /// Play labs and prove every check red before its solution and green after.
    Test(lab::TestArguments),
    /// Report every fault of lab files, with its place.
    Lint(lab::LintArguments),
    /// Write a lab to begin with.
    New(lab::NewArguments),
    /// See a lab in a browser while it is being written.
    Preview(lab::PreviewArguments),
    /// Carry a lab of another platform over.
    Import(lab::ImportArguments),
    /// Write lab files in the usual form.
    Fmt(lab::FormatArguments),
    /// Print the JSON schema of check blocks, or a problem matcher for `lint`.
    Schema(lab::SchemaArguments),
    Export(export::ExportArguments),
    /// Run an engine in the foreground, on a unix socket.
    Engine(engine::EngineArguments),
    /// Make, save and load images for machines that reach no registry.
    Images(images::ImagesArguments),
    /// Serve an OCI registry: push to it, pull from it.
    Registry(registry::RegistryArguments),
    /// Make, break, heal and remove sessions of several nodes.
    Session(session::SessionArguments),
    #[command(hide = true)]
    Gateway(session::GatewayArguments),
    /// The docker command line.
    #[command(disable_help_flag = true)]
    Docker {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

fn main() -> ExitCode {
    // Before any thread starts: a supervisor forks.
    docklab_linux::run_supervisor_if_asked();
    end_quietly_without_a_reader();
    let name = std::env::args().next().unwrap_or_default();
    if std::path::Path::new(&name).file_name().is_some_and(|name| name == "poweroff") {
        return match docklab_linux::power_off() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("poweroff: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let is_docker = std::path::Path::new(&name).file_name().is_some_and(|name| name == "docker");
    let workers = if is_docker { 1 } else { 2 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("docklab: starting the async runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = if is_docker {
        runtime.block_on(console::run_docker(std::env::args().collect()))
    } else {
        let arguments = Arguments::parse();
        start_logging();
        runtime.block_on(run(arguments.command))
    };
    // A blocking read of standard input may still be under way; it must not hold the exit up.
    runtime.shutdown_background();
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Whoever closes a pipe early (`docklab status | head`) has seen enough: that is no fault to tell of.
fn end_quietly_without_a_reader() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(0);
        }
        tell(panic);
    }));
}

async fn run(command: Command) -> i32 {
    let outcome = match command {
        Command::Docker { words } => {
            let argv = std::iter::once("docker".to_owned()).chain(words).collect();
            return console::run_docker(argv).await;
        }
        Command::Engine(arguments) => engine::run(arguments).await.map(|()| 0),
        Command::Serve(arguments) => serve::run(arguments).await.map(|()| 0),
        Command::Start(arguments) => student::start(arguments).await,
        Command::Next(arguments) => student::next(arguments).await,
        Command::Hint(arguments) => student::hint(arguments).await,
        Command::Why(arguments) => student::why(arguments).await,
        Command::Skip(arguments) => student::skip(arguments).await,
        Command::Reset(arguments) => student::reset(arguments).await,
        Command::Status(arguments) => student::status(arguments).await,
        Command::Report(arguments) => student::report(arguments).await,
        Command::Grade(arguments) => student::grade(arguments).await,
        Command::Check(arguments) => lab::check(arguments).await,
        Command::Test(arguments) => lab::test(arguments).await,
        Command::Lint(arguments) => lab::lint(&arguments),
        Command::New(arguments) => lab::new(&arguments),
        Command::Preview(arguments) => lab::preview(arguments).await,
        Command::Import(arguments) => lab::import(&arguments),
        Command::Fmt(arguments) => lab::format(&arguments),
        Command::Schema(arguments) => lab::schema(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Images(arguments) => images::run(arguments).await.map(|()| 0),
        Command::Registry(arguments) => registry::run(arguments).await.map(|()| 0),
        Command::Session(arguments) => session::run(arguments).await,
        Command::Gateway(arguments) => session::run_gateway(arguments).await.map(|()| 0),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("docklab: {error:#}");
        1
    })
}

fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("DOCKLAB_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
