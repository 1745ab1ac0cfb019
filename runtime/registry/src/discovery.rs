use serde_json::{Value, json};

use crate::{
    ErrorCode, Head, RecordKind, Registry, Response, StorageResult,
    error::{Failure, Outcome},
    http::encode,
    names::is_digest,
};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl Registry {
    /// Repositories that hold a manifest, sorted.
    pub(crate) async fn repository_names(&self) -> StorageResult<Vec<String>> {
        let mut names = Vec::new();
        for name in self.storage.repositories().await? {
            if !self.storage.records(&name, RecordKind::Manifest).await?.is_empty() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    pub(crate) async fn catalog(&self, request: &Head) -> Outcome {
        let page = Page::of(self.repository_names().await?, request)?;
        let body = json!({ "repositories": page.items });
        Ok(page.link("/v2/_catalog", Response::new(200)).content("application/json", body.to_string().into()))
    }

    pub(crate) async fn tags(&self, repository: &str, request: &Head) -> Outcome {
        if self.storage.records(repository, RecordKind::Manifest).await?.is_empty() {
            return Err(ErrorCode::NameUnknown.about(repository));
        }
        let mut tags = self.storage.records(repository, RecordKind::Tag).await?;
        // "Lexical" order in the specification ignores case first.
        tags.sort_by(|left, right| {
            left.to_ascii_lowercase().cmp(&right.to_ascii_lowercase()).then_with(|| left.cmp(right))
        });
        let page = Page::of(tags, request)?;
        let body = json!({ "name": repository, "tags": page.items });
        let path = format!("/v2/{repository}/tags/list");
        Ok(page.link(&path, Response::new(200)).content("application/json", body.to_string().into()))
    }

    pub(crate) async fn referrers(&self, repository: &str, subject: &str, request: &Head) -> Outcome {
        if !is_digest(subject) {
            return Err(ErrorCode::DigestInvalid.about(subject));
        }
        let wanted = request.parameter("artifactType").filter(|kind| !kind.is_empty());
        let prefix = format!("{subject}@");
        let mut keys = self.storage.records(repository, RecordKind::Referrer).await?;
        keys.retain(|key| key.starts_with(&prefix));
        keys.sort();
        let mut manifests = Vec::new();
        for key in keys {
            let Some(record) = self.storage.record(repository, RecordKind::Referrer, &key).await? else { continue };
            let Ok(descriptor) = serde_json::from_slice::<Value>(&record) else { continue };
            let kind = descriptor.get("artifactType").and_then(Value::as_str);
            if wanted.is_none() || kind == wanted.as_deref() {
                manifests.push(descriptor);
            }
        }
        let body = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        let mut response = Response::new(200);
        if wanted.is_some() {
            response = response.with("OCI-Filters-Applied", "artifactType");
        }
        Ok(response.content(INDEX, body.to_string().into()))
    }
}

/// Part of a sorted list: at most `n` items after `last`.
struct Page {
    items: Vec<String>,
    /// The query of the next page.
    next: Option<String>,
}

impl Page {
    fn of(mut all: Vec<String>, request: &Head) -> Result<Self, Failure> {
        let limit = match request.parameter("n") {
            None => None,
            Some(text) => Some(text.parse::<usize>().map_err(|_| Failure::from(ErrorCode::PaginationInvalid))?),
        };
        if let Some(last) = request.parameter("last").filter(|last| !last.is_empty()) {
            let after = match all.iter().position(|item| *item == last) {
                Some(position) => position + 1,
                // The item has gone meanwhile: go on where it would have stood.
                None => all.iter().position(|item| item.as_str() > last.as_str()).unwrap_or(all.len()),
            };
            all.drain(..after);
        }
        let mut next = None;
        if let Some(limit) = limit.filter(|limit| *limit < all.len()) {
            all.truncate(limit);
            next = all.last().map(|last| format!("n={limit}&last={}", encode(last)));
        }
        Ok(Self { items: all, next })
    }

    fn link(&self, path: &str, response: Response) -> Response {
        match &self.next {
            Some(query) => response.with("Link", format!("<{path}?{query}>; rel=\"next\"")),
            None => response,
        }
    }
}
