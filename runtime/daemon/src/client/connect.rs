use std::path::PathBuf;

use docklab_api::{ApiError, ApiResult};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};

use super::request::RequestBody;

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

impl Address {
    /// Parses the value of `DOCKER_HOST`.
    pub fn parse(host: &str) -> ApiResult<Self> {
        if let Some(path) = host.strip_prefix("unix://") {
            return Ok(Self::Unix(path.into()));
        }
        if let Some(rest) = host.strip_prefix("tcp://").or_else(|| host.strip_prefix("http://")) {
            return Ok(Self::Tcp(rest.trim_end_matches('/').to_owned()));
        }
        Err(ApiError::connection(format!("unable to parse docker host `{host}`")))
    }

    pub(super) async fn connect(&self) -> ApiResult<SendRequest<RequestBody>> {
        match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| self.unreachable(&error))?;
                self.speak(TokioIo::new(stream)).await
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(|error| self.unreachable(&error))?;
                self.speak(TokioIo::new(stream)).await
            }
        }
    }

    async fn speak<S>(&self, stream: S) -> ApiResult<SendRequest<RequestBody>>
    where
        S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let (sender, connection) = handshake(stream).await.map_err(super::undecodable)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!("connection to the engine ended: {error}");
            }
        });
        Ok(sender)
    }

    /// Docker's own words for an engine that does not answer.
    fn unreachable(&self, error: &std::io::Error) -> ApiError {
        if error.kind() == std::io::ErrorKind::PermissionDenied {
            return ApiError::connection(format!(
                "permission denied while trying to connect to the Docker daemon socket at {self}"
            ));
        }
        ApiError::connection(format!("Cannot connect to the Docker daemon at {self}. Is the docker daemon running?"))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Self::Tcp(address) => write!(formatter, "tcp://{address}"),
        }
    }
}
