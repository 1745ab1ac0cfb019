//! The registry client against a registry that fails: at each step, in each way.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_api::{
    ApiResult, ContainerApi, CreateImage, ImageApi, MessageStream, ProgressMessage, PushImage, RemoveImage,
    models::AuthConfig,
};
use docklab_registry::{MemoryStorage, Registry};
use docklab_sim::{Reply, Request, WebServer, World};
use futures::{FutureExt, StreamExt, TryStreamExt};
use tokio::sync::Notify;

use crate::{Engine, EngineOptions, image::chain_ids};

/// What happens to a request instead of, or to, its answer.
#[derive(Clone)]
enum Fault {
    Status(u16, &'static str),
    /// The answer's body ends after so many bytes.
    Cut(usize),
    /// Other bytes than were asked for.
    Body(&'static [u8]),
    /// The registry knows nothing of ranges.
    Whole,
    /// The answer waits.
    Wait(Arc<Notify>),
}

/// A registry with a list of faults, each for one request.
struct Server {
    registry: Registry,
    faults: Mutex<Vec<(&'static str, Fault)>>,
    /// `METHOD path`, with the range that was asked for.
    log: Mutex<Vec<String>>,
    /// Asks for a token, of which each is good for so many requests.
    tokens: Mutex<Option<usize>>,
    left: AtomicUsize,
    number: AtomicUsize,
}

#[async_trait]
impl WebServer for Server {
    async fn answer(&self, request: Request) -> Reply {
        let mut line = format!("{} {}", request.method, request.path);
        if let Some(range) = request.header("range") {
            line.push_str(&format!(" {range}"));
        }
        self.log.lock().expect("the log").push(line.clone());
        if let Some(refused) = self.refuse(&request) {
            return refused;
        }
        let fault = {
            let mut faults = self.faults.lock().expect("faults");
            let found = faults.iter().position(|(start, _)| line.starts_with(start));
            found.map(|index| faults.remove(index).1)
        };
        let mut inner = docklab_registry::Request::new(&request.method, &request.path);
        for (name, value) in request.headers {
            if !(matches!(fault, Some(Fault::Whole)) && name.eq_ignore_ascii_case("range")) {
                inner = inner.header(&name, value);
            }
        }
        if let Some(Fault::Status(status, body)) = fault {
            return Reply::text(status, "application/json", body);
        }
        if let Some(Fault::Wait(wake)) = &fault {
            wake.notified().await;
        }
        let answer = self.registry.handle(inner.body(request.body)).await;
        let body = docklab_registry::collect(answer.body).await.expect("a body");
        let headers = answer.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut reply = Reply { status: answer.status, headers, body };
        match fault {
            Some(Fault::Cut(length)) => reply.body.truncate(length),
            Some(Fault::Body(body)) => reply.body = Bytes::from_static(body),
            _ => {}
        }
        reply
    }
}

impl Server {
    /// Tokens, where they are asked for.
    fn refuse(&self, request: &Request) -> Option<Reply> {
        let uses = (*self.tokens.lock().expect("tokens"))?;
        if request.path.starts_with("/token") {
            let number = self.number.fetch_add(1, Ordering::SeqCst) + 1;
            self.left.store(uses, Ordering::SeqCst);
            return Some(Reply::text(200, "application/json", format!(r#"{{"token":"t{number}","expires_in":300}}"#)));
        }
        let wanted = format!("Bearer t{}", self.number.load(Ordering::SeqCst));
        let shown = request.header("authorization") == Some(wanted.as_str());
        let is_good =
            shown && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        (!is_good).then(|| {
            let mut reply = Reply::text(401, "application/json", r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#);
            let challenge = r#"Bearer realm="https://registry.example/token",service="registry""#;
            reply.headers.push(("WWW-Authenticate".to_owned(), challenge.to_owned()));
            reply
        })
    }
}

struct Lab {
    world: World,
    engine: Engine,
    server: Arc<Server>,
    chains: Vec<String>,
}

const NAME: &str = "registry.example/me/app";

fn text(message: ProgressMessage) -> Option<String> {
    if let Some(detail) = message.error_detail {
        return Some(format!("error: {}", detail.message));
    }
    let status = message.status?;
    Some(message.id.map_or(status.clone(), |id| format!("{id}: {status}")))
}

impl Lab {
    /// An engine without images, and a registry that has one.
    fn new() -> Self {
        let mut lab = Self::empty();
        lab.bring_image();
        let image = lab.engine.images.find(NAME).expect("an image").0;
        lab.chains = chain_ids(&image.file.rootfs.diff_ids);
        assert_eq!(lab.failure(&lab.push()), None);
        lab.remove_all();
        lab.server.log.lock().expect("the log").clear();
        lab
    }

    fn empty() -> Self {
        let world = World::new("2026-01-01T00:00:00Z".parse().expect("a date"), 5);
        let node = world.add_node("node1");
        let server = Arc::new(Server {
            registry: Registry::new(Arc::new(MemoryStorage::default())),
            faults: Mutex::default(),
            log: Mutex::default(),
            tokens: Mutex::default(),
            left: AtomicUsize::new(0),
            number: AtomicUsize::new(0),
        });
        world.add_web_server("registry.example", server.clone());
        let engine = world.block_on(Engine::open(node.host(), EngineOptions::default())).expect("the engine opens");
        Self { world, engine, server, chains: Vec::new() }
    }

    /// An image of several layers under the registry's name.
    fn bring_image(&self) {
        self.world.block_on(super::swarm::seed(&self.engine, "alpine", "latest"));
        let dockerfile = "FROM alpine\nCOPY Dockerfile /one\nCOPY Dockerfile /two\n";
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(dockerfile.len() as u64);
        builder.append_data(&mut header, "Dockerfile", dockerfile.as_bytes()).expect("appended");
        let tar = Bytes::from(builder.into_inner().expect("a tar"));
        let body = futures::stream::once(async move { Ok(tar) }).boxed();
        let options = docklab_api::BuildImage { tags: vec![NAME.to_owned()], ..docklab_api::BuildImage::default() };
        let lines = self.lines(self.engine.build_image(options, body));
        assert_eq!(self.failure(&lines), None);
    }

    fn lines(&self, started: impl Future<Output = ApiResult<MessageStream>>) -> Vec<String> {
        self.world.block_on(async {
            match started.await {
                Ok(stream) => {
                    let messages: Vec<_> = stream.try_collect().await.expect("messages");
                    messages.into_iter().filter_map(text).collect()
                }
                Err(error) => vec![format!("error: {}", error.message)],
            }
        })
    }

    fn pull_options() -> CreateImage {
        CreateImage { from_image: Some(NAME.to_owned()), tag: Some("latest".to_owned()), ..CreateImage::default() }
    }

    fn pull(&self) -> Vec<String> {
        self.lines(self.engine.create_image(Self::pull_options(), None))
    }

    fn push(&self) -> Vec<String> {
        self.lines(self.engine.push_image(NAME, PushImage { tag: Some("latest".to_owned()), ..PushImage::default() }))
    }

    fn failure(&self, lines: &[String]) -> Option<String> {
        lines.iter().find_map(|line| line.strip_prefix("error: ")).map(ToOwned::to_owned)
    }

    fn fault(&self, requests: &'static str, fault: Fault) {
        self.server.faults.lock().expect("faults").push((requests, fault));
    }

    fn requests(&self, start: &str) -> Vec<String> {
        let log = self.server.log.lock().expect("the log");
        log.iter().filter(|line| line.starts_with(start)).cloned().collect()
    }

    fn remove_all(&self) {
        let options = RemoveImage { force: true, noprune: false };
        for name in [NAME, "alpine"] {
            self.world.block_on(self.engine.remove_image(name, options)).expect("removed");
        }
        self.assert_empty();
    }

    /// Neither images nor layers nor blobs.
    fn assert_empty(&self) {
        self.world.run_until_stalled();
        assert_eq!(self.engine.images.count(), 0);
        assert_eq!(self.engine.images.staged.count(), 0, "blobs");
        for chain in &self.chains {
            let layer = self.world.block_on(self.engine.host.layer(chain)).expect("looked up");
            assert_eq!(layer, None, "a layer stays");
        }
    }

    /// After what went wrong nothing is half made, and the next try works.
    fn assert_fails_cleanly(&self, wanted: &str) {
        let lines = self.pull();
        assert_eq!(self.failure(&lines).as_deref(), Some(wanted), "{lines:#?}");
        self.assert_empty();
        let lines = self.pull();
        assert_eq!(self.failure(&lines), None, "{lines:#?}");
    }
}

const BLOBS: &str = "GET /v2/me/app/blobs/";
const MANIFESTS: &str = "GET /v2/me/app/manifests/";

#[test]
fn a_cut_layer_is_taken_up_where_it_ended() {
    let lab = Lab::new();
    // The configuration comes first.
    lab.fault(BLOBS, Fault::Cut(usize::MAX));
    lab.fault(BLOBS, Fault::Cut(100));
    let lines = lab.pull();
    assert_eq!(lab.failure(&lines), None, "{lines:#?}");
    assert_eq!(lab.requests(BLOBS).iter().filter(|line| line.ends_with(" bytes=100-")).count(), 1);
    assert!(lines.iter().any(|line| line.ends_with(": Retrying in 1 second")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.ends_with(": Retrying in 5 seconds")), "{lines:#?}");
}

#[test]
fn a_registry_without_ranges_is_read_from_the_start_again() {
    let lab = Lab::new();
    lab.fault(BLOBS, Fault::Cut(usize::MAX));
    lab.fault(BLOBS, Fault::Cut(100));
    lab.fault(BLOBS, Fault::Whole);
    lab.fault(BLOBS, Fault::Whole);
    lab.fault(BLOBS, Fault::Whole);
    let lines = lab.pull();
    assert_eq!(lab.failure(&lines), None, "{lines:#?}");
}

#[test]
fn a_registry_that_fails_for_a_moment_is_asked_again_ever_later() {
    let lab = Lab::new();
    lab.fault(BLOBS, Fault::Cut(usize::MAX));
    for _ in 0..6 {
        lab.fault(BLOBS, Fault::Status(503, ""));
    }
    let lines = lab.pull();
    assert_eq!(lab.failure(&lines), None, "{lines:#?}");
    assert!(lines.iter().any(|line| line.ends_with(": Retrying in 10 seconds")), "{lines:#?}");
}

#[test]
fn a_registry_that_keeps_failing_ends_the_pull() {
    let lab = Lab::new();
    lab.fault(BLOBS, Fault::Cut(usize::MAX));
    for _ in 0..15 {
        lab.fault(BLOBS, Fault::Status(500, "<html>"));
    }
    let lines = lab.pull();
    assert_eq!(lab.failure(&lines).as_deref(), Some("received unexpected HTTP status: 500 Internal Server Error"));
    lab.assert_empty();
    lab.server.faults.lock().expect("faults").clear();
    assert_eq!(lab.failure(&lab.pull()), None);
}

#[test]
fn refusals_of_the_manifest_have_dockers_words() {
    let denied =
        "pull access denied for registry.example/me/app, repository does not exist or may require 'docker login': ";
    for (fault, wanted) in [
        (Fault::Status(401, ""), format!("{denied}unauthorized: authentication required")),
        (Fault::Status(403, r#"{"errors":[{"code":"DENIED","message":"no"}]}"#), format!("{denied}denied: no")),
        (
            Fault::Status(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
            "manifest for registry.example/me/app:latest not found: manifest unknown: manifest unknown".to_owned(),
        ),
        (
            Fault::Status(404, r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#),
            "repository registry.example/me/app not found: name unknown: repository name not known to registry"
                .to_owned(),
        ),
        (
            Fault::Status(404, "<html>"),
            "error parsing HTTP 404 response body: invalid character '<' looking for beginning of value: \"<html>\""
                .to_owned(),
        ),
        (
            Fault::Status(
                429,
                r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#,
            ),
            "toomanyrequests: You have reached your pull rate limit.".to_owned(),
        ),
        (Fault::Status(502, ""), "received unexpected HTTP status: 502 Bad Gateway".to_owned()),
    ] {
        let lab = Lab::new();
        lab.fault(MANIFESTS, fault);
        lab.assert_fails_cleanly(&wanted);
    }
}

#[test]
fn garbage_and_lies_are_found_out_at_each_step() {
    let lab = Lab::new();
    lab.fault(MANIFESTS, Fault::Body(b"<html>"));
    let lines = lab.pull();
    assert!(
        lab.failure(&lines).is_some_and(|error| error.starts_with("manifest verification failed for digest sha256:"))
    );
    lab.assert_empty();
    lab.fault(BLOBS, Fault::Body(b"{}"));
    let lines = lab.pull();
    assert!(
        lab.failure(&lines)
            .is_some_and(|error| error.starts_with("image config verification failed for digest sha256:"))
    );
    lab.assert_empty();
    lab.fault(BLOBS, Fault::Cut(usize::MAX));
    lab.fault(BLOBS, Fault::Body(&[7; 100_000]));
    let lines = lab.pull();
    let error = lab.failure(&lines).expect("a failure");
    assert!(error.starts_with("filesystem layer verification failed for digest sha256:"), "{error}");
    assert!(!lines.iter().any(|line| line.contains("Retrying")), "a lie is not asked for again");
    lab.assert_empty();
    assert_eq!(lab.failure(&lab.pull()), None);
}

#[test]
fn a_missing_layer_ends_the_pull_at_once() {
    let lab = Lab::new();
    lab.fault(BLOBS, Fault::Cut(usize::MAX));
    lab.fault(BLOBS, Fault::Status(404, r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#));
    lab.assert_fails_cleanly("blob unknown: blob unknown to registry");
}

#[test]
fn a_token_that_ends_on_the_way_is_got_anew() {
    let lab = Lab::new();
    *lab.server.tokens.lock().expect("tokens") = Some(2);
    let lines = lab.pull();
    assert_eq!(lab.failure(&lines), None, "{lines:#?}");
    let tokens = lab.requests("GET /token");
    assert!(tokens.len() > 1, "{tokens:?}");
    assert!(tokens[0].contains("service=registry&scope=repository%3Ame%2Fapp%3Apull"), "{tokens:?}");
}

#[test]
fn a_token_that_is_never_good_enough_is_no_endless_loop() {
    let lab = Lab::new();
    *lab.server.tokens.lock().expect("tokens") = Some(0);
    let error = lab.failure(&lab.pull()).expect("a failure");
    assert!(error.ends_with("unauthorized: authentication required"), "{error}");
    assert!(lab.requests("GET /token").len() < 10);
}

#[test]
fn a_password_is_asked_for_only_where_the_registry_wants_one() {
    let lab = Lab::new();
    let registry = Registry::new(Arc::new(MemoryStorage::default()))
        .with_credentials(Arc::new(|user: &str, password: &str| user == "ann" && password == "secret"));
    let server = Server {
        registry,
        faults: Mutex::default(),
        log: Mutex::default(),
        tokens: Mutex::default(),
        left: AtomicUsize::new(0),
        number: AtomicUsize::new(0),
    };
    lab.world.add_web_server("registry.example", Arc::new(server));
    lab.bring_image();
    let error = lab.failure(&lab.push()).expect("a failure");
    assert_eq!(error, "no basic auth credentials");
    let error = lab.failure(&lab.pull()).expect("a failure");
    assert_eq!(error, "Head \"https://registry.example/v2/me/app/manifests/latest\": no basic auth credentials");
    let auth = |password: &str| {
        let (username, password) = (Some("ann".to_owned()), Some(password.to_owned()));
        let serveraddress = Some("registry.example".to_owned());
        AuthConfig { username, password, serveraddress, ..AuthConfig::default() }
    };
    let login = |password| {
        let answer = lab.world.block_on(docklab_api::SystemApi::login(&lab.engine, auth(password)));
        answer.map(|answer| answer.status).map_err(|error| error.message)
    };
    assert_eq!(login("secret"), Ok("Login Succeeded".to_owned()));
    let refused = "login attempt to https://registry.example/v2/ failed with status: 401 Unauthorized";
    assert_eq!(login("wrong"), Err(refused.to_owned()));
    let options = PushImage { tag: Some("latest".to_owned()), auth: Some(auth("secret")), ..PushImage::default() };
    assert_eq!(lab.failure(&lab.lines(lab.engine.push_image(NAME, options))), None);
}

#[test]
fn a_push_takes_up_again_what_a_registry_drops() {
    let lab = Lab::empty();
    lab.bring_image();
    lab.fault("PATCH ", Fault::Status(500, ""));
    lab.fault("POST ", Fault::Status(502, ""));
    lab.fault("PUT /v2/me/app/blobs", Fault::Status(503, ""));
    let lines = lab.push();
    assert_eq!(lab.failure(&lines), None, "{lines:#?}");
    assert!(lines.iter().any(|line| line.ends_with(": Retrying in 5 seconds")), "{lines:#?}");
    assert!(!lab.requests("DELETE /v2/me/app/blobs/uploads/").is_empty(), "what was begun is given up");
    lab.remove_all();
    assert_eq!(lab.failure(&lab.pull()), None);
}

#[test]
fn a_push_that_is_refused_ends_at_once_and_leaves_nothing() {
    for (requests, status, body, wanted) in [
        ("POST ", 403, r#"{"errors":[{"code":"DENIED"}]}"#, "denied: requested access to the resource is denied"),
        ("POST ", 401, "", "unauthorized: authentication required"),
        (
            "PUT /v2/me/app/manifests/",
            429,
            r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#,
            "toomanyrequests: too many requests",
        ),
        ("PUT /v2/me/app/manifests/", 500, "", "received unexpected HTTP status: 500 Internal Server Error"),
    ] {
        let lab = Lab::empty();
        lab.bring_image();
        lab.fault(requests, Fault::Status(status, body));
        let lines = lab.push();
        assert_eq!(lab.failure(&lines).as_deref(), Some(wanted), "{lines:#?}");
        lab.world.run_until_stalled();
        assert_eq!(lab.engine.images.staged.count(), 0);
        assert_eq!(lab.failure(&lab.push()), None);
    }
}

#[test]
fn images_can_be_tagged_and_removed_while_another_is_pulled() {
    let lab = Lab::new();
    lab.world.block_on(super::swarm::seed(&lab.engine, "nginx", "1.13-alpine"));
    let wake = Arc::new(Notify::new());
    lab.fault(BLOBS, Fault::Cut(usize::MAX));
    lab.fault(BLOBS, Fault::Wait(Arc::clone(&wake)));
    lab.world.block_on(async {
        let messages = lab.engine.create_image(Lab::pull_options(), None).await.expect("begins");
        let mut messages = messages.fuse();
        while let Some(message) = messages.next().await {
            if message.expect("a message").status.as_deref() == Some("Pulling fs layer") {
                break;
            }
        }
        lab.engine.tag_image("nginx:1.13-alpine", "other", "tag").await.expect("tagged");
        lab.engine.remove_image("other:tag", RemoveImage::default()).await.expect("removed");
        wake.notify_one();
        let rest: Vec<_> = messages.try_collect().await.expect("messages");
        assert!(rest.iter().all(|message| message.error.is_none()));
    });
}

#[test]
fn two_pulls_of_one_image_download_each_layer_once() {
    let lab = Lab::new();
    let pull = || async {
        let stream = lab.engine.create_image(Lab::pull_options(), None).await.expect("begins");
        let messages: Vec<_> = stream.try_collect().await.expect("messages");
        assert!(messages.iter().all(|message| message.error.is_none()), "{messages:?}");
    };
    lab.world.block_on(futures::future::join(pull(), pull()).map(drop));
    let mut blobs = lab.requests(BLOBS);
    let all = blobs.len();
    blobs.sort();
    blobs.dedup();
    // Both read the configuration.
    assert!(all <= blobs.len() + 1, "{blobs:?}");
}

#[test]
fn a_pull_that_is_given_up_leaves_nothing() {
    let lab = Lab::new();
    let wake = Arc::new(Notify::new());
    lab.fault(BLOBS, Fault::Cut(usize::MAX));
    lab.fault(BLOBS, Fault::Cut(usize::MAX));
    lab.fault(BLOBS, Fault::Wait(wake));
    lab.world.block_on(async {
        let mut messages = lab.engine.create_image(Lab::pull_options(), None).await.expect("begins");
        while let Some(message) = messages.next().await {
            if message.expect("a message").status.as_deref() == Some("Pull complete") {
                break;
            }
        }
    });
    lab.assert_empty();
}

#[test]
fn layers_of_an_image_removed_by_force_go_with_its_last_container() {
    let lab = Lab::empty();
    lab.bring_image();
    let image = lab.engine.images.find(NAME).expect("an image").0;
    let chains = chain_ids(&image.file.rootfs.diff_ids);
    let force = RemoveImage { force: true, noprune: false };
    lab.world.block_on(async {
        let body = docklab_api::models::ContainerCreateBody {
            image: Some(NAME.to_owned()),
            cmd: Some(vec!["true".to_owned()]),
            ..Default::default()
        };
        let created =
            lab.engine.create_container(docklab_api::CreateContainer::default(), body).await.expect("created");
        lab.engine.remove_image(NAME, force).await.expect("removed");
        lab.engine.remove_image("alpine", force).await.expect("removed");
        for chain in &chains {
            assert!(lab.engine.host.layer(chain).await.expect("looked up").is_some(), "the container needs it");
        }
        lab.engine.remove_container(&created.id, docklab_api::RemoveContainer::default()).await.expect("removed");
        for chain in &chains {
            assert_eq!(lab.engine.host.layer(chain).await.expect("looked up"), None, "nothing needs it");
        }
    });
}
