//! One test a section of the distribution specification 1.1, in its order.

use std::sync::Arc;

use docklab_registry::{MemoryStorage, Registry, Request, Response, collect};
use futures::executor::block_on;
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

struct Lab(Registry);

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

fn text(response: Response) -> String {
    String::from_utf8_lossy(&block_on(collect(response.body)).expect("a body")).into_owned()
}

fn parsed(response: Response) -> Value {
    serde_json::from_str(&text(response)).expect("JSON")
}

/// The code of a refusal, which has the form that the specification gives it.
fn code(response: Response) -> String {
    let body = parsed(response);
    let error = &body["errors"][0];
    assert!(error["message"].is_string(), "{body}");
    error["code"].as_str().expect("a code").to_owned()
}

impl Lab {
    fn new() -> Self {
        Self(Registry::new(Arc::new(MemoryStorage::default())))
    }

    fn send(&self, request: Request) -> Response {
        block_on(self.0.handle(request))
    }

    fn ask(&self, method: &str, target: &str) -> Response {
        self.send(Request::new(method, target))
    }

    fn status(&self, method: &str, target: &str) -> u16 {
        self.ask(method, target).status
    }

    fn location(&self, repository: &str) -> String {
        let begun = self.ask("POST", &format!("/v2/{repository}/blobs/uploads/"));
        assert_eq!(begun.status, 202);
        begun.get_header("location").expect("a location").to_owned()
    }

    fn blob(&self, repository: &str, content: &'static [u8]) -> String {
        let digest = digest(content);
        let target = format!("{}?digest={digest}", self.location(repository));
        let put = self.send(Request::new("PUT", &target).body(content));
        assert_eq!(put.status, 201);
        assert_eq!(put.get_header("location"), Some(&*format!("/v2/{repository}/blobs/{digest}")));
        digest
    }

    fn put(&self, repository: &str, reference: &str, kind: &str, content: &str) -> Response {
        let target = format!("/v2/{repository}/manifests/{reference}");
        self.send(Request::new("PUT", &target).header("Content-Type", kind).body(content.to_owned()))
    }

    /// An image whose configuration is `config`; its manifest and the digest of that.
    fn image(&self, repository: &str, tag: &str, config: &'static [u8], more: Value) -> (String, String) {
        let config_digest = self.blob(repository, config);
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": config.len() },
            "layers": [],
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            manifest[key] = value.clone();
        }
        let content = manifest.to_string();
        let put = self.put(repository, tag, MANIFEST, &content);
        assert_eq!(put.status, 201);
        let digest = digest(content.as_bytes());
        (content, digest)
    }
}

#[test]
fn the_base_says_that_the_specification_is_spoken() {
    assert_eq!(Lab::new().status("GET", "/v2/"), 200);
}

#[test]
fn pulling_manifests() {
    let lab = Lab::new();
    let (content, digest) = lab.image("a/b", "v1", b"{}", Value::Null);
    for reference in ["v1", &digest] {
        let target = format!("/v2/a/b/manifests/{reference}");
        let got = lab.send(Request::new("GET", &target).header("Accept", MANIFEST));
        assert_eq!((got.status, got.get_header("content-type")), (200, Some(MANIFEST)));
        assert_eq!(got.get_header("docker-content-digest"), Some(&*digest));
        assert_eq!(text(got), content);
        let head = lab.ask("HEAD", &target);
        assert_eq!(head.get_header("content-length"), Some(&*content.len().to_string()));
        assert_eq!(head.status, 200);
    }
    for (target, wanted) in [
        ("/v2/a/b/manifests/v2", "MANIFEST_UNKNOWN"),
        ("/v2/nosuch/manifests/v1", "NAME_UNKNOWN"),
        ("/v2/a/b/manifests/.bad", "TAG_INVALID"),
    ] {
        let refused = lab.ask("GET", target);
        assert!((400..=404).contains(&refused.status));
        assert_eq!(code(refused), wanted);
        assert!((400..=404).contains(&lab.status("HEAD", target)));
    }
}

