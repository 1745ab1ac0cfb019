//! Reading command lines from a terminal: editing, history, completion.

use std::sync::Arc;

use super::{
    evaluate::{Flow, Shell},
    parser::{self, ParseError},
};
use crate::{
    fs::join,
    process::{Closed, Streams, Tty, signal},
};

enum Line {
    Text(String),
    Interrupted,
    EndOfFile,
}

/// The loop of an interactive shell.
pub(super) async fn interact(mut shell: Shell, io: Streams) -> Result<i32, Closed> {
    let Some(tty) = io.tty.clone() else { return Ok(1) };
    shell.process.ignore(&[signal::TERM, signal::QUIT]);
    shell.process.handle(&[signal::INT]);
    let mut pending = String::new();
    loop {
        let prompt = if pending.is_empty() { prompt(&shell) } else { "> ".to_owned() };
        match read_line(&mut shell, &tty, &prompt).await {
            Line::EndOfFile if pending.is_empty() => {
                tty.write_raw(if shell.name == "bash" { b"exit\r\n" } else { b"\r\n" });
                break;
            }
            Line::EndOfFile | Line::Interrupted => {
                pending.clear();
                shell.status = 130;
                continue;
            }
            Line::Text(line) => {
                if !pending.is_empty() {
                    pending.push('\n');
                }
                pending += &line;
            }
        }
        let list = match parser::parse(&pending) {
            Err(ParseError::Incomplete) if !pending.trim().is_empty() => continue,
            Err(ParseError::Unexpected(token)) => {
                let message = format!("{}: syntax error near unexpected token `{token}'\n", shell.name);
                io.stderr.write(message.as_bytes()).await?;
                remember(&mut shell, &mut pending);
                shell.status = 2;
                continue;
            }
            Err(ParseError::Incomplete) => Vec::new(),
            Ok(list) => list,
        };
        remember(&mut shell, &mut pending);
        let outcome = shell.list(&list, &io).await;
        while shell.process.take_signal().is_some() {}
        match outcome {
            Ok(_) | Err(Flow::Break(_) | Flow::Continue(_) | Flow::Return(_) | Flow::Closed) => {}
            Err(Flow::Exit(code)) => {
                shell.status = code;
                break;
            }
        }
    }
    let code = shell.status;
    shell.exit_trap(&io, code).await
}

fn remember(shell: &mut Shell, line: &mut String) {
    let line = std::mem::take(line);
    if !line.trim().is_empty() && shell.history.last() != Some(&line) {
        shell.history.push(line);
    }
}

/// PS1, or what the shell has by default.
fn prompt(shell: &Shell) -> String {
    let default = if shell.name == "bash" { "\\u@\\h:\\w\\$ " } else { "\\w \\$ " };
    let pattern = shell.get("PS1").unwrap_or(default);
    let home = shell.get("HOME").unwrap_or("/root");
    let cwd = match shell.cwd.strip_prefix(home) {
        Some(rest) if home != "/" && (rest.is_empty() || rest.starts_with('/')) => format!("~{rest}"),
        _ => shell.cwd.clone(),
    };
    let sign = if shell.user.uid == 0 { "#" } else { "$" };
    pattern
        .replace("\\u", &shell.user.name)
        .replace("\\h", &shell.process.space.hostname())
        .replace("\\w", &cwd)
        .replace("\\$", sign)
        .replace("$?", &shell.status.to_string())
        .replace("\\[", "")
        .replace("\\]", "")
        .replace("\\e", "\x1b")
}

struct Editor {
    text: Vec<char>,
    at: usize,
    cut: Vec<char>,
}

impl Editor {
    fn set(&mut self, text: &str) {
        self.text = text.chars().collect();
        self.at = self.text.len();
    }
    fn remove(&mut self, from: usize, to: usize) {
        self.cut = self.text.drain(from..to).collect();
        self.at = from;
    }
    fn word_start(&self) -> usize {
        let mut at = self.at;
        while at > 0 && self.text[at - 1] == ' ' {
            at -= 1;
        }
        while at > 0 && self.text[at - 1] != ' ' {
            at -= 1;
        }
        at
    }
    fn line(&self) -> String {
        self.text.iter().collect()
    }
    fn draw(&self, tty: &Tty, prompt: &str) {
        let back = self.text.len() - self.at;
        let move_back = if back > 0 { format!("\x1b[{back}D") } else { String::new() };
        tty.write_raw(format!("\r\x1b[K{prompt}{}{move_back}", self.line()).as_bytes());
    }
}

async fn read_line(shell: &mut Shell, tty: &Arc<Tty>, prompt: &str) -> Line {
    let before = tty.set_raw(true);
    tty.write_raw(prompt.as_bytes());
    let line = edit(shell, tty, prompt).await;
    tty.set_raw(before);
    line
}

