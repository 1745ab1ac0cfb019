use serde_json::json;

use crate::{
    commands::{
        container::create::labels,
        json::{boolean, pairs, strings, text, value},
    },
    context::{Context, Invocation},
    error::{CliError, CliResult, daemon_message},
    format::{self, Listing, Row},
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
    let mut rows: Vec<Row> = networks
        .iter()
        .map(|network| {
            let network = value(network);
            let id = text(&network, "/Id");
            vec![
                ("Name", text(&network, "/Name")),
                ("ID", if full { id } else { format::short_id(&id) }),
                ("Driver", text(&network, "/Driver")),
                ("Scope", text(&network, "/Scope")),
                ("IPv4", boolean(&network, "/EnableIPv4").to_string()),
                ("IPv6", boolean(&network, "/EnableIPv6").to_string()),
                ("Internal", boolean(&network, "/Internal").to_string()),
                ("Labels", pairs(&network, "/Labels").join(",")),
                ("CreatedAt", text(&network, "/Created")),
            ]
        })
        .collect();
    rows.sort_by(|left, right| left[0].1.cmp(&right[0].1));
    let listing = Listing { headers: HEADERS, columns: vec!["ID", "Name", "Driver", "Scope"], quiet: "ID" };
    context.stdout(listing.render(call.flags.text("format"), call.flags.is_set("quiet"), &rows)?).await;
    Ok(0)
}

pub(crate) async fn create(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let (gateways, ranges) = (flags.list("gateway"), flags.list("ip-range"));
    let configs: Vec<_> = flags
        .list("subnet")
        .iter()
        .enumerate()
        .map(|(index, subnet)| {
            let mut config = json!({"Subnet": subnet});
            if let Some(gateway) = gateways.get(index) {
                config["Gateway"] = json!(gateway);
            }
            if let Some(range) = ranges.get(index) {
                config["IPRange"] = json!(range);
            }
            config
        })
        .collect();
    let mut body = json!({
        "Name": call.argument(0), "Driver": flags.get("driver").unwrap_or("bridge"), "Scope": flags.text("scope"),
        "IPAM": {"Driver": "default", "Options": labels(&flags.list("ipam-opt")), "Config": configs},
        "Internal": flags.is_set("internal"), "Attachable": flags.is_set("attachable"), "Ingress": flags.is_set("ingress"),
        "Options": labels(&flags.list("opt")), "Labels": labels(&flags.list("label")),
    });
    if flags.given("ipv6") {
        body["EnableIPv6"] = json!(flags.is_set("ipv6"));
    }
    let answer = value(&context.api.create_network(serde_json::from_value(body)?).await?);
    context.line(text(&answer, "/Id")).await;
    Ok(0)
}

pub(crate) async fn remove(context: &Context, call: &Invocation) -> CliResult {
    let mut failed = false;
    for name in &call.arguments {
        match context.api.remove_network(name).await {
            Ok(()) => context.line(name).await,
            Err(error) if call.flags.is_set("force") && error.is_not_found() => {}
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
    let mut endpoint = json!({"Aliases": flags.list("alias"), "Links": flags.list("link")});
    if flags.given("ip") || flags.given("ip6") {
        endpoint["IPAMConfig"] = json!({"IPv4Address": flags.text("ip"), "IPv6Address": flags.text("ip6")});
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
    let answer = value(&context.api.prune_networks(call.flags.filters()).await?);
    let names = strings(&answer, "/NetworksDeleted");
    if !names.is_empty() {
        context.line(format!("Deleted Networks:\n{}\n", names.join("\n"))).await;
    }
    Ok(0)
}
