//! `docklab start`: a session and a shell, in the terminal that the student has.

use std::{
    io::{IsTerminal as _, Read as _, Write as _},
    path::PathBuf,
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use docklab_scenario::Scenario;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Opened,
    belongings::Objects,
    recorder::{self, Filter, Message, Piece, Recorder},
    session_of, show,
    state::{Place, State, now},
};
use crate::{
    lab::{EngineKind, Paint, load},
    pty::{Pty, PtyCommand},
    session::{Node, Session},
};

/// Begin a lab, or go on with it: its nodes, its text and a shell, all in this terminal.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  docklab start labs/01-running-a-container.md                     on docklab's own engine
  docklab start labs/01-running-a-container.md --engine docker     on your own Docker
  docklab start --node node2                                       one more shell, on another node

In the shell:  docklab check · hint · next · why · skip · reset STEP · status

On your own Docker nothing is touched that was there before, or that the lab's commands do not create.")]
pub(crate) struct StartArguments {
    /// The lab; without one, the lab that was started last.
    file: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "docklab")]
    engine: EngineKind,
    /// The session of docklab's own engine.
    #[arg(long, value_name = "NAME", default_value = "default")]
    session: String,
    /// The node whose shell is opened; the first one when absent.
    #[arg(long)]
    node: Option<String>,
    /// Give a variable of the lab another value (repeatable).
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = crate::lab::replacement)]
    variables: Vec<(String, String)>,
    /// Images for an engine that lacks them: a seed that `docklab images` or `docker image save` wrote.
    #[arg(long)]
    seed: Option<PathBuf>,
    /// Forget the way so far and begin again.
    #[arg(long)]
    restart: bool,
}

pub(crate) async fn start(arguments: StartArguments) -> Result<i32> {
    let (place, session) = match &arguments.file {
        None => {
            let opened = Opened::open().await?;
            (opened.place, opened.session)
        }
        Some(file) => begin(file, &arguments).await?,
    };
    place.make_current()?;
    if let Some(seed) = &arguments.seed {
        crate::images::provide_all(&session.nodes()?, seed).await?;
    }
    let node = session.node(arguments.node.as_deref())?;
    let lab = Opened::open().await?;
    match lab.state.current_step(&lab.scenario) {
        Some((_, step)) => show::task(&lab, step),
        None => show::onwards(&lab),
    }
    shell(&place, &lab.scenario, &node).await
}

/// Makes the lab's state, unless there is one to go on with.
async fn begin(file: &std::path::Path, arguments: &StartArguments) -> Result<(Place, Session)> {
    let scenario = load(file, &arguments.variables)?;
    let place = Place::of(&scenario.meta.id);
    if arguments.restart {
        place.forget()?;
    }
    if place.exists() {
        let state = place.load()?;
        if state.engine != arguments.engine {
            bail!(
                "{} was begun on {}; --restart begins again on {}",
                scenario.meta.title,
                state.engine.name(),
                arguments.engine.name()
            );
        }
        let session = session_of(&state, &scenario).await?;
        return Ok((place, session));
    }
    let mut progress = docklab_scenario::Progress::new(scenario.meta.id.clone());
    if let Some(first) = scenario.steps.first() {
        progress.begin(&first.slug, now());
    }
    let mut state = State {
        file: file.canonicalize().with_context(|| format!("reading {}", file.display()))?,
        engine: arguments.engine,
        session: arguments.session.clone(),
        docker_host: std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()),
        variables: arguments.variables.clone(),
        progress,
        files: std::collections::BTreeMap::new(),
        held: std::collections::BTreeMap::new(),
    };
    let session = session_of(&state, &scenario).await?;
    for node in session.nodes()? {
        let objects =
            Objects::of(&node.client()).await.with_context(|| format!("asking the engine of {}", node.name))?;
        warn(&objects.in_the_way(&scenario.belongings()));
        state.held.insert(node.name.clone(), objects.ids());
    }
    place.save(&state)?;
    Ok((place, session))
}

fn warn(in_the_way: &[String]) {
    if !in_the_way.is_empty() {
        let paint = Paint::of(&std::io::stderr());
        let text = format!(
            "The lab will want these names, and they are taken: {}. They are not the lab's, so it leaves them alone.",
            in_the_way.join(", ")
        );
        eprintln!("{}", paint.notice(&text));
    }
}

/// The student's terminal, which must be as it was when the shell ends.
struct RawTerminal(Option<Termios>);

impl RawTerminal {
    fn enter() -> Self {
        let stdin = rustix::stdio::stdin();
        let Ok(cooked) = tcgetattr(stdin) else { return Self(None) };
        let mut raw = cooked.clone();
        raw.make_raw();
        tcsetattr(stdin, OptionalActions::Now, &raw).ok();
        Self(Some(cooked))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(cooked) = &self.0 {
            tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, cooked).ok();
        }
    }
}

fn terminal_size() -> (u16, u16) {
    let size = tcgetwinsize(rustix::stdio::stdout()).ok().filter(|size| size.ws_row > 0);
    size.map_or((24, 80), |size| (size.ws_row, size.ws_col))
}

