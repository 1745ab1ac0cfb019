//! Transcripts: the commands, and what came back.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::progress;

use anyhow::{Context as _, Result, bail};

use super::{
    machine::{Client, Machine},
    normalise::normalise,
};

/// No step of a transcript takes longer, unless an engine hangs.
const LIMIT_SECONDS: &str = "20";

/// A step that takes longer is named while the transcript plays.
const SLOW: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// `$ COMMAND`
    Command(String),
    /// `@file PATH`, its lines, `@end`
    File { path: String, content: String },
    /// `@registry ADDRESS [HTPASSWD]`: a registry of ours in the machine's network, for the rest of the transcript. With
    /// the name of a file of passwords it asks for a login.
    Registry { address: String, passwords: Option<String> },
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Transcript {
    steps: Vec<Step>,
}

/// What one command answered, normalised.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) command: String,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) exit: i32,
}

impl Transcript {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("reading {}", file.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut steps = Vec::new();
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step::Command(command.to_owned()));
            } else if let Some(path) = line.strip_prefix("@file ") {
                let mut content = String::new();
                loop {
                    match lines.next() {
                        Some((_, "@end")) => break,
                        Some((_, line)) => content.extend([line, "\n"]),
                        None => bail!("line {}: `@file` without `@end`", number + 1),
                    }
                }
                steps.push(Step::File { path: path.to_owned(), content });
            } else if let Some(words) = line.strip_prefix("@registry ") {
                let (address, passwords) =
                    words.split_once(' ').map_or((words, None), |(a, p)| (a, Some(p.to_owned())));
                steps.push(Step::Registry { address: address.to_owned(), passwords });
            } else if !line.is_empty() && !line.starts_with('#') {
                bail!(
                    "line {}: expected `$ COMMAND`, `@file PATH`, `@registry ADDRESS` or `# REMARK`: {line}",
                    number + 1
                );
            }
        }
        Ok(Self { steps })
    }

    /// Plays all commands in one new directory, one after another.
    pub(super) fn play(&self, machine: &Machine, client: &Client, docklab: &Path) -> Result<Vec<Answer>> {
        let directory = tempfile::tempdir().context("making a directory for a transcript")?;
        let mut answers = Vec::new();
        let mut registries = Vec::new();
        for step in &self.steps {
            match step {
                Step::File { path, content } => {
                    let file = directory.path().join(path);
                    if let Some(parent) = file.parent() {
                        fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
                    }
                    fs::write(&file, content).with_context(|| format!("writing {}", file.display()))?;
                }
                Step::Registry { address, passwords } => {
                    let root = directory.path().join(format!("registry-{}", registries.len()));
                    let mut command = machine.command(&docklab.display().to_string());
                    command.args(["registry", "--listen", address, "--root"]).arg(root);
                    if let Some(passwords) = passwords {
                        command.arg("--htpasswd").arg(directory.path().join(passwords));
                    }
                    registries.push(Registry::start(command)?);
                }
                Step::Command(command) => {
                    let mut shell = machine.command("timeout");
                    shell.args(["--kill-after=2", LIMIT_SECONDS, "bash", "-c", command]).current_dir(directory.path());
                    environment(&mut shell, machine, client, directory.path())?;
                    let started = Instant::now();
                    let output = shell.output().with_context(|| format!("starting `{command}`"))?;
                    if started.elapsed() > SLOW {
                        progress::step(&format!("{:.0} s: {command}", started.elapsed().as_secs_f64()));
                    }
                    answers.push(Answer {
                        command: command.clone(),
                        stdout: normalise(&String::from_utf8_lossy(&output.stdout)),
                        stderr: normalise(&String::from_utf8_lossy(&output.stderr)),
                        exit: output.status.code().unwrap_or(-1),
                    });
                }
            }
        }
        Ok(answers)
    }
}

/// A registry that ends with its transcript.
struct Registry(Child);

