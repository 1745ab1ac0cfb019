//! `pip`, `apt-get` and `apk`: described packages add files and take time; others are said to be missing.

use std::time::Duration;

use crate::process::{Closed, Context, program_file};

/// A Python package: name, version, what it needs, kilobytes.
const PYTHON: &[(&str, &str, &[&str], u32)] = &[
    ("flask", "3.1.3", &["blinker", "click", "itsdangerous", "jinja2", "markupsafe", "werkzeug"], 103),
    ("blinker", "1.9.0", &[], 9),
    ("click", "8.5.1", &[], 126),
    ("itsdangerous", "2.2.0", &[], 16),
    ("jinja2", "3.1.6", &["markupsafe"], 135),
    ("markupsafe", "3.0.4", &[], 22),
    ("werkzeug", "3.1.9", &["markupsafe"], 229),
    ("redis", "7.0.1", &[], 340),
    ("requests", "2.32.5", &[], 65),
    ("gunicorn", "23.0.0", &[], 85),
];

/// Programs that a distribution's packages bring.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("curl", &["curl"]),
    ("wget", &["wget"]),
    ("procps", &["ps", "top", "free"]),
    ("iputils-ping", &["ping"]),
    ("iproute2", &["ip", "ss"]),
    ("nano", &["nano"]),
    ("vim", &["vi"]),
    ("dnsutils", &["nslookup"]),
    ("bind-tools", &["nslookup"]),
    ("bash", &["bash"]),
    ("figlet", &[]),
    ("ca-certificates", &[]),
];

pub(super) async fn install(tool: &str, context: Context) -> Result<i32, Closed> {
    let words: Vec<String> = context.argv[1..].iter().filter(|word| !word.starts_with('-')).cloned().collect();
    match (tool, words.first().map(String::as_str)) {
        ("pip", Some("install")) => pip(&context, &words[1..]).await,
        ("pip", Some("list")) => {
            context.out("Package Version\n------- -------\n").await?;
            for (name, version, ..) in PYTHON {
                if site(&context).is_some_and(|site| context.view().exists(&format!("{site}/{name}"))) {
                    context.out(format!("{name} {version}\n")).await?;
                }
            }
            Ok(0)
        }
        ("apt" | "apt-get", Some("update")) => {
            context.sleep(Duration::from_millis(900)).await;
            let _ = context.view().write("/var/lib/apt/lists/simulated_index", b"simulated\n", false);
            context.out("Get:1 http://deb.debian.org/debian stable InRelease [151 kB]\nFetched 151 kB in 1s (151 kB/s)\nReading package lists... Done\n").await?;
            Ok(0)
        }
        ("apt" | "apt-get", Some("install")) => {
            context.out("Reading package lists... Done\nBuilding dependency tree... Done\n").await?;
            let listed = context.view().list("/var/lib/apt/lists").is_ok_and(|names| !names.is_empty());
            for name in &words[1..] {
                let known = PROGRAMS.iter().find(|(package, _)| package == name).filter(|_| listed);
                let Some((_, programs)) = known else {
                    context.err(format!("E: Unable to locate package {name}\n")).await?;
                    return Ok(100);
                };
                context.sleep(Duration::from_millis(600)).await;
                context.out(format!("Setting up {name} ...\n")).await?;
                add(&context, programs).await?;
            }
            Ok(0)
        }
        ("apk", Some("add")) => {
            for (number, name) in words[1..].iter().enumerate() {
                let Some((_, programs)) = PROGRAMS.iter().find(|(package, _)| package == name) else {
                    context.err(format!("ERROR: unable to select packages:\n  {name} (no such package):\n    required by: world[{name}]\n")).await?;
                    return Ok(1);
                };
                context.sleep(Duration::from_millis(300)).await;
                context.out(format!("({}/{}) Installing {name}\n", number + 1, words.len() - 1)).await?;
                add(&context, programs).await?;
            }
            context.out("OK: 12 MiB in 24 packages\n").await?;
            Ok(0)
        }
        ("apt" | "apt-get", Some("clean" | "autoremove" | "upgrade")) | ("apk", Some("update")) => Ok(0),
        (_, what) => {
            let what = what.unwrap_or_default();
            context.fail(1, format!("the simulator's {tool} has no `{what}`; connect a backend to run it")).await
        }
    }
}

