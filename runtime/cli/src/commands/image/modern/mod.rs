//! A build in the newer builder's output, drawn from the classic builder's messages.
//!
//! `DOCKER_BUILDKIT=1` or `--progress` asks for it; without either a build looks as Docker's client without the buildx
//! component shows it. What is built, and how, is the same.

mod dockerfile;
mod screen;

use docklab_api::{MessageStream, ProgressMessage, Reference};
use futures::StreamExt as _;

use self::dockerfile::Plan;
use self::screen::Screen;
use crate::{
    console::{Console, Stream},
    context::{Context, Invocation},
    error::{CliError, CliResult},
};

/// How a build is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Plain,
    Terminal,
    Quiet,
}

/// Whether this command line asks for the newer output.
pub(crate) fn is_wanted(console: &dyn Console, call: &Invocation) -> bool {
    match console.variable("DOCKER_BUILDKIT").as_deref() {
        Some("0" | "false") => false,
        Some("1" | "true") => true,
        _ => call.flags.given("progress"),
    }
}

/// `--progress`, or what `BUILDKIT_PROGRESS` says, or what the client's standard error is.
pub(crate) fn progress(context: &Context, call: &Invocation) -> CliResult<Progress> {
    if call.flags.is_set("quiet") {
        return Ok(Progress::Quiet);
    }
    let given = call.flags.get("progress").map(ToOwned::to_owned);
    let given = given.or_else(|| context.console.variable("BUILDKIT_PROGRESS")).unwrap_or_default();
    Ok(match given.as_str() {
        "plain" => Progress::Plain,
        "tty" => Progress::Terminal,
        "quiet" => Progress::Quiet,
        "" | "auto" if context.console.is_terminal(Stream::Stderr) => Progress::Terminal,
        "" | "auto" => Progress::Plain,
        other => return Err(CliError::new(format!("ERROR: failed to build: invalid progress mode {other}"))),
    })
}

/// One thing the builder does.
#[derive(Debug, Default)]
pub(crate) struct Vertex {
    pub name: String,
    /// What is told of it besides its name: sizes, results.
    pub details: Vec<String>,
    /// Seconds since the build began.
    pub started: f64,
    pub ended: Option<f64>,
    pub cached: bool,
    pub error: Option<String>,
    /// Lines of a command, each with the seconds since it began.
    pub log: Vec<(f64, String)>,
}

struct Build<'a> {
    context: &'a Context,
    plan: Plan,
    screen: Screen,
    began: i128,
    vertices: Vec<Vertex>,
    /// The vertex of the step under way.
    current: Option<usize>,
    /// A line that has not ended yet.
    partial: String,
    image: Option<String>,
}

/// Shows a build until its end. Returns the image's ID.
pub(crate) async fn show(
    context: &Context,
    progress: Progress,
    dockerfile: &str,
    ignore_size: usize,
    context_size: usize,
    tags: &[String],
    messages: MessageStream,
) -> CliResult<Option<String>> {
    let mut build = Build {
        context,
        plan: Plan::read(dockerfile),
        screen: Screen::new(progress, context.console.terminal_size().map_or(80, |(_, columns)| usize::from(columns))),
        began: context.console.now().as_nanosecond(),
        vertices: Vec::new(),
        current: None,
        partial: String::new(),
        image: None,
    };
    build.prepare(dockerfile.len(), ignore_size, context_size).await;
    let outcome = build.follow(messages).await;
    match outcome {
        Ok(()) => build.export(tags).await,
        Err(error) => return Err(build.fail(&error).await),
    }
    if progress == Progress::Quiet
        && let Some(id) = &build.image
    {
        context.line(id).await;
    }
    Ok(build.image)
}

