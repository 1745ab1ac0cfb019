//! [`docklab_api::DockerApi`] over the browser's fetch. Reads, changes and streams of the Engine API work; what needs a
//! hijacked connection (input into an attached container) a browser cannot do, and says so.

mod containers;
mod images;
mod live;
mod networks;
mod swarm;
mod system;

use bytes::Bytes;
use docklab_api::{
    ApiError, ApiResult, ByteStream, CLIENT_API_VERSION, MessageStream, OutputChunk, OutputStream, wire::FrameDecoder,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Serialize, de::DeserializeOwned};

use crate::browser::{self, FetchError, FetchRequest, FetchResponse};

/// An engine behind an address.
#[derive(Debug, Clone)]
pub struct EngineClient {
    base: String,
    token: Option<String>,
}

/// `?key=value&…` with what is empty left out.
#[derive(Debug, Default)]
struct Query(String);

impl Query {
    fn new() -> Self {
        Self::default()
    }
    fn text(mut self, key: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.0.push(if self.0.is_empty() { '?' } else { '&' });
            self.0.push_str(key);
            self.0.push('=');
            self.0.push_str(&escape(value));
        }
        self
    }
    fn maybe(self, key: &str, value: Option<&str>) -> Self {
        self.text(key, value.unwrap_or_default())
    }
    fn number(self, key: &str, value: Option<i64>) -> Self {
        match value {
            Some(value) => self.text(key, &value.to_string()),
            None => self,
        }
    }
    fn flag(self, key: &str, value: bool) -> Self {
        if value { self.text(key, "1") } else { self }
    }
    fn filters(self, filters: &docklab_api::Filters) -> Self {
        if filters.is_empty() { self } else { self.text("filters", &filters.to_json()) }
    }
}

/// Percent-encodes everything but unreserved characters (RFC 3986).
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// As [`escape`], keeping the slashes and colons that image names have in paths.
fn escape_path(text: &str) -> String {
    escape(text).replace("%2F", "/").replace("%3A", ":").replace("%40", "@")
}

#[derive(serde::Deserialize)]
struct ErrorBody {
    message: String,
}

impl EngineClient {
    /// `base` is the address before `/v1.50/…`.
    pub fn new(base: String, token: Option<String>) -> Self {
        Self { base, token }
    }

    async fn send(
        &self,
        method: &'static str,
        path: &str,
        query: Query,
        body: Option<(&'static str, Bytes)>,
    ) -> ApiResult<FetchResponse> {
        let mut headers = Vec::new();
        if let Some(token) = &self.token {
            headers.push(("Authorization", format!("Bearer {token}")));
        }
        let body = body.map(|(content_type, body)| {
            headers.push(("Content-Type", content_type.to_owned()));
            body
        });
        let url = format!("{}/v{CLIENT_API_VERSION}{path}{}", self.base, query.0);
        let response = browser::fetch(FetchRequest { method, url, headers, body }).await.map_err(lost)?;
        if response.status < 400 {
            return Ok(response);
        }
        let status = response.status;
        let text = response.bytes().await.map_err(lost)?;
        let message = serde_json::from_slice::<ErrorBody>(&text)
            .map_or_else(|_| String::from_utf8_lossy(&text).trim().to_owned(), |body| body.message);
        // 502 and 504 come from the proxy: the engine behind it is gone.
        Err(if matches!(status, 502 | 504) { ApiError::connection(message) } else { ApiError::new(status, message) })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, query: Query) -> ApiResult<T> {
        read(self.send("GET", path, query, None).await?).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, query: Query, body: &impl Serialize) -> ApiResult<T> {
        read(self.send("POST", path, query, Some(json(body)?)).await?).await
    }

    /// A POST whose answer has no content; returns the status.
    async fn act(&self, path: &str, query: Query) -> ApiResult<u16> {
        Ok(self.send("POST", path, query, None).await?.status)
    }

    /// As [`EngineClient::act`], with a body.
    async fn act_with(&self, path: &str, query: Query, body: &impl Serialize) -> ApiResult<()> {
        self.send("POST", path, query, Some(json(body)?)).await.map(drop)
    }

    async fn delete(&self, path: &str, query: Query) -> ApiResult<()> {
        self.send("DELETE", path, query, None).await.map(drop)
    }

    /// A POST that prunes; the engine answers what it removed.
    async fn prune<T: DeserializeOwned>(&self, path: &str, filters: &docklab_api::Filters) -> ApiResult<T> {
        read(self.send("POST", path, Query::new().filters(filters), None).await?).await
    }
}

fn lost(error: FetchError) -> ApiError {
    ApiError::connection(error.to_string())
}

fn json(body: &impl Serialize) -> ApiResult<(&'static str, Bytes)> {
    let bytes = serde_json::to_vec(body).map_err(|error| ApiError::invalid(error.to_string()))?;
    Ok(("application/json", bytes.into()))
}

async fn read<T: DeserializeOwned>(response: FetchResponse) -> ApiResult<T> {
    let bytes = response.bytes().await.map_err(lost)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| ApiError::connection(format!("the engine's answer cannot be read: {error}")))
}

