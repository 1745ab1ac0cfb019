//! HTTP to one repository of a registry: the ping, the token flow, redirects (OCI distribution specification, and
//! distribution's token authentication).

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use docklab_api::{ApiError, ApiResult, Reference, models::AuthConfig};
use docklab_host::{ByteStream, Host, HttpRequest, HttpResponse};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use crate::HostResultExt;

/// The manifest types that the client understands, those of images first.
pub(super) const MANIFEST_TYPES: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.index.v1+json";
const HUB: &str = "https://registry-1.docker.io";
const MANIFEST_LIMIT: usize = 4 * 1024 * 1024;
const REDIRECTS: usize = 5;

/// A connection, with what the registry wants to see of us.
pub(crate) struct Client {
    host: Arc<dyn Host>,
    /// Scheme and authority.
    base: String,
    /// The repository's path.
    path: String,
    authorization: Option<String>,
}

/// A request's method, address and content, ready to be sent more than once.
pub(super) struct Call {
    pub(super) method: &'static str,
    /// Beneath `/v2/<repository>/`, or absolute.
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Bytes>,
}

impl Call {
    pub(super) fn new(method: &'static str, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), headers: Vec::new(), body: None }
    }
    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = Some(body);
        self
    }
}

pub(super) fn header<'a>(response: &'a HttpResponse, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Reads a small body whole.
pub(super) async fn text(response: HttpResponse) -> ApiResult<Bytes> {
    let mut all = Vec::new();
    let mut body = response.body;
    while let Some(piece) = body.try_next().await.api()? {
        all.extend_from_slice(&piece);
        if all.len() > MANIFEST_LIMIT {
            return Err(ApiError::system("the registry's answer is larger than 4 MiB"));
        }
    }
    Ok(all.into())
}

