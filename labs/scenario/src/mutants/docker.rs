//! Slips in a `docker` command line: a wrong name, port, image or number, an option that was left out.

use std::ops::Range;

use super::{MutantKind, shell};

/// A changed command: what stands where, and what it says instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slip {
    pub(super) kind: MutantKind,
    pub(super) range: Range<usize>,
    pub(super) instead: String,
}

/// Options of `run`, `create`, `exec`, `build` and `service create` that take no value.
const FLAGS: &[&str] = &[
    "--detach",
    "--disable-content-trust",
    "--force",
    "--force-rm",
    "--init",
    "--interactive",
    "--internal",
    "--ipv6",
    "--no-cache",
    "--no-healthcheck",
    "--no-resolve-image",
    "--attachable",
    "--ingress",
    "--oom-kill-disable",
    "--privileged",
    "--publish-all",
    "--pull",
    "--quiet",
    "--read-only",
    "--rm",
    "--sig-proxy",
    "--squash",
    "--tty",
    "--with-registry-auth",
];
/// Their short forms.
const SHORT_FLAGS: &str = "diqtPf";

/// Commands that change nothing.
const READING: &[&str] = &[
    "ls",
    "list",
    "ps",
    "inspect",
    "logs",
    "top",
    "images",
    "history",
    "version",
    "info",
    "search",
    "port",
    "stats",
    "diff",
    "events",
    "df",
    "config",
    "join-token",
];
const READING_PROGRAMS: &[&str] =
    &["curl", "wget", "ls", "cat", "echo", "ps", "sleep", "true", "exit", "pwd", "head", "grep"];

struct Command<'t> {
    text: &'t str,
    /// `container run`.
    path: Vec<&'t str>,
    options: Vec<Option_>,
    operands: Vec<Range<usize>>,
}

struct Option_ {
    name: String,
    /// From the first dash to the end of the value.
    whole: Range<usize>,
    value: Range<usize>,
}

/// True when nothing of the text can change what an engine holds.
pub(crate) fn only_reads(text: &str) -> bool {
    let words = shell::words(text);
    words.split(|word| shell::is_operator(&text[word.clone()])).filter(|words| !words.is_empty()).all(|words| {
        let words: Vec<&str> = words.iter().map(|word| &text[word.clone()]).collect();
        let words = if matches!(words[0], "do" | "then" | "else") { &words[1..] } else { words.as_slice() };
        match words.first().copied().unwrap_or("for") {
            "for" | "done" | "fi" => true,
            "docker" => words[1..].iter().take(2).any(|word| READING.contains(word)),
            program => READING_PROGRAMS.contains(&program) && !text.contains('>'),
        }
    })
}

/// Every slip in a command. `images` are those of the lab, from which a wrong one is taken.
pub(super) fn slips(text: &str, images: &[String]) -> Vec<Slip> {
    let mut slips = Vec::new();
    for command in docker_commands(text) {
        option_slips(&command, images, &mut slips);
        operand_slips(&command, images, &mut slips);
    }
    slips
}

/// Images that the commands take from a registry.
pub(crate) fn pulled_images(text: &str) -> Vec<String> {
    let mut images = Vec::new();
    for command in docker_commands(text) {
        let operand = match (command.group(), command.verb()) {
            ("" | "container", "run" | "create") | ("service", "create") => command.operands.first(),
            ("" | "image", "pull") => command.operands.last(),
            ("service", "update") => {
                command.options.iter().find(|option| option.name == "--image").map(|option| &option.value)
            }
            _ => None,
        };
        images.extend(operand.map(|range| command.at(range).trim_matches(['\'', '"']).to_owned()));
    }
    images
}

/// Names that the commands give to containers, networks, volumes and services.
pub(crate) fn given_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for command in docker_commands(text) {
        let options = command.options.iter().filter(|option| option.name == "--name");
        names.extend(options.map(|option| command.at(&option.value).to_owned()));
        if let ("network" | "volume", "create") = (command.group(), command.verb()) {
            names.extend(command.operands.last().map(|name| command.at(name).to_owned()));
        }
    }
    names
}

/// Repositories that the commands name themselves, by building or tagging.
pub(crate) fn named_images(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for command in docker_commands(text) {
        match (command.group(), command.verb()) {
            ("" | "image" | "builder" | "buildx", "build") => {
                let tags = command.options.iter().filter(|option| matches!(option.name.as_str(), "-t" | "--tag"));
                names.extend(tags.map(|tag| command.at(&tag.value).to_owned()));
            }
            ("" | "image", "tag") | ("" | "container", "commit") => {
                names.extend(command.operands.last().map(|name| command.at(name).to_owned()));
            }
            _ => {}
        }
    }
    let repository = |name: String| match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository.to_owned(),
        _ => name,
    };
    names.into_iter().map(repository).collect()
}

fn docker_commands(text: &str) -> Vec<Command<'_>> {
    let words = shell::words(text);
    let mut commands = Vec::new();
    for words in words.split(|word| shell::is_operator(&text[word.clone()])) {
        if words.first().is_none_or(|word| &text[word.clone()] != "docker") {
            continue;
        }
        commands.push(read(text, &words[1..]));
    }
    commands
}