/// The body as it comes.
fn bytes(response: FetchResponse) -> ByteStream {
    response.body.map_err(lost).boxed()
}

/// A whole upload in memory: browsers do not stream request bodies over HTTP/1.1.
async fn collect(stream: ByteStream) -> ApiResult<Bytes> {
    let chunks: Vec<Bytes> = stream.try_collect().await?;
    Ok(chunks.concat().into())
}

/// One JSON object after another, however the bytes are cut.
fn objects<T: DeserializeOwned + Send + 'static>(body: ByteStream) -> stream::BoxStream<'static, ApiResult<T>> {
    let mut buffer: Vec<u8> = Vec::new();
    body.map(move |chunk| -> ApiResult<_> {
        let chunk = chunk?;
        buffer.extend_from_slice(&chunk);
        let mut objects: Vec<ApiResult<T>> = Vec::new();
        let mut reader = serde_json::Deserializer::from_slice(&buffer).into_iter::<T>();
        let mut used = 0;
        while let Some(next) = reader.next() {
            match next {
                Ok(object) => {
                    objects.push(Ok(object));
                    used = reader.byte_offset();
                }
                Err(error) if error.is_eof() => break,
                Err(error) => {
                    return Err(ApiError::connection(format!("the engine's stream cannot be read: {error}")));
                }
            }
        }
        buffer.drain(..used);
        Ok(stream::iter(objects))
    })
    .try_flatten()
    .boxed()
}

fn messages(response: FetchResponse) -> MessageStream {
    objects(bytes(response))
}

/// Output in frames, or raw where the process has a terminal.
fn output(response: FetchResponse) -> OutputStream {
    let raw = response.header("content-type") == Some("application/vnd.docker.raw-stream");
    let mut decoder = FrameDecoder::default();
    bytes(response)
        .map(move |chunk| -> ApiResult<_> {
            let chunk = chunk?;
            if raw {
                return Ok::<_, ApiError>(stream::iter(vec![Ok(OutputChunk::stdout(chunk))]));
            }
            decoder.push(&chunk);
            Ok(stream::iter(std::iter::from_fn(|| decoder.next_frame()).map(Ok).collect::<Vec<_>>()))
        })
        .try_flatten()
        .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped_and_leave_out_what_is_empty() {
        let query = Query::new().text("name", "a b/c").text("tag", "").flag("all", true).flag("size", false);
        assert_eq!(query.0, "?name=a%20b%2Fc&all=1");
    }

    #[test]
    fn image_names_keep_their_slashes() {
        assert_eq!(escape_path("localhost:5000/a/b@sha256:0"), "localhost:5000/a/b@sha256:0");
    }
}
