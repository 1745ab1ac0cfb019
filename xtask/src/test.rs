//! `cargo xtask test`: everything that can fail, as named items, with one line of sums at the end.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result};

use crate::{
    book, command, page, parity, progress,
    report::{Outcome, Report},
    setup, wasm,
};

/// Crates that the page is made of, which must never come to need an operating system.
const PORTABLE: [&str; 7] = [
    "docklab-api",
    "docklab-host",
    "docklab-swarm",
    "docklab-engine",
    "docklab-cli",
    "docklab-scenario",
    "docklab-sim",
];

/// Labs and the engines on which every route of theirs is known to hold.
const PROVEN: [(&str, &str); 8] = [
    ("01-running-a-container.md", "sim"),
    ("02-images.md", "sim"),
    ("03-swarm.md", "sim"),
    ("04-networks.md", "sim"),
    ("01-running-a-container.md", "docklab"),
    ("02-images.md", "docklab"),
    ("03-swarm.md", "docklab"),
    ("04-networks.md", "docklab"),
];

/// Where end-to-end tests write which of them they could not run, and why: `NAME: REASON`, one a line.
const SKIPS: &str = "target/test-skips";

struct Run<'a> {
    filters: &'a [&'a str],
    report: Report,
}

impl Run<'_> {
    /// Runs one item, unless filters are given and none is part of its name. An error is a failure, not the end.
    fn item(&mut self, name: &str, test: impl FnOnce() -> Result<Outcome>) {
        if !self.filters.is_empty() && !self.filters.iter().any(|filter| name.contains(filter)) {
            return;
        }
        let started = Instant::now();
        let outcome = test().unwrap_or_else(|error| Outcome::of(false, format!("{error:#}")));
        self.report.add(name, outcome, started.elapsed());
    }

    fn wants(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter) || filter.contains(name))
    }
}

