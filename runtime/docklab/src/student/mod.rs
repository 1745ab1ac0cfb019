//! A lab in the terminal, without a browser: one step after another, each with its check.

mod belongings;
mod grade;
mod identity;
mod recorder;
mod report;
mod shell;
mod show;
mod solve;
mod state;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use docklab_api::ContainerApi as _;
use docklab_daemon::client::Address;
use docklab_scenario::{Block, Evaluator, SavedFile, Scenario, Step, StepReport, Workspace as _};

use crate::{
    lab::{EngineKind, NativeWorkspace, Paint, load},
    session::{Node, Session},
};
pub(crate) use grade::{GradeArguments, grade};
pub(crate) use report::{ReportArguments, report};
pub(crate) use shell::{StartArguments, start};
pub(crate) use show::{StatusArguments, status};
pub(crate) use solve::{ResetArguments, SkipArguments, reset, skip};
use state::{Place, State, now};

/// Look at the current step's hint; each call shows one more.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  docklab hint")]
pub(crate) struct HintArguments {}

/// Show the current step's task, or go on when it has none.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  docklab next
  docklab next --save      also write the step's files into the working directory")]
pub(crate) struct NextArguments {
    /// Write the files of the step into the working directory.
    #[arg(long)]
    save: bool,
}

/// Tell everything that is known about why the current step is not done.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  docklab why

Exit code: 0 when the step is done, 1 when it is not.")]
pub(crate) struct WhyArguments {
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// A started lab, opened again.
struct Opened {
    place: Place,
    state: State,
    scenario: Scenario,
    session: Session,
    paint: Paint,
}

impl Opened {
    /// The lab that was started last.
    async fn open() -> Result<Self> {
        let place = Place::current()?;
        let state = place.load()?;
        let scenario = load(&state.file, &state.variables)?;
        let session = session_of(&state, &scenario).await?;
        Ok(Self { place, state, scenario, session, paint: Paint::of(&std::io::stdout()) })
    }

    fn save(&self) -> Result<()> {
        self.place.save(&self.state)
    }

    fn engine_name(&self) -> &'static str {
        self.state.engine.name()
    }

    /// Evaluates a step; one that has turned green is kept as done, with its files.
    async fn judge(&mut self, step: &Step, evaluator: &Evaluator) -> Result<StepReport> {
        let workspace = NativeWorkspace::new(self.session.nodes()?, None);
        let report = evaluator.evaluate(step, &workspace).await;
        if report.passed {
            self.complete(step, false).await?;
        }
        Ok(report)
    }

    async fn complete(&mut self, step: &Step, skipped: bool) -> Result<()> {
        self.state.progress.complete(&step.slug, skipped, now());
        let files = self.files().await?;
        self.state.files.insert(step.slug.clone(), files);
        if let Some((_, next)) = self.state.current_step(&self.scenario) {
            let slug = next.slug.clone();
            self.state.progress.begin(&slug, now());
        }
        self.save()
    }

    /// The lab's files as they are now.
    async fn files(&self) -> Result<Vec<SavedFile>> {
        let nodes = self.session.nodes()?;
        let workspace = NativeWorkspace::new(nodes.clone(), None);
        let mut files: Vec<SavedFile> = Vec::new();
        for block in self.scenario.steps.iter().flat_map(Step::all_blocks) {
            let Block::File { path, node, .. } = block else { continue };
            let Some(node) = node.clone().or_else(|| nodes.first().map(|node| node.name.clone())) else { continue };
            if files.iter().any(|file| file.path == *path && file.node == node) {
                continue;
            }
            if let Ok(Some(content)) = workspace.read_file(&node, path).await {
                let content = String::from_utf8_lossy(&content).into_owned();
                files.push(SavedFile { node, path: path.clone(), content });
            }
        }
        Ok(files)
    }

    fn save_files(&self, step: &Step) -> Result<()> {
        for block in step.all_blocks() {
            let Block::File { path, node, content, .. } = block else { continue };
            let file = self.session.node(node.as_deref())?.workspace().join(path);
            if let Some(directory) = file.parent() {
                std::fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
            }
            std::fs::write(&file, content).with_context(|| format!("writing {}", file.display()))?;
            println!("{} is written.", file.display());
        }
        Ok(())
    }
}

/// The session of a lab's engine.
async fn session_of(state: &State, scenario: &Scenario) -> Result<Session> {
    match state.engine {
        EngineKind::Docklab => Session::open(&crate::console::home(), &state.session, &scenario.meta.nodes).await,
        EngineKind::Docker => {
            if scenario.meta.nodes.len() > 1 {
                bail!(
                    "{} wants {} nodes, and a Docker Engine is one; docklab's own engine has them: --engine docklab",
                    scenario.meta.title,
                    scenario.meta.nodes.len()
                );
            }
            let host = state.docker_host.as_deref().unwrap_or("unix:///var/run/docker.sock");
            let session = Session::around(Address::parse(host)?, crate::console::home().join("docker"))?;
            let client = session.node(None)?.client();
            client
                .list_containers(docklab_api::ListContainers::default())
                .await
                .context("asking your Docker Engine")?;
            Ok(session)
        }
        EngineKind::Sim => bail!(
            "the simulator lives in the page and in `docklab test --engine sim`; it cannot be left between two commands"
        ),
    }
}

