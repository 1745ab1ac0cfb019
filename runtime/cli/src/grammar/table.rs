use std::{collections::HashMap, sync::LazyLock};

/// How many positional arguments a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arity {
    pub least: usize,
    pub most: usize,
}

/// One flag of a command.
#[derive(Debug)]
pub(crate) struct FlagSpec {
    pub short: Option<char>,
    pub name: &'static str,
    /// `bool`, `string`, `list`, `int`, `duration`, `bytes`, …: Docker's own word for the value.
    pub kind: &'static str,
    /// Help text; further lines follow after a line break.
    pub text: String,
    /// Works, but no help shows it.
    pub is_hidden: bool,
}

impl FlagSpec {
    /// Only an engine on Windows has it. (The credential specification says so too, but is accepted everywhere.)
    pub(crate) fn is_for_windows(&self) -> bool {
        self.text.ends_with("(Windows only)") && self.name != "credential-spec"
    }
    pub(crate) fn is_boolean(&self) -> bool {
        self.kind == "bool"
    }
}

/// One subcommand as a group lists it.
#[derive(Debug)]
pub(crate) struct SubCommand {
    /// `Common`, `Management`, `Swarm` or `Commands`.
    pub group: &'static str,
    pub name: &'static str,
    pub text: &'static str,
}

/// A command or a group of commands.
#[derive(Debug)]
pub(crate) struct Command {
    /// Canonical path without `docker`: `container ls`; the root is `docker`.
    pub path: &'static str,
    pub aliases: Vec<&'static str>,
    /// What follows the path in the usage line.
    pub usage: &'static str,
    pub about: Vec<&'static str>,
    /// Marked as such in its help.
    pub is_experimental: bool,
    pub arity: Option<Arity>,
    pub subcommands: Vec<SubCommand>,
    pub flags: Vec<FlagSpec>,
}

impl Command {
    pub(crate) fn is_group(&self) -> bool {
        !self.subcommands.is_empty()
    }
    /// After the first positional argument the rest belongs to the container's command.
    pub(crate) fn stops_at_first_argument(&self) -> bool {
        matches!(
            self.path,
            "container run" | "container create" | "container exec" | "container top" | "service create"
        )
    }
    pub(crate) fn flag(&self, name: &str) -> Option<&FlagSpec> {
        self.flags.iter().find(|flag| flag.name == name)
    }
    pub(crate) fn short_flag(&self, letter: char) -> Option<&FlagSpec> {
        self.flags.iter().find(|flag| flag.short == Some(letter))
    }
}

static TABLE: LazyLock<Vec<Command>> = LazyLock::new(|| read(include_str!("commands.txt")));
static INDEX: LazyLock<HashMap<&'static str, usize>> = LazyLock::new(|| {
    let mut index = HashMap::new();
    for (position, command) in TABLE.iter().enumerate() {
        index.insert(command.path, position);
        for alias in &command.aliases {
            index.insert(alias, position);
        }
    }
    index
});

/// Every command.
pub(crate) fn commands() -> &'static [Command] {
    &TABLE
}

/// The command with this path or alias (`ps`, `container ls`, `docker` for the root).
pub(crate) fn find(path: &str) -> Option<&'static Command> {
    INDEX.get(path).and_then(|position| TABLE.get(*position))
}

fn read(text: &'static str) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("command ") {
            commands.push(Command {
                path,
                aliases: Vec::new(),
                usage: "",
                about: Vec::new(),
                is_experimental: false,
                arity: None,
                subcommands: Vec::new(),
                flags: Vec::new(),
            });
            continue;
        }
        let Some(command) = commands.last_mut() else { continue };
        let line = line.trim_start();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "alias" => command.aliases = rest.split(", ").collect(),
            "usage" => command.usage = rest,
            "about" => command.about.push(rest),
            "experimental" => command.is_experimental = true,
            "arguments" => command.arity = arity(rest),
            "sub" => {
                let mut parts = rest.splitn(3, ' ');
                if let (Some(group), Some(name), Some(text)) = (parts.next(), parts.next(), parts.next()) {
                    command.subcommands.push(SubCommand { group, name, text });
                }
            }
            "flag" | "hidden" => {
                let mut parts = rest.splitn(4, ' ');
                if let (Some(short), Some(name), Some(kind)) = (parts.next(), parts.next(), parts.next()) {
                    let short = short.chars().next().filter(|letter| *letter != '-');
                    let text = parts.next().unwrap_or_default().to_owned();
                    command.flags.push(FlagSpec { short, name, kind, text, is_hidden: word == "hidden" });
                }
            }
            "more" => {
                if let Some(flag) = command.flags.last_mut() {
                    flag.text.push('\n');
                    flag.text.push_str(rest);
                }
            }
            _ => {}
        }
    }
    commands
}

fn arity(rule: &str) -> Option<Arity> {
    let numbers: Vec<usize> = rule.split(' ').filter_map(|word| word.parse().ok()).collect();
    let first = numbers.first().copied();
    if rule.starts_with("no ") {
        Some(Arity { least: 0, most: 0 })
    } else if rule.contains("at least") && rule.contains("at most") {
        Some(Arity { least: first?, most: numbers.get(1).copied()? })
    } else if rule.contains("at least") {
        Some(Arity { least: first?, most: usize::MAX })
    } else if rule.contains("at most") {
        Some(Arity { least: 0, most: first? })
    } else {
        first.map(|count| Arity { least: count, most: count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_lead_to_one_command() {
        for alias in ["ps", "container ls", "container ps", "container list"] {
            assert_eq!(find(alias).map(|command| command.path), Some("container ls"), "{alias}");
        }
        assert!(find("container frob").is_none());
    }

    #[test]
    fn every_subcommand_that_is_listed_exists() {
        for command in commands() {
            for sub in &command.subcommands {
                let path = if command.path == "docker" {
                    sub.name.to_owned()
                } else {
                    format!("{} {}", command.path, sub.name)
                };
                assert!(find(&path).is_some(), "{path}");
            }
        }
    }
}