/// Runs the items whose names contain one of `filters` (all, if there are none). With `complete`, skipping is failing.
pub(crate) fn test(filters: &[&str], complete: bool) -> Result<bool> {
    let root = progress::workspace_root();
    let mut run = Run { filters, report: Report::default() };
    let packages = prepare();
    run.item("set-up", || Ok(packages.as_ref().map_or_else(missing, |()| Outcome::of(true, ""))));
    run.item("fmt", || Ok(cargo(&root, &["fmt", "--all", "--check"])));
    run.item("clippy", || {
        Ok(cargo(&root, &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    });
    run.item("units", || Ok(cargo_test(&root, &["--workspace", "--exclude", "docklab-tests"])));
    run.item("book", || book::build().map(|_| Outcome::of(true, "")));
    if run.wants("wasm32") {
        portable(&mut run, &root);
    }
    if run.wants("labs") || run.wants("end-to-end") || run.wants("parity") {
        with_binary(&mut run, &root);
    }
    let (_, failed, skipped) = run.report.sums();
    println!("{}", run.report.summary());
    if complete && skipped > 0 {
        eprintln!("nothing may be skipped here");
    }
    Ok(failed == 0 && !(complete && skipped > 0))
}

/// Programs that tests call. What cannot be installed is named; the items that need it fail or say why they skip.
fn prepare() -> Result<()> {
    setup::ensure(&setup::FOR_PAGE)?;
    setup::ensure(&setup::FOR_IMAGES)?;
    setup::ensure(&setup::FOR_ENGINE)?;
    setup::ensure(&setup::FOR_TESTS)?;
    if setup::is_root() && command::output(Command::new("python3").args(["-c", "import ensurepip"])).is_err() {
        setup::install(&["python3-venv"])?;
    }
    Ok(())
}

fn missing(error: &anyhow::Error) -> Outcome {
    Outcome::skip(format!("{error:#}"))
}

fn portable(run: &mut Run<'_>, root: &Path) {
    let compiler = wasm::ensure_compiler();
    for package in PORTABLE {
        run.item(&format!("wasm32 {package}"), || {
            let compiler = compiler.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
            let mut command = Command::new(wasm::cargo());
            command.current_dir(root).args(["check", "--quiet", "-p", package, "--target", wasm::TARGET]);
            command.arg("--target-dir").arg(root.join("target/page"));
            compiler.apply(&mut command);
            Ok(captured(&mut command))
        });
    }
}

/// The items that run the `docklab` binary.
fn with_binary(run: &mut Run<'_>, root: &Path) {
    let docklab = match setup::build_docklab(false) {
        Ok(docklab) => docklab,
        Err(error) => return run.item("labs, end-to-end, parity", || Err(error)),
    };
    let labs = match labs(root) {
        Ok(labs) => labs,
        Err(error) => return run.item("labs", || Err(error)),
    };
    run.item("labs lint", || Ok(captured(Command::new(&docklab).arg("lint").args(&labs))));
    run.item("labs fmt", || Ok(captured(Command::new(&docklab).args(["fmt", "--check"]).args(&labs))));
    let seed = setup::stand_ins(&docklab);
    run.item("stand-in images", || {
        seed.as_ref().map(|_| Outcome::of(true, "")).map_err(|error| anyhow::anyhow!("{error:#}"))
    });
    for (name, engine) in PROVEN {
        run.item(&format!("labs {name} on {engine}"), || {
            if engine == "docklab" && !setup::is_root() {
                return Ok(Outcome::skip("the engine needs root"));
            }
            let mut test = Command::new(&docklab);
            test.arg("test").arg(root.join("labs").join(name)).args(["--engine", engine]);
            if let (Ok(seed), "docklab") = (&seed, engine) {
                test.arg("--seed").arg(seed);
            }
            Ok(captured(&mut test))
        });
    }
    let page = if run.wants("end-to-end") { Some(page::build_page(false)) } else { None };
    run.item("end-to-end", || {
        if let Some(Err(error)) = &page {
            anyhow::bail!("building the page: {error:#}");
        }
        end_to_end(root, &docklab, seed.as_deref().ok())
    });
    run.item("parity with recorded Docker", || parity::recorded(&docklab, seed.as_deref().ok()));
}

fn end_to_end(root: &Path, docklab: &Path, seed: Option<&Path>) -> Result<Outcome> {
    let skips = root.join(SKIPS);
    fs::write(&skips, "").with_context(|| format!("writing {}", skips.display()))?;
    let mut command = Command::new(wasm::cargo());
    command.current_dir(root).args(["test", "-p", "docklab-tests", "--no-fail-fast", "--", "--test-threads=1"]);
    command.env("DOCKLAB_BINARY", docklab).env("DOCKLAB_TEST_SKIPS", &skips);
    if let Some(seed) = seed {
        command.env("DOCKLAB_SEED", seed);
    }
    let (succeeded, output) = capture(&mut command);
    let mut outcome = Outcome::of_cargo_test(succeeded, output);
    let skipped = fs::read_to_string(&skips).with_context(|| format!("reading {}", skips.display()))?;
    for line in skipped.lines() {
        // The harness knows no skipping while a test runs, and counted it as passed.
        outcome.passed = outcome.passed.saturating_sub(1);
        outcome.skipped.push(line.to_owned());
    }
    Ok(outcome)
}

fn labs(root: &Path) -> Result<Vec<PathBuf>> {
    let directory = root.join("labs");
    let mut labs = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        let is_lab = path.extension().is_some_and(|extension| extension == "md")
            && fs::read_to_string(&path).is_ok_and(|text| text.starts_with("+++"));
        if is_lab {
            labs.push(path);
        }
    }
    labs.sort();
    Ok(labs)
}

fn cargo(root: &Path, arguments: &[&str]) -> Outcome {
    captured(Command::new(wasm::cargo()).current_dir(root).args(arguments))
}

fn cargo_test(root: &Path, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(wasm::cargo());
    command.current_dir(root).args(["test", "--no-fail-fast"]).args(arguments);
    let (succeeded, output) = capture(&mut command);
    Outcome::of_cargo_test(succeeded, output)
}

fn captured(command: &mut Command) -> Outcome {
    let (succeeded, output) = capture(command);
    Outcome::of(succeeded, output)
}

fn capture(command: &mut Command) -> (bool, String) {
    match command.stdin(Stdio::null()).output() {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8_lossy(&text).into_owned())
        }
        Err(error) => (false, format!("starting `{}`: {error}", command::shown(command))),
    }
}
