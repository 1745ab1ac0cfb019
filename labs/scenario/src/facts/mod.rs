//! What an expectation is compared with: engine objects as labelled fields.

mod observe;
pub(crate) mod state;
mod swarm;

use std::sync::Arc;

use docklab_api::{ApiError, DockerApi, Filters, ListContainers, ListImages};
use serde::Serialize;
use serde_json::Value;

use crate::{
    check::{Actual, Expectation, Kind, Matcher},
    evaluate::OwnExecs,
    workspace::Workspace,
};

/// One object that an expectation may be about.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// How people find it: ``container `nginx` on node1``.
    pub(crate) label: String,
    pub(crate) fields: Vec<(&'static str, Actual)>,
}

impl Subject {
    pub(crate) fn get(&self, field: &str) -> &Actual {
        self.fields.iter().find(|(name, _)| *name == field).map_or(&Actual::Absent, |(_, actual)| actual)
    }
    pub(crate) fn fits(&self, expectation: &Expectation) -> bool {
        expectation
            .fields
            .iter()
            .filter(|field| !expectation.kind.steers(&field.field))
            .all(|field| field.matcher.matches(self.get(&field.field)))
    }
}

/// Everything of a kind, and why some of it could not be seen.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) subjects: Vec<Subject>,
    pub(crate) trouble: Vec<String>,
}

impl Gathered {
    fn failed(&mut self, node: &str, what: &str, error: &ApiError) {
        self.trouble.push(format!("{node}: {what}: {}", error.message));
    }
}

type Engine = Arc<dyn DockerApi>;

/// Looks at everything the expectation may be about.
pub(crate) async fn gather(expectation: &Expectation, workspace: &dyn Workspace, own: &OwnExecs) -> Gathered {
    let mut gathered = Gathered::default();
    let nodes = workspace.nodes();
    match expectation.kind {
        Kind::Service => swarm::services(&nodes, &mut gathered).await,
        Kind::Task => swarm::tasks(&nodes, &mut gathered).await,
        Kind::Node => swarm::nodes(&nodes, &mut gathered).await,
        Kind::Http => observe::http(expectation, workspace, &mut gathered).await,
        Kind::File => observe::file(expectation, workspace, &mut gathered).await,
        Kind::Exec => observe::exec(expectation, workspace, own, &mut gathered).await,
        kind => {
            for (name, engine) in &nodes {
                // A node that another field rules out need not be asked.
                let ruled_out =
                    expectation.field("node").is_some_and(|matcher| !matcher.matches(&Actual::Text(name.clone())));
                if ruled_out {
                    continue;
                }
                let result = match kind {
                    Kind::Container => containers(expectation, name, engine, &mut gathered).await,
                    Kind::Image => images(name, engine, expectation.field("history").is_some(), &mut gathered).await,
                    Kind::Layer => layers(expectation, name, engine, &mut gathered).await,
                    Kind::Network => networks(name, engine, &mut gathered).await,
                    Kind::Volume => volumes(name, engine, &mut gathered).await,
                    _ => observe::registry(expectation, name, engine, &mut gathered).await,
                };
                if let Err(error) = result {
                    gathered.failed(name, &format!("cannot look at its {}s", kind.noun()), &error);
                }
            }
        }
    }
    gathered
}

/// A model as JSON: fields are then read by Docker's own names.
fn json(model: &impl Serialize) -> Value {
    docklab_api::wire::to_value(model)
}

fn text_at<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn text(value: &Value, pointer: &str) -> Actual {
    match value.pointer(pointer).and_then(Value::as_str) {
        Some(text) => Actual::Text(text.to_owned()),
        None => Actual::Absent,
    }
}

fn number(value: &Value, pointer: &str) -> Actual {
    value.pointer(pointer).and_then(Value::as_i64).map_or(Actual::Absent, Actual::Number)
}

fn flag(value: &Value, pointer: &str) -> Actual {
    Actual::Flag(value.pointer(pointer).and_then(Value::as_bool).unwrap_or(false))
}

fn strings(value: &Value, pointer: &str) -> Vec<String> {
    let items = value.pointer(pointer).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn keys(value: &Value, pointer: &str) -> Actual {
    let entries = value.pointer(pointer).and_then(Value::as_object);
    Actual::List(entries.into_iter().flatten().map(|(key, _)| key.clone()).collect())
}

fn labels(value: &Value, pointer: &str) -> Actual {
    let entries = value.pointer(pointer).and_then(Value::as_object);
    Actual::List(
        entries.into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or(""))).collect(),
    )
}

/// The first twelve digits of an ID, as tables show it.
fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}

async fn containers(
    expectation: &Expectation,
    node: &str,
    engine: &Engine,
    gathered: &mut Gathered,
) -> Result<(), ApiError> {
    let all = ListContainers { all: true, ..ListContainers::default() };
    for summary in engine.list_containers(all).await? {
        let id = summary.id.unwrap_or_default();
        // Between the list and this call a container may be gone.
        let Ok(inspected) = engine.inspect_container(&id, false).await else { continue };
        let mut subject = container(node, &json(&inspected));
        if expectation.field("changed").is_some() {
            let changes = engine.container_changes(&id).await.unwrap_or_default();
            subject.fields.push(("changed", Actual::List(changes.into_iter().map(|change| change.path).collect())));
        }
        gathered.subjects.push(subject);
    }
    Ok(())
}

