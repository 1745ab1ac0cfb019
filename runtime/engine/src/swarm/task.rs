use std::time::Duration;

use docklab_api::{
    ApiError, ApiResult, ContainerApi, CreateContainer, CreateImage, ImageApi, RemoveContainer, StopContainer,
    WaitCondition,
    models::{
        ContainerInspectResponse, EndpointPortConfig, EndpointPortConfigProtocolEnum as Protocol, HealthStatusEnum,
    },
};
use docklab_swarm::{ContainerState, State, TaskAssignment, TaskReport};
use futures::{StreamExt, future::Either};
use tokio::sync::{mpsc, watch};

use super::{
    Engine,
    agent::Event,
    container::{container_name, files_archive, stop_timeout},
};

/// Between two looks at a container's health.
const HEALTH_POLL: Duration = Duration::from_millis(200);

/// One task on its node, from assignment to the removal of its container.
struct Controller {
    engine: Engine,
    duty: watch::Receiver<TaskAssignment>,
    events: mpsc::UnboundedSender<Event>,
    name: String,
}

/// How a task's life on the node went on.
enum Outcome {
    /// It must stop, or the node leaves.
    Stop,
    Ended(State, String),
}

impl Engine {
    pub(super) fn run_task(&self, duty: watch::Receiver<TaskAssignment>, events: mpsc::UnboundedSender<Event>) {
        let name = container_name(&duty.borrow());
        let controller = Controller { engine: self.clone(), duty, events, name };
        self.host.spawn(Box::pin(controller.run()));
    }
}

impl Controller {
    async fn run(mut self) {
        let ended = self.duty.borrow().ended;
        if !ended {
            match self.live().await {
                Outcome::Stop => {
                    self.stop().await;
                    self.report(State::SHUTDOWN, "shutdown", "").await;
                }
                Outcome::Ended(state, error) => {
                    let message = if state == State::COMPLETE { "finished" } else { message(state) };
                    self.report(state, message, &error).await;
                }
            }
        }
        // The container stays for its log until the manager forgets the task.
        while self.duty.changed().await.is_ok() {}
        let options = RemoveContainer { force: true, volumes: true, ..RemoveContainer::default() };
        if let Err(error) = self.engine.remove_container(&self.name, options).await
            && !error.is_not_found()
        {
            tracing::warn!(%error, name = self.name, "a task's container could not be removed");
        }
    }

    fn must_stop(&self) -> bool {
        self.duty.has_changed().is_err() || self.duty.borrow().desired > State::COMPLETE
    }

    async fn live(&mut self) -> Outcome {
        if self.must_stop() {
            return Outcome::Stop;
        }
        let found = self.engine.inspect_container(&self.name, false).await.ok();
        let started = found.as_ref().and_then(|found| found.state.as_ref()).is_some_and(|state| {
            state.running == Some(true) || state.started_at.as_deref().is_some_and(|at| !at.starts_with("0001"))
        });
        if !started {
            self.report(State::ACCEPTED, "accepted", "").await;
            self.report(State::PREPARING, "preparing", "").await;
            if found.is_none()
                && let Err(error) = self.prepare().await
            {
                return Outcome::Ended(State::REJECTED, error.message);
            }
            if self.must_stop() {
                return Outcome::Stop;
            }
            self.report(State::READY, "prepared", "").await;
            // Prepared tasks wait here for their turn.
            let turn = self.duty.wait_for(|duty| duty.desired >= State::RUNNING).await.is_ok();
            if !turn || self.must_stop() {
                return Outcome::Stop;
            }
            self.report(State::STARTING, "starting", "").await;
            if let Err(error) = self.engine.start_container(&self.name).await {
                return Outcome::Ended(State::FAILED, format!("starting container failed: {}", error.message));
            }
        }
        self.follow().await
    }

    /// Image, container, files.
    async fn prepare(&self) -> ApiResult<()> {
        let duty = self.duty.borrow().clone();
        let body = self.engine.task_container(&duty);
        let image = body.image.clone().unwrap_or_default();
        let pulled = self.pull(&image).await;
        let options = CreateContainer { name: Some(self.name.clone()), platform: None };
        let created = match self.engine.create_container(options, body).await {
            Ok(created) => created,
            // The image is neither here nor to be had: the pull says why.
            Err(error) if error.is_not_found() && error.message.starts_with("No such image") => {
                return Err(pulled.err().filter(|pull| !pull.message.is_empty()).unwrap_or(error));
            }
            Err(error) => return Err(error),
        };
        if !duty.files.is_empty() {
            let archive = files_archive(&duty.files)?;
            let stream = futures::stream::once(async move { Ok(archive.into()) }).boxed();
            self.engine.upload_to_container(&created.id, "/", false, stream).await?;
        }
        Ok(())
    }

    /// An image named by a digest that is here needs no registry; a tag may have moved and is asked for every time.
    async fn pull(&self, image: &str) -> ApiResult<()> {
        if image.contains('@') && self.engine.inspect_image(image).await.is_ok() {
            return Ok(());
        }
        let options = CreateImage { from_image: Some(image.to_owned()), ..CreateImage::default() };
        let mut messages = self.engine.create_image(options, None).await?;
        while let Some(message) = messages.next().await {
            if let Some(error) = message?.error {
                return Err(ApiError::system(error));
            }
        }
        Ok(())
    }

