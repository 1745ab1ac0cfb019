//! `docklab test`: every check red before and green after, on any engine.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use docklab_scenario::{Scenario, Scope, TestReport};

use super::{
    EngineKind, docker_address,
    files::{self, load},
    player::NativePlayer,
    sim,
};
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  docklab test labs/01-running-a-container.md --engine sim
  docklab test labs/*.md --engine sim,docklab --junit target/labs.xml
  docklab test my-lab.md --engine docker --mutants all

A mutant is the step's own solution with one thing wrong: a command left out, another name, port, image, number or
order. Its check has to stay red. One that leaves everything as the right solution does is harmless, and no fault.

Exit code: 0 when everything holds, 1 when something does not.";

/// Whether solutions are broken to see whether checks notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mutants {
    /// In the simulator, where it takes seconds.
    Auto,
    All,
    None,
}

/// Play labs and prove every check red before its solution and green after.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TestArguments {
    /// The labs.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Engines, one after another.
    #[arg(long = "engine", value_enum, value_delimiter = ',', default_value = "docklab")]
    engines: Vec<EngineKind>,
    /// Parts of a lab that the simulator plays beside each other; other engines play one after another, because two
    /// sessions of one machine would want the same ports.
    #[arg(long, value_name = "N", default_value_t = default_jobs())]
    jobs: usize,
    /// Break every solution in one place after another, and demand that its check stays red.
    #[arg(long, value_enum, default_value = "auto")]
    mutants: Mutants,
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

fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl TestArguments {
    fn scope(&self, engine: EngineKind) -> Scope {
        let mutants = match self.mutants {
            Mutants::Auto => engine == EngineKind::Sim,
            Mutants::All => true,
            Mutants::None => false,
        };
        Scope { mutants }
    }
}

pub(crate) async fn test(arguments: TestArguments) -> Result<i32> {
    let mut scenarios = Vec::new();
    for file in &arguments.files {
        scenarios.push(load(file, &arguments.variables)?);
    }
    let mut reports = Vec::new();
    for engine in &arguments.engines {
        for scenario in &scenarios {
            let report = test_on(scenario, *engine, &arguments).await?;
            if !arguments.json {
                println!("{report}\n");
            }
            reports.push(report);
        }
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&reports)?);
    } else {
        print!("{}", docklab_scenario::table(&reports));
    }
    if let Some(file) = &arguments.junit {
        std::fs::write(file, docklab_scenario::junit(&reports))
            .with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(i32::from(!reports.iter().all(TestReport::passed)))
}

async fn test_on(scenario: &Scenario, engine: EngineKind, arguments: &TestArguments) -> Result<TestReport> {
    let scope = arguments.scope(engine);
    let seed = arguments.seed.as_deref();
    match engine {
        EngineKind::Sim => sim::test(scenario, scope, arguments.jobs.max(1), arguments.verbose).await,
        EngineKind::Docker => {
            let directory = tempfile::tempdir().context("making a directory for the test")?;
            let session = Session::around(docker_address()?, directory.path().to_owned())?;
            play(scenario, scope, "docker", session, seed, arguments.verbose).await
        }
        EngineKind::Docklab => {
            let root = tempfile::tempdir().context("making a directory for the test")?;
            let playing = async {
                let session = Session::open(root.path(), "test", &scenario.meta.nodes).await?;
                play(scenario, scope, "docklab", session, seed, arguments.verbose).await
            };
            // Ctrl-C must leave no container behind: what was begun is removed below in any case.
            let report = tokio::select! {
                report = playing => report,
                () = crate::serve::stop_signal() => Err(anyhow::anyhow!("interrupted")),
            };
            let removed = crate::session::remove(root.path(), "test").await;
            let report = report?;
            removed?;
            Ok(report)
        }
    }
}

async fn play(
    scenario: &Scenario,
    scope: Scope,
    engine: &str,
    session: Session,
    seed: Option<&Path>,
    is_verbose: bool,
) -> Result<TestReport> {
    if let Some(seed) = seed {
        crate::images::provide_all(&session.nodes()?, seed).await?;
    }
    let mut player = NativePlayer::new(engine, session, &scenario.meta.images, is_verbose).await?;
    let report = docklab_scenario::test(scenario, scope, &mut player).await;
    let cleared = player.clear().await;
    let report = report.with_context(|| format!("playing {}", scenario.meta.title))?;
    cleared.context("clearing up after the test")?;
    Ok(report)
}
