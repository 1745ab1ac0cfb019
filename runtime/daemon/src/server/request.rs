use std::{collections::BTreeMap, sync::Arc};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use docklab_api::{ApiError, ApiResult, ByteStream, DockerApi, models::AuthConfig};
use http_body_util::{BodyExt as _, Limited};
use hyper::{Method, Request};
use serde::de::DeserializeOwned;

use super::{
    Version,
    body::{self, RequestBody},
    go_json,
    query::Query,
};

/// JSON bodies larger than this are refused; the largest real one (a service with configs) is far smaller.
const JSON_LIMIT: usize = 16 * 1024 * 1024;

/// One request on its way to a route.
pub(super) struct Context {
    pub(super) api: Arc<dyn DockerApi>,
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) query: Query,
    pub(super) request: Request<RequestBody>,
}

impl Context {
    /// Reads a JSON body.
    pub(super) async fn json<T: DeserializeOwned>(&mut self) -> ApiResult<T> {
        match self.optional_json().await? {
            Some(value) => Ok(value),
            None => Err(ApiError::invalid("invalid JSON: got EOF while reading request body")),
        }
    }

    /// Reads a JSON body that may be missing.
    pub(super) async fn json_or_default<T: DeserializeOwned + Default>(&mut self) -> ApiResult<T> {
        Ok(self.optional_json().await?.unwrap_or_default())
    }

    async fn optional_json<T: DeserializeOwned>(&mut self) -> ApiResult<Option<T>> {
        let bytes = self.bytes().await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        check_content_type(self.header("content-type").unwrap_or_default())?;
        decode(&bytes)
    }

    pub(super) async fn bytes(&mut self) -> ApiResult<bytes::Bytes> {
        Limited::new(self.request.body_mut(), JSON_LIMIT)
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .map_err(|error| ApiError::invalid(format!("error reading the request body: {error}")))
    }

    /// The body as a stream (build contexts, images, archives).
    pub(super) fn into_stream(self) -> (Arc<dyn DockerApi>, ByteStream) {
        (self.api, body::incoming(self.request.into_body()))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// `X-Registry-Auth`: base64 (URL alphabet by rule, the standard one from old clients) of an AuthConfig.
    pub(super) fn registry_auth(&self) -> ApiResult<Option<AuthConfig>> {
        self.decoded_header("X-Registry-Auth").map(|auth: Option<AuthConfig>| {
            // `{}` is what clients send when they are not logged in.
            auth.filter(|auth| *auth != AuthConfig::default())
        })
    }

    /// `X-Registry-Config`: credentials of several registries, for a build.
    pub(super) fn registry_config(&self) -> ApiResult<BTreeMap<String, AuthConfig>> {
        Ok(self.decoded_header("X-Registry-Config")?.unwrap_or_default())
    }

    fn decoded_header<T: DeserializeOwned>(&self, name: &str) -> ApiResult<Option<T>> {
        let Some(text) = self.header(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let bytes = GeneralPurpose::new(&alphabet::URL_SAFE, config)
            .decode(text.trim())
            .or_else(|_| GeneralPurpose::new(&alphabet::STANDARD, config).decode(text.trim()))
            .map_err(|error| ApiError::invalid(format!("invalid {name} header: {error}")))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| ApiError::invalid(format!("invalid {name} header: {error}")))
    }
}

/// Docker takes bodies only as `application/json`, with any parameters.
fn check_content_type(header: &str) -> ApiResult<()> {
    let kind = header.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ApiError::invalid(if kind.is_empty() {
        format!("malformed Content-Type header ({header}): mime: no media type")
    } else {
        format!("unsupported Content-Type header ({header}): must be 'application/json'")
    }))
}

/// `None` when there is nothing but white space.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<Option<T>> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<serde_json::Value>();
    let value = match values.next() {
        None => return Ok(None),
        Some(Err(error)) if error.is_eof() => return Err(ApiError::invalid("invalid JSON: unexpected EOF")),
        Some(Err(error)) => return Err(ApiError::invalid(format!("invalid JSON: {error}"))),
        Some(Ok(value)) => value,
    };
    if bytes[values.byte_offset()..].iter().any(|byte| !byte.is_ascii_whitespace()) {
        return Err(ApiError::invalid("unexpected content after JSON"));
    }
    go_json::from_value(value).map(Some).map_err(|error| {
        let text = error.to_string();
        // A value that Docker itself checks is refused without mention of JSON.
        ApiError::invalid(if text.starts_with("json: ") { format!("invalid JSON: {text}") } else { text })
    })
}

#[cfg(test)]
mod tests {
    use docklab_api::models::VolumeCreateOptions;

    use super::*;

    #[test]
    fn bodies_are_json_and_say_so() {
        assert_eq!(check_content_type("Application/JSON; charset=utf-8"), Ok(()));
        let refusal = |header| check_content_type(header).map_err(|error| error.message);
        assert_eq!(refusal(""), Err("malformed Content-Type header (): mime: no media type".to_owned()));
        assert_eq!(
            refusal("text/plain"),
            Err("unsupported Content-Type header (text/plain): must be 'application/json'".to_owned())
        );
    }

    #[test]
    fn a_body_is_one_whole_value() {
        let read = |text: &str| {
            decode::<VolumeCreateOptions>(text.as_bytes())
                .map(|body| body.map(|body| body.name))
                .map_err(|error| error.message)
        };
        assert_eq!(read(r#"{"name":"v"} "#), Ok(Some(Some("v".to_owned()))));
        assert_eq!(read(" "), Ok(None));
        assert_eq!(read("null"), Ok(Some(None)));
        assert_eq!(read("{"), Err("invalid JSON: unexpected EOF".to_owned()));
        assert_eq!(read("{} x"), Err("unexpected content after JSON".to_owned()));
    }
}
