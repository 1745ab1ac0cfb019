use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use bytes::Bytes;
use docklab_api::{ApiError, ApiResult, ByteStream, Filters, models::AuthConfig};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{HttpClient, undecodable};

pub(super) type RequestBody = UnsyncBoxBody<Bytes, ApiError>;

/// Characters that stand for themselves in a path segment (RFC 3986 `pchar`), and the slash that names may contain.
const PATH: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b':')
    .remove(b'@');

/// A request being put together: path with query, body, headers.
pub(super) struct Call {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    body: RequestBody,
    headers: Vec<(&'static str, String)>,
}

impl Call {
    pub(super) fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: percent_encoding::utf8_percent_encode(path, PATH).to_string(),
            query: Vec::new(),
            body: Empty::new().map_err(|never| match never {}).boxed_unsync(),
            headers: Vec::new(),
        }
    }
    pub(super) fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }
    pub(super) fn post(path: &str) -> Self {
        Self::new(Method::POST, path)
    }
    pub(super) fn delete(path: &str) -> Self {
        Self::new(Method::DELETE, path)
    }
    pub(super) fn query(mut self, key: &str, value: impl AsRef<str>) -> Self {
        self.query.push((key.to_owned(), value.as_ref().to_owned()));
        self
    }
    pub(super) fn maybe<T: ToString>(self, key: &str, value: Option<&T>) -> Self {
        match value {
            Some(value) => self.query(key, value.to_string()),
            None => self,
        }
    }
    /// Sends `key=1` when set; absent means false.
    pub(super) fn flag(self, key: &str, value: bool) -> Self {
        if value { self.query(key, "1") } else { self }
    }
    pub(super) fn filters(self, filters: &Filters) -> Self {
        if filters.is_empty() { self } else { self.query("filters", filters.to_json()) }
    }
    pub(super) fn json<T: Serialize>(mut self, body: &T) -> ApiResult<Self> {
        let text =
            serde_json::to_vec(body).map_err(|error| ApiError::system(format!("encoding the request: {error}")))?;
        self.body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
        self.headers.push(("content-type", "application/json".to_owned()));
        Ok(self)
    }
    pub(super) fn stream(mut self, body: ByteStream) -> Self {
        self.body = StreamBody::new(body.map_ok(Frame::data)).boxed_unsync();
        self.headers.push(("content-type", "application/x-tar".to_owned()));
        self
    }
    pub(super) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
    /// `X-Registry-Auth`; without credentials the header holds an empty object, as Docker's client sends it.
    pub(super) fn auth(self, auth: Option<&AuthConfig>) -> ApiResult<Self> {
        let json = auth.map_or_else(|| Ok("{}".to_owned()), serde_json::to_string);
        let json = json.map_err(|error| ApiError::system(format!("encoding credentials: {error}")))?;
        Ok(self.header("x-registry-auth", URL_SAFE.encode(json)))
    }
}

impl HttpClient {
    pub(super) async fn send(&self, call: Call) -> ApiResult<Response<Incoming>> {
        let version = self.version().await?.to_owned();
        self.send_to(&format!("/v{version}"), call).await
    }

    /// Sends with an explicit prefix and turns error answers into [`ApiError`]s. 101 and 304 are not errors.
    pub(super) async fn send_to(&self, prefix: &str, call: Call) -> ApiResult<Response<Incoming>> {
        let mut target = format!("{prefix}{}", call.path);
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&call.query).finish();
        if !query.is_empty() {
            // Writing to a string cannot fail.
            write!(target, "?{query}").ok();
        }
        let is_head = call.method == Method::HEAD;
        let mut request = Request::builder().method(call.method).uri(target).header(header::HOST, "docker");
        for (name, value) in self.headers.iter() {
            let name = header::HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, header::HeaderValue::from_str(value)) {
                request = request.header(name, value);
            }
        }
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let request =
            request.body(call.body).map_err(|error| ApiError::invalid(format!("building the request: {error}")))?;
        let mut sender = self.address.connect().await?;
        let response = sender.send_request(request).await.map_err(undecodable)?;
        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS || status == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        if is_head {
            return Err(ApiError::new(status.as_u16(), status.canonical_reason().unwrap_or_default()));
        }
        let text = response.into_body().collect().await.map_err(undecodable)?.to_bytes();
        Err(error_from(status, &text))
    }

    pub(super) async fn receive<T: DeserializeOwned>(&self, call: Call) -> ApiResult<T> {
        let bytes = self.send(call).await?.into_body().collect().await.map_err(undecodable)?.to_bytes();
        serde_json::from_slice(&bytes).map_err(undecodable)
    }

    /// Like [`HttpClient::receive`], where the engine may answer `null` or nothing for an empty list.
    pub(super) async fn receive_list<T: DeserializeOwned>(&self, call: Call) -> ApiResult<Vec<T>> {
        Ok(self.receive::<Option<Vec<T>>>(call).await?.unwrap_or_default())
    }

    /// A request whose answer has no content.
    pub(super) async fn done(&self, call: Call) -> ApiResult<()> {
        self.send(call).await.map(|_| ())
    }
}

fn error_from(status: StatusCode, text: &[u8]) -> ApiError {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    let message = match serde_json::from_slice::<Message>(text) {
        Ok(body) => body.message,
        Err(_) => String::from_utf8_lossy(text).trim().to_owned(),
    };
    ApiError::new(status.as_u16(), message)
}

/// The body as it arrives.
pub(super) fn bytes(response: Response<Incoming>) -> ByteStream {
    response.into_body().into_data_stream().map(|item| item.map_err(undecodable)).boxed()
}

/// Cuts a body into JSON objects, one a line or back to back.
pub(super) fn objects<T: DeserializeOwned + Send + 'static>(
    response: Response<Incoming>,
) -> impl Stream<Item = ApiResult<T>> + Send + 'static {
    let state = (bytes(response), Vec::<u8>::new());
    futures::stream::unfold(state, |(mut body, mut buffer)| async move {
        loop {
            if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line = buffer.drain(..=end).collect::<Vec<_>>();
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return Some((serde_json::from_slice(&line).map_err(undecodable), (body, buffer)));
            }
            match body.next().await {
                Some(Ok(bytes)) => buffer.extend_from_slice(&bytes),
                Some(Err(error)) => {
                    buffer.clear();
                    return Some((Err(error), (futures::stream::empty().boxed(), buffer)));
                }
                None if buffer.iter().all(u8::is_ascii_whitespace) => return None,
                None => {
                    let line = std::mem::take(&mut buffer);
                    return Some((serde_json::from_slice(&line).map_err(undecodable), (body, buffer)));
                }
            }
        }
    })
}
