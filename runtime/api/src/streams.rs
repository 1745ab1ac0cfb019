use std::pin::Pin;

use bytes::Bytes;
use futures::{Sink, stream::BoxStream};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ApiError, ApiResult};

/// A body of unknown length: tar archives, exported images.
pub type ByteStream = BoxStream<'static, ApiResult<Bytes>>;
/// The output of a container or exec, or a log.
pub type OutputStream = BoxStream<'static, ApiResult<OutputChunk>>;
/// Progress of a pull, push, build, load or import.
pub type MessageStream = BoxStream<'static, ApiResult<ProgressMessage>>;
/// The way into a container's standard input. Closing it delivers end of file and leaves the output open.
pub type InputSink = Pin<Box<dyn Sink<Bytes, Error = ApiError> + Send>>;

/// Which stream a chunk belongs to; the numbers are those of the multiplexed wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StdStream {
    Stdin = 0,
    Stdout = 1,
    Stderr = 2,
    /// An error of the engine itself, as text; the client stops.
    System = 3,
}

/// A piece of output. With a terminal everything is [`StdStream::Stdout`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputChunk {
    pub stream: StdStream,
    pub bytes: Bytes,
}

impl OutputChunk {
    pub fn stdout(bytes: impl Into<Bytes>) -> Self {
        Self { stream: StdStream::Stdout, bytes: bytes.into() }
    }
    pub fn stderr(bytes: impl Into<Bytes>) -> Self {
        Self { stream: StdStream::Stderr, bytes: bytes.into() }
    }
}

/// A hijacked connection: output until the process (or the attachment) ends, input until closed.
pub struct Attached {
    pub output: OutputStream,
    pub input: InputSink,
    /// True when the process has a terminal: the wire then carries raw bytes without frames.
    pub tty: bool,
}

/// One JSON object of a progress stream (moby `jsonmessage.JSONMessage`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProgressMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
    pub progress_detail: Option<ProgressDetail>,
    /// The rendered bar, for clients too old to draw their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(rename = "errorDetail", skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<ErrorDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<Value>,
}

/// How far one item has come, in bytes unless `units` says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressDetail {
    #[serde(default, skip_serializing_if = "is_zero")]
    pub current: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub total: i64,
}

/// Why a stream ended early; `code` is the exit code of a failed build step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    #[serde(default, skip_serializing_if = "is_zero")]
    pub code: i64,
    pub message: String,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl ProgressMessage {
    /// `{"stream": …}`: text of a build.
    pub fn stream(text: impl Into<String>) -> Self {
        Self { stream: Some(text.into()), ..Self::default() }
    }
    /// `{"status": …}`: a line of a pull or push.
    pub fn status(text: impl Into<String>) -> Self {
        Self { status: Some(text.into()), ..Self::default() }
    }
    /// `{"status": …, "id": …, "progressDetail": {}}`: a line about one layer.
    pub fn layer(id: impl Into<String>, status: impl Into<String>) -> Self {
        Self {
            id: Some(id.into()),
            status: Some(status.into()),
            progress_detail: Some(ProgressDetail::default()),
            ..Self::default()
        }
    }
    /// `{"aux": …}`: a result for programs.
    pub fn aux(value: Value) -> Self {
        Self { aux: Some(value), ..Self::default() }
    }
    /// A failure after output has begun; HTTP status 200 has already been sent.
    pub fn failure(code: i64, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { error: Some(message.clone()), error_detail: Some(ErrorDetail { code, message }), ..Self::default() }
    }
}
