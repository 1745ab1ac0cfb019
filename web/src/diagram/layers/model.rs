//! What is drawn: images as stacks of layers with the lines that made them, and the writable layers of containers.

use std::rc::Rc;

use docklab_api::models::{
    ChangeType, ContainerSummary, FilesystemChange, HistoryResponseItem, ImageInspect, ImageSummary,
};

use super::instruction::instruction;
use crate::observe::ContainerState;

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    /// `sha256:…` of its tar.
    pub diff_id: String,
    /// Bytes of its files.
    pub size: u64,
}

/// A line of the Dockerfile that an image came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub instruction: String,
    /// `None` for a line that only changes the configuration.
    pub layer: Option<Layer>,
    /// The image of this line, where it was built; a pulled image does not say.
    pub image: Option<String>,
}

/// An image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stack {
    /// `sha256:…`
    pub id: String,
    /// None for an image that lost its tag.
    pub tags: Vec<String>,
    /// Unix seconds.
    pub created: i64,
    /// Oldest first: from the ground up.
    pub lines: Vec<Line>,
    /// docklab built it in place of the real one.
    pub stand_in: bool,
    /// A build that still goes on.
    pub building: bool,
}

impl Stack {
    pub(super) fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.lines.iter().filter_map(|line| line.layer.as_ref())
    }
    /// Bytes.
    pub(super) fn size(&self) -> u64 {
        self.layers().map(|layer| layer.size).sum()
    }
    /// What people call it.
    pub(super) fn name(&self) -> String {
        match self.tags.as_slice() {
            [] if self.building => "building…".to_owned(),
            [] => format!("<none> {}", crate::observe::short_id(&self.id)),
            [tag] => tag.clone(),
            [tag, more @ ..] => format!("{tag} +{}", more.len()),
        }
    }
}

/// A file that a container added, changed or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// As `docker diff` prints it: `A`, `C` or `D`.
    pub kind: char,
    pub path: String,
}

/// A container's writable layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Writable {
    pub id: String,
    pub name: String,
    /// The image that it stands on, `sha256:…`.
    pub image: String,
    pub state: ContainerState,
    /// `None` until it was read.
    pub changes: Option<Vec<Change>>,
}

/// All stacks of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layers {
    pub node: String,
    /// Oldest first, so that what is new appears on the right.
    pub stacks: Vec<Rc<Stack>>,
    pub containers: Vec<Rc<Writable>>,
}

/// Reads an image from its history (newest first, as the API has it) and its inspection.
pub(super) fn stack(image: &ImageInspect, history: &[HistoryResponseItem]) -> Stack {
    let diff_ids = image.root_fs.as_ref().and_then(|root| root.layers.clone()).unwrap_or_default();
    let history: Vec<&HistoryResponseItem> = history.iter().rev().collect();
    let labels = image.config.as_ref().and_then(|config| config.labels.as_ref());
    Stack {
        id: image.id.clone().unwrap_or_default(),
        tags: Vec::new(),
        created: 0,
        lines: lines(&history, diff_ids),
        stand_in: labels.is_some_and(|labels| labels.get(crate::observe::STAND_IN_LABEL).is_some_and(|v| v == "true")),
        building: false,
    }
}

/// How likely a line without bytes made a layer all the same: copying an empty file does, setting a variable never.
fn makes_layers(instruction: &str) -> u8 {
    match super::instruction::split_verb(instruction).0 {
        "COPY" | "ADD" => 4,
        "RUN" => 3,
        "WORKDIR" => 2,
        "" => 1,
        _ => 0,
    }
}

/// Puts layers and lines together. The history does not say which lines made a layer: those with bytes did, and of those
/// without, the most likely ones until every layer has its line.
fn lines(history: &[&HistoryResponseItem], diff_ids: Vec<String>) -> Vec<Line> {
    let texts: Vec<String> = history.iter().map(|item| instruction(&item.created_by, &item.comment)).collect();
    let mut owns: Vec<bool> = history.iter().map(|item| item.size > 0).collect();
    let missing = diff_ids.len().saturating_sub(owns.iter().filter(|owns| **owns).count());
    let mut likely: Vec<usize> = (0..owns.len()).filter(|index| !owns[*index]).collect();
    likely.sort_by_key(|index| std::cmp::Reverse(makes_layers(&texts[*index])));
    for index in likely.into_iter().take(missing) {
        owns[index] = true;
    }
    let mut diff_ids = diff_ids.into_iter();
    let mut lines: Vec<Line> = history
        .iter()
        .zip(texts)
        .zip(owns)
        .map(|((item, instruction), owns)| Line {
            instruction,
            layer: if owns {
                diff_ids.next().map(|diff_id| Layer { diff_id, size: u64::try_from(item.size).unwrap_or(0) })
            } else {
                None
            },
            image: item.id.starts_with("sha256:").then(|| item.id.clone()),
        })
        .collect();
    // Images that were imported or squashed have more layers than lines.
    lines.extend(diff_ids.map(|diff_id| Line {
        instruction: instruction("", ""),
        layer: Some(Layer { diff_id, size: 0 }),
        image: None,
    }));
    lines
}