/// Registries on this machine are spoken to without TLS, as Docker does by default.
fn base_of(domain: &str, mirrors: &[(String, String)], reference: &Reference) -> String {
    let name = reference.name();
    let mirror = mirrors
        .iter()
        .filter(|(prefix, _)| {
            name.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
        .max_by_key(|(prefix, _)| prefix.len());
    if let Some((_, base)) = mirror {
        return base.trim_end_matches('/').to_owned();
    }
    if domain == "docker.io" {
        return HUB.to_owned();
    }
    let host = domain.rsplit_once(':').map_or(domain, |(host, _)| host);
    let local =
        host == "localhost" || host == "[::1]" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    format!("{}://{domain}", if local { "http" } else { "https" })
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct Failures {
    errors: Vec<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    code: String,
    #[serde(default)]
    message: String,
}

impl Client {
    /// Pings the registry and gets what it asks for. `actions` is `pull` or `pull,push`.
    pub(super) async fn connect(
        host: &Arc<dyn Host>,
        reference: &Reference,
        actions: &str,
        auth: Option<&AuthConfig>,
        mirrors: &[(String, String)],
    ) -> ApiResult<Self> {
        let base = base_of(&reference.domain, mirrors, reference);
        let mut client = Self { host: Arc::clone(host), base, path: reference.path.clone(), authorization: None };
        let ping = client.send_to(format!("{}/v2/", client.base), &Call::new("GET", "")).await?;
        if ping.status == 401 {
            let challenge = header(&ping, "www-authenticate").unwrap_or_default().to_owned();
            client.authorization = client.answer(&challenge, actions, auth).await?;
        }
        Ok(client)
    }

    /// What to send for a `WWW-Authenticate` challenge.
    async fn answer(&self, challenge: &str, actions: &str, auth: Option<&AuthConfig>) -> ApiResult<Option<String>> {
        let basic = auth.and_then(|auth| {
            let (user, password) = (auth.username.as_deref()?, auth.password.as_deref().unwrap_or_default());
            (!user.is_empty()).then(|| format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
        });
        let Some(parameters) = challenge.strip_prefix("Bearer ").or_else(|| challenge.strip_prefix("bearer ")) else {
            return Ok(basic);
        };
        let parameter = |name: &str| {
            parameters.split(',').find_map(|pair| {
                let (key, value) = pair.trim().split_once('=')?;
                (key == name).then(|| value.trim_matches('"').to_owned())
            })
        };
        let realm =
            parameter("realm").ok_or_else(|| ApiError::system("the registry asks for a token and names no realm"))?;
        let mut url = format!("{realm}?service={}", parameter("service").unwrap_or_default());
        if !self.path.is_empty() {
            url.push_str(&format!("&scope=repository:{}:{actions}", self.path));
        }
        let mut call = Call::new("GET", "");
        if let Some(basic) = basic {
            call = call.header("Authorization", basic);
        }
        let response = self.send_to(url, &call).await?;
        if response.status != 200 {
            return Err(refusal(
                response.status,
                &text(response).await?,
                "unauthorized: incorrect username or password",
            ));
        }
        let token: Token = serde_json::from_slice(&text(response).await?)
            .map_err(|error| ApiError::system(format!("the registry's token could not be read: {error}")))?;
        Ok(token.token.or(token.access_token).map(|token| format!("Bearer {token}")))
    }

    /// Sends a request about the repository. Any status is an answer.
    pub(super) async fn send(&self, call: &Call) -> ApiResult<HttpResponse> {
        self.send_to(self.url(&call.target), call).await
    }

    pub(super) fn url(&self, target: &str) -> String {
        if target.starts_with("http://") || target.starts_with("https://") {
            target.to_owned()
        } else if target.starts_with('/') {
            format!("{}{target}", self.base)
        } else {
            format!("{}/v2/{}/{target}", self.base, self.path)
        }
    }

    async fn send_to(&self, url: String, call: &Call) -> ApiResult<HttpResponse> {
        let body = call.body.clone();
        self.exchange(url, call.method, &call.headers, move || {
            body.clone().map(|body| (Some(body.len() as u64), stream::once(async move { Ok(body) }).boxed()))
        })
        .await
    }

    /// Sends a stream of known length.
    pub(super) async fn upload(&self, call: &Call, length: u64, content: ByteStream) -> ApiResult<HttpResponse> {
        let mut content = Some(content);
        self.exchange(self.url(&call.target), call.method, &call.headers, move || {
            content.take().map(|content| (Some(length), content))
        })
        .await
    }

    async fn exchange(
        &self,
        mut url: String,
        method: &'static str,
        headers: &[(String, String)],
        mut body: impl FnMut() -> Option<(Option<u64>, ByteStream)>,
    ) -> ApiResult<HttpResponse> {
        for _ in 0..=REDIRECTS {
            let mut headers = headers.to_vec();
            // Another host than the registry (a blob's storage) must not see the token.
            let is_ours = url.strip_prefix(&self.base).is_some_and(|rest| rest.starts_with('/'));
            if let Some(authorization) = self.authorization.as_ref().filter(|_| is_ours) {
                headers.push(("Authorization".to_owned(), authorization.clone()));
            }
            let request = HttpRequest { method, url: url.clone(), headers, body: body(), insecure: false };
            let response = self.host.http(request).await.api()?;
            match (response.status, header(&response, "location")) {
                (301 | 302 | 303 | 307 | 308, Some(location)) => url = self.url(location),
                _ => return Ok(response),
            }
        }
        Err(ApiError::system(format!("Get \"{url}\": stopped after {REDIRECTS} redirects")))
    }
}

/// A registry's own words for a refusal: `code: message`, lower case as Docker prints them.
pub(super) fn refusal(status: u16, body: &[u8], otherwise: &str) -> ApiError {
    let words = serde_json::from_slice::<Failures>(body).ok().and_then(|failures| failures.errors.into_iter().next());
    let message = match words {
        Some(Failure { code, message }) => {
            let code = code.to_lowercase().replace('_', " ");
            if code == "toomanyrequests" { format!("toomanyrequests: {message}") } else { format!("{code}: {message}") }
        }
        None => otherwise.to_owned(),
    };
    ApiError::new(if status == 404 || status == 401 || status == 403 { status } else { 500 }, message)
}
