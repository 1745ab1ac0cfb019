//! Builds in the simulator. Each numbered cache rule of the classic builder is a test.

use std::collections::BTreeMap;

use bytes::Bytes;
use docklab_api::{BuildImage, ContainerApi, ImageApi, ListContainers};
use docklab_sim::World;
use futures::{StreamExt, TryStreamExt};

use super::swarm::seed;
use crate::{Engine, EngineOptions, HostResultExt};

pub(super) struct Lab {
    pub(super) world: World,
    pub(super) engine: Engine,
}

/// A file of a context: path, content, mode, time of change.
pub(super) type File<'a> = (&'a str, &'a str, u32, u64);

fn context(files: &[File<'_>]) -> Bytes {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content, mode, mtime) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_mtime(*mtime);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content.as_bytes()).expect("appended");
    }
    builder.into_inner().expect("a tar").into()
}

/// IDs by their order of appearance.
fn numbered(text: &str) -> String {
    let is_id = |word: &str| word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut known: Vec<String> = Vec::new();
    let mut numbered = String::new();
    for piece in text.split_inclusive([' ', '\n']) {
        let word = piece.trim_end();
        let bare = word.strip_prefix("sha256:").and_then(|id| id.get(..12)).unwrap_or(word);
        if is_id(bare) {
            let index = known.iter().position(|id| id == bare).unwrap_or_else(|| {
                known.push(bare.to_owned());
                known.len() - 1
            });
            numbered.push_str(&format!("<{}>{}", index + 1, &piece[word.len()..]));
        } else {
            numbered.push_str(piece);
        }
    }
    numbered
}

impl Lab {
    pub(super) fn new() -> Self {
        let world = World::new("2026-01-01T00:00:00Z".parse().expect("a date"), 5);
        let node = world.add_node("node1");
        let engine = world.block_on(Engine::open(node.host(), EngineOptions::default())).expect("the engine opens");
        world.block_on(seed(&engine, "alpine", "latest"));
        Self { world, engine }
    }

    fn options() -> BuildImage {
        BuildImage { remove: true, tags: vec!["app".to_owned()], ..BuildImage::default() }
    }

