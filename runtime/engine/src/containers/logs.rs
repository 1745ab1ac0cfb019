use std::sync::Arc;

use docklab_api::{ApiError, ApiResult, Logs, OutputChunk, OutputStream, StdStream};
use docklab_host::{LogQuery, LogRecord, Standard};
use futures::{StreamExt, future, stream};

use super::Container;
use crate::{Engine, HostResultExt, api_error, time};

/// What stands before every line.
#[derive(Debug, Clone, Default)]
struct Prefix {
    timestamps: bool,
    details: Option<String>,
}

impl Prefix {
    fn apply(&self, record: LogRecord) -> OutputChunk {
        let stream = match record.stream {
            Standard::Stdout => StdStream::Stdout,
            Standard::Stderr => StdStream::Stderr,
        };
        if !self.timestamps && self.details.is_none() {
            return OutputChunk { stream, bytes: record.bytes };
        }
        let mut line = Vec::with_capacity(record.bytes.len() + 64);
        if self.timestamps {
            line.extend_from_slice(format!("{:.9} ", record.at).as_bytes());
        }
        if let Some(details) = &self.details {
            line.extend_from_slice(details.as_bytes());
            line.push(b' ');
        }
        line.extend_from_slice(&record.bytes);
        OutputChunk { stream, bytes: line.into() }
    }
}

/// What Go's `url.QueryEscape` escapes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            b' ' => escaped.push('+'),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

/// The labels and variables that the log options name (`--log-opt labels=a,b`), as `k=v,k2=v2`.
fn details(container: &Container) -> String {
    let mut pairs = container.read(|record| {
        let options = record.host_config.log_config.as_ref().and_then(|log| log.config.clone()).unwrap_or_default();
        let named = |key: &str| options.get(key).map(String::as_str).unwrap_or("").to_owned();
        let labels = record.config.labels.clone().unwrap_or_default();
        let mut pairs: Vec<(String, String)> = named("labels")
            .split(',')
            .filter_map(|label| labels.get(label).map(|value| (label.to_owned(), value.clone())))
            .collect();
        let env = named("env");
        for variable in env.split(',').filter(|variable| !variable.is_empty()) {
            let entries = record.config.env.iter().flatten();
            pairs.extend(
                entries
                    .filter_map(|entry| entry.split_once('='))
                    .filter(|(key, _)| *key == variable)
                    .map(|(key, value)| (key.to_owned(), value.to_owned())),
            );
        }
        pairs
    });
    pairs.sort();
    let texts: Vec<String> = pairs.iter().map(|(key, value)| format!("{}={}", escape(key), escape(value))).collect();
    texts.join(",")
}

impl Engine {
    /// `docker logs`. With `follow` the stream goes on until the container ends.
    pub(crate) async fn logs(&self, container: &Arc<Container>, options: Logs) -> ApiResult<OutputStream> {
        if !options.stdout && !options.stderr {
            return Err(ApiError::invalid("Bad parameters: you must choose at least one stream"));
        }
        let (driver, never_started, dead) = container.read(|record| {
            let log = record.host_config.log_config.as_ref();
            (
                log.and_then(|log| log.typ.clone()).unwrap_or_default(),
                record.state.started_at.is_none() && record.state.error.is_empty() && !record.state.running,
                record.state.dead || record.state.removing,
            )
        });
        if dead {
            return Err(ApiError::conflict("can not get logs from container which is dead or marked for removal"));
        }
        if driver == "none" {
            return Err(ApiError::not_implemented("configured logging driver does not support reading"));
        }
        let query = LogQuery {
            tail: options.tail.as_deref().and_then(|tail| tail.parse().ok()),
            since: time::parse_bound(options.since.as_deref())?,
            until: time::parse_bound(options.until.as_deref())?,
            follow: options.follow && container.process.borrow().is_some(),
        };
        if never_started {
            return Ok(self.logs_from_the_start(container, options));
        }
        let prefix = Prefix { timestamps: options.timestamps, details: options.details.then(|| details(container)) };
        let records = self.host.logs(&container.id, query).await.api()?;
        let (stdout, stderr) = (options.stdout, options.stderr);
        Ok(records
            .filter_map(move |record| {
                let item = match record {
                    Ok(record)
                        if matches!(
                            (record.stream, stdout, stderr),
                            (Standard::Stdout, false, _) | (Standard::Stderr, _, false)
                        ) =>
                    {
                        None
                    }
                    Ok(record) => Some(Ok(prefix.apply(record))),
                    Err(error) => Some(Err(api_error(error))),
                };
                future::ready(item)
            })
            .boxed())
    }

    /// A container that was never started has no log; with `follow` its first run is waited for.
    fn logs_from_the_start(&self, container: &Arc<Container>, options: Logs) -> OutputStream {
        if !options.follow {
            return stream::empty().boxed();
        }
        let engine = self.clone();
        let id = container.id.clone();
        let mut process = container.process.subscribe();
        let later = async move {
            if process.wait_for(Option::is_some).await.is_err() {
                return stream::empty().boxed();
            }
            let logs = match engine.container(&id) {
                Ok(container) => engine.logs(&container, options).await,
                Err(error) => Err(error),
            };
            logs.unwrap_or_else(|error| stream::once(future::ready(Err(error))).boxed())
        };
        stream::once(later).flatten().boxed()
    }
}
