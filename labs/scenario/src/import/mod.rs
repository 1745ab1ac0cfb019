//! Labs of other platforms as scenarios: text, commands and steps are carried over, checks become stubs that lint reports.

mod killercoda;
mod training;

use thiserror::Error;

pub use killercoda::from_killercoda;
pub use training::from_training_page;

/// A lab that was carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    pub text: String,
    /// What could not be carried over, one sentence each.
    pub notes: Vec<String>,
}

/// Why a lab cannot be carried over.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ImportError {
    #[error("there is no `{0}`")]
    Missing(String),
    #[error("`{file}` cannot be read: {reason}")]
    Malformed { file: String, reason: String },
    #[error("`{0}` has no step: no heading of the second level")]
    NoStep(String),
}

/// A scenario under construction.
#[derive(Debug, Default)]
struct Writer {
    text: String,
    notes: Vec<String>,
}

impl Writer {
    fn front_matter(&mut self, title: &str, summary: &str, nodes: usize) {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " "));
        let nodes: Vec<String> = (1..=nodes.max(1)).map(|number| format!("\"node{number}\"")).collect();
        self.line("+++");
        self.line(&format!("id = {}", quoted(&crate::parse::slug(title))));
        self.line(&format!("title = {}", quoted(title)));
        if !summary.trim().is_empty() {
            self.line(&format!("summary = {}", quoted(summary.trim())));
        }
        self.line(&format!("nodes = [{}]", nodes.join(", ")));
        self.line("language = \"en\"");
        self.line("+++");
        self.line("");
        self.line(&format!("# {title}"));
        self.line("");
    }
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
    fn blank(&mut self) {
        if !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }
    fn fence(&mut self, info: &str, content: &str) {
        let longest =
            content.split('\n').map(|line| line.trim_start().bytes().take_while(|byte| *byte == b'`').count()).max();
        let mark = "`".repeat(longest.unwrap_or(0).max(2) + 1);
        self.blank();
        self.line(&format!("{mark}{info}"));
        self.text.push_str(content);
        if !content.ends_with('\n') && !content.is_empty() {
            self.text.push('\n');
        }
        self.line(&mark);
        self.line("");
    }
    /// A check that is still to be written; `former` is what verified the step before.
    fn stub(&mut self, former: Option<&str>) {
        let mut content = String::from(
            "# To be written: what must be true when this step is done? `docklab schema` lists what can be checked.\n",
        );
        if let Some(former) = former {
            content.push_str("# It was verified by this script:\n");
            for line in former.lines() {
                content.push_str(format!("#   {line}").trim_end());
                content.push('\n');
            }
        }
        self.fence("check", &content);
    }
    fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
    fn finish(self) -> Imported {
        Imported { text: crate::format::format(&self.text), notes: self.notes }
    }
}

/// A heading's level and title.
fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let title = line.get(level..)?.strip_prefix(' ')?;
    ((1..=6).contains(&level)).then(|| (level, title.trim().trim_end_matches('#').trim()))
}
