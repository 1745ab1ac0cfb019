//! What a shell tells beside its output, in operating system commands (ECMA-48 OSC) that the terminal never sees: a command
//! begins, it ends, the student calls `docklab`.

use docklab_scenario::TypedCommand;

/// Opens a message of ours; BEL ends it.
const START: &str = "\u{1b}]7733;";
const END: char = '\u{7}';

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The command line, as `history` numbers it.
    Begin(String),
    /// The exit code of the command that has ended.
    End(i32),
    /// `docklab` with these arguments; the shell waits for a line with the exit code.
    Call(Vec<String>),
}

/// What a bash needs in its environment to send the messages.
pub(super) fn environment() -> Vec<(&'static str, String)> {
    vec![
        ("PS0", "\\e]7733;B;$(HISTTIMEFORMAT= history 1 | base64 -w0)\\a".to_owned()),
        ("PROMPT_COMMAND", "printf '\\033]7733;E;%s\\007' \"$?\"".to_owned()),
        (
            "BASH_FUNC_docklab%%",
            "() { printf '\\033]7733;C;%s\\007' \"$(printf '%s\\n' \"$@\" | base64 -w0)\"; local code; read -rs code; return \"$code\"; }"
                .to_owned(),
        ),
    ]
}

/// Takes messages out of a shell's output.
#[derive(Debug, Default)]
pub(super) struct Filter {
    /// The beginning of a message whose rest has not come.
    pending: String,
}

impl Filter {
    /// What is for the terminal, and the messages, in their order.
    pub(super) fn take(&mut self, output: &str) -> Vec<Piece> {
        self.pending.push_str(output);
        let mut pieces = Vec::new();
        while let Some(start) = self.pending.find(START) {
            let Some(end) = self.pending[start..].find(END).map(|end| start + end) else {
                push_text(&mut pieces, &self.pending[..start]);
                self.pending.drain(..start);
                return pieces;
            };
            push_text(&mut pieces, &self.pending[..start]);
            if let Some(message) = read(&self.pending[start + START.len()..end]) {
                pieces.push(Piece::Message(message));
            }
            self.pending.drain(..=end);
        }
        // The end may be the beginning of a message.
        let kept = (1..START.len().min(self.pending.len() + 1))
            .rev()
            .find(|length| self.pending.ends_with(&START[..*length]))
            .unwrap_or(0);
        let shown = self.pending.len() - kept;
        push_text(&mut pieces, &self.pending[..shown]);
        self.pending.drain(..shown);
        pieces
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Message(Message),
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

fn read(message: &str) -> Option<Message> {
    let (kind, rest) = message.split_once(';')?;
    match kind {
        "B" => {
            let line = decoded(rest)?;
            // `  12  docker ps`
            let line = line.trim_start().trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '*');
            Some(Message::Begin(line.trim().to_owned()))
        }
        "E" => rest.parse().ok().map(Message::End),
        "C" => Some(Message::Call(decoded(rest)?.lines().map(str::to_owned).collect())),
        _ => None,
    }
}

fn decoded(text: &str) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Puts a shell's commands together, with what is typed into them.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    running: Option<TypedCommand>,
    line: String,
    is_in_escape: bool,
}

impl Recorder {
    pub(super) fn begin(&mut self, line: String, node: &str, step: &str, at: u64) {
        self.line.clear();
        self.running =
            Some(TypedCommand { step: step.to_owned(), node: node.to_owned(), at, line, ..TypedCommand::default() });
    }

    /// The command that has ended, if it is one to keep.
    pub(super) fn end(&mut self, exit: i32, at: u64) -> Option<TypedCommand> {
        let mut command = self.running.take()?;
        command.exit = Some(exit);
        command.ended = Some(at);
        is_to_keep(&command).then_some(command)
    }

    /// The command that still runs when the shell goes away.
    pub(super) fn abandon(&mut self) -> Option<TypedCommand> {
        self.running.take().filter(is_to_keep)
    }

    /// What the student types. `is_secret` while the terminal hides it.
    pub(super) fn typed(&mut self, text: &str, is_secret: bool) {
        let Some(command) = &mut self.running else { return };
        for letter in text.chars() {
            if self.is_in_escape {
                self.is_in_escape = !(letter.is_ascii_alphabetic() || letter == '~');
                continue;
            }
            match letter {
                '\r' | '\n' => {
                    let line = std::mem::take(&mut self.line);
                    if !is_secret && !line.trim().is_empty() {
                        command.inner.push(line);
                    }
                }
                '\u{3}' => {
                    command.interrupted = true;
                    self.line.clear();
                }
                '\u{4}' if self.line.is_empty() => command.inner.push("exit".to_owned()),
                '\u{7f}' | '\u{8}' => {
                    self.line.pop();
                }
                '\u{15}' => self.line.clear(),
                '\u{1b}' => self.is_in_escape = true,
                letter if letter.is_control() => {}
                letter => self.line.push(letter),
            }
        }
    }
}

fn is_to_keep(command: &TypedCommand) -> bool {
    let words: Vec<&str> = command.line.split_whitespace().take(2).collect();
    !matches!(words.as_slice(), [] | ["docklab", ..] | ["docker", "login"] | ["exit" | "clear" | "logout", ..])
}

#[cfg(test)]
mod tests {
    use super::{Filter, Message, Piece, Recorder};

    #[test]
    fn messages_are_taken_out_even_in_pieces() {
        let mut filter = Filter::default();
        // base64 of "   12  docker ps\n"
        let output = "a\u{1b}]7733;B;ICAgMTIgIGRvY2tlciBwcwo=\u{7}b\u{1b}[1mc\u{1b}]7733;E;0\u{7}";
        let mut pieces = Vec::new();
        for letter in output.chars() {
            pieces.extend(filter.take(&letter.to_string()));
        }
        let text: String = pieces
            .iter()
            .filter_map(|piece| if let Piece::Text(text) = piece { Some(text.as_str()) } else { None })
            .collect();
        assert_eq!(text, "ab\u{1b}[1mc");
        let messages: Vec<&Piece> = pieces.iter().filter(|piece| matches!(piece, Piece::Message(_))).collect();
        assert_eq!(
            messages,
            [&Piece::Message(Message::Begin("docker ps".to_owned())), &Piece::Message(Message::End(0))]
        );
    }

    #[test]
    fn what_is_typed_into_a_command_belongs_to_it() {
        let mut recorder = Recorder::default();
        recorder.typed("docker ps\r", false);
        recorder.begin("docker exec -it a bash".to_owned(), "node1", "s", 5);
        recorder.typed("touhc\u{7f}\u{7f}ch /x\r\u{1b}[Als\r", false);
        recorder.typed("password\r", true);
        recorder.typed("exit\r", false);
        let command = recorder.end(0, 9).unwrap();
        assert_eq!(command.inner, ["touch /x", "ls", "exit"]);
        assert!(command.ended == Some(9) && !command.interrupted);
        assert!(recorder.end(0, 9).is_none());
    }

    #[test]
    fn logins_and_our_own_commands_are_not_kept() {
        for line in ["docker login -u me", "docklab check", "exit", ""] {
            let mut recorder = Recorder::default();
            recorder.begin(line.to_owned(), "node1", "s", 5);
            assert!(recorder.end(0, 6).is_none(), "{line}");
        }
    }
}
