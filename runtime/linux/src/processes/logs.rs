//! Reading a container's log, once or as it grows.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader},
    os::fd::{AsFd, AsRawFd, RawFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use docklab_host::{Exit, HostError, HostResult, LogQuery, LogRecord};
use futures::stream::{self, BoxStream, StreamExt};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::{
    io::unix::AsyncFd,
    sync::{mpsc, watch},
};

use super::client::Handle;
use crate::log_file;

const WAITING_RECORDS: usize = 64;

pub(super) fn read(
    path: &Path,
    query: LogQuery,
    handle: Option<Arc<Handle>>,
) -> HostResult<BoxStream<'static, HostResult<LogRecord>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(stream::empty().boxed()),
        Err(error) => return Err(HostError::other("open the container's log", error)),
    };
    let mut reader = Reader { input: BufReader::new(file), line: Vec::new(), query };
    let (sender, receiver) = mpsc::channel(WAITING_RECORDS);
    let exit = handle.filter(|_| reader.query.follow).map(|handle| handle.watch());
    let path = path.to_owned();
    // Watched before the first reading, so that nothing written in between goes unnoticed.
    let growth = if exit.is_some() { Some(watch_file(&path)?) } else { None };
    tokio::spawn(async move {
        // An error here means that the receiver is gone: nobody reads on.
        if let Err(Some(error)) = feed(&mut reader, &sender, exit, growth).await {
            let _ = sender.send(Err(error)).await;
        }
    });
    Ok(stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) }).boxed())
}

struct Reader {
    input: BufReader<File>,
    /// A line that is not whole yet.
    line: Vec<u8>,
    query: LogQuery,
}

/// What tokio needs to wait for inotify(7).
struct Watch(Inotify);

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// `Err(None)`: nobody reads any more.
type Fed = Result<(), Option<HostError>>;

async fn feed(
    reader: &mut Reader,
    sender: &mpsc::Sender<HostResult<LogRecord>>,
    exit: Option<watch::Receiver<Option<Exit>>>,
    growth: Option<AsyncFd<Watch>>,
) -> Fed {
    if let Some(tail) = reader.query.tail {
        let mut last = VecDeque::new();
        while let Some(record) = reader.next()? {
            last.push_back(record);
            if last.len() as u64 > tail {
                last.pop_front();
            }
        }
        for record in last {
            sender.send(Ok(record)).await.map_err(|_| None)?;
        }
    }
    let (Some(mut exit), Some(growth)) = (exit, growth) else {
        return pass_on(reader, sender).await;
    };
    loop {
        // Looked at before the reading: what the container wrote before its end is then read.
        let ended = exit.borrow_and_update().is_some();
        pass_on(reader, sender).await?;
        if ended {
            return Ok(());
        }
        tokio::select! {
            _ = exit.changed() => {}
            () = sender.closed() => return Err(None),
            ready = growth.readable() => {
                let mut ready = ready.map_err(|error| HostError::other("watch the log", error))?;
                // Only that something happened counts.
                let _ = growth.get_ref().0.read_events();
                ready.clear_ready();
            }
        }
    }
}

async fn pass_on(reader: &mut Reader, sender: &mpsc::Sender<HostResult<LogRecord>>) -> Fed {
    while let Some(record) = reader.next()? {
        sender.send(Ok(record)).await.map_err(|_| None)?;
    }
    Ok(())
}

impl Reader {
    /// The next record that the query wants and that is in the file by now.
    fn next(&mut self) -> HostResult<Option<LogRecord>> {
        loop {
            let failed = |error| HostError::other("read the container's log", error);
            self.input.read_until(b'\n', &mut self.line).map_err(failed)?;
            if !self.line.ends_with(b"\n") {
                return Ok(None);
            }
            let record = log_file::parse(&self.line);
            self.line.clear();
            let Some(record) = record else { continue };
            if self.query.until.is_some_and(|until| record.at > until) {
                continue;
            }
            if self.query.since.is_some_and(|since| record.at < since) {
                continue;
            }
            return Ok(Some(record));
        }
    }
}

fn watch_file(path: &PathBuf) -> HostResult<AsyncFd<Watch>> {
    let failed = |error: io::Error| HostError::other("watch the container's log", error);
    let inotify =
        Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(|error| failed(error.into()))?;
    inotify.add_watch(path, AddWatchFlags::IN_MODIFY).map_err(|error| failed(error.into()))?;
    // SAFETY: `Watch` names the same open descriptor as long as it lives, and closes it only when it is dropped.
    unsafe { AsyncFd::register(Watch(inotify)) }.map_err(|error| failed(error.into()))
}
