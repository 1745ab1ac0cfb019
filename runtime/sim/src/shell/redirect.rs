use std::sync::Arc;

use super::{
    evaluate::{Flow, Shell},
    syntax::Redirect,
};
use crate::{
    fs::join,
    process::{Null, Source, Streams, open_sink},
};

/// The streams after a command's redirections; the inner error is the message of one that failed.
pub(super) async fn redirect(
    shell: &mut Shell,
    redirects: &[Redirect],
    io: &Streams,
) -> Result<Result<Streams, String>, Flow> {
    let mut streams = io.clone();
    for redirect in redirects {
        match redirect {
            Redirect::Here { text } => streams.stdin = Source::bytes(shell.expand_one(text, io).await?),
            Redirect::Read { target } => {
                let name = shell.expand_one(target, io).await?;
                let path = join(&shell.cwd, &name);
                streams.stdin = match path.as_str() {
                    "/dev/null" => Source::Null,
                    "/dev/stdin" => streams.stdin,
                    "/dev/tty" => streams.tty.clone().map_or(Source::Null, Source::Tty),
                    path => match shell.process.space.view.read(path) {
                        Ok(bytes) => Source::bytes(bytes),
                        Err(error) => return Ok(Err(format!("{name}: {error}"))),
                    },
                };
            }
            Redirect::Write { target, append, .. } | Redirect::Both { target, append } => {
                let name = shell.expand_one(target, io).await?;
                let path = join(&shell.cwd, &name);
                let sink = match open_sink(&shell.process.space.view, &path, *append, &streams) {
                    Ok(sink) => sink,
                    Err(error) => return Ok(Err(format!("{name}: {error}"))),
                };
                match redirect {
                    Redirect::Write { descriptor: 1, .. } => streams.stdout = sink,
                    Redirect::Write { descriptor: 2, .. } => streams.stderr = sink,
                    Redirect::Both { .. } => {
                        streams.stdout = sink.clone();
                        streams.stderr = sink;
                    }
                    _ => {}
                }
            }
            Redirect::Duplicate { descriptor, from } => match (descriptor, from) {
                (1, 2) => streams.stdout = streams.stderr.clone(),
                (2, 1) => streams.stderr = streams.stdout.clone(),
                (0..=2, 0..=2) => {}
                _ => {
                    streams.stderr = Arc::new(Null);
                    return Ok(Err(format!("{from}: Bad file descriptor")));
                }
            },
        }
    }
    Ok(Ok(streams))
}