#[test]
fn pulling_blobs() {
    let lab = Lab::new();
    let digest = lab.blob("a", b"0123456789");
    let target = format!("/v2/a/blobs/{digest}");
    let got = lab.ask("GET", &target);
    assert_eq!((got.status, got.get_header("content-length")), (200, Some("10")));
    assert_eq!(text(got), "0123456789");
    let head = lab.ask("HEAD", &target);
    assert_eq!((head.status, head.get_header("docker-content-digest")), (200, Some(&*digest)));
    for (range, status, body) in [
        ("bytes=2-4", 206, "234"),
        ("bytes=7-", 206, "789"),
        ("bytes=-2", 206, "89"),
        ("bytes=0-99", 206, "0123456789"),
    ] {
        let part = lab.send(Request::new("GET", &target).header("Range", range));
        assert_eq!(part.status, status, "{range}");
        assert_eq!(text(part), body, "{range}");
    }
    assert_eq!(lab.send(Request::new("GET", &target).header("Range", "bytes=10-")).status, 416);
    // Another repository has it only when it was pushed or mounted there.
    assert_eq!(code(lab.ask("GET", &format!("/v2/other/blobs/{digest}"))), "BLOB_UNKNOWN");
    assert_eq!(code(lab.ask("GET", "/v2/a/blobs/sha256:short")), "DIGEST_INVALID");
}

#[test]
fn pushing_a_blob_in_one_request_in_two_and_as_a_stream() {
    let lab = Lab::new();
    let content = b"in one piece";
    let one = digest(content);
    let posted = lab.send(Request::new("POST", &format!("/v2/a/blobs/uploads/?digest={one}")).body(&content[..]));
    assert_eq!((posted.status, posted.get_header("location")), (201, Some(&*format!("/v2/a/blobs/{one}"))));
    lab.blob("a", b"post, then put");
    // A PATCH without a range.
    let location = lab.location("a");
    let sent = lab.send(Request::new("PATCH", &location).body("a stream"));
    assert_eq!(sent.status, 202);
    let location = sent.get_header("location").expect("a location").to_owned();
    let stream = digest(b"a stream");
    assert_eq!(lab.status("PUT", &format!("{location}?digest={stream}")), 201);
    assert_eq!(text(lab.ask("GET", &format!("/v2/a/blobs/{stream}"))), "a stream");
    // The empty blob is one as well.
    let empty = digest(b"");
    assert_eq!(lab.status("PUT", &format!("{}?digest={empty}", lab.location("a"))), 201);
    let got = lab.ask("GET", &format!("/v2/a/blobs/{empty}"));
    assert_eq!((got.status, got.get_header("content-length")), (200, Some("0")));
    // Other algorithms than the usual one.
    let long = format!("sha512:{}", hex::encode(Sha512::digest(b"long")));
    let put = lab.send(Request::new("PUT", &format!("{}?digest={long}", lab.location("a"))).body("long"));
    assert_eq!(put.status, 201);
    assert_eq!(text(lab.ask("GET", &format!("/v2/a/blobs/{long}"))), "long");
}

#[test]
fn pushing_a_blob_in_chunks() {
    let lab = Lab::new();
    let location = lab.location("a");
    let chunk = |range: &str, content: &'static str| {
        let request = Request::new("PATCH", &location).header("Content-Range", range);
        lab.send(request.header("Content-Length", content.len().to_string()).body(content))
    };
    let first = chunk("0-2", "abc");
    assert_eq!((first.status, first.get_header("range")), (202, Some("0-2")));
    for (range, content) in [("6-8", "ghi"), ("0-2", "abc"), ("3-9", "def"), ("nonsense", "def")] {
        let refused = chunk(range, content);
        assert_eq!(refused.status, 416, "{range}");
        // Where to go on is asked for, and has not moved.
        let status = lab.ask("GET", &location);
        assert_eq!((status.status, status.get_header("range")), (204, Some("0-2")));
    }
    assert_eq!(chunk("3-5", "def").status, 202);
    let all = digest(b"abcdefghi");
    let last = Request::new("PUT", &format!("{location}?digest={all}"));
    let last = lab.send(last.header("Content-Range", "6-8").header("Content-Length", "3").body("ghi"));
    assert_eq!(last.status, 201);
    assert_eq!(text(lab.ask("GET", &format!("/v2/a/blobs/{all}"))), "abcdefghi");
}

#[test]
fn uploads_that_are_lied_about_given_up_or_unknown() {
    let lab = Lab::new();
    let location = lab.location("a");
    let lie = digest(b"truth");
    assert_eq!(code(lab.send(Request::new("PUT", &format!("{location}?digest={lie}")).body("lie"))), "DIGEST_INVALID");
    assert_eq!(lab.status("HEAD", &format!("/v2/a/blobs/{lie}")), 404);
    assert_eq!(code(lab.ask("PUT", &lab.location("a"))), "DIGEST_INVALID");
    assert_eq!(code(lab.ask("PUT", &format!("{}?digest=x", lab.location("a")))), "DIGEST_INVALID");
    let location = lab.location("a");
    assert_eq!(lab.status("DELETE", &location), 204);
    for method in ["GET", "PATCH", "DELETE"] {
        assert_eq!(code(lab.ask(method, &location)), "BLOB_UPLOAD_UNKNOWN", "{method}");
    }
    assert_eq!(code(lab.ask("POST", "/v2/UPPER/blobs/uploads/")), "NAME_INVALID");
}