impl Build<'_> {
    fn seconds(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // seconds to show
        let nanoseconds = (self.context.console.now().as_nanosecond() - self.began) as f64;
        nanoseconds / 1e9
    }

    async fn draw(&mut self) {
        let now = self.seconds();
        let text = self.screen.draw(&self.vertices, now);
        self.context.stderr(text).await;
    }

    fn begin(&mut self, name: String) -> usize {
        let started = self.seconds();
        self.vertices.push(Vertex { name, started, ..Vertex::default() });
        self.vertices.len() - 1
    }

    fn end(&mut self, index: usize) {
        let now = self.seconds();
        if let Some(vertex) = self.vertices.get_mut(index) {
            vertex.ended.get_or_insert(now);
        }
    }

    /// What happens on the client before the first step.
    async fn prepare(&mut self, dockerfile: usize, ignore: usize, context: usize) {
        let mut internal = vec![(
            "load build definition from Dockerfile".to_owned(),
            format!("transferring dockerfile: {dockerfile}B done"),
        )];
        internal.extend(self.plan.bases().into_iter().map(|base| {
            let name = Reference::parse(&base).map_or(base, |reference| reference.with_default_tag().to_string());
            (format!("load metadata for {name}"), String::new())
        }));
        internal.push(("load .dockerignore".to_owned(), format!("transferring context: {ignore}B done")));
        if self.plan.reads_context() {
            internal.push(("load build context".to_owned(), format!("transferring context: {} done", size(context))));
        }
        for (name, detail) in internal {
            let index = self.begin(format!("[internal] {name}"));
            if !detail.is_empty() {
                self.vertices[index].details.push(detail);
            }
            self.end(index);
            self.draw().await;
        }
    }

    async fn follow(&mut self, mut messages: MessageStream) -> Result<(), String> {
        while let Some(message) = messages.next().await {
            let message = message.map_err(|error| error.message)?;
            if let Some(error) = &message.error {
                let detail = message.error_detail.as_ref().map(|detail| detail.message.clone());
                return Err(detail.unwrap_or_else(|| error.clone()));
            }
            self.message(message).await;
        }
        Ok(())
    }

    async fn message(&mut self, message: ProgressMessage) {
        if let Some(id) = message.aux.as_ref().and_then(|aux| aux.get("ID")).and_then(serde_json::Value::as_str) {
            self.image = Some(id.to_owned());
        }
        let Some(text) = message.stream else { return };
        self.partial.push_str(&text);
        // The builder sends a step's line without its end.
        while let Some(end) = self.partial.find('\n') {
            let line: String = self.partial.drain(..=end).collect();
            self.line(line.trim_end_matches(['\n', '\r']));
            self.draw().await;
        }
        if self.partial.starts_with("Step ") && !text.ends_with('\n') {
            let line = std::mem::take(&mut self.partial);
            self.line(&line);
            self.draw().await;
        }
    }

    fn line(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("Step ") {
            let number = rest.split('/').next().and_then(|number| number.parse::<usize>().ok());
            if let Some(index) = self.current.take() {
                self.end(index);
            }
            let name = number.and_then(|number| self.plan.name(number));
            self.current = name.map(|name| self.begin(name));
            return;
        }
        let Some(current) = self.current else { return };
        if line.starts_with(" ---> Using cache") {
            self.vertices[current].cached = true;
        } else if line.starts_with(" ---> ") {
            let running = line.starts_with(" ---> Running in") || line.starts_with(" ---> Removed");
            if !running {
                self.end(current);
                self.current = None;
            }
        } else if !line.is_empty() && !line.starts_with("Successfully ") {
            let since = self.seconds() - self.vertices[current].started;
            self.vertices[current].log.push((since, line.to_owned()));
        }
    }

    async fn export(&mut self, tags: &[String]) {
        if let Some(current) = self.current.take() {
            self.end(current);
        }
        let index = self.begin("exporting to image".to_owned());
        let mut details = vec!["exporting layers done".to_owned()];
        details.extend(self.image.iter().map(|id| format!("writing image {id} done")));
        details.extend(tags.iter().filter_map(|tag| {
            Reference::parse(tag).ok().map(|reference| format!("naming to {} done", reference.with_default_tag()))
        }));
        self.vertices[index].details = details;
        self.end(index);
        self.draw().await;
    }

    /// Shows the step that failed and the line of the Dockerfile it stands on.
    async fn fail(&mut self, message: &str) -> CliError {
        let reason = in_new_words(message);
        let failed = self.current.or_else(|| self.plan.fault(message).map(|_| usize::MAX));
        let mut text = String::new();
        if let Some(vertex) = failed.and_then(|index| self.vertices.get_mut(index)) {
            vertex.error = Some(reason.clone());
            text.push_str(&format!("------\n > {}:\n", vertex.name));
            for (since, line) in &vertex.log {
                text.push_str(&format!("{since:.3} {line}\n"));
            }
            text.push_str("------\n");
        }
        if let Some(index) = self.current {
            self.end(index);
        }
        self.draw().await;
        let name = failed.and_then(|index| self.vertices.get(index)).map(|vertex| vertex.name.clone());
        let line = name.and_then(|name| self.plan.line_of(&name)).or_else(|| self.plan.fault(message));
        if let Some(line) = line {
            text.push_str(&self.plan.excerpt(line));
        }
        self.context.stderr(text).await;
        CliError::new(format!("ERROR: failed to build: failed to solve: {reason}"))
    }
}

