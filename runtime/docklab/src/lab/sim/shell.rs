//! A shell of a simulated node, driven line by line.

use std::{io, time::Duration};

use bytes::Bytes;
use docklab_sim::{NodeShell, World};
use docklab_simulator::SimulatedNode;
use futures::{
    StreamExt as _,
    future::{self, Either},
    stream::BoxStream,
};

use crate::lab::shell::{MARK, marks, plain, take_ended};

/// Silence, in virtual time, after which a program that reads from the terminal is taken to wait for input.
const QUIET: Duration = Duration::from_millis(250);
/// How long a block of commands may take, in virtual time.
const PATIENCE: Duration = Duration::from_secs(180);

pub(super) struct Shell {
    world: World,
    node: SimulatedNode,
    shell: NodeShell,
    output: BoxStream<'static, Bytes>,
    /// Output that has been read and not been taken yet.
    pending: String,
    /// True while a command is in the foreground.
    pub(super) is_busy: bool,
    scripts: u32,
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.shell.close();
    }
}

impl Shell {
    pub(super) async fn open(world: &World, node: &SimulatedNode) -> io::Result<Self> {
        let (shell, output) = NodeShell::open(&node.node, 24, 160).map_err(io::Error::other)?;
        let (world, node) = (world.clone(), node.clone());
        let mut shell = Self { world, node, shell, output, pending: String::new(), is_busy: true, scripts: 0 };
        // Every prompt is the exit status between two marks.
        shell.start(&format!("PS1='{MARK}$?{MARK}' PS2=")).await?;
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
            if !self.read_more(PATIENCE).await? {
                return Err(self.too_slow());
            }
        }
        while marks(&self.pending).is_none() && self.read_more(QUIET).await? {}
        match self.take_ended() {
            Some((output, status)) => Ok((output, Some(status))),
            None => Ok((plain(&self.pending), None)),
        }
    }

    /// Presses Ctrl-C and waits for the prompt.
    pub(super) async fn interrupt(&mut self) -> io::Result<(String, i32)> {
        self.shell.write(b"\x03");
        self.until_prompt().await
    }

    /// Types line after line into whatever reads the terminal.
    pub(super) async fn interact(&mut self, text: &str) -> io::Result<(String, i32)> {
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let mut output = String::new();
        let mut status = 0;
        for (index, line) in lines.iter().enumerate() {
            let is_at_prompt = !self.is_busy;
            self.is_busy = true;
            self.type_line(line, is_at_prompt).await?;
            if index + 1 == lines.len() {
                let (last, code) = self.until_prompt().await?;
                return Ok((output + &last, code));
            }
            while self.pending.is_empty() {
                if !self.read_more(PATIENCE).await? {
                    return Err(self.too_slow());
                }
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
        let script = format!("/tmp/block-{}.sh", self.scripts);
        let written = self.node.node.files().write(&script, format!("{text}\n").as_bytes(), false);
        written.map_err(|error| io::Error::other(error.to_string()))?;
        self.is_busy = true;
        self.type_line(&format!(". {script}"), true).await
    }

    /// Types a line. The shell's prompt echoes it, and that is taken away.
    async fn type_line(&mut self, line: &str, is_echoed: bool) -> io::Result<()> {
        self.shell.write(format!("{line}\n").as_bytes());
        if !is_echoed {
            return Ok(());
        }
        loop {
            if let Some(end) = self.pending.find("\r\n") {
                self.pending.drain(..end + 2);
                return Ok(());
            }
            if !self.read_more(PATIENCE).await? {
                return Err(self.too_slow());
            }
        }
    }

    async fn until_prompt(&mut self) -> io::Result<(String, i32)> {
        // A program that draws for ever, like `top`, is never silent.
        let deadline = self.world.elapsed() + PATIENCE;
        loop {
            if let Some(ended) = self.take_ended() {
                return Ok(ended);
            }
            let left = deadline.saturating_sub(self.world.elapsed());
            if left.is_zero() || !self.read_more(left).await? {
                return Err(self.too_slow());
            }
        }
    }

    fn too_slow(&self) -> io::Error {
        let so_far = plain(&self.pending);
        let seconds = PATIENCE.as_secs();
        io::Error::other(format!(
            "the commands did not end within {seconds} simulated seconds; so far they printed:\n{so_far}"
        ))
    }

    fn take_ended(&mut self) -> Option<(String, i32)> {
        let ended = take_ended(&mut self.pending)?;
        self.is_busy = false;
        Some(ended)
    }

    /// False when nothing came in time.
    async fn read_more(&mut self, patience: Duration) -> io::Result<bool> {
        let exit = Box::pin(self.shell.exit());
        let waiting = future::select(exit, self.world.sleep(patience));
        match future::select(self.output.next(), waiting).await {
            Either::Left((Some(bytes), _)) => {
                self.pending.push_str(&String::from_utf8_lossy(&bytes));
                Ok(true)
            }
            Either::Right((Either::Right(_), _)) => Ok(false),
            Either::Left((None, _)) | Either::Right((Either::Left(_), _)) => {
                let printed = plain(&self.pending);
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{printed}\nthe shell has ended")))
            }
        }
    }
}
