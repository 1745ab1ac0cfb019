//! What the shell does itself.

use futures::future::{Either, select};

use super::{
    evaluate::{Flow, Outcome, Shell},
    parser,
};
use crate::{
    fs::{View, join},
    process::{Streams, find_executable, signal},
};

const NAMES: &[&str] = &[
    ":", "true", "false", "cd", "pwd", "echo", "export", "unset", "set", "exit", "return", "break", "continue",
    "shift", "read", "eval", "exec", ".", "source", "type", "command", "trap", "wait", "jobs", "test", "[", "history",
    "local", "declare", "readonly", "umask", "alias", "kill", "logout", "let",
];

pub(super) fn is_builtin(name: &str) -> bool {
    NAMES.contains(&name)
}

/// `test` without its name: the result, or what is wrong.
pub(crate) fn test_expression(arguments: &[String], view: &View, cwd: &str) -> Result<bool, String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let Some(at) = words.iter().position(|word| *word == "-o") {
        return Ok(test_expression(&arguments[..at], view, cwd)? || test_expression(&arguments[at + 1..], view, cwd)?);
    }
    if let Some(at) = words.iter().position(|word| *word == "-a") {
        return Ok(test_expression(&arguments[..at], view, cwd)? && test_expression(&arguments[at + 1..], view, cwd)?);
    }
    match words.as_slice() {
        [] => Ok(false),
        ["!", ..] => Ok(!test_expression(&arguments[1..], view, cwd)?),
        [text] => Ok(!text.is_empty()),
        [operator, operand] => {
            let path = join(cwd, operand);
            let entry = view.stat(&path);
            match *operator {
                "-n" => Ok(!operand.is_empty()),
                "-z" => Ok(operand.is_empty()),
                "-e" => Ok(entry.is_ok()),
                "-f" => Ok(entry.is_ok_and(|entry| matches!(entry.content, crate::fs::Content::File(_)))),
                "-d" => Ok(view.is_directory(&path)),
                "-s" => Ok(entry.is_ok_and(|entry| entry.size() > 0)),
                "-r" | "-w" => Ok(entry.is_ok()),
                "-x" => Ok(entry.is_ok_and(|entry| entry.mode & 0o111 != 0)),
                "-L" | "-h" => Ok(view.lstat(&path).is_ok_and(|(_, entry)| entry.mode == 0o777)),
                "-t" => Ok(false),
                _ => Err(format!("{operator}: unary operator expected")),
            }
        }
        [left, operator, right] => {
            let number =
                |text: &str| text.trim().parse::<i64>().map_err(|_| format!("{text}: integer expression expected"));
            match *operator {
                "=" | "==" => Ok(left == right),
                "!=" => Ok(left != right),
                "<" => Ok(left < right),
                ">" => Ok(left > right),
                "-eq" => Ok(number(left)? == number(right)?),
                "-ne" => Ok(number(left)? != number(right)?),
                "-lt" => Ok(number(left)? < number(right)?),
                "-le" => Ok(number(left)? <= number(right)?),
                "-gt" => Ok(number(left)? > number(right)?),
                "-ge" => Ok(number(left)? >= number(right)?),
                _ => Err(format!("{operator}: binary operator expected")),
            }
        }
        _ => Err("too many arguments".into()),
    }
}