impl Registry {
    fn start(mut command: Command) -> Result<Self> {
        let child = command.stdout(Stdio::piped()).spawn().context("starting a registry")?;
        let mut registry = Self(child);
        let mut line = String::new();
        let output = registry.0.stdout.take().context("a registry without output")?;
        BufReader::new(output).read_line(&mut line).context("reading what a registry says")?;
        if !line.contains("listening") {
            bail!("the registry did not start");
        }
        Ok(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn environment(shell: &mut Command, machine: &Machine, client: &Client, directory: &Path) -> Result<()> {
    let bin = machine.directory().join(format!("bin-{}", client.name.replace(' ', "-")));
    if !bin.exists() {
        fs::create_dir_all(&bin).with_context(|| format!("creating {}", bin.display()))?;
        std::os::unix::fs::symlink(&client.program, bin.join("docker")).context("making the docker command")?;
    }
    let path = std::env::var("PATH").unwrap_or_default();
    shell
        .env("PATH", format!("{}:{path}:/usr/sbin:/sbin", bin.display()))
        .env("DOCKER_HOST", machine.host())
        .env("DOCKER_CONFIG", machine.directory().join("config"))
        .env("DOCKER_BUILDKIT", "0")
        .env("DOCKER_CLI_HINTS", "false")
        .env("HOME", directory)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .env_remove("DOCKER_CONTEXT");
    Ok(())
}

/// Answers as they are kept on disk.
pub(super) fn render(answers: &[Answer]) -> String {
    let mut text = String::new();
    for answer in answers {
        text.push_str(&format!("$ {}\n--- stdout\n", answer.command));
        push_block(&mut text, &answer.stdout);
        text.push_str("--- stderr\n");
        push_block(&mut text, &answer.stderr);
        text.push_str(&format!("--- exit {}\n", answer.exit));
    }
    text
}

fn push_block(text: &mut String, block: &str) {
    text.push_str(block);
    if !block.is_empty() && !block.ends_with('\n') {
        text.push('\n');
    }
}

pub(super) fn parse_answers(text: &str) -> Vec<Answer> {
    let mut answers: Vec<Answer> = Vec::new();
    let mut into_stderr = false;
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            answers.push(Answer { command: command.to_owned(), ..Answer::default() });
            continue;
        }
        let Some(answer) = answers.last_mut() else { continue };
        match line {
            "--- stdout" => into_stderr = false,
            "--- stderr" => into_stderr = true,
            _ => {
                if let Some(exit) = line.strip_prefix("--- exit ") {
                    answer.exit = exit.parse().unwrap_or(-1);
                } else {
                    let block = if into_stderr { &mut answer.stderr } else { &mut answer.stdout };
                    block.extend([line, "\n"]);
                }
            }
        }
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_files_are_read_in_order() {
        let transcript = Transcript::parse("# first\n$ docker ps\n@file a/b\nx\n\ny\n@end\n\n$ ls\n").expect("parses");
        assert_eq!(
            transcript.steps,
            [
                Step::Command("docker ps".to_owned()),
                Step::File { path: "a/b".to_owned(), content: "x\n\ny\n".to_owned() },
                Step::Command("ls".to_owned()),
            ]
        );
    }

    #[test]
    fn a_registry_may_ask_for_a_login() {
        let transcript = Transcript::parse("@registry 127.0.0.1:1\n@registry 127.0.0.1:2 users\n").expect("parses");
        let registry = |address: &str, passwords: Option<&str>| Step::Registry {
            address: address.to_owned(),
            passwords: passwords.map(ToOwned::to_owned),
        };
        assert_eq!(transcript.steps, [registry("127.0.0.1:1", None), registry("127.0.0.1:2", Some("users"))]);
    }

    #[test]
    fn a_stray_line_is_refused() {
        let error = Transcript::parse("$ ls\ndocker ps\n").expect_err("the second line is no step");
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn answers_survive_being_kept() {
        let answers = vec![Answer {
            command: "docker ps".to_owned(),
            stdout: "a\n\nb\n".to_owned(),
            stderr: "oh\n".to_owned(),
            exit: 3,
        }];
        assert_eq!(parse_answers(&render(&answers)), answers);
    }
}