/// The classic builder's message as the newer one puts it.
fn in_new_words(message: &str) -> String {
    let command =
        message.strip_prefix("The command '").and_then(|rest| rest.split_once("' returned a non-zero code: "));
    match command {
        Some((command, code)) => {
            format!("process {} did not complete successfully: exit code: {code}", crate::format::quote(command))
        }
        None => message.to_owned(),
    }
}

fn size(bytes: usize) -> String {
    #[allow(clippy::cast_precision_loss)] // a size to show
    let bytes = bytes as f64;
    crate::format::size4(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_within_their_stages() {
        let plan = Plan::read(
            "FROM golang AS build\nRUN a \\\n  && b\nFROM alpine\nENV X=1\nCOPY --from=build /a /a\nCMD a\n",
        );
        let names: Vec<Option<String>> = (1..=6).map(|number| plan.name(number)).collect();
        let expected = [
            Some("[build 1/2] FROM docker.io/library/golang:latest"),
            Some("[build 2/2] RUN a && b"),
            Some("[stage-1 1/2] FROM docker.io/library/alpine:latest"),
            None,
            Some("[stage-1 2/2] COPY --from=build /a /a"),
            None,
        ];
        assert_eq!(names, expected.map(|name| name.map(ToOwned::to_owned)));
        assert!(!plan.reads_context());
        assert_eq!(plan.bases(), ["golang", "alpine"]);
    }

    #[test]
    fn plain_progress_prints_each_line_once() {
        let mut screen = Screen::new(Progress::Plain, 80);
        let mut vertex = Vertex { name: "[2/2] RUN x".to_owned(), ..Vertex::default() };
        vertex.log.push((0.199, "out".to_owned()));
        let begin = "#0 building with \"default\" instance using docker driver\n\n#1 [2/2] RUN x\n#1 0.199 out\n";
        assert_eq!(screen.draw(std::slice::from_ref(&vertex), 0.2), begin);
        vertex.ended = Some(1.5);
        assert_eq!(screen.draw(std::slice::from_ref(&vertex), 1.5), "#1 DONE 1.5s\n");
        assert_eq!(screen.draw(std::slice::from_ref(&vertex), 1.6), "");
    }

    #[test]
    fn a_failed_command_is_told_in_the_newer_builders_words() {
        assert_eq!(
            in_new_words("The command '/bin/sh -c nosuch' returned a non-zero code: 127"),
            "process \"/bin/sh -c nosuch\" did not complete successfully: exit code: 127"
        );
    }

    #[test]
    fn a_fault_is_shown_with_the_lines_around_it() {
        let plan = Plan::read("FROM ubuntu\nRUN nosuchcmd\n");
        let excerpt = "Dockerfile:2\n--------------------\n   1 |     FROM ubuntu\n   2 | >>> RUN nosuchcmd\n   3 |     \n--------------------\n";
        assert_eq!(plan.excerpt(2), excerpt);
    }
}