fn read<'t>(text: &'t str, words: &[Range<usize>]) -> Command<'t> {
    const GROUPS: &[&str] = &[
        "container",
        "image",
        "network",
        "volume",
        "service",
        "swarm",
        "node",
        "system",
        "builder",
        "stack",
        "secret",
    ];
    let mut command = Command { text, path: Vec::new(), options: Vec::new(), operands: Vec::new() };
    let mut words = words.iter().peekable();
    while let Some(word) = words.peek() {
        let word = &text[(*word).clone()];
        command.path.push(word);
        words.next();
        if !GROUPS.contains(&word) {
            break;
        }
    }
    // Behind the image or the container stands a program with options of its own.
    let has_program = matches!(command.verb(), "run" | "create" | "exec") && command.group() != "network";
    while let Some(word) = words.next() {
        let text_of_word = &text[word.clone()];
        if !text_of_word.starts_with('-') || text_of_word == "-" {
            command.operands.push(word.clone());
            if has_program {
                command.operands.extend(words.by_ref().cloned());
            }
            continue;
        }
        if let Some((name, _)) = text_of_word.split_once('=') {
            let value = word.start + name.len() + 1..word.end;
            command.options.push(Option_ { name: name.to_owned(), whole: word.clone(), value });
            continue;
        }
        if takes_value(text_of_word, command.verb())
            && let Some(value) = words.next()
        {
            let name = match text_of_word.strip_prefix("--") {
                Some(_) => text_of_word.to_owned(),
                None => format!("-{}", text_of_word.chars().next_back().unwrap_or('-')),
            };
            let only = text_of_word.starts_with("--") || text_of_word.len() == 2;
            let start = if only { word.start } else { value.start };
            command.options.push(Option_ { name, whole: start..value.end, value: value.clone() });
        }
    }
    command
}

fn takes_value(option: &str, verb: &str) -> bool {
    match option.strip_prefix("--") {
        Some("pull") => verb != "build",
        Some(_) => !FLAGS.contains(&option),
        // `-f` and `-t` of a build are `--file` and `--tag`.
        None if option.ends_with(['f', 't']) => verb == "build",
        None => !option.ends_with(|letter| SHORT_FLAGS.contains(letter)),
    }
}

impl Command<'_> {
    fn verb(&self) -> &str {
        self.path.last().copied().unwrap_or("")
    }
    fn group(&self) -> &str {
        if self.path.len() > 1 { self.path[0] } else { "" }
    }
    fn at(&self, range: &Range<usize>) -> &str {
        &self.text[range.clone()]
    }
}

fn option_slips(command: &Command<'_>, images: &[String], slips: &mut Vec<Slip>) {
    for option in &command.options {
        let value = command.at(&option.value);
        let mut slip = |kind, instead: String| slips.push(Slip { kind, range: option.value.clone(), instead });
        let is_build = command.verb() == "build";
        match option.name.as_str() {
            "--name" | "--network-alias" | "--alias" | "--hostname" => slip(MutantKind::Name, other_name(value)),
            "-t" | "--tag" if is_build => slip(MutantKind::Name, other_name(value)),
            "-p" | "--publish" => port_slips(value, &mut slip),
            "--image" => slip(MutantKind::Image, other_image(value, images)),
            "--replicas" => slip(MutantKind::Count, other_number(value)),
            _ => {}
        }
        let takes_part = matches!(
            option.name.as_str(),
            "--publish"
                | "-p"
                | "--name"
                | "--network"
                | "--net"
                | "--network-alias"
                | "--alias"
                | "--mount"
                | "--volume"
                | "-v"
                | "--env"
                | "-e"
                | "--replicas"
                | "--constraint"
                | "--label"
                | "-l"
                | "--tag"
                | "-t"
                | "--mode"
                | "--restart"
                | "--availability"
                | "--internal"
        );
        if takes_part && command.verb() != "exec" {
            slips.push(Slip { kind: MutantKind::Option, range: option.whole.clone(), instead: String::new() });
        }
    }
}

fn operand_slips(command: &Command<'_>, images: &[String], slips: &mut Vec<Slip>) {
    let mut slip =
        |range: &Range<usize>, kind, instead: String| slips.push(Slip { kind, range: range.clone(), instead });
    let (group, verb) = (command.group(), command.verb());
    match (group, verb) {
        ("" | "container", "run" | "create") | ("service", "create") => {
            if let Some(image) = command.operands.first() {
                slip(image, MutantKind::Image, other_image(command.at(image), images));
            }
        }
        ("network" | "volume", "create") => {
            if let Some(name) = command.operands.last() {
                slip(name, MutantKind::Name, other_name(command.at(name)));
            }
        }
        ("" | "image", "tag") => {
            if let [_, name] = command.operands.as_slice() {
                slip(name, MutantKind::Name, other_name(command.at(name)));
            }
        }
        ("network", "connect") => {
            // Both exist, so the wrong way round says something other than a name that is nowhere.
            if let [network, _] = command.operands.as_slice() {
                slip(network, MutantKind::Name, "bridge".to_owned());
            }
        }
        ("service", "scale") => {
            for operand in &command.operands {
                if let Some((name, number)) = command.at(operand).split_once('=') {
                    slip(operand, MutantKind::Count, format!("{name}={}", other_number(number)));
                }
            }
        }
        _ => {}
    }
}

