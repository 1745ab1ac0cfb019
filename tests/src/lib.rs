//! Fixtures for end-to-end tests: engines and servers as child processes, command lines, a browser, and a look for
//! whatever they left behind.
//!
//! A failing fixture ends its test, so these functions panic with the reason.

mod browser;
mod engine;
mod http;
mod leaks;
mod serve;
mod session;
mod student;

pub use browser::Browser;
pub use engine::{Client, Engine, Output};
pub use http::{Answer, get, request};
pub use leaks::leftovers;
pub use serve::Server;
pub use session::Session;
pub use student::Student;

use std::{
    env,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// The root of the checkout.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The binary under test: `DOCKLAB_BINARY`, else the debug build.
pub fn docklab() -> PathBuf {
    let binary = env::var_os("DOCKLAB_BINARY").map_or_else(|| workspace().join("target/debug/docklab"), PathBuf::from);
    assert!(binary.exists(), "{} is missing: cargo build", binary.display());
    binary
}

/// Images for an engine: `DOCKLAB_SEED`, else what `cargo xtask` has built.
pub fn seed() -> PathBuf {
    let seed =
        env::var_os("DOCKLAB_SEED").map_or_else(|| workspace().join("target/images/stand-in.tar"), PathBuf::from);
    assert!(seed.exists(), "{} is missing: cargo xtask test end-to-end", seed.display());
    seed
}

/// Whether this test can run here. If not, it is noted with the reason where `cargo xtask test` counts it.
#[must_use]
pub fn can_run(test: &str, needs: &[Need]) -> bool {
    let Some(reason) = needs.iter().find_map(Need::lacking) else { return true };
    eprintln!("skipped: {test}: {reason}");
    if let Some(file) = env::var_os("DOCKLAB_TEST_SKIPS") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).expect("the list of skips");
        writeln!(file, "{test}: {reason}").expect("the list of skips");
    }
    false
}

/// What a test cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Root on Linux, for the engine.
    Root,
    /// A program on PATH.
    Program(&'static str),
}

impl Need {
    fn lacking(&self) -> Option<String> {
        match self {
            Self::Root => (!rustix::process::geteuid().is_root()).then(|| "the engine needs root".to_owned()),
            Self::Program(name) => find_program(name).is_none().then(|| format!("there is no program `{name}`")),
        }
    }
}

/// Looks along PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// Asks until the answer is yes. Panics with `what` when that takes longer than any machine needs.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a program to its end; panics unless it succeeds.
pub fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed ({}): {stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
