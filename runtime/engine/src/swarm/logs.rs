//! Logs of services and tasks, wherever they run.

use std::collections::HashMap;

use bytes::Bytes;
use docklab_api::{ApiError, ApiResult, ContainerApi, Logs, OutputChunk, OutputStream, StdStream};
use docklab_swarm::{ControlError, FromManager, Task};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::{Engine, agent::Event, manager::ManagerNode};

/// What a node reads of a task's container; times are always asked for, because the manager may have to show them.
pub(super) fn query(follow: bool, tail: Option<u64>, since: Option<Timestamp>, stdout: bool, stderr: bool) -> Logs {
    Logs {
        stdout,
        stderr,
        follow,
        timestamps: true,
        details: false,
        since: since.map(|since| format!("{}.{:09}", since.as_second(), since.subsec_nanosecond())),
        until: None,
        tail: tail.map(|tail| tail.to_string()),
    }
}

/// Logs that this node sends to the manager.
#[derive(Default)]
pub(super) struct LogReaders {
    stops: HashMap<u64, watch::Sender<()>>,
}

impl LogReaders {
    pub(super) fn start(
        &mut self,
        engine: &Engine,
        events: &mpsc::UnboundedSender<Event>,
        request: u64,
        task: String,
        query: Logs,
    ) {
        self.stops.retain(|_, stop| !stop.is_closed());
        let stop = watch::Sender::new(());
        let mut stopped = stop.subscribe();
        self.stops.insert(request, stop);
        let (engine, events) = (engine.clone(), events.clone());
        let host = engine.host.clone();
        host.spawn(Box::pin(async move {
            if let Ok(output) = engine.local_task_logs(&task, query).await {
                // Ends when the sender is dropped.
                let ended = Box::pin(async move { while stopped.changed().await.is_ok() {} });
                let mut output = output.take_until(ended);
                while let Some(Ok(chunk)) = output.next().await {
                    let chunk = Some((chunk.stream == StdStream::Stderr, chunk.bytes.to_vec()));
                    if events.send(Event::Logs { request, chunk }).is_err() {
                        return;
                    }
                }
            }
            // The agent may have ended first.
            let _ = events.send(Event::Logs { request, chunk: None });
        }));
    }

    pub(super) fn cancel(&mut self, request: u64) {
        self.stops.remove(&request);
    }
}

impl Engine {
    async fn local_task_logs(&self, task: &str, query: Logs) -> ApiResult<OutputStream> {
        let filters = docklab_api::Filters::new().with("label", format!("{}={task}", super::container::TASK_LABEL));
        let options = docklab_api::ListContainers { all: true, filters, ..docklab_api::ListContainers::default() };
        let container = self.list_containers(options).await?.into_iter().next().and_then(|container| container.id);
        let container = container.ok_or_else(|| ApiError::not_found(format!("task {task} has no container here")))?;
        self.container_logs(&container, query).await
    }

    /// The logs of a service's tasks, or of one task, as the leader has them.
    pub(super) fn logs_of(
        &self,
        manager: &ManagerNode,
        service: Option<&str>,
        task: Option<&str>,
        options: &Logs,
    ) -> ApiResult<OutputStream> {
        let tasks = manager.look(|member| {
            let manager = member.manager().ok_or_else(ControlError::no_leader)?;
            if let Some(task) = task {
                return manager.find_task(task).map(|task| vec![task.clone()]);
            }
            let service = manager.find_service(service.unwrap_or_default())?.id.clone();
            Ok(manager.store().tasks_of(&service).filter(|task| !task.node.is_empty()).cloned().collect())
        });
        let own = self.membership().map(|membership| membership.record().node).unwrap_or_default();
        self.logs_of_tasks(manager, &own, tasks.map_err(super::control_error)?, options)
    }

    /// The logs of some tasks as one stream. Each line carries what `docker service logs` needs to name its origin, when
    /// details are asked for.
    fn logs_of_tasks(
        &self,
        manager: &ManagerNode,
        own_node: &str,
        tasks: Vec<Task>,
        options: &Logs,
    ) -> ApiResult<OutputStream> {
        if !options.stdout && !options.stderr {
            return Err(ApiError::invalid("Bad parameters: you must choose at least one stream"));
        }
        let tail = options.tail.as_deref().and_then(|tail| tail.parse::<u64>().ok());
        let since = options.since.as_deref().and_then(timestamp);
        let mut streams = Vec::new();
        for task in tasks {
            let prefix = format!(
                "com.docker.swarm.node.id={},com.docker.swarm.service.id={},com.docker.swarm.task.id={} ",
                task.node, task.service, task.id
            );
            let (times, details) = (options.timestamps, options.details);
            let label = move |chunk: OutputChunk| OutputChunk {
                stream: chunk.stream,
                bytes: label(&chunk.bytes, &prefix, times, details),
            };
            if task.node == own_node {
                let (engine, id) = (self.clone(), task.id.clone());
                let query = query(options.follow, tail, since, options.stdout, options.stderr);
                let opened = stream::once(async move { engine.local_task_logs(&id, query).await });
                // A task that has no container yet has no log.
                let lines = opened.filter_map(|opened| async { opened.ok() }).flatten();
                streams.push(lines.map(move |chunk| chunk.map(&label)).boxed());
                continue;
            }
            let remote = manager.request_logs(&task.node, |request| FromManager::ReadLogs {
                request,
                task: task.id.clone(),
                follow: options.follow,
                tail,
                since,
                stdout: options.stdout,
                stderr: options.stderr,
            });
            // The log of a node that cannot be reached is not to be had; the others' are.
            let Some(receiver) = remote else { continue };
            let chunks = stream::unfold(receiver, |mut receiver| async move {
                let (stderr, bytes) = receiver.recv().await?;
                let stream = if stderr { StdStream::Stderr } else { StdStream::Stdout };
                Some((OutputChunk { stream, bytes: bytes.into() }, receiver))
            });
            streams.push(chunks.map(move |chunk| Ok(label(chunk))).boxed());
        }
        Ok(stream::select_all(streams).boxed())
    }
}

fn timestamp(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let fraction: String = format!("{fraction:0<9}").chars().take(9).collect();
    let seconds: i64 = seconds.parse().ok().filter(|seconds| *seconds > 0)?;
    Timestamp::new(seconds, fraction.parse().ok()?).ok()
}

/// `2026-01-01T00:00:00.000000000Z line`: without the time where none is wanted, with the origin behind it.
fn label(line: &Bytes, prefix: &str, times: bool, details: bool) -> Bytes {
    let end = line.iter().position(|byte| *byte == b' ').map_or(0, |at| at + 1);
    let (time, text) = line.split_at(end);
    let mut labelled = Vec::with_capacity(line.len() + prefix.len());
    if times {
        labelled.extend_from_slice(time);
    }
    if details {
        labelled.extend_from_slice(prefix.as_bytes());
    }
    labelled.extend_from_slice(text);
    labelled.into()
}
