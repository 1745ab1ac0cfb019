//! What a registry's refusals mean, in Docker's words (distribution specification, "Error codes").

use std::time::Duration;

use docklab_api::ApiError;
use docklab_host::{HostError, HttpResponse};
use serde::Deserialize;

use super::client::{header, text};

/// Why a step did not work, and whether another try may.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trouble {
    pub(super) error: ApiError,
    /// The peer was not reached, cut the connection, or failed: worth another try.
    pub(super) again: bool,
    /// The error's code in the registry's answer.
    pub(super) code: Option<String>,
    /// The registry asked to be left alone for so long.
    pub(super) after: Option<Duration>,
}

pub(super) type Attempt<T> = Result<T, Trouble>;

impl Trouble {
    pub(super) fn final_(error: ApiError) -> Self {
        Self { error, again: false, code: None, after: None }
    }

    pub(super) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

impl From<ApiError> for Trouble {
    fn from(error: ApiError) -> Self {
        Self::final_(error)
    }
}

impl From<HostError> for Trouble {
    fn from(error: HostError) -> Self {
        let again = matches!(error, HostError::Network(_));
        Self { again, ..Self::final_(crate::api_error(error)) }
    }
}

impl From<Trouble> for ApiError {
    fn from(trouble: Trouble) -> Self {
        trouble.error
    }
}

#[derive(Deserialize)]
struct Refusals {
    #[serde(default)]
    errors: Vec<Refusal>,
    /// The old form of some registries.
    #[serde(default)]
    details: String,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The codes that distribution knows, with its own text for each. Others print as `unknown`.
const CODES: [(&str, &str); 19] = [
    ("BLOB_UNKNOWN", "blob unknown to registry"),
    ("BLOB_UPLOAD_INVALID", "blob upload invalid"),
    ("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"),
    ("DENIED", "requested access to the resource is denied"),
    ("DIGEST_INVALID", "provided digest did not match uploaded content"),
    ("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"),
    ("MANIFEST_INVALID", "manifest invalid"),
    ("MANIFEST_UNKNOWN", "manifest unknown"),
    ("MANIFEST_UNVERIFIED", "manifest failed signature verification"),
    ("NAME_INVALID", "invalid repository name"),
    ("NAME_UNKNOWN", "repository name not known to registry"),
    ("PAGINATION_NUMBER_INVALID", "invalid number of results requested"),
    ("RANGE_INVALID", "invalid content range"),
    ("SIZE_INVALID", "provided length did not match content length"),
    ("TAG_INVALID", "manifest tag did not match URI"),
    ("TOOMANYREQUESTS", "too many requests"),
    ("UNAUTHORIZED", "authentication required"),
    ("UNAVAILABLE", "service unavailable"),
    ("UNSUPPORTED", "The operation is unsupported."),
];

/// Go's `http.StatusText`.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        413 => "Request Entity Too Large",
        415 => "Unsupported Media Type",
        416 => "Requested Range Not Satisfiable",
        418 => "I'm a teapot",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        507 => "Insufficient Storage",
        _ => "",
    }
}

/// A refusal of the given code. What the registry does not say is filled in.
fn coded(status: u16, code: &str, message: &str) -> Trouble {
    let known = CODES.iter().find(|(known, _)| *known == code);
    let (code, standard) = known.copied().unwrap_or(("UNKNOWN", "unknown error"));
    let message = if message.is_empty() { standard } else { message };
    let text = format!("{}: {message}", code.to_lowercase().replace('_', " "));
    let status = match code {
        "UNAUTHORIZED" => 401,
        "DENIED" => 403,
        "TOOMANYREQUESTS" => 500,
        "MANIFEST_UNKNOWN" | "NAME_UNKNOWN" => 404,
        _ if status == 404 => 404,
        _ => 500,
    };
    // What is refused for good is not asked for again; the others may have been meant for the moment.
    let is_final =
        ["UNAUTHORIZED", "UNSUPPORTED", "DENIED", "TOOMANYREQUESTS", "NAME_UNKNOWN", "BLOB_UNKNOWN"].contains(&code);
    Trouble { again: !is_final, code: Some(code.to_owned()), ..Trouble::final_(ApiError::new(status, text)) }
}

