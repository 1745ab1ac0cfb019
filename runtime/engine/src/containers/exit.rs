use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use docklab_host::{Exit, Started};
use futures::{
    FutureExt, StreamExt,
    future::{Either, select},
};
use tokio::sync::oneshot;

use super::{Container, MountKind};
use crate::{Engine, restart, time};

/// What Docker records when nobody knows how a container ended.
pub(crate) const UNKNOWN_EXIT: i32 = 255;

impl Engine {
    /// Follows a process to its end: hands its output to attachments, then records the exit.
    pub(crate) fn supervise(&self, container: &Arc<Container>, started: Started) {
        let engine = self.clone();
        let container = Arc::clone(container);
        let task = async move {
            let Started { process, mut output, .. } = started;
            while let Some(piece) = output.next().await {
                container.hub.publish(piece).await;
            }
            let exit = process.wait().await.unwrap_or_else(|error| {
                tracing::error!(container = container.id, %error, "the exit code is lost");
                Exit { code: UNKNOWN_EXIT, oom_killed: false, at: engine.host.now() }
            });
            engine.ended(&container, exit).await;
        };
        self.host.spawn(task.boxed());
    }

    /// A container's process has ended.
    pub(crate) async fn ended(&self, container: &Arc<Container>, exit: Exit) {
        let lifecycle = container.lifecycle.lock().await;
        container.process.send_replace(None);
        // Dropping it ends the health monitor.
        container.health_stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Err(error) = self.host.cleanup(&container.id).await {
            tracing::error!(container = container.id, %error, "cleanup");
        }
        let attached = container.read(|record| record.endpoints.keys().cloned().collect::<Vec<_>>());
        self.release_network(container);
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).release(&container.id);

        let (run, policy, manual, restarts) = container.read(|record| {
            let started = record.state.started_at.unwrap_or(exit.at);
            (
                time::seconds_between(started, exit.at),
                record.host_config.restart_policy.clone(),
                record.manually_stopped,
                record.restart_count,
            )
        });
        // A manual stop cancels every policy; `always` comes back only with the engine.
        let again = !manual && restart::wants_restart(policy.as_ref(), exit.code, manual, restarts);
        container.write(|record| {
            let state = &mut record.state;
            state.running = again;
            state.restarting = again;
            state.paused = false;
            state.pid = 0;
            state.exit_code = exit.code;
            state.oom_killed = exit.oom_killed;
            state.finished_at = Some(exit.at);
            state.health = None;
            if again {
                record.restart_count += 1;
            }
        });
        if exit.oom_killed {
            self.container_event(container, "oom", &[]);
        }
        let attributes = [("exitCode", exit.code.to_string()), ("execDuration", run.to_string())];
        self.container_event(container, "die", &attributes);
        for name in &attached {
            if let Ok(network) = self.networks.find(name) {
                self.network_event(&network, "disconnect", Some(&container.id));
                if let Err(error) = self.publish_names(&network).await {
                    tracing::error!(network = name, %error, "names could not be published");
                }
            }
        }
        for mount in container.read(|record| record.mounts.clone()) {
            if mount.kind == MountKind::Volume {
                self.volume_event(container, &mount.name, None);
            }
        }
        if let Err(error) = self.save(container).await {
            tracing::error!(container = container.id, %error, "the exit could not be recorded");
        }
        if again {
            let wait = container
                .backoff
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .next(Duration::from_secs(u64::try_from(run).unwrap_or(0)));
            self.restart_later(container, wait);
        }
        let by_hand = *container.restarting_by_hand.lock().unwrap_or_else(PoisonError::into_inner);
        let auto_remove = !again && !by_hand && container.read(|record| record.host_config.auto_remove == Some(true));
        container.hub.close();
        container.progress.send_modify(|progress| {
            progress.exits += 1;
            progress.exit_code = exit.code;
        });
        drop(lifecycle);
        if auto_remove && let Err(error) = self.remove(container, true, true).await {
            tracing::error!(container = container.id, %error, "auto-remove");
        }
    }

    /// Starts the container after `wait`, unless somebody stops it first.
    pub(crate) fn restart_later(&self, container: &Arc<Container>, wait: Duration) {
        let (cancel, cancelled) = oneshot::channel();
        *container.restart_cancel.lock().unwrap_or_else(PoisonError::into_inner) = Some(cancel);
        let engine = self.clone();
        let container = Arc::clone(container);
        let sleep = self.host.sleep(wait);
        let task = async move {
            if let Either::Right(_) = select(sleep, cancelled).await {
                return;
            }
            let _lifecycle = container.lifecycle.lock().await;
            if container.read(|record| !record.state.restarting) {
                return;
            }
            if let Err(error) = engine.start_locked(&container).await {
                tracing::warn!(container = container.id, %error, "restart");
                let code = container.read(|record| record.state.exit_code);
                container.progress.send_modify(|progress| {
                    progress.exits += 1;
                    progress.exit_code = code;
                });
            }
        };
        self.host.spawn(task.boxed());
    }

    /// Ends the wait for the next restart. True when there was one.
    pub(crate) async fn cancel_restart(&self, container: &Container) -> bool {
        let cancel = container.restart_cancel.lock().unwrap_or_else(PoisonError::into_inner).take();
        let was_restarting = container.write(|record| {
            let was = record.state.restarting;
            if was {
                record.state.restarting = false;
                record.state.running = false;
            }
            was
        });
        if !was_restarting {
            return false;
        }
        drop(cancel);
        container.progress.send_modify(|progress| progress.exits += 1);
        if let Err(error) = self.save(container).await {
            tracing::error!(container = container.id, %error, "the stop could not be recorded");
        }
        true
    }
}
