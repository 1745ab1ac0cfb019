//! `docklab preview`: the page with an author's panel, which follows the file.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Args;
use docklab_scenario::{Scenario, Scope};
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, watch};

use super::{EngineKind, sim};
use crate::serve::{Edition, ServeArguments};

/// See a lab in a browser while it is being written.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  docklab preview my-lab.md
  docklab preview my-lab.md --engine docklab     with real containers in the page's terminals

At every save the page shows the new text, its faults where they are, and the edited steps are played in the simulator.")]
pub(crate) struct PreviewArguments {
    /// The lab.
    file: PathBuf,
    /// Directory of the built page.
    #[arg(long, default_value = "web/dist")]
    page: PathBuf,
    /// 0 takes any free port.
    #[arg(long, default_value_t = 8738)]
    port: u16,
    /// What the page's terminals are connected to.
    #[arg(long, value_enum, default_value = "sim")]
    engine: EngineKind,
    /// Use this token instead of a random one.
    #[arg(long, env = "DOCKLAB_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// An editor saves in several steps: look when they are through.
const SETTLED: Duration = Duration::from_millis(40);

pub(crate) async fn preview(arguments: PreviewArguments) -> Result<i32> {
    let file = arguments.file.canonicalize().with_context(|| format!("reading {}", arguments.file.display()))?;
    let directory = file.parent().unwrap_or(Path::new("/")).to_owned();
    let (changes, changed) = mpsc::unbounded_channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the file is an event, too.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            changes.send(()).ok();
        }
    })
    .context("watching files")?;
    // The directory, because editors replace files; and what the lab includes lies beside it.
    watcher.watch(&directory, RecursiveMode::Recursive).with_context(|| format!("watching {}", directory.display()))?;
    let (editions, author) = watch::channel(Edition::default());
    let following = tokio::spawn(follow(file.clone(), changed, editions));
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let served = crate::serve::run_beside(
        ServeArguments::for_preview(directory, arguments.page, arguments.port, arguments.engine, arguments.token),
        Some(author),
        &format!("#/lab/{name}"),
    )
    .await;
    following.abort();
    drop(watcher);
    served.map(|()| 0)
}

/// Publishes what is saved: first the text with its faults, then how its edited steps play.
async fn follow(file: PathBuf, mut changed: mpsc::UnboundedReceiver<()>, editions: watch::Sender<Edition>) {
    let mut shown: Option<Scenario> = None;
    let mut last_text = String::new();
    loop {
        let edition = read(&file);
        if edition.text != last_text || shown.is_none() {
            last_text.clone_from(&edition.text);
            let scenario = docklab_scenario::parse(&edition.file, &edition.text).scenario;
            let edited = edited_steps(shown.as_ref(), &scenario);
            let is_playable = !edition.faults.has_errors();
            publish(
                &editions,
                Edition { routes: (!is_playable || edited.is_empty()).then(Vec::new), ..edition.clone() },
            );
            shown = Some(scenario.clone());
            if is_playable && !edited.is_empty() {
                // A save while steps are being played makes what they would tell old.
                let played = tokio::select! {
                    played = sim::test_steps(&scenario, &edited, Scope::default()) => played,
                    saved = changed.recv() => {
                        if saved.is_none() {
                            return;
                        }
                        settle(&mut changed).await;
                        continue;
                    }
                };
                let (routes, trouble) = match played {
                    Ok(routes) => (routes, None),
                    Err(error) => (Vec::new(), Some(format!("{error:#}"))),
                };
                publish(&editions, Edition { routes: Some(routes), trouble, ..edition });
            }
        }
        if changed.recv().await.is_none() {
            return;
        }
        settle(&mut changed).await;
    }
}

async fn settle(changed: &mut mpsc::UnboundedReceiver<()>) {
    while let Ok(Some(())) = tokio::time::timeout(SETTLED, changed.recv()).await {}
}

fn publish(editions: &watch::Sender<Edition>, edition: Edition) {
    editions.send_modify(|shown| *shown = Edition { revision: shown.revision + 1, ..edition });
}

fn read(file: &Path) -> Edition {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match super::files::expanded(file) {
        Ok(expanded) => {
            let mut faults = docklab_scenario::lint(&name, &expanded.text);
            expanded.locate(&mut faults);
            Edition { file: name, text: expanded.text, faults, ..Edition::default() }
        }
        // Between two steps of an editor there may be no file, and an include may still be to be written.
        Err(error) => Edition { file: name, trouble: Some(format!("{error:#}")), ..Edition::default() },
    }
}

/// Steps that say something else than before, by index; of a lab that is shown for the first time, all.
fn edited_steps(before: Option<&Scenario>, after: &Scenario) -> Vec<usize> {
    let meaning =
        |scenario: &Scenario, index: usize| scenario.steps.get(index).and_then(|step| serde_json::to_string(step).ok());
    let is_new = |index: usize| {
        before.is_none_or(|before| before.meta != after.meta || meaning(before, index) != meaning(after, index))
    };
    (0..after.steps.len()).filter(|index| is_new(*index)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::{mpsc, watch};

    use super::{Edition, edited_steps, follow};

    fn lab(second: &str) -> String {
        format!(
            "+++\nid = \"a\"\ntitle = \"A\"\n+++\n\n## One\n\n```sh run\ndocker network create shop\n```\n\n```check\n[[network]]\nname = \"shop\"\n```\n\n## Two\n\n{second}\n"
        )
    }

    #[test]
    fn only_what_was_edited_is_played() {
        let scenario = |text: &str| docklab_scenario::parse("a.md", text).scenario;
        let before = scenario(&lab("text"));
        assert_eq!(edited_steps(None, &before), [0, 1]);
        assert_eq!(edited_steps(Some(&before), &scenario(&lab("other text"))), [1]);
        assert!(edited_steps(Some(&before), &scenario(&lab("text").replace("\n\n", "\n\n\n"))).is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_save_shows_the_text_at_once_and_then_how_it_plays() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.md");
        std::fs::write(&file, lab("text")).unwrap();
        let (changes, changed) = mpsc::unbounded_channel();
        let (sender, mut editions) = watch::channel(Edition::default());
        let following = tokio::spawn(follow(file.clone(), changed, sender));
        let patience = Duration::from_secs(60);
        let played =
            tokio::time::timeout(patience, editions.wait_for(|edition| edition.routes.is_some())).await.unwrap();
        let routes = played.unwrap().routes.clone().unwrap();
        assert!(routes.len() == 2 && routes.iter().all(|route| route.passed()), "{routes:?}");
        std::fs::write(
            &file,
            lab("```sh run\ndocker network create office\n```\n\n```check\n[[network]]\nname = \"ofice\"\n```"),
        )
        .unwrap();
        changes.send(()).unwrap();
        let wrong = |edition: &Edition| {
            edition
                .routes
                .as_ref()
                .is_some_and(|routes| routes.iter().any(|route| route.step == "two" && !route.passed()))
        };
        let edition = tokio::time::timeout(patience, editions.wait_for(wrong)).await.unwrap().unwrap().clone();
        assert!(edition.text.contains("ofice") && edition.routes.unwrap().iter().all(|route| route.step == "two"));
        following.abort();
    }
}
