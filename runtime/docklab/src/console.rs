//! The machine's own terminal, clock and files, for the docker command line.

use std::{
    io::{IsTerminal as _, Read as _, Write as _},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_api::DockerApi;
use docklab_cli::{Connector, Console, ConsoleError, Endpoint, FileKind, FileMetadata, Stream};
use docklab_daemon::client::HttpClient;
use futures::{StreamExt as _, stream, stream::BoxStream};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs the docker command line against the engine that the command line, the environment or a context names.
pub(crate) async fn run_docker(argv: Vec<String>) -> i32 {
    let console = Arc::new(NativeConsole::new());
    let code = docklab_cli::run_with(argv, &Http, Arc::clone(&console) as Arc<dyn Console>).await;
    console.set_raw_mode(false);
    code
}

/// Clients over sockets.
struct Http;

impl Connector for Http {
    fn connect(&self, endpoint: &Endpoint) -> Result<Arc<dyn DockerApi>, String> {
        if let Some(kind) = ["ssh://", "npipe://", "fd://"].into_iter().find(|kind| endpoint.host.starts_with(kind)) {
            return Err(format!(
                "this client does not connect over {kind}; forward the engine's socket (ssh -L) and use tcp:// or unix://"
            ));
        }
        if endpoint.tls.is_some() {
            return Err("this client speaks to engines on unix sockets and plain TCP, not over TLS; \
                        use a unix socket or a tunnel"
                .to_owned());
        }
        let client = HttpClient::from_host(&endpoint.host).map_err(|error| error.message)?;
        let client = client.with_headers(endpoint.headers.clone());
        let client = match &endpoint.api_version {
            Some(version) => client.with_version(version),
            None => client,
        };
        Ok(Arc::new(client))
    }
}

struct NativeConsole {
    /// The terminal's settings before raw mode.
    cooked: Mutex<Option<Termios>>,
}

impl NativeConsole {
    fn new() -> Self {
        Self { cooked: Mutex::new(None) }
    }
}

fn failure(operation: &str, path: &str, error: &std::io::Error) -> ConsoleError {
    use std::io::ErrorKind;
    let reason = match error.kind() {
        ErrorKind::NotFound => "no such file or directory".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "is a directory".to_owned(),
        ErrorKind::NotADirectory => "not a directory".to_owned(),
        _ => error.to_string(),
    };
    ConsoleError::new(operation, path, &reason)
}

fn write_with(options: &mut std::fs::OpenOptions, path: &str, bytes: &[u8]) -> Result<(), ConsoleError> {
    let mut file = options.open(path).map_err(|error| failure("open", path, &error))?;
    file.write_all(bytes).map_err(|error| failure("write", path, &error))
}

#[async_trait]
impl Console for NativeConsole {
    async fn write(&self, stream: Stream, bytes: &[u8]) {
        // A reader that is gone (`docker ps | head`) is not this program's problem.
        match stream {
            Stream::Stderr => std::io::stderr().write_all(bytes).ok(),
            _ => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(bytes).and_then(|()| stdout.flush()).ok()
            }
        };
    }

    fn stdin(&self) -> BoxStream<'static, Bytes> {
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        // A thread, because reading a terminal cannot be made non-blocking without changing it for our parent too.
        std::thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(count @ 1..) = std::io::stdin().lock().read(&mut buffer) {
                if sender.blocking_send(Bytes::copy_from_slice(&buffer[..count])).is_err() {
                    break;
                }
            }
        });
        stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|bytes| (bytes, receiver)) }).boxed()
    }

    fn is_terminal(&self, stream: Stream) -> bool {
        match stream {
            Stream::Stdin => std::io::stdin().is_terminal(),
            Stream::Stdout => std::io::stdout().is_terminal(),
            Stream::Stderr => std::io::stderr().is_terminal(),
        }
    }

    fn terminal_size(&self) -> Option<(u16, u16)> {
        let size = tcgetwinsize(rustix::stdio::stdout()).or_else(|_| tcgetwinsize(rustix::stdio::stdin())).ok()?;
        (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
    }

    fn resizes(&self) -> BoxStream<'static, ()> {
        signals_of(SignalKind::window_change())
    }

    fn set_raw_mode(&self, raw: bool) {
        let stdin = rustix::stdio::stdin();
        let Ok(mut cooked) = self.cooked.lock() else { return };
        if raw {
            let Ok(mut settings) = tcgetattr(stdin) else { return };
            if cooked.is_none() {
                *cooked = Some(settings.clone());
            }
            settings.make_raw();
            tcsetattr(stdin, OptionalActions::Now, &settings).ok();
        } else if let Some(settings) = cooked.take() {
            tcsetattr(stdin, OptionalActions::Now, &settings).ok();
        }
    }

    fn signals(&self) -> BoxStream<'static, String> {
        let named = |kind, name: &'static str| signals_of(kind).map(move |()| name.to_owned()).boxed();
        stream::select_all([
            named(SignalKind::interrupt(), "INT"),
            named(SignalKind::terminate(), "TERM"),
            named(SignalKind::hangup(), "HUP"),
            named(SignalKind::quit(), "QUIT"),
            named(SignalKind::user_defined1(), "USR1"),
            named(SignalKind::user_defined2(), "USR2"),
        ])
        .boxed()
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn working_directory(&self) -> String {
        std::env::current_dir().map(|path| path.to_string_lossy().into_owned()).unwrap_or_else(|_| "/".to_owned())
    }

    async fn read_file(&self, path: &str) -> Result<Vec<u8>, ConsoleError> {
        tokio::fs::read(path).await.map_err(|error| failure("open", path, &error))
    }

    async fn write_file(&self, path: &str, bytes: &[u8], mode: u32) -> Result<(), ConsoleError> {
        write_with(std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(mode), path, bytes)
    }

    async fn append_file(&self, path: &str, bytes: &[u8]) -> Result<(), ConsoleError> {
        write_with(std::fs::OpenOptions::new().create(true).append(true), path, bytes)
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata, ConsoleError> {
        let metadata = std::fs::symlink_metadata(path).map_err(|error| failure("lstat", path, &error))?;
        let file_type = metadata.file_type();
        let kind = if file_type.is_dir() {
            FileKind::Directory
        } else if file_type.is_symlink() {
            FileKind::Link
        } else if file_type.is_socket()
            || file_type.is_fifo()
            || file_type.is_char_device()
            || file_type.is_block_device()
        {
            FileKind::Other
        } else {
            FileKind::File
        };
        let link_target = file_type
            .is_symlink()
            .then(|| std::fs::read_link(path).map(|target| target.to_string_lossy().into_owned()))
            .transpose()
            .map_err(|error| failure("readlink", path, &error))?;
        Ok(FileMetadata {
            kind,
            size: metadata.len(),
            mode: metadata.mode() & 0o7777,
            modified: metadata.mtime(),
            link_target,
        })
    }

    async fn read_directory(&self, path: &str) -> Result<Vec<String>, ConsoleError> {
        let failed = |error: std::io::Error| failure("open", path, &error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    async fn create_directory(&self, path: &str, mode: u32) -> Result<(), ConsoleError> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(path)
            .map_err(|error| failure("mkdir", path, &error))
    }

    async fn create_link(&self, target: &str, path: &str) -> Result<(), ConsoleError> {
        std::os::unix::fs::symlink(target, path).map_err(|error| failure("symlink", path, &error))
    }

    async fn run_program(&self, name: &str, arguments: &[&str], input: &[u8]) -> Result<(i32, Vec<u8>), ConsoleError> {
        use tokio::io::AsyncWriteExt as _;
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => ConsoleError::new("exec", name, "executable file not found in $PATH"),
            _ => failure("exec", name, &error),
        };
        let mut child = tokio::process::Command::new(name)
            .args(arguments)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that reads nothing has its reasons; what it prints says them.
            stdin.write_all(input).await.ok();
        }
        let output = child.wait_with_output().await.map_err(failed)?;
        Ok((output.status.code().unwrap_or(1), output.stdout))
    }

    async fn remove_file(&self, path: &str) -> Result<(), ConsoleError> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failure("remove", path, &error)),
            _ => Ok(()),
        }
    }
}

/// One item a signal; nothing at all where the signal cannot be watched.
fn signals_of(kind: SignalKind) -> BoxStream<'static, ()> {
    match signal(kind) {
        Ok(watched) => {
            stream::unfold(watched, |mut watched: Signal| async { watched.recv().await.map(|()| ((), watched)) })
                .boxed()
        }
        Err(_) => stream::pending().boxed(),
    }
}

/// Where this program keeps sessions: `DOCKLAB_HOME`, or the place that the system has for such data.
pub(crate) fn home() -> PathBuf {
    if let Some(home) = std::env::var_os("DOCKLAB_HOME") {
        return home.into();
    }
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/docklab");
    }
    match std::env::var_os("XDG_DATA_HOME") {
        Some(data) => Path::new(&data).join("docklab"),
        None => Path::new(&std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".local/share/docklab"),
    }
}
