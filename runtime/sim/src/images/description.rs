use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

/// A description that cannot be used.
#[derive(Debug, Error)]
pub enum DescriptionError {
    #[error("image description: {0}")]
    Syntax(#[from] toml::de::Error),
}

/// An image of `docker.io`, in all its tags.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// `nginx` is `docker.io/library/nginx`; a name with a slash is used as it is.
    pub name: String,
    /// An image whose layers this one stands on: `name` or `name:tag`.
    #[serde(default)]
    pub base: Option<String>,
    /// RFC 3339.
    #[serde(default = "default_created")]
    pub created: String,
    /// Variables of each tag; `{name}` in any text of the description becomes the value.
    pub tags: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    pub env: Vec<String>,
    #[serde(default)]
    pub entrypoint: Vec<String>,
    #[serde(default)]
    pub cmd: Vec<String>,
    #[serde(default)]
    pub expose: Vec<String>,
    #[serde(default)]
    pub volumes: Vec<String>,
    #[serde(default)]
    pub workdir: String,
    #[serde(default)]
    pub user: String,
    #[serde(default)]
    pub stop_signal: Option<String>,
    #[serde(default, rename = "layer")]
    pub layers: Vec<LayerDescription>,
    #[serde(default, rename = "program")]
    pub programs: Vec<ProgramDescription>,
}

fn default_created() -> String {
    "2025-10-01T00:00:00Z".to_owned()
}

/// One layer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerDescription {
    /// What `docker history` shows.
    #[serde(default)]
    pub created_by: String,
    #[serde(default)]
    pub directories: Vec<String>,
    /// Path and content.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Path and target.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
    /// Executables: path and program, either one of the simulator's or a `[[program]]`.
    #[serde(default)]
    pub programs: BTreeMap<String, String>,
    /// A directory, and the simulator's tools that stand in it under their own names.
    #[serde(default)]
    pub tools: BTreeMap<String, String>,
}

/// How a program behaves.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProgramDescription {
    pub name: String,
    /// Lines at its start.
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
    /// Milliseconds until it has started.
    pub start_ms: u64,
    /// It ends after its lines with this code.
    pub exit: Option<i32>,
    /// TCP ports it listens on, on all addresses.
    pub listen: Vec<u16>,
    /// What it answers to HTTP.
    pub answer: Option<String>,
    pub content_type: Option<String>,
    /// Answers with files of this directory instead.
    pub root: Option<String>,
    /// Answers as an OCI registry with content of its own.
    pub registry: bool,
    /// `Server:` header.
    pub server: Option<String>,
    /// Writes a line for each request to standard output, in the combined log format.
    pub access_log: bool,
    /// Files it writes at its start; `{pid}` is its process ID.
    pub writes: BTreeMap<String, String>,
    /// Bytes of memory.
    pub memory: u64,
    /// Thousandths of a CPU.
    pub cpu: u64,
    /// Signals that it ends on, and the code it ends with.
    pub exit_on: BTreeMap<String, i32>,
    /// Stays in the foreground only when an argument contains this; otherwise it goes to the background.
    pub foreground: Option<String>,
    /// Worker processes, as `ps` shows them.
    pub title: Option<String>,
}

impl Description {
    /// Reads a description in TOML.
    pub fn parse(text: &str) -> Result<Self, DescriptionError> {
        Ok(toml::from_str(text)?)
    }
    /// With its namespace, as the registry names it.
    pub(crate) fn repository(&self) -> String {
        if self.name.contains('/') { self.name.clone() } else { format!("library/{}", self.name) }
    }
}
