//! Values that one block prints and later blocks use: a swarm's token travels from node to node this way.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::document::Commands;

/// What has been captured while a scenario was played.
#[derive(Debug, Default)]
pub struct Captured(Mutex<BTreeMap<String, String>>);

impl Captured {
    /// Keeps the last line that is not empty, if the block asks for it.
    pub fn keep(&self, commands: &Commands, output: &str) {
        let last = output.lines().rev().map(str::trim).find(|line| !line.is_empty());
        if let (Some(name), Some(value)) = (&commands.capture, last) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), value.to_owned());
        }
    }

    /// The commands with `$NAME` replaced by what was captured under it. A longer name is not touched.
    pub fn fill(&self, commands: &Commands) -> Commands {
        let captured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut filled = commands.clone();
        for (name, value) in captured.iter() {
            let mut text = String::new();
            let mut rest = filled.text.as_str();
            let pattern = format!("${name}");
            while let Some(at) = rest.find(&pattern) {
                let (before, found) = rest.split_at(at);
                let after = &found[pattern.len()..];
                text.push_str(before);
                let continues = after.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_');
                text.push_str(if continues { &pattern } else { value });
                rest = after;
            }
            text.push_str(rest);
            filled.text = text;
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::Captured;
    use crate::{Commands, Mode, Span};

    fn commands(text: &str, capture: Option<&str>) -> Commands {
        Commands {
            node: None,
            mode: Mode::Wait,
            text: text.to_owned(),
            capture: capture.map(str::to_owned),
            span: Span::new(0, 0),
        }
    }

    #[test]
    fn the_last_line_is_kept_and_only_the_whole_name_is_filled_in() {
        let captured = Captured::default();
        captured.keep(&commands("docker swarm join-token -q worker", Some("TOKEN")), "warning\nSWMTKN-1-a\n\n");
        let filled = captured.fill(&commands("join --token $TOKEN $TOKENS", None));
        assert_eq!(filled.text, "join --token SWMTKN-1-a $TOKENS");
    }

    #[test]
    fn a_block_without_a_name_keeps_nothing() {
        let captured = Captured::default();
        captured.keep(&commands("echo a", None), "a\n");
        assert_eq!(captured.fill(&commands("echo $TOKEN", None)).text, "echo $TOKEN");
    }
}
