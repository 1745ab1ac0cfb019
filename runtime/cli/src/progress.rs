//! Progress of pulls, pushes, loads and builds, on a terminal (lines rewritten in place) and elsewhere.

use std::collections::HashMap;

use docklab_api::{MessageStream, ProgressMessage};
use futures::StreamExt;

use crate::{
    console::Stream,
    context::Context,
    error::{CliError, CliResult},
    format::size4,
};

/// Prints every message of a stream. The first error ends it; results for programs go to `aux`.
pub(crate) async fn show(
    context: &Context,
    stream: Stream,
    mut messages: MessageStream,
    mut aux: impl FnMut(serde_json::Value) + Send,
) -> CliResult<()> {
    let terminal = context.console.is_terminal(stream);
    let width = context.console.terminal_size().map_or(0, |(_, columns)| usize::from(columns));
    let mut lines = Lines::new(terminal, width);
    while let Some(message) = messages.next().await {
        let message = message?;
        if let Some(error) = &message.error {
            let detail = message.error_detail.as_ref();
            let text = detail.map_or(error.as_str(), |detail| detail.message.as_str());
            let code = detail.map_or(1, |detail| i32::try_from(detail.code).unwrap_or(1));
            return Err(CliError::with_status(if code == 0 { 1 } else { code }, text));
        }
        if let Some(value) = message.aux {
            aux(value);
            continue;
        }
        let text = lines.render(&message);
        context.console.write(stream, text.as_bytes()).await;
    }
    Ok(())
}

/// Which progress lines are on the screen, so that they can be rewritten.
pub(crate) struct Lines {
    terminal: bool,
    width: usize,
    known: HashMap<String, usize>,
}

impl Lines {
    /// `width` is the terminal's, in columns.
    pub(crate) fn new(terminal: bool, width: usize) -> Self {
        Self { terminal, width, known: HashMap::new() }
    }
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }
    /// What to print for one message.
    pub(crate) fn render(&mut self, message: &ProgressMessage) -> String {
        if let Some(text) = &message.stream {
            return text.clone();
        }
        let bar = bar(message, self.width);
        let status = message.status.as_deref().unwrap_or_default();
        let id = message.id.as_deref().filter(|id| !id.is_empty());
        let prefix = id.map(|id| format!("{id}: ")).unwrap_or_default();
        if !self.terminal {
            // Lines with a bar are for terminals only.
            return if bar.is_empty() { format!("{prefix}{status}\n") } else { String::new() };
        }
        let Some(id) = id.filter(|_| message.progress_detail.is_some()) else {
            self.known.clear();
            return format!("{prefix}{status}\n");
        };
        let mut output = String::new();
        let next = self.known.len();
        let position = *self.known.entry(id.to_owned()).or_insert_with(|| {
            output.push('\n');
            next
        });
        let up = self.known.len() - position;
        output.push_str(&format!("\x1b[{up}A\x1b[2K\r{prefix}{status} {bar}\r\x1b[{up}B"));
        output
    }
}

fn bar(message: &ProgressMessage, width: usize) -> String {
    let Some(detail) = message.progress_detail.as_ref().filter(|detail| detail.current > 0 || detail.total > 0) else {
        return String::new();
    };
    #[allow(clippy::cast_precision_loss)] // a size on a progress bar
    let (current, total) = (size4(detail.current as f64), size4(detail.total as f64));
    if detail.total <= 0 {
        return format!("{current:>8}");
    }
    if detail.current > detail.total {
        return format!("{current:>8}");
    }
    let numbers = format!("{current:>8}/{total}");
    if width <= 110 {
        return numbers;
    }
    let cells = usize::try_from(detail.current * 100 / detail.total / 2).unwrap_or(0).min(50);
    format!("[{}>{}] {numbers}", "=".repeat(cells), " ".repeat(50 - cells))
}
