use serde_json::{Value, json};

use crate::{
    commands::{
        container::create::labels,
        json::{boolean, label_map, pairs, strings, text, value},
    },
    context::{Context, Invocation},
    error::{CliError, CliResult, daemon_message},
    format::{self, Listing, Row},
    template,
};

const HEADERS: &[(&str, &str)] = &[
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];

pub(crate) async fn ls(context: &Context, call: &Invocation) -> CliResult {
    let full = call.flags.is_set("no-trunc");
    let networks = context.api.list_networks(call.flags.filters()).await?;
    let mut networks: Vec<Value> = networks.iter().map(value).collect();
    networks.sort_by(|one, other| format::natural_order(&text(one, "/Name"), &text(other, "/Name")));
    let rows: Vec<Row<template::Value>> = networks
        .iter()
        .map(|network| {
            let id = text(network, "/Id");
            // An engine that says nothing of IPv4 has it.
            let ipv4 = network.get("EnableIPv4").and_then(Value::as_bool).unwrap_or(true);
            vec![
                ("Name", text(network, "/Name").into()),
                ("ID", if full { id } else { format::short_id(&id) }.into()),
                ("Driver", text(network, "/Driver").into()),
                ("Scope", text(network, "/Scope").into()),
                ("IPv4", ipv4.to_string().into()),
                ("IPv6", boolean(network, "/EnableIPv6").to_string().into()),
                ("Internal", boolean(network, "/Internal").to_string().into()),
                ("Labels", pairs(network, "/Labels").join(",").into()),
                ("Label", label_map(network, "/Labels")),
                ("CreatedAt", template::time_text(&text(network, "/Created")).into()),
            ]
        })
        .collect();
    let listing = Listing {
        type_name: "*network.networkContext",
        headers: HEADERS,
        columns: vec!["ID", "Name", "Driver", "Scope"],
        quiet: "ID",
        raw: "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n",
    };
    let format = context.format(call, "networksFormat");
    context.stdout(listing.render(format, call.flags.is_set("quiet"), &rows)?).await;
    Ok(0)
}

pub(crate) async fn create(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let configs = super::network_addresses::configs(call)?;
    let mut body = json!({
        "Name": call.argument(0), "Driver": flags.get("driver").unwrap_or("bridge"), "Scope": flags.text("scope"),
        "IPAM": {
            "Driver": flags.get("ipam-driver").unwrap_or("default"), "Options": labels(&flags.list("ipam-opt")),
            "Config": configs,
        },
        "Internal": flags.is_set("internal"), "Attachable": flags.is_set("attachable"),
        "Ingress": flags.is_set("ingress"), "ConfigOnly": flags.is_set("config-only"),
        "Options": labels(&flags.list("opt")), "Labels": labels(&flags.list("label")),
    });
    if let Some(source) = flags.get("config-from") {
        body["ConfigFrom"] = json!({"Network": source});
    }
    for (flag, key) in [("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6")] {
        if flags.given(flag) {
            body[key] = json!(flags.is_set(flag));
        }
    }
    let answer = value(&context.api.create_network(serde_json::from_value(body)?).await?);
    context.line(text(&answer, "/Id")).await;
    Ok(0)
}

pub(crate) async fn remove(context: &Context, call: &Invocation) -> CliResult {
    let force = call.flags.is_set("force");
    let mut failed = false;
    for name in &call.arguments {
        // The routing mesh hangs on one network, which is not removed without a question.
        if let Ok(network) = context.api.inspect_network(name, false, None).await
            && boolean(&value(&network), "/Ingress")
            && !force
            && !context
                .confirm(
                    "WARNING! Before removing the routing-mesh network, make sure all the nodes in your swarm run the \
                     same docker engine version. Otherwise, removal may not be effective and functionality of newly \
                     create ingress networks will be impaired.\nAre you sure you want to continue? [y/N] ",
                )
                .await
        {
            continue;
        }
        match context.api.remove_network(name).await {
            Ok(()) => context.line(name).await,
            Err(error) if force && error.is_not_found() => {}
            Err(error) => {
                context.error_line(daemon_message(&error)).await;
                failed = true;
            }
        }
    }
    // Docker closes with its bare status error once every failure has been printed.
    if failed { Err(CliError::new("exit status 1")) } else { Ok(0) }
}

pub(crate) async fn connect(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let mut endpoint = json!({
        "Aliases": flags.list("alias"), "Links": flags.list("link"), "DriverOpts": labels(&flags.list("driver-opt")),
    });
    let addresses = [
        ("IPv4Address", json!(flags.text("ip"))),
        ("IPv6Address", json!(flags.text("ip6"))),
        ("LinkLocalIPs", json!(flags.list("link-local-ip"))),
    ];
    for (key, given) in addresses {
        if given != json!("") && given != json!([]) {
            endpoint["IPAMConfig"][key] = given;
        }
    }
    if let Some(priority) = flags.integer("gw-priority") {
        endpoint["GwPriority"] = json!(priority);
    }
    let body = serde_json::from_value(json!({"Container": call.argument(1), "EndpointConfig": endpoint}))?;
    context.api.connect_network(call.argument(0), body).await?;
    Ok(0)
}

pub(crate) async fn disconnect(context: &Context, call: &Invocation) -> CliResult {
    let body = serde_json::from_value(json!({"Container": call.argument(1), "Force": call.flags.is_set("force")}))?;
    context.api.disconnect_network(call.argument(0), body).await?;
    Ok(0)
}

pub(crate) async fn prune(context: &Context, call: &Invocation) -> CliResult {
    let question = "WARNING! This will remove all custom networks not used by at least one container.\nAre you sure you want to continue? [y/N] ";
    if !call.flags.is_set("force") && !context.confirm(question).await {
        return Ok(0);
    }
    let answer = value(&context.api.prune_networks(context.prune_filters(call)).await?);
    let names = strings(&answer, "/NetworksDeleted");
    if !names.is_empty() {
        context.line(format!("Deleted Networks:\n{}\n", names.join("\n"))).await;
    }
    Ok(0)
}
