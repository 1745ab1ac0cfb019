//! What the instructions without files do to an image's configuration, and the text they leave in its history.

use std::collections::BTreeMap;

use docklab_api::{ApiError, ApiResult, models::HealthConfig};

use super::instruction::{CommandLine, Kind};
use crate::image::{Empty, RunConfig};

/// Go's `%q` of a string.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            letter if (letter as u32) < 0x20 || letter as u32 == 0x7f => {
                quoted.push_str(&format!("\\x{:02x}", letter as u32));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// Go's `%q` of a list of strings.
pub(crate) fn quoted_list(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", words.join(" "))
}

/// Go's `time.Duration.String`.
fn duration(nanoseconds: i64) -> String {
    if nanoseconds < 1_000_000_000 {
        return if nanoseconds == 0 { "0s".to_owned() } else { format!("{}ms", nanoseconds as f64 / 1e6) };
    }
    let seconds = nanoseconds as f64 / 1e9;
    let (minutes, rest) = ((seconds / 60.0).floor(), seconds % 60.0);
    match minutes as i64 {
        0 => format!("{rest}s"),
        minutes if minutes < 60 => format!("{minutes}m{rest}s"),
        minutes => format!("{}h{}m{rest}s", minutes / 60, minutes % 60),
    }
}

fn health_text(health: &HealthConfig) -> String {
    let time = |value: Option<i64>| duration(value.unwrap_or(0));
    format!(
        "&{{[{}] {} {} {} {} {}}}",
        health.test.as_deref().unwrap_or_default().join(" "),
        time(health.interval),
        time(health.timeout),
        time(health.start_period),
        time(health.start_interval),
        health.retries.unwrap_or(0),
    )
}

/// The shell that shell forms run in.
pub(crate) fn shell(config: &RunConfig) -> Vec<String> {
    match &config.shell {
        Some(shell) if !shell.is_empty() => shell.clone(),
        _ => vec!["/bin/sh".to_owned(), "-c".to_owned()],
    }
}

/// The words to execute.
pub(crate) fn command_words(config: &RunConfig, line: &CommandLine) -> Vec<String> {
    if line.shell { shell(config).into_iter().chain(line.words.iter().cloned()).collect() } else { line.words.clone() }
}

/// A WORKDIR in front of the one before it.
pub(crate) fn workdir(current: &str, wanted: &str) -> String {
    let joined = if wanted.starts_with('/') { wanted.to_owned() } else { format!("{current}/{wanted}") };
    format!("/{}", crate::image::cleaned(&joined))
}

