//! Small programs about the machine and its processes.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::{
    host::{KERNEL, MEMORY},
    process::{Closed, Context, SpawnSpec, identity, signal},
    world::Inner,
};

/// `HH:MM` of a moment of world time.
pub(crate) fn clock_time(world: &Inner, elapsed: Duration) -> String {
    let ago = world.clock.elapsed().saturating_sub(elapsed);
    let at = world.clock.now().checked_sub(ago).unwrap_or_default();
    at.to_zoned(TimeZone::UTC).strftime("%H:%M").to_string()
}

/// `HH:MM:SS` of nanoseconds of CPU time.
pub(crate) fn cpu_time(nanoseconds: u64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

pub(super) fn up_time(world: &Inner) -> String {
    let minutes = world.clock.elapsed().as_secs() / 60;
    if minutes < 60 { format!("{minutes} min") } else { format!("{}:{:02}", minutes / 60, minutes % 60) }
}

fn escapes(text: &str) -> (String, bool) {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('a') => out.push('\x07'),
            Some('b') => out.push('\x08'),
            Some('e') => out.push('\x1b'),
            Some('\\') => out.push('\\'),
            Some('c') => return (out, true),
            Some('0') => {
                let mut value = 0;
                while let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)) {
                    value = value * 8 + digit;
                    chars.next();
                }
                out.push(char::from_u32(value).unwrap_or('\0'));
            }
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    (out, false)
}

/// What `echo` prints; dash interprets backslashes without `-e`.
pub(crate) fn echo(arguments: &[String], mut interpret: bool) -> String {
    let mut newline = true;
    let mut at = 0;
    while let Some(option) = arguments
        .get(at)
        .filter(|option| option.len() > 1 && option.starts_with('-') && option[1..].chars().all(|c| "neE".contains(c)))
    {
        for letter in option[1..].chars() {
            match letter {
                'n' => newline = false,
                'e' => interpret = true,
                _ => interpret = false,
            }
        }
        at += 1;
    }
    let text = arguments[at..].join(" ");
    let (mut text, stop) = if interpret { escapes(&text) } else { (text, false) };
    if newline && !stop {
        text.push('\n');
    }
    text
}

fn printf(format: &str, arguments: &[String]) -> String {
    let format = escapes(format).0;
    let mut out = String::new();
    let mut rest = arguments.iter();
    loop {
        let before = rest.len();
        let mut chars = format.chars().peekable();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let mut flags = String::new();
            while let Some(c) = chars.peek().filter(|c| "-0123456789.+ ".contains(**c)) {
                flags.push(*c);
                chars.next();
            }
            let (left, zero) = (flags.starts_with('-'), flags.starts_with('0'));
            let mut widths = flags.trim_start_matches(['-', '+', ' ']).split('.');
            let width: usize = widths.next().and_then(|width| width.parse().ok()).unwrap_or(0);
            let precision: Option<usize> = widths.next().and_then(|width| width.parse().ok());
            let text = match chars.next() {
                Some('%') => "%".to_owned(),
                Some('s') => {
                    let text = rest.next().cloned().unwrap_or_default();
                    precision.map_or(text.clone(), |length| text.chars().take(length).collect())
                }
                Some('b') => escapes(rest.next().map_or("", String::as_str)).0,
                Some('d' | 'i' | 'u') => rest.next().and_then(|text| text.parse::<i64>().ok()).unwrap_or(0).to_string(),
                Some('x') => format!("{:x}", rest.next().and_then(|text| text.parse::<i64>().ok()).unwrap_or(0)),
                Some('f') => {
                    let value = rest.next().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
                    format!("{value:.*}", precision.unwrap_or(6))
                }
                Some('c') => rest.next().and_then(|text| text.chars().next()).map(String::from).unwrap_or_default(),
                _ => String::new(),
            };
            let pad = width.saturating_sub(text.chars().count());
            out += &match (left, zero) {
                (true, _) => text + &" ".repeat(pad),
                (false, true) => "0".repeat(pad) + &text,
                (false, false) => " ".repeat(pad) + &text,
            };
        }
        if rest.len() == 0 || rest.len() == before {
            return out;
        }
    }
}

fn duration(text: &str) -> Option<Duration> {
    let (number, factor) = match text.chars().last()? {
        's' => (&text[..text.len() - 1], 1.0),
        'm' => (&text[..text.len() - 1], 60.0),
        'h' => (&text[..text.len() - 1], 3600.0),
        'd' => (&text[..text.len() - 1], 86400.0),
        _ => (text, 1.0),
    };
    if number == "inf" || number == "infinity" {
        return Some(Duration::from_secs(u64::from(u32::MAX)));
    }
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * factor).ok()
}

