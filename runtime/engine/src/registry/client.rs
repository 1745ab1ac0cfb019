//! HTTP to one repository of a registry: the ping, the token flow, redirects (OCI distribution specification, and
//! distribution's token authentication).

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use docklab_api::{ApiError, Reference, models::AuthConfig};
use docklab_host::{ByteStream, Host, HostError, HttpRequest, HttpResponse};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::{
    auth::{Challenge, Credentials, Token, encoded},
    refusal::{Attempt, Trouble, refusal},
};

/// The manifest types that the client understands, those of images first.
pub(super) const MANIFEST_TYPES: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.index.v1+json";
const HUB: &str = "https://registry-1.docker.io";
const MANIFEST_LIMIT: usize = 4 * 1024 * 1024;
const REDIRECTS: usize = 5;
/// Tokens that are shown for one request, as long as they are refused.
const TOKENS: usize = 2;
/// Docker's words for a registry that asks for a password when there is none.
pub(super) const NO_CREDENTIALS: &str = "no basic auth credentials";

/// A connection, with what the registry wants to see of us.
pub(crate) struct Client {
    host: Arc<dyn Host>,
    /// Scheme and authority.
    base: String,
    /// The repository's path.
    path: String,
    /// `pull` or `pull,push`.
    actions: String,
    credentials: Credentials,
    /// What the registry asked for when it was first spoken to.
    challenge: Option<Challenge>,
    /// A certificate of any kind will do: registries on this machine.
    insecure: bool,
    token: Mutex<Shown>,
    fetching: tokio::sync::Mutex<()>,
}

/// What requests show to the registry.
#[derive(Debug, Clone, Default)]
struct Shown {
    /// The value of the `Authorization` header.
    header: Option<String>,
    /// When a token ends.
    until: Option<Timestamp>,
    /// A refresh token that came with it.
    refresh: Option<String>,
}

