//! Tasks of services, nodes and stacks: the `ps` commands.

use docklab_api::{Filters, ListServices};
use serde_json::Value;

use crate::{
    commands::{
        json::{list, number, text, value},
        node::self_id,
        swarm::title,
    },
    context::{Context, Invocation},
    error::{CliError, CliResult, daemon_message},
    format::{self, Listing, Row, natural_order},
};

const TASKS: &[(&str, &str)] = &[
    ("ID", "ID"),
    ("Name", "NAME"),
    ("Image", "IMAGE"),
    ("Node", "NODE"),
    ("DesiredState", "DESIRED STATE"),
    ("CurrentState", "CURRENT STATE"),
    ("Error", "ERROR"),
    ("Ports", "PORTS"),
];

const RAW: &str = "id: {{.ID}}\nname: {{.Name}}\nimage: {{.Image}}\nnode: {{.Node}}\ndesired_state: {{.DesiredState}}\n\
                   current_state: {{.CurrentState}}\nerror: {{.Error}}\nports: {{.Ports}}\n";

/// `docker service ps` and `docker node ps`: newest first within a slot, older tasks indented below.
pub(crate) async fn ps(context: &Context, call: &Invocation) -> CliResult {
    if call.command.path == "service ps" { of_services(context, call).await } else { of_nodes(context, call).await }
}

async fn of_services(context: &Context, call: &Invocation) -> CliResult {
    let mut filters = call.flags.filters();
    let mut missing = Vec::new();
    for name in &call.arguments {
        match service_id(context, name).await? {
            Some(id) => filters = filters.with("service", id),
            None => missing.push(format!("no such service: {name}")),
        }
    }
    if missing.len() == call.arguments.len() {
        return crate::commands::joined(missing);
    }
    if !filters.get("node").is_empty() {
        let nodes = filters.0.remove("node").unwrap_or_default();
        for node in nodes {
            let node = if node == "self" { self_id(context).await? } else { node };
            filters = filters.with("node", node);
        }
    }
    let tasks: Vec<Value> = context.api.list_tasks(filters).await?.iter().map(value).collect();
    print(context, call, tasks).await?;
    crate::commands::joined(missing)
}

async fn of_nodes(context: &Context, call: &Invocation) -> CliResult {
    let names = if call.arguments.is_empty() { vec!["self".to_owned()] } else { call.arguments.clone() };
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for name in &names {
        let id = if name == "self" { self_id(context).await? } else { name.clone() };
        let found = async {
            let node = value(&context.api.inspect_node(&id).await?);
            context.api.list_tasks(call.flags.filters().with("node", text(&node, "/ID"))).await
        };
        match found.await {
            Ok(found) => tasks.extend(found.iter().map(value)),
            Err(error) => failures.push(daemon_message(&error)),
        }
    }
    if failures.len() < names.len() {
        print(context, call, tasks).await?;
    }
    crate::commands::joined(failures)
}

async fn service_id(context: &Context, name: &str) -> CliResult<Option<String>> {
    let mut by_prefix = Vec::new();
    let mut by_name = None;
    for key in ["id", "name"] {
        let options = ListServices { filters: Filters::new().with(key, name), status: false };
        for service in context.api.list_services(options).await? {
            let service = value(&service);
            let id = text(&service, "/ID");
            if id == name {
                return Ok(Some(id));
            }
            if text(&service, "/Spec/Name") == name {
                by_name = Some(id);
            } else if id.starts_with(name) && !by_prefix.contains(&id) {
                by_prefix.push(id);
            }
        }
    }
    match (by_name, by_prefix.as_slice()) {
        (Some(id), _) => Ok(Some(id)),
        (None, [id]) => Ok(Some(id.clone())),
        (None, []) => Ok(None),
        (None, _) => Err(CliError::new(format!("multiple services found with provided prefix: {name}"))),
    }
}

/// Names of nodes and services, each asked for once.
#[derive(Default)]
struct Names(std::collections::HashMap<String, String>);

