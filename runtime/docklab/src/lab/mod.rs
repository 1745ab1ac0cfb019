//! Labs on this machine: `check`, `test` and `lint`.

mod files;
mod player;
mod shell;
mod sim;
mod workspace;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use docklab_api::{Events, SystemApi as _};
use docklab_daemon::client::Address;
use docklab_scenario::{Evaluator, Scenario, StepReport, TestReport};
use futures::StreamExt as _;

use crate::session::Session;
pub(crate) use files::load_images;
use files::{load, report_faults};
use player::NativePlayer;
use workspace::NativeWorkspace;

/// Which engine a lab runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineKind {
    /// docklab's own runtime, as root on Linux.
    Docklab,
    /// The Docker Engine that DOCKER_HOST names.
    Docker,
    /// The simulator, in this process.
    Sim,
}

/// Tell how far the steps of a lab are done.
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The lab.
    file: PathBuf,
    #[arg(long, value_enum, default_value = "docker")]
    engine: EngineKind,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Give a variable of the lab another value (repeatable).
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = files::replacement)]
    variables: Vec<(String, String)>,
    /// Stay, and print again whenever something changes.
    #[arg(long)]
    watch: bool,
}

/// Play labs and prove every check red before its solution and green after.
#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[arg(long, value_enum, default_value = "docklab")]
    engine: EngineKind,
    /// Print the reports as JSON.
    #[arg(long)]
    json: bool,
    /// Write the reports as JUnit XML to this file.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Tell on standard error what is being played.
    #[arg(short, long)]
    verbose: bool,
    /// Give a variable of the lab another value (repeatable).
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = files::replacement)]
    variables: Vec<(String, String)>,
    /// Images to load first: a seed that `docker image save` wrote.
    #[arg(long)]
    seed: Option<PathBuf>,
}

/// Report every fault of lab files, with its place.
#[derive(Debug, Args)]
pub(crate) struct LintArguments {
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print the faults as JSON.
    #[arg(long)]
    json: bool,
}

/// The Docker Engine that the environment names.
fn docker_address() -> Result<Address> {
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    Ok(Address::parse(host.as_deref().unwrap_or("unix:///var/run/docker.sock"))?)
}

pub(crate) async fn check(arguments: CheckArguments) -> Result<i32> {
    let scenario = load(&arguments.file, &arguments.variables)?;
    let session = match arguments.engine {
        EngineKind::Docker => Session::around(docker_address()?, crate::console::home().join("docker"))?,
        EngineKind::Docklab => Session::open(&crate::console::home(), "default").await?,
        EngineKind::Sim => anyhow::bail!(
            "the simulator lives in the page and in `docklab test --engine sim`; there is nothing of it to check from here"
        ),
    };
    let workspace = NativeWorkspace::new(session.nodes.clone(), None);
    let evaluator = Evaluator::new();
    let client = session.nodes[0].client();
    loop {
        // Subscribed before the first look, so that nothing is missed between the two.
        let mut events = if arguments.watch { Some(client.events(Events::default()).await?) } else { None };
        let reports = evaluate_all(&scenario, &evaluator, &workspace).await;
        let passed = reports.iter().all(|report| report.passed);
        if arguments.json {
            println!("{}", serde_json::to_string_pretty(&reports)?);
        } else {
            print_reports(&scenario, &reports);
        }
        match &mut events {
            Some(events) if !passed => {
                if events.next().await.is_none() {
                    anyhow::bail!("the engine went away");
                }
                // One command makes several events; look once when they have settled.
                while let Ok(Some(_)) = tokio::time::timeout(Duration::from_millis(50), events.next()).await {}
            }
            _ => return Ok(i32::from(!passed)),
        }
    }
}

async fn evaluate_all(scenario: &Scenario, evaluator: &Evaluator, workspace: &NativeWorkspace) -> Vec<StepReport> {
    let mut reports = Vec::new();
    for step in &scenario.steps {
        reports.push(evaluator.evaluate(step, workspace).await);
    }
    reports
}

fn print_reports(scenario: &Scenario, reports: &[StepReport]) {
    let done = reports.iter().filter(|report| report.passed).count();
    println!("{}: {done} of {} steps", scenario.meta.title, reports.len());
    for (step, report) in scenario.steps.iter().zip(reports) {
        println!("{} {}", if report.passed { "✓" } else { "·" }, step.title);
    }
    if let Some(report) = reports.iter().find(|report| !report.passed) {
        println!("\n{report}");
    }
}

pub(crate) async fn test(arguments: TestArguments) -> Result<i32> {
    let mut reports = Vec::new();
    for file in &arguments.files {
        let scenario = load(file, &arguments.variables)?;
        let report = match arguments.engine {
            EngineKind::Sim => sim::test(&scenario, arguments.verbose).await?,
            EngineKind::Docker => {
                let directory = tempfile::tempdir().context("making a directory for the test")?;
                let session = Session::around(docker_address()?, directory.path().to_owned())?;
                play(&scenario, "docker", session, arguments.seed.as_deref(), arguments.verbose).await?
            }
            EngineKind::Docklab => {
                let root = tempfile::tempdir().context("making a directory for the test")?;
                let session = Session::open(root.path(), "test").await?;
                let playing = play(&scenario, "docklab", session, arguments.seed.as_deref(), arguments.verbose);
                // Ctrl-C must leave no container behind: what was begun is removed below in any case.
                let report = tokio::select! {
                    report = playing => report,
                    () = crate::serve::stop_signal() => Err(anyhow::anyhow!("interrupted")),
                };
                crate::session::remove(root.path(), "test").await?;
                report?
            }
        };
        if !arguments.json {
            println!("{report}");
        }
        reports.push(report);
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&reports)?);
    }
    if let Some(file) = &arguments.junit {
        std::fs::write(file, docklab_scenario::junit(&reports))
            .with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(i32::from(!reports.iter().all(TestReport::passed)))
}

async fn play(
    scenario: &Scenario,
    engine: &str,
    mut session: Session,
    seed: Option<&std::path::Path>,
    is_verbose: bool,
) -> Result<TestReport> {
    let client = session.nodes[0].client();
    if let Some(seed) = seed {
        files::load_images(&client, seed).await?;
    }
    let mut player = NativePlayer::new(engine, session.nodes.clone(), &scenario.meta.images, is_verbose).await?;
    let report = docklab_scenario::test(scenario, &mut player).await;
    let cleared = player.clear().await;
    session.stop_engines().await;
    let report = report.with_context(|| format!("playing {}", scenario.meta.title))?;
    cleared.context("clearing up after the test")?;
    Ok(report)
}

pub(crate) fn lint(arguments: &LintArguments) -> Result<i32> {
    let mut clean = true;
    let mut found = Vec::new();
    for file in &arguments.files {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let name = file.display().to_string();
        let diagnostics = docklab_scenario::lint(&name, &text);
        clean &= diagnostics.is_empty();
        if !arguments.json {
            report_faults(&diagnostics);
        }
        found.extend(diagnostics.0);
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    }
    Ok(i32::from(!clean))
}

pub(crate) fn schema() -> Result<i32> {
    println!("{}", serde_json::to_string_pretty(&docklab_scenario::json_schema())?);
    Ok(0)
}