async fn edit(shell: &mut Shell, tty: &Arc<Tty>, prompt: &str) -> Line {
    let mut editor = Editor { text: Vec::new(), at: 0, cut: Vec::new() };
    let mut history = shell.history.len();
    let mut escape: Option<String> = None;
    let mut partial: Vec<u8> = Vec::new();
    loop {
        let Some(bytes) = tty.read().await else { return Line::EndOfFile };
        for (number, &byte) in bytes.iter().enumerate() {
            if let Some(sequence) = &mut escape {
                sequence.push(char::from(byte));
                if sequence == "[" || sequence == "O" || byte.is_ascii_digit() || byte == b';' {
                    continue;
                }
                let sequence = escape.take().unwrap_or_default();
                match &sequence[1..] {
                    "A" | "B" => {
                        let next = if sequence.ends_with('A') { history.saturating_sub(1) } else { history + 1 };
                        history = next.min(shell.history.len());
                        editor.set(shell.history.get(history).map_or("", String::as_str));
                    }
                    "C" => editor.at = (editor.at + 1).min(editor.text.len()),
                    "D" => editor.at = editor.at.saturating_sub(1),
                    "H" | "1~" => editor.at = 0,
                    "F" | "4~" => editor.at = editor.text.len(),
                    "3~" if editor.at < editor.text.len() => {
                        editor.text.remove(editor.at);
                    }
                    _ => continue,
                }
                editor.draw(tty, prompt);
                continue;
            }
            let length = editor.text.len();
            match byte {
                b'\r' | b'\n' => {
                    tty.write_raw(b"\r\n");
                    // What was typed ahead belongs to the command, or to the next line.
                    tty.unread(&bytes[number + 1..]);
                    return Line::Text(editor.line());
                }
                3 => {
                    tty.write_raw(b"^C\r\n");
                    return Line::Interrupted;
                }
                4 if length == 0 => return Line::EndOfFile,
                4 if editor.at < length => {
                    editor.text.remove(editor.at);
                }
                1 => editor.at = 0,
                5 => editor.at = length,
                2 => editor.at = editor.at.saturating_sub(1),
                6 => editor.at = (editor.at + 1).min(length),
                8 | 127 if editor.at > 0 => {
                    editor.at -= 1;
                    editor.text.remove(editor.at);
                }
                9 => complete(shell, tty, &mut editor).await,
                11 => {
                    let at = editor.at;
                    editor.remove(at, length);
                }
                21 => {
                    let at = editor.at;
                    editor.remove(0, at);
                }
                23 => {
                    let (from, to) = (editor.word_start(), editor.at);
                    editor.remove(from, to);
                }
                25 => {
                    let at = editor.at;
                    let cut = editor.cut.clone();
                    editor.at += cut.len();
                    editor.text.splice(at..at, cut);
                }
                12 => tty.write_raw(b"\x1b[H\x1b[2J"),
                27 => {
                    escape = Some(String::new());
                    continue;
                }
                byte if byte >= 32 => {
                    partial.push(byte);
                    let Ok(text) = std::str::from_utf8(&partial) else {
                        if partial.len() > 4 {
                            partial.clear();
                        }
                        continue;
                    };
                    let text: Vec<char> = text.chars().collect();
                    partial.clear();
                    let at_end = editor.at == length;
                    let at = editor.at;
                    editor.at += text.len();
                    editor.text.splice(at..at, text.iter().copied());
                    if at_end {
                        tty.write_raw(text.iter().collect::<String>().as_bytes());
                        continue;
                    }
                }
                _ => continue,
            }
            editor.draw(tty, prompt);
        }
    }
}

async fn complete(shell: &Shell, tty: &Tty, editor: &mut Editor) {
    let line: String = editor.text[..editor.at].iter().collect();
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    if line.is_empty() || line.ends_with(' ') {
        words.push(String::new());
    }
    let Some(last) = words.last().cloned() else { return };
    let mut choices = Vec::new();
    let node = shell.process.space.node.upgrade().filter(|_| !shell.process.space.is_container());
    if words.len() > 1
        && let Some(command) = node.and_then(|node| node.command(&words[0]))
    {
        choices = command.complete(&words).await;
    }
    if words.len() == 1 && !last.contains('/') {
        for directory in shell.get("PATH").unwrap_or_default().split(':') {
            choices.extend(shell.process.space.view.list(directory).unwrap_or_default());
        }
    } else if choices.is_empty() {
        let (directory, _) = last.rsplit_once('/').map_or(("", last.as_str()), |(d, rest)| (&last[..=d.len()], rest));
        let path = join(&shell.cwd, directory);
        for name in shell.process.space.view.list(&path).unwrap_or_default() {
            let slash = if shell.process.space.view.is_directory(&join(&path, &name)) { "/" } else { "" };
            choices.push(format!("{directory}{name}{slash}"));
        }
    }
    choices.retain(|choice| choice.starts_with(&last));
    choices.sort();
    choices.dedup();
    let Some(first) = choices.first() else { return };
    let common = choices.iter().fold(first.clone(), |common, choice| {
        common.chars().zip(choice.chars()).take_while(|(one, other)| one == other).map(|(c, _)| c).collect()
    });
    let mut added: Vec<char> = common.chars().skip(last.chars().count()).collect();
    if choices.len() == 1 && !common.ends_with('/') {
        added.push(' ');
    } else if choices.len() > 1 && added.is_empty() {
        tty.write_raw(format!("\r\n{}\r\n", choices.join("  ")).as_bytes());
    }
    let at = editor.at;
    editor.at += added.len();
    editor.text.splice(at..at, added);
}