/// `docklab check` without a file: the current step of the lab that was started.
pub(crate) async fn check(watch: bool, json: bool) -> Result<i32> {
    let mut lab = Opened::open().await?;
    let evaluator = Evaluator::new();
    loop {
        let nodes: Vec<Node> = lab.session.nodes()?;
        // Subscribed before the first look, so that nothing is missed between the two.
        let mut events = if watch { Some(crate::lab::events_of(&nodes).await?) } else { None };
        let was_done = count_done(&lab);
        let mut red = None;
        // A command may have done several steps.
        while let Some((_, step)) = lab.state.current_step(&lab.scenario) {
            let step = step.clone();
            if !step.is_verifiable() {
                break;
            }
            let report = lab.judge(&step, &evaluator).await?;
            if !report.passed {
                red = Some((step, report));
                break;
            }
            if !json {
                println!("{}", lab.paint.good(&format!("✓ {}", step.title)));
            }
        }
        let made_way = count_done(&lab) > was_done;
        match (&red, json) {
            (Some((_, report)), true) => println!("{}", serde_json::to_string_pretty(report)?),
            (None, true) => println!("{}", serde_json::to_string_pretty(&lab.state.progress)?),
            (Some((step, _)), false) if made_way => show::task(&lab, step),
            (Some((step, report)), false) => show::red(&lab, step, report),
            (None, false) => show::onwards(&lab),
        }
        if let (Some((step, _)), false) = (&red, made_way) {
            let slug = step.slug.clone();
            lab.state.progress.attempt(&slug, now());
            lab.save()?;
        }
        let Some(events) = &mut events else { return Ok(i32::from(red.is_some() && !made_way)) };
        if red.is_none() {
            return Ok(0);
        }
        if !crate::lab::wait_for(events).await {
            bail!("the engine went away");
        }
        // Hints and skips of another terminal count.
        lab.state = lab.place.load()?;
    }
}

/// Ticks off the current step, and those behind it, if they are green. Returns their titles.
async fn tick_off() -> Result<Vec<String>> {
    let mut lab = Opened::open().await?;
    let evaluator = Evaluator::new();
    let mut titles = Vec::new();
    while let Some((_, step)) = lab.state.current_step(&lab.scenario).filter(|(_, step)| step.is_verifiable()) {
        let step = step.clone();
        if !lab.judge(&step, &evaluator).await?.passed {
            break;
        }
        titles.push(step.title);
    }
    Ok(titles)
}

fn count_done(lab: &Opened) -> usize {
    lab.scenario.steps.iter().filter(|step| lab.state.progress.is_done(&step.slug)).count()
}

pub(crate) async fn hint(_: HintArguments) -> Result<i32> {
    let mut lab = Opened::open().await?;
    let Some((_, step)) = lab.state.current_step(&lab.scenario) else {
        show::onwards(&lab);
        return Ok(0);
    };
    let step = step.clone();
    let hints: Vec<&str> = step
        .all_blocks()
        .into_iter()
        .filter_map(|block| if let Block::Hint { html } = block { Some(html.as_str()) } else { None })
        .collect();
    if hints.is_empty() {
        println!("This step has no hint. `docklab why` says what is missing.");
        return Ok(0);
    }
    lab.state.progress.hint(&step.slug, now());
    lab.save()?;
    let asked = lab.state.progress.steps.get(&step.slug).map_or(1, |step| step.hints);
    let shown = usize::try_from(asked).unwrap_or(usize::MAX).min(hints.len());
    for hint in &hints[..shown] {
        print!("{}", docklab_scenario::plain(hint, show::width()));
    }
    Ok(0)
}

pub(crate) async fn next(arguments: NextArguments) -> Result<i32> {
    let mut lab = Opened::open().await?;
    if let Some((_, step)) = lab.state.current_step(&lab.scenario)
        && step.is_verifiable()
    {
        let step = step.clone();
        if lab.judge(&step, &Evaluator::new()).await?.passed {
            println!("{}", lab.paint.good(&format!("✓ {}", step.title)));
        }
    }
    let Some((_, step)) = lab.state.current_step(&lab.scenario) else {
        show::onwards(&lab);
        return Ok(0);
    };
    let step = step.clone();
    show::task(&lab, &step);
    // What can only be read is done when it was shown.
    if !step.is_verifiable() {
        lab.complete(&step, false).await?;
    }
    if arguments.save {
        lab.save_files(&step)?;
    }
    Ok(0)
}

pub(crate) async fn why(arguments: WhyArguments) -> Result<i32> {
    let mut lab = Opened::open().await?;
    let Some((_, step)) = lab.state.current_step(&lab.scenario) else {
        show::onwards(&lab);
        return Ok(0);
    };
    let step = step.clone();
    let report = lab.judge(&step, &Evaluator::new()).await?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else if step.is_verifiable() {
        println!("{}", lab.paint.bold(&step.title));
        println!("{}", lab.paint.report(&report));
    } else {
        println!("Nothing is to be done in “{}”. Go on with:  docklab next", step.title);
    }
    if !report.passed {
        lab.state.progress.attempt(&step.slug, now());
        lab.save()?;
    }
    Ok(i32::from(!report.passed))
}