/// A request's method, address and content, ready to be sent more than once.
pub(super) struct Call {
    pub(super) method: &'static str,
    /// Beneath `/v2/<repository>/`, or absolute.
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Bytes>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Client").field("base", &self.base).field("path", &self.path).finish_non_exhaustive()
    }
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
pub(super) async fn text(response: HttpResponse) -> Attempt<Bytes> {
    let mut all = Vec::new();
    let mut body = response.body;
    while let Some(piece) = body.try_next().await? {
        all.extend_from_slice(&piece);
        if all.len() > MANIFEST_LIMIT {
            return Err(ApiError::system("the registry's answer is larger than 4 MiB").into());
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

impl Client {
    /// Pings the registry. What it asks for is got when the first request needs it.
    pub(super) async fn connect(
        host: &Arc<dyn Host>,
        reference: &Reference,
        actions: &str,
        auth: Option<&AuthConfig>,
        mirrors: &[(String, String)],
    ) -> Attempt<Self> {
        let base = base_of(&reference.domain, mirrors, reference);
        let mut client = Self {
            host: Arc::clone(host),
            base,
            path: reference.path.clone(),
            actions: actions.to_owned(),
            credentials: Credentials::of(auth),
            challenge: None,
            insecure: false,
            token: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        };
        let ping = client.ping().await?;
        if ping.status == 401 {
            client.challenge = header(&ping, "www-authenticate").and_then(Challenge::parse);
        }
        Ok(client)
    }

    async fn ping(&mut self) -> Attempt<HttpResponse> {
        let call = Call::new("GET", "/v2/");
        let plain = self.exchange(self.url("/v2/"), &call, None, None).await;
        let speaks_tls = match &plain {
            // What Go's server answers to plain HTTP on a TLS port.
            Ok(answer) => {
                answer.status == 400
                    && header(answer, "content-type").is_some_and(|kind| kind.starts_with("text/plain"))
            }
            Err(_) => false,
        };
        match self.base.strip_prefix("http://") {
            Some(place) if speaks_tls => {
                self.base = format!("https://{place}");
                self.insecure = true;
                self.exchange(self.url("/v2/"), &call, None, None).await
            }
            _ => plain,
        }
    }

    /// The refresh token that the registry's token server gave (`docker login` keeps it instead of the password).
    pub(super) fn identity(&self) -> Option<String> {
        self.shown().refresh
    }

    fn shown(&self) -> Shown {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The header to send now. `stale` is one that the registry has refused.
    async fn authorization(&self, stale: Option<&str>) -> Attempt<Option<String>> {
        if let Some(token) = &self.credentials.registry {
            return Ok(Some(format!("Bearer {token}")));
        }
        let (realm, service) = match &self.challenge {
            None => return Ok(None),
            Some(Challenge::Basic) => {
                let header = self.credentials.header();
                return header.map(Some).ok_or_else(|| ApiError::system(NO_CREDENTIALS).into());
            }
            Some(Challenge::Bearer { realm, service }) => (realm, service),
        };
        let shown = self.shown();
        let is_good = shown.until.is_some_and(|until| self.host.now() < until);
        if is_good && shown.header.as_deref() != stale && shown.header.is_some() {
            return Ok(shown.header);
        }
        // One at a time: requests that were refused together all want the same.
        let _fetching = self.fetching.lock().await;
        let shown = self.shown();
        if shown.header.is_some() && shown.header.as_deref() != stale {
            return Ok(shown.header);
        }
        let token = self.fetch_token(realm, service).await?;
        let value = token
            .value()
            .ok_or_else(|| ApiError::system("authorization server did not include a token in the response"))?;
        // A little early, so that no request meets the very end.
        let length = jiff::SignedDuration::from_secs(i64::try_from(token.lifetime()).unwrap_or(60) - 10);
        let new = Shown {
            header: Some(format!("Bearer {value}")),
            until: self.host.now().checked_add(length).ok(),
            refresh: token.refresh(),
        };
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = new.clone();
        Ok(new.header)
    }

    async fn fetch_token(&self, realm: &str, service: &str) -> Attempt<Token> {
        let scope = (!self.path.is_empty()).then(|| format!("repository:{}:{}", self.path, self.actions));
        let call = match &self.credentials.identity {
            // RFC 6749, section 6.
            Some(identity) => {
                let mut form = format!(
                    "grant_type=refresh_token&refresh_token={}&service={}&client_id=docker",
                    encoded(identity),
                    encoded(service)
                );
                if let Some(scope) = scope {
                    form.push_str(&format!("&scope={}", encoded(&scope)));
                }
                Call::new("POST", realm).header("Content-Type", "application/x-www-form-urlencoded").body(form.into())
            }
            None => {
                let mut url =
                    format!("{realm}{}service={}", if realm.contains('?') { '&' } else { '?' }, encoded(service));
                if let Some(scope) = scope {
                    url.push_str(&format!("&scope={}", encoded(&scope)));
                } else {
                    // A login: it may get a token in place of the password.
                    url.push_str("&offline_token=true&client_id=docker");
                }
                if let Some(user) = self.credentials.user() {
                    url.push_str(&format!("&account={}", encoded(user)));
                }
                Call::new("GET", url)
            }
        };
        let basic = self.credentials.header().filter(|_| self.credentials.identity.is_none());
        let response = self.exchange(call.target.clone(), &call, None, basic.as_deref()).await?;
        if response.status != 200 {
            return Err(refusal(response).await);
        }
        serde_json::from_slice(&text(response).await?)
            .map_err(|error| ApiError::system(format!("unable to decode token response: {error}")).into())
    }

    /// Sends a request about the repository. Any status is an answer; a token that ended on the way is got anew.
    pub(super) async fn send(&self, call: &Call) -> Attempt<HttpResponse> {
        let url = self.url(&call.target);
        let failed = |trouble: Trouble| self.named(call.method, &url, trouble);
        let mut shown = self.authorization(None).await.map_err(failed)?;
        for _ in 0..TOKENS {
            let response = self.exchange(url.clone(), call, None, shown.as_deref()).await?;
            if response.status != 401 || !matches!(self.challenge, Some(Challenge::Bearer { .. })) {
                return Ok(response);
            }
            shown = self.authorization(shown.as_deref()).await.map_err(failed)?;
        }
        self.exchange(url.clone(), call, None, shown.as_deref()).await
    }

    /// What could not be shown is told with the request it was for, as Go's HTTP client does.
    fn named(&self, method: &str, url: &str, mut trouble: Trouble) -> Trouble {
        if trouble.error.message.starts_with("Get \"") || trouble.error.message.starts_with("Post \"") {
            return trouble;
        }
        let lower = method.to_ascii_lowercase();
        let verb: String = lower.chars().take(1).flat_map(char::to_uppercase).chain(lower.chars().skip(1)).collect();
        trouble.error.message = format!("{verb} \"{url}\": {}", trouble.error.message);
        trouble
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

    /// Sends a stream of known length. It can be sent once only: with an old token it is refused before it is read.
    pub(super) async fn upload(&self, call: &Call, length: u64, content: ByteStream) -> Attempt<HttpResponse> {
        let url = self.url(&call.target);
        let shown = self.authorization(None).await.map_err(|trouble| self.named(call.method, &url, trouble))?;
        self.exchange(url, call, Some((length, content)), shown.as_deref()).await
    }

    async fn exchange(
        &self,
        mut url: String,
        call: &Call,
        mut content: Option<(u64, ByteStream)>,
        authorization: Option<&str>,
    ) -> Attempt<HttpResponse> {
        // Tokens are for the registry, passwords for it or for the token server that it named. Another host (a blob's
        // storage, or wherever an upload is sent to) must see neither.
        let is_token_request = !url.starts_with(&self.base)
            && matches!(&self.challenge,
            Some(Challenge::Bearer { realm, .. }) if url.starts_with(realm.as_str()));
        let home = origin(if is_token_request { &url } else { &self.base }).to_owned();
        for _ in 0..=REDIRECTS {
            let mut headers = call.headers.clone();
            if let Some(authorization) = authorization.filter(|_| origin(&url) == home) {
                headers.push(("Authorization".to_owned(), authorization.to_owned()));
            }
            let body = match (content.take(), &call.body) {
                (Some((length, content)), _) => Some((Some(length), content)),
                (None, Some(bytes)) => {
                    let bytes = bytes.clone();
                    Some((Some(bytes.len() as u64), stream::once(async move { Ok(bytes) }).boxed()))
                }
                (None, None) => None,
            };
            let request = HttpRequest { method: call.method, url: url.clone(), headers, body, insecure: self.insecure };
            let response = self.host.http(request).await?;
            match (response.status, header(&response, "location")) {
                (301 | 302 | 303 | 307 | 308, Some(location)) => url = joined(&url, location),
                _ => return Ok(response),
            }
        }
        let cause = format!("Get \"{url}\": stopped after {REDIRECTS} redirects");
        Err(HostError::Other(cause).into())
    }
}

/// Scheme and authority of a URL.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    url[start..].find('/').map_or(url, |end| &url[..start + end])
}

/// A redirect's target from where it was given (RFC 3986, section 5.2, for what servers send).
pub(crate) fn joined(url: &str, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    if let Some(place) = location.strip_prefix("//") {
        let scheme = url.split_once("://").map_or("https", |(scheme, _)| scheme);
        return format!("{scheme}://{place}");
    }
    if location.starts_with('/') {
        return format!("{}{location}", origin(url));
    }
    let base = url.split(['?', '#']).next().unwrap_or(url);
    let directory = base.rfind('/').filter(|at| *at >= origin(url).len()).map_or(base, |at| &base[..at]);
    format!("{directory}/{location}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_relative_to_what_redirects() {
        let url = "https://registry.example:5000/v2/a/blobs/x?y=1";
        assert_eq!(origin(url), "https://registry.example:5000");
        for (location, wanted) in [
            ("https://storage.example/x", "https://storage.example/x"),
            ("//storage.example/x", "https://storage.example/x"),
            ("/other", "https://registry.example:5000/other"),
            ("other?z", "https://registry.example:5000/v2/a/blobs/other?z"),
        ] {
            assert_eq!(joined(url, location), wanted);
        }
    }
}
