use crate::{
    context::Invocation,
    error::CliError,
    grammar::{
        help::usage_line,
        table::{Arity, Command, FlagSpec, find},
        values,
    },
};

/// The flags that were given, in order.
#[derive(Debug, Default, Clone)]
pub(crate) struct Flags(Vec<(&'static str, String)>);

impl Flags {
    /// The last value given, or none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }
    /// The last value given, or the empty string.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }
    /// A boolean flag, false when absent.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.boolean(name, false)
    }
    pub(crate) fn boolean(&self, name: &str, default: bool) -> bool {
        self.get(name).map_or(default, |value| values::parse_boolean(value).unwrap_or(default))
    }
    /// Every value given, in order.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(given, _)| *given == name).map(|(_, value)| value.clone()).collect()
    }
    pub(crate) fn given(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
    /// Names of the flags given.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(name, _)| *name)
    }
    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(|value| value.parse().ok())
    }
    /// Nanoseconds.
    pub(crate) fn duration(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(|value| values::parse_duration(value).ok())
    }
    pub(crate) fn bytes(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(|value| values::parse_bytes(value).ok())
    }
    /// `--filter k=v` as the API wants it; a value without `=` has an empty value, as in Docker.
    pub(crate) fn filters(&self) -> docklab_api::Filters {
        self.list("filter").iter().fold(docklab_api::Filters::new(), |filters, text| {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            filters.with(&key.trim().to_lowercase(), value.trim())
        })
    }
    fn add(&mut self, name: &'static str, value: String) {
        self.0.push((name, value));
    }
}

/// Whose help to print.
pub(crate) struct HelpTarget {
    pub command: &'static Command,
    pub path: String,
}