async fn ps(context: &Context) -> Result<i32, Closed> {
    let space = context.space();
    let options: String = context.argv[1..].concat();
    let tty = |process: &crate::ProcessState| process.tty.map_or("?".to_owned(), |tty| format!("pts/{tty}"));
    let busybox = space.view.exists("/etc/alpine-release") || !space.view.exists("/etc/debian_version");
    let mut text = String::new();
    if busybox {
        text += "PID   USER     TIME  COMMAND\n";
        for process in space.processes() {
            let minutes = process.cpu_time() / 60_000_000_000;
            let line = process.argv().join(" ");
            text += &format!(
                "{:>5} {:<8} {:>3}:{:02} {line}\n",
                process.pid,
                process.user,
                minutes,
                process.cpu_time() / 1_000_000_000 % 60
            );
        }
    } else if options.contains('u') {
        text += "USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND\n";
        for process in space.processes() {
            text += &format!(
                "{:<8} {:>7}  0.0  {:>3.1} {:>6} {:>5} {:<8} {:<4} {}   {:>1}:{:02} {}\n",
                process.user,
                process.pid,
                process.memory() as f64 * 100.0 / MEMORY as f64,
                process.memory() / 512,
                process.memory() / 1024,
                tty(&process),
                if process.pid == context.process.pid { "R+" } else { "Ss" },
                clock_time(&space.world, process.started),
                process.cpu_time() / 60_000_000_000,
                process.cpu_time() / 1_000_000_000 % 60,
                process.argv().join(" ")
            );
        }
    } else if options.contains('f') {
        text += "UID          PID    PPID  C STIME TTY          TIME CMD\n";
        for process in space.processes() {
            text += &format!(
                "{:<8} {:>7} {:>7}  0 {} {:<8} {} {}\n",
                process.user,
                process.pid,
                process.parent,
                clock_time(&space.world, process.started),
                tty(&process),
                cpu_time(process.cpu_time()),
                process.argv().join(" ")
            );
        }
    } else {
        text += "    PID TTY          TIME CMD\n";
        let all = options.contains(['e', 'A', 'x']);
        for process in space.processes().iter().filter(|process| all || process.tty == context.process.tty) {
            let argv = process.argv();
            let name = argv.first().map_or("", |name| name.rsplit('/').next().unwrap_or(name)).to_owned();
            text += &format!("{:>7} {:<8} {} {name}\n", process.pid, tty(process), cpu_time(process.cpu_time()));
        }
    }
    context.out(text).await?;
    Ok(0)
}

async fn env(context: &Context) -> Result<i32, Closed> {
    let mut environment = context.env.clone();
    let mut at = 1;
    while let Some((name, value)) = context.argv.get(at).and_then(|word| word.split_once('=')) {
        environment.set(name, value);
        at += 1;
    }
    let argv = context.argv[at..].to_vec();
    if argv.is_empty() {
        let text: String = environment.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        context.out(text).await?;
        return Ok(0);
    }
    start(context, argv, Some(environment)).await
}

/// Runs a command and waits for it, as `env` and `xargs` do.
pub(super) async fn start(
    context: &Context,
    argv: Vec<String>,
    environment: Option<crate::Environment>,
) -> Result<i32, Closed> {
    let user = docklab_host::User { spec: context.process.user.clone(), ..Default::default() };
    let name = argv[0].clone();
    let started = identity(context.view(), &user).and_then(|user| {
        context.space().spawn(SpawnSpec {
            argv,
            env: environment.unwrap_or_else(|| context.env.clone()),
            cwd: context.cwd.clone(),
            streams: context.streams.clone(),
            parent: context.process.pid,
            user,
        })
    });
    match started {
        Ok(child) => {
            if let Some(tty) = &context.streams.tty {
                tty.add_foreground(&child);
            }
            Ok(child.exit().await.code)
        }
        Err(_) => {
            context.err(format!("{}: ‘{name}’: No such file or directory\n", context.name())).await?;
            Ok(127)
        }
    }
}

