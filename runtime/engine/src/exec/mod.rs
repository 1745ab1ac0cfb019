//! Commands in running containers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_api::{
    ApiError, ApiResult, Attached, ExecApi, OutputChunk, OutputStream,
    models::{ExecConfig, ExecInspectResponse, ExecStartConfig, ProcessConfig},
};
use docklab_host::{ExecSpec, HostError, Process, ProcessSpec, Root, Started, User};
use futures::{
    FutureExt, SinkExt, StreamExt,
    channel::mpsc::Receiver,
    future::{self, Either},
    sink, stream,
};
use tokio::sync::mpsc;

use crate::{
    Engine, HostResultExt, api_error,
    containers::{
        Container, DetachKeys, append_environment, carry_input, chunk, input_sink, not_running, process_environment,
        receive,
    },
    object_id,
};

/// Bytes of /etc/passwd or /etc/group that are looked at.
const DATABASE_LIMIT: u64 = 4 << 20;
/// Chunks that a client may be behind before it slows the command down.
const BACKLOG: usize = 256;
/// How long a resize waits for the start of its exec: ten seconds, as Docker does.
const START_POLLS: u32 = 200;
const START_POLL: std::time::Duration = std::time::Duration::from_millis(50);
/// Where the OCI runtime's error text begins.
const RUNTIME: &str = "OCI runtime exec failed: exec failed: unable to start container process: ";

#[derive(Default)]
struct ExecState {
    started: bool,
    running: bool,
    exit_code: Option<i32>,
    process: Option<Arc<dyn Process>>,
    /// Of the process; kept when it has ended.
    pid: u32,
}

/// One exec. It does not survive its container's process.
pub(crate) struct Exec {
    id: String,
    container: Arc<Container>,
    config: ExecConfig,
    detach_keys: DetachKeys,
    state: Mutex<ExecState>,
}

impl Exec {
    fn state(&self) -> std::sync::MutexGuard<'_, ExecState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// `cmd arg arg`, as events show it: a command without arguments has a space behind it.
    fn command(&self) -> String {
        let (first, rest) = self.config.cmd.as_deref().unwrap_or_default().split_first().unzip();
        format!("{} {}", first.map_or("", String::as_str), rest.unwrap_or_default().join(" "))
    }
    fn tty(&self) -> bool {
        self.config.tty == Some(true)
    }
}

/// All execs of an engine, by ID.
#[derive(Default)]
pub(crate) struct Execs {
    by_id: Mutex<HashMap<String, Arc<Exec>>>,
}

impl Execs {
    fn find(&self, id: &str) -> ApiResult<Arc<Exec>> {
        let by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        by_id.get(id).cloned().ok_or_else(|| ApiError::not_found(format!("No such exec instance: {id}")))
    }
}

/// How an exec that could not start is told: the text, and the exit code.
fn failure(error: HostError) -> (ApiError, i32) {
    match error {
        HostError::CommandNotFound(_) | HostError::CommandPathNotFound(_) => {
            (ApiError::invalid(format!("{RUNTIME}{error}")), 127)
        }
        HostError::CommandNotExecutable { .. } | HostError::NotADirectory(_) => {
            (ApiError::invalid(format!("{RUNTIME}{error}")), 126)
        }
        // A working directory that is not there.
        HostError::NoSuchFile(_) => (ApiError::invalid(format!("{RUNTIME}{error}")), 127),
        error => (api_error(error), 126),
    }
}

/// What a client that holds the connection already gets instead of a command's output.
fn refused(error: &ApiError, tty: bool) -> Attached {
    let text = OutputChunk::stdout(format!("{}\r\n", error.message));
    Attached {
        output: stream::once(future::ready(Ok(text))).boxed(),
        input: Box::pin(sink::drain().sink_map_err(|never| match never {})),
        tty,
    }
}

