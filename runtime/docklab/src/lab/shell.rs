//! A shell on a terminal, driven line by line.

use std::{io, path::PathBuf, time::Duration};

use tokio::time::timeout;

use crate::{
    pty::{Pty, PtyCommand},
    session::Node,
};

/// Frames the exit status that the shell prints whenever it would show its prompt (ASCII record separator).
pub(super) const MARK: char = '\u{1e}';
/// Silence after which a program that reads from the terminal is taken to wait for input.
const QUIET: Duration = Duration::from_millis(250);
/// How long a block of commands may take; pulls and builds are long.
const PATIENCE: Duration = Duration::from_secs(180);

pub(super) struct Shell {
    pty: Pty,
    workspace: PathBuf,
    /// Output that has been read and not been taken yet.
    pending: String,
    /// True while a command is in the foreground.
    pub(super) is_busy: bool,
    scripts: u32,
}

impl Shell {
    pub(super) async fn open(node: &Node) -> io::Result<Self> {
        let mut environment = node.environment();
        environment.insert("PS1".to_owned(), String::new());
        environment.insert("PS2".to_owned(), String::new());
        environment.insert("PROMPT_COMMAND".to_owned(), format!("printf '{MARK}%s{MARK}' $?"));
        environment.insert("PAGER".to_owned(), "cat".to_owned());
        let workspace = node.workspace();
        let pty = Pty::spawn(&PtyCommand {
            node,
            program: "bash",
            arguments: &["--noprofile", "--norc", "--noediting", "-i"],
            environment: &environment,
            directory: &workspace,
            size: (24, 160),
            echo: false,
        })?;
        let mut shell = Self { pty, workspace, pending: String::new(), is_busy: true, scripts: 0 };
        shell.until_prompt().await?;
        Ok(shell)
    }

    /// Runs commands to their end.
    pub(super) async fn run(&mut self, text: &str) -> io::Result<(String, i32)> {
        self.start(text).await?;
        self.until_prompt().await
    }

    /// Starts commands and returns once something was printed, or with the exit status if they ended at once.
    pub(super) async fn keep(&mut self, text: &str) -> io::Result<(String, Option<i32>)> {
        self.start(text).await?;
        while self.pending.is_empty() {
            self.read_more(PATIENCE).await?;
        }
        // What is drawn comes in pieces; a prompt after it says that the command has ended after all.
        while marks(&self.pending).is_none() && self.read_more(QUIET).await? {}
        match self.take_ended() {
            Some((output, status)) => Ok((output, Some(status))),
            None => Ok((plain(&self.pending), None)),
        }
    }

    /// Presses Ctrl-C and waits for the prompt.
    pub(super) async fn interrupt(&mut self) -> io::Result<(String, i32)> {
        self.pty.write(b"\x03").await?;
        self.until_prompt().await
    }

    /// Types line after line into whatever reads the terminal.
    pub(super) async fn interact(&mut self, text: &str) -> io::Result<(String, i32)> {
        let mut output = String::new();
        let mut status = 0;
        let mut lines = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(ToOwned::to_owned)
            .collect::<Vec<_>>()
            .into_iter()
            .peekable();
        while let Some(line) = lines.next() {
            self.is_busy = true;
            self.pty.write(format!("{line}\n").as_bytes()).await?;
            if lines.peek().is_none() {
                let (last, code) = self.until_prompt().await?;
                return Ok((output + &last, code));
            }
            while self.pending.is_empty() {
                self.read_more(PATIENCE).await?;
            }
            while self.read_more(QUIET).await? {}
            if let Some((ended, code)) = self.take_ended() {
                output.push_str(&ended);
                status = code;
            }
        }
        Ok((output, status))
    }

    /// Runs the text as a script in this very shell, so that variables and the directory stay.
    async fn start(&mut self, text: &str) -> io::Result<()> {
        self.scripts += 1;
        let script = self.workspace.with_file_name(format!("block-{}.sh", self.scripts));
        tokio::fs::write(&script, format!("{text}\n")).await?;
        self.is_busy = true;
        self.pty.write(format!(". '{}'\n", script.display()).as_bytes()).await
    }

    async fn until_prompt(&mut self) -> io::Result<(String, i32)> {
        loop {
            if let Some(ended) = self.take_ended() {
                return Ok(ended);
            }
            if !self.read_more(PATIENCE).await? {
                let so_far = plain(&self.pending);
                return Err(io::Error::other(format!(
                    "the commands did not end within {} seconds; so far they printed:\n{so_far}",
                    PATIENCE.as_secs()
                )));
            }
        }
    }

    fn take_ended(&mut self) -> Option<(String, i32)> {
        let ended = take_ended(&mut self.pending)?;
        self.is_busy = false;
        Some(ended)
    }

    /// False when nothing came in time.
    async fn read_more(&mut self, patience: Duration) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        match timeout(patience, self.pty.read(&mut buffer)).await {
            Err(_) => Ok(false),
            Ok(Ok(0)) => {
                let printed = plain(&self.pending);
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{printed}\nthe shell has ended")))
            }
            Ok(Ok(count)) => {
                self.pending.push_str(&String::from_utf8_lossy(&buffer[..count]));
                Ok(true)
            }
            Ok(Err(error)) => Err(error),
        }
    }
}

/// Where the framed exit status stands in what a shell has printed, once it has come.
pub(super) fn marks(pending: &str) -> Option<(usize, usize)> {
    let start = pending.find(MARK)?;
    let end = start + 1 + pending[start + 1..].find(MARK)?;
    Some((start, end))
}

/// Takes the output of commands that have ended, and their exit status, off what a shell has printed.
pub(super) fn take_ended(pending: &mut String) -> Option<(String, i32)> {
    let (start, end) = marks(pending)?;
    let status = pending[start + 1..end].parse().unwrap_or(-1);
    let output = plain(&pending[..start]);
    pending.drain(..=end);
    Some((output, status))
}

/// Text without control sequences (ECMA-48 CSI, OSC and two-character escapes) and carriage returns.
pub(super) fn plain(text: &str) -> String {
    let mut output = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => match letters.next() {
                Some('[') => {
                    letters.by_ref().find(|end| ('\u{40}'..='\u{7e}').contains(end));
                }
                Some(']') => {
                    letters.by_ref().find(|end| *end == '\u{7}' || *end == '\\');
                }
                _ => {}
            },
            '\r' | '\u{7}' | '\u{8}' => {}
            other => output.push(other),
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn control_sequences_are_not_output() {
        assert_eq!(plain("\u{1b}[?2004hroot@a:/# ls\r\n\u{1b}[1;34metc\u{1b}[0m\r\n"), "root@a:/# ls\netc\n");
    }
}