#[test]
fn mounting_a_blob_from_another_repository() {
    let lab = Lab::new();
    let digest = lab.blob("from", b"shared");
    let mount = |from: &str, digest: &str| lab.ask("POST", &format!("/v2/to/blobs/uploads/?mount={digest}{from}"));
    let mounted = mount("&from=from", &digest);
    assert_eq!((mounted.status, mounted.get_header("location")), (201, Some(&*format!("/v2/to/blobs/{digest}"))));
    assert_eq!(text(lab.ask("GET", &format!("/v2/to/blobs/{digest}"))), "shared");
    // What cannot be mounted is uploaded: 202 with where to.
    for (from, digest) in [("&from=nosuch", digest.as_str()), ("&from=from", &self::digest(b"x")), ("", &digest)] {
        let begun = mount(from, digest);
        assert_eq!(begun.status, 202, "{from}");
        assert!(begun.get_header("location").is_some());
    }
    // Deleting it in one place leaves it in the other.
    assert_eq!(lab.status("DELETE", &format!("/v2/from/blobs/{digest}")), 202);
    assert_eq!(lab.status("GET", &format!("/v2/to/blobs/{digest}")), 200);
}

#[test]
fn pushing_manifests() {
    let lab = Lab::new();
    let (content, digest) = lab.image("a", "v1", b"{}", Value::Null);
    let by_digest = lab.put("a", &digest, MANIFEST, &content);
    assert_eq!((by_digest.status, by_digest.get_header("docker-content-digest")), (201, Some(&*digest)));
    let other = self::digest(b"other");
    assert_eq!(code(lab.put("a", &other, MANIFEST, &content)), "DIGEST_INVALID");
    assert_eq!(code(lab.put("a", "v2", MANIFEST, "no JSON")), "MANIFEST_INVALID");
    assert_eq!(code(lab.put("a", "v2", INDEX, &content)), "MANIFEST_INVALID");
    let missing = content.replace(&self::digest(b"{}"), &other);
    assert_eq!(code(lab.put("a", "v2", MANIFEST, &missing)), "MANIFEST_BLOB_UNKNOWN");
    // An index, and an artifact without layers.
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [
        { "mediaType": MANIFEST, "digest": digest, "size": content.len() },
    ] });
    assert_eq!(lab.put("a", "index", INDEX, &index.to_string()).status, 201);
    let large = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [],
        "annotations": { "a": "x".repeat(3 << 20) } });
    assert_eq!(lab.put("a", "large", INDEX, &large.to_string()).status, 201);
    let too_large = format!("{}{}", large, " ".repeat(2 << 20));
    assert_eq!(lab.put("a", "large", INDEX, &too_large).status, 413);
}

#[test]
fn listing_tags_page_by_page() {
    let lab = Lab::new();
    for tag in ["beta", "Alpha", "gamma", "1.0"] {
        lab.image("a", tag, b"{}", Value::Null);
    }
    let all = parsed(lab.ask("GET", "/v2/a/tags/list"));
    assert_eq!(all, json!({ "name": "a", "tags": ["1.0", "Alpha", "beta", "gamma"] }));
    let mut target = "/v2/a/tags/list?n=3".to_owned();
    let mut pages = Vec::new();
    loop {
        let page = lab.ask("GET", &target);
        let next = page.get_header("link").map(ToOwned::to_owned);
        pages.push(parsed(page)["tags"].clone());
        let Some(link) = next else { break };
        let (link, relation) = link.strip_prefix('<').and_then(|link| link.split_once('>')).expect("a link");
        assert_eq!(relation, "; rel=\"next\"");
        target = link.to_owned();
    }
    assert_eq!(pages, [json!(["1.0", "Alpha", "beta"]), json!(["gamma"])]);
    let list = |query: &str| parsed(lab.ask("GET", &format!("/v2/a/tags/list?{query}")))["tags"].clone();
    assert_eq!(list("last=Alpha"), json!(["beta", "gamma"]));
    assert_eq!(list("n=0"), json!([]));
    assert_eq!(list("last=gamma"), json!([]));
    assert_eq!(code(lab.ask("GET", "/v2/a/tags/list?n=x")), "PAGINATION_NUMBER_INVALID");
    assert_eq!(code(lab.ask("GET", "/v2/nosuch/tags/list")), "NAME_UNKNOWN");
}

