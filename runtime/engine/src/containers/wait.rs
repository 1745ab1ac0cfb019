use std::sync::Arc;

use docklab_api::{ApiResult, WaitCondition, models::ContainerWaitResponse};
use futures::{FutureExt, future::BoxFuture};

use super::Container;

fn response(code: i32) -> ApiResult<ContainerWaitResponse> {
    Ok(ContainerWaitResponse { status_code: i64::from(code), error: None })
}

/// Registers a wait now; the future ends with it.
pub(crate) fn wait(
    container: &Arc<Container>,
    condition: WaitCondition,
) -> BoxFuture<'static, ApiResult<ContainerWaitResponse>> {
    let mut progress = container.progress.subscribe();
    let before = progress.borrow().exits;
    let (running, exit_code) = container.read(|record| (record.state.running, record.state.exit_code));
    if condition == WaitCondition::NotRunning && !running {
        return async move { response(exit_code) }.boxed();
    }
    async move {
        let done = progress
            .wait_for(|progress| match condition {
                WaitCondition::NotRunning | WaitCondition::NextExit => progress.exits > before || progress.removed,
                WaitCondition::Removed => progress.removed,
            })
            .await;
        // The sender lives in the container; when it is gone so is the container.
        response(done.map_or(exit_code, |progress| progress.exit_code))
    }
    .boxed()
}