impl Engine {
    /// Registers a command for a running container.
    pub(crate) fn new_exec(&self, container: &Arc<Container>, config: ExecConfig) -> ApiResult<Arc<Exec>> {
        let (running, paused, restarting) =
            container.read(|record| (record.state.running, record.state.paused, record.state.restarting));
        if !running {
            return Err(not_running(&container.id));
        }
        if paused {
            return Err(ApiError::conflict(format!(
                "Container {} is paused, unpause the container before exec",
                container.name()
            )));
        }
        if restarting {
            return Err(ApiError::conflict(format!(
                "Container {} is restarting, wait until the container is running",
                container.id
            )));
        }
        if config.cmd.as_ref().is_none_or(Vec::is_empty) {
            return Err(ApiError::invalid("No exec command specified"));
        }
        let keys = config.detach_keys.as_deref().unwrap_or("");
        let detach_keys =
            DetachKeys::parse(keys).map_err(|_| ApiError::invalid(format!("Invalid escape keys ({keys}) provided")))?;
        let exec = Arc::new(Exec {
            id: object_id(&*self.host),
            container: Arc::clone(container),
            detach_keys,
            config,
            state: Mutex::default(),
        });
        self.execs.by_id.lock().unwrap_or_else(PoisonError::into_inner).insert(exec.id.clone(), Arc::clone(&exec));
        container.execs.lock().unwrap_or_else(PoisonError::into_inner).insert(exec.id.clone());
        Ok(exec)
    }

    /// Forgets a probe that nobody can ask about.
    pub(crate) fn forget_exec(&self, exec: &Exec) {
        self.execs.by_id.lock().unwrap_or_else(PoisonError::into_inner).remove(&exec.id);
        exec.container.execs.lock().unwrap_or_else(PoisonError::into_inner).remove(&exec.id);
    }