/// What a command line turned out to be.
pub(crate) enum Parsed {
    Help { text_for: HelpTarget, to_stderr: bool },
    Version,
    Wrong { message: String, status: i32 },
    Command { command: &'static Command, path: String, flags: Flags, arguments: Vec<String> },
}

/// Reads a command line, without the program's name.
pub(crate) fn parse(words: &[String]) -> Parsed {
    let Some(root) = find("docker") else {
        return Parsed::Wrong { message: "the command table is empty".to_owned(), status: 1 };
    };
    let mut flags = Flags::default();
    let (global, rest) = match read_flags(root, "docker", words, true, &mut flags) {
        Ok(Some(outcome)) => outcome,
        Ok(None) => {
            return Parsed::Help {
                text_for: HelpTarget { command: root, path: "docker".to_owned() },
                to_stderr: false,
            };
        }
        Err(wrong) => return wrong,
    };
    debug_assert!(global.is_empty());
    if flags.is_set("version") {
        return Parsed::Version;
    }
    let Some(first) = rest.first() else {
        return Parsed::Help { text_for: HelpTarget { command: root, path: "docker".to_owned() }, to_stderr: true };
    };
    if first == "help" {
        return help_command(root, &rest[1..]);
    }
    let Some(mut command) = find(first) else {
        return Parsed::Wrong {
            message: format!("docker: unknown command: docker {first}\n\nRun 'docker --help' for more information"),
            status: 1,
        };
    };
    let mut typed = first.clone();
    let mut position = 1;
    while command.is_group() {
        match rest.get(position) {
            Some(word) if word == "--help" || word == "-h" => break,
            Some(word) if word.starts_with('-') => break,
            Some(word) => {
                let path = format!("{typed} {word}");
                let Some(next) = find(&path) else {
                    let message = format!(
                        "docker: unknown command: docker {path}\n\nUsage:  docker {typed}\n\nRun 'docker {typed} --help' for more information"
                    );
                    return Parsed::Wrong { message, status: 1 };
                };
                typed = path;
                command = next;
                position += 1;
            }
            None => break,
        }
    }
    let path = format!("docker {}", shown_path(command, &typed));
    let remaining = &rest[position..];
    let (arguments, _) = match read_flags(command, &path, remaining, command.stops_at_first_argument(), &mut flags) {
        Ok(Some((arguments, tail))) => ([arguments, tail].concat(), ()),
        Ok(None) => return Parsed::Help { text_for: HelpTarget { command, path }, to_stderr: false },
        Err(wrong) => return wrong,
    };
    if command.is_group() {
        return Parsed::Help { text_for: HelpTarget { command, path }, to_stderr: true };
    }
    if let Some(arity) = command.arity
        && let Err(message) = check_arity(command, &path, arity, arguments.len())
    {
        return Parsed::Wrong { message, status: 1 };
    }
    Parsed::Command { command, path, flags, arguments }
}

fn help_command(root: &'static Command, words: &[String]) -> Parsed {
    if words.is_empty() {
        return Parsed::Help { text_for: HelpTarget { command: root, path: "docker".to_owned() }, to_stderr: false };
    }
    let typed = words.join(" ");
    match find(&typed) {
        Some(command) => {
            let path = format!("docker {}", shown_path(command, &typed));
            Parsed::Help { text_for: HelpTarget { command, path }, to_stderr: false }
        }
        None => Parsed::Wrong { message: format!("unknown help topic: {typed}"), status: 1 },
    }
}

/// A short form (`ps`) is a command of its own; an alias within a group (`container ps`) is shown by its first name.
fn shown_path(command: &'static Command, typed: &str) -> String {
    if !typed.contains(' ') || typed.starts_with("builder ") { typed.to_owned() } else { command.path.to_owned() }
}

fn wrong(command: &Command, path: &str, message: &str) -> Parsed {
    Parsed::Wrong { message: with_usage(command, path, message), status: 125 }
}

fn with_usage(command: &Command, path: &str, message: &str) -> String {
    let mut usage = usage_line(command, path);
    if command.path == "docker" {
        usage.push_str(" [ARG...]");
    }
    format!("{message}\n\nUsage:  {usage}\n\nRun '{path} --help' for more information")
}

/// For a flag whose value only the command itself can judge.
pub(crate) fn misused(call: &Invocation, message: &str) -> CliError {
    CliError::with_status(125, with_usage(call.command, &call.path, message))
}

type Split = (Vec<String>, Vec<String>);

/// Reads flags into `flags`. Returns the positional arguments, and what follows the first one when reading stops
/// there; nothing when help was asked for.
fn read_flags(
    command: &'static Command,
    path: &str,
    words: &[String],
    stop: bool,
    flags: &mut Flags,
) -> Result<Option<Split>, Parsed> {
    let mut arguments = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            let rest: Vec<String> = words.cloned().collect();
            return Ok(Some((arguments, rest)));
        }
        if let Some(long) = word.strip_prefix("--") {
            let (name, inline) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let Some(flag) = command.flag(name) else {
                if name == "help" {
                    return Ok(None);
                }
                return Err(wrong(command, path, &format!("unknown flag: --{name}")));
            };
            if name == "help" {
                return Ok(None);
            }
            let value = match inline {
                Some(value) => value,
                None if flag.is_boolean() => "true".to_owned(),
                None => match words.next() {
                    Some(value) => value.clone(),
                    None => return Err(wrong(command, path, &format!("flag needs an argument: --{name}"))),
                },
            };
            store(command, path, flag, value, flags)?;
        } else if word.len() > 1 && word.starts_with('-') {
            let cluster = &word[1..];
            if read_cluster(command, path, cluster, &mut words, flags)? {
                return Ok(None);
            }
        } else if stop {
            let rest: Vec<String> = std::iter::once(word).chain(words).cloned().collect();
            return Ok(Some((arguments, rest)));
        } else {
            arguments.push(word.clone());
        }
    }
    Ok(Some((arguments, Vec::new())))
}

/// `-itp80:80`; true when help was asked for.
fn read_cluster<'a>(
    command: &'static Command,
    path: &str,
    cluster: &str,
    words: &mut impl Iterator<Item = &'a String>,
    flags: &mut Flags,
) -> Result<bool, Parsed> {
    for (offset, letter) in cluster.char_indices() {
        let Some(flag) = command.short_flag(letter) else {
            if letter == 'h' {
                return Ok(true);
            }
            return Err(wrong(command, path, &format!("unknown shorthand flag: '{letter}' in -{cluster}")));
        };
        let rest = &cluster[offset + letter.len_utf8()..];
        if let Some(value) = rest.strip_prefix('=') {
            store(command, path, flag, value.to_owned(), flags)?;
            return Ok(false);
        }
        if flag.is_boolean() {
            store(command, path, flag, "true".to_owned(), flags)?;
            continue;
        }
        let value = if rest.is_empty() {
            match words.next() {
                Some(value) => value.clone(),
                None => {
                    return Err(wrong(command, path, &format!("flag needs an argument: '{letter}' in -{cluster}")));
                }
            }
        } else {
            rest.to_owned()
        };
        store(command, path, flag, value, flags)?;
        return Ok(false);
    }
    Ok(false)
}

