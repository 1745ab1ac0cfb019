//! Waiting until a service has converged, with progress.

use std::{collections::HashMap, time::Duration};

use docklab_api::{Filters, ProgressDetail, ProgressMessage};
use serde_json::Value;

use crate::{
    commands::json::{number, text, value},
    console::Stream,
    context::Context,
    error::{CliError, CliResult},
    progress::Lines,
};

const POLL: Duration = Duration::from_millis(200);
const STATES: [&str; 9] =
    ["new", "allocated", "pending", "assigned", "accepted", "preparing", "ready", "starting", "running"];
/// Above this many replicas there is no line for each.
const MOST_BARS: usize = 20;

/// Polls until all tasks have run for the monitoring period, an update has paused, or the client is interrupted.
pub(crate) async fn wait(context: &Context, id: &str, quiet: bool) -> CliResult {
    let terminal = context.console.is_terminal(Stream::Stdout);
    let width = context.console.terminal_size().map_or(0, |(_, columns)| usize::from(columns));
    let mut lines = Lines::new(terminal, width);
    let mut stable_since: Option<i128> = None;
    let mut first = true;
    let mut shown = String::new();
    let mut signals = context.signals();
    loop {
        let service = value(&context.api.inspect_service(id, false).await?);
        let filters = Filters::new().with("service", id).with("_up-to-date", "true");
        let tasks: Vec<Value> = context.api.list_tasks(filters).await?.iter().map(value).collect();
        let update = text(&service, "/UpdateStatus/State");
        if matches!(update.as_str(), "paused" | "rollback_paused") {
            let word = if update == "paused" { "update" } else { "rollback" };
            return Err(CliError::new(format!("service {word} paused: {}", text(&service, "/UpdateStatus/Message"))));
        }
        let desired = match service.pointer("/Spec/Mode/Replicated") {
            Some(_) => usize::try_from(number(&service, "/Spec/Mode/Replicated/Replicas")).unwrap_or(0),
            None => list_nodes(context, &tasks).await?,
        };
        let running = tasks.iter().filter(|task| is_wanted(task) && text(task, "/Status/State") == "running").count();
        if !quiet {
            let mut output = String::new();
            if first {
                output.push_str(&lines.render(&message(
                    "overall progress",
                    &format!("0 out of {desired} tasks"),
                    None,
                )));
                for slot in (1..=desired).filter(|_| desired <= MOST_BARS) {
                    output.push_str(&lines.render(&message(&format!("{slot}/{desired}"), " ", None)));
                }
            } else {
                let rolling = update.starts_with("rollback");
                let word = if rolling { "rolling back update: " } else { "" };
                output.push_str(&bars(&mut lines, &tasks, desired));
                let progress = format!("{word}{running} out of {desired} tasks");
                if terminal || progress != shown || running < desired {
                    output.push_str(&lines.render(&message("overall progress", &progress, None)));
                }
                shown = progress;
            }
            context.stdout(output).await;
        }
        if !first && running >= desired && !matches!(update.as_str(), "updating" | "rollback_started") {
            let now = context.console.now().as_nanosecond();
            let since = *stable_since.get_or_insert(now);
            let monitor = i128::from(match number(&service, "/Spec/UpdateConfig/Monitor") {
                0 => 5_000_000_000,
                given => given,
            });
            let left = monitor - (now - since);
            if left <= 0 {
                if !quiet {
                    let text = format!("Service {id} converged");
                    context.stdout(lines.render(&message("verify", &text, None))).await;
                }
                if update == "rollback_completed" {
                    context.line("rollback: rollback completed").await;
                }
                return Ok(0);
            }
            if !quiet {
                let seconds = left / 1_000_000_000 + 1;
                let seconds = seconds.min((monitor / 1_000_000_000).max(1));
                let text = format!("Waiting {seconds} seconds to verify that tasks are stable...");
                context.stdout(lines.render(&message("verify", &text, None))).await;
            }
        } else if stable_since.take().is_some() && !quiet {
            context.stdout(lines.render(&message("verify", "Detected task failure", None))).await;
        }
        first = false;
        let pause = context.console.sleep(POLL);
        if let futures::future::Either::Right(_) =
            futures::future::select(pause, futures::StreamExt::next(&mut signals)).await
        {
            context.line("Operation continuing in background.").await;
            context.line(format!("Use `docker service ps {id}` to check progress.")).await;
            return Ok(0);
        }
    }
}

fn is_wanted(task: &Value) -> bool {
    text(task, "/DesiredState") == "running"
}

/// A global service wants one task on every active node that is up.
async fn list_nodes(context: &Context, tasks: &[Value]) -> CliResult<usize> {
    let nodes: Vec<Value> = context.api.list_nodes(Filters::new()).await?.iter().map(value).collect();
    let wanted: std::collections::HashSet<String> =
        tasks.iter().filter(|task| is_wanted(task)).map(|task| text(task, "/NodeID")).collect();
    Ok(nodes.iter().filter(|node| text(node, "/Status/State") != "down" && wanted.contains(&text(node, "/ID"))).count())
}

fn bars(lines: &mut Lines, tasks: &[Value], desired: usize) -> String {
    if desired > MOST_BARS || !lines.is_terminal() {
        return String::new();
    }
    let by_slot: HashMap<i64, &Value> =
        tasks.iter().filter(|task| is_wanted(task)).map(|task| (number(task, "/Slot"), task)).collect();
    let mut output = String::new();
    for slot in 1..=desired {
        let Some(task) = by_slot.get(&i64::try_from(slot).unwrap_or(0)) else { continue };
        let state = text(task, "/Status/State");
        let step = STATES.iter().position(|known| *known == state).map_or(0, |step| step + 1);
        output.push_str(&lines.render(&message(&format!("{slot}/{desired}"), &format!("{state:<9}"), Some(step))));
    }
    output
}

fn message(id: &str, status: &str, step: Option<usize>) -> ProgressMessage {
    let current = step.and_then(|step| i64::try_from(step).ok()).unwrap_or(0);
    let total = if current > 0 { 9 } else { 0 };
    let mut message = ProgressMessage::layer(id, status);
    message.progress_detail = Some(ProgressDetail { current, total });
    message
}
