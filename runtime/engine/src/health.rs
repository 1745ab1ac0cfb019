//! Health checks: a command that is run in the container again and again.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use docklab_api::models::{ContainerConfig, ExecConfig, HealthConfig, HealthStatusEnum, HealthcheckResult};
use docklab_host::Started;
use futures::{
    FutureExt, StreamExt,
    future::{Either, select},
};
use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::{
    Engine,
    containers::{Container, HealthState, health_word},
    exec::Exec,
    time,
};

/// Results that inspect shows.
const KEEP: usize = 5;
/// Bytes of a probe's output that are kept.
const OUTPUT: usize = 4096;
const KILLED: i32 = 9;

/// A health check with Docker's defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plan {
    command: Vec<String>,
    interval: Duration,
    timeout: Duration,
    retries: i64,
    start_period: Duration,
    start_interval: Duration,
}

fn or_default(nanoseconds: Option<i64>, seconds: u64) -> Duration {
    match nanoseconds.and_then(|value| u64::try_from(value).ok()) {
        Some(value) if value > 0 => Duration::from_nanos(value),
        _ => Duration::from_secs(seconds),
    }
}

/// `None` when there is no check or `NONE` switches an inherited one off.
fn plan(health: &HealthConfig, config: &ContainerConfig) -> Option<Plan> {
    let test = health.test.as_deref()?;
    let command = match test.split_first() {
        Some((kind, rest)) if kind == "CMD" && !rest.is_empty() => rest.to_vec(),
        Some((kind, rest)) if kind == "CMD-SHELL" && !rest.is_empty() => {
            let shell = config.shell.clone().filter(|shell| !shell.is_empty());
            let mut command = shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
            command.push(rest.join(" "));
            command
        }
        _ => return None,
    };
    Some(Plan {
        command,
        interval: or_default(health.interval, 30),
        timeout: or_default(health.timeout, 30),
        retries: health.retries.filter(|retries| *retries > 0).unwrap_or(3),
        start_period: or_default(health.start_period, 0),
        start_interval: or_default(health.start_interval, 5),
    })
}

/// Takes in one result. A failure within the start period does not count while the container is still starting.
fn judge(state: &mut HealthState, exit_code: i64, retries: i64, in_start_period: bool) {
    if exit_code == 0 {
        state.failing_streak = 0;
        state.status = HealthStatusEnum::HEALTHY;
        return;
    }
    if in_start_period && state.status == HealthStatusEnum::STARTING {
        return;
    }
    state.failing_streak += 1;
    if state.failing_streak >= retries {
        state.status = HealthStatusEnum::UNHEALTHY;
    }
}

