//! What a block of commands prints for later blocks: the token that a swarm prints on one node is typed on another.

use docklab_scenario::{Captured, Commands};

use crate::details::plain;

/// What has been captured, and the terminal in which something is being printed that is to be.
#[derive(Default)]
pub(super) struct Captures {
    values: Captured,
    listening: Option<Listening>,
}

struct Listening {
    terminal: u32,
    commands: Commands,
    /// What the terminal has printed since.
    printed: Vec<u8>,
}

impl Captures {
    /// The commands with what was captured before.
    pub(super) fn fill(&self, commands: &Commands) -> Commands {
        self.values.fill(commands)
    }

    /// These commands have just been typed into a terminal.
    pub(super) fn typed(&mut self, terminal: u32, commands: &Commands) {
        self.interrupted(terminal);
        if commands.capture.is_some() {
            self.listening = Some(Listening { terminal, commands: commands.clone(), printed: Vec::new() });
        }
    }

    /// Somebody types there: what is printed from now on is not the block's.
    pub(super) fn interrupted(&mut self, terminal: u32) {
        if self.listening.as_ref().is_some_and(|listening| listening.terminal == terminal) {
            self.listening = None;
        }
    }

    pub(super) fn printed(&mut self, terminal: u32, bytes: &[u8]) {
        let Some(listening) = self.listening.as_mut().filter(|listening| listening.terminal == terminal) else {
            return;
        };
        listening.printed.extend_from_slice(bytes);
        let text = plain(&String::from_utf8_lossy(&listening.printed));
        // Behind the last line break stands the prompt, or a line that is not complete yet.
        let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
        let is_echo = |line: &str| listening.commands.text.lines().any(|typed| line.ends_with(typed.trim()));
        let output: Vec<&str> = complete.lines().filter(|line| !is_echo(line)).collect();
        self.values.keep(&listening.commands, &output.join("\n"));
    }
}

#[cfg(test)]
mod tests {
    use docklab_scenario::{Mode, Span};

    use super::*;

    fn commands(text: &str, capture: Option<&str>) -> Commands {
        let capture = capture.map(str::to_owned);
        Commands { node: None, mode: Mode::Wait, text: text.into(), capture, span: Span::default() }
    }

    #[test]
    fn what_a_block_prints_is_typed_by_a_later_one() {
        let mut captures = Captures::default();
        let join = commands("docker swarm join --token $TOKEN node1:2377", None);
        captures.typed(1, &commands("docker swarm join-token --quiet worker", Some("TOKEN")));
        captures.printed(2, b"another terminal\r\n");
        captures.printed(1, b"docker swarm join-token --quiet worker\r\n");
        assert_eq!(captures.fill(&join).text, join.text, "an echo is no output");
        captures.printed(1, b"SWMTKN-1-ab");
        captures.printed(1, b"cd\r\n\x1b[32mroot@node1\x1b[0m:~# ");
        assert_eq!(captures.fill(&join).text, "docker swarm join --token SWMTKN-1-abcd node1:2377");
        captures.interrupted(1);
        captures.printed(1, b"ls\r\nfile\r\n");
        assert_eq!(captures.fill(&join).text, "docker swarm join --token SWMTKN-1-abcd node1:2377");
    }
}
