use std::{collections::BTreeMap, sync::Arc};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use docklab_api::{ApiError, ApiResult, ByteStream, DockerApi, models::AuthConfig};
use http_body_util::{BodyExt as _, Limited};
use hyper::{Method, Request, body::Incoming};
use serde::de::DeserializeOwned;

use super::{Version, body, query::Query};

/// JSON bodies larger than this are refused; the largest real one (a service with configs) is far smaller.
const JSON_LIMIT: usize = 16 * 1024 * 1024;

/// One request on its way to a route.
pub(super) struct Context {
    pub(super) api: Arc<dyn DockerApi>,
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) query: Query,
    pub(super) request: Request<Incoming>,
}

impl Context {
    /// Reads a JSON body.
    pub(super) async fn json<T: DeserializeOwned>(&mut self) -> ApiResult<T> {
        let bytes = self.bytes().await?;
        if bytes.is_empty() {
            return Err(ApiError::invalid("invalid JSON: got EOF while reading request body"));
        }
        decode(&bytes)
    }

    /// Reads a JSON body that may be missing.
    pub(super) async fn json_or_default<T: DeserializeOwned + Default>(&mut self) -> ApiResult<T> {
        let bytes = self.bytes().await?;
        if bytes.iter().all(u8::is_ascii_whitespace) { Ok(T::default()) } else { decode(&bytes) }
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

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    serde_json::from_slice(bytes).map_err(|error| ApiError::invalid(format!("invalid JSON: {error}")))
}