/// What is left of a rate limit, of the headers that Docker Hub sends: `100;w=21600` are 100 pulls in six hours.
fn allowance(response: &HttpResponse) -> Option<String> {
    let number = |name: &str| -> Option<u64> { header(response, name)?.split(';').next()?.trim().parse().ok() };
    let window = header(response, "ratelimit-limit")
        .and_then(|limit| limit.split(";w=").nth(1)?.trim().parse::<u64>().ok())
        .map(|seconds| match seconds {
            seconds if seconds % 3600 == 0 => format!(" in {} hours", seconds / 3600),
            seconds => format!(" in {seconds} seconds"),
        });
    let left = number("ratelimit-remaining");
    let limit = number("ratelimit-limit");
    let after = number("retry-after").map(|seconds| format!("try again in {seconds} seconds"));
    let mut parts = Vec::new();
    if let (Some(limit), Some(left)) = (limit, left) {
        parts.push(format!("{left} of {limit} pulls{} left", window.unwrap_or_default()));
    }
    parts.extend(after);
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Reads a refusal.
pub(super) async fn refusal(response: HttpResponse) -> Trouble {
    let status = response.status;
    if status >= 500 {
        let text = format!("received unexpected HTTP status: {status} {}", reason(status));
        return Trouble { again: true, ..Trouble::final_(ApiError::system(text)) };
    }
    let challenge = header(&response, "www-authenticate").unwrap_or_default().to_owned();
    let allowance = (status == 429).then(|| allowance(&response)).flatten();
    let after =
        header(&response, "retry-after").and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
    let body = match text(response).await {
        Ok(body) => body,
        Err(trouble) => return trouble,
    };
    let mut trouble = of_body(status, &challenge, &body);
    if let Some(allowance) = allowance {
        trouble.error.message.push_str(&format!(" ({allowance})"));
    }
    trouble.after = after;
    trouble
}

fn of_body(status: u16, challenge: &str, body: &[u8]) -> Trouble {
    // RFC 6750, section 3.1: the token was not good enough.
    let described = || super::auth::parameter(challenge, "error_description").unwrap_or_default();
    match super::auth::parameter(challenge, "error").as_deref() {
        Some("insufficient_scope") => return coded(status, "DENIED", &described()),
        Some("invalid_token") => return coded(status, "UNAUTHORIZED", &described()),
        _ => {}
    }
    let unreadable = |why: &str| {
        if status == 401 {
            return coded(status, "UNAUTHORIZED", "");
        }
        let shown = super::quoted(&String::from_utf8_lossy(body));
        let status_of_error = if status == 403 || status == 404 { status } else { 500 };
        let text = format!("error parsing HTTP {status} response body: {why}: {shown}");
        Trouble::final_(ApiError::new(status_of_error, text))
    };
    match serde_json::from_slice::<Refusals>(body) {
        Ok(Refusals { details, .. }) if !details.is_empty() => match status {
            401 => coded(status, "UNAUTHORIZED", &details),
            429 => coded(status, "TOOMANYREQUESTS", &details),
            _ => coded(status, "UNKNOWN", &details),
        },
        Ok(Refusals { errors, .. }) => match errors.into_iter().next() {
            Some(Refusal { code, message }) => coded(status, &code, &message),
            None => unreadable("no error details found in HTTP response body"),
        },
        Err(_) if body.is_empty() => unreadable("unexpected end of JSON input"),
        Err(_) => {
            let first = String::from_utf8_lossy(body).trim_start().chars().next().unwrap_or_default();
            unreadable(&format!("invalid character '{first}' looking for beginning of value"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(status: u16, body: &str) -> String {
        of_body(status, "", body.as_bytes()).error.message
    }

    #[test]
    fn refusals_are_worded_as_docker_words_them() {
        for (status, body, wanted) in [
            (
                404,
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
                "manifest unknown: manifest unknown",
            ),
            (404, r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#, "name unknown: repository name not known to registry"),
            (400, r#"{"errors":[{"code":"TEAPOT","message":"short and stout"}]}"#, "unknown: short and stout"),
            (401, r#"{"details":"incorrect username or password"}"#, "unauthorized: incorrect username or password"),
            (401, "<html>", "unauthorized: authentication required"),
            (
                403,
                "<html>",
                "error parsing HTTP 403 response body: invalid character '<' looking for beginning of value: \"<html>\"",
            ),
            (404, "", "error parsing HTTP 404 response body: unexpected end of JSON input: \"\""),
            (400, "{}", "error parsing HTTP 400 response body: no error details found in HTTP response body: \"{}\""),
        ] {
            assert_eq!(message(status, body), wanted);
        }
    }

    #[test]
    fn what_is_refused_for_good_is_not_tried_again() {
        let again = |code: &str| of_body(400, "", format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#).as_bytes()).again;
        assert!(!again("DENIED") && !again("TOOMANYREQUESTS"));
        assert!(again("BLOB_UPLOAD_UNKNOWN"));
    }

    #[test]
    fn a_token_without_the_scope_is_denied() {
        let challenge = r#"Bearer realm="x",error="insufficient_scope""#;
        let trouble = of_body(401, challenge, b"");
        assert_eq!(trouble.error.message, "denied: requested access to the resource is denied");
    }

    #[test]
    fn a_rate_limit_says_what_is_left() {
        let response = HttpResponse {
            status: 429,
            headers: [("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "0;w=21600"), ("retry-after", "60")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            body: Box::pin(futures::stream::once(futures::future::ok(
                r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#.into(),
            ))),
        };
        let trouble = futures::executor::block_on(refusal(response));
        assert_eq!(
            trouble.error.message,
            "toomanyrequests: You have reached your pull rate limit. (0 of 100 pulls in 6 hours left, try again in 60 seconds)"
        );
        assert_eq!(trouble.after, Some(Duration::from_secs(60)));
    }
}
