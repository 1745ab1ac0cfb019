//! Labs on this machine: `check`, `test` and `lint`.

mod files;
mod lint;
mod paint;
mod player;
mod preview;
mod replay;
mod shell;
mod sim;
mod test;
mod workspace;

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use clap::{Args, ValueEnum};
use docklab_api::{Events, SystemApi as _, models::EventMessage};
use docklab_daemon::client::Address;
use docklab_scenario::{Evaluator, Scenario, StepReport};
use futures::{
    StreamExt as _, future,
    stream::{self, BoxStream},
};

use serde::{Deserialize, Serialize};

use crate::session::{Node, Session};
pub(crate) use files::{load, load_archive, load_images, replacement};
pub(crate) use lint::{
    FormatArguments, ImportArguments, LintArguments, NewArguments, SchemaArguments, format, import, lint, new, schema,
};
pub(crate) use paint::Paint;
pub(crate) use player::NativePlayer;
pub(crate) use preview::{PreviewArguments, preview};
pub(crate) use replay::replay;
pub(crate) use test::{TestArguments, test};
pub(crate) use workspace::NativeWorkspace;

/// Which engine a lab runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EngineKind {
    /// docklab's own runtime, as root on Linux.
    Docklab,
    /// The Docker Engine that DOCKER_HOST names.
    Docker,
    /// The simulator, in this process.
    Sim,
}

impl EngineKind {
    /// The word of the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Docklab => "docklab",
            Self::Docker => "docker",
            Self::Sim => "sim",
        }
    }
}

/// Tell how far the steps of a lab are done.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  docklab check                                       the current step of the lab that `docklab start` has begun
  docklab check --watch                               stay, and tick steps off as they turn green
  docklab check labs/01-running-a-container.md        all steps of a lab, on this machine's Docker

Exit code: 0 when what was looked at is done, 1 when it is not.")]
pub(crate) struct CheckArguments {
    /// The lab; without one, the current step of the lab that was started.
    file: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "docker", requires = "file")]
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

/// The Docker Engine that the environment names.
fn docker_address() -> Result<Address> {
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    Ok(Address::parse(host.as_deref().unwrap_or("unix:///var/run/docker.sock"))?)
}

pub(crate) async fn check(arguments: CheckArguments) -> Result<i32> {
    let Some(file) = &arguments.file else {
        return crate::student::check(arguments.watch, arguments.json).await;
    };
    let scenario = load(file, &arguments.variables)?;
    let session = match arguments.engine {
        EngineKind::Docker => Session::around(docker_address()?, crate::console::home().join("docker"))?,
        EngineKind::Docklab => Session::open(&crate::console::home(), "default", &scenario.meta.nodes).await?,
        EngineKind::Sim => anyhow::bail!(
            "the simulator lives in the page and in `docklab test --engine sim`; there is nothing of it to check from here"
        ),
    };
    let nodes = session.nodes()?;
    let workspace = NativeWorkspace::new(nodes.clone(), None);
    let evaluator = Evaluator::new();
    loop {
        // Subscribed before the first look, so that nothing is missed between the two.
        let mut events = if arguments.watch { Some(events_of(&nodes).await?) } else { None };
        let reports = evaluate_all(&scenario, &evaluator, &workspace).await;
        let passed = reports.iter().all(|report| report.passed);
        if arguments.json {
            println!("{}", serde_json::to_string_pretty(&reports)?);
        } else {
            print_reports(&scenario, &reports);
        }
        match &mut events {
            Some(events) if !passed => {
                if !wait_for(events).await {
                    anyhow::bail!("the engine went away");
                }
            }
            _ => return Ok(i32::from(!passed)),
        }
    }
}

/// Waits until something has happened and all that follows from it has. False when there will be nothing more.
pub(crate) async fn wait_for(events: &mut BoxStream<'static, EventMessage>) -> bool {
    if events.next().await.is_none() {
        return false;
    }
    // One command makes several events.
    while let Ok(Some(_)) = tokio::time::timeout(Duration::from_millis(50), events.next()).await {}
    true
}

/// Events of all nodes, until one of them goes away.
pub(crate) async fn events_of(nodes: &[Node]) -> Result<BoxStream<'static, EventMessage>> {
    let mut streams = Vec::new();
    for node in nodes {
        let events = node.client().events(Events::default()).await?;
        streams
            .push(events.filter_map(|event| future::ready(event.ok())).map(Some).chain(stream::iter([None])).boxed());
    }
    Ok(stream::select_all(streams).take_while(|event| future::ready(event.is_some())).filter_map(future::ready).boxed())
}

async fn evaluate_all(scenario: &Scenario, evaluator: &Evaluator, workspace: &NativeWorkspace) -> Vec<StepReport> {
    let mut reports = Vec::new();
    for step in &scenario.steps {
        reports.push(evaluator.evaluate(step, workspace).await);
    }
    reports
}

fn print_reports(scenario: &Scenario, reports: &[StepReport]) {
    let paint = Paint::of(&std::io::stdout());
    let done = reports.iter().filter(|report| report.passed).count();
    println!("{}", paint.bold(&format!("{}: {done} of {} steps", scenario.meta.title, reports.len())));
    for (step, report) in scenario.steps.iter().zip(reports) {
        let line = format!("{} {}", if report.passed { "✓" } else { "·" }, step.title);
        println!("{}", if report.passed { paint.good(&line) } else { paint.faint(&line) });
    }
    if let Some(report) = reports.iter().find(|report| !report.passed) {
        println!("\n{}", paint.report(report));
    }
}
