//! Registries of the simulated world: `docker.io`, filled from descriptions as images are asked for, and those that run in
//! containers.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, Weak},
};

use async_trait::async_trait;
use docklab_registry::{MemoryStorage, Registry, Request as RegistryRequest, collect};

use crate::{
    fs::digest,
    net::{Reply, Request, WebServer},
    world::{Inner, lock},
};

/// An OCI registry as a web server.
pub(crate) struct RegistryServer {
    registry: Registry,
    /// Where its images come from; `None` for an ordinary registry.
    world: Option<Weak<Inner>>,
    filled: Mutex<HashSet<String>>,
}

impl RegistryServer {
    pub(crate) fn empty() -> Self {
        Self { registry: Registry::new(Arc::new(MemoryStorage::default())), world: None, filled: Mutex::default() }
    }
    /// `docker.io`.
    pub(crate) fn hub(world: &Arc<Inner>) -> Self {
        Self {
            registry: Registry::new(Arc::new(MemoryStorage::default())).deny_unknown_repositories(),
            world: Some(Arc::downgrade(world)),
            filled: Mutex::default(),
        }
    }
    async fn put(&self, target: &str, kind: &str, body: bytes::Bytes) {
        let method = if target.contains("/blobs/") { "POST" } else { "PUT" };
        let request = RegistryRequest::new(method, target).header("Content-Type", kind).body(body);
        self.registry.handle(request).await;
    }
    /// Puts what the descriptions have of a repository into the registry, once.
    async fn fill(&self, repository: &str) {
        let Some(world) = self.world.as_ref().and_then(Weak::upgrade) else { return };
        for tag in world.images.tags(repository) {
            if !lock(&self.filled).insert(format!("{repository}:{tag}")) {
                continue;
            }
            let Ok(image) = world.images.image(repository, &tag) else { continue };
            for blob in image.layers.iter().map(|layer| &layer.blob).chain([&image.config]) {
                let target = format!("/v2/{repository}/blobs/uploads/?digest={}", digest(blob));
                self.put(&target, "application/octet-stream", blob.clone()).await;
            }
            let kind = "application/vnd.docker.distribution.manifest.v2+json";
            self.put(&format!("/v2/{repository}/manifests/{tag}"), kind, image.manifest.clone()).await;
        }
    }
}

#[async_trait]
impl WebServer for RegistryServer {
    async fn answer(&self, request: Request) -> Reply {
        if let Some(path) = request.path.strip_prefix("/v2/")
            && let Some(end) = ["/manifests/", "/blobs/", "/tags/"].iter().find_map(|part| path.find(part))
        {
            self.fill(&path[..end]).await;
        }
        let mut inner = RegistryRequest::new(&request.method, &request.path).body(request.body);
        inner.head.headers = request.headers;
        let response = self.registry.handle(inner).await;
        let headers = response.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        match collect(response.body).await {
            Ok(body) => Reply { status: response.status, headers, body },
            Err(error) => Reply::text(500, "text/plain", error.to_string()),
        }
    }
}