/// `80`, `80/udp`, `8000-8010/tcp` as container ports.
fn ports(specification: &str) -> ApiResult<Vec<String>> {
    let invalid = || ApiError::invalid(format!("Invalid containerPort: {specification}"));
    let (numbers, protocol) = specification.split_once('/').unwrap_or((specification, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(ApiError::invalid(format!("Invalid proto: {protocol}")));
    }
    let numbers = numbers.rsplit(':').next().unwrap_or(numbers);
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let (first, last): (u16, u16) = (first.parse().map_err(|_| invalid())?, last.parse().map_err(|_| invalid())?);
    if first > last {
        return Err(invalid());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn set(environment: &mut Vec<String>, key: &str, value: &str) {
    let entry = format!("{key}={value}");
    match environment.iter_mut().find(|other| other.split('=').next() == Some(key)) {
        Some(other) => *other = entry,
        None => environment.push(entry),
    }
}

/// Applies an instruction that only changes the configuration; the result is its text in the history. `None` for those
/// that need more than the configuration (FROM, RUN, COPY, ADD, ARG). `command_set` says whether this stage set CMD.
pub(crate) fn apply(config: &mut RunConfig, kind: &Kind, command_set: &mut bool) -> ApiResult<Option<String>> {
    let joined = |pairs: &[(String, String)]| -> String {
        pairs.iter().map(|(key, value)| format!(" {key}={value}")).collect::<Vec<_>>().concat()
    };
    Ok(Some(match kind {
        Kind::Env(pairs) => {
            for (key, value) in pairs {
                set(config.env.get_or_insert_default(), key, value);
            }
            format!("ENV{}", joined(pairs))
        }
        Kind::Label(pairs) => {
            config.labels.get_or_insert_default().extend(pairs.iter().cloned());
            format!("LABEL{}", joined(pairs))
        }
        Kind::Maintainer(name) => format!("MAINTAINER {name}"),
        Kind::OnBuild(expression) => {
            config.on_build.get_or_insert_default().push(expression.clone());
            format!("ONBUILD {expression}")
        }
        Kind::Workdir(path) => {
            config.working_dir = workdir(&config.working_dir, path);
            format!("WORKDIR {}", config.working_dir)
        }
        Kind::Cmd(line) => {
            let words = command_words(config, line);
            let text = format!("CMD {}", quoted_list(&words));
            *command_set |= !words.is_empty();
            config.cmd = Some(words);
            config.args_escaped = false;
            text
        }
        Kind::Entrypoint(line) => {
            // No words are no entrypoint, not the shell alone.
            let words = if line.words.is_empty() { Vec::new() } else { command_words(config, line) };
            let text = format!("ENTRYPOINT {}", quoted_list(&words));
            config.entrypoint = Some(words).filter(|words| !words.is_empty());
            if !*command_set {
                config.cmd = None;
            }
            text
        }
        Kind::Healthcheck(health) => {
            let inherited = config.healthcheck.take().unwrap_or_default();
            // What is not said stays as the image has it.
            config.healthcheck = Some(HealthConfig {
                test: health.test.clone(),
                interval: health.interval.or(inherited.interval),
                timeout: health.timeout.or(inherited.timeout),
                start_period: health.start_period.or(inherited.start_period),
                start_interval: health.start_interval.or(inherited.start_interval),
                retries: health.retries.or(inherited.retries),
            });
            format!("HEALTHCHECK {}", health_text(health))
        }
        Kind::Expose(specifications) => {
            let exposed = config.exposed_ports.get_or_insert_default();
            for specification in specifications {
                exposed.extend(ports(specification)?.into_iter().map(|port| (port, Empty {})));
            }
            format!("EXPOSE {}", specifications.join(" "))
        }
        Kind::User(user) => {
            config.user.clone_from(user);
            format!("USER {user}")
        }
        Kind::Volume(volumes) => {
            let known: &mut BTreeMap<_, _> = config.volumes.get_or_insert_default();
            known.extend(volumes.iter().map(|volume| (volume.clone(), Empty {})));
            format!("VOLUME [{}]", volumes.join(" "))
        }
        Kind::StopSignal(signal) => {
            crate::signals::parse(signal)?;
            config.stop_signal.clone_from(signal);
            format!("STOPSIGNAL {signal}")
        }
        Kind::Shell(shell) => {
            config.shell = Some(shell.clone());
            format!("SHELL [{}]", shell.join(" "))
        }
        Kind::From { .. } | Kind::Run(_) | Kind::Copy(_) | Kind::Add(_) | Kind::Arg(_) => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::instruction::Dockerfile;

    fn text(line: &str) -> (String, RunConfig) {
        let file = Dockerfile::parse("D", &format!("FROM a\n{line}")).expect("good");
        let mut config =
            RunConfig { working_dir: "/src".to_owned(), cmd: Some(vec!["old".to_owned()]), ..RunConfig::default() };
        let text = apply(&mut config, &file.stages[0].commands[0].kind, &mut false).expect("applied").expect("a text");
        (text, config)
    }

    #[test]
    fn history_texts() {
        for (line, wanted) in [
            ("CMD [\"python\",\"app.py\"]", "CMD [\"python\" \"app.py\"]"),
            ("CMD echo \"hi\"", "CMD [\"/bin/sh\" \"-c\" \"echo \\\"hi\\\"\"]"),
            ("ENV A=1 B=2", "ENV A=1 B=2"),
            ("WORKDIR sub", "WORKDIR /src/sub"),
            ("VOLUME /a /b", "VOLUME [/a /b]"),
            ("EXPOSE 80 53/udp", "EXPOSE 53/udp 80"),
            (
                "HEALTHCHECK --interval=30s --retries=3 CMD curl -f x",
                "HEALTHCHECK &{[CMD-SHELL curl -f x] 30s 0s 0s 0s 3}",
            ),
            ("HEALTHCHECK NONE", "HEALTHCHECK &{[NONE] 0s 0s 0s 0s 0}"),
        ] {
            assert_eq!(text(line).0, wanted);
        }
    }

    #[test]
    fn an_entrypoint_clears_an_inherited_command() {
        assert_eq!(text("ENTRYPOINT [\"a\"]").1.cmd, None);
    }
}
