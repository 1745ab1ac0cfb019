//! Running what was parsed.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use docklab_host::HostError;
use futures::{
    FutureExt,
    future::{BoxFuture, join_all},
};

use super::{
    editor, parser,
    redirect::redirect,
    syntax::{Command, Item, List, Pipeline, Stage, Word},
};
use crate::{
    process::{
        Closed, Context, Environment, Identity, ProcessState, Source, SpawnSpec, Streams, find_executable, pipe, signal,
    },
    tools,
};

/// Why a list stops before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Exit(i32),
    Return(i32),
    Break(u32),
    Continue(u32),
    /// Standard output has no reader any more.
    Closed,
}

impl From<Closed> for Flow {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

pub(super) type Outcome = Result<i32, Flow>;

#[derive(Debug, Clone, Default)]
pub(super) struct Variable {
    pub(super) value: String,
    pub(super) exported: bool,
}

/// A shell and its state; a clone is a subshell.
#[derive(Clone)]
pub(crate) struct Shell {
    pub(super) process: Arc<ProcessState>,
    /// `bash` or `sh`, for messages and prompts.
    pub(super) name: String,
    pub(super) variables: BTreeMap<String, Variable>,
    pub(super) order: Vec<String>,
    pub(super) functions: BTreeMap<String, Arc<Stage>>,
    pub(super) arguments: Vec<String>,
    pub(super) cwd: String,
    pub(super) status: i32,
    pub(super) interactive: bool,
    pub(super) exit_on_error: bool,
    pub(super) trace: bool,
    pub(super) tested: u32,
    pub(super) traps: BTreeMap<i32, String>,
    pub(super) jobs: Vec<(u32, String)>,
    pub(super) history: Vec<String>,
    pub(super) user: Identity,
    /// `$$`: a subshell keeps its parent's.
    pub(super) shell_pid: u32,
}

/// The programs `bash` and `sh`.
pub(crate) async fn run(context: Context) -> Result<i32, Closed> {
    let Context { process, argv, env, cwd, streams } = context;
    let name = argv.first().map_or("sh", |name| name.rsplit('/').next().unwrap_or(name)).trim_start_matches('-');
    let user =
        Identity { name: process.user.clone(), uid: process.uid, home: env.get("HOME").unwrap_or("/root").to_owned() };
    let mut shell = Shell {
        shell_pid: process.pid,
        process,
        name: name.to_owned(),
        variables: BTreeMap::new(),
        order: Vec::new(),
        functions: BTreeMap::new(),
        arguments: vec![argv.first().cloned().unwrap_or_default()],
        cwd: cwd.clone(),
        status: 0,
        interactive: false,
        exit_on_error: false,
        trace: false,
        tested: 0,
        traps: BTreeMap::new(),
        jobs: Vec::new(),
        history: Vec::new(),
        user,
    };
    for (key, value) in env.iter() {
        shell.set(key, value, true);
    }
    shell.set("PWD", &cwd, true);
    let mut at = 1;
    let mut command = None;
    while let Some(option) = argv.get(at).filter(|option| option.starts_with('-') && option.len() > 1) {
        at += 1;
        if option == "--" {
            break;
        }
        for letter in option.trim_start_matches('-').chars().filter(|_| !option.starts_with("--")) {
            match letter {
                'c' => command = Some(()),
                'e' => shell.exit_on_error = true,
                'x' => shell.trace = true,
                'i' => shell.interactive = true,
                _ => {}
            }
        }
    }
    if command.is_some() {
        let Some(text) = argv.get(at) else {
            streams.stderr.write(format!("{}: -c: option requires an argument\n", shell.name).as_bytes()).await?;
            return Ok(2);
        };
        if let Some(zero) = argv.get(at + 1) {
            shell.arguments = argv[at + 1..].to_vec();
            shell.arguments[0].clone_from(zero);
        }
        return shell.run_text(text, &streams, true).await;
    }
    if let Some(file) = argv.get(at) {
        let path = crate::fs::join(&cwd, file);
        shell.arguments = argv[at..].to_vec();
        return match shell.process.space.view.clone().read_text(&path) {
            Ok(text) => shell.run_text(&text, &streams, false).await,
            Err(error) => {
                streams.stderr.write(format!("{}: {file}: {error}\n", shell.name).as_bytes()).await?;
                Ok(127)
            }
        };
    }
    if streams.input_is_terminal() && streams.tty.is_some() {
        shell.interactive = true;
        return editor::interact(shell, streams).await;
    }
    let text = streams.stdin.read_to_end().await;
    shell.run_text(&String::from_utf8_lossy(&text), &streams, false).await
}

impl Shell {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|variable| variable.value.as_str())
    }
    pub(super) fn set(&mut self, name: &str, value: &str, export: bool) {
        let variable = self.variables.entry(name.to_owned()).or_insert_with(|| {
            self.order.push(name.to_owned());
            Variable::default()
        });
        value.clone_into(&mut variable.value);
        variable.exported |= export;
    }
    pub(super) fn environment(&self) -> Environment {
        let mut environment = Environment::default();
        for name in &self.order {
            if let Some(variable) = self.variables.get(name).filter(|variable| variable.exported) {
                environment.set(name, &variable.value);
            }
        }
        environment
    }
    pub(super) async fn complain(&self, io: &Streams, text: &str) -> Result<(), Flow> {
        let prefix = if self.interactive {
            self.name.clone()
        } else if self.name == "bash" {
            format!("{}: line 1", self.arguments[0])
        } else {
            format!("{}: 1", self.arguments[0])
        };
        Ok(io.stderr.write(format!("{prefix}: {text}\n").as_bytes()).await?)
    }

    /// Runs a whole program and its EXIT trap. With `replace`, a single simple command takes the shell's place.
    async fn run_text(&mut self, text: &str, io: &Streams, replace: bool) -> Result<i32, Closed> {
        let list = match parser::parse(text) {
            Ok(list) => list,
            Err(error) => {
                let what = match error {
                    parser::ParseError::Incomplete => "syntax error: unexpected end of file".to_owned(),
                    parser::ParseError::Unexpected(token) => {
                        format!("syntax error near unexpected token `{token}'")
                    }
                };
                io.stderr.write(format!("{}: {what}\n", self.arguments[0]).as_bytes()).await?;
                return Ok(2);
            }
        };
        if replace
            && let [Item { first: Pipeline { negated: false, stages }, rest, background: false, .. }] = list.as_slice()
            && rest.is_empty()
            && let [Stage { command: Command::Simple { words, .. }, redirects }] = stages.as_slice()
            && redirects.is_empty()
            && let Some([super::syntax::Piece::Bare(word)]) = words.first().map(Vec::as_slice)
            && !super::builtins::is_builtin(word)
        {
            let mut exec = list.clone();
            if let Command::Simple { words, .. } = &mut exec[0].first.stages[0].command {
                words.insert(0, vec![super::syntax::Piece::Bare("exec".into())]);
            }
            return self.finish(exec, io).await;
        }
        self.finish(list, io).await
    }
    async fn finish(&mut self, list: List, io: &Streams) -> Result<i32, Closed> {
        let outcome = self.list(&list, io).await;
        let code = match outcome {
            Ok(code) | Err(Flow::Exit(code) | Flow::Return(code)) => code,
            Err(Flow::Break(_) | Flow::Continue(_)) => self.status,
            Err(Flow::Closed) => return Err(Closed),
        };
        self.exit_trap(io, code).await
    }
    pub(super) async fn exit_trap(&mut self, io: &Streams, code: i32) -> Result<i32, Closed> {
        let Some(text) = self.traps.remove(&0) else { return Ok(code) };
        self.status = code;
        match parser::parse(&text) {
            Ok(list) => match self.list(&list, io).await {
                Err(Flow::Exit(code)) => Ok(code),
                _ => Ok(code),
            },
            Err(_) => Ok(code),
        }
    }
    /// Runs the traps of signals that have come.
    pub(super) async fn run_traps(&mut self, io: &Streams) -> Result<(), Flow> {
        while let Some(number) = self.process.take_signal() {
            if let Some(text) = self.traps.get(&number).cloned()
                && let Ok(list) = parser::parse(&text)
            {
                let status = self.status;
                self.list(&list, io).await?;
                self.status = status;
            }
        }
        Ok(())
    }

    pub(super) fn list<'a>(&'a mut self, list: &'a List, io: &'a Streams) -> BoxFuture<'a, Outcome> {
        async move {
            for item in list {
                if item.background {
                    self.background(item, io).await?;
                    continue;
                }
                self.tested += u32::from(!item.rest.is_empty());
                let outcome = self.pipeline(&item.first, io).await;
                self.tested -= u32::from(!item.rest.is_empty());
                let mut status = outcome?;
                let mut last_ran = item.rest.is_empty();
                for (number, (and, pipeline)) in item.rest.iter().enumerate() {
                    last_ran = false;
                    if *and == (status == 0) {
                        let inner = number + 1 < item.rest.len();
                        self.tested += u32::from(inner);
                        let outcome = self.pipeline(pipeline, io).await;
                        self.tested -= u32::from(inner);
                        status = outcome?;
                        last_ran = !inner;
                    }
                }
                self.run_traps(io).await?;
                if status != 0 && self.exit_on_error && self.tested == 0 && last_ran && !item.first.negated {
                    return Err(Flow::Exit(status));
                }
            }
            Ok(self.status)
        }
        .boxed()
    }
    async fn background(&mut self, item: &Item, io: &Streams) -> Result<(), Flow> {
        let mut subshell = self.clone();
        let mut foreground = item.clone();
        foreground.background = false;
        let list = vec![foreground];
        let streams = Streams { stdin: if self.interactive { io.stdin.clone() } else { Source::Null }, ..io.clone() };
        let spec = SpawnSpec {
            argv: vec![item.source.clone()],
            env: Environment::default(),
            cwd: self.cwd.clone(),
            streams: io.clone(),
            parent: self.process.pid,
            user: self.user.clone(),
        };
        let job = self.process.space.spawn_program(spec, move |context| {
            async move {
                context.process.ignore(&[signal::INT]);
                subshell.process = context.process.clone();
                subshell.interactive = false;
                subshell.traps.clear();
                drop(context);
                subshell.finish(list, &streams).await
            }
            .boxed()
        });
        self.jobs.push((job.pid, item.source.clone()));
        self.set("!", &job.pid.to_string(), false);
        if self.interactive {
            let line = format!("[{}] {}\n", self.jobs.len(), job.pid);
            io.stderr.write(line.as_bytes()).await?;
        }
        self.status = 0;
        Ok(())
    }
    async fn pipeline(&mut self, pipeline: &Pipeline, io: &Streams) -> Outcome {
        self.tested += u32::from(pipeline.negated);
        let outcome = if let [stage] = pipeline.stages.as_slice() {
            self.stage(stage, io).await
        } else {
            Ok(self.concurrent(&pipeline.stages, io).await)
        };
        self.tested -= u32::from(pipeline.negated);
        let status = outcome?;
        self.status = if pipeline.negated { i32::from(status == 0) } else { status };
        Ok(self.status)
    }
    /// The stages of a pipe, side by side, each in a subshell; the last one's status counts.
    async fn concurrent(&self, stages: &[Stage], io: &Streams) -> i32 {
        let mut running: Vec<BoxFuture<'_, i32>> = Vec::new();
        let mut stdin = io.stdin.clone();
        for (number, stage) in stages.iter().enumerate() {
            let mut streams = Streams { stdin, ..io.clone() };
            stdin = Source::Null;
            if number + 1 < stages.len() {
                let (writer, reader) = pipe();
                streams.stdout = writer;
                stdin = Source::Pipe(reader);
            }
            let mut subshell = self.clone();
            running.push(
                async move {
                    match subshell.stage(stage, &streams).await {
                        Ok(code) | Err(Flow::Exit(code) | Flow::Return(code)) => code,
                        Err(Flow::Closed) => 128 + signal::PIPE,
                        Err(_) => 0,
                    }
                }
                .boxed(),
            );
        }
        join_all(running).await.pop().unwrap_or(0)
    }

    pub(super) fn stage<'a>(&'a mut self, stage: &'a Stage, io: &'a Streams) -> BoxFuture<'a, Outcome> {
        async move {
            let io = match redirect(self, &stage.redirects, io).await? {
                Ok(streams) => streams,
                Err(message) => {
                    self.complain(io, &message).await?;
                    self.status = 1;
                    return Ok(1);
                }
            };
            let status = match &stage.command {
                Command::Simple { assignments, words } => self.simple(assignments, words, &io).await?,
                Command::Group(list) => self.list(list, &io).await?,
                Command::Subshell(list) => {
                    let mut subshell = self.clone();
                    match subshell.list(list, &io).await {
                        Ok(code) | Err(Flow::Exit(code) | Flow::Return(code)) => code,
                        Err(other) => return Err(other),
                    }
                }
                Command::Function { name, body } => {
                    self.functions.insert(name.clone(), body.clone());
                    0
                }
                Command::If { branches, otherwise } => self.if_command(branches, otherwise, &io).await?,
                Command::Loop { condition, body, until } => self.loop_command(condition, body, *until, &io).await?,
                Command::For { name, words, body } => self.for_command(name, words.as_ref(), body, &io).await?,
                Command::Case { word, arms } => {
                    let text = self.expand_one(word, &io).await?;
                    self.case_command(&text, arms, &io).await?
                }
            };
            self.status = status;
            Ok(status)
        }
        .boxed()
    }
    async fn condition(&mut self, list: &List, io: &Streams) -> Result<bool, Flow> {
        self.tested += 1;
        let outcome = self.list(list, io).await;
        self.tested -= 1;
        Ok(outcome? == 0)
    }
    async fn if_command(&mut self, branches: &[(List, List)], otherwise: &List, io: &Streams) -> Outcome {
        for (condition, body) in branches {
            if self.condition(condition, io).await? {
                return self.list(body, io).await;
            }
        }
        self.status = 0;
        self.list(otherwise, io).await
    }
    /// Runs a loop's body; true when the loop ends.
    async fn body(&mut self, body: &List, io: &Streams) -> Result<bool, Flow> {
        match self.list(body, io).await {
            Ok(_) | Err(Flow::Continue(1)) => Ok(false),
            Err(Flow::Break(1)) => Ok(true),
            Err(Flow::Break(depth)) => Err(Flow::Break(depth - 1)),
            Err(Flow::Continue(depth)) => Err(Flow::Continue(depth - 1)),
            Err(other) => Err(other),
        }
    }
    async fn loop_command(&mut self, condition: &List, body: &List, until: bool, io: &Streams) -> Outcome {
        self.status = 0;
        let mut turns = 0_u32;
        while self.condition(condition, io).await? != until {
            if self.body(body, io).await? {
                break;
            }
            turns += 1;
            if turns.is_multiple_of(200) {
                // A loop of builtins alone would never let time pass, and the page would hang.
                self.process.space.world.clock.sleep(std::time::Duration::from_millis(1)).await;
            }
        }
        Ok(0)
    }
    async fn for_command(&mut self, name: &str, words: Option<&Vec<Word>>, body: &List, io: &Streams) -> Outcome {
        let values = match words {
            None => self.arguments[1..].to_vec(),
            Some(words) => self.expand_all(words, io).await?,
        };
        self.status = 0;
        for value in values {
            self.set(name, &value, false);
            if self.body(body, io).await? {
                break;
            }
        }
        Ok(self.status)
    }
    async fn case_command(&mut self, text: &str, arms: &[(Vec<Word>, List)], io: &Streams) -> Outcome {
        for (patterns, body) in arms {
            for pattern in patterns {
                let pattern = self.expand_pattern(pattern, io).await?;
                if super::matches(&pattern, text) {
                    self.status = 0;
                    return self.list(body, io).await;
                }
            }
        }
        Ok(0)
    }

    async fn simple(&mut self, assignments: &[(String, Word)], words: &[Word], io: &Streams) -> Outcome {
        self.status = if words.is_empty() { 0 } else { self.status };
        let argv = self.expand_all(words, io).await?;
        let mut values = Vec::new();
        for (name, word) in assignments {
            values.push((name.clone(), self.expand_one(word, io).await?));
        }
        if self.trace {
            let line = values.iter().map(|(name, value)| format!("{name}={value}")).chain(argv.iter().cloned());
            let line = format!("+ {}\n", line.collect::<Vec<_>>().join(" "));
            io.stderr.write(line.as_bytes()).await?;
        }
        let Some(command) = argv.first().cloned() else {
            for (name, value) in values {
                self.set(&name, &value, false);
            }
            return Ok(self.status);
        };
        if let Some(function) = self.functions.get(&command).cloned() {
            let saved = std::mem::replace(&mut self.arguments, argv);
            self.arguments[0].clone_from(&saved[0]);
            let outcome = self.stage(&function, io).await;
            self.arguments = saved;
            return match outcome {
                Err(Flow::Return(code)) => Ok(code),
                other => other,
            };
        }
        let saved: Vec<_> = values.iter().map(|(name, _)| (name.clone(), self.variables.get(name).cloned())).collect();
        for (name, value) in &values {
            self.set(name, value, true);
        }
        let outcome = match self.builtin(&argv, io).await {
            Some(outcome) => outcome,
            None => self.external(&argv, io).await,
        };
        for (name, old) in saved {
            match old {
                Some(old) => {
                    self.variables.insert(name, old);
                }
                None => {
                    self.variables.remove(&name);
                    self.order.retain(|other| *other != name);
                }
            }
        }
        outcome
    }
    fn not_started(&self, command: &str, error: &HostError) -> (String, i32) {
        match error {
            HostError::CommandNotFound(_) if self.name == "bash" => (format!("{command}: command not found"), 127),
            HostError::CommandNotFound(_) => (format!("{command}: not found"), 127),
            HostError::CommandPathNotFound(_) => (format!("{command}: No such file or directory"), 127),
            HostError::CommandNotExecutable { reason, .. } => {
                let reason = match reason.as_str() {
                    "is a directory" => "Is a directory",
                    "permission denied" => "Permission denied",
                    "exec format error" => "cannot execute binary file: Exec format error",
                    other => other,
                };
                (format!("{command}: {reason}"), 126)
            }
            error => (format!("{command}: {error}"), 126),
        }
    }
    async fn external(&mut self, argv: &[String], io: &Streams) -> Outcome {
        let env = self.environment();
        let space = self.process.space.clone();
        let executable = match find_executable(&space.view, argv, &env, &self.cwd) {
            Ok(executable) => executable,
            Err(HostError::CommandNotExecutable { reason, .. }) if reason == "exec format error" => {
                // A script without #! is run by the shell itself.
                let mut script = vec!["sh".to_owned(), argv[0].clone()];
                script.extend_from_slice(&argv[1..]);
                match find_executable(&space.view, &script, &env, &self.cwd) {
                    Ok(executable) => executable,
                    Err(_) => return Ok(126),
                }
            }
            Err(error) => {
                let (message, code) = self.not_started(&argv[0], &error);
                self.complain(io, &message).await?;
                let missing = matches!(error, HostError::CommandNotFound(_));
                if missing && !space.is_container() && tools::exists_elsewhere(&argv[0]) {
                    let note =
                        format!("The simulator has no `{}`; connect a backend to run it on a real machine.\n", argv[0]);
                    io.stderr.write(note.as_bytes()).await?;
                }
                return Ok(code);
            }
        };
        let spec = SpawnSpec {
            argv: argv.to_vec(),
            env,
            cwd: self.cwd.clone(),
            streams: io.clone(),
            parent: self.process.pid,
            user: self.user.clone(),
        };
        let child = space.spawn_found(executable, spec);
        let before = io.tty.as_ref().map(|tty| {
            if self.interactive {
                return (tty.clone(), tty.set_foreground(vec![Arc::downgrade(&child)]));
            }
            tty.add_foreground(&child);
            (tty.clone(), Vec::new())
        });
        let exit = child.exit().await;
        if self.interactive
            && let Some((tty, before)) = before
        {
            tty.set_foreground(before);
            tty.set_raw(false);
            if exit.code == 128 + signal::INT {
                tty.write_raw(b"\r\n");
            }
        } else if exit.code == 128 + signal::INT && io.tty.is_some() {
            return Err(Flow::Exit(exit.code));
        }
        if exit.code == 137 && space.oom_killed.load(Ordering::Relaxed) {
            io.stderr.write(b"Killed\n").await?;
        }
        Ok(exit.code)
    }
    /// `exec command`: the shell's process becomes the command.
    pub(super) async fn replace(&mut self, argv: &[String], io: &Streams) -> Outcome {
        let env = self.environment();
        let process = self.process.clone();
        match find_executable(&process.space.view, argv, &env, &self.cwd) {
            Err(error) => {
                let (message, code) = self.not_started(&argv[0], &error);
                self.complain(io, &message).await?;
                Err(Flow::Exit(code))
            }
            Ok(executable) => {
                process.set_argv(argv.to_vec());
                process.default_action(&(1..65).collect::<Vec<i32>>());
                let context =
                    Context { process, argv: executable.argv, env, cwd: self.cwd.clone(), streams: io.clone() };
                self.traps.clear();
                Err(Flow::Exit(tools::run(executable.program, context).await?))
            }
        }
    }
}
