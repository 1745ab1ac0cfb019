use std::sync::Arc;

use bytes::Bytes;
use docklab_api::{ApiError, ApiResult, AttachContainer, Attached, InputSink, Logs};
use docklab_host::Process;
use futures::{
    FutureExt, SinkExt, StreamExt,
    channel::mpsc::{self, Receiver},
    sink, stream,
};

use super::{Container, DetachKeys};
use crate::Engine;

/// Pieces of input that may wait for the process.
const INPUT_BACKLOG: usize = 16;

/// An input that goes to a channel, and what is sent into it.
pub(crate) fn input_sink() -> (InputSink, Receiver<Bytes>) {
    let (sender, receiver) = mpsc::channel(INPUT_BACKLOG);
    (Box::pin(sender.sink_map_err(|_| ApiError::conflict("the process has ended"))), receiver)
}

/// Carries input to a process; ends with the input, with the process or with the detach keys (then true).
pub(crate) async fn carry_input(
    mut input: Receiver<Bytes>,
    process: &Arc<dyn Process>,
    mut keys: Option<DetachKeys>,
    close: bool,
) -> bool {
    while let Some(bytes) = input.next().await {
        let (bytes, detached) = match &mut keys {
            Some(keys) => {
                let (passed, detached) = keys.filter(&bytes);
                (Bytes::from(passed), detached)
            }
            None => (bytes, false),
        };
        // An error says that the process has ended; nobody reads any more.
        if !bytes.is_empty() && process.write_stdin(bytes).await.is_err() {
            return detached;
        }
        if detached {
            return true;
        }
    }
    if close {
        let _ = process.close_stdin().await;
    }
    false
}

impl Engine {
    /// `docker attach`; before the start too.
    pub(crate) async fn attach(&self, container: &Arc<Container>, options: AttachContainer) -> ApiResult<Attached> {
        let (tty, open_stdin, once, paused, restarting) = container.read(|record| {
            (
                record.config.tty == Some(true),
                record.config.open_stdin == Some(true),
                record.config.stdin_once == Some(true),
                record.state.paused,
                record.state.restarting,
            )
        });
        if paused {
            return Err(ApiError::conflict(format!(
                "container {} is paused, unpause the container before attach",
                container.id
            )));
        }
        if restarting {
            return Err(ApiError::conflict(format!(
                "container {} is restarting, wait until the container is running",
                container.id
            )));
        }
        let keys = options.detach_keys.as_deref().unwrap_or("");
        let keys =
            DetachKeys::parse(keys).map_err(|_| ApiError::invalid(format!("Invalid detach keys ({keys}) provided")))?;
        let past = if options.logs {
            let query = Logs {
                stdout: options.stdout,
                stderr: options.stderr,
                tail: Some("all".to_owned()),
                ..Logs::default()
            };
            if query.stdout || query.stderr { Some(self.logs(container, query).await?) } else { None }
        } else {
            None
        };
        let (number, live) = if options.stream {
            let (number, live) = container.hub.attach(options.stdout, options.stderr);
            (Some(number), live)
        } else {
            (None, stream::empty().boxed())
        };
        let input: InputSink = match number {
            Some(number) if options.stdin && open_stdin => {
                self.attach_input(container, number, tty.then_some(keys), once)
            }
            _ => Box::pin(sink::drain().sink_map_err(|never| match never {})),
        };
        self.container_event(container, "attach", &[]);
        let output = match past {
            Some(past) => past.chain(live).boxed(),
            None => live,
        };
        Ok(Attached { output, input, tty })
    }

    fn attach_input(
        &self,
        container: &Arc<Container>,
        number: u64,
        keys: Option<DetachKeys>,
        close: bool,
    ) -> InputSink {
        let (sink, receiver) = input_sink();
        // Only the channel is held while waiting: a container that is removed unstarted ends this task.
        let mut process = container.process.subscribe();
        let weak = Arc::downgrade(container);
        let engine = self.clone();
        let task = async move {
            let running = match process.wait_for(Option::is_some).await {
                Ok(running) => running.clone(),
                Err(_) => return,
            };
            let Some(running) = running else { return };
            drop(process);
            if carry_input(receiver, &running, keys, close).await
                && let Some(container) = weak.upgrade()
            {
                container.hub.detach(number);
                engine.container_event(&container, "detach", &[]);
            }
        };
        self.host.spawn(task.boxed());
        sink
    }
}
