//! The build cache: images that were built here, found by their parent and what created them.

use std::sync::{Arc, PoisonError};

use docklab_api::{ApiResult, CacheMiss};

use super::miss::{self, Files};
use crate::{
    Engine,
    image::{Image, ImageFile, RunConfig},
};

/// Whether two steps would make the same image of the same parent. What only tells containers apart is not compared.
fn same(left: &RunConfig, right: &RunConfig) -> bool {
    fn list<T: PartialEq>(left: Option<&Vec<T>>, right: Option<&Vec<T>>) -> bool {
        left.map_or(&[][..], Vec::as_slice) == right.map_or(&[][..], Vec::as_slice)
    }
    fn map<K: Ord, V: PartialEq>(
        left: Option<&std::collections::BTreeMap<K, V>>,
        right: Option<&std::collections::BTreeMap<K, V>>,
    ) -> bool {
        match (left, right) {
            (Some(left), Some(right)) => left == right,
            (one, other) => one.or(other).is_none_or(std::collections::BTreeMap::is_empty),
        }
    }
    list(left.env.as_ref(), right.env.as_ref())
        && list(left.cmd.as_ref(), right.cmd.as_ref())
        && list(left.entrypoint.as_ref(), right.entrypoint.as_ref())
        && list(left.shell.as_ref(), right.shell.as_ref())
        && list(left.on_build.as_ref(), right.on_build.as_ref())
        && map(left.exposed_ports.as_ref(), right.exposed_ports.as_ref())
        && map(left.volumes.as_ref(), right.volumes.as_ref())
        && map(left.labels.as_ref(), right.labels.as_ref())
        && left.attach_stdin == right.attach_stdin
        && left.attach_stdout == right.attach_stdout
        && left.attach_stderr == right.attach_stderr
        && left.open_stdin == right.open_stdin
        && left.stdin_once == right.stdin_once
        && left.tty == right.tty
        && left.args_escaped == right.args_escaped
        && left.user == right.user
        && left.working_dir == right.working_dir
        && left.stop_signal == right.stop_signal
        && left.stop_timeout == right.stop_timeout
        && left.healthcheck == right.healthcheck
}

/// What was built here on top of an image; without one, what begins with no image.
fn siblings(engine: &Engine, parent: &str) -> Vec<Arc<Image>> {
    let all = if parent.is_empty() {
        engine.images.all().into_iter().filter(|image| image.parent.is_none()).collect()
    } else {
        engine.images.children(parent)
    };
    all.into_iter().filter(|image| image.built_here).collect()
}

fn created(image: &Image) -> Option<jiff::Timestamp> {
    image.file.created.as_ref().and_then(|time| time.parse().ok())
}

/// Looks steps up; after the first miss of a stage there are no more hits in it.
pub(crate) struct Cache {
    disabled: bool,
    /// The number of the step that missed first in this stage.
    missed: Option<u32>,
    /// `--cache-from`: images whose history counts although they were not built here.
    sources: Vec<Arc<Image>>,
}

impl Cache {
    pub(crate) fn new(disabled: bool, sources: Vec<Arc<Image>>) -> Self {
        Self { disabled, missed: None, sources }
    }

    pub(crate) fn begin_stage(&mut self) {
        self.missed = None;
    }

    /// The image that this step made of `parent` before, or why there is none. `parent` is empty for `FROM scratch`;
    /// `now` is the step's number and its line as written; `files` are what it copies.
    pub(crate) async fn probe(
        &mut self,
        engine: &Engine,
        parent: &str,
        step: &RunConfig,
        now: (u32, &str),
        files: &Files,
    ) -> ApiResult<Result<String, CacheMiss>> {
        if self.disabled {
            return Ok(Err(CacheMiss::Disabled));
        }
        if let Some(step) = self.missed {
            return Ok(Err(CacheMiss::Follows { step }));
        }
        if let Some(found) = self.lookup(engine, parent, step).await? {
            return Ok(Ok(found));
        }
        self.missed = Some(now.0);
        let mut former = siblings(engine, parent);
        former.sort_by_key(|image| std::cmp::Reverse(created(image)));
        let former: Vec<(&str, &[String])> = former
            .iter()
            .filter_map(|image| Some((&*image.id, image.file.container_config.as_ref()?.cmd.as_deref()?)))
            .collect();
        let memory = engine.build_memory.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Err(miss::why(&memory, &former, now.1, step.cmd.as_deref().unwrap_or_default(), files)))
    }

    async fn lookup(&mut self, engine: &Engine, parent: &str, step: &RunConfig) -> ApiResult<Option<String>> {
        let local = siblings(engine, parent)
            .into_iter()
            .filter(|image| image.file.container_config.as_ref().is_some_and(|made| same(made, step)))
            .max_by_key(|image| created(image));
        if self.sources.is_empty() {
            return Ok(local.map(|image| image.id.clone()));
        }
        if let Some(local) = local
            && self.sources.iter().any(|source| engine.images.ancestors(&source.id).contains(&local.id))
        {
            return Ok(Some(local.id.clone()));
        }
        self.history_match(engine, parent, step).await
    }

    /// An image of `--cache-from` that goes on from `parent` with this step; its part up to here becomes an image.
    async fn history_match(&mut self, engine: &Engine, parent: &str, step: &RunConfig) -> ApiResult<Option<String>> {
        let base = engine.images.get(parent);
        let done = base.as_ref().map_or(0, |base| base.file.history.len());
        let created_by = step.cmd.clone().unwrap_or_default().join(" ");
        for source in self.sources.clone() {
            let file = &source.file;
            let layers = |history: &[crate::image::History]| history.iter().filter(|entry| !entry.empty_layer).count();
            let continues = base.as_ref().is_none_or(|base| {
                file.history.len() > done
                    && file
                        .history
                        .iter()
                        .zip(&base.file.history)
                        .all(|(mine, other)| mine.created_by == other.created_by)
                    && file.rootfs.diff_ids.starts_with(&base.file.rootfs.diff_ids)
            });
            let Some(entry) = file.history.get(done).filter(|entry| continues && entry.created_by == created_by) else {
                continue;
            };
            if file.history.len() == done + 1 {
                return Ok(Some(source.id.clone()));
            }
            let history = file.history[..=done].to_vec();
            let count = layers(&history);
            let (Some(diff_ids), Some(sizes)) = (file.rootfs.diff_ids.get(..count), source.sizes.get(..count)) else {
                continue;
            };
            let mut config = step.clone();
            config.cmd = base.as_ref().and_then(|base| base.file.config.as_ref()?.cmd.clone());
            let restored = ImageFile {
                created: entry.created.clone(),
                author: entry.author.clone(),
                comment: String::new(),
                config: Some(config),
                container_config: Some(step.clone()),
                container: String::new(),
                rootfs: crate::image::RootFs { kind: "layers".to_owned(), diff_ids: diff_ids.to_vec() },
                history,
                ..file.clone()
            };
            let parent = base.as_ref().map(|base| base.id.clone());
            let image =
                engine.images.add(&*engine.host, restored.to_bytes()?.into(), sizes.to_vec(), parent, true).await?;
            // Jumping to another source from here on could mix two builds.
            self.sources = vec![source];
            return Ok(Some(image.id.clone()));
        }
        Ok(None)
    }
}