#[test]
fn listing_referrers() {
    let lab = Lab::new();
    let (subject_content, subject) = lab.image("a", "v1", b"{}", Value::Null);
    let about = json!({ "mediaType": MANIFEST, "digest": subject, "size": subject_content.len() });
    let signature = json!({ "subject": about, "artifactType": "x/signature", "annotations": { "by": "ann" } });
    let (_, signature) = lab.image("a", "signature", b"{\"s\":1}", signature);
    let (content, bill) = lab.image("a", "bill", b"{\"b\":1}", json!({ "subject": about }));
    let put = lab.put("a", "bill", MANIFEST, &content);
    assert_eq!(put.get_header("oci-subject"), Some(&*subject));
    let listed = lab.ask("GET", &format!("/v2/a/referrers/{subject}"));
    assert_eq!((listed.status, listed.get_header("content-type")), (200, Some(INDEX)));
    let listed = parsed(listed);
    assert_eq!((&listed["mediaType"], &listed["schemaVersion"]), (&json!(INDEX), &json!(2)));
    let find = |digest: &str| {
        let manifests = listed["manifests"].as_array().expect("a list");
        manifests.iter().find(|found| found["digest"] == digest).cloned().expect("listed")
    };
    assert_eq!(find(&signature)["artifactType"], "x/signature");
    assert_eq!(find(&signature)["annotations"]["by"], "ann");
    assert_eq!(find(&bill)["artifactType"], "application/vnd.oci.image.config.v1+json");
    let filtered = lab.ask("GET", &format!("/v2/a/referrers/{subject}?artifactType=x/signature"));
    assert_eq!(filtered.get_header("oci-filters-applied"), Some("artifactType"));
    assert_eq!(parsed(filtered)["manifests"].as_array().map(Vec::len), Some(1));
    assert_eq!(lab.status("DELETE", &format!("/v2/a/manifests/{signature}")), 202);
    let left = parsed(lab.ask("GET", &format!("/v2/a/referrers/{subject}")));
    assert_eq!(left["manifests"].as_array().map(Vec::len), Some(1));
    // A subject need not be there; what nobody refers to has an empty list.
    let nobody = parsed(lab.ask("GET", &format!("/v2/a/referrers/{}", digest(b"nobody"))));
    assert_eq!(nobody["manifests"], json!([]));
    assert_eq!(code(lab.ask("GET", "/v2/a/referrers/x")), "DIGEST_INVALID");
    let before = json!({ "subject": { "mediaType": MANIFEST, "digest": digest(b"to come"), "size": 7 } });
    lab.image("a", "early", b"{\"e\":1}", before);
    let early = parsed(lab.ask("GET", &format!("/v2/a/referrers/{}", digest(b"to come"))));
    assert_eq!(early["manifests"].as_array().map(Vec::len), Some(1));
}

#[test]
fn deleting_tags_manifests_and_blobs() {
    let lab = Lab::new();
    let (_, digest) = lab.image("a", "one", b"{}", Value::Null);
    lab.image("a", "two", b"{}", Value::Null);
    assert_eq!(lab.status("DELETE", "/v2/a/manifests/one"), 202);
    assert_eq!(lab.status("GET", "/v2/a/manifests/one"), 404);
    assert_eq!(lab.status("GET", "/v2/a/manifests/two"), 200, "the manifest stays for its other tag");
    assert_eq!(lab.status("DELETE", &format!("/v2/a/manifests/{digest}")), 202);
    assert_eq!(lab.status("GET", "/v2/a/manifests/two"), 404, "its tags go with it");
    assert_eq!(lab.status("DELETE", &format!("/v2/a/manifests/{digest}")), 404);
    let config = self::digest(b"{}");
    assert_eq!(lab.status("DELETE", &format!("/v2/a/blobs/{config}")), 202);
    assert_eq!(lab.status("GET", &format!("/v2/a/blobs/{config}")), 404);
    assert_eq!(code(lab.ask("DELETE", &format!("/v2/a/blobs/{config}"))), "BLOB_UNKNOWN");
}

#[test]
fn what_the_registry_does_not_know_it_says() {
    let lab = Lab::new();
    for (method, target, status) in [
        ("POST", "/v2/a/manifests/v1", 405),
        ("PUT", "/v2/a/tags/list", 405),
        ("GET", "/v2/a/nonsense", 404),
        ("GET", "/v3/", 404),
    ] {
        assert_eq!(lab.status(method, target), status, "{method} {target}");
    }
}
