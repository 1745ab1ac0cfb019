use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{
    ByteStream, ErrorCode, Head, RecordKind, Request, Response, Storage, StorageResult, bytes_body, error::Outcome,
    http::decode, names::is_repository, uploads::RunningDigest,
};

/// Says whether a user and password may use the registry.
pub type CheckCredentials = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// A registry over a [`Storage`].
pub struct Registry {
    pub(crate) storage: Arc<dyn Storage>,
    credentials: Option<CheckCredentials>,
    pub(crate) deny_unknown: bool,
    /// Digests of uploads as they arrive, so that a finished upload need not be read again.
    pub(crate) running: Mutex<HashMap<String, RunningDigest>>,
}

/// What a repository holds, for a page that lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositorySummary {
    pub name: String,
    /// Tags with the digests of their manifests, sorted.
    pub tags: Vec<(String, String)>,
}

impl Registry {
    /// A registry that anybody may read and write.
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, credentials: None, deny_unknown: false, running: Mutex::default() }
    }

    /// Asks for a user and password (HTTP Basic) before every request.
    #[must_use]
    pub fn with_credentials(mut self, check: CheckCredentials) -> Self {
        self.credentials = Some(check);
        self
    }

    /// Answers reads of an unknown repository with `DENIED`, as Docker Hub does, instead of `NAME_UNKNOWN`.
    #[must_use]
    pub fn deny_unknown_repositories(mut self) -> Self {
        self.deny_unknown = true;
        self
    }

    /// Answers one request. Every failure is a response with the specification's JSON.
    pub async fn handle(&self, request: Request) -> Response {
        let is_head = request.method == "HEAD";
        let mut response = match self.authorize(&request) {
            Some(refusal) => refusal,
            None => self.route(request).await.unwrap_or_else(Response::from),
        };
        response.headers.push(("Docker-Distribution-Api-Version", "registry/2.0".to_owned()));
        if is_head {
            response.body = bytes_body(bytes::Bytes::new());
        }
        response
    }

    /// All repositories with their tags, sorted by name.
    pub async fn repositories(&self) -> StorageResult<Vec<RepositorySummary>> {
        let mut summaries = Vec::new();
        for name in self.repository_names().await? {
            let mut tags = Vec::new();
            for tag in self.storage.records(&name, RecordKind::Tag).await? {
                if let Some(digest) = self.storage.record(&name, RecordKind::Tag, &tag).await? {
                    tags.push((tag, String::from_utf8_lossy(&digest).into_owned()));
                }
            }
            tags.sort();
            summaries.push(RepositorySummary { name, tags });
        }
        Ok(summaries)
    }

    fn authorize(&self, request: &Head) -> Option<Response> {
        let check = self.credentials.as_ref()?;
        let given = request
            .get_header("authorization")
            .and_then(|header| header.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .and_then(|(_, encoded)| BASE64_STANDARD.decode(encoded.trim()).ok())
            .and_then(|pair| String::from_utf8(pair).ok());
        if let Some((user, password)) = given.as_deref().and_then(|pair| pair.split_once(':'))
            && check(user, password)
        {
            return None;
        }
        let refusal = Response::from(crate::error::Failure::from(ErrorCode::Unauthorized));
        Some(refusal.with("Www-Authenticate", "Basic realm=\"docklab registry\""))
    }

    async fn route(&self, request: Request) -> Outcome {
        let path = decode(&request.path);
        let Some(rest) = path.strip_prefix("/v2").filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
            return Err(ErrorCode::NameUnknown.about(path));
        };
        let rest = rest.trim_start_matches('/');
        let method = request.method.clone();
        let method = method.as_str();
        if rest.is_empty() {
            return match method {
                "GET" | "HEAD" => Ok(Response::new(200).content("application/json; charset=utf-8", "{}".into())),
                _ => Err(ErrorCode::Unsupported.into()),
            };
        }
        if rest == "_catalog" {
            return match method {
                "GET" | "HEAD" => self.catalog(&request).await,
                _ => Err(ErrorCode::Unsupported.into()),
            };
        }
        let Some(route) = Route::parse(rest) else { return Err(ErrorCode::NameUnknown.about(rest)) };
        if !is_repository(route.repository) {
            return Err(ErrorCode::NameInvalid.about(route.repository));
        }
        let name = route.repository;
        match (route.target, method) {
            (Target::Tags, "GET" | "HEAD") => self.tags(name, &request).await,
            (Target::Referrers(digest), "GET" | "HEAD") => self.referrers(name, digest, &request).await,
            (Target::Manifest(reference), "GET" | "HEAD") => self.get_manifest(name, reference, &request).await,
            (Target::Manifest(reference), "PUT") => self.put_manifest(name, reference, request).await,
            (Target::Manifest(reference), "DELETE") => self.delete_manifest(name, reference).await,
            (Target::Blob(digest), "GET" | "HEAD") => self.get_blob(name, digest, &request).await,
            (Target::Blob(digest), "DELETE") => self.delete_blob(name, digest).await,
            (Target::Uploads, "POST") => self.start_upload(name, request).await,
            (Target::Upload(id), "GET" | "HEAD") => self.upload_status(name, id).await,
            (Target::Upload(id), "PATCH") => self.append_upload(name, id, request).await,
            (Target::Upload(id), "PUT") => self.finish_upload(name, id, request).await,
            (Target::Upload(id), "DELETE") => self.cancel_upload(id).await,
            _ => Err(ErrorCode::Unsupported.into()),
        }
    }
}

