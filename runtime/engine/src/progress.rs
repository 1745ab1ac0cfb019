//! Streams of progress messages and the jobs that write them.

use std::{future::Future, sync::Arc};

use docklab_api::{ApiError, ApiResult, MessageStream, ProgressDetail, ProgressMessage};
use docklab_host::Host;
use futures::{
    FutureExt, StreamExt,
    future::{Either, select},
};
use tokio::sync::mpsc;

use crate::activity::Job;

/// Where a job writes its messages. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Progress {
    sender: mpsc::UnboundedSender<Result<ProgressMessage, JobError>>,
    job: Option<Arc<Job>>,
}

impl Progress {
    /// The same way, watched by a job that tells others of it.
    pub(crate) fn watched_by(&self, job: &Arc<Job>) -> Self {
        Self { sender: self.sender.clone(), job: Some(Arc::clone(job)) }
    }
    pub(crate) fn send(&self, message: ProgressMessage) {
        if let Some(job) = &self.job {
            job.observe(&message);
        }
        // An error says that the client has gone; the job is then cancelled from outside.
        let _ = self.sender.send(Ok(message));
    }
    pub(crate) fn status(&self, text: impl Into<String>) {
        self.send(ProgressMessage::status(text));
    }
    pub(crate) fn layer(&self, id: &str, status: &str) {
        self.send(ProgressMessage::layer(id, status));
    }
    pub(crate) fn text(&self, text: impl Into<String>) {
        self.send(ProgressMessage::stream(text));
    }
    /// A line with a bar.
    pub(crate) fn bar(&self, id: &str, status: &str, current: u64, total: u64) {
        let amounts = detail(current, total);
        self.send(ProgressMessage {
            progress: Some(bar(current, total)),
            progress_detail: Some(amounts),
            ..ProgressMessage::layer(id, status)
        });
    }
    /// Completes when the client has gone.
    pub(crate) async fn closed(&self) {
        self.sender.closed().await;
    }
}

fn detail(current: u64, total: u64) -> ProgressDetail {
    let number = |value| i64::try_from(value).unwrap_or(i64::MAX);
    ProgressDetail { current: number(current), total: number(total) }
}

/// How a job ends: an exit code of 0 is no code.
pub(crate) struct JobError {
    pub(crate) error: ApiError,
    pub(crate) code: i64,
}

impl From<ApiError> for JobError {
    fn from(error: ApiError) -> Self {
        Self { error, code: 0 }
    }
}

/// Runs a job in the background and streams what it writes. A failure before the first message is the call's own error,
/// a later one the stream's last message, as HTTP demands. The job is dropped when the client drops the stream.
pub(crate) async fn run<J, F>(host: &Arc<dyn Host>, job: J) -> ApiResult<MessageStream>
where
    J: FnOnce(Progress) -> F,
    F: Future<Output = Result<(), JobError>> + Send + 'static,
{
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let progress = Progress { sender: sender.clone(), job: None };
    let work = job(progress.clone()).boxed();
    host.spawn(Box::pin(async move {
        let gone = progress.closed();
        futures::pin_mut!(gone);
        match select(work, gone).await {
            Either::Left((Err(failure), _)) => {
                let _ = sender.send(Err(failure));
            }
            Either::Left((Ok(()), _)) | Either::Right(_) => {}
        }
    }));
    let first = match receiver.recv().await {
        None => None,
        Some(Ok(message)) => Some(message),
        Some(Err(failure)) => return Err(failure.error),
    };
    let rest =
        futures::stream::unfold(
            receiver,
            |mut receiver| async move { receiver.recv().await.map(|item| (item, receiver)) },
        );
    let rest = rest
        .map(|item| Ok(item.unwrap_or_else(|failure| ProgressMessage::failure(failure.code, failure.error.message))));
    Ok(futures::stream::iter(first.map(Ok)).chain(rest).boxed())
}

/// go-units `HumanSize`: decimal units, four significant digits.
pub(crate) fn human_size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let whole = (value.abs().max(1.0).log10().floor() as usize) + 1;
    let mut text = format!("{value:.*}", 4_usize.saturating_sub(whole));
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    format!("{text}{}", units[unit])
}

/// The bar that Docker draws on a wide terminal: 50 cells, then the amounts.
fn bar(current: u64, total: u64) -> String {
    if current == 0 && total == 0 {
        return String::new();
    }
    if total == 0 {
        return format!("{:>8}", human_size(current));
    }
    let cells = usize::try_from(current.saturating_mul(100) / total / 2).unwrap_or(50).min(50);
    let amounts = if current > total {
        format!("{:>8}", human_size(current))
    } else {
        format!("{:>8}/{}", human_size(current), human_size(total))
    };
    format!("[{}>{}] {amounts}", "=".repeat(cells), " ".repeat(50 - cells))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_dockers() {
        assert_eq!(bar(553_000, 67_050_000), "[>                                                  ]    553kB/67.05MB");
        assert_eq!(
            bar(30_080_000, 67_050_000),
            "[======================>                            ]  30.08MB/67.05MB"
        );
        assert_eq!(human_size(2048), "2.048kB");
        assert_eq!(human_size(3), "3B");
        assert_eq!(human_size(999_950), "1000kB");
    }
}
