//! The distribution specification, request by request, over the storage in memory.

use std::sync::Arc;

use docklab_registry::{MemoryStorage, Registry, Request, Response, collect};
use futures::executor::block_on;
use sha2::{Digest, Sha256};

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

fn registry() -> Registry {
    Registry::new(Arc::new(MemoryStorage::default()))
}

fn send(registry: &Registry, request: Request) -> Response {
    block_on(registry.handle(request))
}

fn body(response: Response) -> String {
    String::from_utf8_lossy(&block_on(collect(response.body)).unwrap()).into_owned()
}

fn push_blob(registry: &Registry, repository: &str, content: &'static [u8]) -> String {
    let digest = digest(content);
    let target = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
    assert_eq!(send(registry, Request::new("POST", &target).body(content)).status, 201);
    digest
}

#[test]
fn chunks_must_follow_each_other() {
    let registry = registry();
    let start = send(&registry, Request::new("POST", "/v2/a/b/blobs/uploads/"));
    let location = start.get_header("location").unwrap().to_owned();
    let chunk = |range: &str, content: &'static str| {
        Request::new("PATCH", &location).header("Content-Range", range).body(content)
    };
    let first = send(&registry, chunk("0-4", "hello"));
    assert_eq!((first.status, first.get_header("range")), (202, Some("0-4")));
    let gap = send(&registry, chunk("9-9", "!"));
    assert_eq!((gap.status, gap.get_header("range")), (416, Some("0-4")));
    assert_eq!(send(&registry, Request::new("GET", &location)).status, 204);
    let wrong = digest(b"other");
    let right = digest(b"hello!");
    let finish = |digest: &str| Request::new("PUT", &format!("{location}?digest={digest}")).body("!");
    assert_eq!(send(&registry, finish(&right)).status, 201);
    assert_eq!(send(&registry, finish(&wrong)).status, 404, "the upload is over");
    let part = Request::new("GET", &format!("/v2/a/b/blobs/{right}")).header("Range", "bytes=1-3");
    let part = send(&registry, part);
    assert_eq!((part.status, part.get_header("content-range")), (206, Some("bytes 1-3/6")));
    assert_eq!(body(part), "ell");
}

#[test]
fn a_lying_digest_is_refused_and_leaves_nothing() {
    let registry = registry();
    let lie = digest(b"truth");
    let target = format!("/v2/a/blobs/uploads/?digest={lie}");
    let refusal = send(&registry, Request::new("POST", &target).body("lie"));
    assert_eq!(refusal.status, 400);
    assert!(body(refusal).contains("DIGEST_INVALID"));
    assert_eq!(send(&registry, Request::new("HEAD", &format!("/v2/a/blobs/{lie}"))).status, 404);
}

#[test]
fn manifests_tags_mounts_referrers_and_deletes() {
    let registry = registry();
    let config = push_blob(&registry, "a", b"{}");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{{"mediaType":"x/y","digest":"{config}","size":2}},"layers":[]}}"#
    );
    let subject = digest(manifest.as_bytes());
    let put = |repository: &str, reference: &str, content: &str| {
        Request::new("PUT", &format!("/v2/{repository}/manifests/{reference}"))
            .header("Content-Type", kind)
            .body(content.to_owned())
    };
    for tag in ["v1", "v2", "v3"] {
        assert_eq!(send(&registry, put("a", tag, &manifest)).status, 201);
    }
    let missing = send(&registry, put("b", "v1", &manifest));
    assert_eq!(missing.status, 400);
    assert!(body(missing).contains("MANIFEST_BLOB_UNKNOWN"));
    let mount = format!("/v2/b/blobs/uploads/?mount={config}&from=a");
    assert_eq!(send(&registry, Request::new("POST", &mount)).status, 201);
    assert_eq!(send(&registry, put("b", "v1", &manifest)).status, 201);

    let page = send(&registry, Request::new("GET", "/v2/a/tags/list?n=2"));
    assert_eq!(page.get_header("link"), Some("</v2/a/tags/list?n=2&last=v2>; rel=\"next\""));
    assert_eq!(body(page), r#"{"name":"a","tags":["v1","v2"]}"#);
    assert_eq!(body(send(&registry, Request::new("GET", "/v2/_catalog"))), r#"{"repositories":["a","b"]}"#);

    let referrer = manifest.replacen(
        r#""layers":[]"#,
        &format!(r#""layers":[],"subject":{{"mediaType":"{kind}","digest":"{subject}","size":1}}"#),
        1,
    );
    let response = send(&registry, put("a", "sig", &referrer));
    assert_eq!(response.get_header("oci-subject"), Some(subject.as_str()));
    let list = send(&registry, Request::new("GET", &format!("/v2/a/referrers/{subject}?artifactType=x%2Fy")));
    assert_eq!(list.get_header("oci-filters-applied"), Some("artifactType"));
    assert!(body(list).contains(&digest(referrer.as_bytes())));

    assert_eq!(send(&registry, Request::new("DELETE", "/v2/a/manifests/v1")).status, 202);
    assert_eq!(send(&registry, Request::new("GET", "/v2/a/manifests/v1")).status, 404);
    assert_eq!(send(&registry, Request::new("DELETE", &format!("/v2/a/manifests/{subject}"))).status, 202);
    assert_eq!(send(&registry, Request::new("GET", "/v2/a/manifests/v2")).status, 404);
    assert_eq!(send(&registry, Request::new("DELETE", &format!("/v2/a/blobs/{config}"))).status, 202);
    assert_eq!(send(&registry, Request::new("GET", &format!("/v2/b/blobs/{config}"))).status, 200, "b still links it");
}

#[test]
fn credentials_are_asked_for() {
    let registry = registry().with_credentials(Arc::new(|user, password| (user, password) == ("bob", "pw")));
    let refusal = send(&registry, Request::new("GET", "/v2/"));
    assert_eq!(refusal.status, 401);
    assert!(refusal.get_header("www-authenticate").unwrap().starts_with("Basic "));
    let good = Request::new("GET", "/v2/").header("Authorization", "Basic Ym9iOnB3");
    assert_eq!(send(&registry, good).status, 200);
}
