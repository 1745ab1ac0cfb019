//! Images come and go: pull from the simulator's Docker Hub, save, load.

use bytes::Bytes;
use docklab_api::{ApiResult, CreateImage, ImageApi, MessageStream, ProgressMessage, RemoveImage};
use docklab_sim::World;
use futures::{StreamExt, TryStreamExt};

use crate::{Engine, EngineOptions};

struct Lab {
    world: World,
    engine: Engine,
}

/// A line for each message that is no bar; a failure is `error: …`.
fn line(message: ProgressMessage) -> Option<String> {
    if let Some(detail) = message.error_detail {
        return Some(format!("error: {}", detail.message));
    }
    if let Some(text) = message.stream {
        return Some(text.trim_end().to_owned());
    }
    let status = message.status.filter(|status| !matches!(status.as_str(), "Downloading" | "Extracting"))?;
    Some(message.id.map_or(status.clone(), |id| format!("{id}: {status}")))
}

impl Lab {
    fn new() -> Self {
        let world = World::new("2026-01-01T00:00:00Z".parse().expect("a date"), 5);
        let node = world.add_node("node1");
        let engine = world.block_on(Engine::open(node.host(), EngineOptions::default())).expect("the engine opens");
        Self { world, engine }
    }

    fn lines(&self, started: impl Future<Output = ApiResult<MessageStream>>) -> Vec<String> {
        self.world.block_on(async {
            match started.await {
                Ok(stream) => {
                    let messages: Vec<_> = stream.try_collect().await.expect("messages");
                    messages.into_iter().filter_map(line).collect()
                }
                Err(error) => vec![format!("error: {}", error.message)],
            }
        })
    }

    fn pull(&self, name: &str, tag: &str) -> Vec<String> {
        let options =
            CreateImage { from_image: Some(name.to_owned()), tag: Some(tag.to_owned()), ..CreateImage::default() };
        self.lines(self.engine.create_image(options, None))
    }

    fn load(&self, tar: Bytes) -> Vec<String> {
        let body = futures::stream::once(async move { Ok(tar) }).boxed();
        self.lines(self.engine.load_images(false, body))
    }

    fn save(&self, name: &str) -> Bytes {
        self.world.block_on(async {
            let tar = self.engine.save_images(vec![name.to_owned()]).await.expect("an archive");
            let pieces: Vec<Bytes> = tar.try_collect().await.expect("its content");
            pieces.concat().into()
        })
    }

    fn id(&self, name: &str) -> Option<String> {
        self.world.block_on(self.engine.inspect_image(name)).ok().and_then(|image| image.id)
    }

    fn remove(&self, name: &str) {
        self.world.block_on(self.engine.remove_image(name, RemoveImage::default())).expect("removed");
    }
}

#[test]
fn a_pull_tells_of_every_layer_and_a_second_one_of_none() {
    let lab = Lab::new();
    let first = lab.pull("alpine", "latest");
    assert_eq!(first.first().map(String::as_str), Some("latest: Pulling from library/alpine"));
    assert_eq!(first.last().map(String::as_str), Some("Status: Downloaded newer image for alpine:latest"));
    let count = |lines: &[String], end: &str| lines.iter().filter(|line| line.ends_with(end)).count();
    assert!(count(&first, ": Pull complete") > 0, "{first:?}");
    assert_eq!(count(&first, ": Pulling fs layer"), count(&first, ": Pull complete"));

    let second = lab.pull("alpine", "latest");
    // The image is here: Docker does not look at its layers.
    assert_eq!(second.len(), 3, "{second:?}");
    assert_eq!(second.last().map(String::as_str), Some("Status: Image is up to date for alpine:latest"));
}

#[test]
fn an_unknown_repository_and_an_unknown_tag_have_docker_s_words_and_nothing_of_the_progress() {
    let lab = Lab::new();
    assert_eq!(
        lab.pull("no-such-image", "latest"),
        ["error: pull access denied for no-such-image, repository does not exist or may require 'docker login': \
             denied: requested access to the resource is denied"]
    );
    assert_eq!(
        lab.pull("alpine", "no-such-tag"),
        ["error: manifest for alpine:no-such-tag not found: manifest unknown: manifest unknown"]
    );
}

#[test]
fn a_saved_image_loads_with_the_same_id_and_name() {
    let lab = Lab::new();
    lab.pull("alpine", "latest");
    let (before, tar) = (lab.id("alpine").expect("pulled"), lab.save("alpine"));
    lab.remove("alpine");
    assert_eq!(lab.id("alpine"), None);
    assert_eq!(lab.load(tar), ["Loaded image: alpine:latest"]);
    assert_eq!(lab.id("alpine"), Some(before));
}

#[test]
fn a_truncated_archive_loads_nothing_and_the_whole_one_loads_afterwards() {
    let lab = Lab::new();
    lab.pull("alpine", "latest");
    let tar = lab.save("alpine");
    lab.remove("alpine");
    let failed = lab.load(tar.slice(..tar.len() / 2));
    assert!(failed.iter().all(|line| line.starts_with("error: ")) && !failed.is_empty(), "{failed:?}");
    assert_eq!(lab.id("alpine"), None);
    assert_eq!(lab.load(tar), ["Loaded image: alpine:latest"]);
}
