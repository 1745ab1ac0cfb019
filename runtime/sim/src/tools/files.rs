//! Programs that look at files and change them.

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    fs::{Content, Entry, FileError, join},
    process::{Closed, Context},
};

fn mode_text(entry: &Entry) -> String {
    let kind = match entry.content {
        Content::File(_) => '-',
        Content::Directory => 'd',
        Content::Symlink(_) => 'l',
        Content::CharDevice(..) => 'c',
        Content::BlockDevice(..) => 'b',
        Content::Fifo => 'p',
    };
    let bits = (0..9).map(|bit| if entry.mode & (0o400 >> bit) != 0 { ['r', 'w', 'x'][bit % 3] } else { '-' });
    let mut text: String = std::iter::once(kind).chain(bits).collect();
    if entry.mode & 0o1000 != 0 {
        text.replace_range(9..10, "t");
    }
    text
}

fn owner(context: &Context, id: u32, file: &str) -> String {
    let table = context.view().read_text(file).unwrap_or_default();
    let id = id.to_string();
    let found =
        table.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields.get(2) == Some(&&*id));
    found.map_or(id.clone(), |fields| fields[0].to_owned())
}

pub(super) async fn ls(context: Context) -> Result<i32, Closed> {
    let mut flags = String::new();
    let mut operands = Vec::new();
    for word in &context.argv[1..] {
        match word.strip_prefix('-') {
            Some(letters) if !letters.is_empty() => flags += letters,
            _ => operands.push(word.clone()),
        }
    }
    if operands.is_empty() {
        operands.push(".".into());
    }
    let many = operands.len() > 1;
    let mut status = 0;
    let mut first = true;
    for operand in &operands {
        let path = join(&context.cwd, operand);
        let view = context.view();
        let entry = match view.stat(&path).or_else(|_| view.lstat(&path).map(|(_, entry)| entry)) {
            Ok(entry) => entry,
            Err(error) => {
                context.err(format!("ls: cannot access '{operand}': {error}\n")).await?;
                status = 2;
                continue;
            }
        };
        let mut names = Vec::new();
        if entry.is_directory() && !flags.contains('d') {
            if many {
                context.out(format!("{}{operand}:\n", if first { "" } else { "\n" })).await?;
            }
            if flags.contains('a') {
                names.extend([".".to_owned(), "..".to_owned()]);
            }
            let listed = view.list(&path).unwrap_or_default();
            names.extend(listed.into_iter().filter(|name| flags.contains(['a', 'A']) || !name.starts_with('.')));
        } else {
            names.push(operand.clone());
        }
        first = false;
        let base = if entry.is_directory() && !flags.contains('d') { path } else { context.cwd.clone() };
        if flags.contains('l') {
            let mut total = 0;
            let mut text = String::new();
            for name in &names {
                let Ok((_, entry)) = view.lstat(&join(&base, name)) else { continue };
                total += entry.size().div_ceil(4096) * 4;
                let at = Timestamp::from_second(entry.mtime).unwrap_or_default().to_zoned(TimeZone::UTC);
                let size = if entry.is_directory() { 4096 } else { entry.size() };
                let arrow =
                    if let Content::Symlink(target) = &entry.content { format!(" -> {target}") } else { String::new() };
                text += &format!(
                    "{} {} {} {} {size:>5} {} {name}{arrow}\n",
                    mode_text(&entry),
                    if entry.is_directory() { 2 } else { 1 },
                    owner(&context, entry.uid, "/etc/passwd"),
                    owner(&context, entry.gid, "/etc/group"),
                    at.strftime("%b %e %H:%M")
                );
            }
            if base != context.cwd || entry.is_directory() {
                text = format!("total {total}\n{text}");
            }
            context.out(text).await?;
        } else if let Some(tty) = context.streams.output_terminal().filter(|_| !flags.contains('1')) {
            context.out(columns(&names, usize::from(tty.size().1))).await?;
        } else {
            context.out(names.iter().map(|name| format!("{name}\n")).collect::<String>()).await?;
        }
    }
    Ok(status)
}

