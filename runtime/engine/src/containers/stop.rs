use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use docklab_api::{ApiResult, StateChange, StopContainer};
use futures::future::{Either, select};

use super::Container;
use crate::{
    Engine,
    signals::{self, SIGKILL},
};

const STOP_TIMEOUT: i64 = 10;
/// How long to wait when the stop signal could not even be sent.
const SHORT: i64 = 2;

impl Engine {
    /// `docker stop`: the stop signal, a wait, SIGKILL.
    pub(crate) async fn stop(&self, container: &Arc<Container>, options: &StopContainer) -> ApiResult<StateChange> {
        let signal = match options.signal.as_deref().filter(|signal| !signal.is_empty()) {
            Some(signal) => signals::parse(signal)?,
            None => Self::stop_signal(container),
        };
        if container.read(|record| !record.state.running) {
            return Ok(StateChange::NotModified);
        }
        let mut timeout =
            options.timeout.or_else(|| container.read(|record| record.config.stop_timeout)).unwrap_or(STOP_TIMEOUT);
        let mut progress = container.progress.subscribe();
        let before = progress.borrow().exits;
        if let Err(error) = self.signal(container, signal).await {
            tracing::debug!(container = container.id, %error, "the stop signal was not sent");
            timeout = SHORT;
        }
        let ended = async {
            let _ = progress.wait_for(|progress| progress.exits > before || progress.removed).await;
        };
        if container.read(|record| record.state.running) {
            if timeout < 0 {
                ended.await;
            } else {
                let limit = self.host.sleep(Duration::from_secs(u64::try_from(timeout).unwrap_or(0)));
                futures::pin_mut!(ended);
                if let Either::Right(((), ended)) = select(ended, limit).await {
                    match self.signal(container, SIGKILL).await {
                        Ok(()) => ended.await,
                        // It ended by itself in this very moment, or it cannot be killed.
                        Err(error) if container.read(|record| record.state.running) => return Err(error),
                        Err(_) => {}
                    }
                }
            }
        }
        self.container_event(container, "stop", &[]);
        Ok(StateChange::Changed)
    }

    /// `docker restart`.
    pub(crate) async fn restart(&self, container: &Arc<Container>, options: &StopContainer) -> ApiResult<()> {
        *container.restarting_by_hand.lock().unwrap_or_else(PoisonError::into_inner) = true;
        let result = self.stop_and_start(container, options).await;
        *container.restarting_by_hand.lock().unwrap_or_else(PoisonError::into_inner) = false;
        result?;
        self.container_event(container, "restart", &[]);
        Ok(())
    }

    async fn stop_and_start(&self, container: &Arc<Container>, options: &StopContainer) -> ApiResult<()> {
        self.stop(container, options).await?;
        self.start(container).await?;
        Ok(())
    }
}
