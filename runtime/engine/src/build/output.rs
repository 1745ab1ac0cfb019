//! What a build prints.

use std::sync::{Arc, Mutex, PoisonError};

use docklab_api::ProgressMessage;

use crate::progress::Progress;

/// The build's stream. A quiet build keeps its text back and shows it only when it fails.
#[derive(Clone)]
pub(crate) struct Output {
    progress: Progress,
    kept: Option<Arc<Mutex<Vec<ProgressMessage>>>>,
}

impl Output {
    pub(crate) fn new(progress: Progress, quiet: bool) -> Self {
        Self { progress, kept: quiet.then(Arc::default) }
    }

    pub(crate) fn send(&self, message: ProgressMessage) {
        match &self.kept {
            None => self.progress.send(message),
            Some(kept) => kept.lock().unwrap_or_else(PoisonError::into_inner).push(message),
        }
    }

    pub(crate) fn text(&self, text: impl Into<String>) {
        self.send(ProgressMessage::stream(text));
    }

    /// Shows what a quiet build kept back.
    pub(crate) fn reveal(&self) {
        if let Some(kept) = &self.kept {
            for message in std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner)) {
                self.progress.send(message);
            }
        }
    }

    /// The only text of a quiet build that succeeds.
    pub(crate) fn result(&self, id: &str) {
        if self.kept.is_some() {
            self.progress.text(format!("{id}\n"));
        }
    }
}

/// Bytes as text; the beginning of a character that is cut off is kept for the next piece.
#[derive(Default)]
pub(crate) struct Decoder {
    rest: Vec<u8>,
}

impl Decoder {
    pub(crate) fn decode(&mut self, bytes: &[u8]) -> String {
        self.rest.extend_from_slice(bytes);
        let cut = match std::str::from_utf8(&self.rest) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.rest.len(),
        };
        let rest = self.rest.split_off(cut);
        String::from_utf8_lossy(&std::mem::replace(&mut self.rest, rest)).into_owned()
    }
}
