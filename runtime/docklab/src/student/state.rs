//! Where a student stands in a lab, kept beneath `labs/` of docklab's home.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use docklab_scenario::{Progress, SavedFile, Scenario, Step, TypedCommand};
use serde::{Deserialize, Serialize};

use crate::lab::EngineKind;

/// One lab that was started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    /// The lab's file, absolute.
    pub(super) file: PathBuf,
    pub(super) engine: EngineKind,
    /// The session of docklab's own engine.
    pub(super) session: String,
    /// DOCKER_HOST when the lab was started.
    pub(super) docker_host: Option<String>,
    pub(super) variables: Vec<(String, String)>,
    pub(super) progress: Progress,
    /// By step, the lab's files when it turned green.
    pub(super) files: BTreeMap<String, Vec<SavedFile>>,
    /// By node, what its engine held before the lab began: none of it is ever touched.
    pub(super) held: BTreeMap<String, Vec<String>>,
}

/// Where a state is kept.
#[derive(Debug, Clone)]
pub(super) struct Place {
    directory: PathBuf,
}

impl Place {
    pub(super) fn of(lab: &str) -> Self {
        Self { directory: crate::console::home().join("labs").join(lab) }
    }

    /// The lab that was started last.
    pub(super) fn current() -> Result<Self> {
        let file = crate::console::home().join("labs/current");
        match fs::read_to_string(&file) {
            Ok(lab) => Ok(Self::of(lab.trim())),
            Err(_) => bail!("no lab was started yet. Type:  docklab start labs/01-running-a-container.md"),
        }
    }

    pub(super) fn make_current(&self) -> Result<()> {
        let name = self.directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        write(&crate::console::home().join("labs/current"), name.as_bytes())
    }

    pub(super) fn load(&self) -> Result<State> {
        let file = self.directory.join("state.json");
        let text = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", file.display()))
    }

    pub(super) fn exists(&self) -> bool {
        self.directory.join("state.json").exists()
    }

    pub(super) fn save(&self, state: &State) -> Result<()> {
        write(&self.directory.join("state.json"), &serde_json::to_vec_pretty(state)?)
    }

    /// Forgets the way so far.
    pub(super) fn forget(&self) -> Result<()> {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", self.directory.display()))
            }
            _ => Ok(()),
        }
    }

    /// Adds a command that has ended, or was still running when its shell ended.
    pub(super) fn record(&self, command: &TypedCommand) -> Result<()> {
        let file = self.directory.join("commands.jsonl");
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        let opened = fs::OpenOptions::new().create(true).append(true).open(&file);
        opened.and_then(|mut opened| opened.write_all(&line)).with_context(|| format!("writing {}", file.display()))
    }

    /// All commands in the order in which they were begun.
    pub(super) fn commands(&self) -> Result<Vec<TypedCommand>> {
        let file = self.directory.join("commands.jsonl");
        let text = match fs::read_to_string(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.with_context(|| format!("reading {}", file.display()))?,
        };
        // A line that was cut off by a full disk is no reason to lose the others.
        let mut commands: Vec<TypedCommand> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        commands.sort_by_key(|command| command.at);
        Ok(commands)
    }
}

/// Replaces a file as a whole.
fn write(file: &Path, content: &[u8]) -> Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    let draft = file.with_extension("new");
    fs::write(&draft, content).with_context(|| format!("writing {}", draft.display()))?;
    fs::rename(&draft, file).with_context(|| format!("writing {}", file.display()))
}

impl State {
    /// The first step that is not done; `None` when all are.
    pub(super) fn current_step<'s>(&self, scenario: &'s Scenario) -> Option<(usize, &'s Step)> {
        scenario.steps.iter().enumerate().find(|(_, step)| !self.progress.is_done(&step.slug))
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
