use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_cli::{Console, ConsoleError, FileKind, FileMetadata, Stream};
use docklab_sim::{Content, Context, FileError, Source, World};
use futures::{
    StreamExt as _,
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    stream,
    stream::BoxStream,
};

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
const SIGWINCH: i32 = 28;

/// A simulated process as the docker command line sees it.
pub(crate) struct SimulatedConsole {
    world: World,
    context: Arc<Context>,
    listeners: Arc<Mutex<Listeners>>,
}

/// Who wants to hear of signals. One task reads them from the process.
#[derive(Default)]
struct Listeners {
    signals: Vec<UnboundedSender<String>>,
    resizes: Vec<UnboundedSender<()>>,
    is_reading: bool,
}

impl SimulatedConsole {
    pub(crate) fn new(world: World, context: Context) -> Self {
        Self { world, context: Arc::new(context), listeners: Arc::default() }
    }

    /// Leaves the terminal as a shell expects it.
    pub(crate) fn restore(&self) {
        self.set_raw_mode(false);
    }

    fn listen(&self, numbers: &[i32], add: impl FnOnce(&mut Listeners)) {
        self.context.process.handle(numbers);
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut listeners);
        if listeners.is_reading {
            return;
        }
        listeners.is_reading = true;
        let (process, listeners) = (Arc::clone(&self.context.process), Arc::downgrade(&self.listeners));
        self.world.spawn(async move {
            loop {
                let signal = process.next_signal().await;
                let Some(listeners) = listeners.upgrade() else { return };
                let mut listeners = listeners.lock().unwrap_or_else(PoisonError::into_inner);
                let name = match signal {
                    SIGWINCH => {
                        listeners.resizes.retain(|listener| listener.unbounded_send(()).is_ok());
                        continue;
                    }
                    SIGHUP => "HUP",
                    SIGINT => "INT",
                    _ => "TERM",
                };
                listeners.signals.retain(|listener| listener.unbounded_send(name.to_owned()).is_ok());
            }
        });
    }
}

/// A channel whose stream never ends: a signal may always still come.
fn channel<T: Send + 'static>() -> (UnboundedSender<T>, BoxStream<'static, T>) {
    let (sender, receiver): (_, UnboundedReceiver<T>) = unbounded();
    (sender, receiver.chain(stream::pending()).boxed())
}

fn failure(operation: &str, path: &str, error: FileError) -> ConsoleError {
    ConsoleError::new(operation, path, &error.to_string().to_lowercase())
}

#[async_trait]
impl Console for SimulatedConsole {
    async fn write(&self, stream: Stream, bytes: &[u8]) {
        // A reader that has gone is no error of the command's.
        match stream {
            Stream::Stderr => self.context.err(bytes).await.ok(),
            _ => self.context.out(bytes).await.ok(),
        };
    }

    fn stdin(&self) -> BoxStream<'static, Bytes> {
        let source = self.context.streams.stdin.clone();
        stream::unfold(source, |source| async move { source.read().await.map(|bytes| (bytes, source)) }).boxed()
    }

    fn is_terminal(&self, stream: Stream) -> bool {
        let streams = &self.context.streams;
        let Some(tty) = &streams.tty else { return false };
        let is_tty = |sink: &Arc<dyn docklab_sim::Sink>| std::ptr::addr_eq(Arc::as_ptr(sink), Arc::as_ptr(tty));
        match stream {
            Stream::Stdin => matches!(streams.stdin, Source::Tty(_)),
            Stream::Stdout => is_tty(&streams.stdout),
            Stream::Stderr => is_tty(&streams.stderr),
        }
    }

    fn terminal_size(&self) -> Option<(u16, u16)> {
        self.context.streams.tty.as_ref().map(|tty| tty.size())
    }

    fn resizes(&self) -> BoxStream<'static, ()> {
        let (sender, receiver) = channel();
        self.listen(&[SIGWINCH], |listeners| listeners.resizes.push(sender));
        receiver
    }

    fn set_raw_mode(&self, raw: bool) {
        if let Some(tty) = &self.context.streams.tty {
            tty.set_raw(raw);
        }
    }

    fn signals(&self) -> BoxStream<'static, String> {
        let (sender, receiver) = channel();
        self.listen(&[SIGHUP, SIGINT, SIGTERM], |listeners| listeners.signals.push(sender));
        receiver
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.context.env.get(name).map(ToOwned::to_owned)
    }

    fn now(&self) -> jiff::Timestamp {
        self.world.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.world.sleep(duration).await;
    }

    fn working_directory(&self) -> String {
        self.context.cwd.clone()
    }

    async fn read_file(&self, path: &str) -> Result<Vec<u8>, ConsoleError> {
        let content = self.context.view().read(&self.context.path(path));
        content.map(|bytes| bytes.to_vec()).map_err(|error| failure("open", path, error))
    }

    async fn write_file(&self, path: &str, bytes: &[u8], _mode: u32) -> Result<(), ConsoleError> {
        let written = self.context.view().write(&self.context.path(path), bytes, false);
        written.map_err(|error| failure("open", path, error))
    }

    async fn append_file(&self, path: &str, bytes: &[u8]) -> Result<(), ConsoleError> {
        let written = self.context.view().write(&self.context.path(path), bytes, true);
        written.map_err(|error| failure("open", path, error))
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata, ConsoleError> {
        let entry =
            self.context.view().stat(&self.context.path(path)).map_err(|error| failure("lstat", path, error))?;
        let (kind, size, link_target) = match &entry.content {
            Content::File(bytes) => (FileKind::File, bytes.len() as u64, None),
            Content::Directory => (FileKind::Directory, 0, None),
            Content::Symlink(target) => (FileKind::Link, target.len() as u64, Some(target.clone())),
            Content::CharDevice(..) | Content::BlockDevice(..) | Content::Fifo => (FileKind::Other, 0, None),
        };
        Ok(FileMetadata { kind, size, mode: entry.mode, modified: entry.mtime, link_target })
    }

    async fn read_directory(&self, path: &str) -> Result<Vec<String>, ConsoleError> {
        self.context.view().list(&self.context.path(path)).map_err(|error| failure("open", path, error))
    }

    async fn create_directory(&self, path: &str, _mode: u32) -> Result<(), ConsoleError> {
        self.context.view().make_directories(&self.context.path(path)).map_err(|error| failure("mkdir", path, error))
    }

    async fn create_link(&self, target: &str, path: &str) -> Result<(), ConsoleError> {
        self.context.view().symlink(target, &self.context.path(path)).map_err(|error| failure("symlink", path, error))
    }

    async fn remove_file(&self, path: &str) -> Result<(), ConsoleError> {
        match self.context.view().remove(&self.context.path(path), false) {
            Ok(()) | Err(FileError::NotFound) => Ok(()),
            Err(error) => Err(failure("remove", path, error)),
        }
    }
}