    /// Watches a started container to its end.
    async fn follow(&mut self) -> Outcome {
        let waiting = match self.engine.wait_container(&self.name, WaitCondition::NotRunning).await {
            Ok(waiting) => waiting,
            Err(error) => return Outcome::Ended(State::FAILED, error.message),
        };
        let mut waiting = waiting;
        let mut healthy = false;
        loop {
            let shown = self.engine.inspect_container(&self.name, false).await.ok();
            let health = shown.as_ref().and_then(|shown| shown.state.as_ref()?.health.as_ref()?.status);
            let checked = matches!(
                health,
                Some(HealthStatusEnum::STARTING | HealthStatusEnum::HEALTHY | HealthStatusEnum::UNHEALTHY)
            );
            if !healthy && (!checked || health == Some(HealthStatusEnum::HEALTHY)) {
                healthy = true;
                self.report_container(State::RUNNING, "started", "", shown.as_ref()).await;
            }
            if health == Some(HealthStatusEnum::UNHEALTHY) {
                self.stop().await;
                return Outcome::Ended(
                    State::FAILED,
                    format!("{}: dockerexec: unhealthy container", self.exit_text().await),
                );
            }
            let poll = if checked { self.engine.host.sleep(HEALTH_POLL) } else { Box::pin(futures::future::pending()) };
            let mut duty = self.duty.clone();
            let told = Box::pin(async move { duty.wait_for(|duty| duty.desired > State::COMPLETE).await.is_ok() });
            match futures::future::select(waiting, futures::future::select(told, poll)).await {
                Either::Left(_) => break,
                Either::Right((Either::Left(_), _)) => return Outcome::Stop,
                Either::Right((Either::Right(_), rest)) => waiting = rest,
            }
        }
        if self.must_stop() {
            return Outcome::Stop;
        }
        let shown = self.engine.inspect_container(&self.name, false).await.ok();
        let code = shown.and_then(|shown| shown.state?.exit_code);
        match code {
            Some(0) => Outcome::Ended(State::COMPLETE, String::new()),
            // Removed by hand: Docker takes it for killed.
            None => Outcome::Ended(State::FAILED, "task: non-zero exit (137)".into()),
            Some(code) => Outcome::Ended(State::FAILED, format!("task: non-zero exit ({code})")),
        }
    }

    async fn exit_text(&self) -> String {
        let shown = self.engine.inspect_container(&self.name, false).await.ok();
        let code = shown.and_then(|shown| shown.state?.exit_code).unwrap_or(137);
        format!("task: non-zero exit ({code})")
    }

    async fn stop(&self) {
        let options = StopContainer { signal: None, timeout: Some(stop_timeout(&self.duty.borrow())) };
        if let Err(error) = self.engine.stop_container(&self.name, options).await
            && !error.is_not_found()
        {
            tracing::warn!(%error, name = self.name, "a task's container could not be stopped");
        }
    }

    async fn report(&self, state: State, message: &str, error: &str) {
        let shown = self.engine.inspect_container(&self.name, false).await.ok();
        self.report_container(state, message, error, shown.as_ref()).await;
    }

    async fn report_container(
        &self,
        state: State,
        message: &str,
        error: &str,
        shown: Option<&ContainerInspectResponse>,
    ) {
        let now = self.engine.host.now();
        let container = shown.map(|shown| ContainerState {
            id: shown.id.clone().unwrap_or_default(),
            pid: shown.state.as_ref().and_then(|state| state.pid).unwrap_or(0),
            exit_code: shown.state.as_ref().and_then(|state| state.exit_code).unwrap_or(0),
        });
        let (task, published) = {
            let duty = self.duty.borrow();
            (duty.id.clone(), !duty.host_ports.is_empty())
        };
        let ports = if published { shown.map(open_ports).unwrap_or_default() } else { Vec::new() };
        let report =
            TaskReport { task, state, at: now, message: message.into(), error: error.into(), container, ports };
        // The agent has ended: nobody wants to know.
        let _ = self.events.send(Event::Report(report));
    }
}

fn message(state: State) -> &'static str {
    match state {
        State::REJECTED => "preparing",
        _ => "started",
    }
}

/// The ports that a container really has, as the API shows host-mode ones.
fn open_ports(shown: &ContainerInspectResponse) -> Vec<EndpointPortConfig> {
    let ports = shown.network_settings.as_ref().and_then(|settings| settings.ports.as_ref());
    let mut open = Vec::new();
    for (key, bindings) in ports.into_iter().flatten() {
        let Some((target, protocol)) = key.split_once('/') else { continue };
        for binding in bindings.iter().flatten() {
            let config = EndpointPortConfig {
                protocol: Some(if protocol == "udp" { Protocol::UDP } else { Protocol::TCP }),
                target_port: target.parse().ok(),
                published_port: binding.host_port.as_deref().and_then(|port| port.parse().ok()),
                publish_mode: Some(docklab_api::models::EndpointPortConfigPublishModeEnum::HOST),
                name: None,
            };
            if !open.contains(&config) {
                open.push(config);
            }
        }
    }
    open
}
