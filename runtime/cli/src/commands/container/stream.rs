//! Copying between the console and a container: attach, raw mode, window size, signals.

use docklab_api::{ApiResult, Attached, OutputChunk, OutputStream, StdStream};
use futures::{SinkExt, StreamExt, future::BoxFuture};

use crate::{
    console::Stream,
    context::Context,
    error::{CliError, CliResult},
};

/// What a resize or a signal is sent to.
pub(crate) enum Target {
    Container(String),
    Exec(String),
}

impl Target {
    pub(crate) async fn resize(&self, context: &Context) {
        let Some((rows, columns)) = context.console.terminal_size() else { return };
        // A container that has ended meanwhile cannot be resized; that is no error of the command.
        let _ = match self {
            Self::Container(id) => context.api.resize_container(id, rows, columns).await,
            Self::Exec(id) => context.api.resize_exec(id, rows, columns).await,
        };
    }
}

/// Prints a stream until it ends.
pub(crate) async fn print_output(context: &Context, mut output: OutputStream) -> CliResult<()> {
    while let Some(chunk) = output.next().await {
        write_chunk(context, chunk).await?;
    }
    Ok(())
}

async fn write_chunk(context: &Context, chunk: ApiResult<OutputChunk>) -> CliResult<()> {
    let chunk = chunk?;
    match chunk.stream {
        StdStream::Stderr => context.stderr(&chunk.bytes).await,
        StdStream::System => {
            let text = String::from_utf8_lossy(&chunk.bytes).into_owned();
            return Err(CliError::new(format!("error from daemon in stream: {text}")));
        }
        _ => context.stdout(&chunk.bytes).await,
    }
    Ok(())
}

/// Copies both ways until the output ends. Input's end is passed on and leaves the output open.
pub(crate) async fn copy(
    context: &Context,
    attached: Attached,
    target: &Target,
    stdin: bool,
    proxy: bool,
) -> CliResult<()> {
    let raw = attached.tty && stdin && context.console.is_terminal(Stream::Stdin);
    if raw {
        context.console.set_raw_mode(true);
    }
    let result = copy_until_end(context, attached, target, stdin, proxy).await;
    if raw {
        context.console.set_raw_mode(false);
    }
    result
}

async fn copy_until_end(
    context: &Context,
    attached: Attached,
    target: &Target,
    stdin: bool,
    proxy: bool,
) -> CliResult<()> {
    let Attached { mut output, mut input, tty } = attached;
    // Without -i the client's input is left to whoever reads it next.
    let typed = stdin.then(|| context.console.stdin());
    let pump: BoxFuture<'_, ()> = Box::pin(async move {
        if let Some(mut typed) = typed {
            while let Some(bytes) = typed.next().await {
                if input.send(bytes).await.is_err() {
                    break;
                }
            }
            let _ = input.close().await;
        }
        // Dropping the sink could end the attachment, so it is kept as long as the output is read.
        futures::future::pending::<()>().await;
    });
    let side: BoxFuture<'_, ()> = Box::pin(async {
        let resizes = context.console.resizes().map(|()| None);
        let signals = context.console.signals().map(Some);
        let mut changes = futures::stream::select(resizes, signals);
        while let Some(change) = changes.next().await {
            match (change, target) {
                (None, target) if tty => target.resize(context).await,
                (Some(signal), Target::Container(id)) if proxy => {
                    let _ = context.api.kill_container(id, Some(signal)).await;
                }
                _ => {}
            }
        }
        futures::future::pending::<()>().await;
    });
    let print: BoxFuture<'_, CliResult<()>> = Box::pin(async {
        while let Some(chunk) = output.next().await {
            write_chunk(context, chunk).await?;
        }
        Ok(())
    });
    let aside = futures::future::join(pump, side);
    match futures::future::select(print, aside).await {
        futures::future::Either::Left((result, _)) => result,
        futures::future::Either::Right(_) => Ok(()),
    }
}