/// Names in columns, filled downwards, as narrow as the width allows.
fn columns(names: &[String], width: usize) -> String {
    for rows in 1..=names.len() {
        let widths: Vec<usize> = names
            .chunks(rows)
            .map(|column| column.iter().map(|name| name.chars().count()).max().unwrap_or(0))
            .collect();
        if rows < names.len() && widths.iter().sum::<usize>() + 2 * (widths.len() - 1) > width {
            continue;
        }
        return (0..rows)
            .map(|row| {
                let line: Vec<String> = names
                    .chunks(rows)
                    .zip(&widths)
                    .filter_map(|(column, width)| column.get(row).map(|name| format!("{name:<width$}")))
                    .collect();
                format!("{}\n", line.join("  ").trim_end())
            })
            .collect();
    }
    String::new()
}

pub(super) async fn change(context: Context) -> Result<i32, Closed> {
    let mut flags = String::new();
    let mut operands: Vec<String> = Vec::new();
    let name = context.name().to_owned();
    if name == "find" {
        return find(&context).await;
    }
    for word in &context.argv[1..] {
        match word.strip_prefix('-') {
            Some(letters) if !letters.is_empty() && operands.is_empty() => flags += letters,
            _ => operands.push(word.clone()),
        }
    }
    if operands.is_empty() {
        if name == "rm" && flags.contains('f') {
            return Ok(0);
        }
        return context.fail(1, "missing operand").await;
    }
    let mut status = 0;
    let view = context.view();
    let path = |operand: &str| join(&context.cwd, operand);
    match name.as_str() {
        "cp" | "mv" | "ln" => {
            let Some(to) = operands.pop().filter(|_| !operands.is_empty()) else {
                return context.fail(1, "missing destination file operand").await;
            };
            for from in &operands {
                let base = from.trim_end_matches('/').rsplit('/').next().unwrap_or(from);
                let into = view.is_directory(&path(&to));
                let target = if into { format!("{}/{base}", path(&to).trim_end_matches('/')) } else { path(&to) };
                let source = path(from);
                let result = match name.as_str() {
                    "ln" => view.symlink(from, &target),
                    _ if !view.exists(&source) => Err(FileError::NotFound),
                    "cp" if view.is_directory(&source) && !flags.contains(['r', 'R', 'a']) => {
                        context.err(format!("cp: -r not specified; omitting directory '{from}'\n")).await?;
                        status = 1;
                        continue;
                    }
                    "cp" => view.copy(&source, &target, flags.contains(['a', 'p'])),
                    _ => view.rename(&source, &target),
                };
                if let Err(error) = result {
                    status = context.fail(1, format!("cannot stat '{from}': {error}")).await?;
                }
            }
        }
        "chmod" | "chown" => {
            let what = operands.remove(0);
            for operand in &operands {
                let result = view.change(&path(operand), |entry| {
                    if name == "chown" {
                        let mut ids = what.split(':').map(|id| id.parse::<u32>().unwrap_or(0));
                        entry.uid = ids.next().unwrap_or(0);
                        entry.gid = ids.next().unwrap_or(entry.gid);
                    } else if let Ok(mode) = u32::from_str_radix(&what, 8) {
                        entry.mode = mode & 0o7777;
                    } else if let Some(at) = what.find(['+', '-', '=']) {
                        let bits = what[at + 1..].chars().fold(0, |bits, c| {
                            bits | match c {
                                'r' => 0o444,
                                'w' => 0o222,
                                'x' => 0o111,
                                _ => 0,
                            }
                        });
                        let who = what[..at].chars().fold(0, |who, c| {
                            who | match c {
                                'u' => 0o700,
                                'g' => 0o070,
                                'o' => 0o007,
                                _ => 0o777,
                            }
                        });
                        let bits = bits & if who == 0 { 0o755 | (bits & 0o111) } else { who };
                        if what[at..].starts_with('-') { entry.mode &= !bits } else { entry.mode |= bits }
                    }
                });
                if let Err(error) = result {
                    status = context.fail(1, format!("cannot access '{operand}': {error}")).await?;
                }
            }
        }
        "stat" => {
            for operand in &operands {
                match view.lstat(&path(operand)) {
                    Ok((_, entry)) => {
                        let text = format!(
                            "  File: {operand}\n  Size: {}\nAccess: ({:04o}/{})  Uid: {}  Gid: {}\n",
                            entry.size(),
                            entry.mode,
                            mode_text(&entry),
                            entry.uid,
                            entry.gid
                        );
                        context.out(text).await?;
                    }
                    Err(error) => status = context.fail(1, format!("cannot stat '{operand}': {error}")).await?,
                }
            }
        }
        "readlink" => {
            for operand in &operands {
                let found = if flags.contains('f') {
                    view.canonical(&path(operand)).ok()
                } else {
                    view.lstat(&path(operand)).ok().and_then(|(_, entry)| match entry.content {
                        Content::Symlink(target) => Some(target),
                        _ => None,
                    })
                };
                match found {
                    Some(target) => context.out(format!("{target}\n")).await?,
                    None => status = 1,
                }
            }
        }
        _ => {
            for operand in &operands {
                let target = path(operand);
                let (result, action) = match name.as_str() {
                    "mkdir" if flags.contains('p') => (view.make_directories(&target), "create directory"),
                    "mkdir" => (view.make_directory(&target), "create directory"),
                    "rmdir" => (view.remove(&target, false), "remove"),
                    "touch" if view.exists(&target) => {
                        let now = context.space().world.clock.seconds();
                        (view.change(&target, |entry| entry.mtime = now), "touch")
                    }
                    "touch" => (view.write(&target, b"", true), "touch"),
                    _ => {
                        let recursive = flags.contains(['r', 'R']);
                        let is_directory = view.lstat(&target).is_ok_and(|(_, entry)| entry.is_directory());
                        if is_directory && !recursive {
                            (Err(FileError::IsADirectory), "remove")
                        } else {
                            (view.remove(&target, recursive), "remove")
                        }
                    }
                };
                match result {
                    Err(FileError::NotFound) if name == "rm" && flags.contains('f') => {}
                    Err(error) => status = context.fail(1, format!("cannot {action} '{operand}': {error}")).await?,
                    Ok(()) => {}
                }
            }
        }
    }
    Ok(status)
}

