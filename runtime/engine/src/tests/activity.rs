//! What watchers are told of builds, pulls and pushes.

use docklab_api::{Activity, CreateImage, Direction, ImageApi, LayerState, News, PushImage, StepState, SystemApi};
use futures::{FutureExt, StreamExt, TryStreamExt};

use super::build::Lab;

/// All that a watcher sees who comes now.
fn news(lab: &Lab) -> Vec<Activity> {
    let mut watched = lab.world.block_on(lab.engine.activity()).expect("a stream");
    let mut news = Vec::new();
    while let Some(Some(activity)) = watched.next().now_or_never() {
        news.push(activity.expect("news"));
    }
    news
}

/// The news of the last job, a line each.
fn last_job(lab: &Lab) -> Vec<String> {
    let news = news(lab);
    let last = news.iter().map(|activity| activity.job).max().unwrap_or_default();
    let state = |state: &StepState| match state {
        StepState::Began => "…".to_owned(),
        StepState::Missed { why } => format!("miss: {why}"),
        StepState::Cached { layer, .. } => format!("hit, layer: {}", layer.is_some()),
        StepState::Done { image, layer } => format!("image: {}, layer: {}", !image.is_empty(), layer.is_some()),
        StepState::Failed { error } => format!("failed: {error}"),
    };
    let line = |news: &News| match news {
        News::BuildBegan { tags, steps } => format!("build of {} in {steps} steps", tags.join(", ")),
        News::BuildStep { number, instruction, state: now } => format!("{number} {instruction}: {}", state(now)),
        News::Ended { image, error } => format!("ended: {} {}", image.is_some(), error.clone().unwrap_or_default()),
        News::TransferBegan { direction, reference, layers } => {
            format!("{direction:?} of {reference} with {} layers", layers.len())
        }
        News::Layer { state, .. } => format!("layer {state:?}"),
    };
    news.iter().filter(|activity| activity.job == last).map(|activity| line(&activity.news)).collect()
}

const APP: &str = "FROM alpine\nRUN echo hi > /made\nCMD [\"cat\"]\nCOPY app.py /app.py\nLABEL a=b\n";