    /// Execs are forgotten with their container.
    pub(crate) fn forget_execs(&self, container: &Container) {
        self.execs
            .by_id
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, exec| exec.container.id != container.id);
    }

    fn exec_spec(exec: &Exec, console_size: Option<&Vec<usize>>) -> ExecSpec {
        let config = &exec.config;
        let size = console_size.or(config.console_size.as_ref());
        let side = |index: usize| {
            size.and_then(|size| size.get(index)).and_then(|value| u16::try_from(*value).ok()).unwrap_or(0)
        };
        exec.container.read(|record| {
            let mut env = process_environment(record, exec.tty());
            append_environment(&mut env, config.env.iter().flatten());
            let user = config.user.clone().filter(|user| !user.is_empty());
            let cwd = config.working_dir.clone().filter(|cwd| !cwd.is_empty());
            let configured = record.config.working_dir.clone().filter(|cwd| !cwd.is_empty());
            ExecSpec {
                id: exec.id.clone(),
                process: ProcessSpec {
                    argv: config.cmd.clone().unwrap_or_default(),
                    env,
                    cwd: cwd.or(configured).unwrap_or_else(|| "/".to_owned()),
                    user: User {
                        spec: user.or_else(|| record.config.user.clone()).unwrap_or_default(),
                        additional_groups: record.host_config.group_add.clone().unwrap_or_default(),
                    },
                    tty: exec.tty(),
                    console_size: (side(0), side(1)),
                    open_stdin: config.attach_stdin == Some(true),
                    privileged: config.privileged == Some(true) || record.host_config.privileged == Some(true),
                },
            }
        })
    }

    /// An exec runs once, and only in a container that runs.
    pub(crate) fn claim_exec(&self, exec: &Exec) -> ApiResult<()> {
        let container = &exec.container;
        let (started, running) = {
            let state = exec.state();
            (state.started, state.running)
        };
        if started {
            let what = if running { "is already running" } else { "has already run" };
            return Err(ApiError::conflict(format!("exec command {} {what}", exec.id)));
        }
        container.running_process()?;
        if container.read(|record| record.state.paused) {
            return Err(ApiError::conflict(format!(
                "Container {} is paused, unpause the container before exec",
                container.name()
            )));
        }
        if std::mem::replace(&mut exec.state().started, true) {
            return Err(ApiError::conflict(format!("exec command {} has already run", exec.id)));
        }
        Ok(())
    }

    /// Starts a claimed exec. When the command cannot be run, its exit code is recorded before the error returns.
    pub(crate) async fn run_exec(&self, exec: &Arc<Exec>, console_size: Option<&Vec<usize>>) -> ApiResult<Started> {
        let container = &exec.container;
        exec.state().running = true;
        if exec.config.working_dir.as_deref().is_some_and(|cwd| !cwd.is_empty() && !cwd.starts_with('/')) {
            self.exec_ended(exec, 128);
            return Err(ApiError::invalid("OCI runtime exec failed: exec failed: Cwd must be an absolute path"));
        }
        match self.host.exec(&container.id, &Self::exec_spec(exec, console_size)).await {
            Ok(started) => {
                {
                    let mut state = exec.state();
                    state.process = Some(Arc::clone(&started.process));
                    state.pid = started.process.pid();
                }
                let id = [("execID", exec.id.clone())];
                self.container_event(container, format!("exec_start: {}", exec.command()), &id);
                Ok(started)
            }
            Err(error) => {
                let (error, code) = failure(error);
                self.exec_ended(exec, code);
                Err(error)
            }
        }
    }

    /// Records how an exec ended; before its streams are closed, so that nobody reads a code that is not there yet.
    pub(crate) fn exec_ended(&self, exec: &Exec, code: i32) {
        {
            let mut state = exec.state();
            state.running = false;
            state.exit_code = Some(code);
            state.process = None;
        }
        exec.container.execs.lock().unwrap_or_else(PoisonError::into_inner).remove(&exec.id);
        let attributes = [("execID", exec.id.clone()), ("exitCode", code.to_string())];
        self.container_event(&exec.container, "exec_die", &attributes);
    }

    /// Follows an exec to its end, whether or not a client is still there.
    fn supervise_exec(&self, exec: Arc<Exec>, started: Started, client: Option<mpsc::Sender<OutputChunk>>) {
        let engine = self.clone();
        let task = async move {
            let Started { process, mut output, .. } = started;
            let mut client = client;
            while let Some(piece) = output.next().await {
                let wanted = match piece.stream {
                    docklab_host::Standard::Stdout => exec.config.attach_stdout == Some(true) || exec.tty(),
                    docklab_host::Standard::Stderr => exec.config.attach_stderr == Some(true),
                };
                if wanted
                    && let Some(sender) = &client
                    && sender.send(chunk(piece)).await.is_err()
                {
                    client = None;
                }
            }
            let code = process.wait().await.map_or(126, |exit| exit.code);
            engine.exec_ended(&exec, code);
            drop(client);
        };
        self.host.spawn(task.boxed());
    }

    /// Carries input to an exec; the detach keys end the client's output and leave the command alone.
    fn exec_input(
        &self,
        exec: &Arc<Exec>,
        process: Arc<dyn Process>,
        input: Receiver<Bytes>,
        output: OutputStream,
    ) -> OutputStream {
        let keys = exec.tty().then(|| exec.detach_keys.clone());
        let (detached, on_detach) = tokio::sync::oneshot::channel::<()>();
        let engine = self.clone();
        let exec = Arc::clone(exec);
        let task = async move {
            if carry_input(input, &process, keys, true).await {
                engine.container_event(&exec.container, "exec_detach", &[("execID", exec.id.clone())]);
                let _ = detached.send(());
            }
        };
        self.host.spawn(task.boxed());
        // Only a detach ends the output early; an input that merely ends drops the sender without a word.
        let stop = on_detach.then(|result| match result {
            Ok(()) => Either::Left(future::ready(())),
            Err(_) => Either::Right(future::pending()),
        });
        output.take_until(stop).boxed()
    }
}