/// `nginx` becomes `nginx-2`; a tag stays behind the name.
fn other_name(name: &str) -> String {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => format!("{repository}-2:{tag}"),
        _ => format!("{name}-2"),
    }
}

fn other_number(number: &str) -> String {
    number
        .parse::<u64>()
        .map_or_else(|_| "1".to_owned(), |number| if number > 1 { number - 1 } else { number + 1 }.to_string())
}

/// Host and container port, each wrong by one.
fn port_slips(value: &str, slip: &mut impl FnMut(MutantKind, String)) {
    let (ports, protocol) = match value.split_once('/') {
        Some((ports, protocol)) => (ports, format!("/{protocol}")),
        None => (value, String::new()),
    };
    let parts: Vec<&str> = ports.split(':').collect();
    for (index, part) in parts.iter().enumerate() {
        if let Ok(port) = part.parse::<u16>() {
            let mut changed: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
            changed[index] = port.checked_add(1).unwrap_or(port - 1).to_string();
            slip(MutantKind::Port, format!("{}{protocol}", changed.join(":")));
        }
    }
}

/// Another tag of the same repository if the lab has one, else another image of the lab, else one that is small.
pub(super) fn other_image(image: &str, images: &[String]) -> String {
    let repository = |image: &str| match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository.to_owned(),
        _ => image.to_owned(),
    };
    let others = || images.iter().filter(|other| other.as_str() != image);
    others()
        .find(|other| repository(other) == repository(image))
        .or_else(|| others().find(|other| repository(other) != repository(image)))
        .cloned()
        .unwrap_or_else(|| if repository(image) == "busybox" { "alpine".to_owned() } else { "busybox".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::{only_reads, slips};

    fn changed(text: &str) -> Vec<String> {
        let images = ["nginx:1.12".to_owned(), "nginx:1.13".to_owned(), "ubuntu".to_owned()];
        let mut lines: Vec<String> = slips(text, &images)
            .into_iter()
            .map(|slip| {
                let line = format!("{}{}{}", &text[..slip.range.start], slip.instead, &text[slip.range.end..]);
                format!("{}: {}", slip.kind, line.split_whitespace().collect::<Vec<_>>().join(" "))
            })
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn a_run_can_go_wrong_in_name_port_image_and_by_omission() {
        insta::assert_debug_snapshot!(changed("docker run -dp 8080:80 --name=web nginx:1.12 nginx -g x"), @r#"
        [
            "missing option: docker run -dp --name=web nginx:1.12 nginx -g x",
            "missing option: docker run -dp 8080:80 nginx:1.12 nginx -g x",
            "wrong image: docker run -dp 8080:80 --name=web nginx:1.13 nginx -g x",
            "wrong name: docker run -dp 8080:80 --name=web-2 nginx:1.12 nginx -g x",
            "wrong port: docker run -dp 8080:81 --name=web nginx:1.12 nginx -g x",
            "wrong port: docker run -dp 8081:80 --name=web nginx:1.12 nginx -g x",
        ]
        "#);
    }

    #[test]
    fn services_count_and_networks_have_names() {
        insta::assert_debug_snapshot!(
            [
                changed("docker service scale --detach web=5"),
                changed("docker service create --replicas 2 --publish 80:80 ubuntu"),
                changed("docker network create --driver bridge shop && docker network connect --alias db shop a"),
                changed("docker image build -t me/app:v2 ."),
            ],
            @r#"
        [
            [
                "wrong number: docker service scale --detach web=4",
            ],
            [
                "missing option: docker service create --publish 80:80 ubuntu",
                "missing option: docker service create --replicas 2 ubuntu",
                "wrong image: docker service create --replicas 2 --publish 80:80 nginx:1.12",
                "wrong number: docker service create --replicas 1 --publish 80:80 ubuntu",
                "wrong port: docker service create --replicas 2 --publish 80:81 ubuntu",
                "wrong port: docker service create --replicas 2 --publish 81:80 ubuntu",
            ],
            [
                "missing option: docker network create --driver bridge shop && docker network connect shop a",
                "wrong name: docker network create --driver bridge shop && docker network connect --alias db bridge a",
                "wrong name: docker network create --driver bridge shop && docker network connect --alias db-2 shop a",
                "wrong name: docker network create --driver bridge shop-2 && docker network connect --alias db shop a",
            ],
            [
                "missing option: docker image build .",
                "wrong name: docker image build -t me/app-2:v2 .",
            ],
        ]
        "#
        );
    }

    #[test]
    fn looking_changes_nothing() {
        assert!(only_reads("docker container ls --all"));
        assert!(only_reads("docker logs web; curl -s localhost"));
        assert!(!only_reads("docker run ubuntu ls"));
        assert!(!only_reads("docker exec web ls"));
        assert!(!only_reads("echo a > b"));
        assert!(!only_reads("sed -i s/a/b/ c"));
    }
}