#[test]
fn a_build_tells_its_steps_and_a_rebuild_why_it_missed() {
    let lab = Lab::new();
    lab.build(APP, &[("app.py", "print(1)\n", 0o644, 5)]);
    insta::assert_snapshot!(last_job(&lab).join("\n"), @r#"
    build of app:latest in 5 steps
    1 FROM alpine: …
    1 FROM alpine: image: true, layer: false
    2 RUN echo hi > /made: …
    2 RUN echo hi > /made: miss: this line was not built on this image before
    2 RUN echo hi > /made: image: true, layer: true
    3 CMD ["cat"]: …
    3 CMD ["cat"]: miss: it stands on step 2, which changed
    3 CMD ["cat"]: image: true, layer: false
    4 COPY app.py /app.py: …
    4 COPY app.py /app.py: miss: it stands on step 2, which changed
    4 COPY app.py /app.py: image: true, layer: true
    5 LABEL a=b: …
    5 LABEL a=b: miss: it stands on step 2, which changed
    5 LABEL a=b: image: true, layer: false
    ended: true 
    "#);
    lab.build(APP, &[("app.py", "print(2)\n", 0o644, 5)]);
    insta::assert_snapshot!(last_job(&lab).join("\n"), @r#"
    build of app:latest in 5 steps
    1 FROM alpine: …
    1 FROM alpine: image: true, layer: false
    2 RUN echo hi > /made: …
    2 RUN echo hi > /made: hit, layer: true
    3 CMD ["cat"]: …
    3 CMD ["cat"]: hit, layer: false
    4 COPY app.py /app.py: …
    4 COPY app.py /app.py: miss: app.py changed
    4 COPY app.py /app.py: image: true, layer: true
    5 LABEL a=b: …
    5 LABEL a=b: miss: it stands on step 4, which changed
    5 LABEL a=b: image: true, layer: false
    ended: true 
    "#);
}

#[test]
fn a_file_of_a_directory_and_a_changed_line_are_named() {
    let lab = Lab::new();
    let dockerfile = "FROM alpine\nCOPY . /app/\n";
    let files = |one, two| [("src/one.py", one, 0o644, 5), ("src/two.py", two, 0o644, 5)];
    lab.build(dockerfile, &files("1", "1"));
    lab.build(dockerfile, &files("1", "2"));
    assert!(last_job(&lab).contains(&"2 COPY . /app/: miss: src/two.py changed".to_owned()), "{:?}", last_job(&lab));
    lab.build("FROM alpine\nCOPY src /app/\n", &files("1", "2"));
    let line = "2 COPY src /app/: miss: the line changed; before, it was COPY . /app/".to_owned();
    assert!(last_job(&lab).contains(&line), "{:?}", last_job(&lab));
}

#[test]
fn a_failed_step_says_what_its_client_was_told() {
    let lab = Lab::new();
    lab.build("FROM alpine\nRUN false\n", &[]);
    let told = last_job(&lab);
    let error = "The command '/bin/sh -c false' returned a non-zero code: 1";
    assert_eq!(told[told.len() - 2..], [format!("2 RUN false: failed: {error}"), format!("ended: false {error}")]);
}

#[test]
fn a_pull_tells_of_its_layers_bottom_first_and_of_those_that_are_there() {
    let lab = Lab::new();
    let pull = || {
        let options = CreateImage {
            from_image: Some("python".to_owned()),
            tag: Some("3.6.1-alpine".to_owned()),
            ..CreateImage::default()
        };
        lab.world.block_on(async {
            let messages = lab.engine.create_image(options, None).await.expect("a stream");
            messages.try_collect::<Vec<_>>().await.expect("messages");
        });
    };
    pull();
    let (told, all) = (last_job(&lab), news(&lab));
    let layers = all.iter().find_map(|activity| match &activity.news {
        News::TransferBegan { direction: Direction::Pull, layers, .. } => Some(layers.clone()),
        _ => None,
    });
    let layers = layers.expect("a pull");
    let image = lab.world.block_on(lab.engine.inspect_image("python:3.6.1-alpine")).expect("pulled");
    let diff_ids: Vec<String> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
    assert_eq!(Some(diff_ids), image.root_fs.and_then(|root| root.layers));
    let done = format!("layer {:?}", LayerState::Done);
    // The lowest is alpine's, which the laboratory brought.
    assert_eq!(told.iter().filter(|line| **line == done).count(), layers.len() - 1, "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("ended: true "));
    pull();
    let exists = format!("layer {:?}", LayerState::Exists);
    assert_eq!(last_job(&lab).iter().filter(|line| **line == exists).count(), layers.len());
}

#[test]
fn a_second_push_finds_the_layers_at_the_registry() {
    let lab = Lab::new();
    lab.build("FROM alpine\nCOPY app.py /app.py\n", &[("app.py", "print(1)\n", 0o644, 5)]);
    let push = || {
        lab.world.block_on(async {
            lab.engine.tag_image("app", "student/app", "latest").await.expect("tagged");
            let messages = lab.engine.push_image("student/app", PushImage::default()).await.expect("a stream");
            messages.try_collect::<Vec<_>>().await.expect("messages");
        });
        last_job(&lab)
    };
    let first = push();
    assert_eq!(first.first().map(String::as_str), Some("Push of student/app:latest with 2 layers"));
    assert_eq!(first.iter().filter(|line| **line == "layer Done").count(), 2, "{first:?}");
    let second = push();
    assert_eq!(second.iter().filter(|line| **line == "layer Exists").count(), 2, "{second:?}");
    assert_eq!(second.last().map(String::as_str), Some("ended: true "));
}