impl Shell {
    /// Runs a builtin; `None` when it is none.
    pub(super) async fn builtin(&mut self, argv: &[String], io: &Streams) -> Option<Outcome> {
        if !is_builtin(&argv[0]) {
            return None;
        }
        Some(self.run_builtin(argv, io).await)
    }
    async fn run_builtin(&mut self, argv: &[String], io: &Streams) -> Outcome {
        let first = argv.get(1).map(String::as_str);
        let number = |default: i32| first.and_then(|text| text.parse::<i32>().ok()).unwrap_or(default);
        match argv[0].as_str() {
            "false" => Ok(1),
            "cd" => self.change_directory(first, io).await,
            "pwd" => {
                io.stdout.write(format!("{}\n", self.cwd).as_bytes()).await?;
                Ok(0)
            }
            "echo" => {
                io.stdout.write(crate::tools::echo(&argv[1..], self.name != "bash").as_bytes()).await?;
                Ok(0)
            }
            "export" | "declare" | "local" | "readonly" => {
                for argument in argv[1..].iter().filter(|argument| !argument.starts_with('-')) {
                    let export = argv[0] == "export";
                    match argument.split_once('=') {
                        Some((name, value)) => self.set(name, value, export),
                        None => {
                            let value = self.get(argument).unwrap_or_default().to_owned();
                            self.set(argument, &value, export);
                        }
                    }
                }
                if argv.len() == 1 || first == Some("-p") {
                    let lines: String = self
                        .variables
                        .iter()
                        .filter(|(_, variable)| variable.exported)
                        .map(|(name, variable)| format!("declare -x {name}=\"{}\"\n", variable.value))
                        .collect();
                    io.stdout.write(lines.as_bytes()).await?;
                }
                Ok(0)
            }
            "unset" => {
                for name in argv[1..].iter().filter(|name| !name.starts_with('-')) {
                    self.variables.remove(name);
                    self.functions.remove(name);
                    self.order.retain(|other| other != name);
                }
                Ok(0)
            }
            "set" => self.set_options(&argv[1..], io).await,
            "exit" | "logout" => Err(Flow::Exit(number(self.status) & 0xFF)),
            "return" => Err(Flow::Return(number(self.status) & 0xFF)),
            "break" => Err(Flow::Break(number(1).max(1) as u32)),
            "continue" => Err(Flow::Continue(number(1).max(1) as u32)),
            "shift" => {
                let count = number(1).max(0) as usize;
                if count >= self.arguments.len() {
                    return Ok(1);
                }
                self.arguments.drain(1..=count);
                Ok(0)
            }
            "read" => self.read(&argv[1..], io).await,
            "eval" => self.program(&argv[1..].join(" "), io).await,
            "exec" if argv.len() > 1 => self.replace(&argv[1..], io).await,
            "." | "source" => {
                let path = join(&self.cwd, first.unwrap_or_default());
                match self.process.space.view.read_text(&path) {
                    Ok(text) => match self.program(&text, io).await {
                        Err(Flow::Return(code)) => Ok(code),
                        other => other,
                    },
                    Err(error) => {
                        self.complain(io, &format!("{}: {error}", first.unwrap_or_default())).await?;
                        Ok(1)
                    }
                }
            }
            "type" | "command" => self.find(argv, io).await,
            "trap" => {
                let text = argv.get(1).cloned().unwrap_or_default();
                for name in argv.iter().skip(2) {
                    let number = if name == "EXIT" { Some(0) } else { signal::parse(name) };
                    let Some(number) = number else {
                        self.complain(io, &format!("trap: {name}: invalid signal specification")).await?;
                        return Ok(1);
                    };
                    if text == "-" {
                        self.traps.remove(&number);
                        self.process.default_action(&[number]);
                    } else if text.is_empty() {
                        self.process.ignore(&[number]);
                    } else {
                        self.traps.insert(number, text.clone());
                        self.process.handle(&[number]);
                    }
                }
                Ok(0)
            }
            "wait" => self.wait(first, io).await,
            "jobs" => {
                let jobs = self.running_jobs();
                for (number, (_, text)) in jobs.iter().enumerate() {
                    let line = format!("[{}]   Running                 {text} &\n", number + 1);
                    io.stdout.write(line.as_bytes()).await?;
                }
                Ok(0)
            }
            "test" | "[" => {
                let mut words = &argv[1..];
                if argv[0] == "[" {
                    match words.split_last() {
                        Some((last, rest)) if last == "]" => words = rest,
                        _ => {
                            self.complain(io, "[: missing `]'").await?;
                            return Ok(2);
                        }
                    }
                }
                match test_expression(words, &self.process.space.view, &self.cwd) {
                    Ok(result) => Ok(i32::from(!result)),
                    Err(message) => {
                        self.complain(io, &format!("{}: {message}", argv[0])).await?;
                        Ok(2)
                    }
                }
            }
            "history" => {
                let lines: String =
                    self.history.iter().enumerate().map(|(n, line)| format!("{:>5}  {line}\n", n + 1)).collect();
                io.stdout.write(lines.as_bytes()).await?;
                Ok(0)
            }
            "umask" => {
                io.stdout.write(b"0022\n").await?;
                Ok(0)
            }
            "kill" => self.kill(&argv[1..], io).await,
            _ => Ok(0),
        }
    }
    fn running_jobs(&mut self) -> Vec<(u32, String)> {
        let space = self.process.space.clone();
        self.jobs.retain(|(pid, _)| space.process(*pid).is_some());
        self.jobs.clone()
    }
    async fn program(&mut self, text: &str, io: &Streams) -> Outcome {
        match parser::parse(text) {
            Ok(list) => self.list(&list, io).await,
            Err(error) => {
                self.complain(io, &format!("syntax error: {error:?}")).await?;
                Ok(2)
            }
        }
    }
    async fn change_directory(&mut self, to: Option<&str>, io: &Streams) -> Outcome {
        let home = self.get("HOME").unwrap_or("/").to_owned();
        let old = self.get("OLDPWD").unwrap_or(&home).to_owned();
        let name = match to {
            None => &home,
            Some("-") => &old,
            Some(name) => name,
        };
        let path = join(&self.cwd, name);
        match self.process.space.view.stat(&path) {
            Ok(entry) if entry.is_directory() => {
                let before = std::mem::replace(&mut self.cwd, path.clone());
                self.set("OLDPWD", &before, false);
                self.set("PWD", &path, true);
                Ok(0)
            }
            result => {
                let error = result.err().unwrap_or(crate::fs::FileError::NotADirectory);
                let message = if self.name == "bash" {
                    format!("cd: {name}: {error}")
                } else {
                    format!("cd: can't cd to {name}")
                };
                self.complain(io, &message).await?;
                Ok(1)
            }
        }
    }
    async fn set_options(&mut self, arguments: &[String], io: &Streams) -> Outcome {
        if arguments.is_empty() {
            let lines: String =
                self.variables.iter().map(|(name, variable)| format!("{name}={}\n", variable.value)).collect();
            io.stdout.write(lines.as_bytes()).await?;
        }
        for (number, argument) in arguments.iter().enumerate() {
            let on = argument.starts_with('-');
            if argument == "--" || !(on || argument.starts_with('+')) {
                let from = number + usize::from(argument == "--");
                self.arguments.truncate(1);
                self.arguments.extend_from_slice(&arguments[from..]);
                break;
            }
            for letter in argument[1..].chars() {
                match letter {
                    'e' => self.exit_on_error = on,
                    'x' => self.trace = on,
                    _ => {}
                }
            }
        }
        Ok(0)
    }
    async fn read(&mut self, arguments: &[String], io: &Streams) -> Outcome {
        let mut names: Vec<&str> = Vec::new();
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-p" => {
                    if let Some(prompt) = words.next() {
                        io.stderr.write(prompt.as_bytes()).await?;
                    }
                }
                option if option.starts_with('-') => {}
                name => names.push(name),
            }
        }
        let Some(line) = io.stdin.read_line().await else { return Ok(1) };
        let names = if names.is_empty() { vec!["REPLY"] } else { names };
        let mut rest = line.trim();
        for (number, name) in names.iter().enumerate() {
            if number + 1 == names.len() {
                self.set(name, rest, false);
            } else {
                let (value, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                self.set(name, value, false);
                rest = after.trim_start();
            }
        }
        Ok(0)
    }
    async fn find(&mut self, argv: &[String], io: &Streams) -> Outcome {
        let short = argv[0] == "command";
        let names: Vec<String> = argv[1..].iter().filter(|name| !name.starts_with('-')).cloned().collect();
        if short && !argv.iter().any(|word| word == "-v") {
            return if names.is_empty() { Ok(0) } else { Box::pin(self.run_found(&names, io)).await };
        }
        let mut status = 0;
        for name in names {
            let line = if self.functions.contains_key(&name) {
                if short { name } else { format!("{name} is a function") }
            } else if is_builtin(&name) {
                if short { name } else { format!("{name} is a shell builtin") }
            } else if let Some(path) = self.search(&name) {
                if short { path } else { format!("{name} is {path}") }
            } else {
                status = 1;
                if !short {
                    self.complain(io, &format!("type: {name}: not found")).await?;
                }
                continue;
            };
            io.stdout.write(format!("{line}\n").as_bytes()).await?;
        }
        Ok(status)
    }
    async fn run_found(&mut self, argv: &[String], io: &Streams) -> Outcome {
        if is_builtin(&argv[0]) {
            return self.run_builtin(argv, io).await;
        }
        let words = argv.iter().map(|word| vec![super::syntax::Piece::Quoted(word.clone())]).collect();
        let command = super::syntax::Command::Simple { assignments: Vec::new(), words };
        self.stage(&super::syntax::Stage { command, redirects: Vec::new() }, io).await
    }
    fn search(&self, name: &str) -> Option<String> {
        find_executable(&self.process.space.view, &[name.to_owned()], &self.environment(), &self.cwd).ok()?;
        if name.contains('/') {
            return Some(name.to_owned());
        }
        let path = self.get("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin");
        path.split(':').map(|directory| format!("{directory}/{name}")).find(|path| self.process.space.view.exists(path))
    }
    async fn wait(&mut self, pid: Option<&str>, io: &Streams) -> Outcome {
        let jobs: Vec<u32> = match pid.and_then(|pid| pid.parse().ok()) {
            Some(pid) => vec![pid],
            None => self.jobs.drain(..).map(|(pid, _)| pid).collect(),
        };
        let mut status = 0;
        for pid in jobs {
            let Some(job) = self.process.space.process(pid) else { continue };
            let process = self.process.clone();
            let exit = Box::pin(job.exit());
            let signal = Box::pin(process.next_signal());
            match select(exit, signal).await {
                Either::Left((exit, _)) => status = exit.code,
                Either::Right((number, _)) => {
                    if let Some(text) = self.traps.get(&number).cloned() {
                        self.status = 128 + number;
                        Box::pin(self.program(&text, io)).await?;
                    }
                    return Ok(128 + number);
                }
            }
        }
        Ok(status)
    }
    async fn kill(&mut self, arguments: &[String], io: &Streams) -> Outcome {
        let mut number = signal::TERM;
        let mut status = 0;
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let name =
                if word == "-s" || word == "-n" { words.next().map(String::as_str) } else { word.strip_prefix('-') };
            if let Some(name) = name {
                match signal::parse(name) {
                    Some(parsed) => number = parsed,
                    None => {
                        self.complain(io, &format!("kill: {name}: invalid signal specification")).await?;
                        return Ok(1);
                    }
                }
                continue;
            }
            let jobs = self.running_jobs();
            let pid = match word.strip_prefix('%') {
                Some(job) => job.parse::<usize>().ok().and_then(|job| jobs.get(job.wrapping_sub(1))).map(|job| job.0),
                None => word.parse().ok(),
            };
            match pid.and_then(|pid| self.process.space.process(pid)) {
                // A namespace's first process is protected from its own kind, even from SIGKILL.
                Some(process) if process.pid == 1 && process.space.is_container() && number == signal::KILL => {}
                Some(process) => process.signal(number),
                None => {
                    self.complain(io, &format!("kill: ({word}) - No such process")).await?;
                    status = 1;
                }
            }
        }
        Ok(status)
    }
}
