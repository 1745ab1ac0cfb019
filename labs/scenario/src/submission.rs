//! What a student hands in: the way through a lab, with everything needed to walk it again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::progress::Progress;

/// The format of [`Submission`]s that this crate reads and writes.
pub const SUBMISSION_FORMAT: &str = "docklab-submission-1";

/// A student's work on one lab.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// [`SUBMISSION_FORMAT`].
    pub format: String,
    pub student: String,
    /// The lab's id.
    pub lab: String,
    /// SHA-256 of the lab's text, in hexadecimal digits.
    pub lab_digest: String,
    /// `docklab`, `docker` or `sim`.
    pub engine: String,
    /// Values that the lab's variables were given.
    pub variables: Vec<(String, String)>,
    pub progress: Progress,
    pub commands: Vec<TypedCommand>,
    /// By step, the lab's files as they were when the step turned green.
    pub files: BTreeMap<String, Vec<SavedFile>>,
}

/// A command of a student's shell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypedCommand {
    /// The step that was open.
    pub step: String,
    pub node: String,
    /// Seconds since 1970.
    pub at: u64,
    pub line: String,
    /// Lines typed into what the command opened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inner: Vec<String>,
    /// Ctrl-C was pressed while it ran.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// Seconds since 1970; `None` while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedFile {
    pub node: String,
    pub path: String,
    pub content: String,
}

impl Submission {
    /// The bytes that a signature is made over. The same work gives the same bytes, whatever the file looks like.
    pub fn signed_bytes(&self) -> Vec<u8> {
        // Nothing in it can fail to be written: no maps with keys that are not strings.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Submission, TypedCommand};

    #[test]
    fn reading_and_writing_keeps_the_signed_bytes() {
        let command = TypedCommand { line: "docker run «x»".to_owned(), exit: Some(0), ..TypedCommand::default() };
        let submission = Submission { commands: vec![command], ..Submission::default() };
        let pretty = serde_json::to_string_pretty(&submission).unwrap();
        let read: Submission = serde_json::from_str(&pretty).unwrap();
        assert_eq!(read.signed_bytes(), submission.signed_bytes());
        assert!(serde_json::from_str::<Submission>(&pretty.replacen('{', "{\"extra\": 1,", 1)).is_err());
    }
}