impl Engine {
    /// Refuses a user or group that the container's own files do not know, before anything is started.
    async fn check_user(&self, container: &Container, user: &str) -> ApiResult<()> {
        let (name, group) = user.split_once(':').unwrap_or((user, ""));
        for (name, file, what) in [(name, "/etc/passwd", "user"), (group, "/etc/group", "group")] {
            if name.is_empty() || name.parse::<u32>().is_ok() {
                continue;
            }
            let root = Root::Container(container.id.clone());
            let content = self.host.read_file(&root, file, DATABASE_LIMIT).await.api()?.unwrap_or_default();
            let known = String::from_utf8_lossy(&content).lines().any(|line| line.split(':').next() == Some(name));
            if !known {
                let file = file.trim_start_matches("/etc/");
                return Err(ApiError::invalid(format!(
                    "unable to find {what} {name}: no matching entries in {file} file"
                )));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl ExecApi for Engine {
    async fn create_exec(&self, container: &str, config: ExecConfig) -> ApiResult<String> {
        let container = self.container(container)?;
        let user = config.user.clone().unwrap_or_default();
        let exec = self.new_exec(&container, config)?;
        if let Err(error) = self.check_user(&container, &user).await {
            self.forget_exec(&exec);
            return Err(error);
        }
        let id = [("execID", exec.id.clone())];
        self.container_event(&container, format!("exec_create: {}", exec.command()), &id);
        Ok(exec.id.clone())
    }

    async fn start_exec(&self, id: &str, config: ExecStartConfig) -> ApiResult<Option<Attached>> {
        let exec = self.execs.find(id)?;
        let detach = config.detach == Some(true);
        // The client says how it reads the output, whatever terminal the command has.
        let tty = config.tty == Some(true);
        match self.claim_exec(&exec) {
            Err(error) if !detach => return Ok(Some(refused(&error, tty))),
            claimed => claimed?,
        }
        let started = match self.run_exec(&exec, config.console_size.as_ref()).await {
            Ok(started) => started,
            // The connection is already the command's: what is wrong comes as its output.
            Err(error) if !detach => return Ok(Some(refused(&error, tty))),
            Err(error) => return Err(error),
        };
        if detach {
            self.supervise_exec(exec, started, None);
            return Ok(None);
        }
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let process = Arc::clone(&started.process);
        self.supervise_exec(Arc::clone(&exec), started, Some(sender));
        let output = receive(receiver);
        if exec.config.attach_stdin == Some(true) {
            let (input, inputs) = input_sink();
            let output = self.exec_input(&exec, process, inputs, output);
            return Ok(Some(Attached { output, input, tty }));
        }
        Ok(Some(Attached { output, input: Box::pin(sink::drain().sink_map_err(|never| match never {})), tty }))
    }

    async fn inspect_exec(&self, id: &str) -> ApiResult<ExecInspectResponse> {
        let exec = self.execs.find(id)?;
        let config = &exec.config;
        let mut words = config.cmd.clone().unwrap_or_default().into_iter();
        let state = exec.state();
        Ok(ExecInspectResponse {
            can_remove: Some(false),
            detach_keys: Some(if config.detach_keys.as_deref().unwrap_or("").is_empty() {
                String::new()
            } else {
                exec.detach_keys.base64()
            }),
            id: Some(exec.id.clone()),
            running: Some(state.running),
            exit_code: state.exit_code.map(i64::from),
            process_config: Some(ProcessConfig {
                privileged: Some(config.privileged == Some(true)),
                user: config.user.clone(),
                tty: Some(exec.tty()),
                entrypoint: words.next(),
                arguments: Some(words.collect()),
            }),
            open_stdin: Some(config.attach_stdin == Some(true)),
            open_stderr: Some(config.attach_stderr == Some(true)),
            open_stdout: Some(config.attach_stdout == Some(true)),
            container_id: Some(exec.container.id.clone()),
            pid: Some(i64::from(state.pid)),
        })
    }

    async fn resize_exec(&self, id: &str, rows: u16, columns: u16) -> ApiResult<()> {
        let exec = self.execs.find(id)?;
        // Clients resize as soon as they have sent the start.
        for _ in 0..START_POLLS {
            let (started, process) = {
                let state = exec.state();
                (state.started, state.process.clone())
            };
            match process {
                Some(process) => return process.resize(rows, columns).await.api(),
                None if started && !exec.state().running => {
                    return Err(ApiError::conflict(format!("exec process {id} is not running")));
                }
                None => self.host.sleep(START_POLL).await,
            }
        }
        Err(ApiError::system("timeout waiting for exec session ready"))
    }
}