async fn add(context: &Context, programs: &[&str]) -> Result<(), Closed> {
    for program in programs {
        let now = context.space().world.clock.seconds();
        let entry = crate::fs::Entry::file(program_file(program), 0o755, now);
        if let Err(error) = context.view().put(&format!("/usr/bin/{program}"), entry) {
            context.fail(1, format!("/usr/bin/{program}: {error}")).await?;
        }
    }
    Ok(())
}

/// The directory of Python packages.
pub(super) fn site(context: &Context) -> Option<String> {
    let names = context.view().list("/usr/local/lib").unwrap_or_default();
    let python = names.into_iter().find(|name| name.starts_with("python3"));
    Some(format!("/usr/local/lib/{}/site-packages", python.unwrap_or_else(|| "python3.12".into())))
}

async fn pip(context: &Context, names: &[String]) -> Result<i32, Closed> {
    let mut wanted: Vec<String> = Vec::new();
    for name in names {
        if context.argv.iter().any(|word| word == "-r") {
            let path = context.path(name);
            match context.view().read_text(&path) {
                Ok(text) => {
                    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim().to_owned());
                    wanted.extend(lines.filter(|line| !line.is_empty()));
                }
                Err(_) => {
                    context
                        .err(format!(
                            "ERROR: Could not open requirements file: [Errno 2] No such file or directory: '{name}'\n"
                        ))
                        .await?;
                    return Ok(1);
                }
            }
        } else {
            wanted.push(name.clone());
        }
    }
    let site = site(context).unwrap_or_default();
    let mut order: Vec<&(&str, &str, &[&str], u32)> = Vec::new();
    for requirement in &wanted {
        let end = requirement.find(['=', '>', '<', '~', '!', '[', ';']).unwrap_or(requirement.len());
        let name = requirement[..end].trim().to_lowercase();
        let Some(package) = PYTHON.iter().find(|package| package.0 == name) else {
            let text = format!(
                "ERROR: Could not find a version that satisfies the requirement {requirement} (from versions: none)\nERROR: No matching distribution found for {requirement}\n(the simulator knows these packages: {})\n",
                PYTHON.iter().map(|package| package.0).collect::<Vec<_>>().join(", ")
            );
            context.err(text).await?;
            return Ok(1);
        };
        let needs = package.2.iter().filter_map(|need| PYTHON.iter().find(|package| package.0 == *need));
        for package in std::iter::once(package).chain(needs) {
            if !order.iter().any(|known| known.0 == package.0) {
                order.push(package);
            }
        }
    }
    order.retain(|package| !context.view().exists(&format!("{site}/{}", package.0)));
    if order.is_empty() {
        for name in &wanted {
            context.out(format!("Requirement already satisfied: {name} in {site}\n")).await?;
        }
        return Ok(0);
    }
    for (name, version, _, kilobytes) in &order {
        context
            .out(format!("Collecting {name}\n  Downloading {name}-{version}-py3-none-any.whl ({kilobytes} kB)\n"))
            .await?;
        context.sleep(Duration::from_millis(u64::from(120 + kilobytes))).await;
    }
    let names: Vec<&str> = order.iter().rev().map(|package| package.0).collect();
    context.out(format!("Installing collected packages: {}\n", names.join(", "))).await?;
    context.sleep(Duration::from_millis(400)).await;
    let mut installed: Vec<String> = Vec::new();
    for (name, version, _, kilobytes) in &order {
        let written = context.view().make_directories(&format!("{site}/{name}")).and_then(|()| {
            let module =
                format!("# {name} {version}, as the simulator knows it\n{}", "#\n".repeat(*kilobytes as usize * 8));
            context.view().write(&format!("{site}/{name}/__init__.py"), module.as_bytes(), false)
        });
        if let Err(error) = written {
            return context.fail(1, format!("{site}/{name}: {error}")).await;
        }
        installed.push(format!("{name}-{version}"));
    }
    installed.sort();
    context.out(format!("Successfully installed {}\n", installed.join(" "))).await?;
    Ok(0)
}
