//! A request through the mesh: it is really sent, and whoever really answered it is found out.

use std::{rc::Rc, time::Duration};

use docklab_api::{Logs, OutputStream, models::TaskState};
use docklab_scenario::HttpRequest;
use futures::{
    StreamExt as _,
    future::{Either, select},
};

use super::deeds::engine_of;
use crate::{
    browser::{self, Timeout},
    observe::{ServiceView, SwarmView, TaskView},
    session::SharedSession,
};

/// A request on its way, or what became of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trace {
    pub(super) number: usize,
    /// The node that was asked.
    pub(super) entry: String,
    pub(super) port: u16,
    /// Who answered; `None` while it is under way, without an answer, and where that cannot be known.
    pub(super) task: Option<Rc<TaskView>>,
    pub(super) outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    UnderWay,
    /// Status, and how the body begins.
    Answered(u16, String),
    Failed(String),
}

impl Trace {
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.outcome, Outcome::Answered(..))
    }

    /// What happened, as a sentence without its full stop.
    pub(super) fn text(&self, view: &SwarmView) -> String {
        let asked = format!("{} was asked on port {}", self.entry, self.port);
        match &self.outcome {
            Outcome::UnderWay => format!("{asked}: under way"),
            Outcome::Failed(reason) => format!("{asked}: no answer, {reason}"),
            Outcome::Answered(status, body) => {
                let who = match &self.task {
                    Some(task) => match view.node(&task.node) {
                        Some(node) => format!("{} on {} answered", task.name, node.name),
                        None => format!("{} answered", task.name),
                    },
                    None => "answered, by which task cannot be told".to_owned(),
                };
                let body = if body.is_empty() { String::new() } else { format!(", “{body}”") };
                format!("{asked}: {who} {status}{body}")
            }
        }
    }
}

/// What of a body is shown.
const SHOWN: usize = 40;

fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    if line.chars().count() > SHOWN { line.chars().take(SHOWN - 1).chain(['…']).collect() } else { line.to_owned() }
}

/// Finds out who answers requests to a service.
pub(super) struct Witness {
    view: Rc<SwarmView>,
    service: Rc<ServiceView>,
    /// What its tasks write from now on.
    lines: Option<OutputStream>,
}

/// A line takes a moment from its node to the manager.
const PATIENCE: Duration = Duration::from_millis(1500);

/// For the logs to be open before the first request.
const HEAD_START: Duration = Duration::from_millis(40);

impl Witness {
    /// Listens to the service's logs, unless there is only one task that could answer.
    pub(super) async fn of(session: &SharedSession, view: &Rc<SwarmView>, service: &Rc<ServiceView>) -> Self {
        let mut witness = Self { view: view.clone(), service: service.clone(), lines: None };
        let engine = engine_of(session, &view.seen_from);
        if let (true, Some(manager)) = (witness.running().count() > 1, engine) {
            let options = Logs {
                stdout: true,
                stderr: true,
                details: true,
                follow: true,
                tail: Some("5".to_owned()),
                ..Logs::default()
            };
            let listening = select(manager.service_logs(&service.id, options), Timeout::after(PATIENCE)).await;
            if let Either::Left((Ok(mut lines), _)) = listening {
                // A stream that is not asked may not have begun to listen.
                let _ = select(lines.next(), Timeout::after(HEAD_START)).await;
                witness.lines = Some(lines);
            }
        }
        witness
    }

    fn running(&self) -> impl Iterator<Item = &Rc<TaskView>> {
        self.view.shown_tasks().filter(|task| task.service == self.service.id && task.state == TaskState::RUNNING)
    }

    /// The task, where it must be that one: no other runs, or none other on the node that the answer names.
    fn by_content(&self, body: &str) -> Option<Rc<TaskView>> {
        let node = self.view.nodes.iter().find(|node| node.name == body);
        let only = |tasks: Vec<&Rc<TaskView>>| match tasks.as_slice() {
            [one] => Some((*one).clone()),
            _ => None,
        };
        only(self.running().collect())
            .or_else(|| node.and_then(|node| only(self.running().filter(|task| task.node == node.id).collect())))
    }

    /// The task in whose log the request is written.
    async fn by_log(&mut self, mark: &str) -> Option<Rc<TaskView>> {
        let lines = self.lines.as_mut()?;
        let view = &self.view;
        let reading = async {
            while let Some(Ok(chunk)) = lines.next().await {
                let text = String::from_utf8_lossy(&chunk.bytes);
                if let Some(id) = text.lines().find_map(|line| author(line, mark)) {
                    return view.task(id).cloned();
                }
            }
            None
        };
        match select(Box::pin(reading), Timeout::after(PATIENCE)).await {
            Either::Left((task, _)) => task,
            Either::Right(_) => None,
        }
    }
}

/// Asks a node on a published port of the service that is watched.
pub(super) async fn send(
    session: &SharedSession,
    witness: &mut Witness,
    entry: &str,
    port: u16,
    number: usize,
) -> Trace {
    // Web servers that log their requests log this, too.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // milliseconds of this century
    let mark = format!("docklab-request={number}-{}", browser::now() as u64 % 1_000_000_000);
    let url = format!("http://localhost:{port}/?{mark}");
    let trace = |task, outcome| Trace { number, entry: entry.to_owned(), port, task, outcome };
    match session.http(entry, HttpRequest { url }).await {
        Err(error) => trace(None, Outcome::Failed(error.to_string())),
        Ok(answer) => {
            let body = beginning(&answer.body);
            let task = match witness.by_content(&body) {
                Some(task) => Some(task),
                None => witness.by_log(&mark).await,
            };
            trace(task, Outcome::Answered(answer.status, body))
        }
    }
}

/// The task that wrote a line with this mark: details stand in front of it, `key=value,key=value …`.
fn author<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    if !line.contains(mark) {
        return None;
    }
    let rest = line.split("com.docker.swarm.task.id=").nth(1)?;
    rest.split([',', ' ']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_log_names_its_task() {
        let line = "com.docker.swarm.node.id=a,com.docker.swarm.service.id=b,com.docker.swarm.task.id=c 10.0.0.2 - GET /?docklab-request=1-5";
        assert_eq!(author(line, "docklab-request=1-5"), Some("c"));
        assert_eq!(author(line, "docklab-request=2-5"), None);
    }

    #[test]
    fn of_an_answer_the_first_line_is_shown() {
        assert_eq!(beginning(b"\n  node2\nmore"), "node2");
        assert_eq!(beginning("é".repeat(60).as_bytes()).chars().count(), SHOWN);
    }
}