fn store(
    command: &'static Command,
    path: &str,
    flag: &'static FlagSpec,
    value: String,
    flags: &mut Flags,
) -> Result<(), Parsed> {
    let checked = values::check(flag.kind, &value)
        .and_then(|()| super::options::check(command.path, flag.name, flag.kind, &value));
    if let Err(reason) = checked {
        let shown = match flag.short {
            Some(letter) => format!("-{letter}, --{}", flag.name),
            None => format!("--{}", flag.name),
        };
        return Err(wrong(
            command,
            path,
            &format!("invalid argument {} for \"{shown}\" flag: {reason}", crate::format::quote(&value)),
        ));
    }
    flags.add(flag.name, value);
    Ok(())
}

fn check_arity(command: &Command, path: &str, arity: Arity, count: usize) -> Result<(), String> {
    if (arity.least..=arity.most).contains(&count) {
        return Ok(());
    }
    let plural = |count: usize| if count == 1 { "argument" } else { "arguments" };
    let Arity { least, most } = arity;
    let (rule, word) = if most == 0 {
        ("accepts no arguments".to_owned(), "Run")
    } else if most == usize::MAX {
        (format!("requires at least {least} {}", plural(least)), "See")
    } else if least == most {
        (format!("requires {least} {}", plural(least)), "Run")
    } else if least == 0 {
        // The client really prints this word, an S too many.
        (format!("requires at most {most} {}", plural(most)), "SRun")
    } else {
        (format!("requires at least {least} and at most {most} {}", plural(most)), "Run")
    };
    let usage = usage_line(command, path);
    Err(format!("docker: '{path}' {rule}\n\nUsage:  {usage}\n\n{word} '{path} --help' for more information"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(ToOwned::to_owned).collect();
        match parse(&words) {
            Parsed::Wrong { message, status } => format!("{message}\nexit {status}"),
            Parsed::Command { path, flags, arguments, .. } => format!("{path} {:?} {arguments:?}", flags.0),
            Parsed::Help { text_for, to_stderr } => format!("help for {} (stderr: {to_stderr})", text_for.path),
            Parsed::Version => "version".to_owned(),
        }
    }

    #[test]
    fn clusters_and_inline_values_are_read_and_the_command_is_left_alone() {
        insta::assert_snapshot!(parsed("run -itp80:80 --rm=false --name=web ubuntu ls -l --all"),
            @r#"docker run [("interactive", "true"), ("tty", "true"), ("publish", "80:80"), ("rm", "false"), ("name", "web")] ["ubuntu", "ls", "-l", "--all"]"#);
        insta::assert_snapshot!(parsed("container list -a"), @r#"docker container ls [("all", "true")] []"#);
        insta::assert_snapshot!(parsed("logs web -f"), @r#"docker logs [("follow", "true")] ["web"]"#);
    }

    #[test]
    fn usage_errors_have_dockers_words() {
        insta::assert_snapshot!(parsed("ps -y"), @r"
        unknown shorthand flag: 'y' in -y

        Usage:  docker ps [OPTIONS]

        Run 'docker ps --help' for more information
        exit 125
        ");
        insta::assert_snapshot!(parsed("container stop"), @r"
        docker: 'docker container stop' requires at least 1 argument

        Usage:  docker container stop [OPTIONS] CONTAINER [CONTAINER...]

        See 'docker container stop --help' for more information
        exit 1
        ");
        insta::assert_snapshot!(parsed("frob"), @r"
        docker: unknown command: docker frob

        Run 'docker --help' for more information
        exit 1
        ");
        insta::assert_snapshot!(parsed("container"), @"help for docker container (stderr: true)");
    }
}
