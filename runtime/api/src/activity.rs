//! What an engine is doing right now: builds and transfers, which Docker tells only to the client that asked for them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One piece of news of a build, pull or push.
///
/// Streamed at `GET /docklab/activity`, a path that a stock Docker Engine answers with 404. The stream begins with what
/// the engine still remembers of recent jobs (without their byte counts), so that a watcher who comes late sees the last
/// build too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Activity {
    /// Tells the jobs of one engine apart; it only goes up, and begins anew with the engine.
    pub job: u64,
    /// Nanoseconds since 1970.
    pub time_nano: i64,
    #[serde(flatten)]
    pub news: News,
}

/// What happened in a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "News", rename_all = "kebab-case", rename_all_fields = "PascalCase")]
pub enum News {
    /// A build was asked for, with the tags that its image shall get.
    BuildBegan { tags: Vec<String>, steps: u32 },
    /// A line of the Dockerfile went on.
    BuildStep {
        /// From 1, as in `Step 2/4`.
        number: u32,
        /// The line as written.
        instruction: String,
        state: StepState,
    },
    /// A pull or push knows the layers that it is about; bottom first.
    TransferBegan { direction: Direction, reference: String, layers: Vec<TransferredLayer> },
    /// A layer of the job went on.
    Layer { diff_id: String, state: LayerState },
    /// The job is over; with what the client was told when it failed.
    Ended {
        /// The image that was built, pulled or pushed.
        image: Option<String>,
        error: Option<String>,
    },
}

/// How far a step of a build is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "State", rename_all = "kebab-case", rename_all_fields = "PascalCase")]
pub enum StepState {
    /// The line is read. `FROM` stays here while it pulls.
    Began,
    /// The cache had no image of this step; it is carried out.
    Missed {
        why: CacheMiss,
    },
    /// The step's image was in the cache.
    Cached {
        image: String,
        layer: Option<StepLayer>,
    },
    /// The step's image is there: made, or for `FROM` found. Empty for an `ARG` before `FROM`.
    Done {
        image: String,
        layer: Option<StepLayer>,
    },
    Failed {
        error: String,
    },
}

/// The layer that a step made; a step that only changes the configuration makes none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StepLayer {
    /// `sha256:…` of the layer's tar, as in `RootFS.Layers`.
    pub diff_id: String,
    /// Bytes.
    pub size: u64,
}

/// Why the cache had no image of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "Reason", rename_all = "kebab-case", rename_all_fields = "PascalCase")]
pub enum CacheMiss {
    /// `--no-cache`.
    Disabled,
    /// An earlier line of the stage missed, so this one stands on an image that did not exist before.
    Follows {
        /// The number of the line that missed first.
        step: u32,
    },
    /// Nothing like it was built here on top of this image.
    New,
    /// Another line was built on top of this image before.
    Instruction { before: String },
    /// The line is the same, the files that it copies are not. Empty lists: which ones is no longer known.
    Files { changed: Vec<String>, added: Vec<String>, removed: Vec<String> },
    /// The line is the same, a build argument that it may read is not.
    Argument { name: String, before: Option<String>, now: Option<String> },
}

/// At most this many files are named in a sentence.
const NAMED: usize = 3;

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl fmt::Display for CacheMiss {
    /// A short clause: `app.py changed`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => formatter.write_str("the build was asked not to use the cache"),
            Self::Follows { step } => write!(formatter, "it stands on step {step}, which changed"),
            Self::New => formatter.write_str("this line was not built on this image before"),
            Self::Instruction { before } => write!(formatter, "the line changed; before, it was {before}"),
            Self::Files { changed, added, removed } => {
                let parts: Vec<String> = [(changed, "changed"), (added, "added"), (removed, "removed")]
                    .into_iter()
                    .filter(|(names, _)| !names.is_empty())
                    .map(|(names, verb)| format!("{} {verb}", listed(names)))
                    .collect();
                match parts.as_slice() {
                    [] => formatter.write_str("a file that it copies changed"),
                    parts => formatter.write_str(&parts.join("; ")),
                }
            }
            Self::Argument { name, before, now } => match (before, now) {
                (Some(before), Some(now)) => write!(formatter, "{name} is {now}; before, it was {before}"),
                (None, Some(now)) => write!(formatter, "{name} is {now}; before, it was not set"),
                (_, None) => write!(formatter, "{name} is no longer set"),
            },
        }
    }
}

