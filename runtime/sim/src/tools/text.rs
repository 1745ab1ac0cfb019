//! Programs that turn text into text.

use super::pattern;
use crate::{
    fs::join,
    process::{Closed, Context, open_sink},
};

/// Options as single letters with their values, and operands.
pub(super) struct Arguments {
    flags: String,
    values: Vec<(char, String)>,
    pub(super) operands: Vec<String>,
}

impl Arguments {
    /// Letters of `with_value` take the rest of the word or the next one.
    pub(super) fn parse(argv: &[String], with_value: &str) -> Self {
        let mut parsed = Self { flags: String::new(), values: Vec::new(), operands: Vec::new() };
        let mut words = argv.iter().skip(1);
        while let Some(word) = words.next() {
            if word == "--" {
                parsed.operands.extend(words.cloned());
                break;
            }
            if word.len() < 2 || !word.starts_with('-') || word.starts_with("--") {
                parsed.operands.push(word.clone());
                continue;
            }
            for (at, letter) in word.char_indices().skip(1) {
                if with_value.contains(letter) {
                    let rest = &word[at + 1..];
                    let value =
                        if rest.is_empty() { words.next().cloned().unwrap_or_default() } else { rest.to_owned() };
                    parsed.values.push((letter, value));
                    break;
                }
                parsed.flags.push(letter);
            }
        }
        parsed
    }
    pub(super) fn has(&self, letter: char) -> bool {
        self.flags.contains(letter)
    }
    pub(super) fn value(&self, letter: char) -> Option<&str> {
        self.values.iter().rev().find(|(name, _)| *name == letter).map(|(_, value)| value.as_str())
    }
}

/// Reads the operands (standard input without any, or for `-`); complains about those that cannot be read.
pub(super) async fn inputs(context: &Context, operands: &[String]) -> Result<(Vec<(String, Vec<u8>)>, i32), Closed> {
    let mut read = Vec::new();
    let mut status = 0;
    if operands.is_empty() {
        read.push(("-".to_owned(), context.streams.stdin.read_to_end().await));
    }
    for name in operands {
        if name == "-" || name == "/dev/stdin" {
            read.push((name.clone(), context.streams.stdin.read_to_end().await));
            continue;
        }
        match context.view().read(&join(&context.cwd, name)) {
            Ok(bytes) => read.push((name.clone(), bytes.to_vec())),
            Err(error) => status = context.fail(1, format!("{name}: {error}")).await?,
        }
    }
    Ok((read, status))
}

pub(super) fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

pub(super) fn joined(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().map(|line| line + "\n").collect()
}

pub(super) async fn filter(context: Context) -> Result<i32, Closed> {
    match context.name() {
        "cat" => cat(&context).await,
        "head" | "tail" => head_or_tail(&context).await,
        "wc" => wc(&context).await,
        "grep" => pattern::grep(&context).await,
        "sed" => pattern::sed(&context).await,
        "tee" => tee(&context).await,
        "xargs" => xargs(&context).await,
        "yes" => {
            let text = if context.argv.len() > 1 { context.argv[1..].join(" ") } else { "y".to_owned() };
            loop {
                context.out(format!("{text}\n").repeat(64)).await?;
                context.sleep(std::time::Duration::from_millis(1)).await;
            }
        }
        _ => by_line(&context).await,
    }
}

async fn cat(context: &Context) -> Result<i32, Closed> {
    let arguments = Arguments::parse(&context.argv, "");
    if arguments.operands.is_empty() {
        while let Some(bytes) = context.streams.stdin.read().await {
            context.out(bytes).await?;
        }
        return Ok(0);
    }
    let (read, status) = inputs(context, &arguments.operands).await?;
    let mut number = 0;
    for (_, bytes) in read {
        if arguments.has('n') {
            let numbered = lines(&bytes).into_iter().map(|line| {
                number += 1;
                format!("{number:>6}\t{line}")
            });
            context.out(joined(numbered)).await?;
        } else {
            context.out(bytes).await?;
        }
    }
    Ok(status)
}