fn container(node: &str, inspected: &Value) -> Subject {
    let name = text_at(inspected, "/Name").trim_start_matches('/').to_owned();
    let mut command = vec![text_at(inspected, "/Path").to_owned()];
    command.extend(strings(inspected, "/Args"));
    let mounts = inspected.pointer("/Mounts").and_then(Value::as_array);
    let mounts = mounts.into_iter().flatten().map(|mount| {
        let source = match text_at(mount, "/Name") {
            "" => text_at(mount, "/Source"),
            volume => volume,
        };
        format!("{source}:{}", text_at(mount, "/Destination"))
    });
    let health = match text_at(inspected, "/State/Health/Status") {
        "" => "none",
        health => health,
    };
    Subject {
        label: format!("container `{name}` ({}) on {node}", short(text_at(inspected, "/Id"))),
        fields: vec![
            ("image", text(inspected, "/Config/Image")),
            ("command", Actual::Text(command.join(" ").trim().to_owned())),
            ("state", text(inspected, "/State/Status")),
            ("exit_code", number(inspected, "/State/ExitCode")),
            ("error", text(inspected, "/State/Error")),
            ("publish", Actual::List(published(inspected))),
            ("tty", flag(inspected, "/Config/Tty")),
            ("stdin", flag(inspected, "/Config/OpenStdin")),
            ("env", Actual::List(strings(inspected, "/Config/Env"))),
            ("label", labels(inspected, "/Config/Labels")),
            ("network", keys(inspected, "/NetworkSettings/Networks")),
            ("alias", Actual::List(aliases(inspected))),
            ("mount", Actual::List(mounts.collect())),
            ("restart", text(inspected, "/HostConfig/RestartPolicy/Name")),
            ("health", Actual::Text(health.to_owned())),
            ("node", Actual::Text(node.to_owned())),
            ("name", Actual::Text(name)),
        ],
    }
}