/// Which way layers travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From a registry.
    Pull,
    /// To a registry.
    Push,
}

/// A layer of a pull or push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TransferredLayer {
    /// `sha256:…` of the layer's tar.
    pub diff_id: String,
    /// The digest by which the registry knows the compressed layer, where it is known already.
    pub digest: Option<String>,
    /// Bytes: compressed if `digest` is there, otherwise of its files.
    pub size: u64,
}

/// How far a layer is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "State", rename_all = "kebab-case", rename_all_fields = "PascalCase")]
pub enum LayerState {
    Waiting,
    /// The other side has it; nothing travels.
    Exists,
    /// The registry takes it from a repository of its own; nothing travels.
    Mounted {
        from: String,
    },
    /// Bytes on their way.
    Moving {
        current: u64,
        total: u64,
    },
    /// Bytes unpacked onto the layers below.
    Unpacking {
        current: u64,
        total: u64,
    },
    /// The connection failed and is tried again.
    Retrying,
    Done,
}

impl LayerState {
    /// Reads Docker's word for it: the status of a layer's line in the output of a pull or push, with its amounts.
    pub fn read(status: &str, current: u64, total: u64) -> Option<Self> {
        Some(match status {
            "Waiting" | "Preparing" | "Pulling fs layer" => Self::Waiting,
            "Already exists" | "Layer already exists" => Self::Exists,
            "Downloading" | "Pushing" => Self::Moving { current, total },
            "Verifying Checksum" | "Download complete" => Self::Unpacking { current: 0, total: 0 },
            "Extracting" => Self::Unpacking { current, total },
            "Pull complete" | "Pushed" => Self::Done,
            other => match other.strip_prefix("Mounted from ") {
                Some(from) => Self::Mounted { from: from.to_owned() },
                None if other.starts_with("Retrying in ") => Self::Retrying,
                None => return None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_one_flat_object() {
        let activity = Activity {
            job: 3,
            time_nano: 5,
            news: News::BuildStep {
                number: 4,
                instruction: "COPY app.py /app.py".into(),
                state: StepState::Missed {
                    why: CacheMiss::Files { changed: vec!["app.py".into()], added: vec![], removed: vec![] },
                },
            },
        };
        let text = serde_json::to_string(&activity).expect("plain data");
        assert_eq!(
            text,
            r#"{"Job":3,"TimeNano":5,"News":"build-step","Number":4,"Instruction":"COPY app.py /app.py","State":{"State":"missed","Why":{"Reason":"files","Changed":["app.py"],"Added":[],"Removed":[]}}}"#
        );
        assert_eq!(serde_json::from_str::<Activity>(&text).expect("the same"), activity);
    }

    #[test]
    fn a_miss_is_a_short_clause() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let files = |changed: &[&str], added: &[&str]| {
            CacheMiss::Files { changed: names(changed), added: names(added), removed: Vec::new() }.to_string()
        };
        assert_eq!(files(&["app.py"], &[]), "app.py changed");
        assert_eq!(files(&["a", "b", "c", "d", "e"], &["f"]), "a, b, c and 2 more changed; f added");
        assert_eq!(files(&[], &[]), "a file that it copies changed");
        assert_eq!(CacheMiss::Follows { step: 2 }.to_string(), "it stands on step 2, which changed");
    }

    #[test]
    fn dockers_status_lines_are_states() {
        assert_eq!(LayerState::read("Layer already exists", 0, 0), Some(LayerState::Exists));
        assert_eq!(LayerState::read("Pushing", 5, 9), Some(LayerState::Moving { current: 5, total: 9 }));
        let mounted = LayerState::Mounted { from: "library/python".into() };
        assert_eq!(LayerState::read("Mounted from library/python", 0, 0), Some(mounted));
        assert_eq!(LayerState::read("Retrying in 5 seconds", 0, 0), Some(LayerState::Retrying));
        assert_eq!(LayerState::read("Digest: sha256:0", 0, 0), None);
    }
}