/// What a path beneath `/v2/` is about.
enum Target<'a> {
    Tags,
    Referrers(&'a str),
    Manifest(&'a str),
    Blob(&'a str),
    Uploads,
    Upload(&'a str),
}

struct Route<'a> {
    repository: &'a str,
    target: Target<'a>,
}

impl<'a> Route<'a> {
    /// Reads from the right, as repository names may hold any of the path's own words.
    fn parse(rest: &'a str) -> Option<Self> {
        if let Some(repository) = rest.strip_suffix("/tags/list") {
            return Some(Self { repository, target: Target::Tags });
        }
        if let Some(repository) = rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads")) {
            return Some(Self { repository, target: Target::Uploads });
        }
        let (head, last) = rest.rsplit_once('/')?;
        if let Some(repository) = head.strip_suffix("/blobs/uploads") {
            return Some(Self { repository, target: Target::Upload(last) });
        }
        let (repository, kind) = head.rsplit_once('/')?;
        let target = match kind {
            "manifests" => Target::Manifest(last),
            "blobs" => Target::Blob(last),
            "referrers" => Target::Referrers(last),
            _ => return None,
        };
        Some(Self { repository, target })
    }
}

/// Headers and body for a piece of content, whole or the part that `Range` asks for.
pub(crate) enum Part {
    Whole,
    Slice { start: u64, end: u64 },
    Unsatisfiable,
}

impl Part {
    /// Reads `bytes=a-b`, `bytes=a-` and `bytes=-n`; what is malformed or has several parts counts as absent (RFC 9110).
    pub(crate) fn parse(header: Option<&str>, size: u64) -> Self {
        let Some((from, to)) = header.and_then(|header| header.strip_prefix("bytes=")).and_then(|r| r.split_once('-'))
        else {
            return Self::Whole;
        };
        let (start, end) = match (from.parse::<u64>(), to.parse::<u64>()) {
            (Ok(start), Ok(end)) if start <= end => (start, end.min(size.saturating_sub(1))),
            (Ok(start), Err(_)) if to.is_empty() => (start, size.saturating_sub(1)),
            (Err(_), Ok(last)) if from.is_empty() => (size.saturating_sub(last), size.saturating_sub(1)),
            _ => return Self::Whole,
        };
        if start >= size { Self::Unsatisfiable } else { Self::Slice { start, end } }
    }
}

impl Registry {
    pub(crate) async fn content(&self, digest: &str, start: u64, end: u64) -> StorageResult<ByteStream> {
        self.storage.read_blob(digest, start, end + 1 - start).await
    }
}