/// Relays between the student's terminal and a shell of the node, until one of them ends.
async fn shell(place: &Place, scenario: &Scenario, node: &Node) -> Result<i32> {
    let mut environment = node.environment();
    environment.extend(recorder::environment().into_iter().map(|(name, value)| (name.to_owned(), value)));
    let pty = Pty::spawn(&PtyCommand {
        node,
        program: "bash",
        arguments: &["--noprofile", "--norc", "-i"],
        environment: &environment,
        directory: &node.workspace(),
        size: terminal_size(),
        echo: true,
    })
    .context("opening a shell")?;
    let raw = RawTerminal::enter();
    let mut keys = keys();
    let mut resizes = signal(SignalKind::window_change()).context("watching the size of the terminal")?;
    let (mut filter, mut recorder) = (Filter::default(), Recorder::default());
    let mut undecoded = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    let mut is_open = true;
    // What stands on the last line, to be shown again below a tick.
    let mut last_line = String::new();
    let (tick, mut ticks) = tokio::sync::mpsc::channel(4);
    loop {
        tokio::select! {
            Some(titles) = ticks.recv() => {
                let titles: Vec<String> = titles;
                for title in titles {
                    let text = Paint::of(&std::io::stdout()).good(&format!("✓ {title}"));
                    print(&format!("\r\n{text}   docklab next\r\n{last_line}"));
                }
            }
            read = pty.read(&mut buffer) => {
                let Ok(count @ 1..) = read else { break };
                undecoded.extend_from_slice(&buffer[..count]);
                for piece in filter.take(&decode(&mut undecoded)) {
                    match piece {
                        Piece::Text(text) => {
                            print(&text);
                            match text.rsplit_once('\n') {
                                Some((_, last)) => last_line = last.to_owned(),
                                None => last_line.push_str(&text),
                            }
                        }
                        Piece::Message(Message::Begin(line)) => {
                            let step = step_of(place, scenario);
                            recorder.begin(line, &node.name, &step, now());
                        }
                        Piece::Message(Message::End(exit)) => {
                            if let Some(command) = recorder.end(exit, now()) {
                                place.record(&command)?;
                                let tick = tick.clone();
                                tokio::spawn(async move {
                                    if let Ok(titles) = super::tick_off().await {
                                        tick.send(titles).await.ok();
                                    }
                                });
                            }
                        }
                        Piece::Message(Message::Call(words)) => {
                            let code = call(&words).await;
                            pty.write(format!("{code}\n").as_bytes()).await.ok();
                        }
                    }
                }
            }
            typed = keys.recv(), if is_open => match typed {
                Some(bytes) => {
                    recorder.typed(&String::from_utf8_lossy(&bytes), pty.hides_input());
                    if pty.write(&bytes).await.is_err() {
                        break;
                    }
                }
                // The end of what was piped in ends the shell, as it would end bash.
                None => {
                    is_open = false;
                    pty.write(b"\x04").await.ok();
                }
            },
            _ = resizes.recv() => {
                pty.resize(terminal_size()).ok();
            }
        }
    }
    drop(raw);
    if let Some(command) = recorder.abandon() {
        place.record(&command)?;
    }
    if std::io::stdout().is_terminal() {
        println!(
            "The lab stays as it is. `docklab start` opens a shell again, `docklab status` tells how far you are."
        );
    }
    Ok(0)
}

/// The step that is open, for the record.
fn step_of(place: &Place, scenario: &Scenario) -> String {
    let state = place.load().ok();
    let step = state.as_ref().and_then(|state| state.current_step(scenario)).map(|(_, step)| step.slug.clone());
    step.unwrap_or_default()
}

/// What is typed. A thread, because reading a terminal cannot be made non-blocking without changing it for our parent too.
fn keys() -> tokio::sync::mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = std::io::stdin().lock().read(&mut buffer) {
            if sender.blocking_send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).ok();
}

/// Takes what is whole of the bytes: a character may come in two reads.
fn decode(bytes: &mut Vec<u8>) -> String {
    let whole = match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        // Not the beginning of a character at the end, but no UTF-8 at all.
        Err(error) if error.error_len().is_some() => bytes.len(),
        Err(error) => error.valid_up_to(),
    };
    let rest = bytes.split_off(whole);
    String::from_utf8_lossy(&std::mem::replace(bytes, rest)).into_owned()
}

/// Runs `docklab` for the shell, outside the node, where the lab's state is.
async fn call(words: &[String]) -> i32 {
    const ALLOWED: &[&str] = &["check", "hint", "next", "why", "skip", "reset", "status", "report"];
    let Some(word) = words.first().filter(|word| ALLOWED.contains(&word.as_str())) else {
        print(&format!("In a lab's shell there are:  docklab {}\r\n", ALLOWED.join(" · ")));
        return 2;
    };
    let Ok(program) = std::env::current_exe() else { return 127 };
    let mut command = tokio::process::Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if std::io::stdout().is_terminal() {
        command.env("CLICOLOR_FORCE", "1");
    }
    match command.output().await {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            // The terminal is raw: a line end alone does not return the carriage.
            print(&String::from_utf8_lossy(&text).replace('\n', "\r\n"));
            output.status.code().unwrap_or(1)
        }
        Err(error) => {
            print(&format!("docklab {word}: {error}\r\n"));
            127
        }
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn a_character_in_two_reads_is_one() {
        let mut bytes = "é".as_bytes()[..1].to_vec();
        assert_eq!(decode(&mut bytes), "");
        bytes.extend_from_slice(&"é".as_bytes()[1..]);
        assert_eq!(decode(&mut bytes), "é");
        let mut broken = vec![b'a', 0xff, b'b'];
        assert_eq!(decode(&mut broken), "a\u{fffd}b");
    }
}
