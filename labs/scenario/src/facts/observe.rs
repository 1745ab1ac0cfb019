//! Kinds that are not listed but tried: a request, a file, a command, a look into a registry.

use std::collections::BTreeSet;

use docklab_api::{
    ApiError, StdStream,
    models::{ExecConfig, ExecStartConfig},
};
use futures::StreamExt;

use super::{Engine, Gathered, Subject, json, selected_containers, strings};
use crate::{
    check::{Actual, Expectation},
    evaluate::OwnExecs,
    workspace::{HttpRequest, Workspace},
};

/// What a check reads of a command's output.
const OUTPUT_LIMIT: usize = 64 * 1024;

fn node_of(expectation: &Expectation, field: &str, workspace: &dyn Workspace) -> String {
    match expectation.text(field) {
        Some(node) => node.to_owned(),
        None => workspace.nodes().first().map(|(name, _)| name.clone()).unwrap_or_default(),
    }
}

pub(super) async fn http(expectation: &Expectation, workspace: &dyn Workspace, gathered: &mut Gathered) {
    let Some(url) = expectation.text("url") else { return };
    let node = node_of(expectation, "from", workspace);
    let requests = expectation.text("requests").and_then(|text| text.parse::<usize>().ok()).unwrap_or(1);
    let mut bodies = BTreeSet::new();
    let (mut first_body, mut status, mut error) = (Actual::Absent, Actual::Absent, Actual::Absent);
    for _ in 0..requests {
        match workspace.http(&node, HttpRequest { url: url.to_owned() }).await {
            Ok(answer) => {
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                let seen = Actual::Number(i64::from(answer.status));
                // Every answer must have the status: the last odd one is the one to show.
                let odd = expectation.field("status").is_some_and(|matcher| !matcher.matches(&seen));
                if status == Actual::Absent || odd {
                    status = seen;
                }
                if first_body == Actual::Absent {
                    first_body = Actual::Text(body.clone());
                }
                bodies.insert(body);
            }
            Err(failure) => {
                error = Actual::Text(failure.to_string());
                status = Actual::Absent;
                break;
            }
        }
    }
    let distinct = i64::try_from(bodies.len()).unwrap_or(i64::MAX);
    let outcome = match &error {
        Actual::Text(text) => format!(": no answer, {text}"),
        _ => String::new(),
    };
    gathered.subjects.push(Subject {
        label: format!("{url} from {node}{outcome}"),
        fields: vec![
            ("status", status),
            ("body", first_body),
            ("distinct", Actual::Number(distinct)),
            ("error", error),
        ],
    });
}

pub(super) async fn file(expectation: &Expectation, workspace: &dyn Workspace, gathered: &mut Gathered) {
    let Some(path) = expectation.text("path") else { return };
    let node = node_of(expectation, "on", workspace);
    match workspace.read_file(&node, path).await {
        Ok(content) => {
            // Only a file that is there can satisfy an expectation that asks for nothing else.
            let asks = expectation.field("exists").is_some();
            if content.is_none() && !asks && expectation.field("content").is_none() {
                gathered.trouble.push(format!("{node} has no file `{path}`"));
                return;
            }
            gathered.subjects.push(Subject {
                label: format!("file `{path}` on {node}"),
                fields: vec![
                    ("exists", Actual::Flag(content.is_some())),
                    (
                        "content",
                        content
                            .map_or(Actual::Absent, |bytes| Actual::Text(String::from_utf8_lossy(&bytes).into_owned())),
                    ),
                ],
            });
        }
        Err(error) => gathered.trouble.push(format!("{node}: cannot read `{path}`: {error}")),
    }
}

pub(super) async fn exec(
    expectation: &Expectation,
    workspace: &dyn Workspace,
    own: &OwnExecs,
    gathered: &mut Gathered,
) {
    let Some(command) = expectation.text("run") else { return };
    let (containers, selector) = selected_containers(expectation, workspace).await;
    if containers.is_empty()
        && let Some(selector) = selector
    {
        gathered.trouble.push(format!("nothing runs that this could be tried in: it wants {}", selector.describe()));
    }
    for (engine, id, label) in containers {
        let (output, exit, error) = match run(&engine, &id, command, own).await {
            Ok((output, exit)) => (Actual::Text(output), exit, None),
            Err(error) => (Actual::Absent, Actual::Absent, Some(error.message)),
        };
        if let Some(error) = error {
            gathered.trouble.push(format!("{label}: cannot run `{command}`: {error}"));
            continue;
        }
        gathered.subjects.push(Subject {
            label: format!("`{command}` in {label}"),
            fields: vec![("output", output), ("exit", exit)],
        });
    }
}

async fn run(engine: &Engine, container: &str, command: &str, own: &OwnExecs) -> Result<(String, Actual), ApiError> {
    let config = ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(command.split_whitespace().map(str::to_owned).collect()),
        ..ExecConfig::default()
    };
    let id = engine.create_exec(container, config).await?;
    own.remember(&id);
    let start = ExecStartConfig { detach: Some(false), tty: Some(false), ..ExecStartConfig::default() };
    let mut bytes = Vec::new();
    if let Some(mut attached) = engine.start_exec(&id, start).await? {
        while let Some(chunk) = attached.output.next().await {
            let chunk = chunk?;
            if chunk.stream != StdStream::Stdin && bytes.len() < OUTPUT_LIMIT {
                bytes.extend_from_slice(&chunk.bytes);
            }
        }
    }
    let exit = engine.inspect_exec(&id).await?.exit_code.map_or(Actual::Absent, Actual::Number);
    let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned();
    Ok((text, exit))
}

pub(super) async fn registry(
    expectation: &Expectation,
    node: &str,
    engine: &Engine,
    gathered: &mut Gathered,
) -> Result<(), ApiError> {
    let Some(image) = expectation.text("image") else { return Ok(()) };
    let found = match engine.inspect_distribution(image, None).await {
        Ok(found) => json(&found),
        Err(error) if error.is_connection() => return Err(error),
        Err(error) => {
            let asks = expectation.field("exists").is_some();
            if asks {
                gathered.subjects.push(Subject {
                    label: format!("`{image}` in its registry, asked by {node}"),
                    fields: vec![("exists", Actual::Flag(false)), ("node", Actual::Text(node.to_owned()))],
                });
            }
            gathered.trouble.push(format!("{node}: `{image}` is not in its registry: {}", error.message));
            return Ok(());
        }
    };
    let digest = found.pointer("/Descriptor/digest").and_then(|digest| digest.as_str()).unwrap_or("").to_owned();
    let local = match engine.inspect_image(image).await {
        Ok(image) => strings(&json(&image), "/RepoDigests"),
        Err(_) => Vec::new(),
    };
    let current = !digest.is_empty() && local.iter().any(|known| known.ends_with(&digest));
    gathered.subjects.push(Subject {
        label: format!("`{image}` in its registry, asked by {node}"),
        fields: vec![
            ("exists", Actual::Flag(true)),
            ("digest", Actual::Text(digest)),
            ("current", Actual::Flag(current)),
            ("node", Actual::Text(node.to_owned())),
        ],
    });
    Ok(())
}
