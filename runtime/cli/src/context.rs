use std::sync::Arc;

use docklab_api::DockerApi;
use futures::StreamExt as _;

use crate::{
    console::{Console, Stream},
    error::CliResult,
    grammar::{Command, Flags},
};

/// The engine and the console that a command works with.
#[derive(Clone)]
pub(crate) struct Context {
    pub api: Arc<dyn DockerApi>,
    pub console: Arc<dyn Console>,
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
    pub(crate) fn new(api: Arc<dyn DockerApi>, console: Arc<dyn Console>) -> Self {
        Self { api, console }
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
}
