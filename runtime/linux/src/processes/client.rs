//! The engine's end of a supervisor's socket.

use std::{
    fs::File,
    io::{self, IoSlice},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::{net::UnixStream as StdStream, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_host::{Exit, HostError, HostResult, Output, Process, Standard};
use futures::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex, mpsc, watch},
};

use super::read_exit;
use crate::supervisor::{
    self,
    protocol::{self, Failure, HEADER, Kind, Request, SOCKET},
};

/// Pieces of output that wait for the engine; beyond them the supervisor waits, and then the container.
const WAITING_OUTPUT: usize = 64;

/// A process of a container, seen through its supervisor.
pub(crate) struct Handle {
    pid: u32,
    run: PathBuf,
    exec: Option<String>,
    exit: watch::Receiver<Option<Exit>>,
    /// `None` for a process that had ended when it was found again.
    input: Option<Mutex<OwnedWriteHalf>>,
}

impl Handle {
    pub(super) fn ended(exit: Exit, run: PathBuf) -> Self {
        // A receiver keeps the last value when its sender is gone.
        Self { pid: 0, run, exec: None, exit: watch::channel(Some(exit)).1, input: None }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.exit.borrow().is_some()
    }

    /// Becomes `Some` at the end of the process.
    pub(super) fn watch(&self) -> watch::Receiver<Option<Exit>> {
        self.exit.clone()
    }

    async fn ask(&self, request: Request) -> HostResult<()> {
        if self.has_ended() {
            return Ok(());
        }
        let failed = |error| HostError::other("ask the container's supervisor", error);
        let mut stream = match dial(&self.run).and_then(UnixStream::from_std) {
            Ok(stream) => stream,
            // It ended between the look and the call.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(());
            }
            Err(error) => return Err(failed(error)),
        };
        let frame = protocol::json_frame(Kind::Request, &request).map_err(failed)?;
        let answer = match stream.write_all(&frame).await {
            Ok(()) => read_frame(&mut stream).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok((Kind::Failed, payload)) => Err(failure(&payload)),
            Ok(_) => Ok(()),
            // The supervisor left before it answered: its process has ended, so there is nothing to ask any more.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(failed(error)),
        }
    }

    async fn send(&self, kind: Kind, bytes: &[u8]) -> HostResult<()> {
        let Some(input) = &self.input else { return Ok(()) };
        let mut frame = protocol::header(kind, bytes.len()).to_vec();
        frame.extend_from_slice(bytes);
        match input.lock().await.write_all(&frame).await {
            // Nobody reads any more: as for a pipe whose reader has ended, which Docker does not report either.
            Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Ok(()),
            other => other.map_err(|error| HostError::other("write to standard input", error)),
        }
    }
}

#[async_trait]
impl Process for Handle {
    fn pid(&self) -> u32 {
        self.pid
    }

    async fn wait(&self) -> HostResult<Exit> {
        let mut exit = self.exit.clone();
        let ended =
            exit.wait_for(Option::is_some).await.map_err(|error| HostError::other("wait for process", error))?;
        ended.ok_or_else(|| HostError::Other("wait for process: no exit code".to_owned()))
    }

    async fn signal(&self, signal: i32) -> HostResult<()> {
        self.ask(Request::Signal { exec: self.exec.clone(), signal }).await
    }

    async fn resize(&self, rows: u16, columns: u16) -> HostResult<()> {
        self.ask(Request::Resize { exec: self.exec.clone(), rows, columns }).await
    }

    async fn write_stdin(&self, bytes: Bytes) -> HostResult<()> {
        self.send(Kind::Stdin, &bytes).await
    }

    async fn close_stdin(&self) -> HostResult<()> {
        self.send(Kind::CloseStdin, &[]).await
    }
}

/// Starts a supervisor in a run directory; it waits for its launch request.
pub(super) fn spawn(executable: &Path, run: &Path) -> HostResult<StdStream> {
    let failed = |error| HostError::other("start the container's supervisor", error);
    let (ours, theirs) = StdStream::pair().map_err(failed)?;
    let complaints = File::create(run.join("supervisor.log")).map_err(failed)?;
    let mut command = Command::new(executable);
    command
        .arg0(supervisor::NAME)
        .arg(run)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::from(complaints));
    let mut child = tokio::process::Command::from(command).spawn().map_err(failed)?;
    // Somebody has to fetch its exit status, or it stays a zombie while the engine lives.
    tokio::spawn(async move { child.wait().await });
    Ok(ours)
}

