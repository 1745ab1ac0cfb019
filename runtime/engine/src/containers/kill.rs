use std::sync::Arc;

use docklab_api::{ApiError, ApiResult};

use super::{Container, not_running};
use crate::{
    Engine, HostResultExt,
    signals::{self, SIGKILL, SIGTERM},
};

impl Engine {
    /// The signal that `docker stop` sends.
    pub(crate) fn stop_signal(container: &Container) -> i32 {
        let name = container.read(|record| record.config.stop_signal.clone()).unwrap_or_default();
        if name.is_empty() { SIGTERM } else { signals::parse(&name).unwrap_or(SIGTERM) }
    }

    /// Sends a signal and records that the container was stopped by hand, as Docker does for every signal.
    pub(crate) async fn signal(&self, container: &Arc<Container>, signal: i32) -> ApiResult<()> {
        if container.read(|record| !record.state.running) {
            return Err(not_running(&container.id));
        }
        container.write(|record| record.manually_stopped = true);
        if self.cancel_restart(container).await {
            return Ok(());
        }
        let process = container.running_process()?;
        process.signal(signal).await.api()?;
        // A frozen process cannot take the signal that is meant to end it.
        let paused = container.read(|record| record.state.paused);
        if paused && (signal == SIGKILL || signal == Self::stop_signal(container)) {
            self.host.resume(&container.id).await.api()?;
            container.write(|record| record.state.paused = false);
        }
        self.container_event(container, "kill", &[("signal", signal.to_string())]);
        Ok(())
    }

    /// `docker kill`: SIGKILL waits for the end, other signals are only sent.
    pub(crate) async fn kill(&self, name: &str, signal: Option<&str>) -> ApiResult<()> {
        let wrap =
            |error: ApiError| ApiError::new(error.status, format!("cannot kill container: {name}: {}", error.message));
        let container = self.container(name).map_err(wrap)?;
        let signal = match signal {
            None | Some("") => SIGKILL,
            Some("0") => return Err(wrap(ApiError::invalid("invalid signal: 0"))),
            Some(text) => signals::parse(text).map_err(wrap)?,
        };
        let mut progress = container.progress.subscribe();
        let before = progress.borrow().exits;
        self.signal(&container, signal).await.map_err(wrap)?;
        if signal == SIGKILL {
            // An error says that the container is gone, which is what was wanted.
            let _ = progress.wait_for(|progress| progress.exits > before || progress.removed).await;
        }
        Ok(())
    }
}
