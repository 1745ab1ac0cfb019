use crate::grammar::{Command, commands, find};

/// What may stand at the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completion {
    /// These words.
    Words(Vec<String>),
    /// Names of objects, which the caller asks its engine for.
    Containers,
    Images,
    Networks,
    Volumes,
    Nodes,
    Services,
    Stacks,
    Secrets,
    Configs,
    /// A path of the client's machine.
    Files,
}

/// Candidates for `words[cursor]`, a word of a `docker` command line; `words[0]` is the program.
pub fn complete(words: &[String], cursor: usize) -> Completion {
    let partial = words.get(cursor).map_or("", String::as_str);
    let mut path = String::new();
    let mut command = find("docker");
    for word in words.get(1..cursor).unwrap_or_default().iter().filter(|word| !word.starts_with('-')) {
        let next = if path.is_empty() { word.clone() } else { format!("{path} {word}") };
        let Some(found) = find(&next) else { break };
        path = next;
        command = Some(found);
    }
    let Some(command) = command else { return Completion::Words(Vec::new()) };
    let starting =
        |names: Vec<String>| Completion::Words(names.into_iter().filter(|name| name.starts_with(partial)).collect());
    if partial.starts_with('-') {
        return starting(command.flags.iter().map(|flag| format!("--{}", flag.name)).collect());
    }
    if command.is_group() {
        return starting(command.subcommands.iter().map(|sub| sub.name.to_owned()).collect());
    }
    objects(command)
}

fn objects(command: &Command) -> Completion {
    debug_assert!(commands().iter().any(|known| known.path == command.path));
    match command.path {
        "container run" | "container create" => Completion::Images,
        "container cp" | "image build" | "image import" => Completion::Files,
        path => match path.split(' ').next() {
            Some("container" | "inspect") => Completion::Containers,
            Some("image") => Completion::Images,
            Some("network") => Completion::Networks,
            Some("volume") => Completion::Volumes,
            Some("node") => Completion::Nodes,
            Some("service") => Completion::Services,
            Some("stack") => Completion::Stacks,
            Some("secret") => Completion::Secrets,
            Some("config") => Completion::Configs,
            _ => Completion::Words(Vec::new()),
        },
    }
}
