//! `docker node …`.

use docklab_api::RawRequest;
use serde_json::{Value, json};

use crate::{
    commands::{
        json::{boolean, number, text, value},
        objects,
        swarm::title,
        tasks,
    },
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format::{Listing, Row, natural_order},
    template,
};

pub(crate) async fn dispatch(context: &Context, call: &Invocation) -> CliResult {
    match call.command.path {
        "node ls" => ls(context, call).await,
        "node ps" => tasks::ps(context, call).await,
        "node rm" => {
            let force = call.flags.is_set("force");
            context
                .each(&call.arguments, |name| async move {
                    context.api.remove_node(&name, force).await?;
                    Ok(name)
                })
                .await
        }
        _ => update(context, call).await,
    }
}

/// The ID of the node that the engine is.
pub(crate) async fn self_id(context: &Context) -> CliResult<String> {
    let info = value(&context.api.info().await?);
    let id = text(&info, "/Swarm/NodeID");
    if id.is_empty() {
        // A node of no swarm: the engine's own refusal says so.
        context.api.list_nodes(docklab_api::Filters::new()).await?;
        return Err(CliError::new("node ID not found in /info"));
    }
    Ok(id)
}

const RAW: &str = "node_id: {{.ID}}\nhostname: {{.Hostname}}\nstatus: {{.Status}}\navailability: {{.Availability}}\n\
                   manager_status: {{.ManagerStatus}}\n";

const NODES: &[(&str, &str)] = &[
    ("ID", "ID"),
    ("Self", ""),
    ("Hostname", "HOSTNAME"),
    ("Status", "STATUS"),
    ("Availability", "AVAILABILITY"),
    ("ManagerStatus", "MANAGER STATUS"),
    ("EngineVersion", "ENGINE VERSION"),
    ("TLSStatus", "TLS STATUS"),
];

async fn ls(context: &Context, call: &Invocation) -> CliResult {
    let mut nodes: Vec<_> = context.api.list_nodes(call.flags.filters()).await?.iter().map(value).collect();
    let info = value(&context.api.info().await?);
    let own = text(&info, "/Swarm/NodeID");
    nodes.sort_by(|one, other| {
        natural_order(&text(one, "/Description/Hostname"), &text(other, "/Description/Hostname"))
    });
    let rows: Vec<Row<template::Value>> = nodes
        .iter()
        .map(|node| {
            let id = text(node, "/ID");
            let manager = if boolean(node, "/ManagerStatus/Leader") {
                "Leader".to_owned()
            } else {
                title(&text(node, "/ManagerStatus/Reachability"))
            };
            vec![
                ("Self", (id == own).into()),
                ("ID", id.into()),
                ("Hostname", text(node, "/Description/Hostname").into()),
                ("Status", title(&text(node, "/Status/State")).into()),
                ("Availability", title(&text(node, "/Spec/Availability")).into()),
                ("ManagerStatus", manager.into()),
                ("EngineVersion", text(node, "/Description/Engine/EngineVersion").into()),
                ("TLSStatus", tls_status(node, &info).into()),
            ]
        })
        .collect();
    let columns = vec![
        "{{.ID}} {{if .Self}}*{{else}} {{ end }}",
        "Hostname",
        "Status",
        "Availability",
        "ManagerStatus",
        "EngineVersion",
    ];
    let listing = Listing { type_name: "*node.nodeContext", headers: NODES, columns, quiet: "ID", raw: RAW };
    context.stdout(listing.render(context.format(call, "nodesFormat"), call.flags.is_set("quiet"), &rows)?).await;
    Ok(0)
}

/// Whether a node's certificate is of the swarm's present root.
fn tls_status(node: &Value, info: &Value) -> &'static str {
    let of = |value: &Value, pointer: &str| {
        text(value, &format!("{pointer}/CertIssuerSubject")) + &text(value, &format!("{pointer}/TrustRoot"))
    };
    let (node, swarm) = (of(node, "/Description/TLSInfo"), of(info, "/Swarm/Cluster/TLSInfo"));
    match (node.is_empty() || swarm.is_empty(), node == swarm) {
        (true, _) => "Unknown",
        (false, true) => "Ready",
        (false, false) => "Needs Rotation",
    }
}

/// Sends a node's changed specification.
async fn send(context: &Context, node: &Value, spec: &Value) -> CliResult<()> {
    let id = text(node, "/ID");
    let version = u64::try_from(number(node, "/Version/Index")).unwrap_or(0);
    let request =
        RawRequest::post(format!("/nodes/{id}/update")).query("version", version.to_string()).body(spec.clone());
    match context.raw(request).await {
        Some(answer) => answer.map(|_| ())?,
        None => context.api.update_node(&id, version, serde_json::from_value(spec.clone())?).await?,
    }
    Ok(())
}

async fn update(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let role = match call.command.path {
        "node promote" => Some("manager"),
        "node demote" => Some("worker"),
        _ => flags.get("role"),
    };
    for name in &call.arguments {
        let node = objects::object(context, objects::Kind::Node, name, &objects::Detail::default()).await?;
        let mut spec = node.get("Spec").cloned().unwrap_or_else(|| json!({}));
        if call.command.path != "node update" && role == Some(text(&spec, "/Role").as_str()) {
            context.line(format!("Node {} is already a {}.", text(&node, "/ID"), role.unwrap_or_default())).await;
            continue;
        }
        if let Some(role) = role {
            spec["Role"] = json!(role);
        }
        if let Some(availability) = flags.get("availability") {
            spec["Availability"] = json!(availability);
        }
        if !spec["Labels"].is_object() {
            spec["Labels"] = json!({});
        }
        for label in flags.list("label-add") {
            let (key, text) = label.split_once('=').unwrap_or((&label, ""));
            spec["Labels"][key] = json!(text);
        }
        for key in flags.list("label-rm") {
            let removed = spec["Labels"].as_object_mut().and_then(|labels| labels.remove(&key));
            if removed.is_none() {
                return Err(CliError::new(format!("key {key} doesn't exist in node's labels")));
            }
        }
        send(context, &node, &spec).await?;
        match call.command.path {
            "node promote" => context.line(format!("Node {name} promoted to a manager in the swarm.")).await,
            "node demote" => context.line(format!("Manager {name} demoted in the swarm.")).await,
            _ => context.line(name).await,
        }
    }
    Ok(0)
}