/// What a list of images knows of one: its tags and its age.
pub(super) fn named(stack: &Stack, summary: &ImageSummary) -> Stack {
    let mut tags: Vec<String> = summary.repo_tags.iter().filter(|tag| *tag != "<none>:<none>").cloned().collect();
    tags.sort();
    Stack { tags, created: summary.created, ..stack.clone() }
}

/// A container as the list has it, with its changes as they were last read.
pub(super) fn writable(summary: &ContainerSummary, changes: Option<Vec<Change>>) -> Writable {
    let name = summary.names.as_ref().and_then(|names| names.first()).map(|name| name.trim_start_matches('/'));
    let state = summary.state.as_ref().map(ToString::to_string).unwrap_or_default();
    Writable {
        id: summary.id.clone().unwrap_or_default(),
        name: name.unwrap_or_default().to_owned(),
        image: summary.image_id.clone().unwrap_or_default(),
        state: match state.as_str() {
            "running" => ContainerState::Running,
            "paused" => ContainerState::Paused,
            "restarting" => ContainerState::Restarting,
            "removing" => ContainerState::Removing,
            "exited" => ContainerState::Exited,
            "dead" => ContainerState::Dead,
            _ => ContainerState::Created,
        },
        changes,
    }
}

/// The changes that tell something: a directory that is listed only because of what lies in it is left out.
pub(super) fn changes(all: &[FilesystemChange]) -> Vec<Change> {
    let mut changes: Vec<Change> = all
        .iter()
        .map(|change| Change {
            kind: match change.kind {
                ChangeType::_0 => 'C',
                ChangeType::_1 => 'A',
                ChangeType::_2 => 'D',
            },
            path: change.path.clone(),
        })
        .collect();
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    let is_only_way = |index: usize| {
        let inside = format!("{}/", changes[index].path.trim_end_matches('/'));
        // Names with characters below the slash may stand between a directory and its content.
        changes[index + 1..]
            .iter()
            .take_while(|other| other.path.starts_with(changes[index].path.as_str()))
            .any(|other| other.path.starts_with(&inside))
    };
    let kept: Vec<Change> = (0..changes.len())
        .filter(|index| changes[*index].kind == 'D' || !is_only_way(*index))
        .map(|index| changes[index].clone())
        .collect();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(created_by: &str, size: i64) -> HistoryResponseItem {
        HistoryResponseItem {
            id: "<missing>".into(),
            created: 0,
            created_by: created_by.into(),
            tags: Vec::new(),
            size,
            comment: String::new(),
        }
    }

    fn read(history: &[(&str, i64)], diff_ids: &[&str]) -> Vec<String> {
        let items: Vec<HistoryResponseItem> = history.iter().map(|(text, size)| item(text, *size)).collect();
        let lines = lines(&items.iter().collect::<Vec<_>>(), diff_ids.iter().map(|id| (*id).to_owned()).collect());
        let text =
            |line: Line| format!("{}: {}", line.instruction, line.layer.map_or("-".to_owned(), |layer| layer.diff_id));
        lines.into_iter().map(text).collect()
    }

    #[test]
    fn lines_with_bytes_have_the_layers() {
        let history = [
            ("/bin/sh -c #(nop) ADD file:00 in / ", 5),
            ("/bin/sh -c #(nop)  CMD [\"sh\"]", 0),
            ("/bin/sh -c apk add x", 7),
        ];
        assert_eq!(read(&history, &["a", "b"]), ["ADD … /: a", "CMD [\"sh\"]: -", "RUN apk add x: b"]);
    }

    #[test]
    fn an_empty_layer_belongs_to_the_line_that_most_likely_made_it() {
        let history = [("ADD rootfs /", 5), ("ENV A=1", 0), ("WORKDIR /app", 0), ("COPY empty /app/ # buildkit", 0)];
        assert_eq!(
            read(&history, &["a", "b"]),
            ["ADD rootfs /: a", "ENV A=1: -", "WORKDIR /app: -", "COPY empty /app/: b"]
        );
        assert_eq!(read(&history, &["a", "b", "c"])[2..], ["WORKDIR /app: b", "COPY empty /app/: c"]);
    }

    #[test]
    fn layers_without_a_history_are_shown_too() {
        assert_eq!(read(&[], &["a"]), ["(its line is not known): a"]);
    }

    #[test]
    fn a_directory_is_no_news_when_something_in_it_is() {
        let change = |kind, path: &str| FilesystemChange { path: path.into(), kind };
        let all = [
            change(ChangeType::_0, "/root"),
            change(ChangeType::_0, "/root.old"),
            change(ChangeType::_1, "/root/notes"),
            change(ChangeType::_2, "/etc/hosts"),
            change(ChangeType::_1, "/empty"),
        ];
        let text: Vec<String> =
            changes(&all).into_iter().map(|change| format!("{} {}", change.kind, change.path)).collect();
        assert_eq!(text, ["A /empty", "D /etc/hosts", "C /root.old", "A /root/notes"]);
    }
}
