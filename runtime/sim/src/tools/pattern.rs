//! `grep` and `sed`, over basic regular expressions.

use super::text::{Arguments, inputs, joined, lines};
use crate::{
    fs::join,
    process::{Closed, Context},
};

/// Whether a line has a match of a basic regular expression: `^`, `$`, `.`, `*`, `[…]` and literal text.
fn find(pattern: &str, line: &str, ignore_case: bool) -> Option<(usize, usize)> {
    let fold = |text: &str| if ignore_case { text.to_lowercase() } else { text.to_owned() };
    let pattern: Vec<char> = fold(pattern).chars().collect();
    let text: Vec<char> = fold(line).chars().collect();
    let (anchored, body) = match pattern.first() {
        Some('^') => (true, &pattern[1..]),
        _ => (false, &pattern[..]),
    };
    (0..=text.len())
        .take(if anchored { 1 } else { usize::MAX })
        .find_map(|start| match_here(body, &text, start).map(|end| (start, end)))
}

fn match_here(pattern: &[char], text: &[char], at: usize) -> Option<usize> {
    let Some(&first) = pattern.first() else { return Some(at) };
    if first == '$' && pattern.len() == 1 {
        return (at == text.len()).then_some(at);
    }
    let (length, test): (usize, Box<dyn Fn(char) -> bool>) = match first {
        '.' => (1, Box::new(|_| true)),
        '\\' if pattern.len() > 1 => {
            let wanted = pattern[1];
            (2, Box::new(move |c| c == wanted))
        }
        '[' => match pattern.iter().skip(2).position(|c| *c == ']') {
            Some(end) => {
                let class: String = pattern[..end + 3].iter().collect();
                (end + 3, Box::new(move |c| crate::shell::matches(&class, &c.to_string())))
            }
            None => (1, Box::new(|c| c == '[')),
        },
        wanted => (1, Box::new(move |c| c == wanted)),
    };
    let rest = &pattern[length..];
    match rest.first() {
        Some('*' | '+') => {
            let least = usize::from(rest[0] == '+');
            let most = text[at..].iter().take_while(|c| test(**c)).count();
            (least..=most).rev().find_map(|count| match_here(&rest[1..], text, at + count))
        }
        _ => (at < text.len() && test(text[at])).then(|| match_here(rest, text, at + 1)).flatten(),
    }
}

pub(super) async fn grep(context: &Context) -> Result<i32, Closed> {
    let arguments = Arguments::parse(&context.argv, "eABCm");
    let mut operands = arguments.operands.clone();
    let pattern = match arguments.value('e') {
        Some(pattern) => pattern.to_owned(),
        None if operands.is_empty() => return context.fail(2, "no pattern given").await,
        None => operands.remove(0),
    };
    let choices: Vec<&str> =
        if arguments.has('E') { pattern.split('|').collect() } else { pattern.split("\\|").collect() };
    let (read, failed) = inputs(context, &operands).await?;
    let many = read.len() > 1;
    let mut any = false;
    for (name, bytes) in &read {
        let mut count = 0;
        for (number, line) in lines(bytes).into_iter().enumerate() {
            let found = if arguments.has('F') {
                line.contains(&pattern)
            } else {
                choices.iter().any(|choice| find(choice, &line, arguments.has('i')).is_some())
            };
            if found == arguments.has('v') {
                continue;
            }
            any = true;
            count += 1;
            if arguments.has('q') {
                return Ok(0);
            }
            if !arguments.has('c') && !arguments.has('l') {
                let prefix = if many { format!("{name}:") } else { String::new() };
                let number = if arguments.has('n') { format!("{}:", number + 1) } else { String::new() };
                context.out(format!("{prefix}{number}{line}\n")).await?;
            }
        }
        if arguments.has('c') {
            context.out(format!("{count}\n")).await?;
        } else if arguments.has('l') && count > 0 {
            context.out(format!("{name}\n")).await?;
        }
    }
    Ok(if failed != 0 { 2 } else { i32::from(!any) })
}

pub(super) async fn sed(context: &Context) -> Result<i32, Closed> {
    let arguments = Arguments::parse(&context.argv, "e");
    let mut operands = arguments.operands.clone();
    let script = match arguments.value('e') {
        Some(script) => script.to_owned(),
        None if operands.is_empty() => return context.fail(1, "no script given").await,
        None => operands.remove(0),
    };
    let (read, status) = inputs(context, &operands).await?;
    for (name, bytes) in read {
        let mut out = Vec::new();
        for (number, line) in lines(&bytes).into_iter().enumerate() {
            match sed_line(&script, &line, number + 1, arguments.has('n')) {
                Some(result) => out.extend(result),
                None => {
                    return context.fail(1, format!("the simulator's sed knows s, d and p; not `{script}`")).await;
                }
            }
        }
        if arguments.has('i') {
            if let Err(error) = context.view().write(&join(&context.cwd, &name), joined(out).as_bytes(), false) {
                return context.fail(4, format!("{name}: {error}")).await;
            }
        } else {
            context.out(joined(out)).await?;
        }
    }
    Ok(status)
}

/// What a line becomes; `None` when the script is not understood.
fn sed_line(script: &str, line: &str, number: usize, quiet: bool) -> Option<Vec<String>> {
    let mut rest = script.trim();
    let mut applies = true;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    if let Ok(wanted) = digits.parse::<usize>() {
        applies = wanted == number;
        rest = &rest[digits.len()..];
    } else if let Some(after) = rest.strip_prefix('/') {
        let (pattern, after) = after.split_once('/')?;
        applies = find(pattern, line, false).is_some();
        rest = after;
    }
    let keep = if quiet { Vec::new() } else { vec![line.to_owned()] };
    match rest.trim() {
        "d" => Some(if applies { Vec::new() } else { keep }),
        "p" => {
            let mut kept = keep;
            if applies {
                kept.push(line.to_owned());
            }
            Some(kept)
        }
        rest if rest.starts_with('s') => {
            let mark = rest.chars().nth(1)?;
            let mut parts = rest[1 + mark.len_utf8()..].split(mark);
            let (pattern, replacement, flags) = (parts.next()?, parts.next()?, parts.next()?);
            if !applies {
                return Some(keep);
            }
            let mut out = String::new();
            let mut chars: Vec<char> = line.chars().collect();
            while let Some((start, end)) = find(pattern, &chars.iter().collect::<String>(), flags.contains('i')) {
                let found: String = chars[start..end].iter().collect();
                out.extend(&chars[..start]);
                out += &replacement.replace('&', &found);
                chars.drain(..end);
                if !flags.contains('g') || chars.is_empty() || pattern.starts_with('^') {
                    break;
                }
                if start == end {
                    out.push(chars.remove(0));
                }
            }
            out.extend(chars);
            Some(if quiet && !flags.contains('p') { Vec::new() } else { vec![out] })
        }
        _ => None,
    }
}
