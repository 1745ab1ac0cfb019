use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use docklab_host::{HostError, HostResult, HttpRequest, HttpResponse, Link, Transport};
use futures::stream::BoxStream;

use super::{
    SimHost,
    layers::{body, collect},
};
use crate::net::{Reply, Request, Url, dial, fetch, listen};

#[async_trait]
impl Transport for SimHost {
    async fn http(&self, request: HttpRequest) -> HostResult<HttpResponse> {
        let url = Url::parse(&request.url)
            .ok_or_else(|| HostError::Network(format!("parse \"{}\": invalid URL", request.url)))?;
        let content = match request.body {
            None => bytes::Bytes::new(),
            Some((_, content)) => collect(content).await?,
        };
        let lan = &self.node.world().lan;
        let outside = lan.server(&url.host).is_some() || lan.server(&format!("{}:{}", url.host, url.port)).is_some();
        let mut headers = request.headers;
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            headers.push(("Host".into(), url.host.clone()));
        }
        let inner = Request { method: request.method.to_owned(), path: url.path, headers, body: content };
        let timeout = Duration::from_secs(30);
        let reply = fetch(self.node.space(), &url.host, url.port, inner, timeout)
            .await
            .map_err(|error| HostError::Network(error.to_string()))?;
        if url.secure && !outside {
            return Err(HostError::Network("http: server gave HTTP response to HTTPS client".into()));
        }
        let Reply { status, headers, body: content } = reply;
        let headers = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        Ok(HttpResponse { status, headers, body: body(content) })
    }
    async fn listen(&self, port: u16) -> HostResult<BoxStream<'static, Arc<dyn Link>>> {
        listen(&self.node, port)
    }
    async fn dial(&self, address: SocketAddr) -> HostResult<Arc<dyn Link>> {
        dial(&self.node, address).await.map_err(|error| HostError::Network(error.to_string()))
    }
    async fn resolve(&self, name: &str) -> HostResult<Vec<IpAddr>> {
        Ok(self.node.space().resolve(name))
    }
}