impl Engine {
    /// Starts the monitor of a container that has a health check; it ends with the container's process.
    pub(crate) fn start_health(&self, container: &Arc<Container>) {
        let plan =
            container.read(|record| record.config.healthcheck.as_ref().and_then(|health| plan(health, &record.config)));
        let Some(plan) = plan else { return };
        container.write(|record| {
            record.state.health =
                Some(HealthState { status: HealthStatusEnum::STARTING, failing_streak: 0, log: Vec::new() });
        });
        let (stop, stopped) = oneshot::channel();
        *container.health_stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop);
        let engine = self.clone();
        let container = Arc::clone(container);
        let monitor = async move {
            let monitor = engine.monitor(&container, &plan);
            futures::pin_mut!(monitor);
            // Dropping the sender is the signal.
            let _ = select(monitor, stopped).await;
        };
        self.host.spawn(monitor.boxed());
    }

    async fn monitor(&self, container: &Arc<Container>, plan: &Plan) {
        let began = self.host.now();
        loop {
            let starting = container.read(|record| {
                record.state.health.as_ref().is_some_and(|health| health.status == HealthStatusEnum::STARTING)
            });
            let in_start_period = |now: Timestamp| {
                u128::try_from(now.as_nanosecond() - began.as_nanosecond()).unwrap_or(0) < plan.start_period.as_nanos()
            };
            let wait = if starting && in_start_period(self.host.now()) { plan.start_interval } else { plan.interval };
            self.host.sleep(wait).await;
            if container.read(|record| record.state.paused) {
                continue;
            }
            let start = self.host.now();
            let (exit_code, output) = self.probe(container, plan).await;
            let result = HealthcheckResult {
                start: Some(time::rfc3339(Some(start))),
                end: Some(time::rfc3339(Some(self.host.now()))),
                exit_code: Some(exit_code),
                output: Some(output),
            };
            let changed = container.write(|record| {
                let health = record.state.health.as_mut()?;
                let before = health.status;
                health.log.push(result);
                if health.log.len() > KEEP {
                    health.log.remove(0);
                }
                judge(health, exit_code, plan.retries, in_start_period(start));
                (health.status != before).then_some(health.status)
            });
            if let Some(status) = changed {
                self.container_event(container, format!("health_status: {}", health_word(status)), &[]);
            }
        }
    }

    /// Runs the check once: exit code and output.
    async fn probe(&self, container: &Arc<Container>, plan: &Plan) -> (i64, String) {
        let config = ExecConfig {
            cmd: Some(plan.command.clone()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let exec = match self.new_exec(container, config) {
            Ok(exec) => exec,
            Err(error) => return (-1, error.message),
        };
        let result = match self.claim_exec(&exec) {
            Ok(()) => self.run_probe(&exec, plan).await,
            Err(error) => (-1, error.message),
        };
        self.forget_exec(&exec);
        result
    }

    async fn run_probe(&self, exec: &Arc<Exec>, plan: &Plan) -> (i64, String) {
        let Started { process, mut output, .. } = match self.run_exec(exec, None).await {
            Ok(started) => started,
            Err(error) => return (-1, error.message),
        };
        let mut text = Vec::new();
        let finished = async {
            while let Some(piece) = output.next().await {
                let room = OUTPUT.saturating_sub(text.len());
                text.extend_from_slice(&piece.bytes[..piece.bytes.len().min(room)]);
            }
            process.wait().await.map_or(-1, |exit| exit.code)
        }
        .boxed();
        let code = match select(finished, self.host.sleep(plan.timeout)).await {
            Either::Left((code, _)) => code,
            Either::Right(_) => {
                let _ = process.signal(KILLED).await;
                self.exec_ended(exec, 128 + KILLED);
                let limit = humantime(plan.timeout);
                return (-1, format!("Health check exceeded timeout ({limit})"));
            }
        };
        self.exec_ended(exec, code);
        (i64::from(code), String::from_utf8_lossy(&text).into_owned())
    }
}

/// A duration as Go prints it, for the durations that people give to health checks.
fn humantime(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (duration.subsec_millis(), seconds) {
        (0, seconds) if seconds >= 60 => format!("{}m{}s", seconds / 60, seconds % 60),
        (0, seconds) => format!("{seconds}s"),
        (milliseconds, 0) => format!("{milliseconds}ms"),
        (milliseconds, seconds) => format!("{seconds}.{milliseconds:03}s").replace("00s", "s").replace("0s", "s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_the_start_period_do_not_count_until_the_first_success() {
        let mut state = HealthState { status: HealthStatusEnum::STARTING, failing_streak: 0, log: Vec::new() };
        judge(&mut state, 1, 1, true);
        assert_eq!((state.status, state.failing_streak), (HealthStatusEnum::STARTING, 0));
        judge(&mut state, 0, 1, true);
        assert_eq!(state.status, HealthStatusEnum::HEALTHY);
        judge(&mut state, 1, 2, true);
        assert_eq!((state.status, state.failing_streak), (HealthStatusEnum::HEALTHY, 1));
        judge(&mut state, 1, 2, true);
        assert_eq!(state.status, HealthStatusEnum::UNHEALTHY);
    }

    #[test]
    fn none_switches_a_check_off_and_shells_are_used() {
        let config = ContainerConfig::default();
        let test = |words: &[&str]| HealthConfig {
            test: Some(words.iter().map(|word| (*word).to_owned()).collect()),
            ..HealthConfig::default()
        };
        assert_eq!(plan(&test(&["NONE"]), &config), None);
        let shell = plan(&test(&["CMD-SHELL", "true"]), &config).map(|plan| plan.command);
        assert_eq!(shell, Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), "true".to_owned()]));
        let defaults = plan(&test(&["CMD", "true"]), &config).map(|plan| (plan.interval, plan.retries));
        assert_eq!(defaults, Some((Duration::from_secs(30), 3)));
    }
}
