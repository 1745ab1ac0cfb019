//! HTTP to registries and to `ADD` URLs: one connection a request, streams both ways, no redirects. Errors are worded as
//! Go's net package words them, because that is what Docker's users know.

mod body;
mod dial;
mod link;
mod tls;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use async_trait::async_trait;
use docklab_host::{HostError, HostResult, HttpRequest, HttpResponse, Identity, Judge, Link, Transport};
use futures::stream::BoxStream;
use hyper::{Method, Request, Uri, client::conn::http1, header};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::{LinuxHost, LinuxOptions};
pub(crate) use dial::go_words;

/// A client of this machine's.
pub(crate) struct HttpTransport {
    /// With the machine's certificate authorities, and Mozilla's where it has none.
    verified: TlsConnector,
    /// For insecure registries: any certificate will do.
    insecure: TlsConnector,
}

impl HttpTransport {
    pub(crate) fn open(_options: &LinuxOptions) -> HostResult<Self> {
        Ok(Self { verified: dial::verified_tls()?, insecure: dial::insecure_tls()? })
    }

    async fn request(&self, request: HttpRequest) -> HostResult<HttpResponse> {
        let HttpRequest { method, url, headers, body, insecure } = request;
        // `Get "https://…": cause`, as Go's url.Error prints it.
        let mut verb = method.to_ascii_lowercase();
        if let Some(first) = verb.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let failed = |cause: String| HostError::Network(format!("{verb} \"{url}\": {cause}"));
        let target = Url::parse(&url).map_err(|error| failed(error.to_string()))?;
        let host = target.host_str().ok_or_else(|| failed("no Host in request URL".to_owned()))?;
        let secure = match target.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(failed(format!("unsupported protocol scheme \"{other}\""))),
        };
        let port = target.port_or_known_default().unwrap_or(if secure { 443 } else { 80 });
        let stream = dial::connect(host, port).await.map_err(failed)?;
        let stream: Box<dyn dial::Stream> = if secure {
            let connector = if insecure { &self.insecure } else { &self.verified };
            dial::handshake(connector, host, stream).await.map_err(failed)?
        } else {
            Box::new(stream)
        };
        let (mut sender, connection) =
            http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.map_err(|error| failed(error.to_string()))?;
        // Ends with the response's body.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("HTTP connection: {error}");
            }
        });
        let mut path = target.path().to_owned();
        if let Some(query) = target.query() {
            path = format!("{path}?{query}");
        }
        let authority = &target[url::Position::BeforeHost..url::Position::AfterPort];
        let mut builder = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).map_err(|error| failed(error.to_string()))?)
            .uri(path.parse::<Uri>().map_err(|error| failed(error.to_string()))?)
            .header(header::HOST, authority);
        for (name, value) in &headers {
            builder = builder.header(name, value);
        }
        // Go sends an explicit zero with a body-less POST, PUT or PATCH.
        if let Some((Some(length), _)) = &body {
            builder = builder.header(header::CONTENT_LENGTH, *length);
        } else if body.is_none() && matches!(method, "POST" | "PUT" | "PATCH") {
            builder = builder.header(header::CONTENT_LENGTH, 0);
        }
        let outgoing = body::outgoing(body.map(|(_, stream)| stream));
        let message = builder.body(outgoing).map_err(|error| failed(error.to_string()))?;
        let response = timeout(dial::HEADERS, sender.send_request(message))
            .await
            .map_err(|_| failed("net/http: timeout awaiting response headers".to_owned()))?
            .map_err(|error| failed(dial::exchange_words(&error)))?;
        let (parts, incoming) = response.into_parts();
        let headers = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        Ok(HttpResponse { status: parts.status.as_u16(), headers, body: body::incoming(incoming, sender) })
    }
}

#[async_trait]
impl Transport for LinuxHost {
    async fn http(&self, request: HttpRequest) -> HostResult<HttpResponse> {
        self.inner.transport.request(request).await
    }
    async fn listen(&self, port: u16) -> HostResult<BoxStream<'static, Arc<dyn Link>>> {
        link::listen(port).await
    }
    async fn dial(&self, address: SocketAddr) -> HostResult<Arc<dyn Link>> {
        link::dial(address).await
    }
    async fn listen_secure(
        &self,
        port: u16,
        identity: Arc<dyn Fn() -> Option<Identity> + Send + Sync>,
        judge: Judge,
    ) -> HostResult<BoxStream<'static, Arc<dyn Link>>> {
        link::listen_secure(port, identity, judge).await
    }
    async fn dial_secure(
        &self,
        address: SocketAddr,
        identity: Option<Identity>,
        judge: Judge,
    ) -> HostResult<Arc<dyn Link>> {
        link::dial_secure(address, identity, judge).await
    }
    async fn resolve(&self, name: &str) -> HostResult<Vec<IpAddr>> {
        // A name that nobody knows is no failure of this machine.
        let found = tokio::net::lookup_host((name, 0)).await;
        Ok(found.map_or_else(|_| Vec::new(), |found| found.map(|address| address.ip()).collect()))
    }
}

/// The error that TLS set-up on this machine can meet.
fn tls_error(error: impl std::fmt::Display) -> HostError {
    HostError::other("set up TLS", error)
}

/// Every TLS configuration here names its provider, so that no process-wide default is needed.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