/// Asks a fresh supervisor to start its container.
pub(super) async fn launch(
    supervisor: StdStream,
    request: &Request,
    network: Option<&OwnedFd>,
    run: PathBuf,
) -> HostResult<(Arc<Handle>, BoxStream<'static, Output>)> {
    let failed = |error| HostError::other("talk to the container's supervisor", error);
    let frame = protocol::json_frame(Kind::Request, request).map_err(failed)?;
    let descriptors: Vec<RawFd> = network.iter().map(|descriptor| descriptor.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let control: &[ControlMessage<'_>] = if descriptors.is_empty() { &[] } else { &rights };
    // The header goes alone, with the descriptor: the rest may be longer than the socket takes at once.
    sendmsg::<()>(supervisor.as_raw_fd(), &[IoSlice::new(&frame[..HEADER])], control, MsgFlags::MSG_NOSIGNAL, None)
        .map_err(|error| failed(error.into()))?;
    supervisor.set_nonblocking(true).map_err(failed)?;
    let mut stream = UnixStream::from_std(supervisor).map_err(failed)?;
    stream.write_all(&frame[HEADER..]).await.map_err(failed)?;
    converse(stream, run, None).await
}

/// Connects to a living supervisor for the first process's output, or for an exec.
pub(super) async fn connect(
    run: &Path,
    exec: Option<String>,
    request: &Request,
) -> HostResult<(Arc<Handle>, BoxStream<'static, Output>)> {
    let failed = |error| HostError::other("talk to the container's supervisor", error);
    let mut stream = dial(run).and_then(UnixStream::from_std).map_err(failed)?;
    let frame = protocol::json_frame(Kind::Request, request).map_err(failed)?;
    stream.write_all(&frame).await.map_err(failed)?;
    converse(stream, run.to_owned(), exec).await
}

async fn converse(
    mut stream: UnixStream,
    run: PathBuf,
    exec: Option<String>,
) -> HostResult<(Arc<Handle>, BoxStream<'static, Output>)> {
    let pid = match read_frame(&mut stream).await {
        Ok((Kind::Started, payload)) => protocol::decode(&payload)
            .map_err(|error| HostError::other("hear from the container's supervisor", error))?,
        Ok((Kind::Failed, payload)) => return Err(failure(&payload)),
        Ok((kind, _)) => return Err(HostError::Other(format!("the container's supervisor answered {kind:?}"))),
        Err(error) => {
            let complaint = std::fs::read_to_string(run.join("supervisor.log")).unwrap_or_default();
            return Err(HostError::Other(format!("the container's supervisor ended: {error} {}", complaint.trim())));
        }
    };
    let (read, write) = stream.into_split();
    let (exit_sender, exit) = watch::channel(None);
    let (output_sender, output) = mpsc::channel(WAITING_OUTPUT);
    let fallback = exec.is_none().then(|| run.clone());
    tokio::spawn(async move {
        let exit = forward(BufReader::new(read), &output_sender).await;
        let killed = || Exit { code: 137, oom_killed: false, at: Timestamp::now() };
        let exit = exit.or_else(|| read_exit(fallback.as_deref()?)).unwrap_or_else(killed);
        // Whoever waits may look at the output at once: it is complete.
        drop(output_sender);
        exit_sender.send_replace(Some(exit));
    });
    let handle = Arc::new(Handle { pid, run, exec, exit, input: Some(Mutex::new(write)) });
    let output = stream::unfold(output, |mut output| async move { Some((output.recv().await?, output)) }).boxed();
    Ok((handle, output))
}

/// Passes output on until the exit code comes; `None` when the supervisor went away without one.
async fn forward(mut stream: BufReader<OwnedReadHalf>, output: &mpsc::Sender<Output>) -> Option<Exit> {
    loop {
        let (kind, payload) = read_frame(&mut stream).await.ok()?;
        let standard = match kind {
            Kind::Stdout => Standard::Stdout,
            Kind::Stderr => Standard::Stderr,
            Kind::Exited => return protocol::decode(&payload).ok(),
            _ => continue,
        };
        if !payload.is_empty() {
            // Nobody listens to a detached container; its log has everything.
            let _ = output.send(Output { stream: standard, bytes: Bytes::from(payload) }).await;
        }
    }
}

async fn read_frame(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<(Kind, Vec<u8>)> {
    let mut head = [0; HEADER];
    stream.read_exact(&mut head).await?;
    let (kind, length) = protocol::parse_header(head)?;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    Ok((kind, payload))
}

fn failure(payload: &[u8]) -> HostError {
    match protocol::decode::<Failure>(payload) {
        Ok(failure) => failure.into(),
        Err(error) => HostError::other("hear from the container's supervisor", error),
    }
}

/// A socket's address has room for 108 bytes, fewer than a deep run directory's path; through a descriptor of the directory
/// it is always short.
fn dial(run: &Path) -> io::Result<StdStream> {
    let directory = File::open(run)?;
    let stream = StdStream::connect(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Somebody listens in this run directory.
pub(super) fn is_alive(run: &Path) -> bool {
    dial(run).is_ok()
}
