//! What engines hold, as lines that two runs of the same commands share: no IDs, times and made-up names.

use docklab_api::ApiError;

use super::{Gathered, container, images, json, networks, swarm, volumes};
use crate::{
    check::Actual,
    document::{Block, Scenario},
    workspace::Workspace,
};

/// Fields that differ between two runs, or say the same as another one.
const UNSTEADY: &[&str] =
    &["id", "size", "exit_code", "error", "update_message", "address", "slot", "reachability", "container", "digest"];

/// Everything that a check could be about, one object a line, sorted. Two equal states look the same to every check.
///
/// Names that the scenario never writes were made up by the engine, and paths that it never writes are some program's
/// own business: neither is part of the state.
/// `but` is a file that is not compared.
pub(crate) async fn state(scenario: &Scenario, but: Option<&str>, workspace: &dyn Workspace) -> Vec<String> {
    let written = written(scenario);
    let nodes = workspace.nodes();
    let mut gathered = Gathered::default();
    for (name, engine) in &nodes {
        // What cannot be seen now cannot be seen in the other run either; a difference would show.
        containers(name, engine, &written, &mut gathered).await.ok();
        images(name, engine, false, &mut gathered).await.ok();
        networks(name, engine, &mut gathered).await.ok();
        volumes(name, engine, &mut gathered).await.ok();
        registries(name, engine, &written, &mut gathered).await;
    }
    swarm::services(&nodes, &mut gathered).await;
    swarm::nodes(&nodes, &mut gathered).await;
    let mut lines: Vec<String> = gathered.subjects.iter().map(|subject| line(&subject.fields, &written)).collect();
    for block in scenario.steps.iter().flat_map(|step| step.all_blocks()) {
        if let Block::File { path, node, .. } = block
            && but != Some(path)
        {
            let node = node.clone().or_else(|| nodes.first().map(|(name, _)| name.clone())).unwrap_or_default();
            let content = workspace.read_file(&node, path).await.ok().flatten();
            lines.push(format!("file {path} on {node}: {content:?}"));
        }
    }
    lines.sort();
    lines.dedup();
    lines
}

/// All commands and files of a scenario.
fn written(scenario: &Scenario) -> String {
    let mut text = String::new();
    for block in scenario.steps.iter().flat_map(|step| step.all_blocks()) {
        match block {
            Block::Run(commands) | Block::Also(commands) | Block::Wrong(commands) => text.push_str(&commands.text),
            Block::File { content, .. } => text.push_str(content),
            _ => {}
        }
        text.push('\n');
    }
    text
}

fn line(fields: &[(&'static str, Actual)], written: &str) -> String {
    let mut line = String::new();
    for (name, value) in fields.iter().filter(|(name, _)| !UNSTEADY.contains(name)) {
        let value = match value {
            Actual::Text(text) if *name == "name" && !written.contains(text.as_str()) => "…".to_owned(),
            Actual::List(items) => {
                let mut items: Vec<&str> = items.iter().map(String::as_str).collect();
                if matches!(*name, "changed" | "alias") {
                    items.retain(|item| written.contains(item));
                }
                let mut items: Vec<String> = items.iter().map(|item| without_made_up_names(item)).collect();
                items.sort_unstable();
                items.join(" ")
            }
            other => other.to_string(),
        };
        line.push_str(&format!("{name}={value} "));
    }
    line
}

/// Anonymous volumes have 64 random digits for a name.
fn without_made_up_names(item: &str) -> String {
    let is_made_up = |part: &str| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    item.split(':').map(|part| if is_made_up(part) { "…" } else { part }).collect::<Vec<_>>().join(":")
}

async fn containers(
    node: &str,
    engine: &super::Engine,
    written: &str,
    gathered: &mut Gathered,
) -> Result<(), ApiError> {
    let all = docklab_api::ListContainers { all: true, ..docklab_api::ListContainers::default() };
    for summary in engine.list_containers(all).await? {
        let id = summary.id.unwrap_or_default();
        let Ok(inspected) = engine.inspect_container(&id, false).await else { continue };
        let inspected = json(&inspected);
        // A swarm names its tasks' containers and places them as it likes; its services say the rest.
        if inspected.pointer("/Config/Labels/com.docker.swarm.task.id").is_some() {
            continue;
        }
        let mut subject = container(node, &inspected);
        if written.contains("exec") || written.contains("touch") || written.contains("cp ") {
            let changes = engine.container_changes(&id).await.unwrap_or_default();
            subject.fields.push(("changed", Actual::List(changes.into_iter().map(|change| change.path).collect())));
        }
        gathered.subjects.push(subject);
    }
    Ok(())
}

/// Whether the registry holds what a lab pushes.
async fn registries(node: &str, engine: &super::Engine, written: &str, gathered: &mut Gathered) {
    if !written.contains("push") {
        return;
    }
    let list = engine.list_images(docklab_api::ListImages::default()).await.unwrap_or_default();
    for image in list {
        for name in image.repo_tags.iter().filter(|name| name.contains('/')) {
            let found = engine.inspect_distribution(name, None).await.ok().map(|found| json(&found));
            let digest = found.as_ref().and_then(|found| found.pointer("/Descriptor/digest")?.as_str());
            let is_current =
                digest.is_some_and(|digest| image.repo_digests.iter().any(|known| known.ends_with(digest)));
            gathered.subjects.push(super::Subject {
                label: String::new(),
                fields: vec![
                    ("pushed", Actual::Text(name.clone())),
                    ("node", Actual::Text(node.to_owned())),
                    ("exists", Actual::Flag(found.is_some())),
                    ("current", Actual::Flag(is_current)),
                ],
            });
        }
    }
}

/// The lines that only one of two states has, `-` in the first and `+` in the second.
pub(crate) fn difference(first: &[String], second: &[String]) -> String {
    let only = |mark: char, these: &[String], others: &[String]| {
        let lines = these.iter().filter(|line| !others.contains(line));
        lines.map(|line| format!("{mark} {}\n", line.trim_end())).collect::<String>()
    };
    only('-', first, second) + &only('+', second, first)
}
