//! A [`DockerApi`](docklab_api::DockerApi) over a socket: ours or a stock Docker Engine's, on a unix socket or TCP.

mod connect;
mod containers;
mod exec;
mod hijack;
mod images;
mod networks;
mod request;
mod swarm;
mod system;
mod volumes;

use std::sync::Arc;

use docklab_api::{ApiError, ApiResult, CLIENT_API_VERSION};
use tokio::sync::OnceCell;

pub use connect::Address;

/// A client. Cheap to clone; every request has its own connection, which a unix socket makes for some ten microseconds.
#[derive(Debug, Clone)]
pub struct HttpClient {
    address: Arc<Address>,
    /// The newest API version that both sides speak, learnt at the first request.
    version: Arc<OnceCell<String>>,
    /// Sent with every request.
    headers: Arc<Vec<(String, String)>>,
}

impl HttpClient {
    /// A client of the engine at `address`. Nothing is sent yet.
    pub fn new(address: Address) -> Self {
        Self { address: Arc::new(address), version: Arc::default(), headers: Arc::default() }
    }

    /// Sends these headers with every request; names and values that HTTP does not allow are left out.
    #[must_use]
    pub fn with_headers(mut self, headers: Vec<(String, String)>) -> Self {
        self.headers = Arc::new(headers);
        self
    }

    /// Speaks this API version, without asking the engine for its own.
    #[must_use]
    pub fn with_version(mut self, version: &str) -> Self {
        self.version = Arc::new(OnceCell::new_with(Some(version.trim_start_matches('v').to_owned())));
        self
    }

    /// A client of `unix:///path` or `tcp://host:port`, the forms of `DOCKER_HOST`.
    pub fn from_host(host: &str) -> ApiResult<Self> {
        Address::parse(host).map(Self::new)
    }

    /// Where this client connects to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    async fn version(&self) -> ApiResult<&str> {
        self.version
            .get_or_try_init(|| async {
                let theirs = self.ping_headers().await?.api_version;
                // An engine from before negotiation.
                let theirs = if theirs.is_empty() { "1.24".to_owned() } else { theirs };
                Ok(if minor(&theirs) < minor(CLIENT_API_VERSION) { theirs } else { CLIENT_API_VERSION.to_owned() })
            })
            .await
            .map(String::as_str)
    }
}

fn minor(version: &str) -> u16 {
    version.split_once('.').and_then(|(_, minor)| minor.parse().ok()).unwrap_or(24)
}

fn undecodable(error: impl std::fmt::Display) -> ApiError {
    ApiError::connection(format!("error reading the engine's answer: {error}"))
}
