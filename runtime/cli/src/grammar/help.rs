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
            format!("{path} {}\n\t{path} [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH", command.usage)
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
    // Docker hides what this engine's platform does not have.
    let flags: Vec<&FlagSpec> = command.flags.iter().filter(|flag| !flag.text.ends_with("(Windows only)")).collect();
    if flags.is_empty() {
        return;
    }
    let heads: Vec<String> = flags.iter().map(|flag| head(flag)).collect();
    let column = heads.iter().map(String::len).max().unwrap_or(0) + 3;
    let _ = write!(text, "\n{title}:\n");
    let home = console.variable("HOME").unwrap_or_else(|| "/root".to_owned());
    for (flag, head) in flags.iter().zip(&heads) {
        let usage = flag.text.replace("\"/root/", &format!("\"{home}/"));
        let lines: Vec<String> = usage.lines().map(|line| wrap(column, width.saturating_sub(1), line)).collect();
        let indent = format!("\n{}", " ".repeat(column));
        let _ = writeln!(text, "{head}{}{}", " ".repeat(column - head.len()), lines.join(&indent));
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

/// Wraps one line behind a column of `indent`, with the slack pflag allows at the end of the last line.
fn wrap(indent: usize, width: usize, line: &str) -> String {
    const SLACK: usize = 5;
    let mut indent = indent;
    let mut available = width.saturating_sub(indent);
    let mut text = String::new();
    if available < 24 {
        // Too narrow beside the flags: the text goes below them.
        indent = 16;
        available = width.saturating_sub(indent);
        text.push('\n');
        text.push_str(&" ".repeat(indent));
    }
    if available < 24 {
        return line.to_owned();
    }
    let available = available - SLACK;
    let mut rest = line;
    loop {
        let (piece, remainder) = cut(available, SLACK, rest);
        text.push_str(piece);
        if remainder.is_empty() {
            return text;
        }
        text.push('\n');
        text.push_str(&" ".repeat(indent));
        rest = remainder;
    }
}

fn cut(available: usize, slack: usize, text: &str) -> (&str, &str) {
    if available + slack > text.len() {
        return (text, "");
    }
    let limit = (0..=available).rev().find(|index| text.is_char_boundary(*index)).unwrap_or(0);
    match text[..limit].rfind([' ', '\t']) {
        Some(space) if space > 0 => (&text[..space], &text[space + 1..]),
        _ => (text, ""),
    }
}
