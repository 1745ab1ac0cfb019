use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};

use crate::StorageError;

/// A body.
pub type ByteStream = BoxStream<'static, Result<Bytes, StorageError>>;

/// An HTTP request as the registry sees it.
pub struct Request {
    pub head: Head,
    pub body: ByteStream,
}

/// All of a request but its body. (A body can be read by one task only, so a reference to a whole request could not be held
/// while waiting.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Upper case.
    pub method: String,
    /// The path as sent, still percent-encoded, beginning with `/v2/`.
    pub path: String,
    /// The query as sent, without the question mark.
    pub query: String,
    /// Names in any case.
    pub headers: Vec<(String, String)>,
}

impl std::ops::Deref for Request {
    type Target = Head;
    fn deref(&self) -> &Head {
        &self.head
    }
}

impl Request {
    /// A request with no body; `target` is the path with its query.
    pub fn new(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            head: Head {
                method: method.to_owned(),
                path: path.to_owned(),
                query: query.to_owned(),
                headers: Vec::new(),
            },
            body: bytes_body(Bytes::new()),
        }
    }

    /// Adds a header; builder style.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.head.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body; builder style.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = bytes_body(body.into());
        self
    }
}

impl Head {
    pub(crate) fn get_header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The first value of a query parameter, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key) == name).then(|| decode(&value.replace('+', " ")))
        })
    }
}

/// The answer.
pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    /// Empty for `HEAD`, whose headers are those of the `GET`.
    pub body: ByteStream,
}

impl Response {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: bytes_body(Bytes::new()) }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn content(mut self, kind: &str, body: Bytes) -> Self {
        self.headers.push(("Content-Length", body.len().to_string()));
        self.headers.push(("Content-Type", kind.to_owned()));
        self.body = bytes_body(body);
        self
    }

    pub(crate) fn empty(self) -> Self {
        self.with("Content-Length", "0")
    }

    /// The value of a header, by its name in any case.
    pub fn get_header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A body of one piece.
pub fn bytes_body(bytes: Bytes) -> ByteStream {
    if bytes.is_empty() {
        futures::stream::empty().boxed()
    } else {
        futures::stream::once(async move { Ok(bytes) }).boxed()
    }
}

/// Reads a whole body into memory.
pub async fn collect(body: ByteStream) -> Result<Bytes, StorageError> {
    let all = body
        .try_fold(BytesMut::new(), |mut all, piece| async move {
            all.extend_from_slice(&piece);
            Ok(all)
        })
        .await?;
    Ok(all.freeze())
}

/// Resolves `%XX`; what is not valid stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = escaped {
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Encodes what may not stand in a query value.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let request = Request::new("POST", "/v2/a/blobs/uploads/?mount=sha256%3Aab&from=a%2Fb&odd=%zz");
        assert_eq!(request.parameter("mount").as_deref(), Some("sha256:ab"));
        assert_eq!(request.parameter("from").as_deref(), Some("a/b"));
        assert_eq!(request.parameter("odd").as_deref(), Some("%zz"));
        assert_eq!(request.parameter("digest"), None);
        assert_eq!(encode("a/b:c"), "a%2Fb%3Ac");
    }
}
