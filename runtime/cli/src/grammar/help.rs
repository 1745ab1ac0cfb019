use std::fmt::Write as _;

use crate::{
    console::Console,
    grammar::table::{Command, FlagSpec},
};

/// `docker run [OPTIONS] IMAGE [COMMAND] [ARG...]`.
pub(crate) fn usage_line(command: &Command, path: &str) -> String {
    match command.path {
        // Two forms, the second on a line of its own.
        "container cp" => {
            format!("{path} {}\n\tdocker cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH", command.usage)
        }
        _ if command.usage.is_empty() => path.to_owned(),
        _ => format!("{path} {}", command.usage),
    }
}

/// The whole help text of a command, wrapped for a terminal of `width` columns.
pub(crate) fn help(command: &Command, path: &str, width: usize, console: &dyn Console) -> String {
    let mut text = format!("Usage:  {}\n\n", usage_line(command, path));
    for line in &command.about {
        let _ = writeln!(text, "{line}");
    }
    if !command.aliases.is_empty() {
        let names: Vec<String> = command.aliases.iter().map(|alias| format!("docker {alias}")).collect();
        let _ = write!(text, "\nAliases:\n  {}\n", names.join(", "));
    }
    if command.is_experimental {
        let _ = write!(
            text,
            "\nEXPERIMENTAL:\n  {path} is an experimental feature.\n  Experimental features provide early access to product \
             functionality. These\n  features may change between releases without warning, or can be removed from \
             a\n  future release. Learn more about experimental features in our documentation:\n  \
             https://docs.docker.com/go/experimental/\n"
        );
    }
    let is_root = command.path == "docker";
    if !is_root {
        write_flags(&mut text, "Options", command, width, console);
    }
    for (group, title) in [
        ("Common", "Common Commands"),
        ("Management", "Management Commands"),
        ("Swarm", "Swarm Commands"),
        ("Commands", "Commands"),
    ] {
        write_group(&mut text, command, group, title);
    }
    if is_root {
        write_flags(&mut text, "Global Options", command, width, console);
    }
    if command.is_group() {
        let _ = write!(text, "\nRun '{path} COMMAND --help' for more information on a command.\n");
    }
    if is_root {
        text.push_str("\nFor more help on how to use Docker, head to https://docs.docker.com/go/guides/\n");
    }
    text
}

fn write_group(text: &mut String, command: &Command, group: &str, title: &str) {
    let members: Vec<_> =
        command.subcommands.iter().filter(|sub| sub.group == group && sub.name != "checkpoint").collect();
    if members.is_empty() {
        return;
    }
    let longest = command.subcommands.iter().map(|sub| sub.name.len()).max().unwrap_or(0);
    // cobra pads names to eleven columns at least.
    let column = longest.max(11);
    let _ = write!(text, "\n{title}:\n");
    for sub in members {
        let _ = writeln!(text, "  {:column$} {}", sub.name, sub.text);
    }
}

fn write_flags(text: &mut String, title: &str, command: &Command, width: usize, console: &dyn Console) {
    // Docker hides what the engine's platform does not have, and what is experimental.
    let is_experimental = |flag: &FlagSpec| {
        flag.name == "squash" || (command.path == "container start" && flag.name.starts_with("checkpoint"))
    };
    let flags: Vec<&FlagSpec> = command
        .flags
        .iter()
        .filter(|flag| !flag.is_hidden && !flag.is_for_windows() && !is_experimental(flag))
        .collect();
    if flags.is_empty() {
        return;
    }
    let heads: Vec<String> = flags.iter().map(|flag| head(flag)).collect();
    let column = heads.iter().map(String::len).max().unwrap_or(0) + 3;
    let _ = write!(text, "\n{title}:\n");
    let home = console.variable("HOME").unwrap_or_else(|| "/root".to_owned());
    for (flag, head) in flags.iter().zip(&heads) {
        let usage = flag.text.replace("\"/root/", &format!("\"{home}/"));
        let usage = wrap(column, width.saturating_sub(1), &usage);
        let _ = writeln!(text, "{head}{}{usage}", " ".repeat(column - head.len()));
    }
}

fn head(flag: &FlagSpec) -> String {
    let mut head = match flag.short {
        Some(letter) => format!("  -{letter}, --{}", flag.name),
        None => format!("      --{}", flag.name),
    };
    if !flag.is_boolean() {
        head.push(' ');
        head.push_str(flag.kind);
    }
    head
}

/// Wraps a text behind a column of `indent`, with the slack pflag allows at the end of the last line.
fn wrap(indent: usize, width: usize, text: &str) -> String {
    const SLACK: usize = 5;
    const LEAST: usize = 24;
    let mut indent = indent;
    let mut available = width.saturating_sub(indent);
    let mut output = String::new();
    if available < LEAST {
        // Too narrow beside the flags: the text goes below them.
        indent = 16;
        available = width.saturating_sub(indent);
        output.push('\n');
        output.push_str(&" ".repeat(indent));
    }
    if available < LEAST {
        return text.replace('\n', &output);
    }
    let newline = format!("\n{}", " ".repeat(indent));
    let mut rest = text;
    loop {
        let (piece, remainder) = cut(available - SLACK, SLACK, rest);
        output.push_str(&piece.replace('\n', &newline));
        if remainder.is_empty() {
            return output;
        }
        output.push_str(&newline);
        rest = remainder;
    }
}

/// The first piece of a text, cut at white space before `available` bytes, and the rest.
fn cut(available: usize, slack: usize, text: &str) -> (&str, &str) {
    if available + slack > text.len() {
        return (text, "");
    }
    let limit = (0..=available).rev().find(|index| text.is_char_boundary(*index)).unwrap_or(0);
    let head = &text[..limit];
    let at = match (head.rfind([' ', '\t', '\n']), head.rfind('\n')) {
        (None | Some(0), _) => return (text, ""),
        (Some(space), Some(newline)) if newline > 0 && newline < space => newline,
        (Some(space), _) => space,
    };
    (&text[..at], &text[at + 1..])
}
