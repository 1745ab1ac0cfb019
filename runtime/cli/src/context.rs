use std::sync::Arc;

use docklab_api::{ApiResult, DockerApi, RawRequest};
use futures::StreamExt as _;

use crate::{
    config::Config,
    console::{Console, Stream},
    error::CliResult,
    grammar::{Command, Flags},
};

/// The engine and the console that a command works with.
#[derive(Clone)]
pub(crate) struct Context {
    pub api: Arc<dyn DockerApi>,
    pub console: Arc<dyn Console>,
    pub config: Arc<Config>,
    /// Name of the client's context in force.
    pub context_name: String,
    /// `--debug`.
    pub debug: bool,
}

/// A parsed command line.
pub(crate) struct Invocation {
    pub command: &'static Command,
    /// As the user reached it: `docker ps` rather than `docker container ls`.
    pub path: String,
    pub flags: Flags,
    pub arguments: Vec<String>,
}

impl Invocation {
    /// The positional argument at `index`, or the empty string.
    pub(crate) fn argument(&self, index: usize) -> &str {
        self.arguments.get(index).map_or("", String::as_str)
    }
}

impl Context {
    /// Sends a request as it stands, or none where the engine is in this process.
    pub(crate) async fn raw(&self, request: RawRequest) -> Option<ApiResult<serde_json::Value>> {
        self.api.raw(request).await
    }
    /// `--filter` of a prune, with those the configuration always adds.
    pub(crate) fn prune_filters(&self, call: &Invocation) -> docklab_api::Filters {
        let given = call.flags.filters();
        self.config.texts("pruneFilters").iter().fold(given.clone(), |filters, text| {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            // What was given on the command line for this very label wins.
            let opposite = if key == "label" { "label!" } else { "label" };
            let overridden = matches!(key, "label" | "label!") && given.get(opposite).iter().any(|have| have == value);
            if overridden || given.get(key).iter().any(|have| have == value) {
                filters
            } else {
                filters.with(key, value)
            }
        })
    }
    /// The format to use: the flag's, else the configuration's for this kind of listing.
    pub(crate) fn format<'a>(&'a self, call: &'a Invocation, setting: &str) -> &'a str {
        match call.flags.text("format") {
            "" if call.flags.is_set("quiet") => "",
            "" => self.config.text(setting),
            given => given,
        }
    }
    /// Signals to the client; never ends, so it can be raced against other work.
    pub(crate) fn signals(&self) -> futures::stream::BoxStream<'static, String> {
        self.console.signals().chain(futures::stream::pending()).boxed()
    }
    pub(crate) async fn stdout(&self, text: impl AsRef<[u8]> + Send) {
        self.console.write(Stream::Stdout, text.as_ref()).await;
    }
    pub(crate) async fn stderr(&self, text: impl AsRef<[u8]> + Send) {
        self.console.write(Stream::Stderr, text.as_ref()).await;
    }
    /// Prints one line on stdout.
    pub(crate) async fn line(&self, text: impl AsRef<str> + Send) {
        self.stdout(format!("{}\n", text.as_ref())).await;
    }
    /// Prints one line on stderr.
    pub(crate) async fn error_line(&self, text: impl AsRef<str> + Send) {
        self.stderr(format!("{}\n", text.as_ref())).await;
    }
    /// Asks a question on stdout and reads one line; only `y` and `Y` mean yes.
    pub(crate) async fn confirm(&self, question: &str) -> bool {
        self.stdout(question).await;
        let answer = crate::commands::input::read_line(self.console.as_ref()).await;
        answer.trim().eq_ignore_ascii_case("y")
    }
    /// Runs `action` for every name, printing what it returns; errors go to stderr in order and make the exit code 1.
    pub(crate) async fn each<F, Fut>(&self, names: &[String], action: F) -> CliResult
    where
        F: Fn(String) -> Fut + Send,
        Fut: Future<Output = CliResult<String>> + Send,
    {
        let mut failures = Vec::new();
        for name in names {
            match action(name.clone()).await {
                Ok(text) => self.line(text).await,
                Err(error) => failures.push(error.message),
            }
        }
        crate::commands::joined(failures)
    }
    /// Like [`Context::each`], with all at once; what is printed stays in the order of the names.
    pub(crate) async fn each_at_once<F, Fut>(&self, names: &[String], action: F) -> CliResult
    where
        F: Fn(String) -> Fut + Send,
        Fut: Future<Output = CliResult<String>> + Send,
    {
        let mut outcomes: futures::stream::FuturesOrdered<Fut> = names.iter().cloned().map(action).collect();
        let mut failures = Vec::new();
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(text) => self.line(text).await,
                Err(error) => failures.push(error.message),
            }
        }
        crate::commands::joined(failures)
    }
}
