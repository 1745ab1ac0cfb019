//! Copying between the console and a container: attach, raw mode, window size, signals.

use docklab_api::{ApiResult, Attached, OutputChunk, OutputStream, StdStream};
use futures::{SinkExt, StreamExt, future::BoxFuture};

use crate::{
    console::Stream,
    context::{Context, Invocation},
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

/// What the client says of itself when it was detached by keys.
pub(crate) const ESCAPED: &str = "read escape sequence";

/// Why copying stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Output,
    /// The user typed the detach keys.
    Detached,
}

/// What happens to the client's standard input.
pub(crate) enum Input {
    /// Left to whoever reads it next.
    Left,
    /// Passed on, until these keys are typed on a terminal.
    Passed { detach: Vec<u8> },
}

impl Input {
    pub(crate) fn of(wanted: bool, detach: Vec<u8>) -> Self {
        if wanted { Self::Passed { detach } } else { Self::Left }
    }
}

/// The keys as text: the flag's, else the configuration's.
pub(crate) fn keys_text(context: &Context, call: &Invocation) -> Option<String> {
    let given = call.flags.text("detach-keys");
    let text = if given.is_empty() { context.config.text("detachKeys") } else { given };
    (!text.is_empty()).then(|| text.to_owned())
}

/// The keys as bytes; `ctrl-p,ctrl-q` when nothing else, or nothing sensible, is set.
pub(crate) fn detach_keys(context: &Context, call: &Invocation) -> Vec<u8> {
    keys_text(context, call).and_then(|text| parse_keys(&text)).unwrap_or_else(|| vec![16, 17])
}

/// `ctrl-a,b`: control letters and plain ones.
fn parse_keys(text: &str) -> Option<Vec<u8>> {
    text.split(',')
        .map(|key| match key.strip_prefix("ctrl-") {
            Some("@") => Some(0),
            Some("[") => Some(27),
            Some("\\") => Some(28),
            Some("]") => Some(29),
            Some("^") => Some(30),
            Some("_") => Some(31),
            Some(letter) if letter.len() == 1 && letter.as_bytes()[0].is_ascii_lowercase() => {
                Some(letter.as_bytes()[0] - b'a' + 1)
            }
            Some(_) => None,
            None if key.len() == 1 => Some(key.as_bytes()[0]),
            None if key == "DEL" => Some(127),
            None => None,
        })
        .collect()
}

/// Finds the detach keys in what is typed. Keys that may begin the sequence are held back until the next one.
struct Escape {
    keys: Vec<u8>,
    matched: usize,
}

impl Escape {
    /// What to pass on, and whether the sequence is complete.
    fn pass(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut output = Vec::with_capacity(typed.len());
        for byte in typed {
            if self.keys.get(self.matched) == Some(byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return (output, true);
                }
                continue;
            }
            output.extend_from_slice(&self.keys[..self.matched]);
            self.matched = usize::from(self.keys.first() == Some(byte));
            if self.matched == 0 {
                output.push(*byte);
            }
        }
        (output, false)
    }
}

/// Copies both ways until the output ends or the user detaches. Input's end is passed on and leaves the output open.
pub(crate) async fn copy(
    context: &Context,
    attached: Attached,
    target: &Target,
    stdin: Input,
    proxy: bool,
) -> CliResult<End> {
    let passes = matches!(stdin, Input::Passed { .. });
    let raw = attached.tty && passes && context.console.is_terminal(Stream::Stdin);
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
    stdin: Input,
    proxy: bool,
) -> CliResult<End> {
    let Attached { mut output, mut input, tty } = attached;
    // Without -i the client's input is left to whoever reads it next.
    let typed = match stdin {
        Input::Left => None,
        Input::Passed { detach } => Some((context.console.stdin(), detach)),
    };
    // Ends only when the user detaches.
    let pump: BoxFuture<'_, ()> = Box::pin(async move {
        if let Some((mut typed, keys)) = typed {
            let mut escape = tty.then_some(Escape { keys, matched: 0 });
            while let Some(bytes) = typed.next().await {
                let (bytes, detached) = match &mut escape {
                    Some(escape) => {
                        let (bytes, detached) = escape.pass(&bytes);
                        (bytes.into(), detached)
                    }
                    None => (bytes, false),
                };
                if !bytes.is_empty() && input.send(bytes).await.is_err() {
                    break;
                }
                if detached {
                    return;
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
    let print: BoxFuture<'_, CliResult<End>> = Box::pin(async {
        while let Some(chunk) = output.next().await {
            write_chunk(context, chunk).await?;
        }
        Ok(End::Output)
    });
    let aside = futures::future::select(pump, side);
    match futures::future::select(print, aside).await {
        futures::future::Either::Left((result, _)) => result,
        futures::future::Either::Right(_) => Ok(End::Detached),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detach_keys_are_found_and_everything_else_is_passed_on() {
        let mut escape = Escape { keys: vec![16, 17], matched: 0 };
        assert_eq!(escape.pass(b"ab"), (b"ab".to_vec(), false));
        assert_eq!(escape.pass(&[16]), (vec![], false));
        assert_eq!(escape.pass(b"x"), (vec![16, b'x'], false));
        assert_eq!(escape.pass(&[b'y', 16, 16, 17, b'z']), (vec![b'y', 16], true));
    }

    #[test]
    fn keys_are_read_as_docker_writes_them() {
        assert_eq!(parse_keys("ctrl-p,ctrl-q"), Some(vec![16, 17]));
        assert_eq!(parse_keys("ctrl-@,a"), Some(vec![0, b'a']));
        assert_eq!(parse_keys("bad-key"), None);
    }
}