async fn head_or_tail(context: &Context) -> Result<i32, Closed> {
    let argv: Vec<String> = context
        .argv
        .iter()
        .map(|word| match word.strip_prefix('-') {
            Some(number) if number.parse::<u32>().is_ok() => format!("-n{number}"),
            _ => word.clone(),
        })
        .collect();
    let arguments = Arguments::parse(&argv, "nc");
    let is_tail = context.name() == "tail";
    if is_tail && arguments.operands.iter().any(|name| name == "/dev/zero") {
        // It keeps everything since the last newline, and there is none: memory grows until the limit.
        loop {
            context.process.set_memory(context.process.memory() + (16 << 20));
            context.sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    let count = arguments.value('n').unwrap_or("10");
    let from_start = count.starts_with('+');
    let number: usize = count.trim_start_matches(['+', '-']).parse().unwrap_or(10);
    if !is_tail && arguments.operands.is_empty() && arguments.value('c').is_none() {
        // It stops reading after its last line, which ends who writes (`yes | head`).
        for _ in 0..number {
            let Some(line) = context.streams.stdin.read_line().await else { break };
            context.out(line + "\n").await?;
        }
        return Ok(0);
    }
    let (read, status) = inputs(context, &arguments.operands).await?;
    let many = read.len() > 1;
    for (name, bytes) in &read {
        if many {
            context.out(format!("==> {name} <==\n")).await?;
        }
        if let Some(count) = arguments.value('c').and_then(|count| count.parse::<usize>().ok()) {
            let count = count.min(bytes.len());
            context.out(if is_tail { &bytes[bytes.len() - count..] } else { &bytes[..count] }).await?;
            continue;
        }
        let all = lines(bytes);
        let part = match (is_tail, from_start) {
            (true, true) => &all[(number.max(1) - 1).min(all.len())..],
            (true, false) => &all[all.len().saturating_sub(number)..],
            (false, _) => &all[..number.min(all.len())],
        };
        context.out(joined(part.to_vec())).await?;
    }
    if is_tail && (arguments.has('f') || arguments.has('F')) {
        let name = arguments.operands.first().cloned().unwrap_or_default();
        let path = join(&context.cwd, &name);
        if path == "/dev/null" || name.is_empty() {
            futures::future::pending::<()>().await;
        }
        let mut seen = read.first().map_or(0, |(_, bytes)| bytes.len());
        loop {
            context.sleep(std::time::Duration::from_secs(1)).await;
            let bytes = context.view().read(&path).unwrap_or_default();
            if bytes.len() > seen {
                context.out(&bytes[seen..]).await?;
            }
            seen = bytes.len();
        }
    }
    Ok(status)
}

async fn wc(context: &Context) -> Result<i32, Closed> {
    let arguments = Arguments::parse(&context.argv, "");
    let (read, status) = inputs(context, &arguments.operands).await?;
    let mut totals = [0; 3];
    let all = arguments.flags.is_empty();
    let wanted = [all || arguments.has('l'), all || arguments.has('w'), all || arguments.has('c')];
    let shown = |counts: [usize; 3], name: &str| {
        let numbers: Vec<String> = counts
            .iter()
            .zip(wanted)
            .filter(|(_, wanted)| *wanted)
            .map(|(count, _)| if all { format!("{count:>7}") } else { count.to_string() })
            .collect();
        if name == "-" { format!("{}\n", numbers.join(" ")) } else { format!("{} {name}\n", numbers.join(" ")) }
    };
    for (name, bytes) in &read {
        let text = String::from_utf8_lossy(bytes);
        let counts = [text.matches('\n').count(), text.split_whitespace().count(), bytes.len()];
        totals.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
        context.out(shown(counts, name)).await?;
    }
    if read.len() > 1 {
        context.out(shown(totals, "total")).await?;
    }
    Ok(status)
}

async fn tee(context: &Context) -> Result<i32, Closed> {
    let arguments = Arguments::parse(&context.argv, "");
    let mut sinks = Vec::new();
    for name in &arguments.operands {
        match open_sink(context.view(), &join(&context.cwd, name), arguments.has('a'), &context.streams) {
            Ok(sink) => sinks.push(sink),
            Err(error) => {
                context.fail(1, format!("{name}: {error}")).await?;
            }
        }
    }
    while let Some(bytes) = context.streams.stdin.read().await {
        context.out(&bytes).await?;
        for sink in &sinks {
            sink.write(&bytes).await?;
        }
    }
    Ok(0)
}

async fn xargs(context: &Context) -> Result<i32, Closed> {
    let arguments = Arguments::parse(&context.argv, "nI");
    let text = context.streams.stdin.read_to_end().await;
    let words: Vec<String> = String::from_utf8_lossy(&text).split_whitespace().map(str::to_owned).collect();
    let command = if arguments.operands.is_empty() { vec!["echo".to_owned()] } else { arguments.operands.clone() };
    let size = arguments.value('n').and_then(|n| n.parse().ok()).unwrap_or(usize::MAX).max(1);
    let mut status = 0;
    if let Some(mark) = arguments.value('I') {
        for word in &words {
            let argv = command.iter().map(|part| part.replace(mark, word)).collect();
            status = super::system::start(context, argv, None).await?;
        }
        return Ok(status);
    }
    for chunk in words.chunks(size.min(words.len().max(1))) {
        let argv = command.iter().chain(chunk).cloned().collect();
        status = super::system::start(context, argv, None).await?;
    }
    Ok(status)
}

async fn by_line(context: &Context) -> Result<i32, Closed> {
    let name = context.name().to_owned();
    if name == "seq" {
        let numbers: Vec<i64> = context.argv[1..].iter().filter_map(|word| word.parse().ok()).collect();
        let (from, step, to) = match numbers.as_slice() {
            [to] => (1, 1, *to),
            [from, to] => (*from, 1, *to),
            [from, step, to] if *step != 0 => (*from, *step, *to),
            _ => return context.fail(1, "missing operand").await,
        };
        let mut at = from;
        while if step > 0 { at <= to } else { at >= to } {
            context.out(format!("{at}\n")).await?;
            at += step;
        }
        return Ok(0);
    }
    if name == "tr" {
        let delete = context.argv.get(1).is_some_and(|word| word == "-d");
        let squeeze = context.argv.get(1).is_some_and(|word| word == "-s");
        let sets = &context.argv[1 + usize::from(delete || squeeze)..];
        let from = characters(sets.first().map_or("", String::as_str));
        let to = characters(sets.get(1).map_or("", String::as_str));
        let text = context.streams.stdin.read_to_end().await;
        let mut out = String::new();
        for c in String::from_utf8_lossy(&text).chars() {
            match from.iter().position(|known| *known == c) {
                Some(_) if delete => {}
                Some(_) if squeeze && to.is_empty() => {
                    if !out.ends_with(c) {
                        out.push(c);
                    }
                }
                Some(index) => out.push(to.get(index).or(to.last()).copied().unwrap_or(c)),
                None => out.push(c),
            }
        }
        context.out(out).await?;
        return Ok(0);
    }
    let arguments = Arguments::parse(&context.argv, if name == "cut" { "dfc" } else { "k" });
    let (read, status) = inputs(context, &arguments.operands).await?;
    if name == "sha256sum" {
        for (name, bytes) in &read {
            context.out(format!("{}  {name}\n", &crate::fs::digest(bytes)[7..])).await?;
        }
        return Ok(status);
    }
    let mut all: Vec<String> = read.iter().flat_map(|(_, bytes)| lines(bytes)).collect();
    match name.as_str() {
        "sort" => {
            if arguments.has('n') {
                all.sort_by_key(|line| {
                    line.trim_start()
                        .chars()
                        .take_while(char::is_ascii_digit)
                        .collect::<String>()
                        .parse::<u64>()
                        .unwrap_or(0)
                });
            } else {
                all.sort();
            }
            if arguments.has('r') {
                all.reverse();
            }
            if arguments.has('u') {
                all.dedup();
            }
            context.out(joined(all)).await?;
        }
        "uniq" => {
            let mut groups: Vec<(usize, String)> = Vec::new();
            for line in all {
                match groups.last_mut() {
                    Some((count, last)) if *last == line => *count += 1,
                    _ => groups.push((1, line)),
                }
            }
            let shown = groups
                .into_iter()
                .filter(|(count, _)| !arguments.has('d') || *count > 1)
                .map(|(count, line)| if arguments.has('c') { format!("{count:>7} {line}") } else { line });
            context.out(joined(shown)).await?;
        }
        _ => {
            let delimiter = arguments.value('d').unwrap_or("\t").to_owned();
            let by_character = arguments.value('c').is_some();
            let list = arguments.value('f').or(arguments.value('c')).unwrap_or("1-").to_owned();
            let wanted = |index: usize| {
                list.split(',').any(|range| {
                    let (from, to) = range.split_once('-').unwrap_or((range, range));
                    index >= from.parse().unwrap_or(1) && index <= to.parse().unwrap_or(usize::MAX)
                })
            };
            let cut = all.into_iter().map(|line| {
                if by_character {
                    return line.chars().enumerate().filter(|(n, _)| wanted(n + 1)).map(|(_, c)| c).collect();
                }
                if !line.contains(&delimiter) {
                    return line;
                }
                let parts: Vec<&str> =
                    line.split(&delimiter).enumerate().filter(|(n, _)| wanted(n + 1)).map(|(_, part)| part).collect();
                parts.join(&delimiter)
            });
            context.out(joined(cut)).await?;
        }
    }
    Ok(status)
}

/// The characters of a `tr` set: ranges, classes, escapes.
fn characters(set: &str) -> Vec<char> {
    let set = set
        .replace("[:lower:]", "a-z")
        .replace("[:upper:]", "A-Z")
        .replace("[:digit:]", "0-9")
        .replace("[:space:]", " \t\n\r")
        .replace("\\n", "\n")
        .replace("\\t", "\t");
    let set: Vec<char> = set.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < set.len() {
        if at + 2 < set.len() && set[at + 1] == '-' && set[at] <= set[at + 2] {
            out.extend(set[at]..=set[at + 2]);
            at += 3;
        } else {
            out.push(set[at]);
            at += 1;
        }
    }
    out
}