async fn find(context: &Context) -> Result<i32, Closed> {
    let mut roots = Vec::new();
    let mut words = context.argv[1..].iter().peekable();
    while let Some(word) = words.next_if(|word| !word.starts_with('-')) {
        roots.push(word.clone());
    }
    if roots.is_empty() {
        roots.push(".".into());
    }
    let (mut pattern, mut kind, mut depth) = (None, None, usize::MAX);
    while let Some(option) = words.next() {
        let value = words.next().cloned().unwrap_or_default();
        match option.as_str() {
            "-name" => pattern = Some(value),
            "-type" => kind = value.chars().next(),
            "-maxdepth" => depth = value.parse().unwrap_or(usize::MAX),
            other => return context.fail(1, format!("unknown predicate `{other}'")).await,
        }
    }
    let mut status = 0;
    for root in roots {
        let mut pending = vec![(root.clone(), 0)];
        while let Some((name, level)) = pending.pop() {
            let path = join(&context.cwd, &name);
            let Ok((_, entry)) = context.view().lstat(&path) else {
                status = context.fail(1, format!("‘{name}’: No such file or directory")).await?;
                continue;
            };
            let base = name.rsplit('/').next().unwrap_or(&name);
            let kind_fits = match kind {
                Some('d') => entry.is_directory(),
                Some('f') => matches!(entry.content, Content::File(_)),
                Some('l') => matches!(entry.content, Content::Symlink(_)),
                _ => true,
            };
            if kind_fits && pattern.as_ref().is_none_or(|pattern| crate::shell::matches(pattern, base)) {
                context.out(format!("{name}\n")).await?;
            }
            if entry.is_directory() && level < depth {
                let names = context.view().list(&path).unwrap_or_default();
                let children = names.into_iter().rev();
                pending.extend(children.map(|child| (format!("{}/{child}", name.trim_end_matches('/')), level + 1)));
            }
        }
    }
    Ok(status)
}