/// The names that other containers of its networks find it by, without the ID that Docker adds.
fn aliases(inspected: &Value) -> Vec<String> {
    let networks = inspected.pointer("/NetworkSettings/Networks").and_then(Value::as_object);
    let id = text_at(inspected, "/Id");
    let mut names = Vec::new();
    for (_, network) in networks.into_iter().flatten() {
        for name in strings(network, "/DNSNames").into_iter().chain(strings(network, "/Aliases")) {
            if !names.contains(&name) && !id.starts_with(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// `8080:80`; of a stopped container, what it asked for.
fn published(inspected: &Value) -> Vec<String> {
    let bindings = |pointer: &str| {
        let ports = inspected.pointer(pointer).and_then(Value::as_object);
        let mut published = Vec::new();
        for (target, bindings) in ports.into_iter().flatten() {
            let target = target.strip_suffix("/tcp").unwrap_or(target);
            for binding in bindings.as_array().into_iter().flatten() {
                let entry = format!("{}:{target}", text_at(binding, "/HostPort"));
                if !published.contains(&entry) {
                    published.push(entry);
                }
            }
        }
        published
    };
    let live = bindings("/NetworkSettings/Ports");
    if live.is_empty() { bindings("/HostConfig/PortBindings") } else { live }
}

async fn images(node: &str, engine: &Engine, with_history: bool, gathered: &mut Gathered) -> Result<(), ApiError> {
    for summary in engine.list_images(ListImages::default()).await? {
        let Ok(inspected) = engine.inspect_image(&summary.id).await else { continue };
        let inspected = json(&inspected);
        let tags = strings(&inspected, "/RepoTags");
        let name = tags.first().cloned().unwrap_or_else(|| short(&summary.id).to_owned());
        let layers = i64::try_from(strings(&inspected, "/RootFS/Layers").len()).unwrap_or(i64::MAX);
        let history = if with_history { engine.image_history(&summary.id).await? } else { Vec::new() };
        gathered.subjects.push(Subject {
            label: format!("image `{name}` on {node}"),
            fields: vec![
                ("dangling", Actual::Flag(tags.is_empty())),
                ("name", Actual::List(tags)),
                ("id", text(&inspected, "/Id")),
                ("layers", Actual::Number(layers)),
                ("size", number(&inspected, "/Size")),
                ("architecture", text(&inspected, "/Architecture")),
                ("command", Actual::Text(strings(&inspected, "/Config/Cmd").join(" "))),
                ("entrypoint", Actual::Text(strings(&inspected, "/Config/Entrypoint").join(" "))),
                ("env", Actual::List(strings(&inspected, "/Config/Env"))),
                ("label", labels(&inspected, "/Config/Labels")),
                ("port", keys(&inspected, "/Config/ExposedPorts")),
                ("history", Actual::List(history.into_iter().map(|entry| entry.created_by).collect())),
                ("node", Actual::Text(node.to_owned())),
            ],
        });
    }
    Ok(())
}

async fn layer_ids(engine: &Engine, image: &str) -> Result<(String, Vec<String>), ApiError> {
    let inspected = json(&engine.inspect_image(image).await?);
    Ok((text_at(&inspected, "/Id").to_owned(), strings(&inspected, "/RootFS/Layers")))
}

async fn layers(
    expectation: &Expectation,
    node: &str,
    engine: &Engine,
    gathered: &mut Gathered,
) -> Result<(), ApiError> {
    let Some(image) = expectation.text("image") else { return Ok(()) };
    let (id, layers) = match layer_ids(engine, image).await {
        Ok(found) => found,
        Err(error) if error.is_not_found() => {
            gathered.trouble.push(format!("{node} has no image `{image}`"));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let mut others = Vec::new();
    if let Some(with) = expectation.text("with") {
        match layer_ids(engine, with).await {
            Ok((_, layers)) => others.push(layers),
            Err(error) if error.is_not_found() => gathered.trouble.push(format!("{node} has no image `{with}`")),
            Err(error) => return Err(error),
        }
    } else {
        for summary in engine.list_images(ListImages::default()).await? {
            if summary.id != id
                && let Ok((_, layers)) = layer_ids(engine, &summary.id).await
            {
                others.push(layers);
            }
        }
    }
    let in_common = |other: &Vec<String>| layers.iter().zip(other).take_while(|(left, right)| left == right).count();
    let shared = others.iter().map(in_common).max().unwrap_or(0);
    let of_base = match expectation.text("base") {
        None => 0,
        Some(base) => match layer_ids(engine, base).await {
            Ok((_, layers)) => in_common(&layers),
            Err(error) if error.is_not_found() => {
                gathered.trouble.push(format!("{node} has no image `{base}`"));
                0
            }
            Err(error) => return Err(error),
        },
    };
    let count = |number: usize| Actual::Number(i64::try_from(number).unwrap_or(i64::MAX));
    gathered.subjects.push(Subject {
        label: format!("the layers of `{image}` on {node}"),
        fields: vec![
            ("shared", count(shared)),
            ("own", count(layers.len().saturating_sub(shared))),
            ("cached", count(shared.saturating_sub(of_base))),
            ("total", count(layers.len())),
            ("node", Actual::Text(node.to_owned())),
        ],
    });
    Ok(())
}

async fn networks(node: &str, engine: &Engine, gathered: &mut Gathered) -> Result<(), ApiError> {
    for listed in engine.list_networks(Filters::new()).await? {
        let name = listed.name.unwrap_or_default();
        let Ok(network) = engine.inspect_network(&name, false, None).await else { continue };
        let network = json(&network);
        let attached = network.pointer("/Containers").and_then(Value::as_object);
        let attached = attached.into_iter().flatten().map(|(_, member)| text_at(member, "/Name").to_owned()).collect();
        gathered.subjects.push(Subject {
            label: format!("network `{name}` on {node}"),
            fields: vec![
                ("name", Actual::Text(name)),
                ("driver", text(&network, "/Driver")),
                ("scope", text(&network, "/Scope")),
                ("internal", flag(&network, "/Internal")),
                ("attachable", flag(&network, "/Attachable")),
                ("container", Actual::List(attached)),
                ("node", Actual::Text(node.to_owned())),
            ],
        });
    }
    Ok(())
}

async fn volumes(node: &str, engine: &Engine, gathered: &mut Gathered) -> Result<(), ApiError> {
    for volume in engine.list_volumes(Filters::new()).await?.volumes.unwrap_or_default() {
        let volume = json(&volume);
        gathered.subjects.push(Subject {
            label: format!("volume `{}` on {node}", text_at(&volume, "/Name")),
            fields: vec![
                ("name", text(&volume, "/Name")),
                ("driver", text(&volume, "/Driver")),
                ("label", labels(&volume, "/Labels")),
                ("node", Actual::Text(node.to_owned())),
            ],
        });
    }
    Ok(())
}

/// The containers on which an exec expectation is tried, as `(node, engine, id, label)`.
async fn selected_containers(
    expectation: &Expectation,
    workspace: &dyn Workspace,
) -> (Vec<(Engine, String, String)>, Option<Expectation>) {
    let selector = match expectation.field("container") {
        Some(Matcher::Container { expectation }) => (**expectation).clone(),
        _ => Expectation { kind: Kind::Container, fields: Vec::new(), count: None, span: expectation.span },
    };
    let mut found = Vec::new();
    for (name, engine) in workspace.nodes() {
        let listed = engine.list_containers(ListContainers::default()).await.unwrap_or_default();
        for summary in listed {
            let id = summary.id.unwrap_or_default();
            let Ok(inspected) = engine.inspect_container(&id, false).await else { continue };
            let subject = container(&name, &json(&inspected));
            if subject.fits(&selector) {
                found.push((Arc::clone(&engine), id, subject.label));
            }
        }
    }
    (found, Some(selector))
}