/// Runs one of these programs; `None` when there is none of this name.
pub(super) async fn run(program: &str, context: &Context) -> Option<Result<i32, Closed>> {
    let arguments = &context.argv[1..];
    let first = arguments.first().map(String::as_str);
    let space = context.space();
    let text = match program {
        "true" => return Some(Ok(0)),
        "false" => return Some(Ok(1)),
        "ps" => return Some(ps(context).await),
        "env" => return Some(env(context).await),
        "sleep" => {
            let total: Option<Duration> = arguments.iter().map(|argument| duration(argument)).sum();
            match total.filter(|_| !arguments.is_empty()) {
                Some(total) => context.sleep(total).await,
                None if arguments.is_empty() => return Some(context.fail(1, "missing operand").await),
                None => {
                    let bad = first.unwrap_or_default();
                    return Some(context.fail(1, format!("invalid time interval ‘{bad}’")).await);
                }
            }
            return Some(Ok(0));
        }
        "kill" => {
            let mut number = signal::TERM;
            for word in arguments {
                if let Some(name) = word.strip_prefix('-') {
                    number = signal::parse(name).unwrap_or(signal::TERM);
                    continue;
                }
                match word.parse().ok().and_then(|pid| space.process(pid)) {
                    Some(process) if process.pid == 1 && space.is_container() && number == signal::KILL => {}
                    Some(process) => process.signal(number),
                    None => return Some(context.fail(1, format!("({word}) - No such process")).await),
                }
            }
            return Some(Ok(0));
        }
        "test" | "[" => {
            let words = arguments.strip_suffix(&["]".to_owned()]).unwrap_or(arguments);
            return Some(match crate::shell::test_expression(words, context.view(), &context.cwd) {
                Ok(result) => Ok(i32::from(!result)),
                Err(message) => context.fail(2, message).await,
            });
        }
        "echo" => echo(arguments, false),
        "printf" => printf(first.unwrap_or_default(), arguments.get(1..).unwrap_or_default()),
        "pwd" => format!("{}\n", context.cwd),
        "whoami" => format!("{}\n", context.process.user),
        "id" => {
            let (uid, name) = (context.process.uid, &context.process.user);
            if first == Some("-u") {
                format!("{uid}\n")
            } else {
                format!("uid={uid}({name}) gid={uid}({name}) groups={uid}({name})\n")
            }
        }
        "hostname" => match first {
            Some("-i" | "-I") => format!("{}\n", space.stack.first_address()),
            _ => format!("{}\n", space.hostname()),
        },
        "uname" => match first {
            Some("-a") => format!("Linux {} {KERNEL} #1 SMP docklab x86_64 GNU/Linux\n", space.hostname()),
            Some("-r") => format!("{KERNEL}\n"),
            Some("-m") => "x86_64\n".into(),
            Some("-n") => format!("{}\n", space.hostname()),
            _ => "Linux\n".into(),
        },
        "date" => {
            let now = space.world.clock.now().to_zoned(TimeZone::UTC);
            match first.and_then(|word| word.strip_prefix('+')) {
                Some(format) => format!("{}\n", now.strftime(format)),
                None => format!("{}\n", now.strftime("%a %b %e %H:%M:%S UTC %Y")),
            }
        }
        "clear" => "\x1b[H\x1b[2J\x1b[3J".into(),
        "tty" => match context.process.tty {
            Some(tty) => format!("/dev/pts/{tty}\n"),
            None => {
                let printed = context.out("not a tty\n").await;
                return Some(printed.map(|()| 1));
            }
        },
        "basename" => {
            let name = first.unwrap_or_default().trim_end_matches('/');
            let name = name.rsplit('/').next().unwrap_or_default();
            format!("{}\n", arguments.get(1).and_then(|end| name.strip_suffix(end.as_str())).unwrap_or(name))
        }
        "dirname" => {
            let (above, _) = first.unwrap_or_default().trim_end_matches('/').rsplit_once('/').unwrap_or((".", ""));
            format!("{}\n", if above.is_empty() { "/" } else { above })
        }
        "free" => format!(
            "               total        used        free      shared  buff/cache   available\nMem:     {:>11} {:>11} {:>11}           0           0 {:>11}\nSwap:              0           0           0\n",
            MEMORY / 1024,
            space.memory() / 1024,
            (MEMORY - space.memory().min(MEMORY)) / 1024,
            (MEMORY - space.memory().min(MEMORY)) / 1024
        ),
        "df" => {
            let source = if space.is_container() { "overlay" } else { "/dev/vda1" };
            let mut text = "Filesystem     1K-blocks  Used Available Use% Mounted on\n".to_owned();
            text += &format!("{source:<14}  20971520     0  20971520   0% /\n");
            for mount in space.view.mounts().iter().filter(|mount| mount.kind == "tmpfs" || mount.kind == "ext4") {
                text += &format!("{:<14}  20971520     0  20971520   0% {}\n", mount.kind, mount.target);
            }
            text
        }
        "which" => {
            let mut text = String::new();
            let mut status = 0;
            for name in arguments {
                let path = context.env.get("PATH").unwrap_or_default();
                match path.split(':').map(|dir| format!("{dir}/{name}")).find(|path| space.view.exists(path)) {
                    Some(path) => text += &format!("{path}\n"),
                    None => status = 1,
                }
            }
            return Some(context.out(text).await.map(|()| status));
        }
        _ => return None,
    };
    Some(context.out(text).await.map(|()| 0))
}