    /// The build's text; a failure is its last line.
    fn raw(&self, dockerfile: &str, files: &[File<'_>], options: BuildImage) -> String {
        let files: Vec<File<'_>> = [("Dockerfile", dockerfile, 0o644, 1)].iter().chain(files).copied().collect();
        let tar = context(&files);
        let body = futures::stream::once(async move { Ok(tar) }).boxed();
        let messages = self.world.block_on(async {
            match self.engine.build_image(options, body).await {
                Ok(stream) => stream.try_collect::<Vec<_>>().await.expect("messages"),
                Err(error) => vec![docklab_api::ProgressMessage::stream(format!("{} {}", error.status, error.message))],
            }
        });
        messages
            .into_iter()
            .map(|message| match (message.error_detail, message.stream) {
                (Some(detail), _) => format!("error {}: {}\n", detail.code, detail.message),
                (None, Some(text)) => text,
                (None, None) => message
                    .aux
                    .map(|aux| format!("aux {}\n", aux["ID"].as_str().unwrap_or_default()))
                    .unwrap_or_default(),
            })
            .collect()
    }

    pub(super) fn build(&self, dockerfile: &str, files: &[File<'_>]) -> String {
        numbered(&self.raw(dockerfile, files, Self::options()))
    }

    /// For each step: whether it came from the cache. FROM counts as none.
    fn hits(&self, dockerfile: &str, files: &[File<'_>], options: BuildImage) -> Vec<bool> {
        let text = self.raw(dockerfile, files, options);
        assert!(text.contains("Successfully built"), "{text}");
        text.split("Step ")
            .skip(1)
            .filter(|step| !step.contains(": FROM"))
            .map(|step| step.contains("Using cache"))
            .collect()
    }

    fn hits_of(&self, dockerfile: &str, files: &[File<'_>]) -> Vec<bool> {
        self.hits(dockerfile, files, Self::options())
    }

    fn history(&self, name: &str) -> Vec<(String, i64)> {
        let items = self.world.block_on(self.engine.image_history(name)).expect("a history");
        items.into_iter().map(|item| (item.created_by, item.size)).collect()
    }

    fn read(&self, image: &str, path: &str) -> Option<String> {
        let image = self.engine.images.resolve(image).expect("an image");
        let root = docklab_host::Root::Layers(image.chain_id);
        let bytes = self.world.block_on(self.engine.host.read_file(&root, path, 1 << 20)).api().expect("read");
        bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

const APP: &str = "FROM alpine\nRUN echo hi > /made\nCMD [\"cat\",\"/made\"]\nCOPY app.py /app.py\n";

#[test]
fn a_build_prints_what_docker_prints_and_the_second_uses_the_cache() {
    let lab = Lab::new();
    let files = [("app.py", "print(1)\n", 0o644, 5)];
    insta::assert_snapshot!(lab.build(APP, &files), @r#"
    Step 1/4 : FROM alpine
     ---> <1>
    Step 2/4 : RUN echo hi > /made
     ---> Running in <2>
     ---> Removed intermediate container <2>
     ---> <3>
    Step 3/4 : CMD ["cat","/made"]
     ---> Running in <4>
     ---> Removed intermediate container <4>
     ---> <5>
    Step 4/4 : COPY app.py /app.py
     ---> <6>
    aux <6>
    Successfully built <6>
    Successfully tagged app:latest
    "#);
    insta::assert_snapshot!(lab.build(APP, &files), @r#"
    Step 1/4 : FROM alpine
     ---> <1>
    Step 2/4 : RUN echo hi > /made
     ---> Using cache
     ---> <2>
    Step 3/4 : CMD ["cat","/made"]
     ---> Using cache
     ---> <3>
    Step 4/4 : COPY app.py /app.py
     ---> Using cache
     ---> <4>
    aux <4>
    Successfully built <4>
    Successfully tagged app:latest
    "#);
    let history = lab.history("app");
    assert_eq!(history[1].0, "/bin/sh -c #(nop)  CMD [\"cat\" \"/made\"]");
    assert_eq!(history[2].0, "/bin/sh -c echo hi > /made");
    assert!(history[0].0.starts_with("/bin/sh -c #(nop) COPY file:") && history[0].0.ends_with(" in /app.py "));
    assert_eq!(lab.read("app", "/app.py").as_deref(), Some("print(1)\n"));
    let containers = lab.world.block_on(lab.engine.list_containers(ListContainers { all: true, ..Default::default() }));
    assert!(containers.expect("a list").is_empty());
}

#[test]
fn cache_rule_1_after_a_miss_all_later_steps_of_the_stage_miss() {
    let lab = Lab::new();
    let file = "FROM alpine\nCOPY a /a\nRUN echo 1\nFROM alpine\nRUN echo 2\n";
    lab.hits_of(file, &[("a", "1", 0o644, 1)]);
    assert_eq!(lab.hits_of(file, &[("a", "2", 0o644, 1)]), [false, false, true]);
}

#[test]
fn cache_rule_2_the_text_of_run_matters() {
    let lab = Lab::new();
    lab.hits_of("FROM alpine\nRUN echo a b", &[]);
    assert_eq!(lab.hits_of("FROM alpine\nRUN echo a b", &[]), [true]);
    assert_eq!(lab.hits_of("FROM alpine\nRUN echo  a b", &[]), [false]);
}

#[test]
fn cache_rule_3_copy_hashes_mode_and_content_but_not_the_time() {
    let lab = Lab::new();
    let file = "FROM alpine\nCOPY a /a\nCOPY . /all/";
    lab.hits_of(file, &[("a", "1", 0o644, 1)]);
    assert_eq!(lab.hits_of(file, &[("a", "1", 0o644, 99)]), [true, true]);
    assert_eq!(lab.hits_of(file, &[("a", "1", 0o600, 1)]), [false, false]);
    assert_eq!(lab.hits_of(file, &[("a", "2", 0o644, 1)]), [false, false]);
}

#[test]
fn cache_rule_4_an_ignored_dockerfile_is_not_copied() {
    let lab = Lab::new();
    let files = [(".dockerignore", "Dockerfile\n.dockerignore\n", 0o644, 1), ("a", "1", 0o644, 1)];
    lab.hits_of("FROM alpine\nCOPY . /all/", &files);
    assert_eq!(lab.read("app", "/all/Dockerfile"), None);
    assert_eq!(lab.read("app", "/all/a").as_deref(), Some("1"));
    assert_eq!(lab.hits_of("FROM alpine\n# changed\nCOPY . /all/", &files), [true]);
}

#[test]
fn cache_rule_5_configuration_makes_no_layer_but_invalidates_what_follows() {
    let lab = Lab::new();
    lab.hits_of("FROM alpine\nENV A=1\nRUN echo x > /x", &[]);
    assert_eq!(lab.history("app")[1], ("/bin/sh -c #(nop)  ENV A=1".to_owned(), 0));
    assert_eq!(lab.hits_of("FROM alpine\nENV A=2\nRUN echo x > /x", &[]), [false, false]);
}

#[test]
fn cache_rule_6_a_build_argument_misses_at_the_first_run() {
    let lab = Lab::new();
    let with = |value: &str| BuildImage {
        build_args: BTreeMap::from([("V".to_owned(), Some(value.to_owned()))]),
        ..Lab::options()
    };
    let file = "FROM alpine\nRUN echo 0\nARG V\nENV X=1\nRUN echo $V > /v";
    lab.hits(file, &[], with("1"));
    assert_eq!(lab.history("app")[0].0, "|1 V=1 /bin/sh -c echo $V > /v");
    assert_eq!(lab.read("app", "/v").as_deref(), Some("1\n"));
    assert_eq!(lab.hits(file, &[], with("1")), [true, true, true, true]);
    assert_eq!(lab.hits(file, &[], with("2")), [true, true, true, false]);
    let text = lab.raw("FROM alpine\nRUN echo 0", &[], with("3"));
    assert!(text.contains("[Warning] One or more build-args [V] were not consumed\nSuccessfully built"), "{text}");
    let proxy = BuildImage {
        build_args: BTreeMap::from([("HTTP_PROXY".to_owned(), Some("http://p".to_owned()))]),
        ..Lab::options()
    };
    assert_eq!(lab.hits("FROM alpine\nRUN echo 0", &[], proxy), [true]);
}

#[test]
fn cache_rule_7_copy_from_a_stage_is_keyed_by_content() {
    let lab = Lab::new();
    let file = |command: &str| {
        format!("FROM alpine AS build\nRUN {command} > /out\nFROM alpine\nCOPY --from=build /out /o\nRUN cat /o")
    };
    lab.hits_of(&file("echo 1"), &[]);
    assert_eq!(lab.hits_of(&file("echo  1"), &[]), [false, true, true]);
    assert_eq!(lab.hits_of(&file("echo 2"), &[]), [false, false, false]);
    assert_eq!(lab.read("app", "/o").as_deref(), Some("2\n"));
}

#[test]
fn cache_rule_8_no_cache_probes_nothing() {
    let lab = Lab::new();
    lab.hits_of("FROM alpine\nENV A=1\nRUN echo 1", &[]);
    let options = BuildImage { no_cache: true, ..Lab::options() };
    assert_eq!(lab.hits("FROM alpine\nENV A=1\nRUN echo 1", &[], options), [false, false]);
}

#[test]
fn cache_rule_9_another_base_rebuilds_everything() {
    let lab = Lab::new();
    lab.hits_of("FROM alpine\nRUN echo 1", &[]);
    lab.world.block_on(lab.engine.tag_image("app", "alpine", "latest")).expect("tagged");
    assert_eq!(lab.hits_of("FROM alpine\nRUN echo 1", &[]), [false]);
}

#[test]
fn a_failing_run_keeps_its_container_and_the_cache_before_it() {
    let lab = Lab::new();
    let file = "FROM alpine\nRUN echo 1\nRUN echo oops >&2; exit 4";
    insta::assert_snapshot!(lab.build(file, &[]).replace('\u{1b}', "ESC"), @r"
    Step 1/3 : FROM alpine
     ---> <1>
    Step 2/3 : RUN echo 1
     ---> Running in <2>
    1
     ---> Removed intermediate container <2>
     ---> <3>
    Step 3/3 : RUN echo oops >&2; exit 4
     ---> Running in <4>
    ESC[91moops
    ESC[0merror 4: The command '/bin/sh -c echo oops >&2; exit 4' returned a non-zero code: 4
    ");
    assert_eq!(lab.build(file, &[]).lines().nth(3), Some(" ---> Using cache"));
    let containers = lab.world.block_on(lab.engine.list_containers(ListContainers { all: true, ..Default::default() }));
    let containers = containers.expect("a list");
    assert_eq!(containers.len(), 2);
    assert!(containers[0].status.as_deref().is_some_and(|status| status.starts_with("Exited (4)")));
}

#[test]
fn wrong_files_are_told_before_any_output() {
    let lab = Lab::new();
    for (file, wanted) in [
        ("FROM a\nRUNN x", "400 dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)"),
        ("", "400 the Dockerfile (Dockerfile) cannot be empty"),
        ("RUN x", "400 no build stage in current context"),
    ] {
        assert_eq!(lab.build(file, &[]), wanted);
    }
    let options = BuildImage { dockerfile: Some("nope".to_owned()), ..Lab::options() };
    assert_eq!(lab.raw("FROM alpine", &[], options), "500 Cannot locate specified Dockerfile: nope");
    let options = BuildImage { tags: vec!["Bad".to_owned()], ..Lab::options() };
    let text = "400 invalid reference format: repository name (library/Bad) must be lowercase";
    assert_eq!(lab.raw("FROM alpine", &[], options), text);
    let options = BuildImage { target: Some("nope".to_owned()), ..Lab::options() };
    assert_eq!(lab.raw("FROM alpine", &[], options), "400 target stage \"nope\" could not be found");
}

#[test]
fn copy_says_what_is_missing() {
    let lab = Lab::new();
    for (line, wanted) in [
        (
            "COPY nope /x",
            "error 0: COPY failed: file not found in build context or excluded by .dockerignore: stat nope: file does not exist\n",
        ),
        ("COPY nope* /x", "error 0: COPY failed: no source files were specified\n"),
        ("ADD ../x /x", "error 0: ADD failed: forbidden path outside the build context: ../x ()\n"),
        (
            "COPY a Dockerfile /x",
            "error 0: When using COPY with more than one source file, the destination must be a directory and end with a /\n",
        ),
        ("COPY --from=0 /nope /x", "error 0: COPY failed: stat nope: file does not exist\n"),
    ] {
        let text = lab.build(&format!("FROM alpine\nFROM alpine\n{line}"), &[("a", "1", 0o644, 1)]);
        assert!(text.ends_with(wanted), "{line}: {text}");
    }
}

#[test]
fn copy_puts_files_where_docker_puts_them() {
    let lab = Lab::new();
    let files = [("a", "1", 0o644, 1), ("d/b", "2", 0o644, 1), ("d/e/f", "3", 0o644, 1)];
    let file = "FROM alpine\nWORKDIR /w\nCOPY a .\nCOPY a new\nCOPY d /d2\nCOPY a d/b /multi/\nCOPY --chown=1000:5 --chmod=0700 a /own\n\
                COPY <<EOF /here\nhello $HOME_\nEOF\nCOPY d* /star/\n";
    let text = lab.build(file, &files);
    assert!(text.contains("Successfully built"), "{text}");
    let read = |path: &str| lab.read("app", path);
    for (path, content) in [
        ("/w/a", "1"),
        ("/w/new", "1"),
        ("/d2/b", "2"),
        ("/d2/e/f", "3"),
        ("/multi/a", "1"),
        ("/multi/b", "2"),
        ("/here", "hello \n"),
        ("/star/b", "2"),
    ] {
        assert_eq!(read(path).as_deref(), Some(content), "{path}");
    }
    let image = lab.engine.images.resolve("app").expect("an image");
    let stat = lab.world.block_on(lab.engine.host.stat(&docklab_host::Root::Layers(image.chain_id), "/own"));
    let stat = stat.expect("stat").expect("there");
    assert_eq!((stat.mode & 0o7777, stat.uid, stat.gid), (0o700, 1000, 5));
}

#[test]
fn triggers_of_the_base_run_in_the_next_build() {
    let lab = Lab::new();
    let options = BuildImage { tags: vec!["base".to_owned()], ..Lab::options() };
    lab.hits("FROM alpine\nONBUILD RUN echo hi > /t\n", &[], options);
    let text = lab.build("FROM base\nCMD [\"x\"]", &[]);
    assert!(text.contains("# Executing 1 build trigger\n ---> Running in"), "{text}");
    assert_eq!(lab.read("app", "/t").as_deref(), Some("hi\n"));
}

#[test]
fn a_quiet_build_tells_its_id_or_all_when_it_fails() {
    let lab = Lab::new();
    let quiet = || BuildImage { quiet: true, ..Lab::options() };
    let text = lab.raw("FROM alpine\nENV A=1", &[], quiet());
    assert!(text.starts_with("sha256:") && text.lines().count() == 1, "{text}");
    let text = lab.raw("FROM alpine\nRUN exit 4", &[], quiet());
    assert!(text.starts_with("Step 1/2") && text.contains("non-zero code: 4"), "{text}");
}

#[test]
fn labels_and_targets_and_several_tags() {
    let lab = Lab::new();
    let options = BuildImage {
        labels: BTreeMap::from([("k".to_owned(), "it's $x".to_owned())]),
        target: Some("one".to_owned()),
        tags: vec!["app:1".to_owned(), "app:2".to_owned(), "app:1".to_owned()],
        ..Lab::options()
    };
    let text = lab.raw("FROM alpine AS one\nENV A=1\nFROM alpine\nRUN exit 1", &[], options);
    assert!(text.contains("Step 3/3 : LABEL k=it's $x\n"), "{text}");
    assert!(text.ends_with("Successfully tagged app:1\nSuccessfully tagged app:2\n"), "{text}");
    let image = lab.world.block_on(lab.engine.inspect_image("app:2")).expect("an image");
    let labels = image.config.and_then(|config| config.labels).unwrap_or_default();
    assert_eq!(labels.get("k").map(String::as_str), Some("it's $x"));
}

#[test]
fn cache_from_finds_steps_by_their_history() {
    let lab = Lab::new();
    let file = "FROM alpine\nENV A=1\nRUN echo 1 > /one";
    lab.hits_of(file, &[]);
    // As after a pull: the same image, known by no parent.
    let (image, _) = lab.engine.images.find("app").expect("an image");
    let host = &*lab.engine.host;
    let pulled = lab.engine.images.add(host, image.bytes.clone(), image.sizes.clone(), None, false);
    lab.world.block_on(pulled).expect("added");
    let alpine = lab.engine.images.find("alpine").expect("an image").0.id.clone();
    for child in lab.engine.images.children(&alpine) {
        lab.world.block_on(lab.engine.images.remove(host, &child.id)).expect("removed");
    }
    let from = || BuildImage { cache_from: vec!["app".to_owned()], ..Lab::options() };
    assert_eq!(lab.hits(&format!("{file}\nRUN echo 2"), &[], from()), [true, true, false]);
    let other = "FROM alpine\nENV A=2\nRUN echo 1 > /one";
    assert_eq!(lab.hits(other, &[], from()), [false, false]);
}

#[test]
fn add_extracts_archives_and_copy_does_not() {
    use std::io::Write as _;
    let lab = Lab::new();
    let inner = context(&[("in/a", "1", 0o644, 1), ("b", "2", 0o644, 1)]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&inner).expect("written");
    let archive = encoder.finish().expect("compressed");
    let mut builder = tar::Builder::new(Vec::new());
    let file = b"FROM alpine\nADD x.tgz /to/\nCOPY x.tgz /kept/\n";
    for (path, content) in [("Dockerfile", &file[..]), ("x.tgz", &archive)] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content).expect("appended");
    }
    let tar = Bytes::from(builder.into_inner().expect("a tar"));
    let body = futures::stream::once(async move { Ok(tar) }).boxed();
    let messages = lab.world.block_on(async {
        let stream = lab.engine.build_image(Lab::options(), body).await.expect("a build");
        stream.try_collect::<Vec<_>>().await.expect("messages")
    });
    assert!(messages.iter().all(|message| message.error.is_none()), "{messages:?}");
    assert_eq!(lab.read("app", "/to/in/a").as_deref(), Some("1"));
    assert_eq!(lab.read("app", "/to/b").as_deref(), Some("2"));
    assert_eq!(lab.read("app", "/to/x.tgz"), None);
    assert!(lab.read("app", "/kept/x.tgz").is_some());
}

#[test]
fn a_build_from_a_repository_is_refused_with_what_to_do() {
    let lab = Lab::new();
    let options = BuildImage { remote: Some("https://example.com/x.git".to_owned()), ..Lab::options() };
    let text = lab.raw("FROM alpine", &[], options);
    assert_eq!(
        text,
        "500 failed to init repo: exec: \"git\": executable file not found in $PATH: this engine fetches no repositories; clone \
         https://example.com/x.git and build its directory"
    );
}

/// Serves files by path.
struct Files(Vec<(&'static str, Bytes)>);

#[async_trait::async_trait]
impl docklab_sim::WebServer for Files {
    async fn answer(&self, request: docklab_sim::Request) -> docklab_sim::Reply {
        match self.0.iter().find(|(path, _)| *path == request.path) {
            Some((_, content)) => docklab_sim::Reply::text(200, "application/octet-stream", content.clone()),
            None if request.path == "/moved" => docklab_sim::Reply {
                status: 302,
                headers: vec![("Location".to_owned(), "/Dockerfile".to_owned())],
                body: Bytes::new(),
            },
            None => docklab_sim::Reply::text(404, "text/plain", "no such file\n"),
        }
    }
}

#[test]
fn a_url_is_a_dockerfile_or_an_archive() {
    let lab = Lab::new();
    let archive = context(&[("Dockerfile", "FROM alpine\nCOPY a /from-archive", 0o644, 1), ("a", "1", 0o644, 1)]);
    lab.world.add_web_server(
        "files.example",
        std::sync::Arc::new(Files(vec![
            ("/Dockerfile", Bytes::from_static(b"FROM alpine\nRUN echo hello\n")),
            ("/context.tar", archive),
        ])),
    );
    let build = |path: &str| {
        let options = BuildImage { remote: Some(format!("https://files.example{path}")), ..Lab::options() };
        lab.raw("", &[], options)
    };
    for path in ["/Dockerfile", "/moved"] {
        let text = build(path);
        assert!(text.contains("Step 2/2 : RUN echo hello") && text.contains("Successfully tagged"), "{text}");
    }
    assert!(build("/context.tar").contains("Successfully tagged"));
    assert_eq!(lab.read("app", "/from-archive").as_deref(), Some("1"));
    assert_eq!(
        build("/nosuch"),
        "404 failed to GET https://files.example/nosuch with status 404 Not Found: no such file"
    );
}

#[test]
fn add_checks_and_dates_what_it_downloads() {
    let lab = Lab::new();
    lab.world.add_web_server("files.example", std::sync::Arc::new(Files(vec![("/data", Bytes::from_static(b"x"))])));
    let add = |sum: &str| {
        lab.build(&format!("FROM alpine\nADD --checksum=sha256:{sum} https://files.example/data /data"), &[])
    };
    let good = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    assert!(add(good).contains("Successfully tagged"));
    assert_eq!(lab.read("app", "/data").as_deref(), Some("x"));
    let text = add(&"0".repeat(64));
    assert!(text.contains("ADD failed: digest mismatch"), "{text}");
    let text = lab.build("FROM alpine\nADD https://files.example/nosuch /data", &[]);
    let wanted = "ADD failed: failed to GET https://files.example/nosuch with status 404 Not Found: no such file";
    assert!(text.contains(wanted), "{text}");
}

#[test]
fn options_of_the_other_builder_fail_at_their_step() {
    let lab = Lab::new();
    let text = lab.build("FROM alpine\nRUN --mount=type=cache,target=/x ls", &[]);
    assert!(text.contains("Step 2/2") && text.contains("error 0: the --mount option requires BuildKit."), "{text}");
}