impl Names {
    async fn service(&mut self, context: &Context, id: &str) -> String {
        if let Some(name) = self.0.get(id) {
            return name.clone();
        }
        let found = context.api.inspect_service(id, false).await;
        let name = found.map_or_else(|_| id.to_owned(), |found| text(&value(&found), "/Spec/Name"));
        self.0.insert(id.to_owned(), name.clone());
        name
    }
    async fn node(&mut self, context: &Context, id: &str) -> String {
        if id.is_empty() {
            return String::new();
        }
        if let Some(name) = self.0.get(id) {
            return name.clone();
        }
        let name = match context.api.inspect_node(id).await.map(|node| value(&node)) {
            Ok(node) => match text(&node, "/Spec/Name") {
                name if name.is_empty() => text(&node, "/Description/Hostname"),
                name => name,
            },
            Err(_) => id.to_owned(),
        };
        self.0.insert(id.to_owned(), name.clone());
        name
    }
}

/// Prints tasks as a table, or as `--format` and `--quiet` ask.
pub(crate) async fn print(context: &Context, call: &Invocation, tasks: Vec<Value>) -> CliResult<()> {
    let full = call.flags.is_set("no-trunc");
    let ids = call.flags.is_set("no-resolve");
    let mut names = Names::default();
    let mut named = Vec::new();
    for task in tasks {
        let service = text(&task, "/ServiceID");
        let node = text(&task, "/NodeID");
        let service_name = if ids { service.clone() } else { names.service(context, &service).await };
        let node_name = if ids { node.clone() } else { names.node(context, &node).await };
        let slot = number(&task, "/Slot");
        let name = if slot != 0 { format!("{service_name}.{slot}") } else { format!("{service_name}.{node}") };
        named.push((service_name, slot, name, node_name, task));
    }
    named.sort_by(|left, right| {
        natural_order(&left.2, &right.2).then_with(|| text(&right.4, "/CreatedAt").cmp(&text(&left.4, "/CreatedAt")))
    });
    let quiet = call.flags.is_set("quiet");
    let format = context.format(call, "tasksFormat");
    let table = !quiet && (format.is_empty() || format.starts_with("table"));
    let mut previous = String::new();
    let mut rows: Vec<Row> = Vec::new();
    for (_, _, name, node, task) in named {
        let shown = if table && name == previous { format!(" \\_ {name}") } else { name.clone() };
        previous = name;
        rows.push(row(context, &task, shown, node, full || (quiet && call.command.path != "stack ps")));
    }
    let columns = vec!["ID", "Name", "Image", "Node", "DesiredState", "CurrentState", "Error", "Ports"];
    let listing = Listing { type_name: "*task.taskContext", headers: TASKS, columns, quiet: "ID", raw: RAW };
    context.stdout(listing.render(format, quiet, &rows)?).await;
    Ok(())
}

fn row(context: &Context, task: &Value, name: String, node: String, full: bool) -> Row {
    let id = text(task, "/ID");
    let image = text(task, "/Spec/ContainerSpec/Image");
    let image = if full { image } else { image.split('@').next().unwrap_or_default().to_owned() };
    let since = text(task, "/Status/Timestamp").parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
    let ago = format::duration(context.console.now().as_second() - since).to_lowercase();
    let error = text(task, "/Status/Err");
    let error = match (error.is_empty(), full) {
        (true, _) => String::new(),
        (false, true) => format!("\"{error}\""),
        (false, false) => format!("\"{}\"", format::truncate(&error, 30)),
    };
    let ports: Vec<String> = list(task, "/Status/PortStatus/Ports")
        .iter()
        .map(|port| {
            let (public, target) = (number(port, "/PublishedPort"), number(port, "/TargetPort"));
            format!("*:{public}->{target}/{}", text(port, "/Protocol"))
        })
        .collect();
    vec![
        ("ID", if full { id } else { id.chars().take(12).collect() }),
        ("Name", name),
        ("Image", image),
        ("Node", node),
        ("DesiredState", title(&text(task, "/DesiredState"))),
        ("CurrentState", format!("{} {ago} ago", title(&text(task, "/Status/State")))),
        ("Error", error),
        ("Ports", ports.join(",")),
    ]
}
